"""A simulated run as Chrome Trace Event JSON, for Perfetto (ui.perfetto.dev) and chrome://tracing.

Trace times are whole nanoseconds, written in microseconds. Perfetto drops a slice that partly overlaps
another one of its track without a word, so starts and ends are rounded by one rule: two commands that do
not overlap do not after rounding, either.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Literal, NamedTuple

from mnsim.analysis.occupancy import occupancy
from mnsim.clocks.timeline import Timeline
from mnsim.lowering.hazards import Log, Space, overlaps
from mnsim.plan.words import pass_words
from mnsim.program.dump import Row, amount_of, kind_of, rows_of, segments_by_layer
from mnsim.program.model import (
    Command,
    EngineName,
    Fused,
    Load,
    Matrix,
    Memory,
    Program,
    Region,
    Store,
    Vector,
    engine_of,
    engines_of,
)
from mnsim.report.records import Record
from mnsim.spec.records import EXTERNAL, SRAM

Unit = Literal["ns", "ps"]
UNITS: tuple[Unit, ...] = ("ns", "ps")
TICKS_PER_S: dict[Unit, float] = {"ns": 1e9, "ps": 1e12}  # a tick is shown as a nanosecond
SCALES: dict[Unit, str] = {"ns": "times are true, rounded to 1 ns", "ps": "1 ns shown = 1 ps simulated"}
PROCESS = 1
COUNTERS = {SRAM: "SRAM in use"}  # of a further memory, its name
AMOUNTS = {"load": "bytes", "store": "bytes", "matrix": "macs", "vector": "vector_ops"}

NEVER_STORED = Space(0, 0, 1), Log()

BEGIN, FLOW_IN, FLOW_OUT, END = range(4)  # a command's events of one tick stand in this order


class Arrow(NamedTuple):
    """From a command to one that uses the bytes that it moved."""

    source: int
    target: int
    name: str


class Event(NamedTuple):
    """An event of a command, in order of the trace. `arrow` is its number for the ends of arrows."""

    tick: int
    command: int
    role: int
    arrow: int = -1


@dataclass(frozen=True, slots=True)
class Slices:
    """The commands on the trace's clock: the tick at which each starts and ends, whether they are written
    as pairs of events, and the engines' tracks.

    They are complete events, unless one of them has no length: of complete events with one start Perfetto
    takes the longest first, wherever they stand, so that one without length would lie inside the command
    after it, and get its arrows. Where none is complete Perfetto keeps their order, so then each is a
    begin and an end.
    """

    starts: Sequence[int]
    ends: Sequence[int]
    in_pairs: bool
    tracks: Mapping[EngineName, int]


def trace_json(program: Program, timeline: Timeline, name: str, unit: Unit = "ns") -> Iterator[str]:
    """The trace in pieces, an event on a line of its own, in order of time: what each engine does, and how
    full the SRAM and the further memories are.

    Unit ns shows true times, and commands of less than a nanosecond may have no length; ps shows 1 ps as 1
    ns, for exact times. Arrows lead from each load to its first user, and from each store to the loads that
    bring it back.
    """
    counted = [memory for memory in program.memories if memory != EXTERNAL]
    sizes = {f"{memory}_bytes": program.memories[memory] for memory in counted}
    about = {"network": name, "policy": program.policy, **sizes, "time": SCALES[unit]}
    yield f'{{"displayTimeUnit": "ns", "otherData": {json.dumps(about)},\n "traceEvents": [\n  '
    yield ",\n  ".join(_heads(_tracks(program), name if unit == "ns" else f"{name} ({SCALES[unit]})"))
    counters = (_counter(program, timeline, unit, memory) for memory in counted)
    lines = merge(*counters, _engines(program, timeline, unit), key=lambda line: line[0])
    yield from (f",\n  {text}" for _, text in lines)
    yield "\n]}\n"


def _tracks(program: Program) -> dict[EngineName, int]:
    """The engines' tracks: PROCESS itself is a main thread."""
    return {engine: PROCESS + place for place, engine in enumerate(engines_of(program), 1)}


def _heads(tracks: Mapping[EngineName, int], name: str) -> Iterator[str]:
    """The process and its tracks, in the order in which they are shown."""
    yield json.dumps({"ph": "M", "pid": PROCESS, "name": "process_name", "args": {"name": name}})
    for engine, track in tracks.items():
        place = {"ph": "M", "pid": PROCESS, "tid": track}
        yield json.dumps(place | {"name": "thread_name", "args": {"name": engine}})
        yield json.dumps(place | {"name": "thread_sort_index", "args": {"sort_index": track}})


def _ticks(times_s: Sequence[float], unit: Unit) -> list[int]:
    """Times on the trace's clock: equal times are one tick, and the order stays."""
    return [round(time * TICKS_PER_S[unit]) for time in times_s]


def _engines(program: Program, timeline: Timeline, unit: Unit) -> Iterator[tuple[int, str]]:
    """The engines' commands and the arrows: ticks and events, in order."""
    slices = _slices(program, timeline, unit)
    arrows, operands = _arrows(program, timeline)
    rows, segments = rows_of(program, detailed=True), segments_by_layer(program)
    for event in _events(slices, arrows):
        command = program.commands[event.command]
        if event.role == BEGIN:
            record = _record(command, rows[command.id], operands.get(command.id), timeline, segments.get(command.layer))
            yield event.tick, _slice(command, slices, record)
        else:
            yield event.tick, _mark(event, slices.tracks[engine_of(command)], arrows)


def _slices(program: Program, timeline: Timeline, unit: Unit) -> Slices:
    starts, ends = _ticks(timeline.starts_s, unit), _ticks(timeline.ends_s, unit)
    return Slices(starts, ends, any(start == end for start, end in zip(starts, ends, strict=True)), _tracks(program))


def _arrows(program: Program, timeline: Timeline) -> tuple[list[Arrow], dict[int, str]]:
    """All arrows, in order of their targets' starts; and for the loads the operand (input, filters, ...) of
    their first user.
    """
    arrows: list[Arrow] = []
    operands: dict[int, str] = {}
    unused: dict[int, list[tuple[Region, int]]] = {}  # by value what was loaded and by whom, until it is used
    stored: dict[tuple[Memory, int], tuple[Space, Log]] = {}  # by memory and value where it lies, and who stored what of it
    for number in sorted(range(len(program.commands)), key=lambda number: (timeline.starts_s[number], number)):
        command = program.commands[number]
        for place, region in enumerate(command.reads):
            if isinstance(command, Load):
                space, log = stored.get((region.memory, region.data), NEVER_STORED)
                found = log.all(space.box(region), region)
                arrows += [Arrow(source, number, "brought back") for source in dict.fromkeys(found)]
                continue
            waiting = unused.get(region.data, [])
            found = [source for other, source in waiting if overlaps(region, other)]
            if found:
                unused[region.data] = [pair for pair in waiting if pair[1] not in found]
            for source in [source for source in dict.fromkeys(found) if source not in operands]:
                arrows.append(Arrow(source, number, "loaded"))
                operands[source] = "" if isinstance(command, Store) else command.kernel.operands[place]
        for region in command.writes if isinstance(command, Load | Store) else ():
            if isinstance(command, Load):
                unused.setdefault(region.data, []).append((region, number))
            else:
                space, log = stored.setdefault((region.memory, region.data), (Space(region.start, 0, region.stride_bytes), Log()))
                log.note(space.box(region), region, number)
    return arrows, operands


def _events(slices: Slices, arrows: Sequence[Arrow]) -> list[Event]:
    """All events of commands in the order of the trace. An arrow begins in its source's last tick, for at
    its end the next one begins.
    """
    events = [Event(start, number, BEGIN) for number, start in enumerate(slices.starts)]
    if slices.in_pairs:
        events += [Event(end, number, END) for number, end in enumerate(slices.ends)]
    for number, (source, target, _) in enumerate(arrows):
        events.append(Event(max(slices.starts[source], slices.ends[source] - 1), source, FLOW_OUT, number))
        events.append(Event(slices.starts[target], target, FLOW_IN, number))
    return sorted(events)


def _record(command: Command, row: Row, operand: str | None, timeline: Timeline, segment: Fused | None) -> Record:
    """A slice's name, category and arguments; `segment` is the fused one that its layer runs in."""
    kind = kind_of(command)
    reads, _, writes = row.regions.partition(" -> ")
    return {
        "name": _name(command, operand),
        "cat": kind,
        "args": {
            "id": command.id,
            "layer": command.layer,
            **({"segment": f"{segment.name}: {pass_words(segment.kind, segment.order)}"} if segment else {}),
            "command": row.command,
            AMOUNTS[kind]: sum(amount_of(command)),
            "reads": reads,
            "writes": writes,
            "depends_on": command.depends_on,
            "room": command.room,
            "start_s": timeline.starts_s[command.id],
            "end_s": timeline.ends_s[command.id],
        },
    }


def _name(command: Command, operand: str | None) -> str:
    """A command in few words: load pw1 filters, pw1 pointwise, store pw1."""
    match command:
        case Load() | Store():
            words = [kind_of(command), command.layer, operand or ""]
        case Matrix() | Vector():
            words = [command.layer, command.kernel.operation, "(partial sum)" if command.kernel.partial else ""]
    return " ".join(filter(None, words))


def _slice(command: Command, slices: Slices, record: Record) -> str:
    start, end = slices.starts[command.id], slices.ends[command.id]
    phase, duration = ("B", "") if slices.in_pairs else ("X", f', "dur": {_time(end - start)}')
    return f"{_opening(phase, start, slices.tracks[engine_of(command)])}{duration}, {json.dumps(record)[1:]}"


def _mark(event: Event, track: int, arrows: Sequence[Arrow]) -> str:
    """An end of a pair, or an end of an arrow."""
    if event.role == END:
        return f"{_opening('E', event.tick, track)}}}"
    phase, binding = ("s", "") if event.role == FLOW_OUT else ("f", ', "bp": "e"')  # to the slice that it is in
    return f'{_opening(phase, event.tick, track)}, "name": "{arrows[event.arrow].name}", "cat": "data", "id": {event.arrow}{binding}}}'


def _counter(program: Program, timeline: Timeline, unit: Unit, memory: Memory) -> Iterator[tuple[int, str]]:
    """The bytes in use of a memory: ticks and events, in order. All of a tick are kept: the last is what
    lasts, but another may be the peak.
    """
    used, name = occupancy(program, timeline, memory), COUNTERS.get(memory, f"{memory} in use")
    for tick, size in zip(_ticks(used.times_s, unit), used.in_use_bytes, strict=True):
        yield tick, f'{{"ph": "C", "pid": {PROCESS}, "ts": {_time(tick)}, "name": "{name}", "args": {{"bytes": {size}}}}}'


def _opening(phase: str, tick: int, track: int) -> str:
    return f'{{"ph": "{phase}", "pid": {PROCESS}, "tid": {track}, "ts": {_time(tick)}'


def _time(ticks: int) -> str:
    """Microseconds with exactly three decimals."""
    return f"{ticks // 1000}.{ticks % 1000:03d}"
