"""From float32 weights and images to int8 numbers: the range of every map decides its scale."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mnsim.graph.model import Graph, Operator
from mnsim.graph.operators import vector_work
from mnsim.operators.table import RULES
from mnsim.reference.infer import run
from mnsim.reference.kernels import Array
from mnsim.reference.numbers import LayerNumbers, Numbers, Scale, StageNumbers, exponentials, multipliers_of, scale_of
from mnsim.reference.stages import ACTIVATIONS, activation_table
from mnsim.reference.store import StoredArrays, filter_scales
from mnsim.reference.weights import Weights, fold

Range = tuple[float, float]
Ranges = dict[tuple[int, str], Range]  # by a stage's map and name
SAME_SCALE = tuple(kind for kind, rule in RULES.items() if rule.int8 == "same_scale")  # their outputs are bytes of their inputs
SOFTMAX_RANGE = (0.0, 255 / 256)  # a scale of 1/256: shares up to 1, which saturates
NOISE_IMAGES = 2


def noise_images(graph: Graph, count: int = NOISE_IMAGES, seed: int = 0) -> list[Array]:
    """Images of seeded normal noise, mean 0 and deviation 1, as normalised images have."""
    random = np.random.default_rng(seed)
    return [random.standard_normal(graph.maps[0].shape, np.float32) for _ in range(count)]


def calibrate(graph: Graph, weights: Weights, images: Sequence[Array] = ()) -> Numbers:
    """The quantisation of an int8 graph: ranges of the float32 reference over the images, or over seeded
    noise without any.

    Maps that are the same bytes, or whose bytes are copied, share one scale: the inputs and the output of a
    concat, and both sides of a flatten and of a maximum. The input of a clamp (relu) is quantised to the
    clamp's range at once, any other stage's input to its own. Raises ValueError when a range is not finite,
    and as `infer` does.
    """
    plain = _float_graph(graph)
    arrays = StoredArrays(plain, weights)
    ranges: Ranges = {}

    def watch(operator: Operator, stage: str, result: Array) -> None:
        _widen(ranges, (operator.output, stage), result)

    for image in images if len(images) else noise_images(graph):
        _widen(ranges, (0, ""), image)
        run(plain, arrays, image, watch=watch)
    maps = _map_scales(graph, ranges)
    return Numbers(maps, tuple(_layer(graph, weights, operator, maps, ranges) for operator in graph.operators))


def _float_graph(graph: Graph) -> Graph:
    """The int8 graph in float32."""
    wide = [replace(operator, weights=replace(operator.weights, element_bytes=4)) for operator in graph.operators]
    maps = tuple(replace(feature_map, element_bytes=4) for feature_map in graph.maps)
    return replace(graph, dtype="float32", maps=maps, operators=tuple(wide))


def _widen(ranges: Ranges, key: tuple[int, str], values: Array) -> None:
    low, high = ranges.get(key, (0.0, 0.0))
    ranges[key] = float(np.minimum(low, values.min())), float(np.maximum(high, values.max()))  # a NaN stays one


def _stage_names(operator: Operator) -> list[str]:
    return [operator.label, *(name for name, _ in vector_work(operator, ()) if name not in (operator.kind, "copy"))]


def _map_scales(graph: Graph, ranges: Ranges) -> tuple[Scale, ...]:
    """The scale of each map; maps that must have the same scale form a group."""
    leader = list(range(len(graph.maps)))

    def find(index: int) -> int:
        while leader[index] != index:
            index = leader[index]
        return index

    for operator in graph.operators:
        if operator.kind in SAME_SCALE:
            for source in operator.inputs:
                first, second = sorted((find(source), find(operator.output)))
                leader[second] = first
    spans = {0: ranges[0, ""]}
    for operator in graph.operators:
        found = SOFTMAX_RANGE if operator.kind == "softmax" else ranges[operator.output, _stage_names(operator)[-1]]
        spans[operator.output] = found
    groups: dict[int, Range] = {}
    for index, span in spans.items():
        low, high = groups.get(find(index), span)
        groups[find(index)] = float(np.minimum(low, span[0])), float(np.maximum(high, span[1]))
    scales = {group: scale_of(low, high, graph.maps[group].name) for group, (low, high) in groups.items()}
    return tuple(scales[find(index)] for index in range(len(graph.maps)))


def _written(operator: Operator, last: Scale, ranges: Ranges) -> list[tuple[str, Scale]]:
    """Each stage's name with the scale of its output, in order; the last one writes the map.

    The input of a clamp may have the scale of its output: values beyond are cut off anyway. The input of any
    other stage has its own.
    """
    written: list[tuple[str, Scale]] = []
    follower = ""
    for name in reversed(_stage_names(operator)):
        if follower and not RULES[follower].is_clamp:
            last = scale_of(*ranges[operator.output, name], operator.name)
        written.insert(0, (name, last))
        follower = name
    return written


def _layer(graph: Graph, weights: Weights, operator: Operator, maps: tuple[Scale, ...], ranges: Ranges) -> LayerNumbers:
    inputs = tuple(maps[source] for source in operator.inputs)
    scales = filter_scales(fold(graph, weights, operator), inputs[0])
    stages: list[StageNumbers] = []
    for place, (name, output) in enumerate(_written(operator, maps[operator.output], ranges)):
        multipliers = None
        if place == 0 and scales is not None:
            multipliers = multipliers_of(inputs[0], scales, output)
        table = activation_table(name, inputs[0], output) if name in ACTIVATIONS else exponentials(inputs[0]) if name == "softmax" else None
        stages.append(StageNumbers(name, inputs, output, multipliers, table))
        inputs = (output,)
    return LayerNumbers(tuple(stages), scales)
