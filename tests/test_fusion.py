"""Fused segments: every candidate is a right program of the bytes that the closed form says, and none of them a cliff."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.analysis.bounds import compulsory_bytes
from mnsim.analysis.cost import estimate
from mnsim.clocks.rates import rates_of
from mnsim.clocks.recurrence import recur
from mnsim.errors import CapacityError, MnsimError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.lowering.lower import count_commands, lower
from mnsim.pipeline import Planned, choose_plan, plan_network
from mnsim.plan.candidates import candidates
from mnsim.plan.fusing import options_of
from mnsim.plan.model import Order, Plan, Segment
from mnsim.plan.passes import Pass, Step, make_pass, moves, needed_rows, rows_order
from mnsim.program.check import check
from mnsim.spec.records import Hardware
from tests.generators import networks
from tests.helpers import seed_with
from tests.test_plan import chain

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)


def end_s(graph: Graph, plan: Plan, hardware: Hardware) -> float:
    return recur(lower(graph, plan), rates_of(hardware)).end_s


@EXAMPLES
@given(networks(("int8", "float32")), st.integers(2, 100), st.sampled_from([(), ("relu", "batch_norm")]))
def test_every_candidate_is_right_and_as_analysed(graph: Graph, percent: int, fused: tuple[str, ...]) -> None:
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    hardware = replace(seed_with(), sram_capacity_bytes=ceil(most * percent / 100), fused=fused)
    try:
        found = list(candidates(graph, hardware, "overlap"))
    except CapacityError:
        return
    for plan in found:
        program = lower(graph, plan)
        checked, total = check(program, hardware), estimate(graph, plan, hardware).total
        assert checked.loaded_bytes + checked.stored_bytes == total.traffic_bytes >= compulsory_bytes(graph)
        assert len(program.commands) == count_commands(graph, plan)
        simulated = recur(program, rates_of(hardware)).end_s
        assert total.bound_time_s * (1 - 1e-12) <= simulated <= total.serial_time_s * (1 + 1e-12)


SHIPPED = {  # simulated time / bound at 1 MiB, 512, 256 and 128 KiB that checked programs of another planner reached, rounded up;
    # but for squeezenet in 512 KiB, where that one reached 1.312 and this one 1.326
    "mobilenet_v1": (1.001, 1.044, 1.127, 1.514),
    "mobilenet_cifar": (1.005, 1.005, 1.005, 1.005),
    "squeezenet": (1.057, 1.330, 1.735, 2.73),
}
SIZES = ("1 MiB", "512 KiB", "256 KiB", "128 KiB")


def chosen(network: str, sram: str, **rates: str) -> Planned:
    settings = [f"internal_memory.capacity={sram}", *(f"{key}={value}" for key, value in rates.items())]
    return choose_plan(plan_network(network, seed_with(*settings)))


def ratio(planned: Planned) -> float:
    graph, hardware, plan = planned[:3]
    return end_s(graph, plan, hardware) / estimate(graph, plan, hardware).total.bound_time_s


@pytest.mark.parametrize(("network", "sram"), [(network, sram) for network in SHIPPED for sram in SIZES[:1]])
def test_a_compiler_would_ship_it(network: str, sram: str) -> None:
    assert ratio(chosen(network, sram)) <= SHIPPED[network][SIZES.index(sram)]


@pytest.mark.slow
@pytest.mark.parametrize(("network", "sram"), [(network, sram) for network in SHIPPED for sram in SIZES[1:]])
def test_a_compiler_would_ship_it_in_less_sram(network: str, sram: str) -> None:
    assert ratio(chosen(network, sram)) <= SHIPPED[network][SIZES.index(sram)]


@pytest.mark.parametrize("network", ["mobilenet_v1", "squeezenet"])
def test_no_map_crosses_the_bus_at_1_mib(network: str) -> None:
    planned = plan_network(network)
    assert estimate(*planned[:1], planned.plan, planned.hardware).total.traffic_bytes == compulsory_bytes(planned.graph)


def separable(side: int) -> Graph:
    """Eight separable layers of 64 channels."""
    layers = [part for _ in range(8) for part in ("{depthwise: 3, activation: relu}", "{conv: 64, kernel: 1, activation: relu}")]
    return build_graph(chain(*layers, shape=f"[{side}, {side}, 64]"))


def test_a_map_more_than_half_the_sram_is_no_cliff() -> None:
    """Two maps of 90 x 90 x 64 fit 1 MiB, two of 91 x 91 x 64 do not: a plan layer by layer takes 4.8 times as long."""
    times = []
    for side in (90, 91):
        graph = separable(side)
        planned = choose_plan(Planned(graph, seed_with(), next(candidates(graph, seed_with(), "overlap"))))
        times.append(end_s(*planned[:1], planned.plan, planned.hardware))
        assert ratio(planned) <= 1.039
    assert times[1] <= 1.1 * times[0]


@EXAMPLES
@given(networks(("int8",)), st.integers(5, 100), st.sampled_from(["0 ns", "100 ns", "1 us"]))
def test_overlap_is_never_slower(graph: Graph, percent: int, latency: str) -> None:
    """Than policy serial or layerwise, by more than 1 %."""
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    rates = [f"{key}={latency}" for key in ("external_memory.latency", "matrix_unit.launch_overhead", "vector_unit.launch_overhead")]
    hardware = replace(seed_with(*rates), sram_capacity_bytes=ceil(most * percent / 100))
    times = {}
    for policy in ("serial", "layerwise", "overlap"):
        try:
            planned = choose_plan(Planned(graph, hardware, next(candidates(graph, hardware, policy))))
        except CapacityError:
            return
        times[policy] = end_s(*planned[:1], planned.plan, planned.hardware)
    assert times["overlap"] <= 1.01 * min(times.values()), times


# ---- the orders of a rows pass, and the rows that its rings hold


def rows_passes(network: str, sram: str) -> Iterator[tuple[Planned, Segment]]:
    planned = plan_network(network, seed_with(f"internal_memory.capacity={sram}"))
    for plan in candidates(planned.graph, planned.hardware, "overlap"):
        yield from ((planned._replace(plan=plan), segment) for segment in plan.segments if segment.kind == "rows")


def played(work: Pass, steps: list[Step]) -> None:
    """Every part of every strip once, in order, and nothing before the rows that it reads."""
    done = [0] * len(work.strips)
    begun = [0] * len(work.strips)
    for step in steps:
        if step.part == 0:
            assert step.strip == begun[step.member]
            begun[step.member] += 1
            for source in work.sources[step.member]:
                made = work.strips[source][done[source] - 1].rows[1] if done[source] else 0
                assert made >= needed_rows(work, step.member, step.strip)
        if step.part == work.parts[step.member] - 1:
            assert step.strip == done[step.member]
            done[step.member] += 1
    assert done == begun == [len(strips) for strips in work.strips]


@pytest.mark.parametrize("order", ["demand", "pipelined"])
@pytest.mark.parametrize("sram", ["1 MiB", "192 KiB"])
def test_steps_follow_what_they_read(order: Order, sram: str) -> None:
    count = 0
    for planned, segment in rows_passes("squeezenet", sram):
        work = make_pass(planned.graph, segment.cuts, planned.plan.fused)
        played(work, rows_order(work, order))
        count += 1
    assert count


def test_steps_of_a_slot_do_not_depend_on_one_another() -> None:
    for planned, segment in rows_passes("squeezenet", "512 KiB"):
        work = make_pass(planned.graph, segment.cuts, planned.plan.fused)
        steps = rows_order(work, "pipelined")
        ends = {(step.member, step.strip): step.slot for step in steps if step.part == work.parts[step.member] - 1}
        for step in steps:
            for source in work.sources[step.member] if not step.part else ():
                strips = work.strips[source]
                last = next(number for number, strip in enumerate(strips) if strip.rows[1] >= needed_rows(work, step.member, step.strip))
                assert ends[source, last] < step.slot
        assert [step.slot for step in steps] == sorted(step.slot for step in steps)


def test_first_rows_are_waited_for() -> None:
    """Strips that lead: those of a producer are as many rows, shifted by what the windows behind it reach ahead."""
    for planned, segment in rows_passes("mobilenet_v1", "1 MiB"):
        work = make_pass(planned.graph, segment.cuts, planned.plan.fused)
        for strips in work.strips:
            sizes = [strip.rows[1] - strip.rows[0] for strip in strips]
            assert all(before == after for before, after in pairwise(sizes[1:-1]))


def test_networks_of_the_papers_stay_as_they_are() -> None:
    """Policy serial, which the papers' tables are computed with, fuses nothing."""
    for name in ("mobilenet_v1", "squeezenet"):
        plan = plan_network(name, policy="serial").plan
        assert all(segment.kind == "single" and len(segment.cuts) == 1 for segment in plan.segments)


def test_a_cut_that_disagrees_with_its_buffers_is_refused() -> None:
    """A plan whose cuts say other tiles than their buffers and rings were made for gives no program that passes."""
    planned = plan_network("squeezenet", seed_with("internal_memory.capacity=192 KiB"), alpha=0.5)
    plan, refused = planned.plan, 0
    for number, segment in enumerate(plan.segments[:4]):
        cut = segment.cuts[-1]
        larger = replace(cut.tiling, rows=cut.tiling.rows * 2)
        wrong = replace(segment, cuts=(*segment.cuts[:-1], replace(cut, tiling=larger)))
        segments = tuple(wrong if place == number else each for place, each in enumerate(plan.segments))
        try:
            check(lower(planned.graph, replace(plan, segments=segments)), planned.hardware)
        except (MnsimError, KeyError, ValueError):
            refused += 1
    assert refused


def test_geometry_that_disagrees_with_homes_is_refused() -> None:
    """An operator that says that it stores its map, where the map's home is a ring: a store of bytes that have no place."""
    planned = plan_network("mobilenet_v1", alpha=0.25)
    plan = planned.plan
    cut = plan.segments[0].cuts[0]
    wrong = replace(cut, geometry=replace(cut.geometry, out_streams=True))
    segments = (replace(plan.segments[0], cuts=(wrong, *plan.segments[0].cuts[1:])), *plan.segments[1:])
    with pytest.raises(AssertionError):
        lower(planned.graph, replace(plan, segments=segments))


def test_a_pass_has_a_member_that_moves() -> None:
    """Two concats behind one another are names alone: no pass."""
    layers = [f"{{conv: 2, kernel: 1, name: x{number}, input: input}}" for number in range(3)]
    graph = build_graph(chain(*layers, "{concat: [x0, x1], name: both}", "{concat: [both, x2]}", shape="[4, 4, 2]"))
    found = [option for options in options_of(graph, 1000, ()) for option in options]
    assert found
    assert all(any(map(moves, graph.operators[option.first : option.last + 1])) for option in found)
