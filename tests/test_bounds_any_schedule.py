"""The largest bound for any schedule: by hand, against every schedule of a tiny machine that may fuse as it likes, and
under real fused plans.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mnsim.analysis.any_schedule import any_schedule_bound_time_s
from mnsim.analysis.bounds import bound_times
from mnsim.clocks.rates import make_rates, rates_of
from mnsim.clocks.simulate import simulate
from mnsim.errors import CapacityError, LengthError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.pipeline import Planned, analyze, choose_plan, plan_network
from mnsim.plan.residency import make_plan
from mnsim.spec.load import load_hardware, load_network
from mnsim.spec.records import Engine, Hardware, own_rates
from tests.element_oracle import PADDING, Elements
from tests.generators import networks
from tests.helpers import KINDS_OF_NETWORKS, NETWORKS, ROOT, chain, seed_with

SEED = load_hardware("seed")
DATA = ROOT / "tests" / "data"
FAST = 1e-9  # the share of a slow operation's time that a fast one takes


def bound_s(graph: Graph, hardware: Hardware) -> float:
    return any_schedule_bound_time_s(graph, hardware, rates_of(hardware))


def simple_bound_s(graph: Graph, hardware: Hardware) -> float:
    return max(bound_times(graph, hardware, rates_of(hardware)))


def tiny_hardware(capacity: int) -> Hardware:
    """A byte a second, a MAC of a convolution with a window a second, and all else in no time."""
    slow = Engine(2.0 / FAST, 0.0, (("conv", FAST),))
    return replace(SEED, bus_bandwidth_bytes_per_s=1.0, sram_capacity_bytes=capacity, matrix=slow, vector=Engine(1e30))


class State(NamedTuple):
    """The tiny machine between two ticks, a bit each: elements that are complete, terms that are added, weights in SRAM;
    and how many bytes of outputs have left.
    """

    complete: int
    added: int
    chip: int
    stored: int


class Term(NamedTuple):
    """A term of a sum: what it must find complete, its weight (-1: none), and whether it takes a tick."""

    needs: int
    weight: int
    is_slow: bool


class TinyMachine:
    """A network on a machine that is more generous than any: maps need no room, operations go one by one in any order,
    a byte can be used in the tick in which it comes, and only multiplications of convolutions with a window take time.
    """

    def __init__(self, graph: Graph, capacity: int) -> None:
        self.graph, self.capacity = graph, capacity
        self.terms: list[Term] = []
        self.sums: list[tuple[int, int]] = []  # the element, and its terms; in an order that can run
        self.first = [0]  # the number of each map's first element
        elements = Elements(graph)
        for size in elements.sizes:
            self.first.append(self.first[-1] + size)
        weights: dict[tuple[int, int], int] = {}
        for operator, found in zip(graph.operators, elements.terms, strict=True):
            of: dict[int, int] = {}
            for output, source, read, weight in zip(found.output, found.source, found.read, found.weight, strict=True):
                needs = 0 if read == PADDING else 1 << (self.first[source] + int(read))
                number = weights.setdefault((operator.index, int(weight)), len(weights)) if weight >= 0 else -1
                of[int(output)] = of.get(int(output), 0) | 1 << len(self.terms)
                self.terms.append(Term(needs, number, operator.label == "conv"))
            self.sums += [(1 << (self.first[operator.output] + output), terms) for output, terms in of.items()]
        self.users = [0] * len(weights)  # the terms of each weight
        for place, term in enumerate(self.terms):
            if term.weight >= 0:
                self.users[term.weight] |= 1 << place
        self.all_elements, self.all_terms = (1 << self.first[-1]) - 1, (1 << len(self.terms)) - 1
        self.inputs = (1 << elements.sizes[0]) - 1
        self.outputs = sum(((1 << elements.sizes[each]) - 1) << self.first[each] for each in graph.outputs)

    @cached_property
    def slow(self) -> int:
        return sum(1 << place for place, term in enumerate(self.terms) if term.is_slow)

    def settled(self, state: State) -> State:
        """After all that takes no time. Weights that have no use any more go."""
        complete, added, chip, stored = state
        changed = True
        while changed:
            before = complete, added
            for place, term in enumerate(self.terms):
                if not (added >> place & 1 or term.is_slow) and self._is_ready(term, complete, chip):
                    added |= 1 << place
            for element, terms in self.sums:
                if added & terms == terms:
                    complete |= element
            changed = before != (complete, added)
        kept = sum(1 << weight for weight, users in enumerate(self.users) if chip >> weight & 1 and users & ~added)
        return State(complete, added, kept, stored)

    @staticmethod
    def _is_ready(term: Term, complete: int, chip: int) -> bool:
        return term.needs & ~complete == 0 and (term.weight < 0 or bool(chip >> term.weight & 1))

    def crossings(self, state: State) -> Iterator[State]:
        """After each use of the bus for a tick: none; an input; a weight, in place of another where there is no room; an
        output that was there before.
        """
        yield state
        for bit in _bits(self.inputs & ~state.complete):
            yield state._replace(complete=state.complete | 1 << bit)
        if (state.complete & self.outputs).bit_count() > state.stored:
            yield state._replace(stored=state.stored + 1)
        for weight, users in enumerate(self.users):
            if users & ~state.added and not state.chip >> weight & 1:
                chip = state.chip | 1 << weight
                if chip.bit_count() <= self.capacity:
                    yield state._replace(chip=chip)
                else:
                    yield from (state._replace(chip=chip & ~(1 << other)) for other in _bits(state.chip))

    def worked(self, state: State) -> Iterator[State]:
        """After a tick of the matrix unit, which works if it can."""
        is_idle = True
        for place in _bits(self.slow & ~state.added):
            if self._is_ready(self.terms[place], state.complete, state.chip):
                is_idle = False
                yield state._replace(added=state.added | 1 << place)
        if is_idle:
            yield state

    def least_left(self, state: State) -> int:
        """Ticks that are left at the least: each byte has to cross, each slow term to be added."""
        weights = sum(bool(users & ~state.added) and not state.chip >> weight & 1 for weight, users in enumerate(self.users))
        left = (self.inputs & ~state.complete).bit_count() + weights + self.outputs.bit_count() - state.stored
        return max(left, (self.slow & ~state.added).bit_count())

    def can_end_in(self, ticks: int) -> bool:
        """Whether any schedule ends in so many ticks: all of them, tick by tick."""
        front = {self.settled(State(0, 0, 0, 0))}
        for left in range(ticks, 0, -1):
            if any(self.least_left(state) == 0 for state in front):
                return True
            crossed = {self.settled(after) for state in front for after in self.crossings(state)}
            found = {after for state in crossed if self.least_left(state) <= left for after in self.worked(state)}
            front = {state for state in map(self.settled, found) if self.least_left(state) < left}
        return any(self.least_left(state) == 0 for state in front)


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


BARE = "bias: false"
SLOW = f"{{conv: 1, kernel: [3, 1], {BARE}, name: slow}}"
POOLED = ("global_avg_pool", f"{{dense: 1, {BARE}}}")


def pointwise(channels: int, more: str = "") -> str:
    return f"{{conv: {channels}, kernel: 1, {BARE}{more}}}"


TINY = {
    "last element": (SLOW, pointwise(2), *POOLED),
    "straddle": (SLOW, pointwise(3), pointwise(1), f"{{dense: 1, {BARE}}}"),
    "gaps": (SLOW, pointwise(3, ", stride: 2"), *POOLED),
    "depthwise": (SLOW, f"{{depthwise: 1, multiplier: 2, {BARE}}}", *POOLED),
    "groups": (SLOW, pointwise(2), pointwise(2, ", groups: 2"), *POOLED),
    "concat": (SLOW, pointwise(1, ", name: a"), pointwise(1, ", input: slow, name: b"), "{concat: [a, b]}", *POOLED),
    "add": (SLOW, pointwise(2, ", name: a"), pointwise(2, ", input: slow, name: b"), "{add: [a, b]}", *POOLED),
    "two outputs": (SLOW, pointwise(2), "global_max_pool", pointwise(2, ", input: slow"), "global_avg_pool"),
    "pool": (SLOW, "{max_pool: [2, 1], stride: 1}", pointwise(2), *POOLED),
}


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("capacity", [1, 2])
def test_no_schedule_of_the_tiny_machine_beats_the_bound(name: str, capacity: int) -> None:
    """By search over all of them."""
    graph, hardware = build_graph(chain(*TINY[name], shape="[3, 1, 1]")), tiny_hardware(capacity)
    bound, simple = bound_s(graph, hardware), simple_bound_s(graph, hardware)
    assert bound >= simple + (name != "gaps") - 1e-6
    assert not TinyMachine(graph, capacity).can_end_in(math.ceil(bound - 1e-6) - 1)


@pytest.mark.parametrize("name", ["last element", "depthwise", "pool", "straddle", "two outputs"])
def test_a_schedule_of_the_tiny_machine_nearly_reaches_the_bound(name: str) -> None:
    """Two ticks above the simple bound no schedule ends, three above it one does: that what the bound adds is real."""
    graph, hardware = build_graph(chain(*TINY[name], shape="[3, 1, 1]")), tiny_hardware(1)
    assert bound_s(graph, hardware) == pytest.approx(simple_bound_s(graph, hardware) + 2, abs=1e-6)
    assert TinyMachine(graph, 1).can_end_in(math.ceil(bound_s(graph, hardware) - 1e-6) + 1)


def random_tiny(random: Random) -> Graph:
    """A slow convolution, then a few fast layers of few weights, in a chain or in two branches."""
    tail = []
    for _ in range(random.randint(1, 2)):
        stride = random.choice(["", "", ", stride: [2, 1]"])
        tail.append(
            random.choice([pointwise(random.randint(1, 3), stride), f"{{depthwise: 1{stride}, {BARE}}}", "{max_pool: [2, 1], stride: 1}"])
        )
    if random.random() < 0.4:
        other = pointwise(random.randint(1, 2), ", input: slow, name: other")
        tail.append(other)
    end = random.choice([POOLED, (f"{{dense: {random.randint(1, 2)}, {BARE}}}",), ("global_max_pool",)])
    return build_graph(chain(SLOW, *tail, *end, shape=random.choice(["[3, 1, 1]", "[2, 1, 1]"])))


def test_no_schedule_of_random_tiny_networks_beats_the_bound() -> None:
    random, searched = Random(7), 0
    while searched < 12:
        graph, capacity = random_tiny(random), random.choice([1, 1, 2])
        hardware = tiny_hardware(capacity)
        bound, simple, machine = bound_s(graph, hardware), simple_bound_s(graph, hardware), TinyMachine(graph, capacity)
        if len(machine.users) <= 11 and machine.slow.bit_count() <= 9 and simple + 0.5 < bound < simple + 3.5:
            assert not machine.can_end_in(math.ceil(bound - 1e-6) - 1), graph
            searched += 1


KIB = 1024
FIGURES = {  # milliseconds on the papers' machine: the simple bound, and the largest at 1 MiB, 512, 256 and 128 KiB of SRAM
    "bounds/resnet18": (11.854, 11.854, 12.143, 12.405, 12.536),
    "bounds/resnet50": (25.765, 26.222, 26.746, 27.008, 27.139),
    "bounds/mobilenet_v2": (3.694, 3.694, 3.694, 3.694, 3.735),
    "vgg16": (138.549, 147.463, 147.988, 148.250, 148.381),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_computed_apart_from_this_program(name: str) -> None:
    graph = build_graph(load_network(DATA / f"{name}.yaml"))
    simple, *largest = FIGURES[name]
    assert round(simple_bound_s(graph, SEED) * 1e3, 3) == simple
    machines = (replace(SEED, sram_capacity_bytes=size * KIB) for size in (1024, 512, 256, 128))
    assert [round(bound_s(graph, machine) * 1e3, 3) for machine in machines] == largest


def test_where_nothing_waits_the_bound_is_the_simple_one() -> None:
    """MobileNets' bus has as much to do as it can from the start."""
    for name in ("mobilenet_v1", "mobilenet_cifar"):
        graph = build_graph(load_network(name))
        for size in (1024, 128):
            machine = replace(SEED, sram_capacity_bytes=size * KIB)
            assert bound_s(graph, machine) == simple_bound_s(graph, machine)


@pytest.mark.parametrize("size", [256, 128])
def test_squeezenet_by_hand(size: int) -> None:
    """An element of the last pool: 64 filters of the squeeze layer read it, and all that they make is read by 256 filters
    of 1 x 1 and 256 of 3 x 3, in 4 of 9 places where it lies in a corner. What these make all filters of the last
    layer read.
    """
    graph = build_graph(load_network("squeezenet"))
    (last,) = (each for each in graph.operators if each.name == "squeeze9")
    computed_s = sum(2 * each.macs for each in graph.operators[: last.index]) / SEED.matrix.throughput_per_s
    left = 64 + 64 * 256 + 4 * 64 * 256 + 512 * 1000 - size * KIB + 1000
    found = bound_s(graph, replace(SEED, sram_capacity_bytes=size * KIB))
    assert found == pytest.approx(computed_s + left / SEED.bus_bandwidth_bytes_per_s, rel=1e-12)
    assert found > 1.05 * simple_bound_s(graph, SEED)


def test_a_chain_by_hand() -> None:
    """A convolution of 4 rows, then 6 filters on its channel, then 6 x 100 for the mean of each: t = 12, W = 6 + 600."""
    graph = build_graph(chain(SLOW, pointwise(6), "global_avg_pool", f"{{dense: 100, {BARE}}}", shape="[4, 1, 1]"))
    for capacity in (1, 5, 606, 700):
        before, after = 12, max(0, 606 - capacity) + 100
        assert bound_s(graph, tiny_hardware(capacity)) == pytest.approx(max(4 + 3 + 606 + 100, before + after), abs=1e-5)


def test_a_bias_may_be_used_before_and_a_batch_norm_may_not() -> None:
    """The sums of the second layer may start with their biases before the last element of the first is there."""
    bare = ("{conv: 1, kernel: [30, 1], bias: false}", "{conv: 2, kernel: 1, bias: %s, batch_norm: %s}", "global_avg_pool")
    for bias, norm, waits in (("false", "false", 2), ("true", "false", 2), ("false", "unfolded", 2 + 16), ("true", "unfolded", 2 + 16)):
        first, second, pool = bare
        graph = build_graph(chain(first, second % (bias, norm), pool, shape="[30, 1, 1]"))
        assert bound_s(graph, tiny_hardware(1)) == pytest.approx(900 + waits - 1 + 2, abs=1e-5)


def test_many_settings_at_once_are_each_to_the_last_bit() -> None:
    graph = build_graph(load_network(DATA / "vgg16.yaml"))
    machines = [
        replace(SEED, bus_bandwidth_bytes_per_s=bandwidth, matrix=Engine(peak, 0.0, (("conv", share),)))
        for bandwidth in (1e8, 1e9, 3e9)
        for peak, share in ((1e11, 0.5), (1e12, 0.9), (7e12, 0.3))
    ]
    columns = [own_rates(machine) for machine in machines]
    rates = make_rates({name: np.array([each[name] for each in columns]) for name in columns[0]})
    found = any_schedule_bound_time_s(graph, SEED, rates)
    assert found.tolist() == [bound_s(graph, machine) for machine in machines]
    assert len({value / simple_bound_s(graph, machine) for value, machine in zip(found.tolist(), machines, strict=True)}) > 3


@settings(max_examples=60, deadline=None, derandomize=True)
@given(networks(), st.integers(5, 100), st.sampled_from([1e6, 1e9]), st.sampled_from([1e6, 1e9]))
def test_no_plan_that_the_clock_takes_beats_the_bound(graph: Graph, percent: int, bandwidth: float, throughput: float) -> None:
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    hardware = replace(SEED, sram_capacity_bytes=math.ceil(most * percent / 100), bus_bandwidth_bytes_per_s=bandwidth)
    hardware = replace(hardware, matrix=Engine(throughput, 0.0, (("depthwise", 0.25),)), vector=Engine(throughput / 10))
    try:
        chosen = choose_plan(Planned(graph, hardware, make_plan(graph, hardware)))
    except (CapacityError, LengthError):
        reject()
    assert chosen.program is not None
    end_s = simulate(chosen.program, hardware).end_s
    assert simple_bound_s(graph, hardware) <= bound_s(graph, hardware) <= end_s * (1 + 1e-12)


@pytest.mark.parametrize("name", KINDS_OF_NETWORKS)
@pytest.mark.parametrize("size", [1024, 256])
def test_no_plan_of_a_bundled_network_beats_the_bound(name: str, size: int) -> None:
    chosen = choose_plan(plan_network(name, replace(SEED, sram_capacity_bytes=size * KIB)))
    assert chosen.program is not None
    assert bound_s(chosen.graph, chosen.hardware) <= simulate(chosen.program, chosen.hardware).end_s * (1 + 1e-12)


@pytest.mark.parametrize("network", NETWORKS)
def test_more_room_never_raises_it(network: str) -> None:
    graph = build_graph(load_network(network))
    found = [bound_s(graph, replace(SEED, sram_capacity_bytes=size * KIB)) for size in (16, 64, 256, 1024, 65536)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(simple_bound_s(graph, SEED), rel=2e-3)


def test_the_estimate_says_it_beside_the_others() -> None:
    total = analyze(DATA / "vgg16.yaml", seed_with("internal_memory.capacity=256 KiB")).total
    assert round(total.any_schedule_bound_time_s * 1e3, 2) == 148.25
    assert total.bound_time_s < total.any_schedule_bound_time_s
