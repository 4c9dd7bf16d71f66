"""The second clock: when each command ends, as a recurrence, for many rate settings at once."""

import numpy as np
from numpy.typing import NDArray

from mnsim.clocks.rates import Rates, make_rates
from mnsim.clocks.timeline import Timeline
from mnsim.clocks.timing import Work, duration_s, work_of
from mnsim.program.model import Command, Program, engine_of
from mnsim.spec.records import BUS

BATCH = 2048  # settings worked on together at most: their times fit the processor's cache
MOST_BYTES = 1 << 26  # that a batch's times take

Array = NDArray[np.float64]


def recur(program: Program, rates: Rates[float]) -> Timeline:
    """A command starts at the latest of its dependencies' ends and its engine's previous end, and ends its
    duration later.
    """
    starts: list[float] = []
    ends: list[float] = []
    last: dict[str, float] = {}
    for command in program.commands:
        engine = engine_of(command)
        start = max(last.get(engine, 0.0), *(ends[other] for other in command.depends_on), 0.0)
        last[engine] = start + duration_s(command, rates)
        starts.append(start)
        ends.append(last[engine])
    return Timeline(tuple(starts), tuple(ends))


def simulated_times_s(program: Program, rates: Rates[Array]) -> Array:
    """Seconds until the last command ends, one number a setting: the same as `recur` finds for each, to
    the last bit.

    `rates` holds arrays of one length.
    """
    count = len(rates.engines[BUS].throughput)
    steps = _steps(program)
    times = np.zeros(count)
    size = max(1, min(BATCH, MOST_BYTES // (8 * len(steps) + 8)))
    for first in range(0, count, size):
        batch = slice(first, min(first + size, count))
        times[batch] = _batch(program, steps, _part(rates, batch), batch.stop - batch.start)
    return times


def _steps(program: Program) -> list[tuple[int, tuple[int, ...], Work]]:
    """For every command its engine's previous command (-1 for none), its dependencies, and its work."""
    last: dict[str, int] = {}
    steps = []
    for command in program.commands:
        engine = engine_of(command)
        steps.append((last.get(engine, -1), command.depends_on, work_of(command)))
        last[engine] = command.id
    return steps


def _part(rates: Rates[Array], batch: slice) -> Rates[Array]:
    columns = rates.columns.items()
    return make_rates({name: values[batch] if isinstance(values, np.ndarray) else values for name, values in columns}, rates.further)


def _batch(program: Program, steps: list[tuple[int, tuple[int, ...], Work]], rates: Rates[Array], count: int) -> Array:
    commands: tuple[Command, ...] = program.commands
    ends = np.zeros((len(commands) + 1, count))  # the last row is the start of the run
    durations: dict[Work, Array] = {}
    for number, (previous, dependencies, work) in enumerate(steps):
        if work not in durations:
            durations[work] = duration_s(commands[number], rates)
        start = ends[previous]
        for other in dependencies:
            start = np.maximum(start, ends[other])
        np.add(start, durations[work], out=ends[number])
    latest: Array = ends.max(axis=0)
    return latest
