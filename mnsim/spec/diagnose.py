"""pydantic's findings as errors that point into the file, in the words of someone who wrote the file."""

from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mnsim.errors import MnsimError, SpecError, did_you_mean, shown
from mnsim.spec.document import Document, ValuePath
from mnsim.spec.foreign import key_instead
from mnsim.spec.misread import slip
from mnsim.spec.network import GROUP, OPERATORS, GroupSpec
from mnsim.spec.settings import entry_of

_KEY = "[key]"  # pydantic's end of a path to a key that is wrong itself

# Errors where a key, a list, a mapping or a layer was expected.
_NO_TEXT = (
    "extra_forbidden",
    "list_type",
    "model_type",
    "dict_type",
    "S106",
)


def problems(error: ValidationError, document: Document, model: type[BaseModel]) -> list[MnsimError]:
    """One error for each finding."""
    if not isinstance(document.data, dict):
        message = f"expected `key: value` lines, got {shown(document.data)}"
        return [SpecError("S004", message, document.locate(()), "start from a bundled file: `mnsim list` names them")]
    return [_misread(details, document, _problem(details, document, model)) for details in error.errors(include_url=False)]


def _misread(details: ErrorDetails, document: Document, problem: SpecError) -> SpecError:
    """The problem, or the missing colon, space or dash behind it."""
    key = details.get("ctx", {}).get("key")
    written = details["loc"][-1] if details["type"] == "extra_forbidden" else key or details["input"]
    place = problem.location
    if not isinstance(written, str) or details["type"] == "missing" or place is None or not document.text.has(place):
        return problem
    found = slip(document.text, place, written, alone=details["type"] in _NO_TEXT)
    if found is None:
        return problem
    place, message, remedy = found
    return SpecError(problem.code, message, place, remedy, problem.key)


def _problem(details: ErrorDetails, document: Document, model: type[BaseModel]) -> SpecError:
    path = _path_in_file(details["loc"], document)
    key = ".".join(str(part) for part in path)
    kind, context = details["type"], details.get("ctx", {})
    name = str(details["loc"][-1]) if details["loc"] else ""
    if kind == "missing":
        remedy = f"add `{name}: ...`"
        return SpecError("S101", f"missing key '{name}'{_inside(path)}", document.locate(path), remedy, f"{key}.{name}".strip("."))
    if kind == "extra_forbidden":
        siblings = _siblings(details["loc"], model)
        elsewhere: dict[str, str] = getattr(model, "elsewhere", {}) if len(path) == 1 else {}
        remedy = elsewhere.get(name.partition(".")[0]) or key_instead(name, siblings) or did_you_mean(name, siblings)
        return SpecError("S102", f"unknown key {shown(name)}{_inside(path[:-1])}", document.locate_key(path), remedy, key)
    if "remedy" in context:  # one of ours: its type is the code
        to_blame = context["key"]
        blamed = to_blame if isinstance(to_blame, tuple) else (to_blame,) if to_blame else ()
        place = document.locate_key((*path, *blamed)) if to_blame or name == _KEY else document.locate(path)
        return SpecError(kind, str(context["message"]), place, str(context["remedy"]), key)
    got = shown(details["input"])
    messages = {
        "list_type": (f"'{name}' must be a list, got {got}", "write it like [a, b], or one `- item` a line"),
        "model_type": (f"'{name}' must be a mapping, got {got}", "write it like {key: value}"),
        "dict_type": (f"'{name}' must be a mapping, got {got}", "write it like {key: value}"),
        "none_required": (f"'{name}' takes no value, got {got}", f"write it alone: {name}"),
        "too_short": (f"'{name}' has too few entries", f"give it at least {context.get('min_length', 1)}"),
    }
    message, remedy = messages.get(
        kind, (f"'{name}': {details['msg']}", "`mnsim schema` prints what network, hardware and sweep files may say")
    )
    return SpecError("S103", message, document.locate(path), remedy, key)


def _path_in_file(loc: tuple[int | str, ...], document: Document) -> ValuePath:
    """pydantic's path without the names of union members, as far as the file has it."""
    path: ValuePath = ()
    for part in loc:
        if (*path, part) in document.values:
            path = (*path, part)
    return path


def _siblings(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The keys that are valid where the unknown one stands."""
    here: type[BaseModel] = model
    for part in loc[:-1]:
        if isinstance(part, str) and part.startswith("<"):
            kind = part.strip("<>")
            here = GroupSpec if kind == GROUP else OPERATORS[kind]
        elif isinstance(part, str) and part in here.model_fields:
            annotation: Any = entry_of(here.model_fields[part].annotation) or here.model_fields[part].annotation
            here = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else here
    return [field.alias or name for name, field in here.model_fields.items()]


def _inside(path: ValuePath) -> str:
    """The section in words; an entry of a list is seen in its line."""
    return f" in {shown(path[-1])}" if path and isinstance(path[-1], str) else ""
