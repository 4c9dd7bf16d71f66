"""The bounds: by hand, between their neighbours on every network, and against the best of all schedules of a tiny machine."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mnsim.analysis.bounds import bound_times, capacity_bound_time_s
from mnsim.analysis.cost import estimate
from mnsim.clocks.rates import rates_of
from mnsim.errors import CapacityError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph, WeightParts
from mnsim.pipeline import analyze
from mnsim.plan.model import Plan
from mnsim.plan.residency import make_plan
from mnsim.report.words import sentences
from mnsim.spec.load import load_hardware, load_network
from mnsim.spec.records import Engine, Hardware, Network, Policy
from tests.helpers import NETWORKS, ROOT, chain, layer, seed_with
from tests.test_tiling_oracle import networks

SEED = load_hardware("seed")


def capacity_bound_s(graph: Graph, plan: Plan, hardware: Hardware) -> float:
    return capacity_bound_time_s(graph, plan, hardware, rates_of(hardware))


class Op(NamedTuple):
    """A matrix operator of the tiny machine: bytes of filters, ticks of matrix time, bytes of output that leave the chip.

    `norm` are bytes of a batch norm that the vector unit computes on its output.
    """

    filters: int
    ticks: int
    output: int = 0
    norm: int = 0


class Tiny(NamedTuple):
    """A network for the tiny machine: the first operator reads all of the input; the bus moves `rate` bytes a tick."""

    ops: tuple[Op, ...]
    input_bytes: int
    capacity: int
    rate: int = 1


def tiny_hardware(capacity: int, rate: int = 1) -> Hardware:
    """One MAC a second, as good as no time for vector operations."""
    return replace(SEED, bus_bandwidth_bytes_per_s=float(rate), sram_capacity_bytes=capacity, matrix=Engine(2.0), vector=Engine(1e30))


@dataclass(frozen=True)
class TinyWeights(WeightParts):
    """Weights with a batch norm of any number of bytes."""

    norm_bytes: int = 0

    @property
    def bias_bytes(self) -> int:
        return self.norm_bytes


def tiny_case(tiny: Tiny) -> tuple[Graph, Plan]:
    """Fully connected layers in order; a layer with an output is read by none, the next reads what it read. Then counts are put in."""
    source, layers = "input", []
    for number, op in enumerate(tiny.ops):
        norm = "unfolded" if op.norm else "none"
        layers.append(layer(f"op{number}", "dense", source, channels=op.output or 1, batch_norm=norm))
        source = source if op.output else f"op{number}"
    graph = build_graph(Network("tiny", "", "", (1, 1, tiny.input_bytes), 1, tuple(layers)))
    pairs = zip(graph.operators, tiny.ops, strict=True)
    counted = (replace(each, weights=TinyWeights((op.filters,), norm_bytes=op.norm), macs=op.ticks) for each, op in pairs)
    return replace(graph, operators=tuple(counted)), make_plan(graph, SEED)


@pytest.mark.parametrize(
    ("ops", "bound"),
    [
        # Matrix time up to k: T_0 = 50; then 20 - 6 bytes of weights and 2 of output.
        ((Op(2, 50), Op(20, 5, 2)), 50 + 14 + 2),
        # Bytes needed up to k: T_0 = 4 + 30; T_q and matrix time: T_1 = 34 + 40; then 20 - 6 and 2.
        ((Op(30, 1), Op(1, 40), Op(20, 5, 2)), 34 + 40 + 14 + 2),
        # T_q and weights beyond the capacity: T_0 = 50, T_1 = 50 + 30 - 6; T_2 = T_1 + 40; then 20 - 6 and 2.
        ((Op(1, 50), Op(30, 5), Op(1, 40), Op(20, 2, 2)), 50 + 24 + 40 + 14 + 2),
        # The same across two operators: T_2 = T_0 + 5 + 20 - 6, above T_1 + 20 - 6; T_3 = T_2 + 40.
        ((Op(1, 50), Op(5, 1), Op(20, 1), Op(1, 40, 2)), 50 + 19 + 40),
        # The capacity holds weights, not what is computed later: room that 3 bytes of weights leave is of no use to 9 of output.
        ((Op(2, 50), Op(3, 1, 9)), 50 + 9),
        # The first output may have left before T_1 = 50 + 10; the second has not.
        ((Op(2, 50, 40), Op(1, 10), Op(20, 5, 2)), 50 + 10 + 14 + 2),
        # A batch norm's 30 bytes may cross after T_1 = 50 + 10, which does not wait for them; T_2 = T_1 + 40.
        ((Op(2, 50), Op(1, 10, norm=30), Op(1, 40), Op(20, 5, 2)), 50 + 10 + 40 + 14 + 2),
        # But none of it is used before its operator starts, after T_0.
        ((Op(2, 50), Op(20, 5, 2, norm=30)), 50 + 20 + 30 - 6 + 2),
        # The simple bounds still hold: all matrix time, all bytes.
        ((Op(2, 50), Op(2, 50, 1)), 100),
        ((Op(20, 2), Op(20, 5, 2)), 4 + 40 + 2),
    ],
)
def test_small_chains_by_hand(ops: tuple[Op, ...], bound: int) -> None:
    """Six bytes of SRAM, an input of four, one byte and one MAC a second."""
    assert capacity_bound_s(*tiny_case(Tiny(ops, 4, 6)), tiny_hardware(6)) == pytest.approx(bound, rel=1e-12)


def test_a_fused_batch_norm_is_matrix_work() -> None:
    """Its 30 bytes are needed by the operator's end: T_1 = T_0 + 1 + 30 - 6, T_2 = T_1 + 40; then 20 - 6 and 2."""
    case = tiny_case(Tiny((Op(2, 50), Op(1, 10, norm=30), Op(1, 40), Op(20, 5, 2)), 4, 6))
    assert capacity_bound_s(*case, replace(tiny_hardware(6), fused=("batch_norm",))) == 50 + 25 + 40 + 14 + 2


def test_operators_of_one_segment_may_mix() -> None:
    """Then nothing is known of the middle of the segment: its matrix time and bytes count together."""
    graph, plan = tiny_case(Tiny((Op(1, 30), Op(1, 20), Op(20, 5, 2)), 4, 6))
    first, second, last = plan.segments
    pair = replace(first, cuts=(*first.cuts, *second.cuts))
    assert capacity_bound_s(graph, plan, tiny_hardware(6)) == 50 + 14 + 2
    assert capacity_bound_s(graph, replace(plan, segments=(pair, last)), tiny_hardware(6)) == 50 + 14 + 2
    pair = replace(last, cuts=(*second.cuts, *last.cuts))
    assert capacity_bound_s(graph, replace(plan, segments=(first, pair)), tiny_hardware(6)) == 55


INPUT = 8 * 8 * 4
SLOW = replace(tiny_hardware(50), matrix=Engine(2.0, 0.0, (("dense", 0.1),)))


@pytest.mark.parametrize(
    ("layers", "first", "pixels"),
    [
        (("{conv: 1, kernel: 2, stride: 2}",), INPUT + 16 + 4, 16),
        (("{conv: 1, kernel: 1, stride: 7}",), 4 * 4, 4),  # only the corners are read: 4 times 4 MACs
        (("{conv: 1, kernel: 3, stride: 3, padding: valid}",), 4 * 36, 4),  # all but the last rows and columns: 4 times 36 MACs
        (("{max_pool: 4, stride: 4}", "{conv: 1, kernel: 1}"), INPUT + 4 + 4, 4),
        (("{max_pool: 2, stride: 6}", "{conv: 1, kernel: 1}"), 4 * 4, 4),
        (
            ("{max_pool: 2, stride: 6, name: a}", "{max_pool: 4, input: input, name: b}", "{add: [a, b]}", "{conv: 1, kernel: 1}"),
            INPUT + 4 + 4,
            4,
        ),
    ],
)
def test_the_input_counts_where_all_of_it_is_needed(layers: tuple[str, ...], first: int, pixels: int) -> None:
    """Convolutions of one channel, 4 bytes of bias each; a fully connected layer follows, 10 seconds a MAC."""
    graph = build_graph(chain(*layers, "{dense: 100}"))
    assert capacity_bound_s(graph, make_plan(graph, SEED), SLOW) == pytest.approx(first + 10 * 100 * pixels)


@pytest.mark.parametrize(
    ("last", "after"),
    [
        # Of a concat one part may leave, and be normalised, before b starts.
        (("{concat: [a, b]}",), 24),
        (("{concat: [a, b]}", "batch_norm"), 24),
        # An addition needs both parts: its output of 256 bytes, and its scale and shift of 4 channels, wait for b.
        (("{add: [a, b]}",), 24 + 256),
        (("{add: [a, b]}", "batch_norm"), 24 + 256 + 32),
        # What hangs on a alone does not wait for b, nor do those weights.
        (("{batch_norm: null, input: a}",), 24 + 256),
    ],
)
def test_what_waits_for_the_last_matrix_operator(last: tuple[str, ...], after: int) -> None:
    """Two convolutions on one input: a takes 1024 seconds, b half of one and has 8 bytes of filters and 16 of biases."""
    layers = ("{conv: 4, kernel: 1, name: a}", "{conv: 4, kernel: 1, groups: 2, input: input, name: b}", *last)
    hardware = replace(tiny_hardware(1), matrix=Engine(2048.0, 0.0, (("pointwise", 1 / 1024),)))
    graph = build_graph(chain(*layers))
    assert capacity_bound_s(graph, make_plan(graph, SEED, "layerwise"), hardware) == 1024 + after - 1


class State(NamedTuple):
    """The tiny machine between two ticks: which operator runs, its ticks done, and the bytes that have crossed.

    `crossed` are those of the network's input, then three for each operator: its filters, its batch norm, its output.
    """

    op: int
    done: int
    crossed: tuple[int, ...]


def share(size: int, done: int, ticks: int) -> int:
    """Of bytes that belong to equal parts of an operator's time, how many are wholly behind it after so many ticks."""
    return size * done // ticks


def crossings(state: State, everything: tuple[int, ...], rate: int) -> Iterator[State]:
    """The state after each way to use the bus for one tick."""
    yield state
    if rate:
        for place, crossed in enumerate(state.crossed):
            if crossed < everything[place]:
                after = (*state.crossed[:place], crossed + 1, *state.crossed[place + 1 :])
                yield from crossings(state._replace(crossed=after), everything, rate - 1)


def worked(tiny: Tiny, state: State) -> State:
    """The state after a tick of the matrix unit, which works if it can: that opens more ways and closes none."""
    if state.op == len(tiny.ops):
        return state
    op, done = tiny.ops[state.op], state.done + 1
    touched = -share(-op.filters, done, op.ticks)
    inputs = -share(-tiny.input_bytes, done, op.ticks) if state.op == 0 else 0
    if state.crossed[3 * state.op + 1] < touched or state.crossed[0] < inputs:
        return state
    return State(state.op + 1, 0, state.crossed) if done == op.ticks else state._replace(done=done)


def is_possible(tiny: Tiny, state: State) -> bool:
    """Whether all that is on chip has room, and no output has left that was not made. Maps take no room.

    Filters are there until their share of the work is done, batch norms until their operator has begun.
    """
    room = tiny.capacity
    for place, op in enumerate(tiny.ops):
        filters, norm, output = state.crossed[3 * place + 1 : 3 * place + 4]
        done = op.ticks if place < state.op else state.done if place == state.op else 0
        room -= filters - share(op.filters, done, op.ticks) + (0 if done else norm)
        if output > share(op.output, done, op.ticks):
            return False
    return room >= 0


def shortest_run(tiny: Tiny) -> int | None:
    """The fewest ticks of any schedule, by breadth-first search over all of them; None if there is no room to work at all.

    More generous than any real machine: maps need no room; a byte is used, or leaves, in the tick in which it crosses or is
    made; filters go as soon as their share of the work is done, batch norms once they find anything to work on. To drop bytes
    unused and load them again is never better than to leave the bus idle the first time: such schedules are left out.
    """
    everything = (tiny.input_bytes, *(size for op in tiny.ops for size in (op.filters, op.norm, op.output)))
    front = seen = {State(0, 0, (0,) * len(everything))}
    ticks = 0
    while front:
        if State(len(tiny.ops), 0, everything) in front:
            return ticks
        found = {worked(tiny, after) for state in front for after in crossings(state, everything, tiny.rate)} - seen
        front = {state for state in found if is_possible(tiny, state)}
        seen = seen | front
        ticks += 1
    return None


def random_tiny(random: Random) -> Tiny:
    """Two to four operators, with room for what each needs at once."""
    ops = []
    for left in range(random.choice([2, 3, 3, 4]) - 1, -1, -1):
        output = random.randint(1, 3) if not left or random.random() < 0.2 else 0
        ops.append(Op(random.randint(1, 5), random.choice([1, 2, 5, 8]), output, random.choice([0, 0, 0, 0, 0, 2])))
    most = max(math.ceil(op.filters / op.ticks) for op in ops)
    return Tiny(tuple(ops), random.randint(1, 2), random.randint(most, 5), random.choice([1, 1, 1, 2]))


def test_no_schedule_of_the_tiny_machine_beats_the_bound() -> None:
    """And many reach it, in whole ticks: most where the simple bound is the bus's, many where even the best needs far more than that."""
    random, over = Random(0), dict[str, list[int]](bus=[], far=[])
    for _ in range(200):
        tiny = random_tiny(random)
        shortest, hardware = shortest_run(tiny), tiny_hardware(tiny.capacity, tiny.rate)
        graph, plan = tiny_case(tiny)
        bound, simple = capacity_bound_s(graph, plan, hardware), bound_times(graph, hardware, rates_of(hardware))
        assert shortest is not None
        assert max(simple) <= bound <= shortest + 1e-9, tiny
        ticks = shortest - math.ceil(bound - 1e-9)
        if max(simple) == simple[0]:
            over["bus"].append(ticks)
        if shortest >= max(simple) + 2:
            over["far"].append(ticks)
    for kind, reached, nearly in (("bus", 0.8, 0.95), ("far", 0.5, 0.85)):
        assert len(over[kind]) > 30
        assert sum(ticks == 0 for ticks in over[kind]) > reached * len(over[kind])
        assert sum(ticks <= 1 for ticks in over[kind]) > nearly * len(over[kind])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("alpha", [1, 0.5, 0.25])
def test_every_network_stands_between_its_bounds(network: str, alpha: float) -> None:
    graph, bounds = build_graph(load_network(network), alpha), []
    for kib in (32, 64, 128, 256, 1024, 16384):
        hardware = replace(SEED, sram_capacity_bytes=kib * 1024)
        try:
            total = estimate(graph, make_plan(graph, hardware), hardware).total
        except CapacityError:
            continue
        assert total.bound_time_s <= total.capacity_bound_time_s <= total.serial_time_s * (1 + 1e-12)
        bounds.append(total.capacity_bound_time_s)
    assert bounds == sorted(bounds, reverse=True)  # more room never raises it
    assert bounds[-1] == pytest.approx(total.bound_time_s, rel=0.01)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(networks(), st.integers(1, 100), st.sampled_from([1e3, 1e6, 1e9]), st.sampled_from([1e3, 1e6, 1e9]))
def test_generated_networks_stand_between_their_bounds(graph: Graph, percent: int, bandwidth: float, throughput: float) -> None:
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    hardware = replace(SEED, sram_capacity_bytes=math.ceil(most * percent / 100), bus_bandwidth_bytes_per_s=bandwidth)
    hardware = replace(hardware, matrix=Engine(throughput, 0.0, (("depthwise", 0.25),)), vector=Engine(throughput / 10))
    for machine in (hardware, replace(hardware, fused=("batch_norm",))):
        try:
            total = estimate(graph, make_plan(graph, machine), machine).total
        except CapacityError:
            reject()
        assert total.bound_time_s <= total.capacity_bound_time_s <= total.serial_time_s * (1 + 1e-12)


def test_vgg16_layer_by_layer() -> None:
    """157.6 ms on the papers' machine, computed apart from this program; 138.5 ms for any order of the work."""
    total = analyze(ROOT / "tests" / "data" / "vgg16.yaml").total
    assert round(total.bound_time_s * 1e3, 1) == 138.5
    assert round(total.capacity_bound_time_s * 1e3, 1) == 157.6


@pytest.mark.parametrize(
    ("sram", "policy", "sentence"),
    [
        ("1 MiB", "serial", None),
        ("64 KiB", "serial", "With 64 KiB of SRAM, this plan's layers, one after another, take at least 4.590 ms."),
        ("64 KiB", "overlap", "With 64 KiB of SRAM, this plan's segments of fused layers, one after another, take at least 4.531 ms."),
    ],
)
def test_the_sram_is_named_where_it_sets_the_higher_bound(sram: str, policy: Policy, sentence: str | None) -> None:
    """Never as a time that no schedule beats: fused schedules do."""
    found = sentences(analyze("mobilenet_v1", seed_with(f"internal_memory.capacity={sram}"), policy))
    assert [line for line in found if "one after another" in line] == ([sentence] if sentence else [])
    assert [line for line in found if "No schedule beats" in line] == [found[1]]
