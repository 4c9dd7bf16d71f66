"""The rows to show, their order, and their marks: conditions, the Pareto front, the first few."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnsim.clocks.recurrence import Array
from mnsim.errors import SpecError, did_you_mean, shown
from mnsim.explore.front import front
from mnsim.explore.points import Indices
from mnsim.explore.rows import TEXTS, Columns, Rows, amounts, column_of, done, texts, with_results
from mnsim.spec.written import Written, part, split, typed, unquoted
from mnsim.units import ENERGY, ENERGY_PER_BYTE, ENERGY_PER_FLOP, RATE, SIZE, THROUGHPUT, TIME, Dimension, UnitError, parse_quantity

_CODE = re.compile(r"[A-Z][0-9]{3}")
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_JOINED = re.compile(r"\s(and|or|&&|\|\|)\s")
_CONDITION = re.compile(r"\s*([^<>=!]*?)\s*(<=|>=|==|!=|=|<|>)\s*(.*?)\s*", re.DOTALL)
_NUMBER = re.compile(r"([+-]?[0-9]{1,30}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,3})?)(?:/([1-9][0-9]{0,30}))?")
_DIMENSIONS: tuple[tuple[str, Dimension], ...] = (
    ("_bytes_per_s", RATE),
    ("_per_s", THROUGHPUT),
    ("_bytes", SIZE),
    ("_s", TIME),
    ("_j_per_byte", ENERGY_PER_BYTE),
    ("_j_per_op", ENERGY_PER_FLOP),
    ("_j", ENERGY),
)
MORE_IS_BETTER = ("published_accuracy",)
MARK = "pareto"


@dataclass(frozen=True, slots=True)
class Condition:
    """A column, a comparison, and a value: a number, a word, a flag, or None for a missing value."""

    column: str
    compare: str
    value: float | str | bool | None


@dataclass(frozen=True, slots=True)
class Objective:
    """A column to minimise or maximise."""

    column: str
    sense: Literal["min", "max"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Conditions that all must hold, objectives of the front to mark, columns to sort by (else the points'
    order), and the number of rows to keep.
    """

    conditions: tuple[Condition, ...] = ()
    objectives: tuple[Objective, ...] = ()
    sort: tuple[Objective, ...] = ()
    top: int | None = None


class Selected(NamedTuple):
    """The points of a selection: those to show, in order; all that meet its conditions; and those among which
    the front was sought.

    `kept` are the `numbers` without `top`, `candidates` those without conditions on `pareto` too.
    """

    selection: Selection
    numbers: Indices
    kept: Indices
    candidates: Indices


class LeftOut(NamedTuple):
    """Points that have a result but lack a value in some of the front's columns; those that have all; and the
    number that lack each column.
    """

    numbers: Indices
    compared: Indices
    columns: dict[str, int]


def read_condition(text: str, columns: Columns) -> Condition:
    """`simulated_time_s < 1 ms`, `network = mobilenet_v1`, `published_accuracy != none`. Raises SpecError
    U006, U008, S105.
    """
    written = typed("--where", text)
    match = _CONDITION.fullmatch(text)
    if match is None or not match[1] or not match[3]:
        raise SpecError("U008", f"{shown(text)} is no condition", written.place, "write it like 'simulated_time_s < 1 ms'")
    column = _column(part(written, *match.span(1)), columns)
    value = unquoted(part(written, *match.span(3)))
    is_order = match[2] not in ("=", "==", "!=")
    if joined := _JOINED.search(value.text):
        place = part(value, *joined.span(1)).place
        raise SpecError("U008", "a condition is of one column", place, "give --where once for each: rows that meet all of them are kept")
    if value.text in ("none", "null", ""):
        found: float | str | bool | None = None
    elif column == MARK:
        if value.text not in ("true", "false"):
            raise SpecError("U008", f"{MARK} is true or false, not {shown(value.text)}", value.place, f"write {MARK}=true")
        found = value.text == "true"
    else:
        found = _word(column, value, columns) if column in TEXTS else _amount(column, value)
    if is_order and not isinstance(found, float):
        raise SpecError("U008", f"'{column}' {match[2]} {value.text} compares what has no order", value.place, "use = or !=")
    return Condition(column, match[2], found)


def read_objectives(option: str, text: str, columns: Columns) -> tuple[Objective, ...]:
    """`simulated_time_s,max:published_accuracy`: less is better but for accuracies, unless min: or max:
    says so. Raises SpecError U006.
    """
    return tuple(_objective(each, columns) for each in split(typed(option, text)))


def _objective(written: Written, columns: Columns) -> Objective:
    sense, colon, _ = written.text.partition(":")
    if colon and sense not in ("min", "max"):
        raise SpecError("U008", f"{shown(sense)} is neither min nor max", written.place, "write max:published_accuracy, or the name alone")
    known = [name for name in columns.names if name not in (*TEXTS, MARK)]
    column = _column(part(written, len(sense) + 1 if colon else 0, len(written.text)), columns, known)
    if column in (*TEXTS, MARK):
        raise SpecError("U008", f"'{column}' is no column of numbers", written.place, "name one such as simulated_time_s or traffic_bytes")
    more = sense == "max" if colon else column in MORE_IS_BETTER
    return Objective(column, "max" if more else "min")


def _column(written: Written, columns: Columns, likely: Sequence[str] = ()) -> str:
    """The column of this name, or of this key of the hardware file. Raises SpecError U006."""
    name = written.text
    for meant in (name, column_of(name)):
        if meant in columns.names:
            return str(meant)
    place = replace(written.place, length=max(1, len(name)))
    raise SpecError("U006", f"there is no column {shown(name)}", place, did_you_mean(name, likely or columns.names))


def _word(column: str, written: Written, columns: Columns) -> str:
    """A word that some row can have. Raises SpecError U008."""
    words = columns.words.get(column)
    if words is not None and written.text not in words:
        near = did_you_mean(written.text, words)
        raise SpecError("U008", f"no row has the {column} {shown(written.text)}", written.place, near)
    return written.text


def _amount(column: str, written: Written) -> float:
    """A number, in the column's unit or with a unit of its own. Raises SpecError S105."""
    number = _NUMBER.fullmatch(written.text)
    if number is not None:
        return float(number[1]) / float(number[2] or 1)
    dimension = next((found for suffix, found in _DIMENSIONS if column.endswith(suffix)), None)
    if dimension is None:
        raise SpecError("S105", f"{shown(written.text)} is no number", written.place, f"'{column}' has numbers without a unit")
    try:
        return float(parse_quantity(written.text, dimension))
    except UnitError as error:
        raise SpecError("S105", error.message, written.place, error.remedy) from None


def select(rows: Rows, selection: Selection) -> Selected:
    """The points to show, in order. The front is that of the points that meet all conditions but those on
    `pareto` itself.

    A point that failed, or that has no value in one of the front's columns, is not on it, and beats no
    other.
    """
    numbers = done(rows)
    for condition in selection.conditions:
        if condition.column != MARK:
            numbers = numbers[_holds(rows, condition, numbers)]
    candidates = numbers
    if selection.objectives:
        compared = with_results(rows, candidates)
        costs = np.stack([_costs(rows, objective, compared) for objective in selection.objectives], axis=1)
        marks = np.zeros(rows.points.count, np.bool_)
        marks[compared] = front(costs)
        rows.flags[MARK] = marks
    for condition in selection.conditions:
        if condition.column == MARK:
            numbers = numbers[COMPARE[condition.compare](rows.flags[MARK][numbers], condition.value)]
    kept = numbers
    if selection.sort:
        numbers = numbers[np.lexsort([_costs(rows, each, numbers) for each in reversed(selection.sort)])]  # stable; NaN comes last
    return Selected(selection, numbers if selection.top is None else numbers[: selection.top], kept, candidates)


def left_out(rows: Rows, objectives: Sequence[Objective], numbers: Indices) -> LeftOut:
    """Those of these points that have a result, but lack a value in a column of the front."""
    there = with_results(rows, numbers)
    lacking = {each.column: np.isnan(_costs(rows, each, there)) for each in objectives}
    columns = {name: int(np.count_nonzero(lacks)) for name, lacks in lacking.items() if lacks.any()}
    some = np.logical_or.reduce([np.zeros(len(there), np.bool_), *lacking.values()])
    return LeftOut(there[some], there[~some], columns)


def equals_of(rows: Rows, column: str, number: int, numbers: Indices) -> int:
    """The number of the other points with the same value in a column of times."""
    times = rows.times[column]
    return int(np.count_nonzero(times[numbers] == times[number])) - 1


def _costs(rows: Rows, objective: Objective, numbers: Indices) -> Array:
    values = amounts(rows, objective.column, numbers)
    return -values if objective.sense == "max" else values


def _holds(rows: Rows, condition: Condition, numbers: Indices) -> NDArray[np.bool_]:
    """Where the condition holds. A missing value meets only `= none`, and `!=` with any value."""
    compare = COMPARE[condition.compare]
    if condition.column in TEXTS:
        words = texts(rows, condition.column, numbers)
        if condition.column == "error" and _CODE.fullmatch(str(condition.value)):
            words = np.array([None if word is None else word.partition(":")[0] for word in words.tolist()], object)
        return np.array([bool(compare(word, condition.value)) for word in words.tolist()], np.bool_)
    values = amounts(rows, condition.column, numbers)
    if condition.value is None:
        return np.asarray(compare(np.isnan(values), True), np.bool_)
    return np.asarray(compare(values, condition.value), np.bool_)


def first_of(rows: Rows, objective: Objective, numbers: Sequence[int] | Indices) -> int | None:
    """The number of the best point by a column; None where none has it."""
    costs = _costs(rows, objective, np.asarray(numbers, np.int64))
    return None if not len(costs) or np.isnan(costs).all() else int(np.asarray(numbers)[np.nanargmin(costs)])
