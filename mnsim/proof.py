"""The proof of a plan: its program executed on real bytes, held against whole-tensor inference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from mnsim.analysis.occupancy import occupancy
from mnsim.graph.model import FeatureMap, Graph, Operator
from mnsim.graph.storage import value_classes
from mnsim.lowering.hazards import overlaps
from mnsim.lowering.places import Area, Places, make_places
from mnsim.pipeline import Planned, Simulated, run
from mnsim.program.model import Command, Load, Program, Region, Store
from mnsim.program.progress import Progress, untold
from mnsim.reference.calibrate import calibrate
from mnsim.reference.execute import Bytes, Memories, execute, read
from mnsim.reference.infer import as_input, infer
from mnsim.reference.kernels import Array
from mnsim.reference.numbers import Numbers
from mnsim.reference.store import stored_bytes
from mnsim.reference.weights import Weights
from mnsim.spec.records import EXTERNAL, SRAM

CLOSE = 1e-4  # of the largest output: what ONNX Runtime's float32 sums differ by, too


@dataclass(frozen=True, slots=True)
class Difference:
    """The first command that wrote other bytes of a map than inference has, home or in a ring, and the other
    users of those bytes.

    `overlapping` are the ids of other commands that touched the region, the latest before it first.
    """

    command: int
    layer: str
    region: Region
    differing_bytes: int
    overlapping: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """The sizes of a comparison, and its differences.

    `compared_elements` are those of all maps, as often as the program writes them (an output to SRAM and then
    to external memory is two, rows count in a ring, too), `output_elements` those of the network's outputs,
    which are compared once more at the end; `max_ulp` is the largest distance between two outputs in units of
    the last place (int8: in steps of 1), `relative_error` the largest distance over the largest output.
    """

    simulated: Simulated
    compared_elements: int
    output_elements: int
    differing_elements: int
    max_ulp: int
    relative_error: float
    sram_touched_bytes: int
    peak_sram_bytes: int
    first_difference: Difference | None

    @property
    def identical(self) -> bool:
        return self.differing_elements == 0 and self.first_difference is None

    @property
    def is_close(self) -> bool:
        """Whether no output is further off than the rounding of split float32 sums explains."""
        return self.relative_error <= CLOSE


def verify(planned: Planned, weights: Weights, image: Array, calibration: Sequence[Array] = (), progress: Progress = untold) -> Verified:
    """Execute the plan's program on a memory of exactly the SRAM's size, and compare every map that it
    writes with inference.

    An int8 network is calibrated on the images, or on seeded noise. `progress` is told how far the program
    is made. Raises ValueError as inference does (float16, wrong shapes).
    """
    graph = planned.graph
    numbers = calibrate(graph, weights, calibration) if graph.dtype == "int8" else None
    maps: dict[int, Array] = {0: as_input(graph, image, numbers)}

    def keep(operator: Operator, stage: str, result: Array) -> None:
        maps[operator.output] = result

    outputs = infer(graph, weights, image, numbers, keep)
    simulated, places = run(planned, progress), make_places(graph, planned.plan)
    seen = _Seen(simulated.program, _expected(graph, places, maps) | _expected_in_rings(graph, simulated.program, maps))
    layers = {operator.name: layer for operator, layer in zip(graph.operators, numbers.layers, strict=True)} if numbers else None
    external = external_content(graph, places, weights, numbers, maps[0])
    memories = execute(simulated.program, simulated.timeline, {EXTERNAL: external}, layers, seen.look)
    stored = [
        read(memories, region).view(wanted.dtype).reshape(wanted.shape)
        for region, wanted in zip(simulated.program.outputs, outputs, strict=True)
    ]
    return Verified(
        simulated,
        seen.compared_bytes // graph.maps[0].element_bytes,
        sum(wanted.size for wanted in outputs),
        sum(int((found != wanted).sum()) for found, wanted in zip(stored, outputs, strict=True)),
        max(ulps(found, wanted) for found, wanted in zip(stored, outputs, strict=True)),
        max(_relative_error(found, wanted) for found, wanted in zip(stored, outputs, strict=True)),
        int(seen.touched.sum()),
        occupancy(simulated.program, simulated.timeline).peak_bytes,
        seen.first,
    )


def external_content(graph: Graph, places: Places, weights: Weights, numbers: Numbers | None, image: Array) -> Bytes:
    """External memory before the run: the input and all weights where the program looks for them, 0xAA
    elsewhere.
    """
    content = np.full(places.external_bytes, 0xAA, np.uint8)
    content[: graph.maps[0].size_bytes] = _bytes(image)
    for operator, parts in stored_bytes(graph, weights, numbers):
        for start, part in zip((places.filters[operator.index], places.biases[operator.index]), parts, strict=True):
            content[start : start + part.size] = part
    return content


def ulps(found: Array, wanted: Array) -> int:
    """The largest distance in units of the last place: floats are counted in the order of their bit
    patterns.
    """
    if found.dtype == np.int8:
        return int(np.abs(found.astype(np.int16) - wanted).max(initial=0))
    places = [
        np.where(bits < 0, np.int64(-(2**31)) - bits, bits) for bits in (part.view(np.int32).astype(np.int64) for part in (found, wanted))
    ]
    return int(np.abs(places[0] - places[1]).max(initial=0))


def _relative_error(found: Array, wanted: Array) -> float:
    largest = float(np.abs(wanted.astype(np.float64)).max(initial=0))
    return float(np.abs(found.astype(np.float64) - wanted).max(initial=0)) / (largest or 1.0)


def _bytes(values: Array) -> Bytes:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


Expected = dict[tuple[str, int], tuple[int, Bytes]]  # by memory and value: the first address, and the bytes


def _expected(graph: Graph, places: Places, maps: dict[int, Array]) -> Expected:
    """The right bytes of each memory where maps lie; a flatten or concat is the same value as its inputs."""
    parts: dict[tuple[str, int], list[tuple[Area, FeatureMap, Array]]] = {}
    for index, values in maps.items():
        for area in {places.homes[index], places.outside[index]}:
            if area is not None:
                parts.setdefault((area.memory, area.data), []).append((area, graph.maps[index], values))
    return {key: _laid_out(found) for key, found in parts.items()}


def _laid_out(parts: list[tuple[Area, FeatureMap, Array]]) -> tuple[int, Bytes]:
    def end_of(area: Area, feature_map: FeatureMap) -> int:
        height, width, channels = feature_map.shape
        return area.start + (height * width - 1) * area.pixel_bytes + channels * feature_map.element_bytes

    first = min(area.start for area, _, _ in parts)
    laid = np.zeros(max(end_of(area, feature_map) for area, feature_map, _ in parts) - first, np.uint8)
    for area, feature_map, values in parts:
        height, width, channels = feature_map.shape
        run = channels * feature_map.element_bytes
        view = as_strided(laid[area.start - first :], (height * width, run), (area.pixel_bytes, 1))
        view[...] = _bytes(values).reshape(view.shape)
    return first, laid


def _expected_in_rings(graph: Graph, program: Program, maps: dict[int, Array]) -> Expected:
    """The right bytes of what passes through rings: parts of maps."""
    classes = value_classes(graph)
    alike: dict[int, list[int]] = {}
    for index in maps:
        alike.setdefault(classes[index], []).append(index)
    found: Expected = {}
    for data, part in program.passed.items():
        first, last = part.rows
        height, width, _ = graph.maps[part.map].shape
        laid = np.zeros((last - first, width, part.pixel_bytes), np.uint8)
        for index in alike[classes[part.map]]:
            if graph.maps[index].shape[:2] == (height, width):
                pixels = _bytes(maps[index]).reshape(height, width, -1)[first:last]
                shift = graph.slots[index].offset_bytes - part.offset
                start, end = max(0, shift), min(part.pixel_bytes, shift + pixels.shape[2])
                if start < end:
                    laid[..., start:end] = pixels[..., start - shift : end - shift]
        found[SRAM, data] = part.start, laid.reshape(-1)
    return found


class _Seen:
    """The bytes that each command wrote, compared with inference's maps; and all bytes of the SRAM that were
    written.
    """

    def __init__(self, program: Program, expected: Expected) -> None:
        self.program = program
        self.expected = expected
        self.touched = np.zeros(program.memories[SRAM], np.bool_)
        self.compared_bytes = 0
        self.first: Difference | None = None

    def look(self, command: Command, memories: Memories) -> None:
        for region in command.writes:
            if region.memory == SRAM:
                as_strided(self.touched[region.start :], (region.runs, region.run_bytes), (region.stride_bytes, 1))[...] = True
            found = self.expected.get((region.memory, region.data))
            if found is None:
                continue
            first, wanted = found
            there = as_strided(wanted[region.start - first :], (region.runs, region.run_bytes), (region.stride_bytes, 1))
            wrong = int((read(memories, region).reshape(there.shape) != there).sum())
            self.compared_bytes += region.size_bytes
            if wrong and self.first is None:
                others = tuple(_others(self.program, command, region))
                self.first = Difference(command.id, command.layer, region, wrong, others)


def _others(program: Program, command: Command, region: Region, most: int = 5) -> Iterator[int]:
    """Earlier commands that touched the region or the command's inputs, the latest first."""
    count = 0
    for other in reversed(program.commands[: command.id]):
        touched = [each for each in (*other.reads, *other.writes) if each.memory == SRAM]
        mine = [each for each in (region, *command.reads) if each.memory == SRAM]
        if any(overlaps(one, each) for one in mine for each in touched):
            yield other.id
            count += 1
            if count == most:
                return


def moved_bytes(program: Program) -> int:
    """Bytes that cross the bus when the program runs."""
    return sum(command.moved_bytes for command in program.commands if isinstance(command, Load | Store))
