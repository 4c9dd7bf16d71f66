"""Sentences taken apart: amounts, shares and engines, and the rows that a sweep gives."""

import json
import re
from typing import Any

from tests.helpers import run

ENGINES = {"the bus": "bus", "the matrix unit": "matrix", "the vector unit": "vector"}
TIMES = {"bus": "transfer_time_s", "matrix": "matrix_time_s", "vector": "vector_time_s"}
PREFIXES = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
AMOUNT = r"([\d.]+ [TGMkmun]?(?:s|B|J|W|MACs|ops))"
ENGINE = "(the bus|the matrix unit|the vector unit)"
PERCENT = r"([\d.]+) %"


def is_amount(text: str, value: float) -> bool:
    """Whether a text such as `5.211 MB` is the value, rounded to the digits that it has."""
    number, unit = text.split(" ")
    bare = next(each for each in ("MACs", "ops", "s", "B", "J", "W") if unit.endswith(each))
    scale = PREFIXES[unit.removesuffix(bare)]
    digits = len(number.partition(".")[2])
    return abs(float(number) * scale - value) <= (0.5 * 10.0**-digits + 1e-6) * scale


def is_share(percent: str, part: float, whole: float) -> bool:
    return abs(float(percent) - 100 * part / whole) <= 0.05 + 1e-6


def largest(times: dict[str, float]) -> str | None:
    """The engine of the longest time, the first of several."""
    return max(times, key=lambda engine: times[engine]) if any(times.values()) else None


def matched(pattern: str, text: str) -> re.Match[str]:
    match = re.fullmatch(pattern, text)
    assert match is not None, (pattern, text)
    return match


def swept(arguments: list[str], form: str) -> Any:
    ran = run("sweep", *arguments, "--format", form, "--jobs", "1")
    assert ran.code in (0, 1), ran.err
    return json.loads(ran.out) if form == "json" else ran.out
