"""What to buy next: the time that more of each resource saves, from simulated time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise
from math import log

from mnsim.analysis.cost import Estimate, estimate
from mnsim.choice import Contest, arrays_of, choose
from mnsim.clocks.rates import rates_of
from mnsim.graph.model import Graph
from mnsim.operators.quantities import RESOURCES
from mnsim.pipeline import Planned, serial_policy_time_s
from mnsim.plan.model import Plan
from mnsim.plan.residency import make_plan
from mnsim.spec import records
from mnsim.spec.records import Hardware

ResourceName = str  # a name in RESOURCES
COSTS = tuple(name for name, quantity in RESOURCES.items() if quantity.less_is_better)  # they can be 0
SIZES = tuple(name for name, quantity in RESOURCES.items() if quantity.role == "capacity")  # each amount has a plan of its own
(_SRAM,) = SIZES
MORE = 1.25  # the factor that ranks them: times as much of a resource, or as little of a cost
PAYS = 0.05  # a doubling pays when it saves this share of the time
ENOUGH = 0.005  # a size of the SRAM is enough when the best one saves no more than this share of the time beyond it
KIB = 1024  # bytes; sizes looked for between two others are multiples of it
DOUBLINGS = 20
ENDLESS = 1e30  # times as fast stands for an endless amount


@dataclass(frozen=True, slots=True)
class Gain:
    """The time that more of one resource saves, in seconds of simulated time; below 0, it takes longer.

    `now` is the machine's amount (bytes/s, bytes, operations/s, seconds). 25 % more and 2x are a fifth less
    (1 / 1.25) and half of latency and launch overheads. `saved_at_most_s` is saved by the best amount tried,
    endless ones and none of a latency or an overhead among them. No doubling beyond
    `worth_up_to_factor` saves 5 % of the time that is left; 1 means that none does, None that 20 doublings
    all do. `elasticity` is the share of time saved per share of resource added, as a ratio of logarithms: 1
    where 25 % more makes it 1.25x as fast. `enough_amount`, of SRAM alone, is the smallest size tried that
    saves as much as the best one, but for 0.5 % of the time now; `saved_by_enough_s` is its saving.
    """

    resource: ResourceName
    now: float
    saved_by_25_percent_s: float
    saved_by_2x_s: float
    saved_at_most_s: float
    worth_up_to_factor: float | None
    elasticity: float
    enough_amount: float | None = None
    saved_by_enough_s: float | None = None


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """A machine's simulated time on a network, and the gains of its resources, the first to buy first.

    `then` is the next to buy for the machine that has `enough_amount` of the first, if that is SRAM, or else
    `worth_up_to_factor` times as much. It is None where that amount is the present one or endless, where the
    first is still first, and where nothing saves anything. `serial_policy_time_s` is the time of policy
    serial's plan on the machine as it is.
    """

    estimate: Estimate
    simulated_time_s: float
    gains: tuple[Gain, ...]
    then: ResourceName | None
    serial_policy_time_s: float


def most_sizes_of_sram(planned: Planned) -> int:
    """The most sizes of the SRAM for which `sensitivity` makes a program, before it looks beyond the first
    purchase.
    """
    sizes = sorted({planned.hardware.sram_capacity_bytes, *map(_sram, _offers(planned.graph, planned.hardware, _SRAM))})
    halvings = [((high - 1) // KIB - low // KIB).bit_length() for low, high in pairwise(sizes)]
    return len(sizes) + max(halvings)


def sensitivity(planned: Planned, tell: Callable[[], None] = lambda: None) -> Sensitivity:
    """The gains sorted by the saving of 25 % more, then of 2x; a latency or an overhead of 0 has none.

    Rates change the times of a few programs, in one pass over all of them, and so which is taken. Each
    size of the SRAM has candidates of its own, and `tell` is called when one has been simulated. Raises
    CapacityError where the plan for more SRAM has maps that do not fit external memory, ProgramError where
    lowering went wrong.
    """
    bench, hardware = _Bench(planned, tell), planned.hardware
    offers = {resource: tuple(_offers(planned.graph, hardware, resource)) for resource in resources_of(hardware)}
    times = iter(bench.times_s([hardware, *chain.from_iterable(offers.values())]))
    now_s = next(times)
    gains = []
    for resource, offered in offers.items():
        found = [now_s, *(next(times) for _ in offered)]
        if resource in SIZES:
            tried = dict(zip(map(_sram, (hardware, *offered)), found, strict=True))
            gains.append(_gain_by_sram(hardware, found, sizes_between(bench, hardware, tried)))
        else:
            gains.append(_gain_by_rate(hardware, resource, found))
    gains.sort(key=lambda gain: (-gain.saved_by_25_percent_s, -gain.saved_by_2x_s))
    return Sensitivity(
        estimate(planned.graph, bench.plan(hardware), hardware),
        now_s,
        tuple(gains),
        _then(bench, hardware, gains[0]),
        serial_policy_time_s(planned),
    )


def resources_of(hardware: Hardware) -> tuple[ResourceName, ...]:
    """The resources of which the hardware has an amount."""
    return tuple(resource for resource in RESOURCES if amount_of(hardware, resource))


def amount_of(hardware: Hardware, resource: ResourceName) -> float:
    """The hardware's amount of a resource: bytes/s, bytes, operations/s, seconds."""
    amount: float = records.amount_of(hardware, RESOURCES[resource])
    return amount


def with_amount(hardware: Hardware, resource: ResourceName, amount: float) -> Hardware:
    """The hardware with this amount of a resource; SRAM has whole bytes."""
    return records.with_amount(hardware, RESOURCES[resource], round(amount) if resource in SIZES else amount)


def _scaled(hardware: Hardware, resource: ResourceName, multiplier: float) -> Hardware:
    return with_amount(hardware, resource, amount_of(hardware, resource) * multiplier)


def _times_more(hardware: Hardware, resource: ResourceName, factor: float) -> Hardware:
    return _scaled(hardware, resource, 1 / factor if resource in COSTS else factor)


def _sram(hardware: Hardware) -> int:
    return hardware.sram_capacity_bytes


def _offers(graph: Graph, hardware: Hardware, resource: ResourceName) -> Iterator[Hardware]:
    """Machines with 25 % more; with 2, 4, 8, ... times as much; and, of all but SRAM, an endless amount.

    SRAM ends with the first size that holds all weights and maps at once.
    """
    yield _times_more(hardware, resource, MORE)
    if resource not in SIZES:
        yield from (_times_more(hardware, resource, 2**power) for power in range(1, DOUBLINGS + 1))
        yield _scaled(hardware, resource, 0 if resource in COSTS else ENDLESS)
        return
    everything = sum(operator.weight_bytes for operator in graph.operators) + sum(storage.size_bytes for storage in graph.storages)
    machine = hardware
    while machine is hardware or machine.sram_capacity_bytes < everything:
        machine = _times_more(machine, resource, 2)
        yield machine


def _gain(hardware: Hardware, resource: ResourceName, times: Sequence[float], best_s: float) -> Gain:
    """The gain by one resource: from the times now, with 25 % more, and with 2, 4, 8, ... times as much,
    and the best time.
    """
    now_s, more_s, *doubled = times
    now, more = amount_of(hardware, resource), amount_of(_times_more(hardware, resource, MORE), resource)
    elasticity = log(now_s / more_s) / abs(log(more / now)) if more != now else 0.0
    return Gain(resource, now, now_s - more_s, now_s - doubled[0], now_s - best_s, _worth([now_s, *doubled]), elasticity)


def _gain_by_rate(hardware: Hardware, resource: ResourceName, times: Sequence[float]) -> Gain:
    """The gain by all but SRAM; the last time is that of an endless amount."""
    gain = _gain(hardware, resource, times[:-1], min(times))
    return replace(gain, worth_up_to_factor=None) if gain.worth_up_to_factor == 2**DOUBLINGS else gain


def _gain_by_sram(hardware: Hardware, times: Sequence[float], tried: Mapping[int, float]) -> Gain:
    """The gain by more SRAM; `tried` has the time of each size that was simulated."""
    enough = _enough(tried)
    gain = _gain(hardware, _SRAM, times, min(tried.values()))
    return replace(gain, enough_amount=enough, saved_by_enough_s=times[0] - tried[enough])


def _enough(tried: Mapping[int, float]) -> int:
    """The smallest size whose time is that of the best, but for ENOUGH of the time now, which is the smallest
    size's.
    """
    longest_s = min(tried.values()) + ENOUGH * tried[min(tried)]
    return min(size for size, time in tried.items() if time <= longest_s)


def sizes_between(bench: "_Bench", hardware: Hardware, tried: Mapping[int, float]) -> dict[int, float]:
    """The sizes tried and their times, and those of a bisection for the smallest that is enough, to 1 KiB.

    `high` is always enough, and no size tried below it is, up to `low`. That stays so where a middle is
    better than all before: it becomes `high`, and smaller sizes are even less enough. Time need not fall as
    SRAM grows: a size below `low` that was not tried may be enough.
    """
    found = dict(tried)
    while True:
        high = _enough(found)
        low = max((size for size in found if size < high), default=high)
        first, last = low // KIB + 1, (high - 1) // KIB  # the multiples between them
        if first > last:
            return found
        middle = (first + last) // 2 * KIB
        (found[middle],) = bench.times_s([with_amount(hardware, _SRAM, middle)])


def _worth(times: Sequence[float]) -> float:
    """The factor beyond which no doubling pays. A smaller amount can always be bought, so a slower plan for
    more SRAM counts for nothing.
    """
    pays = [before - after >= PAYS * before for before, after in pairwise(accumulate(times, min))]
    return 2.0 ** max((power for power, does in enumerate(pays, 1) if does), default=0)


def _then(bench: "_Bench", hardware: Hardware, first: Gain) -> ResourceName | None:
    """The best resource to buy once there is enough of the first, or as much as is worth it."""
    if first.enough_amount is not None:
        machine = with_amount(hardware, first.resource, first.enough_amount)
    elif first.worth_up_to_factor is not None:
        machine = _times_more(hardware, first.resource, first.worth_up_to_factor)
    else:
        return None
    if machine == hardware:
        return None
    resources = resources_of(machine)
    now_s, *times = bench.times_s([machine, *(_times_more(machine, resource, MORE) for resource in resources)])
    best_s = min(times)
    best = resources[times.index(best_s)]
    return best if best_s < now_s and best != first.resource else None


class _Bench:
    """One network under one policy on many machines, with the same candidates for each size of the SRAM."""

    def __init__(self, planned: Planned, tell: Callable[[], None]) -> None:
        self.planned = planned
        self.tell = tell
        self.contests: dict[int, Contest] = {}

    def times_s(self, machines: Sequence[Hardware]) -> list[float]:
        """The simulated time on each machine: one pass for each size of the SRAM."""
        places: dict[int, list[int]] = {}
        for place, machine in enumerate(machines):
            places.setdefault(machine.sram_capacity_bytes, []).append(place)
        times = [0.0] * len(machines)
        for alike in places.values():
            contest = self._contest(machines[alike[0]])
            found = choose(contest, arrays_of([rates_of(machines[place]) for place in alike])).times_s
            for place, time in zip(alike, found.tolist(), strict=True):
                times[place] = time
            self.tell()
        return times

    def plan(self, machine: Hardware) -> Plan:
        """The plan that the clock takes on a machine."""
        contest = self._contest(machine)
        return contest.plan(int(choose(contest, arrays_of([rates_of(machine)])).numbers[0]))

    def _contest(self, machine: Hardware) -> Contest:
        capacity = machine.sram_capacity_bytes
        if capacity not in self.contests:
            graph, _, first, program, _ = self.planned
            if program is not None or capacity != first.sram_capacity_bytes:
                first = make_plan(graph, machine, first.policy)  # one that was chosen need not be the first candidate
            self.contests[capacity] = Contest(graph, machine, first)
        return self.contests[capacity]
