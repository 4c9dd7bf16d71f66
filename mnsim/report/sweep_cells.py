"""Headings and values of a sweep's points, for people."""

from collections.abc import Callable, Sequence
from typing import Any

from mnsim.explore.points import Indices
from mnsim.explore.rows import TEXTS, Rows, records
from mnsim.operators.quantities import QUANTITIES
from mnsim.units import format_binary, format_peak

Show = Callable[[Any], str]


def _rate(unit: str) -> Show:
    return lambda value: format_peak(value, unit)


_POINT: dict[str, tuple[str, Show]] = {
    "network": ("network", str),
    "alpha": ("alpha", lambda value: f"{value:.4g}"),
    "rho": ("rho", lambda value: f"{value:.4g}"),
    "dtype": ("dtype", str),
    "policy": ("policy", str),
    "hardware": ("hardware", str),
    "fused": ("fused", str),
    **{each.column: (each.heading, format_binary if each.unit == "B" else _rate(each.unit)) for each in QUANTITIES if each.heading},
}


def shown_value(name: str, value: Any) -> str:
    """A point's value for people; empty where there is none."""
    if value is None or value != value:
        return ""
    return _POINT[name][1](value) if name in _POINT else f"{value:.4g}"


def heading_of(name: str) -> str:
    """The heading of a point's column in tables and sentences."""
    return _POINT[name][0] if name in _POINT else name


def telling(rows: Rows, name: str, numbers: Indices | Sequence[int]) -> Show:
    """How a part of a point is shown: shortly, unless different levels would look alike."""
    values = {record[name] for record in records(rows, numbers, [name])} - {None}
    if name in TEXTS or len({shown_value(name, value) for value in values}) == len(values):
        return lambda value: shown_value(name, value)
    return lambda value: f"{value:,}" if isinstance(value, int) else repr(value)
