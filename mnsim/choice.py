"""The choice among the candidates for a plan, by the clock: the one place where rates decide what runs.

For one machine or for many rates at once; the answer for a setting is the same, to the last bit, whatever
others it is asked together with.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnsim.analysis.bounds import bound_times, matrix_work, maximum
from mnsim.analysis.cost import LayerWork, engine_s, layer_works
from mnsim.clocks.rates import Number, Rates, make_rates
from mnsim.clocks.recurrence import Array, simulated_times_s
from mnsim.errors import LengthError
from mnsim.graph.model import Graph
from mnsim.lowering.lower import MOST_COMMANDS, count_commands, lower
from mnsim.plan.candidates import candidates
from mnsim.plan.model import Plan
from mnsim.program.check import check
from mnsim.program.model import Program
from mnsim.program.progress import Progress, untold
from mnsim.spec.records import BUS, MATRIX, VECTOR, Hardware

SAME = 0.005  # share of the time by which two plans are as good as each other: then fewer commands are better


class Candidate(NamedTuple):
    """A plan and its work on each engine: amounts by kind, and commands."""

    plan: Plan
    commands: int
    work: "dict[str, tuple[dict[str, int], int]]"


class Contest:
    """The candidates for one graph and capacity, `first` being the first of them. Each further one is
    planned when it is first looked at, and a program made when it is first simulated.
    """

    def __init__(self, graph: Graph, hardware: Hardware, first: Plan, progress: Progress = untold) -> None:
        self.graph = graph
        self.hardware = hardware
        self.progress = progress
        self._plans = candidates(graph, hardware, first.policy, first)
        self._found: list[Candidate] = []
        self._programs: dict[int, Program] = {}
        self._checked: set[int] = set()
        self.is_over = False  # all candidates have been looked at

    def all(self) -> Iterator[tuple[int, Candidate]]:
        """The candidates by number."""
        number = 0
        while True:
            if number == len(self._found):
                plan = next(self._plans, None)
                if plan is None:
                    self.is_over = True
                    return
                work = engine_work(layer_works(self.graph, plan, self.hardware.fused))
                self._found.append(Candidate(plan, count_commands(self.graph, plan), work))
            yield number, self._found[number]
            number += 1

    def looked_at(self) -> tuple[Candidate, ...]:
        """The candidates that have been looked at so far."""
        return tuple(self._found)

    def plan(self, number: int) -> Plan:
        """A candidate's plan."""
        return self._found[number].plan

    def program(self, number: int) -> Program:
        """A candidate's program."""
        if number not in self._programs:
            self._programs[number] = lower(self.graph, self._found[number].plan, self.progress)
        return self._programs[number]

    def check(self, number: int) -> None:
        """Verify a candidate's program once. Raises ProgramError where lowering went wrong."""
        if number not in self._checked:
            check(self.program(number), self.hardware)
            self._checked.add(number)


Tell = Callable[[int, Array], None]  # a candidate's number, and its simulated times at the settings at which it was looked at


class Chosen(NamedTuple):
    """For each setting the number of the candidate that the clock takes, and its simulated time."""

    numbers: NDArray[np.int64]
    times_s: Array


class Tried(NamedTuple):
    """A candidate beside the others: `simulated_time_s` is None where its program is too long, or where
    `least_time_s`, what its busiest engine needs, already said that it would not be taken.
    """

    plan: Plan
    commands: int
    moved_bytes: int
    least_time_s: float
    simulated_time_s: float | None


class Choice(NamedTuple):
    """The candidates that were looked at, in their order, and the place of the one that the clock takes;
    unless `is_over`, there are more, and none can be worth it.
    """

    taken: int
    tried: tuple[Tried, ...]
    is_over: bool


def choose_one(contest: Contest, rates: Rates[float]) -> Choice:
    """The candidate that the clock takes at one setting, beside the others. Raises as `choose` does."""
    times: dict[int, float] = {}
    chosen = choose(contest, arrays_of([rates]), lambda number, found: times.update({number: float(found[0])}))
    tried = [
        Tried(each.plan, each.commands, each.work[BUS][0][""], least_time_s(each, rates), times.get(number))
        for number, each in enumerate(contest.looked_at())
    ]
    return Choice(int(chosen.numbers[0]), tuple(tried), contest.is_over)


def engine_work(works: list[LayerWork]) -> dict[str, tuple[dict[str, int], int]]:
    """By engine the amounts of each kind of work (bytes, FLOP, operations), and the commands."""
    found: dict[str, tuple[dict[str, int], int]] = {}
    for work in works:
        tiles = work.tiles
        matrix = matrix_work(work.operator) if work.operator.macs else []
        for engine, amounts, commands in (
            (BUS, [("", work.traffic.total_bytes)], work.traffic.transfers),
            (MATRIX, matrix, len(matrix) * tiles * work.in_blocks),
            (VECTOR, work.vector_ops, len(work.vector_ops) * tiles),
        ):
            kinds, count = found.get(engine, ({}, 0))
            for kind, amount in amounts:
                kinds[kind] = kinds.get(kind, 0) + amount
            found[engine] = kinds, count + commands
    return found


def least_time_s(candidate: Candidate, rates: Rates[Number]) -> Number:
    """Seconds that the busiest engine of a plan works: the plan takes no less."""
    times = [engine_s(rates.engines[name], kinds.items(), commands) for name, (kinds, commands) in candidate.work.items()]
    return maximum(*times)


def _ignored(number: int, times_s: Array) -> None:
    pass


def choose(contest: Contest, rates: Rates[Array], tell: Tell = _ignored) -> Chosen:
    """The candidate that the clock takes at each setting of the rates.

    The candidates are looked at in their order. One takes the place of another that is more than 0.5 %
    slower, or that has more commands, unless it is more than 0.5 % slower than the fastest that was simulated
    so far. It is not simulated where what its busiest engine needs says that it cannot, and none is behind
    one that is within 0.5 % of what no schedule beats. `tell` hears what is simulated. The program that is
    taken is verified. Raises LengthError where every program is too long.
    """
    count = len(rates.engines[BUS].throughput)
    numbers, commands = np.full(count, -1), np.zeros(count)
    times, fastest = np.full(count, np.inf), np.full(count, np.inf)
    enough = maximum(*bound_times(contest.graph, contest.hardware, rates)) * (1 + SAME)
    longest = 0
    for number, candidate in contest.all():
        if candidate.commands > MOST_COMMANDS:
            longest = longest or candidate.commands
            continue
        least = least_time_s(candidate, rates) * (1 - 1e-9)  # sums in another order
        is_less = candidate.commands < commands
        may_win = (least <= fastest * (1 + SAME)) & ((least < times * (1 - SAME)) | is_less)
        seen = np.flatnonzero(may_win & (times > enough))
        if not seen.size:
            continue
        found = simulated_times_s(contest.program(number), part_of_rates(rates, seen))
        tell(number, found)
        fastest[seen] = np.minimum(fastest[seen], found)
        takes = (found < times[seen] * (1 - SAME)) | (is_less[seen] & (found <= fastest[seen] * (1 + SAME)))
        taken = seen[takes]
        numbers[taken], times[taken], commands[taken] = number, found[takes], candidate.commands
        if (times <= enough).all():
            break
    if (numbers < 0).any():
        raise LengthError(longest, MOST_COMMANDS)
    for number in set(numbers.tolist()):
        contest.check(number)
    return Chosen(numbers, times)


def part_of_rates(rates: Rates[Array], settings: NDArray[np.int64]) -> Rates[Array]:
    """The rates of some of the settings."""
    columns = rates.columns.items()
    return make_rates({name: values[settings] if isinstance(values, np.ndarray) else values for name, values in columns}, rates.further)


def arrays_of(rates: list[Rates[float]]) -> Rates[Array]:
    """The rates of several machines as arrays; all have efficiencies of the same kinds."""
    return make_rates({name: np.array([each.columns[name] for each in rates]) for name in rates[0].columns}, rates[0].further)
