"""The event model: the program played on simpy, three engines with in-order queues."""

from collections.abc import Generator, Sequence
from typing import Any

from simpy import Environment, Event

from mnsim.clocks.rates import rates_of
from mnsim.clocks.timeline import Timeline
from mnsim.clocks.timing import Work, duration_s, work_of
from mnsim.program.model import Command, Program, engine_of, engines_of
from mnsim.spec.records import Hardware


def simulate(program: Program, hardware: Hardware) -> Timeline:
    """When each command starts and ends, in seconds from the start of the run.

    Each engine takes its commands in the program's order; a command starts when the one before it in its
    queue and all that it depends on have ended. At equal times ends come before starts. A program that
    passed `check` cannot block.
    """
    played = _Played(program)
    rates = rates_of(hardware)
    known: dict[Work, float] = {}
    queues: dict[str, list[tuple[Command, float]]] = {engine: [] for engine in engines_of(program)}
    for command in program.commands:
        work = work_of(command)
        if work not in known:
            known[work] = duration_s(command, rates)
        queues[engine_of(command)].append((command, known[work]))
    for queue in queues.values():
        played.environment.process(played.engine(queue))
    played.environment.run()
    return Timeline(tuple(played.starts), tuple(played.ends))


class _Played:
    """A run: the clock, the times so far, and who waits for which command."""

    def __init__(self, program: Program) -> None:
        self.environment = Environment(0.0)
        self.starts = [0.0] * len(program.commands)
        self.ends = [-1.0] * len(program.commands)  # until it has ended
        self.awaited: dict[int, Event] = {}

    def engine(self, queue: Sequence[tuple[Command, float]]) -> Generator[Event, Any, None]:
        """One engine's process."""
        environment, starts, ends, awaited = self.environment, self.starts, self.ends, self.awaited
        for command, duration in queue:
            for other in command.depends_on:
                if ends[other] < 0:
                    if other not in awaited:
                        awaited[other] = environment.event()
                    yield awaited[other]
            starts[command.id] = environment.now
            yield environment.timeout(duration)
            ends[command.id] = environment.now
            if command.id in awaited:
                awaited.pop(command.id).succeed()
