"""A program as text: a header, then one line a command. The same program gives the same bytes.

Addresses and amounts are bare numbers, so that grep and awk can work on the lines; all lines of the header
begin with `#`.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Literal, NamedTuple, assert_never

from mnsim.plan.words import pass_words
from mnsim.program.model import Command, Fused, Kernel, Load, Matrix, Memory, Program, Region, Store, Vector, engine_of
from mnsim.spec.records import EXTERNAL, SRAM

Kind = Literal["load", "store", "matrix", "vector"]
UNITS: dict[Kind, str] = {"load": "bytes", "store": "bytes", "matrix": "MACs", "vector": "operations"}
WIDEST = 52  # of the column of regions: longer ones stick out, and only their own lines are longer
HEADINGS = ("id", "engine", "command", "layer", "amount", "reads -> writes", "waits")
NOTATION = """\
# [64+32] is 32 bytes from address 64 on; [64+32*784/100] is 784 runs of 32
# bytes, each 100 behind the start of the one before. Each engine takes its
# commands one at a time, in this order. A command starts when all that it waits
# for has ended: `after` is what it needs (in policy serial also the command
# before it), `room` is what used the bytes that it overwrites.
"""


class Amount(NamedTuple):
    """A command's work: bytes that cross the bus, MACs, vector operations; two of them are 0."""

    bytes: int
    macs: int
    vector_ops: int


def kind_of(command: Command) -> Kind:
    """The command's kind in one word."""
    match command:
        case Load():
            return "load"
        case Store():
            return "store"
        case Matrix():
            return "matrix"
        case Vector():
            return "vector"
        case _:
            assert_never(command)


def amount_of(command: Command) -> Amount:
    """How much work a command is."""
    match command:
        case Load() | Store():
            return Amount(sum([region.size_bytes for region in command.reads]), 0, 0)
        case Matrix():
            return Amount(0, command.macs, 0)
        case Vector():
            return Amount(0, 0, command.vector_ops)
        case _:
            assert_never(command)


def regions_text(regions: Sequence[Region]) -> str:
    """Regions in the notation of the header: sram[64+32 128+32*784/100]."""
    return " ".join(
        f"{memory}[{' '.join([_interval(region) for region in group])}]" for memory, group in groupby(regions, lambda region: region.memory)
    )


def _interval(region: Region) -> str:
    if region.runs == 1:
        return f"{region.start}+{region.run_bytes}"
    return f"{region.start}+{region.run_bytes}*{region.runs}/{region.stride_bytes}"


class Row(NamedTuple):
    """A command's line, in cells: those of HEADINGS."""

    id: str
    engine: str
    command: str
    layer: str
    amount: str
    regions: str
    waits: str


def rows_of(program: Program, layer: str | None = None, detailed: bool = False) -> list[Row]:
    """The commands' cells: those of one layer, or all; in detail also with the kernels' windows."""
    contents = dict.fromkeys((region.data for region in program.weights), "weights")
    contents |= dict.fromkeys((region.data for region in program.inputs), "input")
    contents |= dict.fromkeys((region.data for region in program.outputs), "output")
    return [
        Row(
            str(command.id),
            engine_of(command),
            _what(command, contents, detailed),
            command.layer,
            _amount_text(command),
            f"{regions_text(command.reads)} -> {regions_text(command.writes)}",
            _waits(command),
        )
        for command in program.commands
        if layer in (None, command.layer)
    ]


def _what(command: Command, contents: dict[int, str], detailed: bool) -> str:
    """The bytes that a transfer moves, or the computation and its tile."""
    match command:
        case Load():
            return f"load {contents.get(command.reads[0].data, 'map')}"
        case Store():
            return f"store {contents.get(command.writes[0].data, 'map')}"
        case Matrix() | Vector():
            return _computation(command.kernel, detailed)
        case _:
            assert_never(command)


def _computation(kernel: Kernel, detailed: bool) -> str:
    shape, result = _product(kernel.input_shape), _product(kernel.output_shape)
    words = [kernel.operation, shape, "->", result] if shape != result else [kernel.operation, shape]
    if detailed and kernel.window != (1, 1):
        words.append(f"({_product(kernel.window)} / {_product(kernel.stride)}, pad {','.join(map(str, kernel.padding))})")
    if detailed and kernel.groups > 1:
        words.append(f"in {kernel.groups} groups")
    words += [f"+{name}" for name in kernel.fused]
    return " ".join([*words, "(partial sum)"] if kernel.partial else words)


def _product(extents: Iterable[int]) -> str:
    return "x".join(map(str, extents))


def _amount_text(command: Command) -> str:
    amount = amount_of(command)
    return f"{amount.macs} MACs" if amount.macs else f"{amount.vector_ops} ops" if amount.vector_ops else f"{amount.bytes} B"


def _waits(command: Command) -> str:
    """The commands that it waits for; those that only make room come apart."""
    data = [other for other in command.depends_on if other not in command.room]
    return " ".join([word for name, ids in (("after", data), ("room", command.room)) if ids for word in (name, *map(str, ids))])


def dump(program: Program, about: str, layer: str | None = None, verbosity: int = 0) -> Iterator[str]:
    """The program's lines, each with its end: the header (which says `about`, too), and the commands;
    those of one layer, or all.

    Verbosity -1 leaves the commands alone, 1 adds the windows of their kernels.
    """
    rows = rows_of(program, layer, verbosity > 0)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else [0] * len(HEADINGS)
    widths = [max(pair) for pair in zip(widths, map(len, HEADINGS), strict=True)] if verbosity >= 0 else widths
    widths[5] = min(widths[5], WIDEST)
    if verbosity >= 0:
        yield from _header(program, about, layer)
        yield f"# {_line(Row(*HEADINGS), widths)}\n"
    margin = "  " if verbosity >= 0 else ""
    for row in rows:
        yield f"{margin}{_line(row, widths)}\n"


def _line(row: Row, widths: Sequence[int]) -> str:
    number, engine, command, layer, amount, regions, waits = row
    return (
        f"{number.rjust(widths[0])}  {engine.ljust(widths[1])}  {command.ljust(widths[2])}  {layer.ljust(widths[3])}  "
        f"{amount.rjust(widths[4])}  {regions.ljust(widths[5])}  {waits}"
    ).rstrip()


def _header(program: Program, about: str, layer: str | None) -> Iterator[str]:
    yield f"# {program.network}, {about}\n# policy {program.policy}\n#\n"
    width = max(len(EXTERNAL), *map(len, program.memories))
    for memory, size in program.memories.items():
        ends = (("inputs", program.inputs), ("weights", program.weights), ("outputs", program.outputs))
        lying = [(name, [region for region in regions if region.memory == memory]) for name, regions in ends]
        yield f"# {memory.ljust(width)}  {size:,} bytes{'' if memory == SRAM else ':'}\n"
        for name, regions in (*lying, ("maps", [] if memory == SRAM else _rest(program, memory))):
            if regions:
                yield f"#   {name.ljust(7)} {regions_text(joined(regions))}\n"
    yield from _segments(program, layer)
    shown = [command for command in program.commands if layer in (None, command.layer)]
    whose = "" if layer is None else f" of {len(program.commands):,}, those of layer {layer}"
    yield f"#\n# {len(shown):,} commands{whose}\n"
    sums: dict[Kind, list[int]] = {kind: [0, 0] for kind in UNITS}
    for command in shown:
        sums[kind_of(command)][0] += 1
        sums[kind_of(command)][1] += sum(amount_of(command))
    widths = [max(len(f"{each[place]:,}") for each in sums.values()) for place in range(2)]
    for kind, (count, amount) in sums.items():
        yield f"#   {kind.ljust(7)} {f'{count:,}'.rjust(widths[0])}  {f'{amount:,}'.rjust(widths[1])} {UNITS[kind]}\n"
    yield f"#\n{NOTATION}#\n"


def _segments(program: Program, layer: str | None) -> Iterator[str]:
    """The layers that run together: those of one layer's segment, or all."""
    together = [segment for segment in program.segments if layer is None or layer in segment.layers]
    if together:
        yield "#\n# layers that run together\n"
    width = max((len(segment.name) for segment in together), default=0)
    for segment in together:
        yield f"#   {segment.name.ljust(width)}  {pass_words(segment.kind, segment.order)}\n"


def segments_by_layer(program: Program) -> dict[str, Fused]:
    """The fused segments by their layers."""
    return {layer: segment for segment in program.segments for layer in segment.layers}


def joined(regions: Sequence[Region]) -> tuple[Region, ...]:
    """Regions in order of address; neighbours without a gap are one."""
    merged: list[Region] = []
    for region in sorted(regions, key=lambda region: region.start):
        if merged and merged[-1].end == region.start and merged[-1].runs == region.runs == 1:
            size = merged[-1].size_bytes + region.size_bytes
            merged[-1] = Region(region.memory, merged[-1].start, size, size, 1, -1)
        else:
            merged.append(region)
    return tuple(merged)


def _rest(program: Program, memory: Memory) -> list[Region]:
    """The parts of a memory outside beside inputs, weights and outputs: maps that do not stay in SRAM go
    there.
    """
    found, cursor = [], 0
    there = (region for region in (*program.inputs, *program.weights, *program.outputs) if region.memory == memory)
    ends, size = sorted((region.start, region.end) for region in there), program.memories[memory]
    for start, end in (*ends, (size, size)):
        if cursor < start:
            found.append(Region(memory, cursor, start - cursor, start - cursor, 1, -1))
        cursor = max(cursor, end)
    return found
