"""Lists and ranges as people write them on a command line or in a file, every part of them with its place.

`256KiB, 1MiB`, `linear(1 GB/s, 8 GB/s, 8)`, `log(0.5 GB/s, 8 GB/s, 16)`, or several of them with commas
between.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, NamedTuple

from mnsim.errors import Location, SpecError, did_you_mean, shown

Scale = Literal["linear", "log"]
SCALES: tuple[Scale, ...] = ("linear", "log")
LOG_DIGITS = 12  # significant digits of a level between the ends of a log range
_CALL = re.compile(r"([A-Za-z_]\w*)\s*\((.*)\)\s*", re.DOTALL)
_CLOSING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Written:
    """A text, and the place of its first character.

    `is_source` says that the text stands there letter for letter. Otherwise (escapes, folded lines) its parts
    have the place of the whole.
    """

    text: str
    place: Location
    is_source: bool = True


class LevelRange(NamedTuple):
    """A range as written: its ends, and how many levels it has with both ends; None where that is left to
    a sample.
    """

    scale: Scale
    first: Written
    last: Written
    size: int | None
    counted: Written  # the number of levels, or the whole where it is left out
    whole: Written


def typed(option: str, text: str) -> Written:
    """The text typed for an option."""
    first = text.partition("\n")[0]
    return Written(text, Location(option, 1, 1, first, max(1, len(first))), "\n" not in text)


def part(written: Written, start: int, end: int) -> Written:
    """The text from `start` to `end` (half-open) without the blanks around it."""
    text = written.text[start:end]
    start += len(text) - len(text.lstrip())
    text = text.strip()
    if not written.is_source:
        return replace(written, text=text)
    return Written(text, replace(written.place, column=written.place.column + start, length=max(1, len(text))))


def unquoted(written: Written) -> Written:
    """The text between quotes, if they enclose all of it."""
    text = written.text
    enclosed = len(text) > 1 and text[0] in "\"'" and text[0] == text[-1]
    return part(written, 1, len(text) - 1) if enclosed else written


def split(written: Written) -> list[Written]:
    """The parts between commas, brackets and quotes kept whole. Raises SpecError U005 for an empty part or
    an open bracket.
    """
    parts, start, open_at, closing, quote = [], 0, 0, "", ""
    for at, letter in enumerate(written.text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and not written.text[start:at].strip(" ([{,"):
            quote, open_at = letter, at
        elif letter in _CLOSING:
            open_at = open_at if closing else at
            closing = _CLOSING[letter] + closing
        elif closing and letter == closing[0]:
            closing = closing[1:]
        elif letter == "," and not closing:
            parts.append(part(written, start, at))
            start = at + 1
    if quote or closing:
        opened = part(written, open_at, open_at + 1)
        raise SpecError("U005", f"{shown(opened.text)} is not closed", opened.place, f"close it with {quote or closing[0]}")
    parts.append(part(written, start, len(written.text)))
    for each in parts:
        if not each.text:
            what = "there are no levels" if len(parts) == 1 else "a level is empty"
            raise SpecError("U005", what, each.place, "write levels with commas between, or linear(a, b, n) or log(a, b, n)")
    return parts


def read_levels(written: Written) -> list[Written | LevelRange]:
    """The levels and ranges of a list. Raises SpecError U005 for a range that cannot be."""
    return [_span(each) or each for each in split(written)]


def _span(written: Written) -> LevelRange | None:
    """The range, if it looks like one."""
    call = _CALL.fullmatch(written.text)
    if call is None:
        return None
    scale = next((known for known in SCALES if known == call[1]), None)
    if scale is None:
        name = part(written, 0, len(call[1]))
        raise SpecError("U005", f"no range is called {shown(call[1])}", name.place, did_you_mean(call[1], SCALES))
    inner = part(written, call.start(2), call.end(2))
    arguments = split(inner) if inner.text else []
    if len(arguments) not in (2, 3):
        message = f"{scale} takes two ends and a number of levels, got {len(arguments)} of the three"
        raise SpecError("U005", message, written.place, f"write it like {scale}(a, b, 16)")
    count = _count(scale, arguments[2]) if len(arguments) == 3 else None
    return LevelRange(scale, arguments[0], arguments[1], count, arguments[-1] if count else written, written)


def _count(scale: Scale, written: Written) -> int:
    if not re.fullmatch(r"[0-9]{1,30}", written.text):
        raise SpecError("U005", f"{shown(written.text)} is no number of levels", written.place, "write a whole number, such as 16")
    count = int(written.text)
    if count < 2:
        what = "an empty range" if count == 0 else "a range of 1 level has only one end"
        raise SpecError("U005", f"{what}: {scale} has both ends", written.place, "write 2 or more, or the one level by itself")
    return count


Kind = type[float] | type[int] | type[Fraction]
Level = float | int | Fraction


def levels_between(span: LevelRange, first: Fraction, last: Fraction, kind: Kind) -> list[Level]:
    """The span's levels from `first` to `last`, both included: floats, whole numbers (the nearest) or
    fractions.

    A linear range is exact, and rounded once; a log range has LOG_DIGITS digits between its ends, for its
    steps are irrational. Raises SpecError U005 where levels would repeat.
    """
    assert span.size is not None
    steps = span.size - 1
    if span.scale == "linear":
        scale = first.denominator * last.denominator
        start, end, whole = int(first * scale), int(last * scale), scale * steps
        levels = [_exact(start * (steps - step) + end * step, whole, kind) for step in range(span.size)]
    else:
        inner = (level_at(span.scale, first, last, step / steps, kind) for step in range(1, steps))
        levels = [_exact(*first.as_integer_ratio(), kind), *inner, _exact(*last.as_integer_ratio(), kind)]
    if len(set(levels)) < len(levels):
        message = f"{span.size} levels do not fit between the ends: some would be equal"
        raise SpecError("U005", message, span.counted.place, "write fewer levels, or ends further apart")
    return levels


def level_at(scale: Scale, first: Fraction, last: Fraction, share: float, kind: Kind) -> Level:
    """The level at a share (0 to 1) of the way from `first` to `last`, with LOG_DIGITS digits."""
    start, end = float(first), float(last)
    value = start * (end / start) ** share if scale == "log" else start + (end - start) * share
    rounded = float(f"{value:.{LOG_DIGITS}g}")
    return rounded if kind is float else round(rounded) if kind is int else Fraction(repr(rounded))


def _exact(numerator: int, denominator: int, kind: Kind) -> Level:
    if kind is float:
        return numerator / denominator
    return round(Fraction(numerator, denominator)) if kind is int else Fraction(numerator, denominator)
