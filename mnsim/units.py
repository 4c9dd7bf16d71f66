"""Quantities with units: read strictly, printed shortly.

Decimal prefixes (kB, MB, GB: powers of 1000) and binary ones (KiB, MiB, GiB: powers of 1024) are different
units, and a bit is never written `b`: 1 Gbit/s is an eighth of 1 GB/s. A number without its unit is
refused, whatever its size.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from mnsim.errors import shown

# Digits are 0 to 9: \d would take any script's.
_NUMBER = re.compile(
    r"\s*([+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?0*([0-9]+))?)\s*([^0-9].*?|)\s*", re.DOTALL
)  # fmt: skip

_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}


def _prefixed(prefixes: Mapping[str, int], unit: str, scale: Fraction = Fraction(1)) -> dict[str, Fraction]:
    return {f"{prefix}{unit}": factor * scale for prefix, factor in prefixes.items()}


_SIZES = _prefixed({**_DECIMAL, **_BINARY}, "B") | _prefixed({**_DECIMAL, **_BINARY}, "bit", Fraction(1, 8))
_RATES = {f"{unit}/s": factor for unit, factor in _SIZES.items()}
_THROUGHPUTS = {
    name: factor
    for unit in ("FLOPS", "FLOP/s", "OPS", "OP/s")
    for name, factor in _prefixed(_DECIMAL, unit).items()
}  # fmt: skip
_TIMES = {
    "s": Fraction(1),
    "ms": Fraction(1, 10**3),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "ns": Fraction(1, 10**9),
    "ps": Fraction(1, 10**12),
}


_JOULES = {f"{prefix}J": Fraction(1, 10**power) for prefix, power in (("u", 6), ("µ", 6), ("n", 9), ("p", 12), ("f", 15))}
_ENERGIES = {"J": Fraction(1), "mJ": Fraction(1, 10**3), **_JOULES}
_PER_BYTE = {f"{joule}/{unit}": scale * count for joule, scale in _JOULES.items() for unit, count in (("B", 1), ("bit", 8))}
_PER_OP = {f"{joule}/{unit}": scale for joule, scale in _JOULES.items() for unit in ("FLOP", "OP")}
_PER_MAC = {f"{joule}/MAC": scale / 2 for joule, scale in _JOULES.items()}  # 1 MAC = 2 FLOP


MAX_MULTIPLIER = 16  # of channels and extents


class Dimension(NamedTuple):
    """A kind of quantity: its units, each with its factor to the base unit, and a spelling to show."""

    name: str
    units: Mapping[str, Fraction]
    example: str


SIZE = Dimension("size", _SIZES, "1 MiB")
RATE = Dimension("bandwidth", _RATES, "1 GB/s")
THROUGHPUT = Dimension("throughput", _THROUGHPUTS, "1 TFLOPS")
TIME = Dimension("time", _TIMES, "5 ns")
ENERGY = Dimension("energy", _ENERGIES, "1 uJ")
ENERGY_PER_BYTE = Dimension("energy a byte", _PER_BYTE, "20 pJ/B")
ENERGY_PER_OP = Dimension("energy an operation", _PER_OP, "1 pJ/OP")
ENERGY_PER_FLOP = Dimension("energy a FLOP or MAC", _PER_OP | _PER_MAC, "0.5 pJ/FLOP")
_DIMENSIONS = (SIZE, RATE, THROUGHPUT, TIME, ENERGY, ENERGY_PER_BYTE, ENERGY_PER_OP, ENERGY_PER_FLOP)


class UnitError(ValueError):
    """A quantity that cannot be read; `remedy` says what would be right."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return self.message


def parse_quantity(text: object, dimension: Dimension) -> Fraction:
    """Read `1 GB/s` and the like exactly, in the dimension's base unit (bytes, bytes/s, op/s, seconds).

    Raises UnitError for a bare number, an unknown or ambiguous unit, a unit of another dimension, and a
    negative amount.
    """
    like = f"write it like {dimension.example}"
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise UnitError(f"expected a {dimension.name} with its unit, got {shown(text)}", like)
    written = text if isinstance(text, str) else shown(text)
    match = _NUMBER.fullmatch(written)
    if not match or any(letter.isdigit() for letter in match[3]):
        raise UnitError(f"{shown(text)} is not a {dimension.name}", _remedy_for_number(written, dimension))
    number, exponent, unit = match.groups()
    if exponent and len(exponent) > 2:
        raise UnitError(f"{shown(text)} is out of range", like)
    if not unit:
        raise UnitError(f"{shown(text)} has no unit", _remedy_for_bare(number, dimension))
    if unit not in dimension.units:
        raise UnitError(*_explain_unit(number, unit, dimension))
    amount = Fraction(number) * dimension.units[unit]
    if amount < 0:
        raise UnitError(f"{dimension.name} must not be negative, got {number} {unit}", like)
    return amount


def parse_multiplier(text: str) -> Fraction:
    """Read a width or resolution multiplier, `0.75`, `6/7` or `1e-3`, exactly. Raises UnitError where it
    is none, or not in (0, 16].
    """
    like = "write a decimal or a fraction, such as 0.75 or 6/7"
    try:
        is_short = len(text) <= 30 and text.isascii() and "_" not in text and not re.search(r"[eE][+-]?[0-9]{3}", text)
        number = Fraction(text.strip()) if is_short else None
    except (ValueError, ZeroDivisionError):
        number = None
    if number is None:
        raise UnitError(f"{shown(text)} is not a number", like)
    if not 0 < number <= MAX_MULTIPLIER:
        raise UnitError(f"{shown(text)} is not above 0 and at most {MAX_MULTIPLIER}", like)
    return number


def _remedy_for_number(written: str, dimension: Dimension) -> str:
    """What to write for `1,000 MB/s`, and for what is no number at all."""
    match = _NUMBER.fullmatch(re.sub(r"(?<=[0-9])[,_' ](?=[0-9]{3})", "", written))
    if match and match[3] in dimension.units:
        return f"write {match[1]} {match[3]}"
    return f"write a number and a unit, like {dimension.example}"


def _remedy_for_bare(number: str, dimension: Dimension) -> str:
    units = {
        "size": ("B", "KiB", "MB", "MiB"),
        "bandwidth": ("B/s", "GB/s"),
        "throughput": ("GFLOPS", "TFLOPS"),
        "time": ("ns", "s"),
        "energy": ("uJ", "J"),
        "energy a byte": ("pJ/B", "pJ/bit"),
        "energy an operation": ("pJ/OP",),
        "energy a FLOP or MAC": ("pJ/FLOP", "pJ/MAC"),
    }
    return "write the unit: " + " or ".join(f"{number} {unit}" for unit in units[dimension.name])


def _explain_unit(number: str, unit: str, dimension: Dimension) -> tuple[str, str]:
    """Message and remedy for a unit that the dimension does not have."""
    for other in _DIMENSIONS:
        if unit in other.units:
            return f"'{unit}' is a unit of {other.name}, not of {dimension.name}", f"write it like {dimension.example}"
    bits = re.fullmatch(r"([kKMGTPE]i?)?b(/s|ps)?", unit)
    if bits and dimension in (SIZE, RATE):
        prefix, per_second = (bits[1] or "").replace("K", "k").replace("ki", "Ki"), "/s" if dimension is RATE else ""
        choices = f"{number} {prefix}bit{per_second} (bits) or {number} {prefix}B{per_second} (bytes)"
        return f"'{unit}' could be bits or bytes", f"write {choices}"
    if unit in ("KB", "KB/s", "K", "KBps"):
        tail = "/s" if dimension is RATE else ""
        return f"unknown unit '{unit}'", f"write {number} kB{tail} (1000 bytes) or {number} KiB{tail} (1024 bytes)"
    meant = _respelled(unit, dimension)
    return f"unknown unit {shown(unit)}", f"did you mean {number} {meant}?" if meant else f"write it like {dimension.example}"


def _respelled(unit: str, dimension: Dimension) -> str:
    """The unit that is the same quantity in other letters: gb/s, GByte/s, GBps. '' if there is none: a
    guess could be another quantity.
    """
    known = {name.casefold(): name for name in reversed(list(dimension.units))}
    folded = re.sub(r"bytes?", "b", re.sub(r"bits", "bit", re.sub(r"\s", "", unit).casefold()))
    spellings = [folded, folded.removesuffix("ps") + "/s"]
    if dimension in (SIZE, THROUGHPUT):
        spellings.append(folded + ("b" if dimension is SIZE else "s"))  # 256k, 1 TFLOP
    return next((known[spelling] for spelling in spellings if spelling in known), "")


def format_scaled(value: float, unit: str, digits: int = 4) -> str:
    """A value with a decimal prefix and that many significant digits: 5211208, 'B' -> '5.211 MB'."""
    if value == 0:
        return f"0 {unit}"
    steps = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3), ("u", 1e-6), ("n", 1e-9))
    prefix, factor = next((step for step in steps if abs(value) >= step[1] * (1 - 0.5 * 10.0**-digits)), steps[-1])
    if unit == "B" and factor < 1e3:
        return f"{value:.0f} B"
    scaled = value / factor
    decimals = max(0, digits - len(str(int(abs(scaled) + 0.5 * 10.0 ** (1 - digits)))))
    return f"{scaled:.{decimals}f} {prefix}{unit}"


def format_peak(value: float, unit: str) -> str:
    """A given value, without the zeros that a measured one would keep: 1e9, 'B/s' -> '1 GB/s'."""
    number, prefixed = format_scaled(value, unit, 6).split(" ")
    return f"{float(number):g} {prefixed}"


def format_binary(size_bytes: int) -> str:
    """A size with a binary prefix, exact where it is short: 1048576 -> '1 MiB', 401408 -> '392 KiB'."""
    for prefix, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.4g} {prefix}"
    return f"{size_bytes} B"
