"""The bytes of weights in external memory: quantised or not, in the layouts that programs load."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnsim.graph.model import Graph, Operator
from mnsim.reference.numbers import Numbers, quantise_bias, quantise_weights
from mnsim.reference.weights import Weights, fold


class LayerArrays(NamedTuple):
    """One operator's store: filters in their layout, its bias plane (int32 or float32), and batch norm's (2, C) float32 planes."""

    filters: NDArray[Any] | None
    bias: NDArray[Any] | None
    norm: NDArray[np.float32] | None


def channel_axis(operator: Operator) -> int:
    """The axis of the operator's filters that is its output channel: the last one of depthwise filters, else the first."""
    return -1 if operator.kind == "depthwise" else 0


def layer_arrays(graph: Graph, weights: Weights, numbers: Numbers | None = None) -> tuple[LayerArrays, ...]:
    """What is stored of each operator, by index: int8 filters and int32 biases with `numbers`, float32 without.

    Raises ValueError, naming the layer, when an array is missing or has the wrong shape, and for an int8 store without `numbers`
    or the reverse; float16 is a dtype for costs only.
    """
    require(graph, numbers)
    with np.errstate(over="ignore"):  # an infinity shows in what is computed with it
        return tuple(_layer(graph, weights, operator, numbers) for operator in graph.operators)


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
        filters = None if folded.filters is None else folded.filters.astype(np.float32)
        return LayerArrays(filters, None if folded.bias is None else folded.bias.astype(np.float32), norm)
    layer = numbers.layers[operator.index]
    if folded.filters is None or layer.weight_scales is None or layer.bias_scales is None:
        return LayerArrays(None, None, norm)
    quantised = quantise_weights(folded.filters, layer.weight_scales, channel_axis(operator))
    return LayerArrays(quantised, None if folded.bias is None else quantise_bias(folded.bias, layer.bias_scales), norm)


def stored_bytes(graph: Graph, weights: Weights, numbers: Numbers | None = None) -> dict[int, tuple[bytes, bytes]]:
    """Each operator's filters and biases as they lie in external memory, by operator index; little-endian.

    Biases are planes of one 4-byte number a channel: the bias (int32 or float32) if there is one, then scale and shift (float32)
    of a batch norm that is not folded. Raises as `layer_arrays` does.
    """
    return {
        operator.index: (_bytes(arrays.filters), _bytes(arrays.bias) + _bytes(arrays.norm))
        for operator, arrays in zip(graph.operators, layer_arrays(graph, weights, numbers), strict=True)
    }


def _bytes(array: NDArray[Any] | None) -> bytes:
    return b"" if array is None else array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
