"""Cones: what an element of a map needs, and what needs it, through every operator of the graph.

Both ways without a look at single elements. Backwards, what is needed of a map is a set of rows times a set
of columns (every channel: a whole pixel is asked for), exact but where readers need different sets: then the
largest one stands for all. Forwards, `Reach` says how much of a map depends on an element wherever that
element lies, never more than really does.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

from mnsim.graph.model import BIAS_BYTES, Graph, Operator

Region = tuple[int, int]  # rows and columns of a map, a bit each
NORM_PLANES = ("scale", "shift")  # used when a sum is complete; a bias may start it


class Axis(NamedTuple):
    """A window along rows or columns: the extents of input and output, the kernel's, the stride, the padding
    before.
    """

    extent: int
    outputs: int
    kernel: int
    stride: int
    padding: int


class Reach(NamedTuple):
    """A part of a map that depends on an element: at least so many channels, the same of each of so many
    consecutive rows and columns.

    Where it is one row, `row_at` are those in which it can lie, a bit each; 0 is anywhere. So for columns.
    """

    channels: int
    rows: int = 1
    columns: int = 1
    row_at: int = 0
    column_at: int = 0


class Cone(NamedTuple):
    """What depends on an element: bytes of weights by operator, and bytes of the network's outputs by map.

    A weight counts where it is multiplied by such an element, or with the sum of products with one (batch
    norm).
    """

    weights: dict[int, int]
    outputs: dict[int, int]


def all_of(extent: int) -> int:
    """Every row, or every column."""
    return (1 << extent) - 1


class Node(NamedTuple):
    """What cones ask of an operator, once for all: channels read and made, bytes of filters that one channel
    of the input meets in one place of the kernel (or one element of a fully connected operator's), and bytes
    of scale and shift of a channel.
    """

    operator: Operator
    windows: tuple[Axis, Axis] | None
    whole_input: "Region | None"  # of operators that read all of it, whatever is asked of them
    read: int
    made: int
    filter_bytes: int
    norm_bytes: int


def nodes_of(graph: Graph) -> tuple[Node, ...]:
    """The graph's operators as cones see them."""
    return tuple(_node(graph, operator) for operator in graph.operators)


def _node(graph: Graph, operator: Operator) -> Node:
    window, x, y = operator.window, graph.maps[operator.inputs[0]].shape, graph.maps[operator.output].shape
    windows, places = None, prod(x[:2]) if operator.kind == "dense" else 1
    if window is not None:
        row, column = (Axis(x[axis], y[axis], window.kernel[axis], window.stride[axis], window.padding[2 * axis]) for axis in (0, 1))
        windows, places = (row, column), prod(window.kernel)
    whole_input = (all_of(x[0]), all_of(x[1])) if operator.kind in ("dense", "flatten") else None
    norm_bytes = BIAS_BYTES * sum(plane in NORM_PLANES for plane in operator.weights.planes)
    return Node(operator, windows, whole_input, x[2], y[2], operator.filter_bytes // x[2] // places, norm_bytes)


@lru_cache(maxsize=4096)
def rows_read(outputs: int, axis: Axis) -> int:
    """The rows of the input that windows of these rows of the output cover; padding is none."""
    found, window = 0, all_of(axis.kernel)
    for place in range(axis.outputs):
        if outputs >> place & 1:
            first = place * axis.stride - axis.padding
            found |= window << first if first >= 0 else window >> -first
    return found & all_of(axis.extent)


def needed(nodes: Sequence[Node], starts: Mapping[int, Region]) -> dict[int, Region]:
    """By map, all that these regions need, themselves too. Maps of which nothing is needed are left out."""
    regions = dict(starts)
    for node in reversed(nodes[: max(starts)]):  # map i + 1 is operator i's output
        region = regions.get(node.operator.output)
        if region is None:
            continue
        if node.windows:
            region = rows_read(region[0], node.windows[0]), rows_read(region[1], node.windows[1])
            if not (region[0] and region[1]):
                continue
        elif node.whole_input:
            region = node.whole_input
        for source in node.operator.inputs:
            regions[source] = _joined(regions[source], region) if source in regions else region
    return regions


def _joined(first: Region, second: Region) -> Region:
    """The larger of two regions."""
    return first if first == second else max(first, second, key=area)


def area(region: Region) -> int:
    """The pixels of a region."""
    return region[0].bit_count() * region[1].bit_count()


@lru_cache(maxsize=16384)
def spread(rows: int, row_at: int, axis: Axis) -> tuple[int, int]:
    """At least how many consecutive rows of the output depend on so many consecutive rows of the input, and
    in how many rows of the kernel these meet them, wherever they lie.

    Of the places far from both ends only `stride` in a row need a look: the others are like them. A single
    row lies in one of `row_at`.
    """
    extent, outputs, kernel, stride, padding = axis
    last = extent - rows
    if row_at:
        places: Iterable[int] = [place for place in range(extent) if row_at >> place & 1]
    else:
        low = min(last, max(0, kernel - 1 - padding) + stride)  # below it windows begin beyond the edge
        high = max(low + 1, outputs * stride - rows - padding - stride)  # above it they end beyond the other
        places = (*range(low + 1), *range(high, last + 1))
    found = [_met(place, rows, axis) for place in places]
    return min(count for count, _ in found), min(taps for _, taps in found)


def _met(first: int, rows: int, axis: Axis) -> tuple[int, int]:
    """The rows of the output that depend on rows of the input from the `first` on, and the kernel's rows
    that meet them.
    """
    _, outputs, kernel, stride, padding = axis
    low = max(0, -((kernel - 1 - first - padding) // stride))
    high = min(outputs - 1, (first + rows - 1 + padding) // stride)
    taps, window = 0, all_of(kernel)
    for place in range(low, high + 1):
        start = first + padding - place * stride  # of these rows in the kernel's
        part = all_of(rows)
        taps |= (part << start if start >= 0 else part >> -start) & window
        if taps == window:
            break
    return max(0, high - low + 1), taps.bit_count()


def cone(graph: Graph, nodes: Sequence[Node], start: int, reach: Reach) -> Cone:
    """What depends on a part of map `start`, wherever it lies: of each operator and output by itself never
    more than really does.
    """
    reaches: dict[int, tuple[Reach, ...]] = {start: (reach,)}
    found = Cone({}, {})
    outputs = set(graph.outputs)
    for node in nodes[start:]:  # map i + 1 is operator i's output
        operator = node.operator
        sources = [reaches[source] for source in operator.inputs if source in reaches]
        if not sources:
            continue
        parts, weight_bytes = _passed(node, sources)
        if node.norm_bytes:
            weight_bytes += node.norm_bytes * sum(part.channels for part in parts)
        if weight_bytes:
            found.weights[operator.index] = weight_bytes
        if parts:
            reaches[operator.output] = parts
            if operator.output in outputs:
                found.outputs[operator.output] = graph.maps[operator.output].element_bytes * _elements(parts)
    return found


def _passed(node: Node, sources: list[tuple[Reach, ...]]) -> tuple[tuple[Reach, ...], int]:
    """The parts of the output that depend on these of the inputs, and the bytes of filters that are
    multiplied by them.
    """
    kind = node.operator.kind
    if kind == "concat":
        return _merged([part for source in sources for part in source]), 0
    parts = sources[0] if len(sources) == 1 else max(sources, key=_elements)  # an addition: any of its inputs
    if node.windows:
        return _windowed(node, parts, *node.windows)
    if kind == "dense":
        return (Reach(node.made),), node.filter_bytes * _elements(parts)
    if kind == "flatten":
        return (Reach(_elements(parts)),), 0
    if kind == "softmax":
        return (_largest(parts)._replace(channels=node.made),), 0
    return parts, 0


def _windowed(node: Node, parts: tuple[Reach, ...], rows: Axis, columns: Axis) -> tuple[tuple[Reach, ...], int]:
    """`_passed` for convolutions and pools."""
    weight_bytes, found, groups = 0, [], node.operator.groups
    for part in parts:
        height, row_taps = spread(part.rows, part.row_at, rows)
        width, column_taps = spread(part.columns, part.column_at, columns)
        if height and width:
            weight_bytes += node.filter_bytes * part.channels * row_taps * column_taps
            reached = -(-part.channels * groups // node.read) * (node.made // groups)  # channels of the groups that it is in
            row_at, column_at = (at if _is_same(axis) else 0 for at, axis in ((part.row_at, rows), (part.column_at, columns)))
            found.append(Reach(reached, height, width, row_at, column_at))
    if groups == node.read:  # each channel by itself: parts stay apart
        return _merged(found), weight_bytes
    return (_largest(found),) if found else (), weight_bytes


def _is_same(axis: Axis) -> bool:
    """Whether each row of the output is made of the row of the input in its place."""
    return axis.kernel == axis.stride == 1 and not axis.padding


def _elements(parts: Sequence[Reach]) -> int:
    return sum(part.channels * part.rows * part.columns for part in parts)


def _largest(parts: Sequence[Reach]) -> Reach:
    return max(parts, key=lambda part: part.channels * part.rows * part.columns)


def _merged(parts: Sequence[Reach]) -> tuple[Reach, ...]:
    """The parts with equal ones as one; they lie in different channels."""
    if len(parts) < 2:
        return tuple(parts)
    channels: dict[tuple[int, ...], int] = {}
    for part in parts:
        channels[part[1:]] = channels.get(part[1:], 0) + part.channels
    return tuple(Reach(count, *place) for place, count in channels.items())
