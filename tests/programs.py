"""Programs made for tests: by hand, at random with exactly the waits that they need, and of bundled networks, each made once."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

from mnsim.graph.model import ELEMENT_BYTES
from mnsim.pipeline import Simulated, plan_network, run
from mnsim.program.model import Command, Kernel, Load, Matrix, Memory, Program, Region, Store, Vector, engine_of
from mnsim.spec.records import Engine, Hardware, OutsideMemory, Policy

FLASH = OutsideMemory("flash", "flash_bus", 1e9, 0.0, 4096)
TOY = Hardware("toy", "Toy", "DRAM", 4096, 0.0, 1e9, 512, Engine(1e9), Engine(1e9), further=(FLASH,))
BUSES = {"external": "bus", "flash": "flash_bus"}


def sram(start: int, size: int, data: int) -> Region:
    return Region("sram", start, size, size, 1, data)


def external(start: int, size: int, data: int) -> Region:
    return Region("external", start, size, size, 1, data)


def flash(start: int, size: int, data: int) -> Region:
    return Region("flash", start, size, size, 1, data)


def addresses(region: Region) -> list[int]:
    return [region.start + run * region.stride_bytes + byte for run in range(region.runs) for byte in range(region.run_bytes)]


class Draft:
    """A program being written by hand: each method appends a command and gives its id."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def load(self, source: Region, target: Region, *waits: int, room: Sequence[int] = ()) -> int:
        return self._add(Load(len(self.commands), "load", (source,), (target,), (*waits, *room), tuple(room), BUSES[source.memory]))

    def store(self, source: Region, target: Region, *waits: int) -> int:
        return self._add(Store(len(self.commands), "store", (source,), (target,), waits, bus=BUSES[target.memory]))

    def matrix(self, inputs: Sequence[Region], filters: Region, target: Region, *waits: int, room: Sequence[int] = ()) -> int:
        """A convolution over one column, its filters one a channel: as many elements as the output."""
        shape = (sum(region.size_bytes for region in inputs), 1, 1)
        kernel = Kernel("conv", "int8", (*["input"] * len(inputs), "filters"), shape, (1, 1, target.size_bytes))
        command = Matrix(
            len(self.commands), "matrix", (*inputs, filters), (target,), kernel, target.size_bytes, (*waits, *room), tuple(room)
        )
        return self._add(command)

    def vector(self, source: Region, target: Region, *waits: int, room: Sequence[int] = ()) -> int:
        kernel = Kernel("relu", "int8", ("input",), (1, 1, source.size_bytes), (1, 1, target.size_bytes))
        return self._add(
            Vector(len(self.commands), "vector", (source,), (target,), kernel, target.size_bytes, (*waits, *room), tuple(room))
        )

    def _add(self, command: Command) -> int:
        self.commands.append(command)
        return command.id

    def program(self, inputs: Sequence[Region], weights: Sequence[Region], outputs: Sequence[Region]) -> Program:
        regions = [region for command in self.commands for region in (*command.reads, *command.writes)]
        memories = {"sram": 128, "external": 512, **{region.memory: 256 for region in regions if region.memory == "flash"}}
        return Program("toy", "overlap", memories, tuple(self.commands), tuple(inputs), tuple(weights), tuple(outputs))


def plain() -> Program:
    """Weights, an input, a convolution, a ReLU in place, the output."""
    draft = Draft()
    draft.load(external(0, 8, 1), sram(0, 8, 11))
    draft.load(external(8, 16, 2), sram(8, 16, 12))
    draft.matrix([sram(8, 16, 12)], sram(0, 8, 11), sram(24, 8, 13), 1)
    draft.vector(sram(24, 8, 13), sram(24, 8, 14), 2)
    draft.store(sram(24, 8, 14), external(64, 8, 3), 3)
    return draft.program([external(8, 16, 2)], [external(0, 8, 1)], [external(64, 8, 3)])


def double_buffered() -> Program:
    """Six strips through two slots of input and two of output; a slot is loaded again when its strip was computed (room)."""
    draft = Draft()
    loads, computed, stored = [], [], []
    for strip in range(6):
        loads.append(draft.load(external(8 * strip, 8, 1), sram(8 * (strip % 2), 8, 100 + strip), room=computed[strip - 2 : strip - 1]))
        target = sram(32 + 8 * (strip % 2), 8, 200 + strip)
        source = sram(8 * (strip % 2), 8, 100 + strip)
        computed.append(draft.vector(source, target, loads[-1], room=stored[strip - 2 : strip - 1]))
        stored.append(draft.store(target, external(64 + 8 * strip, 8, 2), computed[-1]))
    return draft.program([external(0, 48, 1)], [], [external(64, 48, 2)])


def spilled() -> Program:
    """A map that is stored, its place used for another, and loaded back from external memory."""
    draft = Draft()
    draft.load(external(0, 16, 1), sram(0, 16, 11))
    draft.vector(sram(0, 16, 11), sram(0, 16, 12), 0)
    draft.store(sram(0, 16, 12), external(32, 16, 13), 1)
    draft.load(external(16, 16, 2), sram(0, 16, 14))  # the bus is in order: the store before it has ended
    draft.vector(sram(0, 16, 14), sram(16, 16, 15), 3)
    draft.load(external(32, 16, 13), sram(32, 16, 16))
    draft.matrix([sram(32, 16, 16)], sram(16, 16, 15), sram(48, 16, 17), 4, 5)
    draft.store(sram(48, 16, 17), external(64, 16, 3), 6)
    return draft.program([external(0, 16, 1)], [external(16, 16, 2)], [external(64, 16, 3)])


def concat() -> Program:
    """Two slices of channels of one map, written by two engines, stored as one."""
    draft = Draft()
    draft.load(external(0, 8, 1), sram(0, 8, 11))
    draft.load(external(8, 24, 2), sram(8, 24, 12))
    draft.vector(sram(0, 8, 11), Region("sram", 32, 2, 8, 4, 13), 0)
    draft.matrix([sram(0, 8, 11)], sram(8, 24, 12), Region("sram", 34, 6, 8, 4, 13), 1)
    draft.store(sram(32, 32, 13), external(64, 32, 3), 2, 3)
    return draft.program([external(0, 8, 1)], [external(8, 24, 2)], [external(64, 32, 3)])


def halo_ring() -> Program:
    """Windows of three rows that pass over eight rows of a map, in a ring of four: each load makes room of the oldest row."""
    draft = Draft()
    draft.load(external(100, 4, 2), sram(32, 4, 9))
    for row in range(3):
        draft.load(external(8 * row, 8, 1), sram(8 * row, 8, 10 + row))
    computed: list[int] = []
    for row in range(6):
        rows = [sram(8 * (line % 4), 8, 10 + line) for line in range(row, row + 3)]
        loaded = len(draft.commands) - 1
        if row < 5:
            room = computed[-1:]
            draft.load(external(8 * (row + 3), 8, 1), sram(8 * ((row + 3) % 4), 8, 13 + row), room=room)
        computed.append(draft.matrix(rows, sram(32, 4, 9), sram(40 + 4 * row, 4, 30), loaded if row == 0 else _load_of(draft, 12 + row)))
    draft.store(sram(40, 24, 30), external(128, 24, 3), computed[-1])
    return draft.program([external(0, 64, 1)], [external(100, 4, 2)], [external(128, 24, 3)])


def _load_of(draft: Draft, data: int) -> int:
    return next(command.id for command in draft.commands if isinstance(command, Load) and command.writes[0].data == data)


def three_memories() -> Program:
    """Weights in flash, where a map is put by and fetched again; and bytes that go from flash to external memory by way of the SRAM."""
    draft = Draft()
    draft.load(external(0, 8, 1), sram(0, 8, 11))
    draft.load(flash(0, 8, 2), sram(8, 8, 12))  # beside the load before it
    draft.matrix([sram(0, 8, 11)], sram(8, 8, 12), sram(16, 8, 13), 0, 1)
    draft.store(sram(16, 8, 13), flash(16, 8, 13), 2)
    draft.load(flash(8, 8, 2), sram(16, 8, 14))  # over the map: its store stands before it in this queue
    draft.store(sram(16, 8, 14), external(64, 8, 4), 4)
    draft.load(flash(16, 8, 13), sram(24, 8, 15))
    draft.vector(sram(24, 8, 15), sram(24, 8, 16), 6)
    draft.store(sram(24, 8, 16), external(32, 8, 3), 7)
    draft.store(sram(24, 8, 16), flash(32, 8, 3), 7)
    return draft.program([external(0, 8, 1)], [flash(0, 16, 2)], [external(32, 8, 3), external(64, 8, 4), flash(32, 8, 3)])


GOOD = {make.__name__: make for make in (plain, double_buffered, spilled, concat, halo_ring, three_memories)}


@cache
def played(network: str, policy: Policy = "overlap") -> Simulated:
    """A bundled network on the papers' machine: planned, lowered, checked and simulated once for all tests."""
    return run(plan_network(network, policy=policy))


# ---- at random


class _Chance:
    """A random program being written: commands, which value lies where, and for each byte its writer and its readers since.

    `outer` are the memories outside that it uses.
    """

    def __init__(self, random: Random, outer: Sequence[Memory]) -> None:
        self.random = random
        self.dtype = random.choice(sorted(ELEMENT_BYTES))
        self.unit = ELEMENT_BYTES[self.dtype]
        self.sram_bytes = self.unit * random.randint(32, 64)
        self.ends = dict.fromkeys(outer, 0)
        self.number = 0
        self.commands: list[Command] = []
        self.before: list[set[int]] = []
        self.writer: dict[tuple[Memory, int], int] = {}
        self.readers: dict[tuple[Memory, int], set[int]] = {}
        self.live: list[Region] = []  # whole values in SRAM
        self.pending: list[tuple[Region, list[Region]]] = []  # values that lack parts, and those parts
        self.stored: list[Region] = []  # whole values in memories outside

    def new(self) -> int:
        self.number += 1
        return self.number

    def outside(self, size: int) -> Region:
        memory = self.random.choice([*self.ends])
        start = self.ends[memory] + self.unit * self.random.choice((0, 0, 1, 3))
        run = self.random.choice([run for run in range(self.unit, size + 1, self.unit) if size % run == 0])
        stride = run if run == size or self.random.random() < 0.7 else run + self.unit * self.random.randint(1, 2)
        region = Region(memory, start, run, stride, size // run, self.new())
        self.ends[memory] = region.end
        return region

    def inside(self, elements: int) -> Region:
        """Room for a new value: values are forgotten until there is some."""
        size = elements * self.unit
        while True:
            taken = {byte for region in (*self.live, *(whole for whole, _ in self.pending)) for byte in addresses(region)}
            for _ in range(20):
                runs = self.random.choice([runs for runs in range(1, elements + 1) if elements % runs == 0])
                stride = size // runs + self.unit * self.random.choice((0, 1, 2))
                start = self.random.randrange(0, self.sram_bytes, self.random.choice((1, self.unit)))
                region = Region("sram", start, size // runs, stride if runs > 1 else size, runs, 0)
                if region.end <= self.sram_bytes and taken.isdisjoint(addresses(region)):
                    return replace(region, data=self.new())
            if self.live:
                self.live.pop(self.random.randrange(len(self.live)))

    def add(self, command: Command) -> None:
        """Append a command with its minimal waits, found byte by byte; now and then with one more."""
        reads = [(region.memory, byte) for region in command.reads for byte in addresses(region)]
        writes = [(region.memory, byte) for region in command.writes for byte in addresses(region)]
        data = {self.writer[byte] for byte in reads if byte in self.writer}
        room = {self.writer[byte] for byte in writes if byte in self.writer}.union(*(self.readers.get(byte, set()) for byte in writes))
        queue = [other.id for other in self.commands if engine_of(other) == engine_of(command)]
        known = {queue[-1]} | self.before[queue[-1]] if queue else set()
        waits = {wait for wait in data | room if wait not in known and not any(wait in self.before[other] for other in data | room)}
        if self.commands and self.random.random() < 0.1:
            waits.add(self.random.randrange(len(self.commands)))
        self.before.append(known.union(waits, *(self.before[wait] for wait in waits)))
        command = replace(command, depends_on=tuple(sorted(waits)), room=tuple(sorted(waits & room - data)))
        self.commands.append(command)
        for byte in reads:
            self.readers.setdefault(byte, set()).add(command.id)
        for byte in writes:
            self.writer[byte], self.readers[byte] = command.id, set()

    def kernel(self, operation: str, operands: tuple[str, ...], read: Region, written: Region, **fields: Any) -> Kernel:
        """Shapes of one row; every channel has its own filter of one element."""
        size = written.size_bytes // (4 if fields.get("partial") else self.unit)
        return Kernel(operation, self.dtype, operands, (1, 1, read.size_bytes // self.unit), (1, 1, size), **fields)

    def fill(self, target: Region) -> None:
        """Write a value, or a part of one: load it, or compute it from whatever lies in SRAM."""
        size = target.size_bytes
        sources = [region for region in self.stored if region.size_bytes == size or (region.size_bytes > size and region.runs == 1)]
        if sources and (not self.live or self.random.random() < 0.4):
            source = self.random.choice(sources)
            if source.size_bytes > size:
                start = source.start + self.unit * self.random.randint(0, (source.size_bytes - size) // self.unit)
                source = Region(source.memory, start, size, size, 1, source.data)
            self.add(Load(len(self.commands), "", (source,), (target,), bus=BUSES[source.memory]))
            return
        source = self.random.choice(self.live)
        kinds = [source, *(region for region in self.live if region.size_bytes == target.size_bytes)]
        filters = self.random.choice(kinds)
        count = len(self.commands)
        if filters is not source:
            kernel = self.kernel("depthwise", ("input", "filters"), source, target, groups=source.size_bytes // self.unit)
            self.add(Matrix(count, "", (source, filters), (target,), kernel, 1))
        elif target.size_bytes % 4 == 0 and self.random.random() < 0.3:
            self.add(Matrix(count, "", (source,), (target,), self.kernel("conv", ("input",), source, target, partial=True), 1))
        else:
            self.add(Vector(count, "", (source,), (target,), self.kernel("max_pool", ("input",), source, target), 1))

    def update(self) -> None:
        """Compute in place, sometimes in two parts."""
        source = self.live.pop(self.random.randrange(len(self.live)))
        data = self.new()
        for part in _parts(source, self.random):
            target = replace(part, data=data)
            self.add(Vector(len(self.commands), "", (part,), (target,), self.kernel("relu", ("input",), part, target), 1))
        self.live.append(replace(source, data=data))

    def store(self, source: Region) -> Region:
        target = self.outside(source.size_bytes)
        read, written = _parts(source, self.random), _parts(target, self.random)
        pairs = zip(read, written, strict=True) if [part.size_bytes for part in read] == [part.size_bytes for part in written] else ()
        for part, place in list(pairs) or [(source, target)]:
            self.add(Store(len(self.commands), "", (part,), (place,), bus=BUSES[place.memory]))
        return target

    def step(self) -> None:
        if self.pending and self.random.random() < 0.5:
            whole, parts = self.random.choice(self.pending)
            self.fill(parts.pop())
            if not parts:
                self.pending.remove((whole, parts))
                self.live.append(whole)
            return
        choice = self.random.random()
        if self.live and choice < 0.25:
            self.update()
        elif self.live and choice < 0.35:
            self.stored.append(self.store(self.random.choice(self.live)))
        elif len(self.pending) < 2 and choice < 0.55 and self.live:
            whole = self.inside(self.random.choice((4, 6, 8)))
            self.pending.append((whole, _slices(whole)))
        else:
            target = self.inside(self.random.randint(1, 8))
            self.fill(target)
            self.live.append(target)


def _parts(region: Region, random: Random) -> list[Region]:
    """A region in one piece, or as its first and its other runs."""
    if region.runs < 2 or random.random() < 0.5:
        return [region]
    step, most = region.stride_bytes, region.runs - 1
    first = replace(region, runs=1, stride_bytes=region.run_bytes)
    rest = replace(region, start=region.start + step, runs=most, stride_bytes=step if most > 1 else region.run_bytes)
    return [first, rest]


def _slices(region: Region) -> list[Region]:
    """The two slices of each run (of channels), where they can be cut at an element of any dtype."""
    half = region.run_bytes // 2
    if region.run_bytes % 8:
        return [region]
    stride = region.stride_bytes if region.runs > 1 else half
    return [replace(region, start=region.start + at, run_bytes=half, stride_bytes=stride) for at in (0, half)]


@cache
def chance(seed: int, *further: Memory) -> Program:
    """A right program at random, in external and further memories; the same for the same seed."""
    random = Random(seed)
    draft = _Chance(random, ("external", *further))
    given = [draft.outside(draft.unit * random.choice(sizes)) for sizes in ((8, 16), (2, 4, 8), (4, 6, 12))[: random.randint(2, 3)]]
    first, size = given[0], given[0].end - given[0].start
    given[0] = replace(first, run_bytes=size, stride_bytes=size, runs=1)  # at least one of which any part can be loaded
    draft.stored += given
    for _ in range(random.randint(6, 24)):
        draft.step()
    while draft.pending or not draft.live:
        draft.step()
    outputs = [draft.store(region) for region in random.sample(draft.live, min(len(draft.live), random.randint(1, 2)))]
    return Program(
        "chance",
        "",
        {"sram": draft.sram_bytes, **draft.ends},
        tuple(draft.commands),
        tuple(given[:1]),
        tuple(given[1:]),
        tuple(outputs),
    )
