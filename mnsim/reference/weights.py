"""A network's weights as trained: float32 arrays by layer, before batch norm is folded and before
quantisation.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnsim.graph.model import Graph, Operator
from mnsim.reference.numbers import Floats

EPSILON = 1e-3  # batch norm's; an assumption: TensorFlow's MobileNet has it, and files seldom say it
PIECE_ELEMENTS = 1 << 20  # of filters that are in float64 at a time
NORM_NAMES = ("gamma", "beta", "mean", "variance")


@dataclass(frozen=True)
class Weights:
    """Float32 arrays by layer name and array name; `expected_shapes` lists them.

    `filters` are (C_out, k_h, k_w, C_in / groups) of a convolution, (k_h, k_w, C_out) of a depthwise one,
    where output channel c * multiplier + m belongs to input channel c, and (C_out, K) of a fully connected
    layer, K = H * W * C_in in HWC order. `bias`, and batch norm's `gamma`, `beta`, `mean` and `variance`,
    have one number a channel.
    """

    layers: Mapping[str, Mapping[str, Floats]]


def expected_shapes(graph: Graph) -> dict[str, dict[str, tuple[int, ...]]]:
    """The arrays that `Weights` must have for the graph: by layer name (only those with weights), by array
    name, their shapes.
    """
    shapes = {operator.name: _shapes_of(operator) for operator in graph.operators}
    return {layer: found for layer, found in shapes.items() if found}


def random_weights(graph: Graph, seed: int = 0) -> Weights:
    """Seeded random weights: He-normal filters, small biases, and batch norms near the identity.

    Each layer draws from a stream of its own (seed and place in the network), and the values do not depend
    on the dtype, so float32 and int8 graphs of one network have the same weights.
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
        values = random.standard_normal(shape, np.float32)
        values *= np.float32(np.sqrt(2 / fan_in))
        return values
    if name in ("gamma", "variance"):  # positive, around one
        return random.uniform(0.8, 1.25, shape).astype(np.float32)
    return random.normal(0, 0.1, shape).astype(np.float32)


class Folded(NamedTuple):
    """The arrays of an operator that inference reads, None for those that it lacks.

    `bias` (C,) has a folded batch norm in it, in float64; `norm` (2, C) is that of an unfolded one, y = x *
    scale + shift; `filters` are as trained, and `pieces` gives them with the folded batch norm.
    `channel_axis` is the axis of the filters that is their output channel: the last one of a depthwise
    convolution, else the first.
    """

    filters: Floats | None
    gains: NDArray[np.float64] | None  # (C,): what a folded batch norm multiplies the filters with
    channel_axis: int
    bias: NDArray[np.float64] | None
    norm: NDArray[np.float64] | None

    def pieces(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """The filters with the batch norm, in float64, for output channels [a, b) at a time: all at once can
        take a gigabyte.
        """
        if self.filters is None:
            return
        channels = self.filters.shape[self.channel_axis]
        step = max(1, PIECE_ELEMENTS * channels // max(1, self.filters.size))
        for first in range(0, channels, step):
            part = slice(first, min(channels, first + step))
            piece = self.filters[along(self.channel_axis, part)].astype(np.float64)
            if self.gains is not None:
                piece *= self.gains[part].reshape(-1, *[1] * (piece.ndim - 1 if self.channel_axis == 0 else 0))
            yield part, piece


def along(axis: int, part: slice) -> tuple[Any, ...]:
    """The index of a part of an array's first axis (0) or of its last (-1)."""
    return (part,) if axis == 0 else (..., part)


def fold(graph: Graph, weights: Weights, operator: Operator) -> Folded:
    """Fold or merge the operator's batch norm: scale = gamma / sqrt(variance + EPSILON), shift = beta -
    mean * scale.

    Folded, the filters become filters * scale and the bias becomes beta + (bias - mean) * scale. Raises
    ValueError, naming the layer, when an array is missing or has another shape than `expected_shapes`
    says.
    """
    has, arrays = operator.weights, weights.layers.get(operator.name, {})
    for name, shape in _shapes_of(operator).items():
        if name not in arrays:
            raise ValueError(f"layer '{operator.name}' has no {name}")
        if arrays[name].shape != shape:
            raise ValueError(f"layer '{operator.name}': {name} is {arrays[name].shape}, expected {shape}")
    wide = {name: array.astype(np.float64) for name, array in arrays.items() if name != "filters"}
    filters, bias = arrays.get("filters"), wide.get("bias") if "bias" in has.trained else None
    gains = norm = None
    if has.has_norm:
        scale = wide["gamma"] / np.sqrt(wide["variance"] + EPSILON)
        shift = wide["beta"] - wide["mean"] * scale
        if has.is_folded and filters is not None:
            gains, bias = scale, shift if bias is None else shift + bias * scale
        else:
            norm = np.stack([scale, shift])
    return Folded(filters, gains, -1 if operator.kind == "depthwise" else 0, bias, norm)


def _shapes_of(operator: Operator) -> dict[str, tuple[int, ...]]:
    parts, per_channel = operator.weights, (operator.weights.channels,)
    shapes: dict[str, tuple[int, ...]] = {"filters": parts.filter_shape} if parts.filter_shape else {}
    shapes |= {"bias": per_channel} if "bias" in parts.trained else {}
    return shapes | (dict.fromkeys(NORM_NAMES, per_channel) if parts.has_norm else {})
