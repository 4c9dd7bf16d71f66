"""What a tile works on: blocks of weights and strips of maps in their buffers, loaded where they do not
lie there yet.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from mnsim.graph.model import Operator
from mnsim.graph.operators import ops_per_output, output_stage, vector_work
from mnsim.lowering.hazards import Space
from mnsim.lowering.places import elements_of, part_of, renamed, run_of, strided
from mnsim.lowering.rings import Ring, open_block, open_rows, rows_in
from mnsim.lowering.work import Touch, Work, fresh_data, in_external, in_sram, transfer
from mnsim.plan.model import Buffer, Cut, Geometry, Stream, Tiling
from mnsim.plan.pieces import Cuts, Span, make_cuts
from mnsim.plan.tiling import input_strips, is_ring
from mnsim.program.model import Region
from mnsim.spec.records import SRAM


class Piece(NamedTuple):
    """Rows of a strip that lie together in its buffer."""

    rows: Span
    start: int
    touch: Touch


@dataclass(slots=True)
class Held:
    """What a strip's buffer holds: which channels, and which rows where. `last` is the strip that was
    wanted last.
    """

    channels: Span = (0, 0)
    last: int = -1
    pieces: tuple[Piece, ...] = ()


@dataclass(slots=True)
class Scene:
    """One operator's tiles: its cuts and buffers, how often each buffer was filled, and what lies in them.

    `stages` are the operations on a tile, the operator's own first, and those on the vector unit have so
    many operations an output element; `fused` are what the matrix unit's output stage does. A channel has
    `bias_planes` numbers that a sum starts from (one or none), and `norm_planes` of a batch norm that is
    not folded (scale and shift).
    """

    work: Work
    operator: Operator
    geometry: Geometry
    tiling: Tiling
    cuts: Cuts
    buffers: dict[str, list[Buffer]]
    stages: tuple[str, ...]
    ops_each: Mapping[str, int]
    fused: tuple[str, ...]
    bias_planes: int
    norm_planes: int
    rings: Mapping[int, Ring] = field(default_factory=dict)  # of its segment, by storage
    streams: tuple[Stream, ...] = ()
    filled: dict[str, int] = field(default_factory=dict)
    blocks: dict[str, tuple[object, Touch]] = field(default_factory=dict)
    strips: dict[str, Held] = field(default_factory=dict)
    sums: dict[tuple[int, Span], Touch] = field(default_factory=dict)  # partial sums by strip and output block
    sums_space: Space | None = None


def make_scene(work: Work, cut: Cut, buffers: Iterable[Buffer], rings: Mapping[int, Ring] | None = None) -> Scene:
    """An operator's tiles before the first of them; `buffers` and `rings` are those of its segment."""
    operator = work.graph.operators[cut.operator]
    own: dict[str, list[Buffer]] = {}
    for buffer in buffers:
        if buffer.operator == cut.operator:
            own.setdefault(buffer.name, []).append(buffer)
    on_vector_unit = tuple(name for name, _ in vector_work(operator, work.plan.fused))
    planes = operator.weights.planes
    bias_planes = planes.count("bias")
    return Scene(
        work,
        operator,
        cut.geometry,
        cut.tiling,
        make_cuts(cut.geometry, cut.tiling),
        own,
        (operator.label, *on_vector_unit) if operator.macs else on_vector_unit,
        {name: ops_per_output(operator, name) for name, _ in operator.vector_ops},
        output_stage(operator, work.plan.fused),
        bias_planes,
        len(planes) - bias_planes,
        rings or {},
        cut.streams,
    )


class Tile(NamedTuple):
    """One step's piece of work: its strip, output channels, the input channels that it sums, and whether
    the sum begins or ends here.
    """

    strip: int
    outs: Span
    channels: Span
    first: bool
    last: bool


def next_buffer(scene: Scene, name: str) -> Buffer:
    """The buffer of this name whose turn it is."""
    turn = scene.filled.get(name, 0)
    scene.filled[name] = turn + 1
    return scene.buffers[name][turn % len(scene.buffers[name])]


def fill(scene: Scene, name: str, size: int) -> Touch:
    """The next buffer of this name, for a value of this many bytes that is about to be written."""
    buffer = next_buffer(scene, name)
    return Touch(scene.work.sram.open(buffer.address, size, size), run_of(SRAM, buffer.address, size, fresh_data(scene.work)))


def block(scene: Scene, name: str, key: object, source: Region) -> Touch:
    """A block of filters or biases in its buffer, loaded unless it is the one that lies there."""
    held = scene.blocks.get(name)
    if held is None or held[0] != key:
        touch = fill(scene, name, source.size_bytes)
        transfer(scene.work, scene.operator, "load", [Touch(None, source)], [touch])
        held = scene.blocks[name] = (key, touch)
    return held[1]


def inputs_of(scene: Scene, tile: Tile) -> tuple[tuple[str, Touch], ...]:
    """The tile's inputs, operand by operand: rows of resident maps, or strips, loaded where they do not
    lie in their buffers.
    """
    found: list[tuple[str, Touch]] = []
    streams = 0
    for number, source in enumerate(scene.operator.inputs):
        operand = f"input {number + 1}" if number else "input"
        if ring := scene.rings.get(scene.work.graph.slots[source].storage):
            covered = scene.cuts.strips[tile.strip].covered
            found += [(operand, touch) for touch in rows_in(scene.work, ring, source, covered, tile.channels)]
        elif scene.work.plan.homes[source].address is None:
            streams += 1
            name = f"input strip {streams}" if streams > 1 else "input strip"
            found += [(operand, touch) for touch in _strip(scene, name, source, tile)]
        else:
            found += [(operand, touch) for touch in _resident_rows(scene, source, tile)]
    return tuple(found)


def _resident_rows(scene: Scene, source: int, tile: Tile) -> Iterator[Touch]:
    covered = scene.cuts.strips[tile.strip].covered
    if covered[0] < covered[1]:
        for region in _map_regions(scene, source, covered, tile.channels):
            yield in_sram(scene.work, source, region)


def _map_regions(scene: Scene, source: int, rows: Span, channels: Span) -> Iterator[Region]:
    """Part of a map at home; of a fully connected layer's input, elements."""
    area, feature_map = scene.work.places.homes[source], scene.work.graph.maps[source]
    if scene.operator.kind == "dense":
        yield from elements_of(area, feature_map, channels)
    else:
        yield part_of(area, feature_map, rows, channels)


def _strip(scene: Scene, name: str, source: int, tile: Tile) -> Iterator[Touch]:
    """The rows that the tile's windows cover, where they lie in the strip's buffer."""
    geometry, strip = scene.geometry, scene.cuts.strips[tile.strip]
    holds_all = scene.tiling.stays == "input" and len(scene.cuts.ins) == 1
    channels = (0, geometry.in_channels) if holds_all else tile.channels
    held = scene.strips.setdefault(name, Held())
    if held.channels != channels:
        held.channels, held.pieces, held.last = channels, (), -2
    pixel_bytes = (channels[1] - channels[0]) * scene.work.graph.maps[0].element_bytes
    _load_rows(scene, name, source, tile.strip, pixel_bytes)
    held.last = tile.strip
    shift = (tile.channels[0] - channels[0]) * scene.work.graph.maps[0].element_bytes
    run = (tile.channels[1] - tile.channels[0]) * scene.work.graph.maps[0].element_bytes
    width = geometry.in_row_bytes // scene.work.graph.maps[0].element_bytes
    for piece in held.pieces:
        first, last = max(piece.rows[0], strip.covered[0]), min(piece.rows[1], strip.covered[1])
        if first < last:
            start = piece.start + (first - piece.rows[0]) * width * pixel_bytes + shift
            region = strided(SRAM, start, run, pixel_bytes, (last - first) * width, piece.touch.region.data)
            yield Touch(piece.touch.space, region)


def _load_rows(scene: Scene, name: str, source: int, number: int, pixel_bytes: int) -> None:
    """Have a strip's rows in the buffer: those that lie there already stay while the same channels' strips
    follow one another.
    """
    held, wanted = scene.strips[name], scene.cuts.strips[number].held
    there = (held.pieces[0].rows[0], held.pieces[-1].rows[1]) if held.pieces else (0, 0)
    if number == 0 and wanted[0] >= wanted[1] and there != (0, scene.geometry.rows_in):
        held.pieces = ()  # padding alone; what lies there is the end of the pass before
    if wanted[0] >= wanted[1] or (there[0] <= wanted[0] and wanted[1] <= there[1]):
        return
    follows = held.last == number - 1 and number > 0
    fresh = (there[1] if follows else wanted[0], wanted[1])
    kept: list[Piece] = []
    if is_ring(scene.geometry, scene.tiling):
        oldest = wanted[1] - input_strips(scene.geometry, scene.tiling)[2]  # what lay before it is overwritten now or soon
        kept = [_from(piece, oldest, _row_bytes(scene, pixel_bytes)) for piece in held.pieces if follows and piece.rows[1] > oldest]
        pieces = _ring_pieces(scene, name, fresh, pixel_bytes)
    else:
        pieces = [_slot_piece(scene, name, fresh, pixel_bytes)]
    sources = [in_external(scene.work, source, region) for region in _map_regions(scene, source, fresh, held.channels)]
    transfer(scene.work, scene.operator, "load", sources, [piece.touch for piece in pieces])
    held.pieces = (*kept, *pieces)


def _from(piece: Piece, row: int, row_bytes: int) -> Piece:
    """What is left of a piece whose rows before this one are overwritten."""
    skipped = max(0, row - piece.rows[0])
    return Piece((piece.rows[0] + skipped, piece.rows[1]), piece.start + skipped * row_bytes, piece.touch)


def _row_bytes(scene: Scene, pixel_bytes: int) -> int:
    return scene.geometry.in_row_bytes // scene.work.graph.maps[0].element_bytes * pixel_bytes


def _slot_piece(scene: Scene, name: str, rows: Span, pixel_bytes: int) -> Piece:
    touch = fill(scene, name, (rows[1] - rows[0]) * _row_bytes(scene, pixel_bytes))
    return Piece(rows, touch.region.start, touch)


def _ring_pieces(scene: Scene, name: str, rows: Span, pixel_bytes: int) -> list[Piece]:
    """Row r lies at row r modulo the rows that the buffer has: one piece, or two where it wraps."""
    (buffer,), row_bytes = scene.buffers[name], _row_bytes(scene, pixel_bytes)
    size = buffer.size_bytes // row_bytes
    middle = min(rows[1], rows[0] - rows[0] % size + size)
    pieces = []
    for first, last in ((rows[0], middle), (middle, rows[1])):
        if first < last:
            start, length = buffer.address + first % size * row_bytes, (last - first) * row_bytes
            space = scene.work.sram.open(start, length, pixel_bytes)
            pieces.append(Piece((first, last), start, Touch(space, run_of(SRAM, start, length, fresh_data(scene.work)))))
    return pieces


def partial_sums(scene: Scene, tile: Tile) -> Touch:
    """Where the tile's partial sums lie, with a new value for each step; space is opened for all sums that
    the buffer holds at a time.
    """
    geometry, stays, strip, outs = scene.geometry, scene.tiling.stays, scene.cuts.strips[tile.strip], tile.outs
    (buffer,) = scene.buffers["partial sums"]
    channel_bytes = geometry.partial_row_bytes  # of one row
    row_bytes, rows = channel_bytes * (outs[1] - outs[0]), strip.rows[1] - strip.rows[0]
    start, size, held = buffer.address, rows * row_bytes, rows * row_bytes
    begins = tile.first
    if stays == "weights":
        start, held, begins = start + strip.rows[0] * row_bytes, geometry.rows_out * row_bytes, begins and tile.strip == 0
    elif stays == "input":
        start, held, begins = start + rows * channel_bytes * outs[0], rows * channel_bytes * geometry.out_channels, begins and outs[0] == 0
    if begins:
        scene.sums_space = scene.work.sram.open(buffer.address, held, held)
    touch = scene.sums[tile.strip, outs] = Touch(scene.sums_space, run_of(SRAM, start, size, fresh_data(scene.work)), tile.first)
    return touch


def target_of(scene: Scene, tile: Tile, inputs: tuple[tuple[str, Touch], ...]) -> tuple[Touch, ...]:
    """Where the tile's output goes: into its map, into a strip that is stored, or over its input."""
    work, operator, rows = scene.work, scene.operator, scene.cuts.strips[tile.strip].rows
    if ring := scene.rings.get(work.graph.slots[operator.output].storage):
        if not scene.geometry.in_place:
            _open(work, ring, rows, tile.outs)
        return tuple(rows_in(work, ring, operator.output, rows, tile.outs, not scene.geometry.in_place))
    if not scene.geometry.out_streams:
        region = part_of(work.places.homes[operator.output], work.graph.maps[operator.output], rows, tile.outs)
        return (in_sram(work, operator.output, region, not scene.geometry.in_place),)
    if scene.geometry.in_place:
        return tuple([Touch(space, renamed(region, fresh_data(work)), False) for _, (space, region, _) in inputs])
    size = (rows[1] - rows[0]) * scene.geometry.out_row_bytes * (tile.outs[1] - tile.outs[0])
    return (fill(scene, "output strip", size),)


def _open(work: Work, ring: Ring, rows: Span, outs: Span) -> None:
    """Have room in a ring for what is about to be written: rows, or a block of channels."""
    if ring.turns[0].name == "ring":
        open_rows(work, ring, rows)
    else:
        open_block(work, ring, outs, work.graph.maps[0].element_bytes)


def staged(work: Work, target: tuple[Touch, ...], is_first: bool, is_last: bool) -> tuple[Touch, ...]:
    """The target as one stage writes it: a stage before the last has a value of its own, one behind the
    first works in place.
    """
    data = fresh_data(work)
    return tuple([Touch(space, region if is_last else renamed(region, data), fresh and is_first) for space, region, fresh in target])


class Columns:
    """A strip's buffer filled side by side: each part has its own channels of every pixel."""

    def __init__(self, scene: Scene, name: str, rows: Span, channels: int) -> None:
        element = scene.work.graph.maps[0].element_bytes
        self.element = element
        self.pixel_bytes = channels * element
        self.pixels = (rows[1] - rows[0]) * (scene.geometry.in_row_bytes // element)
        self.whole = fill(scene, name, self.pixels * self.pixel_bytes)
        self.offset = 0

    def next(self, channels: int, data: int) -> Touch:
        """The next so many channels, for a value of this number."""
        run = channels * self.element
        region = strided(SRAM, self.whole.region.start + self.offset, run, self.pixel_bytes, self.pixels, data)
        self.offset += run
        return Touch(self.whole.space, region)
