"""Is a schedule right? Answered from the JSON of `mnsim program` alone, as an outsider would who knows nothing of mnsim's code.

Every byte of all memories is followed by itself: who wrote it last, and who has read it. What has ended
before a command starts is a set of commands, written out as the bits of one number. What a command computes is not looked at.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Record = dict[str, Any]
KEYS = {"id", "kind", "engine", "layer", "reads", "writes", "depends_on", "room", "bytes", "macs", "vector_ops"}
REGION_KEYS = {"memory", "start", "run_bytes", "stride_bytes", "runs"}
OUTSIDE = {"load": "reads", "store": "writes"}  # the side of a transfer that is in a memory outside
AMOUNTS = {"load": "bytes", "store": "bytes", "matrix": "macs", "vector": "vector_ops"}
NOBODY, GIVEN = -1, -2  # in place of a writer: nothing was ever written; the byte was there before the run


def faults(schedule: Record) -> list[str]:
    """What is wrong with a schedule, in words; of its form first, and of its effects only when that is right."""
    return list(form_faults(schedule)) or list(effect_faults(schedule))


def form_faults(schedule: Record) -> Iterator[str]:
    """Keys, kinds, ids, ranges, and the amounts that the regions imply."""
    if set(schedule) != {"memories", "segments", "commands", "external"} or not {"sram", "external"} <= set(schedule["memories"]):
        yield "the keys at the top are not those of the contract"
        return
    if set(schedule["external"]) != {"inputs", "weights", "outputs"}:
        yield "the keys of `external` are not those of the contract"
        return
    for name, regions in schedule["external"].items():
        yield from (f"{name}: it lies in SRAM: {region}" for region in regions if region["memory"] == "sram")
        yield from (f"{name}: {text}" for region in regions for text in region_faults(region, region["memory"], schedule))
    for place, command in enumerate(schedule["commands"]):
        yield from (f"command {place}: {text}" for text in command_faults(place, command, schedule))


def command_faults(place: int, command: Record, schedule: Record) -> Iterator[str]:
    if set(command) != KEYS or command["kind"] not in AMOUNTS:
        yield "not the keys or not the kinds of the contract"
        return
    kind = command["kind"]
    sides = {"reads": "sram", "writes": "sram"}
    if kind in OUTSIDE:
        sides[OUTSIDE[kind]] = next((region["memory"] for region in command[OUTSIDE[kind]]), "external")
        if sides[OUTSIDE[kind]] == "sram":
            yield "it moves nothing into or out of the SRAM"
    engine = bus_to(sides[OUTSIDE[kind]]) if kind in OUTSIDE else kind
    if command["id"] != place or command["engine"] != engine or not isinstance(command["layer"], str):
        yield "its id is not its place, its engine is not its kind's, or its layer has no name"
    if not all(type(other) is int and 0 <= other < place for other in command["depends_on"]):
        yield "it depends on what is not an earlier command"
    if len(set(command["depends_on"])) < len(command["depends_on"]) or not set(command["room"]) <= set(command["depends_on"]):
        yield "it depends on a command twice, or waits for room from one that it does not depend on"
    for side, memory in sides.items():
        if not command[side]:
            yield f"it {side} nothing"
        yield from (text for region in command[side] for text in region_faults(region, memory, schedule))
    sizes = [sum(region["run_bytes"] * region["runs"] for region in command[side]) for side in ("reads", "writes")]
    if kind in OUTSIDE and not command["bytes"] == sizes[0] == sizes[1]:
        yield f"it moves {command['bytes']} bytes, reads {sizes[0]} and writes {sizes[1]}"
    for name in ("bytes", "macs", "vector_ops"):
        if type(command[name]) is not int or (command[name] > 0) != (name == AMOUNTS[kind]):
            yield f"its {name} are {command[name]}"


def region_faults(region: Record, memory: str, schedule: Record) -> Iterator[str]:
    if set(region) != REGION_KEYS or region["memory"] != memory or memory not in schedule["memories"]:
        yield f"{region} is not a region of {memory}"
        return
    start, run, stride, runs = (region[key] for key in ("start", "run_bytes", "stride_bytes", "runs"))
    if not all(type(number) is int for number in (start, run, stride, runs)) or min(run, runs) < 1 or stride < run or start < 0:
        yield f"{region} is no region"
    elif start + (runs - 1) * stride + run > schedule["memories"][memory]:
        yield f"{region} lies outside of {memory}"


def bus_to(memory: str) -> str:
    """What the bus between the SRAM and a memory outside is called."""
    return "bus" if memory == "external" else f"{memory}_bus"


def ended_before(commands: list[Record]) -> list[int]:
    """For each command all those that have ended when it starts, as bits: what it depends on, the queue before it, and theirs."""
    before: list[int] = []
    last: dict[str, int] = {}
    for command in commands:
        known = 0
        for other in (*command["depends_on"], *[last[engine] for engine in [command["engine"]] if engine in last]):
            known |= before[other] | 1 << other
        before.append(known)
        last[command["engine"]] = command["id"]
    return before


class Memory:
    """What is known of every byte: who wrote it last, which command of each engine read it last, how often it was written."""

    def __init__(self, size: int, engines: set[str]) -> None:
        self.writer = np.full(size, NOBODY, np.int32)
        self.readers = {engine: np.full(size, NOBODY, np.int32) for engine in engines}
        self.writes = np.zeros(size, np.int32)


def part(array: NDArray[Any], region: Record) -> NDArray[Any]:
    """The region's entries of an array with one for each byte: runs x bytes of a run."""
    item = array.itemsize
    shape, strides = (region["runs"], region["run_bytes"]), (region["stride_bytes"] * item, item)
    return as_strided(array[region["start"] :], shape, strides)


def distinct(values: NDArray[Any]) -> set[int]:
    flat = values.ravel()
    return set(flat[np.concatenate(([True], flat[1:] != flat[:-1]))].tolist())


class Turn(NamedTuple):
    """A command about to run, what has ended by then, and the commands whose results it has been seen to read."""

    command: Record
    before: int
    sources: set[int]


def effect_faults(schedule: Record) -> Iterator[str]:
    """Go through the commands in order. Each use of a byte is compared with those before it: they must have ended."""
    engines = {command["engine"] for command in schedule["commands"]}
    memories = {name: Memory(size, engines) for name, size in schedule["memories"].items()}
    ends = schedule["external"]
    for region in (*ends["inputs"], *ends["weights"]):
        there = part(memories[region["memory"]].writer, region)
        if (there == GIVEN).any():
            yield f"inputs or weights overlap: {region}"
        there[:] = GIVEN
    for command, before in zip(schedule["commands"], ended_before(schedule["commands"]), strict=True):
        turn = Turn(command, before, set())
        for region in command["reads"]:
            yield from (f"command {command['id']}: {text}" for text in read(memories[region["memory"]], region, turn))
        for region in command["writes"]:
            yield from (f"command {command['id']}: {text}" for text in write(memories[region["memory"]], region, turn))
        if turn.sources & set(command["room"]):
            yield f"command {command['id']}: it waits for room from a command whose result it reads"
    for region in ends["outputs"]:
        if (part(memories[region["memory"]].writes, region) != 1).any():
            yield f"not each byte of the outputs is stored exactly once: {region}"


def read(memory: Memory, region: Record, turn: Turn) -> Iterator[str]:
    for writer in distinct(part(memory.writer, region)):
        if writer == NOBODY:
            yield f"it reads bytes of {region} that nobody wrote"
        elif writer != GIVEN and not turn.before >> writer & 1:
            yield f"it reads what command {writer} may still be writing"
        turn.sources.add(writer)
    part(memory.readers[turn.command["engine"]], region)[:] = turn.command["id"]


def write(memory: Memory, region: Record, turn: Turn) -> Iterator[str]:
    own = turn.command["id"]
    for writer in distinct(part(memory.writer, region)):
        if writer == GIVEN:
            yield f"it overwrites inputs or weights: {region}"
        elif writer == own:
            yield f"it writes bytes of {region} twice"
        elif writer != NOBODY and not turn.before >> writer & 1:
            yield f"it overwrites what command {writer} may still be writing"
    for readers in memory.readers.values():
        for reader in distinct(part(readers, region)):
            if reader not in (NOBODY, own) and not turn.before >> reader & 1:
                yield f"it overwrites what command {reader} may still be reading"
    part(memory.writer, region)[:] = own
    part(memory.writes, region)[:] += 1


def dead_bytes(schedule: Record) -> dict[int, int]:
    """How many bytes commands wrote that nobody read before they were overwritten, or before the end; outputs are for the user."""
    unread = {name: np.full(size, NOBODY, np.int32) for name, size in schedule["memories"].items()}
    dead: dict[int, int] = {}

    def bury(writers: NDArray[Any]) -> None:
        for writer, count in zip(*np.unique(writers[writers != NOBODY], return_counts=True), strict=True):
            dead[int(writer)] = dead.get(int(writer), 0) + int(count)

    for command in schedule["commands"]:
        for region in command["reads"]:
            part(unread[region["memory"]], region)[:] = NOBODY
        for region in command["writes"]:
            bury(part(unread[region["memory"]], region))
            part(unread[region["memory"]], region)[:] = command["id"]
    for region in schedule["external"]["outputs"]:
        part(unread["external"], region)[:] = NOBODY
    for writers in unread.values():
        bury(writers)
    return dead


def needless_waits(schedule: Record) -> list[tuple[int, int]]:
    """Waits (of a command, for a command) that are for data, though the one reads nothing of what the other wrote."""
    writer = {name: np.full(size, NOBODY, np.int32) for name, size in schedule["memories"].items()}
    found = []
    for command in schedule["commands"]:
        sources = {each for region in command["reads"] for each in distinct(part(writer[region["memory"]], region))}
        found += [(command["id"], other) for other in command["depends_on"] if other not in (*command["room"], *sources)]
        for region in command["writes"]:
            part(writer[region["memory"]], region)[:] = command["id"]
    return found
