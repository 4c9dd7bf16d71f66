"""`--set KEY=VALUE`: values put into a document before it is checked, so that a wrong one points at itself."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from pydantic import BaseModel

from mnsim.errors import SpecError, did_you_mean
from mnsim.spec.document import Document, Text, make_text, read_document

SETTING = "--set"


def apply_settings(document: Document, settings: Sequence[str], model: type[BaseModel]) -> Document:
    """The document with every setting put in, in order. Raises SpecError U002 for a setting without `=`, S102 for an unknown key."""
    if not isinstance(document.data, dict):
        return document
    data, values, keys = deepcopy(document.data), dict(document.values), dict(document.keys)
    for setting in settings:
        text = make_text(SETTING, setting)
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            remedy = "write it like internal_memory.capacity=256KiB"
            raise SpecError("U002", f"'{setting}' is not KEY=VALUE", text.at(0, 0, len(setting)), remedy)
        path = tuple(key.strip().split("."))
        _check_key(path, model, text)
        padded = Text(SETTING, " " * (len(key) + 1) + value, text.lines)  # so that columns are those of the setting
        _put(data, path, read_document(padded).data if value.strip() else None)
        for depth in range(1, len(path)):
            values.setdefault(path[:depth], text.at(0, 0, len(key)))
        values[path], keys[path] = text.at(0, len(key) + 1, len(value)), text.at(0, 0, len(key))
    return Document(document.text, data, values, keys)


def _check_key(path: tuple[str, ...], model: type[BaseModel], text: Text) -> None:
    """Every part of the key must be a field; what lies below a plain mapping is checked with its value."""
    here: Any = model
    for depth, part in enumerate(path):
        if not (isinstance(here, type) and issubclass(here, BaseModel)):
            return
        if part not in here.model_fields:
            start = len(".".join(path[:depth])) + bool(depth)
            prefix = ".".join(path[:depth]) + "." if depth else ""
            remedy = did_you_mean(prefix + part, [prefix + name for name in here.model_fields])
            raise SpecError("S102", f"unknown key '{part}' in '{'.'.join(path)}'", text.at(0, start, len(part)), remedy, ".".join(path))
        here = here.model_fields[part].annotation


def _put(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        if not isinstance(data.get(part), dict):
            data[part] = {}
        data = data[part]
    data[path[-1]] = value
