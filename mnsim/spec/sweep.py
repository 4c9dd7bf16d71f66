"""A sweep: what varies, and how the levels are put together. From a command line, from a file, or from
both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, WithJsonSchema

from mnsim.errors import Location, MnsimError, SpecError, raise_all, shown
from mnsim.operators.quantities import FURTHER, QUANTITIES
from mnsim.spec.axes import (
    Axis,
    Given,
    Item,
    Wanted,
    count_of,
    hardware_axes,
    items_of,
    multiplier_axis,
    place_of,
    rank,
    word_axis,
)
from mnsim.spec.document import Document, read_document
from mnsim.spec.fields import Flag, Samples, Seed, unsaid
from mnsim.spec.hardware import HardwareSpec
from mnsim.spec.load import load_network, read_hardware, read_text, validate
from mnsim.spec.records import DTYPES, POLICIES, Network
from mnsim.spec.settings import SRAM, KeyPath, check_key, read_setting, refuse_overlaps
from mnsim.spec.written import LevelRange, Written, read_levels, split, typed, unquoted

Mode = Literal["grid", "zip", "sample"]
CHOICES = {"dtype": DTYPES, "policy": POLICIES}
MOST_POINTS = 10_000_000
PARTS = ("network", "hardware", "alpha", "rho", "dtype", "policy")

_LEVEL = {"type": ["string", "number", "array", "object"]}
Levels = Annotated[Any, WithJsonSchema({"anyOf": [_LEVEL, {"type": "array", "items": _LEVEL, "minItems": 1}]})]  # read by `_file_items`


_IN_SET = "keys of the hardware file stand under `set`, like set: {bus.bandwidth: [1 GB/s, 2 GB/s]}"
_SECTIONS = (*dict.fromkeys(quantity.section for quantity in QUANTITIES), FURTHER)
_TYPED = ("where", "pareto", "sort", "top", "fidelity", "jobs", "scheduler", "store", "max_points")


class SweepSpec(BaseModel):
    """A sweep file: levels for each part of a point, alone or in a list, or a range: `log(0.5 GB/s, 8
    GB/s, 16)`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    elsewhere: ClassVar[dict[str, str]] = {  # what to do with a key that has its place elsewhere
        "sram": "write set: {internal_memory.capacity: [256 KiB, 1 MiB]}",
        "bandwidth": "write set: {bus.bandwidth: [1 GB/s, 2 GB/s]}",
        "hw": "write hardware: seed",
        **dict.fromkeys(_SECTIONS, _IN_SET),
        **{name: f"say --{name.replace('_', '-')} on the command line" for name in _TYPED},
    }

    networks: Levels = unsaid()
    hardware: Levels = "seed"
    alpha: Levels = 1
    rho: Levels = 1
    dtype: Levels = "int8"
    policy: Levels = "overlap"
    set: dict[str, Levels] = {}
    zip: Flag = False
    sample: Samples = unsaid()
    seed: Seed = 0


class Asked(NamedTuple):
    """What a command line asks for; None and empty where it says nothing."""

    networks: tuple[str, ...] = ()
    hardware: str | None = None
    alpha: str | None = None
    rho: str | None = None
    dtype: str | None = None
    policy: str | None = None
    sram: str | None = None
    settings: tuple[str, ...] = ()
    zip: bool | None = None
    sample: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """Axes, those that plans depend on first, then hardware, then rates; the last varies fastest.

    The levels of the axis `network` are Network records, those of `hardware` Documents. A grid has every
    combination of levels, zip takes them side by side (one level stays), a sample of `samples` points is
    drawn with `seed`.
    """

    axes: tuple[Axis, ...]
    mode: Mode
    samples: int = 0
    seed: int = 0


class _Read(NamedTuple):
    """Levels as written, by part of a point, and by key of the hardware file."""

    parts: dict[str, list[Item]]
    wanted: list[Wanted]


class _How(NamedTuple):
    """How levels are put together: the mode, the points and the seed of a sample, and where the number of
    points is written.
    """

    mode: Mode
    samples: int
    seed: int
    place: Location


def read_sweep(asked: Asked, file: str | Document | None = None, most_points: int | None = None) -> Sweep:
    """The sweep of a command line and a file (its name, or its document); the command line counts before the
    file.

    Raises SpecError with all problems, before any point runs: U007 for more than `most_points` (else
    MOST_POINTS) points.
    """
    document = _document(file) if isinstance(file, str) else file
    how = _how(asked, document)
    read = _merged(_typed(asked), _from_file(document) if document else _Read({}, []))
    _refuse_no_network(read, document)
    _refuse_two_inputs(read, isinstance(file, str) and file == "-")
    _refuse_open_ranges(read, how.mode)
    _refuse_too_many(read, how, most_points or MOST_POINTS)
    found = Sweep(_axes(read), how.mode, how.samples, how.seed)
    _refuse_misfits(found)
    return found


def _how(asked: Asked, document: Document | None) -> _How:
    """The mode; --zip and --sample on the command line count before the file's."""
    spec = validate(SweepSpec, document) if document else None
    is_typed = spec is None or asked.zip is not None or asked.sample is not None
    zips, samples = (asked.zip, asked.sample) if spec is None or is_typed else (spec.zip, spec.sample)
    _refuse_numbers(asked)
    if zips and samples is not None:
        typed_place = Location("command line", text="--zip --sample", length=5)
        place = typed_place if is_typed or document is None else document.locate_key(("zip",))
        raise SpecError("U005", "levels side by side cannot be sampled too", place, "leave out --zip or --sample")
    if asked.seed and samples is None:
        place = typed("--seed", str(asked.seed)).place
        raise SpecError("U005", "a seed is of a sample, and there is none", place, "say --sample N, or leave out --seed")
    seed = asked.seed if asked.seed is not None else spec.seed if spec else 0
    place = typed("--sample", str(samples)).place if is_typed or document is None else document.locate(("sample",))
    return _How("zip" if zips else "grid" if samples is None else "sample", samples or 0, seed, place)


def _refuse_numbers(asked: Asked) -> None:
    """Raises SpecError for numbers that a library's caller may give; the command line refuses them itself."""
    for name, least in (("sample", 1), ("seed", 0)):
        number = getattr(asked, name)
        if number is not None and not least <= number < 2**63:
            raise SpecError("S104", f"{name} must be at least {least}", typed(f"--{name}", str(number)).place, "write a whole number")


def _document(file: str) -> Document:
    try:
        return read_document(read_text(file))
    except SpecError as error:
        if error.code != "S004" or error.location is None:
            raise
        raise SpecError("S004", error.message, error.location, "`mnsim explain sweep` has the keys of a sweep file") from None


def _refuse_no_network(read: _Read, document: Document | None) -> None:
    if read.parts.get("network"):
        return
    if document:
        raise SpecError("S101", "missing key 'networks'", document.locate(()), "add `networks: ...`, or name one on the command line")
    place = Location("command line", text="mnsim sweep", length=11)
    raise SpecError("U001", "there is no network to run", place, "name one, or give --spec FILE")


def _refuse_two_inputs(read: _Read, is_read: bool) -> None:
    """Standard input can be read once."""
    given = [item.written for part in ("network", "hardware") for item in read.parts.get(part, ()) if isinstance(item, Given)]
    inputs = [written for written in given if written.text == "-"]
    if len(inputs) + is_read > 1:
        raise SpecError("U001", "standard input can be one file only", inputs[-1].place, "give the others as files")


def _typed(asked: Asked) -> _Read:
    parts: dict[str, list[Item]] = {}
    if asked.networks:
        parts["network"] = [Given(typed("NETWORK", name)) for name in asked.networks]
    for part in PARTS[1:]:
        text = getattr(asked, part)
        if text is not None:
            written = typed("--hw" if part == "hardware" else f"--{part}", text)
            levels = split(written) if part == "hardware" else read_levels(written)
            parts[part] = items_of([each if isinstance(each, LevelRange) else unquoted(each) for each in levels])
    settings = [read_setting(typed("--set", setting), HardwareSpec) for setting in asked.settings]
    if asked.sram is not None:
        sram = typed("--sram", asked.sram)
        settings.append((SRAM, sram.place, sram))
    refuse_overlaps([(path, value) for path, _, value in settings])
    return _Read(parts, [Wanted(path, place, items_of(read_levels(value))) for path, place, value in settings])


def _from_file(document: Document) -> _Read:
    names = {"network": "networks", **{part: part for part in PARTS[1:]}}
    parts = {part: _file_items(document, (name,)) for part, name in names.items() if (name,) in document.keys}
    wanted = []
    for key in document.data.get("set") or {}:
        place = document.locate_key(("set", key))
        wanted.append(Wanted(check_key(Written(key, place), HardwareSpec), place, _file_items(document, ("set", key))))
    refuse_overlaps([(each.path, Written("", each.place)) for each in wanted])
    return _Read(parts, wanted)


def _file_items(document: Document, path: tuple[str, ...]) -> list[Item]:
    """The levels at a place of the file: each entry of a list, or all levels that a text lists."""
    here: Any = document.data
    for name in path:
        here = here[name]
    if not isinstance(here, list):
        return _entry_items(document, path, here)
    if not here:
        raise SpecError("U005", "there are no levels", document.locate(path), "write [a, b], or a range such as linear(a, b, n)")
    return [item for number, each in enumerate(here) for item in _entry_items(document, (*path, number), each)]


def _entry_items(document: Document, path: tuple[str | int, ...], value: Any) -> list[Item]:
    """The levels of one entry: a name is itself, a list or mapping is one level of a key, a text lists
    levels.
    """
    place = document.locate(path)
    if value is None:
        raise SpecError("U005", "a level is empty", place, "write a level, or leave the key out")
    if path[0] in ("networks", "hardware"):
        if not isinstance(value, str):
            raise SpecError("S103", f"expected a name, got {shown(value)}", place, "write the name of a file, or a bundled one")
        return [Given(_scalar(place, value))]
    if isinstance(value, dict | list):
        if path[0] != "set":
            raise SpecError("S103", f"expected a level, got {shown(value)}", place, "write [a, b], or a range such as linear(a, b, n)")
        below = {found[len(path) :]: where for found, where in document.values.items() if found[: len(path)] == path}
        return [Given(Written(str(value), place), Document(document.text, value, below, {}))]
    written = _scalar(place, value)
    if written.is_source and isinstance(path[-1], int) and written.text.count("(") != written.text.count(")"):
        raise SpecError("U005", "a bracket is not closed", written.place, "in a list, put quotes around a range: 'log(a, b, n)'")
    return items_of(read_levels(written))


def _scalar(place: Location, value: Any) -> Written:
    """A scalar as it stands in its line; one with escapes or line ends has the place of the whole."""
    source = place.text[place.column - 1 : place.column - 1 + place.length]
    if not isinstance(value, str):
        return Written(source, place)
    if source[:1] in "\"'" and source[1:-1] == value:
        return Written(value, replace(place, column=place.column + 1, length=max(1, len(value))))
    return Written(value, place, source == value)


def _merged(typed_: _Read, filed: _Read) -> _Read:
    """The typed levels, and those of the file for all other parts."""
    taken = [each.path for each in typed_.wanted]
    kept = [each for each in filed.wanted if not any(_is_within(each.path, path) or _is_within(path, each.path) for path in taken)]
    return _Read({**filed.parts, **typed_.parts}, [*kept, *typed_.wanted])


def _is_within(path: KeyPath, section: KeyPath) -> bool:
    return path[: len(section)] == section


def _all_items(read: _Read) -> Mapping[str, Sequence[Item]]:
    return {**read.parts, **{".".join(each.path): each.items for each in read.wanted}}


def _refuse_open_ranges(read: _Read, mode: Mode) -> None:
    """A range without a number of levels is for samples, alone on its axis."""
    for items in _all_items(read).values():
        for item in items:
            if isinstance(item, LevelRange) and item.size is None and (mode != "sample" or len(items) > 1):
                what = "has no number of levels" if mode != "sample" else "without a number of levels stands alone on its axis"
                remedy = f"write {item.scale}({item.first.text}, {item.last.text}, 16)"
                raise SpecError("U005", f"this range {what}", item.whole.place, remedy)


def _refuse_too_many(read: _Read, how: _How, most_points: int) -> None:
    """Raises SpecError U007 at the axis with most levels, before any of them is made."""
    counts = {name: count_of(items) for name, items in _all_items(read).items()}
    total = 1
    for count in counts.values():
        total = total * count if how.mode == "grid" else max(total, count)
    if how.samples > most_points:
        raise SpecError("U007", f"{how.samples:,} points are more than {most_points:,}", how.place, "draw fewer, or say --max-points")
    if total > most_points:
        longest = _all_items(read)[max(counts, key=lambda name: counts[name])]
        span = next((item for item in longest if isinstance(item, LevelRange) and item.size == max(map(_size, longest))), None)
        place = span.counted.place if span else place_of(longest)
        what = "points" if how.mode == "grid" else "levels"
        raise SpecError("U007", f"{total:,} {what} are more than {most_points:,}", place, "ask for fewer levels, or say --max-points")


def _size(item: Item) -> int:
    return (item.size or 1) if isinstance(item, LevelRange) else 1


def _axes(read: _Read) -> tuple[Axis, ...]:
    items = {part: read.parts.get(part) or _default(part) for part in PARTS}
    axes: list[Axis] = []
    problems: list[MnsimError] = []
    for part in PARTS:
        try:
            if part in CHOICES:
                axes.append(word_axis(part, items[part], CHOICES[part]))
            else:
                axes.append(multiplier_axis(part, items[part]) if part in ("alpha", "rho") else _sources(part, items[part]))
            if part == "hardware":
                keys = hardware_axes(axes[-1].levels, read.wanted)
        except MnsimError as error:
            problems += error.problems
    if problems:
        raise_all(problems)
    return tuple(sorted([*axes, *keys], key=rank))  # a stable sort


def _default(part: str) -> list[Item]:
    """The single level of a part that neither command line nor file names."""
    return [Given(typed(f"--{part}", str(SweepSpec.model_fields[part].default)))]


def _sources(part: str, items: Sequence[Item]) -> Axis:
    """Networks or hardware, loaded; two of one name could not be told apart in the results."""
    names: dict[str, str] = {}
    levels: list[Network | Document] = []
    for item in items:
        if isinstance(item, LevelRange):
            raise SpecError("U005", f"{part} takes names, not a range", item.whole.place, "write them with commas between")
        source = item.written.text
        level = _load(part, item.written)
        name = level.name if isinstance(level, Network) else _hardware_name(level, source)
        if name in names:
            again = names[name] == source
            message = f"{shown(source, 100)} stands twice" if again else f"a second {part} is called '{name}'"
            raise SpecError("U005", message, item.written.place, "keep one of the two" if again else "give it another `name:`")
        names[name] = source
        levels.append(level)
    return Axis(part, tuple(levels), place_of(items), tuple(names))


def _load(part: str, written: Written) -> Network | Document:
    """A network or a hardware file. A missing file is a problem of its name in the list."""
    try:
        return load_network(written.text) if part == "network" else read_hardware(written.text)
    except SpecError as error:
        if error.code != "S001" or error.location is None or error.location.file != written.text or written.place.file == "NETWORK":
            raise
        raise SpecError(error.code, error.message, written.place, error.remedy) from None


def sources(sweep: Sweep) -> list[tuple[str, str]]:
    """The files of the networks and the hardware of a sweep: the kind of each, and its path."""
    levels = {axis.name: axis.levels for axis in sweep.axes}
    networks = [("a network", level.layers[0].location.file) for level in levels["network"] if level.layers]
    return networks + [("hardware", level.text.name) for level in levels["hardware"]]


def _hardware_name(document: Document, source: str) -> str:
    """The name in the file, if it has one; its other problems are reported later."""
    name = document.data.get("name") if isinstance(document.data, dict) else None
    return name if isinstance(name, str) else source


def _refuse_misfits(sweep: Sweep) -> None:
    """Raises SpecError for a level twice in a grid, and for axes of different lengths side by side."""
    problems = []
    for axis in sweep.axes:
        if axis.twice is not None and sweep.mode == "grid":
            message = f"{axis.name} has a level twice: {shown(axis.twice.text)}"
            problems.append(SpecError("U005", message, axis.twice.place, "keep one of the two"))
    lengths = {axis.name: len(axis.levels) for axis in sweep.axes if len(axis.levels) > 1}
    if sweep.mode == "zip" and len(set(lengths.values())) > 1:
        longest = max(lengths, key=lambda name: lengths[name])
        for axis in sweep.axes:
            if 1 < len(axis.levels) < lengths[longest]:
                message = f"{axis.name} has {len(axis.levels)} levels and {longest} has {lengths[longest]}; side by side they must be equal"
                problems.append(SpecError("U005", message, axis.place, "give each as many levels, or one"))
    if problems:
        raise_all(problems)
