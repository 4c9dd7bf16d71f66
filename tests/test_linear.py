"""What is done with a program costs in proportion to its commands, however many tiles a layer has: calls are counted, not seconds."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import isqrt
from types import FrameType

import pytest

from mnsim import analyze
from mnsim.analysis.occupancy import occupancy
from mnsim.clocks.simulate import simulate
from mnsim.clocks.timeline import Timeline, layer_schedules
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.lowering.lower import lower
from mnsim.pipeline import plan_network, run
from mnsim.plan.model import Buffer, Cut, Home, Plan, Segment, Tiling
from mnsim.plan.tiling import crossing_whole, is_ring, make_geometry, working_bytes
from mnsim.program.check import check
from mnsim.program.dump import dump
from mnsim.program.progress import part
from mnsim.render.formats import Screen, render
from mnsim.report.analysis import analysis_document
from mnsim.report.simulation_table import simulation_document
from mnsim.report.trace import trace_json
from mnsim.spec.load import load_hardware
from tests.helpers import as_text, chain

FEW = 144  # tiles; and then four times as many
MOST_GROWTH = 1.3  # of the calls for one command
HARDWARE = replace(load_hardware("seed"), sram_capacity_bytes=1 << 40)

Made = Callable[[int], tuple[Graph, Sequence[Tiling]]]


def planned(graph: Graph, tilings: Sequence[Tiling], is_streamed: bool) -> Plan:
    """The layers cut like this, their maps all in SRAM or all in external memory, two of each buffer, nothing over anything else."""
    external = frozenset(storage.index for storage in graph.storages if is_streamed)
    cursor, starts = 0, []
    for storage in graph.storages:
        starts.append(cursor)
        cursor += storage.size_bytes
    homes = [Home(None if is_streamed else starts[slot.storage] + slot.offset_bytes, 0, len(graph.operators) - 1) for slot in graph.slots]
    segments = []
    for operator, tiling in zip(graph.operators, tilings, strict=True):
        geometry = make_geometry(graph, operator, external)
        buffers = []
        for name, size in working_bytes(geometry, tiling):
            single = name == "partial sums" or (name.startswith("input") and is_ring(geometry, tiling))
            for _ in range(1 if single else 2):
                buffers.append(Buffer(name, cursor, size, operator.index))
                cursor += size
        cut = Cut(operator.index, geometry, tiling, *crossing_whole(graph, operator, external))
        segments.append(Segment((cut,), tuple(buffers)))
    return Plan("overlap", cursor, (), tuple(segments), tuple(homes))


def rows(count: int) -> tuple[Graph, Sequence[Tiling]]:
    graph = build_graph(chain("{conv: 4, kernel: 1, activation: relu}", "{conv: 4, kernel: 3}", shape=f"[{count // 2}, 2, 4]"))
    return graph, [Tiling(1, 4, 4, "weights")] * 2


def channels(count: int) -> tuple[Graph, Sequence[Tiling]]:
    graph = build_graph(chain(f"{{conv: {count // 2}, kernel: 1, activation: relu}}", "{depthwise: 3}", shape="[2, 2, 4]"))
    return graph, [Tiling(2, 1, 4, "weights"), Tiling(2, 1, 1, "weights")]


def by_filters(count: int) -> tuple[Graph, Sequence[Tiling]]:
    side = isqrt(count)
    graph = build_graph(chain(f"{{conv: {side}, kernel: 1, activation: relu}}", shape=f"[{side}, 2, 4]"))
    return graph, [Tiling(1, 1, 4, "weights")]


def by_strips(count: int) -> tuple[Graph, Sequence[Tiling]]:
    graph, (tiling,) = by_filters(count)
    return graph, [replace(tiling, stays="input")]


def sums(count: int) -> tuple[Graph, Sequence[Tiling]]:
    graph, _ = by_filters(count // 4)
    return graph, [Tiling(1, 1, 1, "weights")]


def sums_by_strips(count: int) -> tuple[Graph, Sequence[Tiling]]:
    graph, _ = by_filters(count // 4)
    return graph, [Tiling(1, 1, 1, "input")]


def in_place(count: int) -> tuple[Graph, Sequence[Tiling]]:
    graph = build_graph(chain("{max_pool: 2}", "relu", "softmax", shape=f"[{2 * count // 3}, 2, 4]"))
    return graph, [Tiling(1, 4, 4, "weights")] * 3


def slices(count: int) -> tuple[Graph, Sequence[Tiling]]:
    layers = ("{conv: 4, kernel: 1, name: a}", "{conv: 4, kernel: 3, name: b}", "{conv: 4, kernel: 1, input: a, name: c}")
    graph = build_graph(chain(*layers, "{concat: [b, c]}", "{conv: 2, kernel: 1}", shape=f"[{count // 4}, 2, 4]"))
    small, large = Tiling(1, 4, 4, "weights"), Tiling(1, 8, 8, "weights")
    return graph, [small, small, small, large, replace(large, out_channels=2)]


class Walked(tuple[float, ...]):
    """A tuple whose items count as calls when it is gone through, also by a built-in function."""

    __slots__ = ()

    def __iter__(self) -> Iterator[float]:
        yield from super().__iter__()


def walked(timeline: Timeline) -> Timeline:
    return Timeline(Walked(timeline.starts_s), Walked(timeline.ends_s))


def calls(work: Callable[[], object]) -> int:
    """How many functions work calls: Python's and built-in ones."""
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counted


def calls_each(graph: Graph, plan: Plan) -> dict[str, float]:
    """Calls for one command, by what is done with the program."""
    program = lower(graph, plan)
    timeline = walked(simulate(program, HARDWARE))
    steps: dict[str, Callable[[], object]] = {
        "lower": lambda: lower(graph, plan),
        "check": lambda: check(program, HARDWARE),
        "simulate": lambda: simulate(program, HARDWARE),
        "occupancy": lambda: occupancy(program, timeline),
        "layer_schedules": lambda: layer_schedules(program, timeline),
        "dump": lambda: list(dump(program, "")),
        "trace": lambda: list(trace_json(program, timeline, "")),
    }
    return {name: calls(step) / len(program.commands) for name, step in steps.items()}


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("made", [rows, channels, by_filters, by_strips, sums, sums_by_strips, in_place, slices])
def test_a_command_costs_the_same_among_many(made: Made, is_streamed: bool) -> None:
    few, many = (calls_each(graph, planned(graph, tilings, is_streamed)) for graph, tilings in map(made, (FEW, 4 * FEW)))
    assert {name: (few[name], many[name]) for name in few if many[name] > MOST_GROWTH * few[name]} == {}


def test_a_table_costs_no_more_than_its_numbers() -> None:
    """A layer among many costs what it costs among few; laying a line out costs less than finding what stands in it."""
    found: list[dict[str, float]] = []
    for count in (50, 200):
        network = chain(*["{separable: 8, batch_norm: true, activation: relu}"] * count, shape="[7, 7, 8]")
        estimate = analyze(network)
        played = run(plan_network(network))
        played = played._replace(timeline=walked(played.timeline))
        steps: dict[str, Callable[[], object]] = {
            "analyze": lambda network=network: analyze(network),  # type: ignore[misc]
            "csv": lambda estimate=estimate: [*render("csv", analysis_document(estimate), Screen(400, False, "usual"))],  # type: ignore[misc]
            "table": lambda estimate=estimate: as_text(analysis_document(estimate), 400, "more", color=True),  # type: ignore[misc]
            "simulate": lambda played=played: as_text(simulation_document(played), 400, "more", True),  # type: ignore[misc]
        }
        found.append({name: calls(step) / count for name, step in steps.items()})
    few, many = found
    assert {name: (few[name], many[name]) for name in few if many[name] > 1.1 * few[name]} == {}
    assert many["table"] < many["analyze"]


def test_long_work_tells_how_far_it_is() -> None:
    graph, tilings = rows(2000)
    plan = planned(graph, tilings, is_streamed=True)
    made: list[tuple[int, int]] = []
    checked: list[tuple[int, int]] = []
    program = lower(graph, plan, lambda *told: made.append(told))
    check(program, HARDWARE, lambda *told: checked.append(told))
    for told in (made, checked):
        assert told == sorted(told)
        assert told[0][0] == 0
        assert told[-1][0] == told[-1][1]
        assert len(program.commands) // 1000 <= len(told) <= len(program.commands) // 1000 + 3
    whole: list[tuple[int, int]] = []
    for number in range(2):
        check(program, HARDWARE, part(lambda *told: whole.append(told), number, 2))
    assert whole == sorted(whole)
    assert whole[-1] == (2 * len(program.commands), 2 * len(program.commands))
