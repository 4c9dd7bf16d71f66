"""Quantities: decimal and binary prefixes, bits and bytes, and what is said about wrong ones."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnsim.units import RATE, SIZE, THROUGHPUT, TIME, Dimension, UnitError, format_binary, format_peak, format_scaled, parse_quantity


@pytest.mark.parametrize(
    ("text", "dimension", "amount"),
    [
        ("1 MiB", SIZE, 1 << 20),
        ("1MB", SIZE, 10**6),
        ("8388608 bit", SIZE, 1 << 20),
        ("8 Mibit", SIZE, 1 << 20),
        ("0.5 KiB", SIZE, 512),
        ("1 GB/s", RATE, 10**9),
        ("8 Gbit/s", RATE, 10**9),
        ("1 GiB/s", RATE, 1 << 30),
        ("1 TFLOPS", THROUGHPUT, 10**12),
        ("10 GFLOP/s", THROUGHPUT, 10**10),
        ("2 TOPS", THROUGHPUT, 2 * 10**12),
        ("5 ns", TIME, Fraction(5, 10**9)),
        ("1.5e3 us", TIME, Fraction(3, 2000)),
    ],
)
def test_reads_exactly(text: str, dimension: Dimension, amount: int | Fraction) -> None:
    assert parse_quantity(text, dimension) == amount


@pytest.mark.parametrize(
    ("text", "dimension", "message", "remedy"),
    [
        ("1048576", SIZE, "has no unit", "1048576 KiB"),
        (1, RATE, "has no unit", "1 GB/s"),
        ("1 Gb/s", RATE, "bits or bytes", "1 Gbit/s (bits) or 1 GB/s (bytes)"),
        ("1 Mb", SIZE, "bits or bytes", "1 Mbit (bits) or 1 MB (bytes)"),
        ("1 Gbps", RATE, "bits or bytes", "1 Gbit/s (bits) or 1 GB/s (bytes)"),
        ("1 KB", SIZE, "unknown unit 'KB'", "1 kB (1000 bytes) or 1 KiB (1024 bytes)"),
        ("1 GB", RATE, "'GB' is a unit of size, not of bandwidth", "1 GB/s"),
        ("1 GB/s", SIZE, "'GB/s' is a unit of bandwidth, not of size", "1 MiB"),
        ("1 mib", SIZE, "unknown unit 'mib'", "1 MiB"),
        ("1 GBps", RATE, "unknown unit 'GBps'", "1 GB/s"),
        ("1 tflops", THROUGHPUT, "unknown unit 'tflops'", "1 TFLOPS"),
        ("5 nanoseconds", TIME, "unknown unit", "5 "),
        ("-1 MiB", SIZE, "must not be negative", "1 MiB"),
        ("nan GB/s", RATE, "is not a bandwidth", "1 GB/s"),
        ("", SIZE, "is not a size", "1 MiB"),
        (True, SIZE, "expected a size", "1 MiB"),
        (None, TIME, "expected a time", "5 ns"),
        ("1e9999 GB/s", RATE, "is out of range", "1 GB/s"),
    ],
)
def test_says_what_would_be_right(text: object, dimension: Dimension, message: str, remedy: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_quantity(text, dimension)
    assert message in caught.value.message
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("dimension", [SIZE, RATE, THROUGHPUT, TIME], ids=lambda dimension: dimension.name)
def test_every_unit_reads_back(dimension: Dimension) -> None:
    for unit, factor in dimension.units.items():
        assert parse_quantity(f"3 {unit}", dimension) == 3 * factor
        assert parse_quantity(dimension.example, dimension) > 0


@given(st.text(max_size=12), st.sampled_from([SIZE, RATE, THROUGHPUT, TIME]))
def test_any_text_is_read_or_refused(text: str, dimension: Dimension) -> None:
    try:
        assert parse_quantity(text, dimension) >= 0
    except UnitError as error:
        assert error.message
        assert error.remedy


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (5_211_208, "B", "5.211 MB"),
        (999, "B", "999 B"),
        (0, "s", "0 s"),
        (0.00085906, "s", "859.1 us"),
        (1.0306e-3, "s", "1.031 ms"),
        (0.99999e-3, "s", "1.000 ms"),
        (9.9999, "s", "10.00 s"),
        (12, "s", "12.00 s"),
    ],
)
def test_prints_four_digits(value: float, unit: str, text: str) -> None:
    assert format_scaled(value, unit) == text


def test_prints_given_values_without_zeros() -> None:
    assert format_peak(1e9, "B/s") == "1 GB/s"
    assert format_peak(2.5e12, "FLOPS") == "2.5 TFLOPS"
    assert [format_binary(size) for size in (1 << 20, 401_408, 100)] == ["1 MiB", "392 KiB", "100 B"]
