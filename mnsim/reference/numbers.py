"""Quantisation to int8: what every number in the machine stands for.

An activation q stands for (q - zero_point) * scale, one scale a map, q in -128..127. A weight q stands for
q * scale, one scale a channel, q in -127..127. A bias is int32 at scale s_x * s_w. A matrix operator's
accumulator becomes an activation by ONNX's rule, saturate(rint(float32(acc) * float32(s_x * s_w / s_y)) +
zero_point), halves to even. Operators of one argument are tables.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = -128, 127
MOST_BIAS = 2.0**30  # in steps of the accumulator
WEIGHT_LIMIT = 127
INT8_VALUES = np.arange(LOWEST, HIGHEST + 1)
Ints8 = NDArray[np.int8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of an int8 activation q, which stands for (q - zero_point) * scale. `scale` is a float32's
    value, above 0.
    """

    scale: float
    zero_point: int


@dataclass(frozen=True, eq=False, slots=True)
class StageNumbers:
    """The numbers that one stage of an operator needs in int8, beside its bytes.

    `name` is the stage's operation as `Kernel.operation` has it. `inputs` are the scales of its inputs,
    `output` that of its output. `multipliers` are s_x * s_w / s_y, one a channel, of a matrix operator.
    `table` has 256 entries: of an activation the output for q = -128, -127, ...; of a softmax exp(-scale *
    d), d = 0, 1, ... being the distance from the largest input.
    """

    name: str
    inputs: tuple[Scale, ...]
    output: Scale
    multipliers: Floats | None = None
    table: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class LayerNumbers:
    """An operator's stages in order (the operator, unfolded batch norm, activation), and its filters'
    scales, one a channel.
    """

    stages: tuple[StageNumbers, ...]
    weight_scales: NDArray[np.float64] | None = None

    @property
    def bias_scales(self) -> NDArray[np.float64] | None:
        """The scale of an accumulator, s_x * s_w by channel; None without filters."""
        return None if self.weight_scales is None else self.stages[0].inputs[0].scale * self.weight_scales

    def stage(self, operation: str) -> StageNumbers:
        """The stage of this name. Raises KeyError when the operator has none."""
        for stage in self.stages:
            if stage.name == operation:
                return stage
        raise KeyError(operation)


@dataclass(frozen=True, eq=False, slots=True)
class Numbers:
    """A network's quantisation: each map's scale, by map index, and each operator's numbers, by operator
    index.
    """

    maps: tuple[Scale, ...]
    layers: tuple[LayerNumbers, ...]


def scale_of(low: float, high: float, name: str) -> Scale:
    """The scale that spreads a range, widened to include 0, over the 256 values. Raises ValueError for a
    range that is not finite.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    step = np.float32((high - low) / (HIGHEST - LOWEST)) if np.isfinite(high - low) else np.float32(np.inf)
    if not np.isfinite(step):
        raise ValueError(f"the values of '{name}' run from {low:g} to {high:g}: no int8 scale fits them")
    if step < np.finfo(np.float32).tiny:
        return Scale(1.0, 0)
    return Scale(float(step), int(np.clip(np.rint(LOWEST - low / float(step)), LOWEST, HIGHEST)))


def weight_scales(filters: NDArray[np.float64], channel_axis: int, least: NDArray[np.float64]) -> NDArray[np.float64]:
    """One scale a channel, so that its largest weight becomes 127 or -127, but not less than `least`.

    A channel of zeros, for which `least` is 0 too, has 1. Values are float32's.
    """
    others = tuple(axis for axis in range(filters.ndim) if axis != channel_axis % filters.ndim)
    step = np.maximum(np.abs(filters).max(axis=others) / WEIGHT_LIMIT, least).astype(np.float32)
    return np.where(step < np.finfo(np.float32).tiny, 1.0, step.astype(np.float64))


def least_weight_scales(bias: NDArray[np.float64], x: Scale) -> NDArray[np.float64]:
    """The weight scale of each channel below which its bias would not fit the accumulator.

    A bias counts in steps of the input's scale times the weights', and is to stay below 2^30: int32 leaves as
    much for the sum. It matters for a large bias beside tiny weights.
    """
    return np.abs(bias) / (x.scale * MOST_BIAS)


def quantise_weights(filters: NDArray[np.float64], scales: NDArray[np.float64], channel_axis: int) -> Ints8:
    """Symmetric int8 filters: rint(w / scale), -127..127."""
    shape = [1] * filters.ndim
    shape[channel_axis] = -1
    return np.clip(np.rint(filters / scales.reshape(shape)), -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int8)


def quantise_bias(bias: NDArray[np.float64], scales: NDArray[np.float64]) -> NDArray[np.int32]:
    """Int32 biases at the accumulator's scale, saturated."""
    limits = np.iinfo(np.int32)
    return np.clip(np.rint(bias / scales), limits.min, limits.max).astype(np.int32)


def quantise(values: NDArray[Any], scale: Scale) -> Ints8:
    """Saturate(rint(value / scale) + zero_point), in the values' own floating point."""
    return saturate(np.rint(values / values.dtype.type(scale.scale)), scale)


def dequantise(values: Ints8, scale: Scale) -> Floats:
    """The float32 numbers that int8 activations stand for."""
    return (values.astype(np.float32) - np.float32(scale.zero_point)) * np.float32(scale.scale)


def requantise(accumulators: NDArray[np.int32], multipliers: NDArray[Any], output: Scale) -> Ints8:
    """ONNX's rule: saturate(rint(float32(acc) * multiplier) + zero_point); `multipliers` are float32, one
    a channel or one.
    """
    return saturate(np.rint(accumulators.astype(np.float32) * multipliers), output)


def multipliers_of(x: Scale, weight_scales: NDArray[np.float64], y: Scale) -> Floats:
    """(s_x * s_w) / s_y by channel, each step in float32: ONNX Runtime's order, without which one result
    in millions differs.
    """
    return np.float32(x.scale) * weight_scales.astype(np.float32) / np.float32(y.scale)


def saturate(rounded: NDArray[Any], scale: Scale) -> Ints8:
    """Whole numbers plus the zero point, held within -128..127."""
    held: Ints8 = np.clip(rounded + rounded.dtype.type(scale.zero_point), LOWEST, HIGHEST).astype(np.int8)
    return held


def table_of(function: Callable[[NDArray[Any]], NDArray[Any]], x: Scale, y: Scale) -> Ints8:
    """The function's int8 output for each int8 input, -128 first."""
    return quantise(function((INT8_VALUES - x.zero_point) * x.scale), y)


def exponentials(x: Scale) -> NDArray[np.float64]:
    """exp(-scale * d) for d = 0 to 255: a softmax's powers, by distance from the largest input."""
    powers: NDArray[np.float64] = np.exp(-x.scale * np.arange(256))
    return powers
