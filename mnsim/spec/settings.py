"""`--set KEY=VALUE`: values put into a document before it is checked, so that a wrong one points at
itself.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from mnsim.errors import Location, SpecError, did_you_mean, shown
from mnsim.operators import quantities
from mnsim.spec.document import Document, Text, ValuePath, read_value
from mnsim.spec.written import Written, part, typed

KeyPath = tuple[str, ...]


class Setting(NamedTuple):
    """Where a value goes, where its key stands, and the value: its data with the places of all parts, and
    its own place.
    """

    path: KeyPath
    key_place: Location
    value: Document
    place: Location


def apply_settings(document: Document, settings: Sequence[str], sram: str | None, model: type[BaseModel]) -> Document:
    """The document with every setting put in; `sram` is the internal memory's capacity, which has an
    option of its own.

    Raises SpecError U002 for a setting without `=` and for a value that is set twice, S102 for an unknown
    key.
    """
    written = [read_setting(typed("--set", setting), model) for setting in settings]
    for path, key_place, _ in written:
        refuse_no_entry(path, key_place, document, model)
    if sram is not None:
        capacity = typed("--sram", sram)
        written.append((SRAM, capacity.place, capacity))
    refuse_overlaps([(path, value) for path, _, value in written])
    return put_values(document, [Setting(path, key, read_data(value), value.place) for path, key, value in written])


SRAM: KeyPath = tuple(quantities.SRAM.key.split("."))


def read_setting(setting: Written, model: type[BaseModel]) -> tuple[KeyPath, Location, Written]:
    """The key as a path with its place, and the value. Raises SpecError U002 without `=`, S102 for an
    unknown key.
    """
    key, equals, _ = setting.text.partition("=")
    if not equals or not key.strip():
        raise SpecError("U002", f"{shown(setting.text)} is not KEY=VALUE", setting.place, "write it like internal_memory.capacity=256KiB")
    written = part(setting, 0, len(key))
    after = len(key) + 1
    length = max(1, len(setting.place.text) - after)
    value = Written(setting.text[after:], replace(setting.place, column=setting.place.column + after, length=length), setting.is_source)
    return check_key(written, model), written.place, value


def check_key(key: Written, model: type[BaseModel]) -> KeyPath:
    """The key's path, every part of which must be a field. Raises SpecError S102."""
    path = tuple(key.text.split("."))
    here: Any = model
    for depth, name in enumerate(path):
        if entry_of(here):
            here = entry_of(here)  # by any name: which there are, the document knows
            continue
        fields = fields_of(here)
        if name not in fields:
            above = ".".join(path[:depth])
            prefix = f"{above}." if depth else ""
            remedy = did_you_mean(prefix + name, [prefix + known for known in fields]) if fields else f"it ends earlier: {above}=VALUE"
            place = replace(key.place, column=key.place.column + len(prefix), length=max(1, len(name)))
            raise SpecError("S102", f"unknown key {shown(name)} in {shown(key.text, 100)}", place, remedy, key.text)
        here = fields[name].annotation
    return path


def fields_of(model: Any) -> dict[str, Any]:
    """A section's fields by the names that files call them; none for a plain value."""
    is_section = isinstance(model, type) and issubclass(model, BaseModel)
    return {field.alias or name: field for name, field in model.model_fields.items()} if is_section else {}


def entry_of(section: Any) -> Any:
    """The model of the entries of a section that has them by name; None for any other."""
    entry = get_args(section)[-1] if get_origin(section) is dict else None
    return entry if fields_of(entry) else None


def refuse_no_entry(path: KeyPath, place: Location, document: Document, model: type[BaseModel]) -> None:
    """Raises SpecError S102 for a key within an entry that the document does not have: a new one is set as a
    whole.
    """
    if len(path) < 3 or not entry_of(fields_of(model)[path[0]].annotation):
        return
    section, name = path[:2]
    data = document.data.get(section) if isinstance(document.data, dict) else None
    known = [each for each in data if isinstance(each, str)] if isinstance(data, dict) else []
    if name not in known:
        near = did_you_mean(f"{section}.{name}", [f"{section}.{each}" for each in known])
        where = replace(place, column=place.column + len(section) + 1, length=max(1, len(name)))
        remedy = near if near.startswith("did") else f"add a memory as a whole: {section}={{NAME: {{bandwidth: 1 GB/s}}}}"
        raise SpecError("S102", f"the hardware file has no {shown(name)} in {section}", where, remedy, ".".join(path))


def refuse_overlaps(wanted: Sequence[tuple[KeyPath, Written]]) -> None:
    """Raises SpecError U002 for a value that is set twice, or set within a section that is set."""
    for place, (path, value) in enumerate(wanted):
        if any(_overlap(path, other) for other, _ in wanted[:place]):
            whole = replace(value.place, column=1, length=max(1, len(value.place.text)))
            raise SpecError("U002", f"{shown('.'.join(path))} is set twice", whole, "keep one of the two")


def read_data(written: Written) -> Document:
    """A value as YAML data, with the places of its parts where it was written."""
    place = written.place
    padded = " " * (place.column - 1) + written.text  # so that columns are those of the typed text
    found = read_value(Text(place.file, padded, (place.text, *written.text.split("\n")[1:])))
    if place.line == 1:
        return found
    values = {path: replace(where, line=place.line, text=place.text) for path, where in found.values.items()}
    return Document(
        found.text, found.data, values, {path: replace(where, line=place.line, text=place.text) for path, where in found.keys.items()}
    )


def put_values(document: Document, settings: Sequence[Setting]) -> Document:
    """The document with the values put in, each where it was written."""
    if not isinstance(document.data, dict) or not settings:
        return document
    data, values, keys = deepcopy(document.data), dict(document.values), dict(document.keys)
    for path, key_place, value, place in settings:
        _put(data, path, value.data)
        for old in [old for old in values if old[: len(path)] == path]:
            del values[old]
        for depth in range(1, len(path)):
            values.setdefault(path[:depth], key_place)
        values[path], keys[path] = place, key_place
        values |= {(*path, *below): where for below, where in value.values.items()}
        keys |= {(*path, *below): where for below, where in value.keys.items()}
    return Document(document.text, data, values, keys)


def _overlap(one: ValuePath, other: ValuePath) -> bool:
    """Whether the paths are equal, or one is a section around the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _put(data: dict[str, Any], path: KeyPath, value: Any) -> None:
    for name in path[:-1]:
        if not isinstance(data.get(name), dict):
            data[name] = {}
        data = data[name]
    data[path[-1]] = value
