"""What a tiling costs: the bytes of its working space and of its traffic, in closed form.

Weights are read once when they stay, else once a strip (unless one block holds them all). An external
input is read once when its strips stay, feed one block only, or are the whole map, else once an output
block. Halo rows stay on chip while strips of the same channels follow one another, and are read again when
other data passes between two strips. An external map is always read whole, an output written once.
"""

from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod

from mnsim.graph.model import BIAS_BYTES, PARTIAL_SUM_BYTES, Graph, Operator
from mnsim.graph.operators import is_in_place
from mnsim.operators.table import RULES
from mnsim.plan.model import Geometry, Stays, Stream, Tiling


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that cross the bus, by what they are, and the number of transfers (loads and stores) that they
    take.
    """

    weight_bytes: int
    input_bytes: int
    output_bytes: int
    transfers: int

    @property
    def total_bytes(self) -> int:
        return self.weight_bytes + self.input_bytes + self.output_bytes


def make_geometry(graph: Graph, operator: Operator, external: Container[int]) -> Geometry:
    """The operator's geometry when the storages in `external` are in external memory."""
    slots, weights = graph.slots, operator.weights
    target = slots[operator.output].storage
    renames = RULES[operator.kind].memory == "renames"
    read = operator.copied if renames else operator.inputs
    x, y = graph.maps[operator.inputs[0]].shape, graph.maps[operator.output].shape
    element = graph.maps[0].element_bytes
    streaming = [source for source in read if slots[source].storage in external]
    kernel, stride, pad_top, taps = (1, 1, 0, 1)
    if operator.window:
        kernel, stride, pad_top = operator.window.kernel[0], operator.window.stride[0], operator.window.padding[0]
        taps = prod(operator.window.kernel)
    in_channels, streams = x[2], len(streaming)
    if operator.kind == "dense":  # one row of H * W * C channels
        x = (1, 1, prod(x))
        in_channels = x[2]
    elif read and renames:  # a copy of some inputs, as rows of their channels
        y = (*x[:2], sum(graph.maps[source].shape[2] for source in read))
        in_channels = sum(graph.maps[source].shape[2] for source in streaming) or y[2]
        streams = min(1, len(streaming))
    return Geometry(
        rows_in=x[0],
        rows_out=y[0],
        in_channels=in_channels,
        out_channels=y[2],
        groups=operator.groups,
        kernel_rows=kernel,
        stride_rows=stride,
        pad_top=pad_top,
        in_row_bytes=x[1] * element,
        out_row_bytes=y[1] * element,
        filter_bytes=weights.filter_bytes,
        bias_bytes=weights.bias_bytes,
        kernel_bytes=taps * element if weights.filter_shape else 0,
        channel_bytes=len(weights.planes) * BIAS_BYTES,
        late_numbers="scale" in weights.planes,
        in_streams=streams,
        in_sources=len(streaming),
        out_streams=target in external,
        out_targets=len(read) if renames else 1,
        in_place=is_in_place(graph, operator),
        splits_channels=operator.groups > 1 or operator.macs > 0,
        partial_row_bytes=y[1] * PARTIAL_SUM_BYTES,
        idle=not read,
    )


def crossing_whole(graph: Graph, operator: Operator, external: Container[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The network's inputs that are loaded whole before the operator's first tile, and its outputs stored
    whole after the last one.

    Those are the ends of the network that lie in SRAM: an input there is loaded before the first operator
    that uses its storage.
    """
    start = graph.storages[graph.slots[0].storage]
    loads = (0,) if start.first == operator.index and start.index not in external else ()
    is_stored = operator.output in graph.outputs and graph.slots[operator.output].storage not in external
    return loads, (operator.output,) if is_stored else ()


def loads_of(graph: Graph, stream: Stream) -> int:
    """In how many loads a fused segment streams a map."""
    return max(1, ceil((graph.maps[stream.map].shape[0] - stream.lead) / stream.rows))


def groups_a_block(geometry: Geometry, tiling: Tiling) -> int:
    """How many groups an output block spans (a block is a part of one group or a multiple of whole ones)."""
    return max(1, tiling.out_channels // geometry.group_out)


def tile_counts(geometry: Geometry, tiling: Tiling) -> tuple[int, int, int]:
    """The number of strips, of output blocks and of input blocks."""
    strips = max(1, ceil((geometry.rows_out - tiling.lead) / tiling.rows))
    parts = ceil(geometry.group_out / min(tiling.out_channels, geometry.group_out))
    spans = ceil(geometry.groups / groups_a_block(geometry, tiling))
    return strips, parts * spans, ceil(geometry.group_in / tiling.in_channels)


def what_stays(geometry: Geometry, tiling: Tiling) -> Stays | None:
    """Which operand is held while others pass: what the innermost loop of several turns leaves alone. None
    where that is nothing.

    Strips leave the weights alone, if there are any; input blocks the output; output blocks the input,
    where they read the same channels.
    """
    strips, out_blocks, in_blocks = tile_counts(geometry, tiling)
    is_shared = tiling.stays == "input" or tiling.out_channels < geometry.group_out
    turns: dict[Stays, int] = {"weights": strips, "output": in_blocks, "input": out_blocks}
    loops: dict[Stays, tuple[Stays, ...]] = {  # from the inside out
        "weights": ("weights", "output", "input"),
        "input": ("input", "output", "weights"),
        "output": ("output", "input", "weights"),
    }
    inner = next((operand for operand in loops[tiling.stays] if turns[operand] > 1), None)
    there = {"weights": geometry.filter_bytes + geometry.bias_bytes > 0, "output": True, "input": is_shared}
    return inner if inner is not None and there[inner] else None


@lru_cache(maxsize=4096)  # the search asks for each height with many blocks
def strip_rows(rows_in: int, rows_out: int, window: tuple[int, int, int], rows: int, keep_halo: bool) -> tuple[int, int, int]:
    """Of one pass over a map's strips: rows read in all, loads, and rows of the strip buffer.

    `window` is (kernel rows, stride, top padding). With the halo kept a strip reads only the rows that the
    one before it did not; rows between two windows are read too, and the last strip reads to the end of
    the map. A strip whose windows see padding alone reads nothing. Only the strips at the edges are looked
    at one by one: those between them, which no edge of the map cuts short, are all like the middle one.
    """
    kernel, stride, pad_top = window
    strips = ceil(rows_out / rows)
    pad_bottom = (rows_out - 1) * stride - pad_top + kernel - rows_in
    edge = max(kernel, pad_top, pad_bottom) // (rows * stride) + 2
    edges = range(strips) if strips <= 2 * edge + 1 else (*range(edge), strips // 2, *range(strips - edge, strips))

    def end_of(strip: int) -> int:
        if strip == strips - 1:
            return rows_in
        return max(0, min(rows_in, ((strip + 1) * rows - 1) * stride - pad_top + kernel)) if strip >= 0 else 0

    read = loads = largest = 0
    for strip in edges:
        like_it = strips - 2 * edge if len(edges) < strips and strip == strips // 2 else 1
        before, end = end_of(strip - 1), end_of(strip)
        first = min(max(0, strip * rows * stride - pad_top), before)
        fresh = end - (before if keep_halo else first)
        read, loads, largest = read + like_it * fresh, loads + like_it * (fresh > 0), max(largest, end - first)
    return read, loads, largest


def input_strips(geometry: Geometry, tiling: Tiling) -> tuple[int, int, int]:
    """Rows read in one pass over a streamed input, loads that it takes (of one slice), and rows of its
    strip buffer.
    """
    window = (geometry.kernel_rows, geometry.stride_rows, geometry.pad_top)
    return strip_rows(geometry.rows_in, geometry.rows_out, window, tiling.rows, keeps_halo(geometry, tiling))


def keeps_halo(geometry: Geometry, tiling: Tiling) -> bool:
    """Whether strips of the same channels follow one another, so that the rows that two of them share stay
    on chip.
    """
    in_blocks = ceil(geometry.group_in / tiling.in_channels)
    one_slice = in_blocks == 1 and (tiling.stays == "input" or groups_a_block(geometry, tiling) >= geometry.groups)
    return tiling.stays == "weights" or one_slice


def is_ring(geometry: Geometry, tiling: Tiling) -> bool:
    """Whether an input strip's buffer is a ring of rows: strips share rows that stay on chip."""
    return tiling.rows < geometry.rows_out and geometry.kernel_rows > geometry.stride_rows and keeps_halo(geometry, tiling)


def working_bytes(geometry: Geometry, tiling: Tiling) -> tuple[tuple[str, int], ...]:
    """The working space that a tiling needs in SRAM, buffer by buffer."""
    if geometry.idle:
        return ()
    _, _, in_blocks = tile_counts(geometry, tiling)
    block = min(tiling.out_channels, geometry.out_channels)
    buffers: list[tuple[str, int]] = []
    if geometry.filter_bytes:
        buffers.append(("filters", geometry.kernel_bytes * min(tiling.in_channels, geometry.group_in) * block))
    if geometry.bias_bytes:
        buffers.append(("biases", geometry.channel_bytes * block))
    if geometry.in_streams:
        spans = geometry.groups if tiling.stays == "input" else groups_a_block(geometry, tiling)
        channels = spans * min(tiling.in_channels, geometry.group_in)
        strip = input_strips(geometry, tiling)[2] * geometry.in_row_bytes * channels
        buffers += [(f"input strip {place + 1}" if place else "input strip", strip) for place in range(geometry.in_streams)]
    if geometry.out_streams and not (geometry.in_place and geometry.in_streams):
        buffers.append(("output strip", tiling.rows * geometry.out_row_bytes * block))
    if in_blocks > 1:
        rows = geometry.rows_out if tiling.stays == "weights" else tiling.rows
        channels = geometry.out_channels if tiling.stays == "input" else block
        buffers.append(("partial sums", rows * geometry.partial_row_bytes * channels))
    return tuple(buffers)


def tile_traffic(geometry: Geometry, tiling: Tiling) -> Traffic:
    """The bytes that a tiling moves between external memory and SRAM, and in how many transfers."""
    if geometry.idle:
        return Traffic(0, 0, 0, 0)
    strips, out_blocks, in_blocks = tile_counts(geometry, tiling)
    filter_passes, bias_passes = weight_passes(geometry, tiling)
    transfers = out_blocks * (filter_passes * in_blocks * (geometry.filter_bytes > 0) + bias_passes * (geometry.bias_bytes > 0))
    input_bytes = output_bytes = 0
    if geometry.in_streams:
        read, loads, _ = input_strips(geometry, tiling)
        passes, slices = input_passes(geometry, tiling)
        input_bytes = geometry.in_streams * passes * read * geometry.in_row_bytes * geometry.in_channels
        transfers += geometry.in_sources * passes * slices * in_blocks * loads
    if geometry.out_streams:
        output_bytes = geometry.rows_out * geometry.out_row_bytes * geometry.out_channels
        transfers += geometry.out_targets * strips * out_blocks
    weight_bytes = geometry.filter_bytes * filter_passes + geometry.bias_bytes * bias_passes
    return Traffic(weight_bytes, input_bytes, output_bytes, transfers)


def weight_passes(geometry: Geometry, tiling: Tiling) -> tuple[int, int]:
    """How often the filters are read, and how often the biases: once a strip where they neither stay nor
    fit one block.
    """
    strips, out_blocks, in_blocks = tile_counts(geometry, tiling)
    passes = 1 if tiling.stays == "weights" else strips
    return (passes if out_blocks * in_blocks > 1 else 1), (passes if out_blocks > 1 else 1)


def input_passes(geometry: Geometry, tiling: Tiling) -> tuple[int, int]:
    """How often each byte of a streamed input is read, and in how many slices of channels one pass comes.

    One pass serves all output blocks of a group when the strips stay, or when the strip buffer holds the
    whole map.
    """
    _, out_blocks, in_blocks = tile_counts(geometry, tiling)
    if tiling.stays == "input":
        return 1, 1
    slices = ceil(geometry.groups / groups_a_block(geometry, tiling))
    whole_map = input_strips(geometry, tiling)[2] == geometry.rows_in
    held = in_blocks == 1 and (tiling.stays == "output" or whole_map)
    return (1 if held else out_blocks // slices), slices
