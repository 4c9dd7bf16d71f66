"""A segment that the search picked, made: its cuts, the order of its strips, and its buffers, without
addresses.

How finely a pass is cut is a matter of style: thin strips leave SRAM for what is loaded ahead, thick ones
take fewer commands. A plan is made in one style, and there are a few plans.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import NamedTuple

from mnsim.errors import CapacityError
from mnsim.graph.model import Graph, Operator
from mnsim.plan.model import Buffer, Cut, Geometry, Order, Segment, Stream, Tiling
from mnsim.plan.options import crossings
from mnsim.plan.passes import Pace, Ring, make_pass, paces, ring_rows, rows_order
from mnsim.plan.search import Picked
from mnsim.plan.tiles import CHARGE, MOST_PORTION
from mnsim.plan.tiling import crossing_whole, make_geometry, working_bytes
from mnsim.spec.records import SRAM


class Style(NamedTuple):
    """How a plan's segments are picked and cut.

    Passes are cut into so many `strips` at best, and more finely where their rings take more than 1 /
    `share` of the SRAM. Plans of the same bytes are ranked by the SRAM that they take: a segment by itself
    counts as `each` times all of it, so that more makes longer segments; a pass that has no room to be
    pipelined counts `slow` times, and is not picked at 0. A command counts as `charge` bytes. `is_wide`
    gives rings that are loaded the room that is left.
    """

    strips: int
    share: int
    each: int = 0
    slow: int = 3
    charge: int = CHARGE
    is_wide: bool = True


class Setting(NamedTuple):
    """What a segment is made in: the storages that are external, all that are neither external nor passed
    being resident; the bytes of SRAM that those leave, and its capacity.
    """

    graph: Graph
    external: frozenset[int]
    room: int
    capacity: int
    style: Style
    fused: tuple[str, ...]


def make_fused(setting: Setting, picked: Picked) -> Segment:
    """The segment; its buffers' addresses are all 0. Raises CapacityError where not even the smallest
    rings fit.
    """
    operators = setting.graph.operators[picked.first : picked.last + 1]
    return _rows(setting, picked, operators) if picked.kind == "rows" else _channels(setting, picked, operators)


def single_buffers(cut: Cut) -> tuple[Buffer, ...]:
    """The working space of an operator that runs alone."""
    return tuple(Buffer(name, 0, size, cut.operator) for name, size in working_bytes(cut.geometry, cut.tiling))


def size_of(segment: Segment) -> int:
    """Bytes of a segment's working space."""
    return sum(buffer.size_bytes for buffer in segment.buffers)


class _Shape(NamedTuple):
    """The strips of a rows pass: into how many, in which order; `is_single` rows of every map one by one."""

    order: Order
    strips: int
    is_single: bool = False


def _shapes(height: int, style: Style) -> Iterator[_Shape]:
    """From the preferred number of strips to more, pipelined and then on demand."""
    counts = sorted({ceil(height / ceil(height / count)) for count in (8, 16, 32, 64, style.strips, height) if count <= height})
    wanted = [count for count in counts if count >= min(style.strips, height)] or counts[-1:]
    yield from (_Shape("pipelined", count) for count in wanted)
    yield _Shape("pipelined", height, True)
    yield _Shape("demand", height, True)


def _rows(setting: Setting, picked: Picked, operators: Sequence[Operator]) -> Segment:
    graph = setting.graph
    height = max(graph.maps[index].shape[0] for index in (operators[-1].output, *operators[-1].inputs))
    best: tuple[tuple[bool, int], Segment] | None = None
    least = 0
    for shape in _shapes(height, setting.style):
        if best and shape.order == "demand":
            break  # a pass that waits for each of its strips is the last resort
        segment = _cut_in_rows(setting, picked, operators, shape)
        rings = sum(buffer.size_bytes for buffer in segment.buffers if buffer.storage is not None)
        least = size_of(segment)
        rank = (shape.order == "demand", max(0, ceil(rings * setting.style.share / setting.capacity) - 1))
        if least <= setting.room and (best is None or rank < best[0]):
            best = rank, segment
        if best and not best[0][1]:
            break
    if best is None:
        raise CapacityError(SRAM, least, setting.room, operators[0].name)
    return best[1]


def _cut_in_rows(setting: Setting, picked: Picked, operators: Sequence[Operator], shape: _Shape) -> Segment:
    graph = setting.graph
    pace = paces(graph, operators, shape.strips)
    if shape.is_single:
        pace = dict.fromkeys(pace, Pace(1, 0))
    touched = list(dict.fromkeys(graph.slots[index].storage for each in operators for index in (*each.inputs, each.output)))
    crossing = {storage: crossings(graph, operators, storage) for storage in touched if storage in setting.external}
    stored = {index for each in crossing.values() for index in each.stored}
    streams: dict[int, list[Stream]] = {each.index: [] for each in operators}
    for each in crossing.values():
        for index in each.loaded:
            reader = next(operator for operator in operators if index in operator.inputs)
            streams[reader.index].append(Stream(index, *pace[index]))
    cuts = []
    for operator in operators:
        geometry = geometry_in(graph, operator, operator.output in stored)
        tiling = Tiling(pace[operator.output].rows, geometry.out_channels, geometry.group_in, "weights", pace[operator.output].lead)
        whole = crossing_whole(graph, operator, setting.external)
        cuts.append(Cut(operator.index, geometry, tiling, *whole, tuple(streams[operator.index])))
    work = make_pass(graph, cuts, setting.fused)
    rings = {}
    for storage in touched:
        if storage in crossing or storage in picked.inner:
            loaded = crossing[storage].loaded if storage in crossing else ()
            is_stored = storage in crossing and bool(crossing[storage].stored)
            rings[storage] = _ring(graph, operators, storage, pace[loaded[0]] if loaded else None, is_stored)
    rows = ring_rows(work, rows_order(work, shape.order), rings)
    return Segment(tuple(cuts), (*_weights(cuts), *_rings(graph, operators, rows)), "rows", shape.order)


def geometry_in(graph: Graph, operator: Operator, is_stored: bool) -> Geometry:
    """The geometry of a fused operator: it streams no input, and its output where the segment stores that."""
    target = {graph.slots[operator.output].storage} if is_stored else set()
    return replace(make_geometry(graph, operator, target), in_streams=0, in_sources=0)


def _ring(graph: Graph, operators: Sequence[Operator], storage: int, loaded: Pace | None, is_stored: bool) -> Ring:
    """Who touches a storage. What is stored is kept for one strip more, what is loaded comes one load
    early.
    """
    moving = [(member, each) for member, each in enumerate(operators) if each.macs or each.vector_ops]
    writers = tuple(member for member, each in moving if graph.slots[each.output].storage == storage)
    readers = tuple(member for member, each in moving if any(graph.slots[index].storage == storage for index in each.inputs))
    height = graph.maps[graph.storages[storage].root].shape[0]
    return Ring(writers, readers, height, loaded, 1 if is_stored or loaded else 0)


def _weights(cuts: Sequence[Cut]) -> Iterator[Buffer]:
    """A buffer for each operator's filters and one for its biases, of the blocks that its cut names."""
    for cut in cuts:
        geometry, block = cut.geometry, min(cut.tiling.out_channels, cut.geometry.out_channels)
        if geometry.filter_bytes:
            yield Buffer("filters", 0, geometry.kernel_bytes * geometry.group_in * block, cut.operator)
        if geometry.bias_bytes:
            yield Buffer("biases", 0, geometry.channel_bytes * block, cut.operator)


def ring_pixel(graph: Graph, operators: Sequence[Operator], storage: int) -> tuple[int, int]:
    """Of each pixel of a storage the bytes that lie in a segment's ring: from which on, and how many.

    Those of the one map that the segment touches, or of the whole storage if there are several.
    """
    touched = {index for each in operators for index in (*each.inputs, each.output) if graph.slots[index].storage == storage}
    spans = {(graph.slots[index].offset_bytes, graph.maps[index].shape[2] * graph.maps[index].element_bytes) for index in touched}
    first = min(spans, key=lambda span: (span[0], -span[1]))
    if all(span[0] + span[1] <= first[0] + first[1] for span in spans):
        return first
    root = graph.maps[graph.storages[storage].root]
    return 0, root.shape[2] * root.element_bytes


def _rings(graph: Graph, operators: Sequence[Operator], rows: Mapping[int, int]) -> Iterator[Buffer]:
    for storage, count in rows.items():
        toucher = next(each for each in operators if any(graph.slots[index].storage == storage for index in (*each.inputs, each.output)))
        width = graph.maps[graph.storages[storage].root].shape[1]
        yield Buffer("ring", 0, count * width * ring_pixel(graph, operators, storage)[1], toucher.index, storage)


def _channels(setting: Setting, picked: Picked, operators: Sequence[Operator]) -> Segment:
    graph = setting.graph
    channels = graph.maps[operators[0].output].shape[2]
    best: tuple[tuple[int, int], Segment] | None = None
    least = 0
    for count in (8, 12, 16, 24, 32, 64, channels):
        block = ceil(channels / min(count, channels))
        segment = _cut_in_channels(setting, picked, operators, block)
        least = size_of(segment)
        passing = sum(buffer.size_bytes for buffer in segment.buffers if buffer.name != "ring")
        rank = max(0, ceil(passing / min(setting.capacity / 16, MOST_PORTION)) - 1), count
        if least <= setting.room and (best is None or rank < best[0]):
            best = rank, segment
    if best is None:
        raise CapacityError(SRAM, least, setting.room, operators[0].name)
    return best[1]


def _cut_in_channels(setting: Setting, picked: Picked, operators: Sequence[Operator], block: int) -> Segment:
    graph, external = setting.graph, setting.external
    source, target = operators[0].inputs[0], graph.slots[operators[-1].output].storage
    is_external = target in external
    cuts, buffers = [], []
    for operator in operators:
        geometry = geometry_in(graph, operator, is_external and operator is operators[-1])
        tiling = Tiling(geometry.rows_out, block, geometry.group_in, "input")
        is_first = operator is operators[0] and graph.slots[source].storage in external
        streams = (Stream(source, graph.maps[source].shape[0]),) if is_first else ()
        cuts.append(Cut(operator.index, geometry, tiling, *crossing_whole(graph, operator, external), streams))
    if graph.slots[source].storage in external:
        rows = {graph.slots[source].storage: graph.maps[source].shape[0]}
        buffers += list(_rings(graph, operators[:1], rows))
    for storage in dict.fromkeys(graph.slots[operator.output].storage for operator in operators):
        if storage in picked.inner or (storage == target and is_external):
            writer = next(each for each in operators if graph.slots[each.output].storage == storage)
            height, width, _ = graph.maps[writer.output].shape
            size = height * width * block * graph.maps[0].element_bytes
            buffers.append(Buffer("passed block", 0, size, writer.index, storage))
    return Segment(tuple(cuts), (*_weights(cuts), *buffers), "channels")
