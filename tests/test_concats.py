"""Concats of the same maps: spelled flat or as a chain they are planned alike, and share what can be shared."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.analysis.cost import estimate
from mnsim.errors import CapacityError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph, Operator
from mnsim.pipeline import Planned
from mnsim.plan.residency import make_plan
from mnsim.proof import moved_bytes, verify
from mnsim.reference.calibrate import calibrate, noise_images
from mnsim.reference.infer import infer
from mnsim.reference.weights import random_weights
from mnsim.report.records import as_dict
from mnsim.spec.records import POLICIES, Network, Policy
from tests.helpers import chain, layer, seed_with

FLAT, CHAIN, MIRRORED = "flat", "chain", "mirrored"


def dense_block(spelling: str, layers: int = 5) -> Graph:
    """A DenseNet's block: every layer reads a concat of all maps before it."""
    lines = ["{conv: 6, kernel: 3, name: x0}"]
    maps, joined = ["x0"], "x0"
    for number in range(1, layers):
        lines += [
            "batch_norm" if joined == "x0" else f"{{batch_norm: , input: {joined}}}",
            "relu",
            f"{{conv: 4, kernel: 3, name: x{number}}}",
        ]
        inputs = [joined, f"x{number}"] if spelling == CHAIN else [*maps, f"x{number}"]
        if spelling == MIRRORED:
            inputs = [f"x{number}", *maps]
            maps.insert(0, f"x{number}")
        else:
            maps.append(f"x{number}")
        joined = f"c{number}"
        lines.append(f"{{concat: [{', '.join(inputs)}], name: {joined}}}")
    return build_graph(chain(*lines, "global_avg_pool", "{dense: 5}", shape="[12, 12, 3]"))


def unspelled(operator: Operator) -> Operator:
    return replace(operator, spelled=())


def operator_of(graph: Graph, name: str) -> Operator:
    return next(operator for operator in graph.operators if operator.name == name)


def slots_of(graph: Graph, *names: str) -> list[tuple[int, int]]:
    slots = {each.name: (slot.storage, slot.offset_bytes) for each, slot in zip(graph.maps, graph.slots, strict=True)}
    return [slots[name] for name in names]


def copied_elements(graph: Graph) -> int:
    return sum(dict(operator.vector_ops).get("copy", 0) for operator in graph.operators)


def test_a_flat_concat_is_planned_as_the_chain_that_it_is() -> None:
    flat, links = dense_block(FLAT), dense_block(CHAIN)
    assert [unspelled(each) for each in flat.operators] == list(links.operators)
    assert (flat.storages, flat.slots, flat.outputs) == (links.storages, links.slots, links.outputs)
    for sram in ("4 KiB", "8 KiB", "64 KiB"):
        hardware = seed_with(f"internal_memory.capacity={sram}")
        assert make_plan(flat, hardware) == make_plan(links, hardware)


def test_it_computes_the_same_in_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the network that is joined from all its inputs, one by one, and in SRAM that nothing fits."""
    flat = dense_block(FLAT)
    weights, images = random_weights(flat), noise_images(flat, 1)
    hardware = seed_with("internal_memory.capacity=6 KiB")
    assert verify(Planned(flat, hardware, make_plan(flat, hardware)), weights, images[0]).identical
    with monkeypatch.context() as patch:
        patch.setattr("mnsim.graph.build.as_chains", list)
        literal = dense_block(FLAT)
    assert len(operator_of(literal, "c4").inputs) == 5
    maps, expected = (infer(graph, weights, images[0], calibrate(graph, weights, images)) for graph in (flat, literal))
    assert all(np.array_equal(one, other) for one, other in zip(maps, expected, strict=True))


@pytest.mark.parametrize("spelling", [FLAT, MIRRORED])
def test_dense_blocks_copy_nothing_whichever_end_grows(spelling: str) -> None:
    graph = dense_block(spelling)
    assert copied_elements(graph) == 0
    (storage,) = {storage for storage, _ in slots_of(graph, "x0", "x1", "x2", "x3", "x4", "c1", "c2", "c3", "c4")}
    assert graph.storages[storage].size_bytes == 12 * 12 * (6 + 4 * 4)


def test_reports_name_the_inputs_that_the_network_names() -> None:
    graph = dense_block(FLAT)
    hardware = seed_with()
    record = as_dict(estimate(graph, make_plan(graph, hardware), hardware))
    (last,) = (each for each in record["layers"] if each["name"] == "c4")
    assert [each["name"] for each in last["inputs"]] == ["x0", "x1", "x2", "x3", "x4"]
    assert (last["vector_ops"], last["traffic_bytes"]) == (0, 0)


def joined(*lines: str) -> Graph:
    """Three maps a, b and d of 4, 2 and 3 channels, and what is made of them."""
    base = [f"{{conv: {channels}, kernel: 1, input: input, name: {name}}}" for name, channels in (("a", 4), ("b", 2), ("d", 3))]
    return build_graph(chain(*base, *lines, shape="[4, 4, 5]"))


def test_a_map_that_was_copied_once_is_not_copied_again() -> None:
    """The network's input has bytes of its own; in the second concat it is a part of the first."""
    graph = joined("{concat: [input, a], name: p}", "{concat: [input, a, b], name: q}", "{add: [q, q]}", "{conv: 1, kernel: 1, input: p}")
    assert copied_elements(graph) == 16 * 5
    assert slots_of(graph, "p", "q", "a", "b") == [(slots_of(graph, "q")[0][0], offset) for offset in (0, 0, 5, 9)]


def test_neighbours_in_a_concat_are_a_concat() -> None:
    """Without a copy: of the first, the middle and the last inputs, and of all of them."""
    ends = ("{conv: 1, kernel: 1, input: all, name: e0}",)
    for inputs, offset in (("a, b", 0), ("b, d", 4), ("a, b, d", 0)):
        graph = joined("{concat: [a, b, d], name: all}", f"{{concat: [{inputs}], name: some}}", "{conv: 1, kernel: 1}", *ends)
        assert copied_elements(graph) == 0
        assert slots_of(graph, "some") == [(slots_of(graph, "all")[0][0], offset)]
    graph = joined("{concat: [a, b, d], name: all}", "{concat: [a, d], name: some}", "{conv: 1, kernel: 1}", *ends)
    assert copied_elements(graph) == 16 * (4 + 3)


def test_an_output_of_the_network_stays_one() -> None:
    """It has bytes of its own, and no operator reads it."""
    graph = joined("{concat: [a, b], name: p}", "{concat: [a, b, d], name: q}")
    assert [graph.maps[index].name for index in graph.outputs] == ["p", "q"]
    assert operator_of(graph, "q").inputs == operator_of(graph, "q").sources
    assert copied_elements(graph) == 16 * (4 + 2)
    graph = joined("{concat: [a, b, d], name: q}", "{conv: 1, kernel: 1}", "{concat: [a, b], name: p}")
    assert [graph.maps[index].name for index in graph.outputs][1:] == ["p"]
    assert copied_elements(graph) == 16 * (4 + 2)


def test_no_map_loses_its_last_reader() -> None:
    """`p` is read by the last concat alone, which could read the longer one instead."""
    lines = ("{concat: [a, b, d], name: q}", "{conv: 1, kernel: 1, name: c}", "{concat: [a, b], name: p}", "{concat: [p, d, c], name: r}")
    graph = joined(*lines, "{conv: 1, kernel: 1, name: e}")
    assert [graph.maps[index].name for index in graph.outputs] == ["e"]


@st.composite
def nets_of_concats(draw: st.DrawFn) -> Graph:
    """Maps of one size, and concats that share runs of them, in order or not."""
    layers = [layer(f"x{number}", "conv", "input", channels=draw(st.integers(1, 3)), kernel=(1, 1)) for number in range(3)]
    names, spelled = ["input", *(each.name for each in layers)], [["x0", "x1"]]
    for number in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from(["conv", "relu", "concat", "concat", "concat", "flatten"]))
        name = f"{kind}{number}"
        if kind != "concat":
            fields = (
                {"channels": draw(st.integers(1, 3)), "kernel": draw(st.sampled_from([(1, 1), (3, 3)])), "padding": "same"}
                if kind == "conv"
                else {}
            )
            layers.append(layer(name, kind, draw(st.sampled_from(names)), **fields))
            names += [name] if kind != "flatten" else []
            continue
        run = draw(st.sampled_from(spelled))
        first = draw(st.integers(0, len(run) - 1))
        run = run[first : draw(st.integers(first + 1, len(run)))]
        inputs = [*draw(st.lists(st.sampled_from(names), max_size=2)), *run, *draw(st.lists(st.sampled_from(names), max_size=2))]
        inputs = inputs if len(inputs) > 1 else inputs * 2
        layers.append(layer(name, kind, *inputs))
        spelled.append(inputs)
        names.append(name)
    size = draw(st.sampled_from([(1, 1), (3, 2), (5, 4)]))
    return build_graph(Network("concats", "", "", (*size, 2), 1, tuple(layers)))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(nets_of_concats(), st.integers(5, 110), st.sampled_from(POLICIES))
def test_shared_concats_are_right_on_real_bytes(graph: Graph, percent: int, policy: Policy) -> None:
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    hardware = seed_with(f"internal_memory.capacity={max(1, most * percent // 100)} B")
    read = {source for operator in graph.operators for source in operator.sources}
    assert graph.outputs == tuple(operator.output for operator in graph.operators if operator.output not in read)
    try:
        planned = Planned(graph, hardware, make_plan(graph, hardware, policy))
    except CapacityError:
        return
    found = verify(planned, random_weights(graph), noise_images(graph, 1)[0])
    assert found.identical
    assert moved_bytes(found.simulated.program) == found.simulated.estimate.total.traffic_bytes
