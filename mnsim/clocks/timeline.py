"""When each command ran, and what that says: what every layer waited for, and how busy the engines were."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mnsim.clocks.rates import Rates
from mnsim.clocks.timing import duration_s
from mnsim.program.model import ENGINES, Command, EngineName, Program, engine_of, engines_of

Cause = str  # an engine, room or data


@dataclass(frozen=True, slots=True)
class Timeline:
    """Start and end of every command, in seconds from the start of the run, by the commands' ids."""

    starts_s: tuple[float, ...]
    ends_s: tuple[float, ...]

    @property
    def end_s(self) -> float:
        """When the last command has ended."""
        return max(self.ends_s, default=0.0)


@dataclass(frozen=True, slots=True)
class LayerSchedule:
    """A layer's first start and last end, and what its commands waited for, summed."""

    start_s: float
    end_s: float
    wait_s: Mapping[Cause, float]


def causes_of(program: Program) -> tuple[Cause, ...]:
    """All that the commands of a program can wait for."""
    return (*engines_of(program), "room", "data")


def busy_times_s(commands: Iterable[Command], rates: Rates[float], engines: Sequence[EngineName] = ENGINES) -> dict[EngineName, float]:
    """Seconds that each of the engines, and every other that there is among the commands, works on them: the
    sum of their durations, which differences of large times would blur.
    """
    busy = dict.fromkeys(engines, 0.0)
    for command in commands:
        busy[engine_of(command)] = busy.get(engine_of(command), 0.0) + duration_s(command, rates)
    return busy


def command_waits_s(program: Program, timeline: Timeline) -> list[dict[Cause, float]]:
    """What each command waited for, in seconds, from when it was next in line: when the command before it
    in its queue started.

    Until that one ends it waits for its engine, unless something that it depends on has not ended yet:
    then it waits for data, and from when the last of its data is there for room.
    """
    line: dict[EngineName, tuple[float, float]] = {}  # by engine start and end of the last command
    waits = []
    for command in program.commands:
        engine = engine_of(command)
        next_in_line, engine_free = line.get(engine, (0.0, 0.0))
        start = timeline.starts_s[command.id]
        data = max([next_in_line, *(timeline.ends_s[other] for other in command.depends_on if other not in command.room)])
        ready = max([data, *(timeline.ends_s[other] for other in command.room)])
        waits.append(_split(engine, next_in_line, data, ready, engine_free, start))
        line[engine] = (start, timeline.ends_s[command.id])
    return waits


def _split(engine: EngineName, next_in_line: float, data: float, ready: float, engine_free: float, start: float) -> dict[Cause, float]:
    waits: dict[Cause, float] = {}
    if data > next_in_line:
        waits["data"] = data - next_in_line
    if ready > data:
        waits["room"] = ready - data
    if engine_free > ready:
        waits[engine] = start - ready
    return waits


def layer_schedules(program: Program, timeline: Timeline) -> dict[str, LayerSchedule]:
    """Every layer that has commands, by name, in the order of the first one."""
    waits = command_waits_s(program, timeline)
    found: dict[str, list[Command]] = {}
    for command in program.commands:
        found.setdefault(command.layer, []).append(command)
    nothing = dict.fromkeys(causes_of(program), 0.0)
    return {name: _layer(commands, timeline, waits, nothing) for name, commands in found.items()}


def _layer(commands: list[Command], timeline: Timeline, waits: list[dict[Cause, float]], nothing: Mapping[Cause, float]) -> LayerSchedule:
    waited = dict(nothing)
    for command in commands:
        for cause, seconds in waits[command.id].items():
            waited[cause] += seconds
    start = min(timeline.starts_s[command.id] for command in commands)
    return LayerSchedule(start, max(timeline.ends_s[command.id] for command in commands), waited)
