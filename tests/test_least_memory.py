"""What a capacity error advises is followed to the letter: the whole network is planned with it, and with less it is not."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain as chained
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mnsim.errors import CapacityError, MnsimError, ShapeError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph, Operator
from mnsim.pipeline import Planned
from mnsim.plan.least import needed_bytes, streamed_bytes
from mnsim.plan.residency import find_plan, make_plan
from mnsim.plan.tiles import smallest_bytes
from mnsim.plan.tiling import make_geometry
from mnsim.proof import verify
from mnsim.reference.calibrate import noise_images
from mnsim.reference.weights import random_weights
from mnsim.spec.load import load_hardware
from mnsim.spec.records import POLICIES, Hardware, Layer, Network, Policy
from tests.generators import networks
from tests.helpers import chain, layer, run

SEED = load_hardware("seed")
TWICE = ("{add: [input, input], name: n0}", "{concat: [input, n0, n0, n0], name: n1}")


@st.composite
def joins(draw: st.DrawFn) -> Graph:
    """Low maps, and layers that read the same one several times: what is smaller as a whole than as strips."""
    shape = draw(st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 5)))
    shapes, layers = {"input": shape}, list[Layer]()
    graph = None
    for number in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["add", "concat", "concat", "conv", "relu"]))
        source = draw(st.sampled_from([*shapes]))
        peers = [name for name in shapes if shapes[name][: 2 if kind == "concat" else 3] == shapes[source][: 2 if kind == "concat" else 3]]
        inputs = draw(st.lists(st.sampled_from(peers), min_size=2, max_size=5)) if kind in ("add", "concat") else [source]
        fields = {"channels": draw(st.integers(1, 12)), "kernel": (1, 1)} if kind == "conv" else {}
        layers.append(layer(f"n{number}", kind, *inputs, **fields))
        try:
            graph = build_graph(Network("test", "", "", shape, 1, tuple(layers)))
        except ShapeError:
            reject()
        shapes = {each.name: each.shape for each in graph.maps}
    assert graph
    return graph


def machine(sram: int, external: int | None = None) -> Hardware:
    return replace(SEED, sram_capacity_bytes=sram, external_capacity_bytes=external)


def refused(graph: Graph, hardware: Hardware, policy: Policy) -> CapacityError | None:
    try:
        make_plan(graph, hardware, policy)
    except CapacityError as error:
        return error
    return None


def advised_bytes(error: CapacityError) -> int:
    found = re.search(r"--sram='(\d+) B'", error.remedy)
    assert found, error.remedy
    return int(found[1])


def follow(graph: Graph, sram: int, policy: Policy) -> None:
    error = refused(graph, machine(sram), policy)
    if error is None:
        return
    amount = advised_bytes(error)
    assert amount > sram
    assert refused(graph, machine(amount), policy) is None
    if "at least" in error.remedy:
        with pytest.raises(CapacityError):
            find_plan(graph, machine(amount - 1), policy)
    elif sram < (least := max(needed_bytes(graph, operator) for operator in graph.operators)):
        beside = refused(graph, machine(least), policy)  # each layer fits alone
        assert beside
        assert beside.beside
        follow(graph, least, policy)
    said = re.search(r"needs ([\d,]+) bytes", error.message)
    assert bool(said) != error.beside
    if said:
        assert sram < int(said[1].replace(",", "")) == error.needed_bytes <= amount


@settings(max_examples=300, deadline=None, derandomize=True)
@given(networks(), st.integers(1, 300), st.sampled_from(POLICIES))
def test_advice_for_any_network(graph: Graph, sram: int, policy: Policy) -> None:
    follow(graph, sram, policy)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(joins(), st.integers(1, 99), st.sampled_from(POLICIES))
def test_advice_where_layers_read_a_map_several_times(graph: Graph, percent: int, policy: Policy) -> None:
    """Up to what every layer needs with all its maps in external memory, beyond which there is always a plan."""
    most = max(streamed_bytes(graph, operator) for operator in graph.operators)
    follow(graph, max(1, most * percent // 100), policy)
    assert refused(graph, machine(most), policy) is None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.one_of(joins(), networks()))
def test_what_a_layer_needs_is_the_least_of_all_homes(graph: Graph) -> None:
    for operator in graph.operators:
        assert needed_bytes(graph, operator) == min(every_home(graph, operator))


def every_home(graph: Graph, operator: Operator) -> Iterator[int]:
    own = {graph.slots[number].storage for number in (*operator.inputs, operator.output)}
    everything = set(range(len(graph.storages)))
    for resident in chained.from_iterable(combinations(sorted(own), count) for count in range(len(own) + 1)):
        geometry = make_geometry(graph, operator, everything - set(resident))
        yield sum(graph.storages[index].size_bytes for index in resident) + smallest_bytes(geometry)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_concat_that_repeats_an_input(policy: Policy) -> None:
    """The map that it reads three times and its input once, 7,007 bytes each, beside 28,028 of output."""
    graph = build_graph(chain(*TWICE, shape="[1, 7, 1001]"))
    error = refused(graph, machine(64), policy)
    assert error
    assert (error.layer, error.needed_bytes, advised_bytes(error)) == ("n1", 42_042, 42_042)
    planned = Planned(graph, machine(42_042), make_plan(graph, machine(42_042), policy))
    assert verify(planned, random_weights(graph), noise_images(graph, 1)[0]).identical


def test_the_layer_at_fault_is_not_the_one_that_needs_most() -> None:
    graph = build_graph(chain("{conv: 4, kernel: 3, name: c}", "{dense: 4000}", "softmax"))
    error = refused(graph, machine(10), "overlap")
    assert error
    assert error.layer == "c"
    assert error.needed_bytes < 100
    assert advised_bytes(error) == 4000  # a softmax cannot be cut
    assert refused(graph, machine(4000), "overlap") is None


def test_advice_names_external_memory_where_it_is_too_small_as_well(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text("name: n\ninput: [8, 8, 4]\nlayers:\n  - {conv: 16, kernel: 3}\n")
    (tmp_path / "h.yaml").write_text(
        "name: h\nbus: {bandwidth: 1 GB/s}\ninternal_memory: {capacity: 10 B}\nexternal_memory: {capacity: 100 B}\n"
        "matrix_unit: {throughput: 1 GFLOPS}\nvector_unit: {throughput: 1 GFLOPS}\n"
    )
    command = ("analyze", str(tmp_path / "n.yaml"), "--hw", str(tmp_path / "h.yaml"), "-q")
    ran = run(*command)
    assert ran.code == 1
    advice = re.findall(r"(--\S+)(?: (external_memory.capacity))?='(\d+ B)'", ran.err)
    assert [option for option, _, _ in advice] == ["--sram", "--set"]
    (_, _, sram), (_, key, external) = advice
    assert run(*command, "--sram", sram, "--set", f"{key}={external}").code == 0
    assert run(*command, "--sram", sram).code == 1


def test_a_sweep_tells_what_is_missing_without_looking_for_a_remedy() -> None:
    graph = build_graph(chain(*TWICE, shape="[1, 7, 1001]"))
    with pytest.raises(MnsimError) as caught:
        find_plan(graph, machine(64), "serial")
    told = refused(graph, machine(64), "serial")
    assert told
    assert caught.value.message == told.message
