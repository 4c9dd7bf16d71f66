"""Network operators on arrays in height x width x channels, whole maps or tiles of them.

A kernel pads by its window's (top, bottom, left, right), so a tile and a whole map are the same to it.
Kernels of the matrix unit return accumulators, which have not been rounded:

    input int8 (and its zero point)     int32, exact; wraps as hardware's would from about 66,000 terms on
    input float64                       float64
    input float32                       float32: fast, but its last bit depends on the shape

NumPy has no BLAS for integers. A float32 holds every integer up to 2^24, so that products of two int8
values (up to 2^14) are summed exactly in any order while there are at most 1024 of them; longer sums are
cut into pieces of 1024.

Filters of a narrower type than x's (float32 beside float64, and int8, which is computed in floats) are
widened some output channels at a time: those of a whole layer can take a gigabyte.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mnsim.operators.shapes import Pair, Window

Array = NDArray[Any]

EXACT_TERMS = 1024  # products of int8 values that float32 sums exactly: 1024 * 128 * 128 = 2^24
EXACT_TAPS = 514  # the same after the zero point is taken off: 514 * 255 * 128 < 2^24
WIDENED_ELEMENTS = 1 << 22  # of filters at a time
COLUMN_ELEMENTS = 1 << 18  # of the unfolded input at a time: it stays in a core's cache
STRIP_ELEMENTS = 1 << 15  # of a depthwise output at a time, for the same reason


def _extent(x: Array, window: Window) -> Pair:
    """Rows and columns of the output. Raises ValueError when the window does not fit."""
    top, bottom, left, right = window.padding
    height = (x.shape[0] + top + bottom - window.kernel[0]) // window.stride[0] + 1
    width = (x.shape[1] + left + right - window.kernel[1]) // window.stride[1] + 1
    if height < 1 or width < 1:
        raise ValueError(f"a {window.kernel} window does not fit {x.shape[:2]} padded by {window.padding}")
    return height, width


def pad(x: Array, padding: tuple[int, int, int, int], value: float = 0) -> Array:
    """The map with rows and columns of `value` around it; the map itself where nothing is padded."""
    if padding == (0, 0, 0, 0):
        return x
    top, bottom, left, right = padding
    padded = np.empty((x.shape[0] + top + bottom, x.shape[1] + left + right, x.shape[2]), x.dtype)
    padded[:top] = value
    padded[top + x.shape[0] :] = value
    padded[top : top + x.shape[0], :left] = value
    padded[top : top + x.shape[0], left + x.shape[1] :] = value
    padded[top : top + x.shape[0], left : left + x.shape[1]] = x
    return padded


def conv(x: Array, filters: Array, window: Window, groups: int = 1, zero_point: int = 0) -> Array:
    """Convolution: x (H, W, C_in), filters (C_out, k_h, k_w, C_in / groups); accumulators (H_out, W_out,
    C_out).

    With int8 the padding stands for the number zero, which is the zero point.
    """
    height, width = _extent(x, window)
    integer = x.dtype == np.int8
    padded = pad(x, window.padding, zero_point)
    result = np.empty((height, width, filters.shape[0]), np.int32 if integer else x.dtype)
    depth, block = x.shape[2] // groups, filters.shape[0] // groups
    for group in range(groups):
        part = padded[:, :, group * depth : (group + 1) * depth] if groups > 1 else padded
        for outs in _blocks(filters, x.dtype, group * block, (group + 1) * block):
            _convolve(part, filters[outs], window, result[:, :, outs])
    if integer and zero_point:
        result -= np.int32(zero_point) * filters.sum(axis=(1, 2, 3), dtype=np.int32)
    return result


def _blocks(filters: Array, working: np.dtype[Any], first: int, last: int) -> Iterator[slice]:
    """The output channels [first, last) of filters in parts of which each may be widened at once; floats
    of the working type as one.
    """
    size = max(1, last - first)
    if filters.dtype != working or filters.dtype == np.int8:
        size = max(1, min(size, WIDENED_ELEMENTS // max(1, prod(filters.shape[1:]))))
    for start in range(first, last, size):
        yield slice(start, min(last, start + size))


def _convolve(padded: Array, filters: Array, window: Window, result: Array) -> None:
    """One group: rows of the unfolded input times filters, as many rows at a time as the cache holds."""
    working = np.dtype(np.float32) if padded.dtype == np.int8 else padded.dtype
    terms = prod(filters.shape[1:])
    weights = [part.T for part in _pieces(filters.reshape(len(filters), terms), working)]
    height, width = result.shape[:2]
    stride, reach = window.stride[0], window.kernel[0]
    rows = max(1, COLUMN_ELEMENTS // max(1, width * terms))
    for first in range(0, height, rows):
        last = min(height, first + rows)
        needed = padded[first * stride : (last - 1) * stride + reach].astype(working, copy=False)
        columns = _columns(needed, window, (last - first, width))
        if padded.dtype != np.int8 and result.flags.c_contiguous:
            np.matmul(columns, weights[0], out=result[first:last].reshape(len(columns), -1))
        else:
            result[first:last] = _multiply(columns, weights, result.dtype).reshape(last - first, width, -1)


def _columns(x: Array, window: Window, extent: Pair) -> Array:
    """The input unfolded (im2col): for each output pixel a row of its k_h * k_w * C inputs; for a 1 x 1
    window the input itself.
    """
    (height, width), channels = extent, x.shape[2]
    if window.kernel == (1, 1):
        taken = x[:: window.stride[0], :: window.stride[1]][:height, :width]
        return taken.reshape(height * width, channels)
    windows = sliding_window_view(x, window.kernel, (0, 1))[:: window.stride[0], :: window.stride[1]][:height, :width]
    return windows.transpose(0, 1, 3, 4, 2).reshape(height * width, prod(window.kernel) * channels)


def _pieces(filters: Array, working: np.dtype[Any]) -> Iterator[Array]:
    """Filters (C_out, K) in the working dtype, int8 in pieces of K that sum exactly."""
    step = EXACT_TERMS if filters.dtype == np.int8 else max(1, filters.shape[1])
    for first in range(0, filters.shape[1], step):
        yield filters[:, first : first + step].astype(working, copy=False)


def _multiply(columns: Array, weights: list[Array], dtype: np.dtype[Any]) -> Array:
    """Columns (M, K) times weights, pieces (k, C_out) of K one after another."""
    total: Array | None = None
    first = 0
    for piece in weights:
        product = (columns[:, first : first + len(piece)] @ piece).astype(dtype, copy=False)
        total = product if total is None else np.add(total, product, out=total)
        first += len(piece)
    assert total is not None
    return total


def dense(x: Array, filters: Array, zero_point: int = 0) -> Array:
    """Fully connected: x of K elements in HWC order, filters (C_out, K); accumulators (1, 1, C_out)."""
    flat = x.reshape(-1)
    integer = x.dtype == np.int8
    result = np.empty(filters.shape[0], np.int32 if integer else x.dtype)
    for outs in _blocks(filters, x.dtype, 0, len(filters)):
        if integer:
            pieces = [part.T for part in _pieces(filters[outs], np.dtype(np.float32))]
            result[outs] = _multiply(flat.astype(np.float32)[None], pieces, result.dtype)[0]
        else:
            np.matmul(filters[outs].astype(x.dtype, copy=False), flat, out=result[outs])
    if zero_point:
        result -= np.int32(zero_point) * filters.sum(axis=1, dtype=np.int32)
    return result.reshape(1, 1, -1)


def depthwise(x: Array, filters: Array, window: Window, zero_point: int = 0) -> Array:
    """Depthwise convolution: x (H, W, C), filters (k_h, k_w, C * multiplier); accumulators (H_out, W_out,
    C * multiplier).

    A sum of shifted maps, one for each of the window's elements, each times its weights; always in the
    same order, so that it does not depend on the shape, even in float32.
    """
    if x.dtype == np.int8:  # a difference is at most 255, so these sums too are exact in float32
        working = np.dtype(np.float32 if prod(window.kernel) <= EXACT_TAPS else np.float64)
        differences = np.subtract(x, zero_point, dtype=working)
        return depthwise(differences, filters.astype(working), window).astype(np.int32)
    height, width = _extent(x, window)
    channels = filters.shape[2]
    if channels != x.shape[2]:
        x = np.repeat(x, channels // x.shape[2], axis=2)
    padded = pad(x, window.padding)
    phases = _phases(padded, window.stride[1])
    taps = [(row, *divmod(column, window.stride[1])[::-1]) for row in range(window.kernel[0]) for column in range(window.kernel[1])]
    taken = filters.reshape(len(taps), 1, channels).astype(x.dtype, copy=False)
    weights = np.repeat(taken, width, axis=1).reshape(len(taps), width * channels)
    result = np.empty((height, width * channels), x.dtype)
    rows, stride = max(1, STRIP_ELEMENTS // (width * channels)), window.stride[0]
    product = np.empty((rows, width * channels), x.dtype)
    for first in range(0, height, rows):
        count = min(rows, height - first)
        total, term = result[first : first + count], product[:count]
        for number, (row, phase, column) in enumerate(taps):
            start = first * stride + row
            shifted = phases[phase][start : start + (count - 1) * stride + 1 : stride, column * channels : (column + width) * channels]
            if number == 0:
                np.multiply(shifted, weights[0], out=total)
            else:
                np.multiply(shifted, weights[number], out=term)
                np.add(total, term, out=total)
    return result.reshape(height, width, channels)


def _phases(padded: Array, stride: int) -> list[Array]:
    """The columns 0, stride, ...; then 1, 1 + stride, ...; each row one run, so that every shift of it is
    one run too.
    """
    return [np.ascontiguousarray(padded[:, phase::stride]).reshape(len(padded), -1) for phase in range(min(stride, padded.shape[1]))]


def _shifts(x: Array, window: Window, value: float) -> Iterator[Array]:
    """The padded map as each of the window's elements sees it."""
    height, width = _extent(x, window)
    padded = pad(x, window.padding, value)
    down, across = window.stride
    for row in range(window.kernel[0]):
        for column in range(window.kernel[1]):
            yield padded[row : row + (height - 1) * down + 1 : down, column : column + (width - 1) * across + 1 : across]


def max_pool(x: Array, window: Window) -> Array:
    """The largest element under the window, in x's dtype; padding never wins."""
    shifts = _shifts(x, window, -128 if x.dtype == np.int8 else -np.inf)
    result = next(shifts).copy()
    for shifted in shifts:
        np.maximum(result, shifted, out=result)
    return result


def sum_pool(x: Array, window: Window, zero_point: int = 0) -> Array:
    """The sum under the window, of the numbers that int8 values stand for: int32 for int8, float64 for
    floats.
    """
    wide: Array = x.astype(np.int32) - np.int32(zero_point) if x.dtype == np.int8 else x.astype(np.float64)
    shifts = _shifts(wide, window, 0)
    result = next(shifts).copy()
    for shifted in shifts:
        np.add(result, shifted, out=result)
    return result


def pool_counts(x: Array, window: Window) -> NDArray[np.float32]:
    """How many elements of the map are under each window, (H_out, W_out, 1): an average leaves padding
    out.
    """
    ones = np.ones((*x.shape[:2], 1), np.int8)
    return sum_pool(ones, window).astype(np.float32)


def avg_pool(x: Array, window: Window) -> NDArray[np.float64]:
    """The average of the elements under the window that are not padding, in float64."""
    return np.divide(sum_pool(x, window), pool_counts(x, window), dtype=np.float64)


def global_max_pool(x: Array) -> Array:
    """Each channel's largest element, (1, 1, C)."""
    largest: Array = x.max(axis=(0, 1), keepdims=True)
    return largest


def global_sum_pool(x: Array, zero_point: int = 0) -> Array:
    """Each channel's sum, (1, 1, C): int32 for int8, float64 for floats."""
    integer = x.dtype == np.int8
    total: Array = x.sum(axis=(0, 1), keepdims=True, dtype=np.int32 if integer else np.float64)
    return total - np.int32(zero_point * x.shape[0] * x.shape[1]) if integer else total


def global_avg_pool(x: Array) -> NDArray[np.float64]:
    """Each channel's average, (1, 1, C), in float64."""
    average: NDArray[np.float64] = global_sum_pool(x) / prod(x.shape[:2])
    return average


def add(*terms: Array) -> Array:
    """The sum of maps of one shape, in float64."""
    return sum((term.astype(np.float64) for term in terms[1:]), start=terms[0].astype(np.float64))


def softmax(x: Array) -> NDArray[np.float64]:
    """Softmax over the channels, in float64."""
    wide = np.ascontiguousarray(x, np.float64)
    powers = np.exp(wide - wide.max(axis=2, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=2, keepdims=True)
    return shares


def batch_norm(x: Array, scale: Array, shift: Array) -> Array:
    """x * scale + shift by channel, in float32, rounded after the product and after the sum."""
    return x.astype(np.float32, copy=False) * scale + shift


def relu(x: Array, out: Array | None = None) -> Array:
    """max(x, 0); `out` may be x itself."""
    result: Array = np.maximum(x, x.dtype.type(0), out=out)
    return result


def relu6(x: Array, out: Array | None = None) -> Array:
    """min(max(x, 0), 6); `out` may be x itself."""
    result = relu(x, out)
    np.minimum(result, x.dtype.type(6), out=result)
    return result


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), in x's dtype; by way of tanh, which does not overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def hard_swish(x: Array) -> Array:
    """x * min(max(x + 3, 0), 6) / 6 (MobileNetV3, arXiv:1905.02244, section 5.2), in x's dtype."""
    return x * relu6(x + 3) / 6
