"""The verifier: whether a program keeps the promises of its own regions, for any durations of its commands.

It is written from the data model alone, apart from the compiler. First the form of every command is
checked. Then the commands run in order, with the value in every byte and the last users of that byte.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnsim.errors import ProgramError
from mnsim.program.atoms import Atoms, Runs, extents, in_one_piece, runs_of
from mnsim.program.collector import collector_paused
from mnsim.program.form import check_form, shown
from mnsim.program.model import EngineName, Load, Memory, Program, Region, Store, engine_of, engines_of
from mnsim.program.progress import Progress, telling, untold
from mnsim.spec.records import SRAM, Hardware, memories_of

NOTHING = -1  # no value; a byte without an owner
GIVEN = -2  # a byte of the inputs or weights

Ended = tuple[int, ...]  # for each engine, how many commands of its queue have ended for sure


@dataclass(frozen=True, slots=True)
class Checked:
    """The size of a right program: its commands, the bytes that cross the bus, and the bytes of SRAM ever
    written.
    """

    commands: int
    loaded_bytes: int
    stored_bytes: int
    sram_touched_bytes: int


@collector_paused()
def check(program: Program, hardware: Hardware, progress: Progress = untold) -> Checked:
    """Find a program right, or raise ProgramError at its first fault: of any command's form, else in the
    run of the commands.

    The rules: ids are places and waits point back; regions lie inside their memories and have the sizes
    that the kernels make; every byte read holds the value that its reader names; two commands that use one
    byte of SRAM, one of them writing, are ordered by waits and in-order queues; each byte of a value is
    written once; inputs and weights are never overwritten; every byte of the outputs is stored exactly
    once, with the output's value. `progress` is told now and then how many commands were run.
    """
    known = check_form(program, hardware)
    engines = engines_of(program)
    sram = _Bytes(SRAM, known[SRAM], program, _others(engines, engines))
    held: dict[Memory, _Held] = {}
    for name, spec in memories_of(hardware).items():
        if name in program.memories and spec.bus is not None:
            held[name] = _outside(program, name, _others(engines, [spec.bus]))
    _run(program, engines, sram, held, progress)
    for region in program.outputs:
        held[region.memory].bytes.expect(-1, region, "is to end with")
    loaded, stored = (
        sum(region.size_bytes for command in program.commands if isinstance(command, kind) for region in command.reads)
        for kind in (Load, Store)
    )
    touched = sram.atoms.size_bytes[sram.value != NOTHING]
    return Checked(len(program.commands), loaded, stored, int(touched.sum()))


class _Held(NamedTuple):
    """The bytes of a memory outside, and the inputs and weights that lie there from the start."""

    bytes: "_Bytes"
    given: "_Given"


def _others(engines: Sequence[EngineName], users: Sequence[EngineName]) -> list[list[int]]:
    """For each engine, by number, the others that use a memory."""
    return [[other for other, name in enumerate(engines) if name in users and other != engine] for engine in range(len(engines))]


def _outside(program: Program, memory: Memory, others: Sequence[Sequence[int]]) -> _Held:
    """A memory outside as it is before the run."""
    given = _Given(program, memory)
    watched = _watched(program, memory, given)
    laid = (*given.scattered, *given.within(extents(watched)))
    found = _Bytes(memory, watched.union(map(runs_of, laid)), program, others)
    found.lay_out(laid, [region for region in program.outputs if region.memory == memory])
    return _Held(found, given)


class _Given:
    """The inputs and weights that lie in one piece, in order: a load from inside of one is checked without a
    look at single bytes.
    """

    def __init__(self, program: Program, memory: Memory) -> None:
        """Sort those of a memory. Raises ProgramError where two overlap."""
        self.memory = memory
        regions = [region for region in (*program.inputs, *program.weights) if region.memory == memory]
        self.scattered = tuple(region for region in regions if not in_one_piece(runs_of(region)))
        self.pieces = sorted((region for region in regions if in_one_piece(runs_of(region))), key=lambda region: region.start)
        self.starts = [region.start for region in self.pieces]
        for before, after in pairwise(self.pieces):
            if after.start < before.end:
                raise ProgramError(-1, f"inputs, weights or outputs overlap: {shown(before)} and {shown(after)}")

    def around(self, region: Region) -> Region | None:
        """The input or weights that a region lies inside of."""
        place = bisect_right(self.starts, region.start) - 1
        return self.pieces[place] if place >= 0 and region.end <= self.pieces[place].end else None

    def within(self, intervals: Iterable[tuple[int, int]]) -> Iterator[Region]:
        """The parts of the pieces that lie in the intervals: weights can be far larger than the watched
        bytes.
        """
        for start, end in intervals:
            for place in range(max(0, bisect_right(self.starts, start) - 1), bisect_left(self.starts, end)):
                piece = self.pieces[place]
                first, size = max(start, piece.start), min(end, piece.end) - max(start, piece.start)
                if size > 0:
                    yield Region(self.memory, first, size, size, 1, piece.data)


def _watched(program: Program, memory: Memory, given: _Given) -> set[Runs]:
    """The runs in a memory outside whose bytes are followed one by one: those that are stored, or loaded from
    there.
    """
    regions = [*(region for region in program.outputs if region.memory == memory), *given.scattered]
    for command in program.commands:
        if isinstance(command, Store):
            regions += [region for region in command.writes if region.memory == memory]
        elif isinstance(command, Load):
            regions += [region for region in command.reads if region.memory == memory and given.around(region) is None]
    return {runs_of(region) for region in regions}


class _Turn(NamedTuple):
    """A command about to run: its engine, the commands that have ended for sure by then, and each engine's
    queue so far (itself included).
    """

    command: int
    engine: int
    ended: Ended
    queues: tuple[list[int], ...]


def _run(program: Program, engines: Sequence[EngineName], sram: "_Bytes", held: Mapping[Memory, _Held], progress: Progress) -> None:
    """Go through the commands in order. Raises ProgramError.

    What has ended before a command starts is the closure of its waits and of its engine's queue; as queues
    are in order, that is one number for each engine.
    """
    numbers = {name: number for number, name in enumerate(engines)}
    queues: tuple[list[int], ...] = tuple([] for _ in numbers)
    ends: list[Ended] = []  # by command the commands that have ended when it has
    for command in telling(program.commands, progress):
        engine = numbers[engine_of(command)]
        queue = queues[engine]
        ended = ends[queue[-1]] if queue else (0,) * len(numbers)
        for other in command.depends_on:
            ended = tuple(map(max, ended, ends[other]))
        queue.append(command.id)
        ends.append((*ended[:engine], len(queue), *ended[engine + 1 :]))
        turn = _Turn(command.id, engine, ended, queues)
        for region in command.reads:
            if region.memory == SRAM:
                sram.read(region, turn)
            elif (whole := held[region.memory].given.around(region)) is None:
                held[region.memory].bytes.read(region, turn)
            elif whole.data != region.data:
                raise ProgramError(command.id, f"{shown(region)} is read for value {region.data}, but value {whole.data} lies there")
        for region in command.writes:
            (sram if region.memory == SRAM else held[region.memory].bytes).write(region, turn, alone=len(command.writes) == 1)


class _Bytes:
    """The value in each atom of a memory, and for each engine the last place in its queue that wrote the
    atom, or used it at all.

    Places count from 1. Earlier uses need no record: when an engine's later command has ended, so have its
    earlier ones.
    """

    def __init__(self, memory: Memory, known: Iterable[Runs], program: Program, others: Sequence[Sequence[int]]) -> None:
        self.memory = memory
        self.atoms = Atoms(list(known))
        self.places = self.atoms.places
        count = len(self.atoms.size_bytes)
        self.value, self.owner = np.full((2, count), NOTHING, np.int32)
        self.others, self.engines = others, len(others)
        self.written, self.used = (tuple(np.zeros((self.engines, count), np.int32)) for _ in range(2))
        self.writers: dict[int, list[int]] = {}  # for each value the last place in each engine's queue that wrote a part of it
        self.repeats = self._repeats(program)

    def _repeats(self, program: Program) -> dict[int, Region]:
        """The commands that write a byte of a value for the second time, and where."""
        values: dict[int, list[tuple[int, Region]]] = {}
        for command in program.commands:
            for region in command.writes:
                if region.memory == self.memory:
                    values.setdefault(region.data, []).append((command.id, region))
        found: dict[int, Region] = {}
        seen = np.zeros(len(self.value), bool)
        for parts in values.values():
            spans = sorted((region.start, region.end) for _, region in parts)
            if any(after[0] < before[1] for before, after in pairwise(spans)):  # or they only interleave, like slices of a concat
                for identity, region in parts:
                    place = self.places[runs_of(region)]
                    if seen[place].any():
                        found.setdefault(identity, region)
                    seen[place] = True
                seen[:] = False
        return found

    def lay_out(self, given: Iterable[Region], outputs: Iterable[Region]) -> None:
        """Put inputs and weights where they lie, and note the owner of their bytes, and of the outputs'.
        Raises ProgramError if some overlap.
        """
        owners = (*((region, GIVEN) for region in given), *((region, region.data) for region in outputs))
        for region, owner in owners:
            place = self.places[runs_of(region)]
            if (self.owner[place] != NOTHING).any():
                raise ProgramError(-1, f"inputs, weights or outputs overlap: {shown(region)} and another")
            self.owner[place] = owner
            if owner == GIVEN:
                self.value[place] = region.data

    def expect(self, command: int, region: Region, verb: str) -> None:
        """Raise ProgramError unless all of a region holds the value that it names."""
        place = self.places[runs_of(region)]
        if (self.value[place] != region.data).any():
            atom, byte = self._first(region, self.value[place] != region.data)
            held = f"value {self.value[atom]} lies" if self.value[atom] != NOTHING else "nothing was written"
            raise ProgramError(command, f"{shown(region)} {verb} value {region.data}, but {held} at byte {byte}")

    def read(self, region: Region, turn: _Turn) -> None:
        """Read a region. Raises ProgramError if it holds another value, or its writer may not have ended."""
        self.expect(turn.command, region, "is read for")
        place = self.places[runs_of(region)]
        writers = self.writers.get(region.data)
        for other in self.others[turn.engine]:
            if writers and writers[other] > turn.ended[other]:  # a part of the value may not be there yet: one that is read?
                self._ordered(region, turn, other, self.written[other][place], "is read")
        self.used[turn.engine][place] = len(turn.queues[turn.engine])

    def write(self, region: Region, turn: _Turn, alone: bool) -> None:
        """Write a region. Raises ProgramError if it may not be written, or if an earlier user of its bytes
        may not have ended.
        """
        place, engine, position = self.places[runs_of(region)], turn.engine, len(turn.queues[turn.engine])
        for other in self.others[engine]:
            if len(turn.queues[other]) > turn.ended[other]:
                self._ordered(region, turn, other, self.used[other][place], "is written")
        if not alone and (self.written[engine][place] == position).any():
            raise ProgramError(turn.command, f"{shown(region)} overlaps what the same command writes elsewhere")
        if self.memory != SRAM:
            self._allowed(region, turn)
        if turn.command in self.repeats:
            again = self.repeats[turn.command]
            raise ProgramError(turn.command, f"{shown(again)} is written with value {again.data}, a byte of it for the second time")
        self.value[place] = region.data
        self.written[engine][place] = self.used[engine][place] = position
        self.writers.setdefault(region.data, [0] * self.engines)[engine] = position

    def _allowed(self, region: Region, turn: _Turn) -> None:
        """Raise ProgramError for a store to inputs or weights, or of another value to the outputs."""
        owner = self.owner[self.places[runs_of(region)]]
        wrong = (owner != NOTHING) & (owner != region.data)
        if wrong.any():
            atom, byte = self._first(region, wrong)
            whose = "an input or weights" if self.owner[atom] == GIVEN else f"the output of value {self.owner[atom]}"
            raise ProgramError(turn.command, f"{shown(region)} is written with value {region.data}, but byte {byte} belongs to {whose}")

    def _ordered(self, region: Region, turn: _Turn, other: int, history: NDArray[Any], verb: str) -> None:
        """Raise ProgramError unless another engine's last uses of a region's atoms (places in its queue)
        have ended for sure.
        """
        if int(history.max()) > turn.ended[other]:
            wrong = history > turn.ended[other]
            atom, byte = self._first(region, wrong)
            position = int(history[wrong][0])
            does = "writes" if self.written[other][atom] == position else "reads"
            culprit = turn.queues[other][position - 1]
            raise ProgramError(turn.command, f"{shown(region)} {verb} without waiting for command {culprit}, which {does} byte {byte}")

    def _first(self, region: Region, wrong: NDArray[Any]) -> tuple[int, int]:
        """The first atom of a region that is wrong, and its first byte."""
        atom = int(np.arange(len(self.value))[self.places[runs_of(region)]][wrong][0])
        return atom, int(self.atoms.first_byte[atom])
