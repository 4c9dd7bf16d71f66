"""What one command computes: the operators' stages on a map or a tile, with the same functions for both.

A command on the matrix unit is

    sums = accumulate(kernel, x, filters, numbers)   int32 or float64, (H_out, W_out, C_out) of the tile
    sums = add_start(sums, start)                    start: the bias plane (C_out,), or partial sums so far
    stored = partial(sums)                           when kernel.partial: int32 or float32, 4 bytes each
    stored = finish(sums, numbers, channels)         else: int8 or float32, what the map holds

and, for each of `kernel.fused` in order, and likewise for a command on the vector unit,

    stored = apply_vector(kernel, inputs, numbers, norm)

where `numbers` is the operator's stage of the command's name, `layer_numbers.stage(operation)`, in int8
and None in float32. A stage always rounds to what the map holds, fused or not, so fusing changes no bits.
`channels` is the tile's half-open range of output channels; only `finish` needs it, since a tile brings
its own slices of everything else.

Arrays are in the layouts of memory: int8 or float32 maps (H, W, C), filters (C_out, k_h, k_w, C_in /
groups), depthwise (k_h, k_w, C_out), fully connected (C_out, K). No stored float32 is -0.0: of two zeros
that are equal a maximum may take either.

Integers are exact, and so identical in any tiling. In float32 a sum is taken in float64 and rounded once,
so tilings agree but for sums that lie within float64's error of the middle between two float32; a split
input rounds its partial sums, and can differ by more.
"""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from mnsim.graph.model import Graph, Operator
from mnsim.operators import table
from mnsim.operators.shapes import Pair, Window
from mnsim.operators.table import RULES, VECTOR_KINDS
from mnsim.program.model import Kernel
from mnsim.reference import kernels
from mnsim.reference.kernels import Array
from mnsim.reference.numbers import Scale, StageNumbers, dequantise, quantise, requantise, saturate, table_of

MATRIX = ("conv", "pointwise", "depthwise", "dense")


def whole_kernel(graph: Graph, operator: Operator) -> Kernel:
    """The kernel of the operator's own stage on its whole map."""
    x, window = graph.maps[operator.inputs[0]].shape, operator.window
    y = graph.maps[operator.output].shape
    if operator.kind == "dense":
        x = (1, 1, prod(x))
    if window is None:
        return Kernel(operator.label, graph.dtype, (), x, y, groups=operator.groups)
    return Kernel(operator.label, graph.dtype, (), x, y, window.kernel, window.stride, window.padding, operator.groups)


def accumulate(kernel: Kernel, x: Array, filters: Array, numbers: StageNumbers | None = None, fast: bool = False) -> Array:
    """A matrix operator's sums over the tile's input channels, without bias: int32 (int8), float64, or
    float32 when `fast`.

    `x` is (H, W, C) or, fully connected, K elements in any shape; its padding is the kernel's. Needs
    `numbers` for the input's zero point when x is int8. Raises ValueError for an operation that is not the
    matrix unit's, and TypeError as `apply_vector` does.
    """
    _same_kind(x, numbers)
    zero_point = numbers.inputs[0].zero_point if numbers else 0
    if x.dtype != np.int8:
        working = np.float32 if fast else np.float64
        x = x.astype(working, copy=False)  # the filters follow, some at a time
    if kernel.operation == "dense":
        return kernels.dense(x, filters, zero_point)
    if kernel.operation == "depthwise":
        return kernels.depthwise(x, filters, window_of(kernel), zero_point)
    if kernel.operation in MATRIX:
        return kernels.conv(x, filters, window_of(kernel), kernel.groups, zero_point)
    raise ValueError(f"{kernel.operation} does not run on the matrix unit")


def window_of(kernel: Kernel) -> Window:
    """The kernel's window, stride and padding."""
    return Window(kernel.window, kernel.stride, kernel.padding)


def add_start(sums: Array, start: Array | None) -> Array:
    """The sums on top of what they start from: biases (C,) or partial sums (H, W, C), int32 or float32;
    None for zero.

    Works in place and returns `sums`.
    """
    if start is not None:
        np.add(sums, start, out=sums, casting="same_kind")
    return sums


def partial(sums: Array) -> Array:
    """Incomplete sums as stored: int32, or rounded to float32."""
    return sums if sums.dtype == np.int32 else _rounded(sums)


def finish(sums: Array, numbers: StageNumbers | None, channels: Pair) -> Array:
    """Complete sums as stored: requantised to int8 by the multipliers of channels [c0, c1), or rounded to
    float32.
    """
    if numbers is None:
        return sums if sums.dtype == np.float32 else _rounded(sums)
    assert numbers.multipliers is not None
    return requantise(sums, numbers.multipliers[channels[0] : channels[1]], numbers.output)


def apply_vector(
    kernel: Kernel, inputs: Sequence[Array], numbers: StageNumbers | None = None, norm: Array | None = None, in_place: bool = False
) -> Array:
    """A vector operation: the int8 or float32 output of stored inputs. `kernel.operation` says which.

    `norm` is a batch norm's float32 (2, C) of this tile's channels, scale and shift. An addition has
    several inputs, all other operations one; `copy` returns its own as it is. `in_place` allows a clamp of
    floats to overwrite its input, and to leave a -0.0 that it finds there. Raises ValueError for an
    operation that is not the vector unit's, and TypeError for int8 inputs without `numbers` or floats with
    them: bytes are never taken for the numbers that they stand for.
    """
    operation = kernel.operation
    if operation == "copy":
        return inputs[0]
    for x in inputs:
        _same_kind(x, numbers)
    if in_place and numbers is None and operation in ACTIVATIONS and RULES[operation].is_clamp:
        return ACTIVATIONS[operation](inputs[0], inputs[0])
    if operation in ("max_pool", "global_max_pool"):  # the output has the input's scale
        (x,) = inputs
        largest = kernels.max_pool(x, window_of(kernel)) if operation == "max_pool" else kernels.global_max_pool(x)
        return largest if numbers else _rounded(largest)
    if operation == "batch_norm":
        assert norm is not None
        return _batch_norm(inputs[0], numbers, norm)
    return _int8_vector(kernel, inputs, numbers) if numbers else _rounded(_float_vector(kernel, inputs))


def _same_kind(x: Array, numbers: StageNumbers | None) -> None:
    if (x.dtype == np.int8) != (numbers is not None):
        raise TypeError(f"{x.dtype} values run {'with' if x.dtype == np.int8 else 'without'} the numbers of an int8 stage")


def _rounded(values: Array) -> NDArray[np.float32]:
    """To float32, with zero for -0.0. Overwrites float32 `values`: callers pass arrays of their own."""
    rounded = values.astype(np.float32, copy=False)
    return np.add(rounded, np.float32(0), out=rounded)


def _batch_norm(x: Array, numbers: StageNumbers | None, norm: Array) -> Array:
    if numbers is None:
        return _rounded(kernels.batch_norm(x, norm[0], norm[1]))
    return quantise(kernels.batch_norm(dequantise(x, numbers.inputs[0]), norm[0], norm[1]), numbers.output)


def _float_vector(kernel: Kernel, inputs: Sequence[Array]) -> Array:
    """In float64 where anything is rounded."""
    operation = kernel.operation
    if operation in ACTIVATIONS:
        (x,) = inputs
        return ACTIVATIONS[operation](x if RULES[operation].is_clamp else x.astype(np.float64))
    function = float_kernel(operation)
    return function(*inputs, window_of(kernel)) if operation == "avg_pool" else function(*inputs)


def float_kernel(operation: str) -> Callable[..., Array]:
    """The kernel of an operation on floats. Raises ValueError for one that is not the vector unit's."""
    if operation not in VECTOR_KINDS or not hasattr(kernels, operation):
        raise ValueError(f"{operation} does not run on the vector unit")
    found: Callable[..., Array] = getattr(kernels, operation)
    return found


def _int8_vector(kernel: Kernel, inputs: Sequence[Array], numbers: StageNumbers) -> Array:
    x, scale, output = inputs[0], numbers.inputs[0], numbers.output
    match kernel.operation:
        case activation if activation in ACTIVATIONS:
            assert numbers.table is not None
            by_byte = np.roll(numbers.table, 128).tobytes()  # 0, 1, ... 127, -128, ... as bytes count
            return np.frombuffer(x.tobytes().translate(by_byte), np.int8).reshape(x.shape)
        case "add":
            terms = [
                (term.astype(np.float64) - read.zero_point) * (read.scale / output.scale)
                for term, read in zip(inputs, numbers.inputs, strict=True)
            ]
            return saturate(np.rint(sum(terms[1:], start=terms[0])), output)
        case "avg_pool":
            window = window_of(kernel)
            multiplier = np.float32(scale.scale / output.scale) / kernels.pool_counts(x, window)
            return requantise(kernels.sum_pool(x, window, scale.zero_point), multiplier, output)
        case "global_avg_pool":
            multiplier = np.float32(scale.scale / output.scale) / np.full(1, prod(x.shape[:2]), np.float32)
            return requantise(kernels.global_sum_pool(x, scale.zero_point), multiplier, output)
        case "softmax":
            assert numbers.table is not None
            distances = x.max(axis=2, keepdims=True).astype(np.int16) - x
            powers = numbers.table[distances]
            return saturate(np.rint(powers / powers.sum(axis=2, keepdims=True) / output.scale), output)
        case _:
            raise ValueError(f"{kernel.operation} does not run on the vector unit")


ACTIVATIONS = {name: float_kernel(name) for name in table.ACTIVATIONS}  # of floats; clamps also take `out`


def activation_table(name: str, x: Scale, y: Scale) -> NDArray[np.int8]:
    """An activation's table between two scales."""
    return table_of(ACTIVATIONS[name], x, y)
