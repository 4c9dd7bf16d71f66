"""What to buy next: the time that more of each resource saves, from simulated time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise
from math import log
from typing import Literal, assert_never

import numpy as np

from mnsim.graph.model import Graph
from mnsim.interpreters.cost import Estimate, estimate
from mnsim.interpreters.recurrence import Array, simulated_times_s
from mnsim.pipeline import Planned
from mnsim.plan.residency import make_plan
from mnsim.program.check import check
from mnsim.program.lower import lower
from mnsim.program.model import Program
from mnsim.program.rates import Rates, rates_of
from mnsim.spec.records import Hardware

Resource = Literal["bandwidth", "sram", "matrix", "vector", "latency", "matrix_launch", "vector_launch"]
RESOURCES: tuple[Resource, ...] = ("bandwidth", "sram", "matrix", "vector", "latency", "matrix_launch", "vector_launch")
COSTS: tuple[Resource, ...] = ("latency", "matrix_launch", "vector_launch")  # less of them is better; 0 is a value that they can have
PAYS = 0.05  # a doubling is worth its while when it saves this share of the time
DOUBLINGS = 20
ENDLESS = 1e30  # times as fast is without limit
SAME = 1e-9  # times that differ by a smaller share differ by rounding only


@dataclass(frozen=True, slots=True)
class Gain:
    """What more of one resource saves, in seconds of simulated time; below 0, it takes longer.

    `now` is the amount that there is (bytes/s, bytes, operations/s, seconds). 10 % more and 2x are 10 % less and half of latency and
    launch overheads. `saved_at_most_s` is what the best amount saves, `at_most_amount` is that amount, None where it is without limit.
    No doubling beyond `worth_up_to_factor` saves 5 % of the time that is left; 1 means that none does, None that 20 doublings all do.
    `elasticity` is the share of time saved per share of resource added, as a ratio of logarithms: 1 where 10 % more makes it 1.1x as
    fast.
    """

    resource: Resource
    now: float
    saved_by_10_percent_s: float
    saved_by_2x_s: float
    saved_at_most_s: float
    at_most_amount: float | None
    worth_up_to_factor: float | None
    elasticity: float


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """A machine's simulated time on a network, and what each of its resources would gain, the first to buy first.

    `then` is what to buy next on the machine that has `worth_up_to_factor` times as much of the first; None where that says nothing.
    """

    estimate: Estimate
    simulated_time_s: float
    gains: tuple[Gain, ...]
    then: Resource | None


def sizes_of_sram(planned: Planned) -> int:
    """How many sizes of the SRAM `sensitivity` makes a program for, before it looks beyond the first purchase."""
    return 1 + len(list(_offers(planned.graph, planned.hardware, "sram")))


def sensitivity(planned: Planned, tell: Callable[[], None] = lambda: None) -> Sensitivity:
    """The gains sorted by what 10 % more saves, then by what 2x saves; a latency or an overhead of 0 has none.

    Rates change the times of one program, in one pass over all of them; each size of the SRAM has a plan and a program of its own,
    and `tell` is called when one has been simulated. Raises CapacityError where the plan for more SRAM has maps that do not fit
    external memory, ProgramError where lowering went wrong.
    """
    bench, hardware = _Bench(planned, tell), planned.hardware
    offers = {resource: tuple(_offers(planned.graph, hardware, resource)) for resource in resources_of(hardware)}
    times = iter(bench.times_s([hardware, *chain.from_iterable(offers.values())]))
    now_s = next(times)
    gains = [_gain(hardware, resource, offered, [now_s, *(next(times) for _ in offered)]) for resource, offered in offers.items()]
    gains.sort(key=lambda gain: (-gain.saved_by_10_percent_s, -gain.saved_by_2x_s))
    found = estimate(planned.graph, planned.plan, hardware)
    return Sensitivity(found, now_s, tuple(gains), _then(bench, hardware, gains[0]))


def resources_of(hardware: Hardware) -> tuple[Resource, ...]:
    """The resources that there is anything of."""
    return tuple(resource for resource in RESOURCES if amount_of(hardware, resource))


def amount_of(hardware: Hardware, resource: Resource) -> float:
    """How much of a resource there is: bytes/s, bytes, operations/s, seconds."""
    match resource:
        case "bandwidth":
            return hardware.bus_bandwidth_bytes_per_s
        case "sram":
            return hardware.sram_capacity_bytes
        case "matrix":
            return hardware.matrix.throughput_per_s
        case "vector":
            return hardware.vector.throughput_per_s
        case "latency":
            return hardware.external_latency_s
        case "matrix_launch":
            return hardware.matrix.launch_overhead_s
        case "vector_launch":
            return hardware.vector.launch_overhead_s
        case _:
            assert_never(resource)


def with_amount(hardware: Hardware, resource: Resource, amount: float) -> Hardware:
    """The hardware with so much of a resource; SRAM has whole bytes."""
    match resource:
        case "bandwidth":
            return replace(hardware, bus_bandwidth_bytes_per_s=amount)
        case "sram":
            return replace(hardware, sram_capacity_bytes=round(amount))
        case "matrix":
            return replace(hardware, matrix=replace(hardware.matrix, throughput_per_s=amount))
        case "vector":
            return replace(hardware, vector=replace(hardware.vector, throughput_per_s=amount))
        case "latency":
            return replace(hardware, external_latency_s=amount)
        case "matrix_launch":
            return replace(hardware, matrix=replace(hardware.matrix, launch_overhead_s=amount))
        case "vector_launch":
            return replace(hardware, vector=replace(hardware.vector, launch_overhead_s=amount))
        case _:
            assert_never(resource)


def _scaled(hardware: Hardware, resource: Resource, multiplier: float) -> Hardware:
    return with_amount(hardware, resource, amount_of(hardware, resource) * multiplier)


def _tenth_more(hardware: Hardware, resource: Resource) -> Hardware:
    return _scaled(hardware, resource, 0.9 if resource in COSTS else 1.1)


def _times_more(hardware: Hardware, resource: Resource, factor: float) -> Hardware:
    return _scaled(hardware, resource, 1 / factor if resource in COSTS else factor)


def _offers(graph: Graph, hardware: Hardware, resource: Resource) -> Iterator[Hardware]:
    """Machines with 10 % more; with 2, 4, 8, ... times as much; and, of all but SRAM, without limit.

    SRAM ends with the first that holds all weights and maps at once.
    """
    yield _tenth_more(hardware, resource)
    if resource != "sram":
        yield from (_times_more(hardware, resource, 2**power) for power in range(1, DOUBLINGS + 1))
        yield _scaled(hardware, resource, 0 if resource in COSTS else ENDLESS)
        return
    everything = sum(operator.weight_bytes for operator in graph.operators) + sum(storage.size_bytes for storage in graph.storages)
    machine = hardware
    while machine is hardware or machine.sram_capacity_bytes < everything:
        machine = _times_more(machine, resource, 2)
        yield machine


def _gain(hardware: Hardware, resource: Resource, offered: Sequence[Hardware], times: Sequence[float]) -> Gain:
    """The gain by one resource, from the time now and the times of the machines that are offered."""
    now_s, tenth_s, twice_s, *_ = times
    best_s = min(times)
    amounts = [amount_of(machine, resource) for machine in (hardware, *offered)]
    now, tenth, *_ = amounts
    most: float | None
    worth: float | None
    if resource == "sram":
        most = next(amount for amount, time in zip(amounts, times, strict=True) if time <= best_s * (1 + SAME))
        worth = _worth([now_s, *times[2:]])
    else:
        most = 0.0 if resource in COSTS else None
        worth = _worth([now_s, *times[2:-1]])  # the last is without limit
        worth = None if worth == 2**DOUBLINGS else worth
    elasticity = log(now_s / tenth_s) / abs(log(tenth / now)) if tenth != now else 0.0
    return Gain(resource, now, now_s - tenth_s, now_s - twice_s, now_s - best_s, most, worth, elasticity)


def _worth(times: Sequence[float]) -> float:
    """The factor beyond which no doubling pays. Less can always be bought, so that a slower plan for more SRAM counts for nothing."""
    pays = [before - after >= PAYS * before for before, after in pairwise(accumulate(times, min))]
    return 2.0 ** max((power for power, does in enumerate(pays, 1) if does), default=0)


def _then(bench: "_Bench", hardware: Hardware, first: Gain) -> Resource | None:
    """What 10 % more saves most of, once so much of the first has been bought as is worth it."""
    if first.worth_up_to_factor in (None, 1):
        return None
    machine = _times_more(hardware, first.resource, first.worth_up_to_factor)
    resources = resources_of(machine)
    now_s, *times = bench.times_s([machine, *(_tenth_more(machine, resource) for resource in resources)])
    best_s = min(times)
    best = resources[times.index(best_s)]
    return best if best_s < now_s and best != first.resource else None


class _Bench:
    """One network under one policy on many machines: a program for each size of the SRAM, made once."""

    def __init__(self, planned: Planned, tell: Callable[[], None]) -> None:
        self.planned = planned
        self.tell = tell
        self.programs: dict[int, Program] = {}

    def times_s(self, machines: Sequence[Hardware]) -> list[float]:
        """The simulated time on each machine: one pass for each size of the SRAM."""
        places: dict[int, list[int]] = {}
        for place, machine in enumerate(machines):
            places.setdefault(machine.sram_capacity_bytes, []).append(place)
        times = [0.0] * len(machines)
        for alike in places.values():
            found = simulated_times_s(self._program(machines[alike[0]]), _stacked([rates_of(machines[place]) for place in alike]))
            for place, time in zip(alike, found.tolist(), strict=True):
                times[place] = time
            self.tell()
        return times

    def _program(self, machine: Hardware) -> Program:
        capacity = machine.sram_capacity_bytes
        if capacity not in self.programs:
            graph, _, plan = self.planned
            plan = plan if plan.sram_capacity_bytes == capacity else make_plan(graph, machine, plan.policy)
            program = lower(graph, plan)
            check(program, machine)
            self.programs[capacity] = program
        return self.programs[capacity]


def _stacked(rates: Sequence[Rates[float]]) -> Rates[Array]:
    """The rates of several machines as arrays; their efficiencies are the same."""
    return Rates(
        np.array([each.bus_bandwidth_bytes_per_s for each in rates]),
        np.array([each.external_latency_s for each in rates]),
        np.array([each.matrix_throughput_per_s for each in rates]),
        np.array([each.matrix_launch_overhead_s for each in rates]),
        np.array([each.vector_throughput_per_s for each in rates]),
        np.array([each.vector_launch_overhead_s for each in rates]),
        rates[0].matrix_efficiency,
        rates[0].vector_efficiency,
    )
