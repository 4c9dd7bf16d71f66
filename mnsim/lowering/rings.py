"""What passes between the operators of a fused segment: rows in a ring, or blocks of channels in a buffer."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from mnsim.graph.model import Operator
from mnsim.graph.storage import value_classes
from mnsim.lowering.hazards import Space
from mnsim.lowering.places import part_of, strided
from mnsim.lowering.work import Touch, Work, fresh_data, in_external, transfer
from mnsim.plan.model import Buffer, Segment, Stream
from mnsim.plan.passes import Pace, loaded_rows
from mnsim.plan.pieces import Span
from mnsim.plan.segments import ring_pixel
from mnsim.program.model import Passed
from mnsim.spec.records import SRAM


class Band(NamedTuple):
    """Rows of a storage that lie together in its ring, opened as one space."""

    rows: Span
    start: int
    space: Space


@dataclass(slots=True)
class Ring:
    """The buffer of a storage whose maps pass through a segment.

    Of each pixel it holds the `pixel_bytes` from `offset` on. In a rows pass row r lies at row r modulo
    the `rows` that the buffer has. `bands` are what lies there, the oldest first; a band that is written
    over is dropped when the next is opened. In a channels pass the buffers of `turns` hold a block of
    channels of all rows each, in turn, and `offset` is the block's first byte. `data` numbers the values,
    by the map's class and the band's first row.
    """

    storage: int
    turns: list[Buffer]
    width: int
    rows: int
    pixel_bytes: int
    offset: int
    classes: tuple[int, ...]
    bands: list[Band] = field(default_factory=list)
    data: dict[tuple[int, int], int] = field(default_factory=dict)
    loaded: int = 0
    filled: int = 0

    @property
    def row_bytes(self) -> int:
        return self.width * self.pixel_bytes


def make_rings(work: Work, segment: Segment) -> dict[int, Ring]:
    """The rings of a segment, by storage."""
    graph = work.graph
    operators = [graph.operators[cut.operator] for cut in segment.cuts]
    classes = value_classes(graph)
    rings: dict[int, Ring] = {}
    for buffer in segment.buffers:
        if buffer.storage is None:
            continue
        if buffer.storage in rings:
            rings[buffer.storage].turns.append(buffer)
            continue
        root = graph.maps[graph.storages[buffer.storage].root]
        offset, pixel = ring_pixel(graph, operators, buffer.storage)
        rows = buffer.size_bytes // (root.shape[1] * pixel) if buffer.name == "ring" else root.shape[0]
        rings[buffer.storage] = Ring(buffer.storage, [buffer], root.shape[1], rows, pixel, offset, classes)
    return rings


def open_rows(work: Work, ring: Ring, rows: Span) -> None:
    """Have bands for rows that are about to be written, unless they are there: one, or two where the ring
    wraps.
    """
    if ring.bands and ring.bands[-1].rows[1] >= rows[1]:
        return
    buffer = ring.turns[0]
    middle = min(rows[1], rows[0] - rows[0] % ring.rows + ring.rows)
    for first, last in ((rows[0], middle), (middle, rows[1])):
        if first < last:
            start = buffer.address + first % ring.rows * ring.row_bytes
            ring.bands.append(Band((first, last), start, work.sram.open(start, (last - first) * ring.row_bytes, ring.pixel_bytes)))
    ring.bands = [band for band in ring.bands if band.rows[1] > rows[1] - ring.rows]


def open_block(work: Work, ring: Ring, channels: Span, element: int) -> None:
    """Have the next buffer for a block of channels that is about to be written."""
    buffer = ring.turns[ring.filled % len(ring.turns)]
    ring.filled += 1
    ring.offset, ring.pixel_bytes = channels[0] * element, (channels[1] - channels[0]) * element
    space = work.sram.open(buffer.address, ring.rows * ring.row_bytes, ring.pixel_bytes)
    ring.bands = [Band((0, ring.rows), buffer.address, space)]
    ring.data.clear()


def rows_in(work: Work, ring: Ring, index: int, rows: Span, channels: Span, fresh: bool = False) -> Iterator[Touch]:
    """Rows of a map's channels where they lie in the ring, band by band."""
    feature_map, slot = work.graph.maps[index], work.graph.slots[index]
    element = feature_map.element_bytes
    shift = slot.offset_bytes - ring.offset + channels[0] * element
    run = (channels[1] - channels[0]) * element
    for band in ring.bands:
        first, last = max(band.rows[0], rows[0]), min(band.rows[1], rows[1])
        if first < last:
            start = band.start + (first - band.rows[0]) * ring.row_bytes + shift
            region = strided(SRAM, start, run, ring.pixel_bytes, (last - first) * ring.width, _data(work, ring, index, band))
            yield Touch(band.space, region, fresh)


def _data(work: Work, ring: Ring, index: int, band: Band) -> int:
    """The number of a map's value in a band."""
    key = ring.classes[index], band.rows[0]
    if key not in ring.data:
        ring.data[key] = fresh_data(work)
        work.passed[ring.data[key]] = Passed(index, band.rows, band.start, ring.offset, ring.pixel_bytes)
    return ring.data[key]


def load_rows(work: Work, ring: Ring, operator: Operator, stream: Stream, needed: int) -> None:
    """Load rows of an external map, as many at a time as the plan says, until so many are there."""
    feature_map = work.graph.maps[stream.map]
    pace, height = Pace(stream.rows, stream.lead), feature_map.shape[0]
    while ring.loaded < needed:
        rows = (ring.loaded, loaded_rows(pace, ring.loaded + 1, height))
        open_rows(work, ring, rows)
        channels = (0, feature_map.shape[2])
        region = part_of(work.places.homes[stream.map], feature_map, rows, channels)
        writes = list(rows_in(work, ring, stream.map, rows, channels, True))
        transfer(work, operator, "load", [in_external(work, stream.map, region)], writes)
        ring.loaded = rows[1]
