"""The bytes of weights in external memory: quantised or not, in the layouts that programs load."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnsim.graph.model import Graph, Operator
from mnsim.reference.numbers import Numbers, Scale, least_weight_scales, quantise_bias, quantise_weights, weight_scales
from mnsim.reference.weights import Folded, Weights, along, fold

KEPT_BYTES = 1 << 26  # a network of this size is folded once for all images


class LayerArrays(NamedTuple):
    """One operator's store: filters in their layout, its bias plane (int32 or float32), and batch norm's
    (2, C) float32 planes.
    """

    filters: NDArray[Any] | None
    bias: NDArray[Any] | None
    norm: NDArray[np.float32] | None


class StoredArrays:
    """`layer_arrays` one operator at a time, by index. Arrays are made on demand, and kept while all of them
    take less than `KEPT_BYTES`.

    Raises ValueError as `layer_arrays` does, but only for the operator whose arrays are wanted. Without a
    folded batch norm, float32 filters are those of the weights themselves.
    """

    def __init__(self, graph: Graph, weights: Weights, numbers: Numbers | None = None) -> None:
        require(graph, numbers)
        self._graph, self._weights, self._numbers = graph, weights, numbers
        self._kept: dict[int, LayerArrays] = {}
        self._room_bytes = KEPT_BYTES

    def __getitem__(self, index: int) -> LayerArrays:
        if index in self._kept:
            return self._kept[index]
        with np.errstate(over="ignore"):  # an infinity shows in the results
            arrays = _layer(self._graph, self._weights, self._graph.operators[index], self._numbers)
        size = sum(array.nbytes for array in arrays if array is not None)
        if size <= self._room_bytes:
            self._room_bytes -= size
            self._kept[index] = arrays
        return arrays


def layer_arrays(graph: Graph, weights: Weights, numbers: Numbers | None = None) -> tuple[LayerArrays, ...]:
    """The stored arrays of each operator, by index: int8 filters and int32 biases with `numbers`, float32
    without.

    Raises ValueError, naming the layer, when an array is missing or has the wrong shape, and for an int8
    store without `numbers` or the reverse; float16 is a dtype for costs only.
    """
    store = StoredArrays(graph, weights, numbers)
    return tuple(store[operator.index] for operator in graph.operators)


def require(graph: Graph, numbers: Numbers | None) -> None:
    """Raises ValueError unless the graph's dtype can be computed with these numbers."""
    if graph.dtype == "float16":
        raise ValueError("float16 networks have costs but cannot be run: use int8 or float32")
    if (graph.dtype == "int8") != (numbers is not None):
        raise ValueError(f"an {graph.dtype} network runs {'with' if graph.dtype == 'int8' else 'without'} quantisation numbers")


def _layer(graph: Graph, weights: Weights, operator: Operator, numbers: Numbers | None) -> LayerArrays:
    folded = fold(graph, weights, operator)
    norm = None if folded.norm is None else folded.norm.astype(np.float32)
    if numbers is None:
        return LayerArrays(_float_filters(folded), None if folded.bias is None else folded.bias.astype(np.float32), norm)
    layer = numbers.layers[operator.index]
    if folded.filters is None or layer.weight_scales is None or layer.bias_scales is None:
        return LayerArrays(None, None, norm)
    axis, quantised = folded.channel_axis, np.empty(folded.filters.shape, np.int8)
    for part, piece in folded.pieces():
        quantised[along(axis, part)] = quantise_weights(piece, layer.weight_scales[part], axis)
    return LayerArrays(quantised, None if folded.bias is None else quantise_bias(folded.bias, layer.bias_scales), norm)


def _float_filters(folded: Folded) -> NDArray[np.float32] | None:
    """The filters in float32; with nothing folded into them, the trained ones themselves."""
    if folded.filters is None or folded.gains is None:
        return None if folded.filters is None else folded.filters.astype(np.float32, copy=False)
    filters = np.empty(folded.filters.shape, np.float32)
    for part, piece in folded.pieces():
        filters[along(folded.channel_axis, part)] = piece
    return filters


def filter_scales(folded: Folded, x: Scale) -> NDArray[np.float64] | None:
    """The scales of the operator's int8 filters, one a channel, for an input of this scale; None without
    filters.
    """
    if folded.filters is None:
        return None
    least = np.zeros(folded.filters.shape[folded.channel_axis]) if folded.bias is None else least_weight_scales(folded.bias, x)
    parts = [weight_scales(piece, folded.channel_axis, least[part]) for part, piece in folded.pieces()]
    return np.concatenate(parts) if parts else None


def stored_bytes(
    graph: Graph, weights: Weights, numbers: Numbers | None = None
) -> Iterator[tuple[Operator, tuple[NDArray[np.uint8], NDArray[np.uint8]]]]:
    """Each operator's filters and biases as they lie in external memory, one operator after another;
    little-endian.

    Biases are planes of one 4-byte number a channel: the bias (int32 or float32) if there is one, then
    scale and shift (float32) of a batch norm that is not folded. Raises as `layer_arrays` does.
    """
    store = StoredArrays(graph, weights, numbers)
    for operator in graph.operators:
        arrays = store[operator.index]
        yield operator, (_bytes(arrays.filters), np.concatenate([_bytes(arrays.bias), _bytes(arrays.norm)]))


def _bytes(array: NDArray[Any] | None) -> NDArray[np.uint8]:
    if array is None:
        return np.empty(0, np.uint8)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
