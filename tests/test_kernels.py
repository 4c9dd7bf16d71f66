"""Every kernel against loops that say what it means, on random small maps; and the extremes of int8, which random data never finds."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.operators.shapes import Window
from mnsim.reference import kernels
from mnsim.reference.kernels import Array

DTYPES = ("int8", "float32", "float64")
CASES = settings(max_examples=40, deadline=None)


class Case(NamedTuple):
    """A random map and how a window moves over it."""

    x: Array
    window: Window
    zero_point: int
    random: np.random.Generator

    def numbers(self) -> Array:
        """What the map stands for, with zeros where it is padded."""
        exact = self.x.astype(np.float64) - self.zero_point
        top, bottom, left, right = self.window.padding
        return np.pad(exact, ((top, bottom), (left, right), (0, 0)))

    def draw(self, *shape: int) -> Array:
        return values(self.random, self.x.dtype, shape)

    def near(self, found: Array, expected: Array) -> None:
        assert found.dtype == (np.int32 if self.x.dtype == np.int8 else self.x.dtype)
        tolerance = {"int8": 0, "float32": 1e-4, "float64": 1e-12}[self.x.dtype.name]
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def values(random: np.random.Generator, dtype: Any, shape: tuple[int, ...]) -> Array:
    if np.dtype(dtype) == np.int8:
        return random.integers(-128, 128, shape, np.int8)
    return random.standard_normal(shape).astype(dtype)


@st.composite
def cases(draw: st.DrawFn, channels: tuple[int, ...] = (1, 2, 3, 5), dtypes: tuple[str, ...] = DTYPES) -> Case:
    """Windows with padding less than their extent, as poolings must have, that fit the map."""
    window = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    top, bottom = (draw(st.integers(0, window[0] - 1)) for _ in range(2))
    left, right = (draw(st.integers(0, window[1] - 1)) for _ in range(2))
    height = draw(st.integers(max(1, window[0] - top - bottom), 8))
    width = draw(st.integers(max(1, window[1] - left - right), 8))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(dtypes))
    zero_point = draw(st.sampled_from((-128, -3, 0, 127))) if dtype == "int8" else 0
    x = values(random, dtype, (height, width, draw(st.sampled_from(channels))))
    return Case(x, Window(window, stride, (top, bottom, left, right)), zero_point, random)


def windows(case: Case, padded: Array) -> dict[tuple[int, int], Array]:
    """What is under the window, by output pixel: a loop over the definition."""
    (down, across), (high, wide) = case.window.stride, case.window.kernel
    rows = range(0, padded.shape[0] - high + 1, down)
    columns = range(0, padded.shape[1] - wide + 1, across)
    return {(r // down, c // across): padded[r : r + high, c : c + wide] for r, c in product(rows, columns)}


def assemble(pixels: dict[tuple[int, int], Array]) -> Array:
    height, width = (1 + max(place[axis] for place in pixels) for axis in (0, 1))
    return np.array([[pixels[row, column] for column in range(width)] for row in range(height)])


@CASES
@given(cases(channels=(2, 4, 6)), st.sampled_from((1, 2)), st.integers(1, 3))
def test_conv(case: Case, groups: int, block: int) -> None:
    depth = case.x.shape[2] // groups
    filters = case.draw(groups * block, *case.window.kernel, depth)

    def pixel(under: Array) -> list[float]:
        return [
            float((under[:, :, o // block * depth : (o // block + 1) * depth] * filters[o].astype(np.float64)).sum())
            for o in range(groups * block)
        ]

    expected = {place: np.array(pixel(under)) for place, under in windows(case, case.numbers()).items()}
    case.near(kernels.conv(case.x, filters, case.window, groups, case.zero_point), assemble(expected))


@CASES
@given(cases(), st.integers(1, 3))
def test_depthwise(case: Case, multiplier: int) -> None:
    channels = case.x.shape[2] * multiplier
    filters = case.draw(*case.window.kernel, channels)
    expected = {
        place: np.array([(under[:, :, c // multiplier] * filters[:, :, c].astype(np.float64)).sum() for c in range(channels)])
        for place, under in windows(case, case.numbers()).items()
    }
    case.near(kernels.depthwise(case.x, filters, case.window, case.zero_point), assemble(expected))


@CASES
@given(cases(), st.integers(1, 5))
def test_dense(case: Case, outs: int) -> None:
    filters = case.draw(outs, case.x.size)
    exact = case.x.astype(np.float64).reshape(-1) - case.zero_point
    expected = np.array([sum(a * b for a, b in zip(row.tolist(), exact.tolist(), strict=True)) for row in filters])
    case.near(kernels.dense(case.x, filters, case.zero_point), expected.reshape(1, 1, -1))


@CASES
@given(cases())
def test_pools_leave_padding_out(case: Case) -> None:
    top, bottom, left, right = case.window.padding
    padded = np.pad(case.x.astype(np.float64) - case.zero_point, ((top, bottom), (left, right), (0, 0)), constant_values=np.nan)
    under = windows(case, padded)
    largest = assemble({place: np.nanmax(part, axis=(0, 1)) for place, part in under.items()})
    found = kernels.max_pool(case.x, case.window)
    assert found.dtype == case.x.dtype
    np.testing.assert_array_equal(found - np.float64(case.zero_point), largest)
    sums, counts = kernels.sum_pool(case.x, case.window, case.zero_point), kernels.pool_counts(case.x, case.window)
    np.testing.assert_allclose(
        sums / counts, assemble({place: np.nanmean(part, axis=(0, 1)) for place, part in under.items()}), 1e-6, 1e-12
    )
    if case.x.dtype != np.int8:
        np.testing.assert_allclose(kernels.avg_pool(case.x, case.window), sums / counts)
        assert kernels.avg_pool(case.x, case.window).dtype == np.float64


@CASES
@given(cases())
def test_global_pools(case: Case) -> None:
    exact = case.x.astype(np.float64) - case.zero_point
    largest = [[[max(exact[:, :, c].ravel().tolist()) for c in range(case.x.shape[2])]]]
    np.testing.assert_array_equal(kernels.global_max_pool(case.x) - np.float64(case.zero_point), largest)
    total = [[[sum(exact[:, :, c].ravel().tolist()) for c in range(case.x.shape[2])]]]
    np.testing.assert_allclose(kernels.global_sum_pool(case.x, case.zero_point), total, rtol=1e-9, atol=1e-9)


def test_elementwise_kernels() -> None:
    x = np.array([[[-1.5, 0.0, 2.5], [7.0, 6.0, -0.25]]], np.float32)
    assert kernels.relu(x).tolist() == [[[0, 0, 2.5], [7, 6, 0]]]
    assert kernels.relu6(x).tolist() == [[[0, 0, 2.5], [6, 6, 0]]]
    scale, shift = np.float32([2, 3, 4]), np.float32([1, 0, -1])
    assert kernels.batch_norm(x, scale, shift).tolist() == [[[-2, 0, 9], [15, 18, -2]]]
    shares = kernels.softmax(x)
    expected = np.exp(x.astype(np.float64)) / np.exp(x.astype(np.float64)).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(shares, expected, rtol=1e-14)
    assert np.isfinite(kernels.softmax(x * np.float32(1e30))).all()


def test_a_window_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        kernels.conv(np.zeros((2, 2, 1)), np.zeros((1, 3, 3, 1)), Window((3, 3)))


@pytest.mark.parametrize("weight", [-128, -127, 127])
@pytest.mark.parametrize("zero_point", [-128, 0, 127])
@pytest.mark.parametrize("terms", [1024, 1025, 4608, 25088])
def test_extreme_int8_sums_are_exact(terms: int, zero_point: int, weight: int) -> None:
    """Where every product is the largest, and where one small odd product is added to a sum that float32 can barely hold."""
    for value in (-128, 127):
        x = np.full((1, 1, terms), value, np.int8)
        filters = np.full((3, terms), weight, np.int8)
        filters[1, terms // 2 :] = -filters[1, terms // 2 :].clip(-127)
        filters[2, -1] = 1
        x[0, 0, 0] = 3
        exact = (x.reshape(-1).astype(np.int64) - zero_point) @ filters.astype(np.int64).T
        np.testing.assert_array_equal(kernels.dense(x, filters, zero_point)[0, 0], exact)
        pointwise = kernels.conv(x, filters.reshape(3, 1, 1, terms), Window((1, 1)), 1, zero_point)
        np.testing.assert_array_equal(pointwise[0, 0], exact)


def test_extreme_int8_windows_are_exact() -> None:
    """A 7 x 7 x 512 window (K = 25088) with padding, and a depthwise one with more taps than float32 sums exactly."""
    random = np.random.default_rng(0)
    x = random.choice(np.int8([-128, 127]), (7, 7, 512))
    filters = np.full((2, 7, 7, 512), 127, np.int8) * np.sign(x.astype(np.int8))  # every product is positive
    found = kernels.conv(x, filters, Window((7, 7), (1, 1), (1, 1, 1, 1)), 1, -128)
    padded = np.pad(x.astype(np.int64) + 128, ((1, 1), (1, 1), (0, 0)))
    exact = [[(padded[r : r + 7, c : c + 7] * filters[0].astype(np.int64)).sum() for c in range(3)] for r in range(3)]
    np.testing.assert_array_equal(found[:, :, 0], exact)
    wide = np.full((25, 25, 2), 127, np.int8)
    taps = np.full((25, 25, 2), -128, np.int8)
    taps[0, 0] = 1
    sums = kernels.depthwise(wide, taps, Window((25, 25)), -128)
    assert sums.tolist() == [[[255 * (-128 * 624 + 1)] * 2]]


def test_strips_do_not_change_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much is done at a time is nobody's business but the cache's."""
    random = np.random.default_rng(1)
    for dtype in ("int8", "float64"):
        x = values(random, dtype, (9, 9, 4))
        filters, taps, window = values(random, dtype, (6, 3, 3, 4)), values(random, dtype, (3, 3, 4)), Window((3, 3), (2, 1), (0, 1, 1, 1))
        whole = kernels.conv(x, filters, window), kernels.depthwise(x, taps, window)
        with monkeypatch.context() as patch:
            for name in ("COLUMN_ELEMENTS", "STRIP_ELEMENTS"):
                patch.setattr(kernels, name, 1)
            strips = kernels.conv(x, filters, window), kernels.depthwise(x, taps, window)
        np.testing.assert_allclose(strips[0], whole[0], rtol=0 if dtype == "int8" else 1e-13, atol=0 if dtype == "int8" else 1e-13)
        np.testing.assert_array_equal(strips[1], whole[1])
