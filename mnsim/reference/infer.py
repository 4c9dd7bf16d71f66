"""Whole-tensor inference: every operator on its whole map, in the order of the graph."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from mnsim.graph.model import Graph, Operator
from mnsim.graph.operators import vector_work
from mnsim.operators.table import RULES
from mnsim.reference.kernels import Array
from mnsim.reference.numbers import Numbers, quantise
from mnsim.reference.stages import accumulate, add_start, apply_vector, finish, whole_kernel
from mnsim.reference.store import LayerArrays, StoredArrays, require
from mnsim.reference.weights import Weights

OnStage = Callable[[Operator, str, Array], None]


def infer(graph: Graph, weights: Weights, image: Array, numbers: Numbers | None = None, watch: OnStage | None = None) -> tuple[Array, ...]:
    """The network's outputs for one image (H, W, C), in the order of `graph.outputs`: int8, or float32 for
    a float32 graph.

    An int8 graph needs `numbers` (`calibrate`), and takes an int8 image as it is and a float one to be
    quantised. Integers are exact; float32 sums are taken in float64 and rounded once a stage.
    `watch(operator, stage, result)` sees the result of every stage, named as in `Kernel.operation`; the
    last one is the operator's map. Raises ValueError for an image of another shape, for weights that do
    not fit the graph, and for float16.
    """
    return run(graph, StoredArrays(graph, weights, numbers), image, numbers, watch)


def run(
    graph: Graph,
    arrays: Sequence[LayerArrays] | StoredArrays,
    image: Array,
    numbers: Numbers | None = None,
    watch: OnStage | None = None,
    fast: bool = False,
) -> tuple[Array, ...]:
    """`infer` with weights as stored, to run many images. `layer_arrays` are faster, `StoredArrays` take less
    memory.

    `fast` sums floats in float32: for results, not for comparisons. Clamps (relu) of floats then overwrite
    the results that `watch` saw before them. It changes nothing in int8.
    """
    require(graph, numbers)
    maps: dict[int, Array] = {0: as_input(graph, image, numbers)}
    last_use = {source: operator.index for operator in graph.operators for source in operator.inputs}
    with np.errstate(over="ignore", invalid="ignore"):  # absurd weights give infinities, as IEEE has it, not warnings
        for operator in graph.operators:
            inputs = [maps[source] for source in operator.inputs]
            for name, result in stages(graph, operator, inputs, arrays[operator.index], numbers, fast):
                if watch:
                    watch(operator, name, result)
                maps[operator.output] = result
            for source in operator.inputs:
                if last_use[source] == operator.index:
                    maps.pop(source, None)  # this was its last reader
    return tuple(maps[index] for index in graph.outputs)


def as_input(graph: Graph, image: Array, numbers: Numbers | None) -> Array:
    """The image in the graph's dtype. Raises ValueError for another shape than the network's."""
    if image.shape != graph.maps[0].shape:
        raise ValueError(f"the image is {image.shape}, the network takes {graph.maps[0].shape}")
    if numbers is None:
        return image.astype(np.float32) + np.float32(0)  # no -0.0, as in every other map
    return image if image.dtype == np.int8 else quantise(image.astype(np.float32), numbers.maps[0])


def stages(
    graph: Graph, operator: Operator, inputs: Sequence[Array], arrays: LayerArrays, numbers: Numbers | None, fast: bool = False
) -> Iterator[tuple[str, Array]]:
    """Each of the operator's stages with its result, the map last. `inputs` are whole maps, `arrays` its
    stored weights.
    """
    layer = numbers.layers[operator.index] if numbers else None
    kernel = whole_kernel(graph, operator)
    if RULES[operator.kind].memory == "renames":
        yield operator.kind, inputs[0].reshape(1, 1, -1) if operator.kind == "flatten" else np.concatenate(inputs, axis=2)
        return
    first = layer.stage(operator.label) if layer else None
    if arrays.filters is not None:
        sums = add_start(accumulate(kernel, inputs[0], arrays.filters, first, fast), arrays.bias)
        result = finish(sums, first, (0, sums.shape[2]))
    else:
        result = apply_vector(kernel, inputs, first, arrays.norm)
    yield operator.label, result
    for name, _ in vector_work(operator, ()):
        if name != operator.kind:
            result = apply_vector(replace(kernel, operation=name), [result], layer.stage(name) if layer else None, arrays.norm, fast)
            yield name, result
