"""What a sweep varies: lists and ranges as axes, every level of which is checked before anything runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from typing import Any, NamedTuple

from pydantic import BaseModel

from mnsim.errors import Location, MnsimError, SpecError, did_you_mean, raise_all, shown
from mnsim.operators.quantities import CAPACITIES, FURTHER, QUANTITIES, rate_column
from mnsim.spec.document import Document
from mnsim.spec.hardware import HardwareSpec
from mnsim.spec.load import hardware_of, validate
from mnsim.spec.records import Hardware
from mnsim.spec.settings import KeyPath, Setting, put_values, read_data, refuse_no_entry
from mnsim.spec.written import Kind, LevelRange, Scale, Written, level_at, levels_between
from mnsim.units import UnitError, parse_multiplier

WORDS = ("title", "external_memory.kind")  # of the hardware file: no figure depends on them
KEYS = {**{quantity.key: quantity.column for quantity in CAPACITIES}, "matrix_unit.fused": "fused"}  # what plans depend on
_OF_RATES = [name for quantity in QUANTITIES for name in (quantity.section, quantity.key) if name == quantity.section or quantity.kinds]
SECTIONS = tuple(  # of rates alone
    name for name in dict.fromkeys(_OF_RATES) if not any(key.startswith(f"{name}.") for key in (*KEYS, *WORDS))
)


class Given(NamedTuple):
    """A level as written; `data` where a file gives it, with the places of its parts."""

    written: Written
    data: Document | None = None


Item = Given | LevelRange


class Wanted(NamedTuple):
    """A key of the hardware file that is given levels."""

    path: KeyPath
    place: Location
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Between:
    """A range that a sample draws from: its scale, its ends, and what its levels are."""

    scale: Scale
    first: Fraction
    last: Fraction
    kind: Kind


@dataclass(frozen=True, slots=True)
class Axis:
    """What varies: a part of a point, and its levels.

    `name` is network, hardware, alpha, rho, dtype, policy or a dotted key of the hardware file, `words` the
    levels as written. `data` has the hardware file's value of each level; of a rate, whose levels are its
    numbers, only that of the first. `between` is set where a sample is to draw the levels; `levels` and
    `data` have the range's two ends until then. `twice` is the first level that is listed twice.
    """

    name: str
    levels: tuple[Any, ...]
    place: Location
    words: tuple[str, ...]
    data: tuple[Any, ...] = ()
    between: Between | None = None
    twice: Written | None = None

    @property
    def is_shared(self) -> bool:
        """Whether levels may have one plan: hardware files, and sections that no plan depends on."""
        return self.name == "hardware" or self.name in SECTIONS


def rank(axis: Axis) -> int:
    """The order of axes: rates last, and before them hardware files and sections of rates, which plans need
    not depend on. So points with one plan follow one another.
    """
    if rate_column(axis.name) is not None:
        return 2
    return int(axis.is_shared)


def items_of(written: Sequence[Written | LevelRange]) -> list[Item]:
    """Levels of a command line."""
    return [each if isinstance(each, LevelRange) else Given(each) for each in written]


def count_of(items: Sequence[Item]) -> int:
    """How many levels there will be."""
    return sum((item.size or 1) if isinstance(item, LevelRange) else 1 for item in items)


def place_of(items: Sequence[Item]) -> Location:
    """The place of the levels, from the first to the last in the same line."""
    places = [item.whole.place if isinstance(item, LevelRange) else item.written.place for item in items]
    first = places[0]
    last = next(place for place in reversed(places) if (place.file, place.line) == (first.file, first.line))
    return replace(first, length=max(1, last.column + last.length - first.column))


def word_axis(name: str, items: Sequence[Item], choices: Sequence[str]) -> Axis:
    """Levels that are words. Raises SpecError S107 for a word that is not a choice, U005 for a range."""
    problems: list[MnsimError] = []
    for item in items:
        if isinstance(item, LevelRange):
            problems.append(_no_range(name, item))
        elif item.written.text not in choices:
            near = did_you_mean(item.written.text, choices)
            remedy = near if near.startswith("did") else f"write one of {', '.join(choices)}"
            problems.append(SpecError("S107", f"{name} cannot be {shown(item.written.text)}", item.written.place, remedy))
    if problems:
        raise_all(problems)
    texts = tuple(item.written.text for item in items if isinstance(item, Given))
    return Axis(name, texts, place_of(items), texts, twice=_twice(items, [[text] for text in texts]))


def multiplier_axis(name: str, items: Sequence[Item]) -> Axis:
    """Levels that are multipliers, as exact fractions. Raises SpecError S104 for a number that is no
    multiplier, U005 for a range without levels.
    """

    def read(item: Given) -> Fraction:
        try:
            return parse_multiplier(item.written.text)
        except UnitError as error:
            raise SpecError("S104", f"{name}: {error.message}", item.written.place, error.remedy) from None

    levels, between = _levels(items, read)
    return Axis(name, tuple(chain.from_iterable(levels)), place_of(items), _words(items), between=between, twice=_twice(items, levels))


def hardware_axes(documents: Sequence[Document], wanted: Sequence[Wanted]) -> list[Axis]:
    """The axes of the hardware file's keys. Each level is checked in each of the documents, with the other
    keys at their first level. Raises SpecError with all problems, each at its place.
    """
    firsts = [Setting(each.path, each.place, _data_of(_first(each)), _first(each).written.place) for each in wanted]
    for each in wanted:
        for document in documents:
            refuse_no_entry(each.path, each.place, document, HardwareSpec)
    _validated(documents, firsts)
    problems: list[MnsimError] = []
    axes = []
    for number, each in enumerate(wanted):
        others = [first for place, first in enumerate(firsts) if place != number]
        try:
            axes.append(_hardware_axis([put_values(document, others) for document in documents], each))
        except MnsimError as error:
            problems += error.problems
    if problems:
        raise_all(problems)
    return axes


def _hardware_axis(documents: Sequence[Document], wanted: Wanted) -> Axis:
    key = ".".join(wanted.path)

    def read(item: Given) -> Any:
        setting = Setting(wanted.path, wanted.place, _data_of(item), item.written.place)
        return _value_at(_validated(documents, [setting])[0], wanted.path)

    if key == "name":
        raise SpecError("U005", "a sweep calls hardware by the names in its files", wanted.place, "change `name:` in the file")
    by_item, between = _levels(wanted.items, read)
    levels = tuple(chain.from_iterable(by_item))
    if (key in WORDS or wanted.path[0] == FURTHER) and len(levels) > 1:
        why = ": plans put nothing into further memories yet" if wanted.path[0] == FURTHER else ""
        raise SpecError("U005", f"no figure depends on '{key}'{why}", wanted.place, "give it one value")
    if any(isinstance(item, LevelRange) for item in wanted.items):
        data = [f"{level} B" for level in levels]  # of all that plans depend on, only sizes have ranges
    else:
        data = [_data_of(item).data for item in wanted.items if isinstance(item, Given)]
    if rate_column(key) is not None:
        data = [_data_of(_first(wanted)).data]
    return Axis(key, levels, place_of(wanted.items), _words(wanted.items), tuple(data), between, _twice(wanted.items, by_item))


def _validated(documents: Sequence[Document], settings: Sequence[Setting]) -> list[HardwareSpec]:
    try:
        return [validate(HardwareSpec, put_values(document, settings)) for document in documents]
    except SpecError as error:
        if (error.code, error.key) != ("S103", "matrix_unit.fused"):
            raise
        place = error.location or documents[0].locate(())  # a list of words where a list of lists is meant
        raise SpecError(error.code, error.message, place, "a level is a list: [[relu], []]", error.key) from None


def _first(wanted: Wanted) -> Given:
    """The key's first level, or its first range's first end."""
    item = wanted.items[0]
    return Given(item.first) if isinstance(item, LevelRange) else item


def _data_of(item: Given) -> Document:
    return item.data or read_data(item.written)


def _levels(items: Sequence[Item], read: Callable[[Given], Any]) -> tuple[list[Sequence[Any]], Between | None]:
    """The levels of each item, and the range that a sample is to draw from, if it is one. Raises SpecError
    with all problems.
    """
    levels: list[Sequence[Any]] = []
    problems: list[MnsimError] = []
    between = None
    for item in items:
        try:
            if isinstance(item, Given):
                levels.append([read(item)])
                continue
            ends = read(Given(item.first)), read(Given(item.last))
            kind = _kind(ends[0], item)
            first, last = _checked(item, *(Fraction(repr(end) if kind is float else end) for end in ends))
            if item.size is None:
                between = Between(item.scale, first, last, kind)
            levels.append(ends if item.size is None else levels_between(item, first, last, kind))
        except MnsimError as error:
            problems += error.problems
    if problems:
        raise_all(problems)
    return levels, between


def _twice(items: Sequence[Item], levels: Sequence[Sequence[Any]]) -> Written | None:
    """The first item with a level that an earlier one has."""
    seen: set[Any] = set()
    for item, found in zip(items, levels, strict=True):
        known = [level if isinstance(level, int | float | str | Fraction) else repr(level) for level in found]
        if not seen.isdisjoint(known):
            return item.whole if isinstance(item, LevelRange) else item.written
        seen.update(known)
    return None


def _kind(level: Any, span: LevelRange) -> Kind:
    for kind in (float, int, Fraction):
        if isinstance(level, kind) and not isinstance(level, bool):
            return kind
    raise _no_range("this", span)


def _no_range(name: str, span: LevelRange) -> SpecError:
    return SpecError("U005", f"{name} takes words, not a range", span.whole.place, "write them with commas between")


def _checked(span: LevelRange, first: Fraction, last: Fraction) -> tuple[Fraction, Fraction]:
    """The ends, which must differ, and be above 0 on a log scale."""
    if first == last:
        raise SpecError(
            "U005", "an empty range: both ends are equal", span.last.place, "write two different ends, or the one level by itself"
        )
    if span.scale == "log" and min(first, last) <= 0:
        wrong = span.first if first <= 0 else span.last
        raise SpecError("U005", "a log range has no zero", wrong.place, "write an end above 0, or linear(a, b, n)")
    return first, last


def _words(items: Sequence[Item]) -> tuple[str, ...]:
    return tuple(item.whole.text if isinstance(item, LevelRange) else item.written.text for item in items)


def _value_at(spec: BaseModel, path: KeyPath) -> Any:
    """The checked value of a key: numbers in base units, lists as tuples, sections as mappings."""
    here: Any = spec
    for name in path:
        if isinstance(here, dict):
            here = here[name]
            continue
        attribute = next(attribute for attribute, field in type(here).model_fields.items() if (field.alias or attribute) == name)
        here = getattr(here, attribute)
    if isinstance(here, BaseModel):
        return here.model_dump(by_alias=True, exclude_unset=True)
    if isinstance(here, dict):
        return {name: entry.model_dump(exclude_unset=True) for name, entry in here.items()}
    return tuple(here) if isinstance(here, list) else here


def drawn(axis: Axis, shares: Sequence[float]) -> Axis:
    """The axis with levels drawn from its range, at these shares of the distance from end to end."""
    if axis.between is None:
        return axis
    scale, first, last, kind = axis.between.scale, axis.between.first, axis.between.last, axis.between.kind
    levels = tuple(level_at(scale, first, last, share, kind) for share in shares)
    is_size = axis.data and rate_column(axis.name) is None
    return replace(axis, levels=levels, data=tuple(f"{level} B" for level in levels) if is_size else axis.data, between=None)


def hardware_at(document: Document, data: Mapping[str, Any]) -> Hardware:
    """The document's hardware with checked values put in by key."""
    nowhere = document.locate(())
    empty = {key: Document(document.text, value, {}, {}) for key, value in data.items()}
    return hardware_of(put_values(document, [Setting(tuple(key.split(".")), nowhere, value, nowhere) for key, value in empty.items()]))
