"""`--set KEY=VALUE`: values put into a document before it is checked, so that a wrong one points at itself."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NamedTuple

from pydantic import BaseModel

from mnsim.errors import SpecError, did_you_mean, shown
from mnsim.spec.document import Document, Path, Text, make_text, read_value


class _Setting(NamedTuple):
    """Where a value goes, the text that was typed, and where the key and the value stand in it."""

    path: tuple[str, ...]
    text: Text
    key_start: int
    value_start: int


def apply_settings(document: Document, settings: Sequence[str], sram: str | None, model: type[BaseModel]) -> Document:
    """The document with every setting put in; `sram` is the internal memory's capacity, which has an option of its own.

    Raises SpecError U002 for a setting without `=` and for a value that is set twice, S102 for an unknown key.
    """
    if not isinstance(document.data, dict):
        return document
    data, values, keys = deepcopy(document.data), dict(document.values), dict(document.keys)
    wanted = [_read(setting, model) for setting in settings]
    if sram is not None:
        wanted.append(_Setting(("internal_memory", "capacity"), make_text("--sram", sram), 0, 0))
    for place, setting in enumerate(wanted):
        path, text = setting.path, setting.text
        if any(_overlap(path, other.path) for other in wanted[:place]):
            whole = text.at(0, 0, len(text.content))
            raise SpecError("U002", f"{shown('.'.join(path))} is set twice", whole, "keep one of the two")
        padded = " " * setting.value_start + text.content[setting.value_start :]
        value = read_value(Text(text.name, padded, text.lines))  # padded, so that columns are those of what was typed
        _put(data, path, value.data)
        for old in [old for old in values if old[: len(path)] == path]:
            del values[old]
        key_place = text.at(0, setting.key_start, max(1, setting.value_start - 1 - setting.key_start))
        for depth in range(1, len(path)):
            values.setdefault(path[:depth], key_place)
        values[path], keys[path] = text.at(0, setting.value_start, len(text.content) - setting.value_start), key_place
        values |= {(*path, *below): where for below, where in value.values.items()}
        keys |= {(*path, *below): where for below, where in value.keys.items()}
    return Document(document.text, data, values, keys)


def _read(setting: str, model: type[BaseModel]) -> _Setting:
    text = make_text("--set", setting)
    key, equals, _ = setting.partition("=")
    if not equals or not key.strip():
        remedy = "write it like internal_memory.capacity=256KiB"
        raise SpecError("U002", f"{shown(setting)} is not KEY=VALUE", text.at(0, 0, len(setting)), remedy)
    path = tuple(key.strip().split("."))
    key_start = len(key) - len(key.lstrip())
    _check_key(path, model, text, key_start)
    return _Setting(path, text, key_start, len(key) + 1)


def _check_key(path: tuple[str, ...], model: type[BaseModel], text: Text, start: int) -> None:
    """Every part of the key must be a field."""
    here: Any = model
    for depth, part in enumerate(path):
        is_section = isinstance(here, type) and issubclass(here, BaseModel)
        fields = {field.alias or name: field.annotation for name, field in here.model_fields.items()} if is_section else {}
        if part not in fields:
            above = ".".join(path[:depth])
            prefix = f"{above}." if depth else ""
            remedy = did_you_mean(prefix + part, [prefix + name for name in fields]) if is_section else f"it ends earlier: {above}=VALUE"
            place = text.at(0, start + len(prefix), len(part))
            raise SpecError("S102", f"unknown key {shown(part)} in {shown('.'.join(path), 100)}", place, remedy, ".".join(path))
        here = fields[part]


def _overlap(one: Path, other: Path) -> bool:
    """Whether one is the other, or a section around it."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _put(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        if not isinstance(data.get(part), dict):
            data[part] = {}
        data = data[part]
    data[path[-1]] = value
