"""A network's weights as trained: float32 arrays by layer, before batch norm is folded and before quantisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnsim.graph.model import Graph, Operator

EPSILON = 1e-3  # batch norm's; an assumption: TensorFlow's MobileNet has it, and files seldom say it
NORM_NAMES = ("gamma", "beta", "mean", "variance")
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Weights:
    """Float32 arrays by layer name and array name; `expected_shapes` says which there must be.

    `filters` are (C_out, k_h, k_w, C_in / groups) of a convolution, (k_h, k_w, C_out) of a depthwise one, where output channel
    c * multiplier + m belongs to input channel c, and (C_out, K) of a fully connected layer, K = H * W * C_in in HWC order.
    `bias`, and batch norm's `gamma`, `beta`, `mean` and `variance`, have one number a channel.
    """

    layers: Mapping[str, Mapping[str, Floats]]


def expected_shapes(graph: Graph) -> dict[str, dict[str, tuple[int, ...]]]:
    """The arrays that `Weights` must have for the graph: by layer name (only those with weights), by array name, their shapes."""
    shapes = {operator.name: _shapes_of(operator) for operator in graph.operators}
    return {layer: found for layer, found in shapes.items() if found}


def random_weights(graph: Graph, seed: int = 0) -> Weights:
    """Seeded random weights: He-normal filters, small biases, and batch norms near the identity.

    Each layer draws from a stream of its own (seed and place in the network), and the values do not depend on the dtype, so
    float32 and int8 graphs of one network have the same weights.
    """
    shapes = expected_shapes(graph)
    layers: dict[str, dict[str, Floats]] = {}
    for operator in graph.operators:
        if operator.name not in shapes:
            continue
        random = np.random.default_rng((seed, operator.index))
        layers[operator.name] = {name: _draw(random, name, shape, operator.kind) for name, shape in shapes[operator.name].items()}
    return Weights(layers)


def _draw(random: np.random.Generator, name: str, shape: tuple[int, ...], kind: str) -> Floats:
    if name == "filters":
        fan_in = prod(shape[:2]) if kind == "depthwise" else prod(shape[1:])
        return (random.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / fan_in))).astype(np.float32)
    if name in ("gamma", "variance"):  # positive, around one
        return random.uniform(0.8, 1.25, shape).astype(np.float32)
    return random.normal(0, 0.1, shape).astype(np.float32)


class Folded(NamedTuple):
    """What inference reads, in float64: filters and bias with a folded batch norm in them; scale and shift of an unfolded one.

    None where the operator has none. An unfolded norm is y = x * scale + shift.
    """

    filters: NDArray[np.float64] | None
    bias: NDArray[np.float64] | None
    norm: NDArray[np.float64] | None  # (2, C): scale, shift


def fold(graph: Graph, weights: Weights, operator: Operator) -> Folded:
    """Fold or merge the operator's batch norm: scale = gamma / sqrt(variance + EPSILON), shift = beta - mean * scale.

    Folded, the filters become filters * scale and the bias becomes beta + (bias - mean) * scale. Raises ValueError, naming the
    layer, when an array is missing or has another shape than `expected_shapes` says.
    """
    has, arrays = operator.weights, weights.layers.get(operator.name, {})
    for name, shape in _shapes_of(operator).items():
        if name not in arrays:
            raise ValueError(f"layer '{operator.name}' has no {name}")
        if arrays[name].shape != shape:
            raise ValueError(f"layer '{operator.name}': {name} is {arrays[name].shape}, expected {shape}")
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    filters, bias, norm = wide.get("filters"), wide.get("bias") if "bias" in has.trained else None, None
    if has.has_norm:
        scale = wide["gamma"] / np.sqrt(wide["variance"] + EPSILON)
        shift = wide["beta"] - wide["mean"] * scale
        if has.is_folded and filters is not None:
            last = operator.kind == "depthwise"  # output channels are the last axis there, the first one elsewhere
            filters = filters * (scale if last else scale.reshape(-1, *[1] * (filters.ndim - 1)))
            bias = shift if bias is None else shift + bias * scale
        else:
            norm = np.stack([scale, shift])
    return Folded(filters, bias, norm)


def _shapes_of(operator: Operator) -> dict[str, tuple[int, ...]]:
    parts, per_channel = operator.weights, (operator.weights.channels,)
    shapes: dict[str, tuple[int, ...]] = {"filters": parts.filter_shape} if parts.filter_shape else {}
    shapes |= {"bias": per_channel} if "bias" in parts.trained else {}
    return shapes | (dict.fromkeys(NORM_NAMES, per_channel) if parts.has_norm else {})
