"""Where every map, filter and bias lies, and the regions that its parts are.

Feature maps are HWC, dense filters OHWI, depthwise filters KKC; an operator's biases (and an unfolded
batch norm's numbers) are planes of one 4-byte number a channel. In external memory each map that is there
has a place of its own (assumption); only maps that are the same bytes (flatten, slices of a concat) share
one, and what is overwritten in place in SRAM is not there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from mnsim.graph.model import BIAS_BYTES, FeatureMap, Graph, Operator
from mnsim.graph.storage import class_root, value_classes
from mnsim.plan.model import Plan
from mnsim.plan.pieces import Span
from mnsim.program.model import Memory, Region
from mnsim.spec.records import EXTERNAL, SRAM


class Area(NamedTuple):
    """Where a map lies: the address of its first pixel, bytes from one pixel to the next, and the number
    of its value.
    """

    memory: Memory
    start: int
    pixel_bytes: int
    data: int


@dataclass(frozen=True, slots=True)
class Places:
    """The layout of both memories. `values` numbers the maps' values: maps that are the same bytes at the
    same time share one.

    `homes` is where each map lives, `outside` where it lies in external memory, if it ever does; `filters`
    and `biases` are the addresses of each operator's weights, whose values are numbered after those of the
    maps.
    """

    homes: tuple[Area, ...]
    outside: tuple[Area | None, ...]
    filters: tuple[int, ...]
    biases: tuple[int, ...]
    external_bytes: int
    values: int

    def filter_data(self, operator: Operator) -> int:
        return self.values + 2 * operator.index

    def bias_data(self, operator: Operator) -> int:
        return self.values + 2 * operator.index + 1


def make_places(graph: Graph, plan: Plan) -> Places:
    """The layout of a plan: external memory holds the input, all weights, the outputs and then the spilled
    maps.
    """
    classes = value_classes(graph)
    spilled = {index for index, home in enumerate(plan.homes) if home.is_external}
    cursor = graph.maps[0].size_bytes
    filters, biases = [], []
    for operator in graph.operators:
        filters.append(cursor)
        biases.append(cursor + operator.filter_bytes)
        cursor += operator.weight_bytes
    starts = {classes[0]: (0, 0)}
    outer = {classes[index]: index for index in sorted({*spilled, *graph.outputs}, key=lambda index: (index not in graph.outputs, index))}
    for number in outer:
        if number not in starts:
            root = class_root(graph, classes, number)
            starts[number] = (cursor, root)
            cursor += graph.maps[root].size_bytes
    outside: list[Area | None] = []
    for index, feature_map in enumerate(graph.maps):
        if classes[index] not in starts:
            outside.append(None)
            continue
        start, root = starts[classes[index]]
        shift = graph.slots[index].offset_bytes - graph.slots[root].offset_bytes
        outside.append(Area(EXTERNAL, start + shift, _pixel_bytes(feature_map, graph.maps[root]), classes[index] + 1))
    homes = tuple(_home(graph, plan, outside, index, classes[index] + 1) for index in range(len(graph.maps)))
    return Places(homes, tuple(outside), tuple(filters), tuple(biases), cursor, len(graph.maps) + 1)


def _pixel_bytes(feature_map: FeatureMap, root: FeatureMap) -> int:
    whole = feature_map if feature_map.size_bytes == root.size_bytes else root
    return whole.shape[2] * whole.element_bytes


def _home(graph: Graph, plan: Plan, outside: list[Area | None], index: int, data: int) -> Area:
    home, away = plan.homes[index], outside[index]
    if home.is_external:
        assert away is not None
        return away
    root = graph.maps[graph.storages[graph.slots[index].storage].root]
    return Area(SRAM, home.address or 0, _pixel_bytes(graph.maps[index], root), data)


def run_of(memory: Memory, start: int, size: int, data: int) -> Region:
    """A region of one run."""
    return Region(memory, start, size, size, 1, data)


def strided(memory: Memory, start: int, run: int, stride: int, runs: int, data: int) -> Region:
    """A region in its plainest form: one run where there are no gaps."""
    if run == stride or runs == 1:
        return run_of(memory, start, run * runs, data)
    return Region(memory, start, run, stride, runs, data)


def renamed(region: Region, data: int) -> Region:
    """The same bytes with another value."""
    return Region(region.memory, region.start, region.run_bytes, region.stride_bytes, region.runs, data)


def part_of(area: Area, feature_map: FeatureMap, rows: Span, channels: Span) -> Region:
    """Rows x all columns x channels of a map where it lies."""
    element, width = feature_map.element_bytes, feature_map.shape[1]
    start = area.start + rows[0] * width * area.pixel_bytes + channels[0] * element
    run = (channels[1] - channels[0]) * element
    return strided(area.memory, start, run, area.pixel_bytes, (rows[1] - rows[0]) * width, area.data)


def elements_of(area: Area, feature_map: FeatureMap, elements: Span) -> Iterator[Region]:
    """Elements of a map in HWC order (what a fully connected layer reads): one run, or up to three regions
    of a slice with gaps.
    """
    element, channels = feature_map.element_bytes, feature_map.shape[2]
    if area.pixel_bytes == channels * element:
        yield run_of(area.memory, area.start + elements[0] * element, (elements[1] - elements[0]) * element, area.data)
        return
    first, last = -(-elements[0] // channels), elements[1] // channels  # whole pixels
    inner = [
        (elements[0], min(elements[1], first * channels)),
        (first * channels, last * channels),
        (max(last, first) * channels, elements[1]),
    ]
    for start, end in inner:
        if start < end:
            pixel, offset = divmod(start, channels)
            run = min(end - start, channels - offset) * element
            runs = -(-(end - start) // channels)
            yield strided(area.memory, area.start + pixel * area.pixel_bytes + offset * element, run, area.pixel_bytes, runs, area.data)


def filters_of(graph: Graph, places: Places, operator: Operator, outs: Span, ins: Span) -> Region:
    """The filters of some output channels and some input channels of their group, in external memory."""
    start, data, element = places.filters[operator.index], places.filter_data(operator), graph.maps[0].element_bytes
    channels = graph.maps[operator.output].shape[2]
    taps = prod(operator.window.kernel) if operator.window else 1
    if operator.kind == "depthwise":
        return strided(EXTERNAL, start + outs[0] * element, (outs[1] - outs[0]) * element, channels * element, taps, data)
    depth = operator.weights.filter_shape[-1] * element  # bytes of one tap's input channels
    run = (ins[1] - ins[0]) * element
    return strided(EXTERNAL, start + outs[0] * taps * depth + ins[0] * element, run, depth, (outs[1] - outs[0]) * taps, data)


def biases_of(graph: Graph, places: Places, operator: Operator, outs: Span) -> Region:
    """The 4-byte numbers of some output channels, plane by plane, in external memory."""
    channels = graph.maps[operator.output].shape[2]
    planes = len(operator.weights.planes)
    start, run = places.biases[operator.index] + outs[0] * BIAS_BYTES, (outs[1] - outs[0]) * BIAS_BYTES
    return strided(EXTERNAL, start, run, channels * BIAS_BYTES, planes, places.bias_data(operator))
