"""The program: commands that load, store and compute, with their bytes and the commands they depend on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from mnsim.spec.records import BUS, MATRIX, VECTOR

Memory = str  # a name in `Program.memories`
EngineName = str
ENGINES: tuple[EngineName, ...] = (BUS, MATRIX, VECTOR)  # those that every machine has


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes as a 2-D DMA descriptor names them: `runs` runs of `run_bytes`, `stride_bytes` from one run's
    start to the next's.

    `data` is the number of the value that lies there, which a reader expects. Every new value has a new
    number, also in place; a value that is written in parts (a map tile by tile, a concat slice by slice) has
    one. A region of one run has its `run_bytes` as stride.
    """

    memory: Memory
    start: int
    run_bytes: int
    stride_bytes: int
    runs: int
    data: int

    @property
    def size_bytes(self) -> int:
        return self.run_bytes * self.runs

    @property
    def end(self) -> int:
        """The first byte after the last run."""
        return self.start + (self.runs - 1) * self.stride_bytes + self.run_bytes


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a compute command does to its regions: enough to run it without the graph.

    `operation` is conv, pointwise, depthwise or dense on the matrix unit; on the vector unit the operation
    that is counted (add, relu, max_pool, ..., copy). `operands` name the command's reads one by one, in
    order: input, filters, biases, norm (a batch norm's scale and shift) or partial (sums); several regions of
    one operand are its rows, top first; the terms of an addition are input, input 2, .... `first_channel` is
    the tile's first output channel in its layer. `input_shape` and `output_shape` are the tile's (rows,
    columns, channels), `padding` its own (top, bottom, left, right). A tile that sees padding alone has an
    input of no rows. `fused` are the vector operations of the matrix unit's output stage. `partial`: the sum
    is not complete yet, and the command writes 4-byte partial sums.
    """

    operation: str
    dtype: str
    operands: tuple[str, ...]
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    window: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    fused: tuple[str, ...] = ()
    partial: bool = False
    first_channel: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """From a memory outside to the SRAM, over `bus`.

    `depends_on` are ids of earlier commands; `room` those of them that only make room for the bytes it
    writes.
    """

    id: int
    layer: str
    reads: tuple[Region, ...]
    writes: tuple[Region, ...]
    depends_on: tuple[int, ...] = ()
    room: tuple[int, ...] = ()
    bus: EngineName = BUS

    @property
    def moved_bytes(self) -> int:
        return sum(region.size_bytes for region in self.reads)


@dataclass(frozen=True, slots=True)
class Store:
    """From the SRAM to a memory outside, over `bus`."""

    id: int
    layer: str
    reads: tuple[Region, ...]
    writes: tuple[Region, ...]
    depends_on: tuple[int, ...] = ()
    room: tuple[int, ...] = ()
    bus: EngineName = BUS

    @property
    def moved_bytes(self) -> int:
        return sum(region.size_bytes for region in self.reads)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A tile on the matrix unit: `macs` multiply-accumulates."""

    id: int
    layer: str
    reads: tuple[Region, ...]
    writes: tuple[Region, ...]
    kernel: Kernel
    macs: int
    depends_on: tuple[int, ...] = ()
    room: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Vector:
    """A tile on the vector unit: `vector_ops` operations, by the rules of `mnsim explain counting`."""

    id: int
    layer: str
    reads: tuple[Region, ...]
    writes: tuple[Region, ...]
    kernel: Kernel
    vector_ops: int
    depends_on: tuple[int, ...] = ()
    room: tuple[int, ...] = ()


Command = Load | Store | Matrix | Vector


def engine_of(command: Command) -> EngineName:
    """The engine whose queue the command stands in: loads and stores share their bus."""
    match command:
        case Load() | Store():
            return command.bus
        case Matrix():
            return MATRIX
        case Vector():
            return VECTOR
        case _:
            assert_never(command)


class Fused(NamedTuple):
    """Layers that run together, in order; `kind` and `order` are those of the plan's segment."""

    layers: tuple[str, ...]
    kind: str
    order: str

    @property
    def name(self) -> str:
        return f"{self.layers[0]}..{self.layers[-1]}"


class Passed(NamedTuple):
    """What a value in a ring is: rows of a map (and of those that are the same bytes), from `start` on.

    `pixel_bytes` of each pixel lie there, from the byte `offset` of the map's storage on.
    """

    map: int
    rows: tuple[int, int]
    start: int
    offset: int
    pixel_bytes: int


@dataclass(frozen=True, slots=True)
class Program:
    """Commands in issue order; a command's id is its place. Each engine takes its own in this order, once
    what they depend on has ended.

    `memories` are the sizes of the memories that it uses, in bytes, by name. `inputs` and `weights` are in
    memories outside before the run, `outputs` after it. `segments` are the fused ones of the plan, `passed`
    says of values in rings what they are, by number: nothing depends on either.
    """

    network: str
    policy: str
    memories: Mapping[str, int]
    commands: tuple[Command, ...]
    inputs: tuple[Region, ...]
    weights: tuple[Region, ...]
    outputs: tuple[Region, ...]
    segments: tuple[Fused, ...] = ()
    passed: Mapping[int, Passed] = field(default_factory=dict)


def engines_of(program: Program) -> tuple[EngineName, ...]:
    """The engines that every machine has, then the program's other buses in order of first use."""
    buses = (command.bus for command in program.commands if isinstance(command, Load | Store))
    return tuple(dict.fromkeys((*ENGINES, *buses)))
