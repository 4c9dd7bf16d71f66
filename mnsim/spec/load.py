"""Specification files: found, read and checked, by path, by `-` for standard input, or by bundled name."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from mnsim.errors import Location, SpecError, did_you_mean, raise_all, shown
from mnsim.operators.quantities import OF_FURTHER, QUANTITIES, Quantity
from mnsim.spec.document import MAX_TEXT_BYTES, Document, Text, make_text, read_document
from mnsim.spec.expand import expand
from mnsim.spec.hardware import HardwareSpec
from mnsim.spec.network import NetworkSpec
from mnsim.spec.records import Hardware, Network, OutsideMemory, bus_of, make_hardware

if TYPE_CHECKING:
    from mnsim.spec.sweep import Sweep

Kind = Literal["network", "hardware"]
Model = TypeVar("Model", bound=BaseModel)

MODEL_REMEDY = "networks and hardware are YAML files, or bundled names (`mnsim list`); `mnsim explain S002` says how to start"
WEIGHTS_REMEDY = "networks and hardware are YAML files, or bundled names; `mnsim infer` and `mnsim verify` take weights with --weights"

_FOLDERS: dict[Kind, str] = {"network": "arch", "hardware": "hw"}


def bundled(kind: Kind) -> dict[str, Path]:
    """The networks or pieces of hardware that come with mnsim, by name."""
    package = Path(__file__).resolve().parent.parent
    folder = package / _FOLDERS[kind]  # in a wheel; in a checkout it stands beside the package
    if not folder.is_dir():
        folder = package.parent / _FOLDERS[kind]
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_network(source: str | Path) -> Network:
    """The network of a file, of `-` (standard input), or bundled under this name.

    Raises SpecError with file, line and column; its `problems` are all that is wrong.
    """
    document = read_document(read_text(source, "network"))
    _expect("network", document)
    return expand(validate(NetworkSpec, document), document)


def load_hardware(source: str | Path = "seed", settings: Sequence[str] = (), sram: str | None = None) -> Hardware:
    """The hardware of a file, of `-`, or bundled under this name, with `settings` like `bus.bandwidth=2
    GB/s` put in.

    `sram` is short for the setting `internal_memory.capacity`. Raises SpecError as load_network does; for
    a setting its place is in the setting.
    """
    document = read_hardware(source)
    if settings or sram is not None:
        from mnsim.spec.settings import apply_settings

        document = apply_settings(document, settings, sram, HardwareSpec)
    return hardware_of(document)


def read_hardware(source: str | Path) -> Document:
    """A hardware file's data, not yet checked: values can still be put in."""
    document = read_document(read_text(source, "hardware"))
    _expect("hardware", document)
    return document


def hardware_of(document: Document) -> Hardware:
    """The hardware that a document describes. Raises SpecError with all problems."""
    return _hardware(validate(HardwareSpec, document))


def _looks_like(document: Document) -> Kind | None:
    """The kind of file that its keys tell, if they do."""
    keys = set(document.data) if isinstance(document.data, dict) else set()
    networks, machines = (len(keys & set(model.model_fields)) for model in (NetworkSpec, HardwareSpec))
    return None if networks == machines else "network" if networks > machines else "hardware"


def _expect(kind: Kind, document: Document) -> None:
    """One error for a file of the other kind, rather than one for each of its keys."""
    found = _looks_like(document)
    if found not in (kind, None):
        raise _misplaced(kind, document.text.name, document.locate(()))


def _misplaced(kind: Kind, name: str, place: Location) -> SpecError:
    if kind == "network":
        return SpecError("S001", f"{shown(name, 100)} is hardware, not a network", place, "give hardware with --hw")
    return SpecError("S001", f"{shown(name, 100)} is a network, not hardware", place, "give it as the network: mnsim analyze NETWORK")


def validate(model: type[Model], document: Document) -> Model:
    """The document as the model. Raises SpecError with all problems."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        from mnsim.spec.diagnose import problems

        raise_all(problems(error, document, model))


def read_validated(model: type[Model], name: str, text: str) -> Model:
    """A text as a model. Raises SpecError with all problems."""
    return validate(model, read_document(make_text(name, text)))


def _hardware(spec: HardwareSpec) -> Hardware:
    amounts = {quantity: _amount(getattr(spec, quantity.section), quantity) for quantity in QUANTITIES}
    fused = tuple(dict.fromkeys(spec.matrix_unit.fused))
    further = tuple(
        OutsideMemory(name, bus_of(name), **{each.column: _amount(memory, each) for each in OF_FURTHER})
        for name, memory in spec.further_memories.items()
    )
    words: dict[str, Any] = {"name": spec.name, "title": spec.title, "external_kind": spec.external_memory.kind}
    return make_hardware(amounts, **words, fused=fused, further=further)


def _amount(section: BaseModel, quantity: Quantity) -> Any:
    amount = getattr(section, quantity.name)
    if quantity.kinds:
        return tuple(amount.model_dump(by_alias=True, exclude_unset=True).items()) if amount else ()
    return amount


def load_any(source: str | Path) -> "Network | Hardware | Sweep":
    """Load a network, hardware or a sweep, as the source's keys tell. Raises SpecError as load_network,
    load_hardware and read_sweep do.
    """
    document = read_document(read_text(source, "network", "hardware"))
    if isinstance(document.data, dict) and "networks" in document.data:
        from mnsim.spec.sweep import Asked, read_sweep

        return read_sweep(Asked(), document)
    if _looks_like(document) == "hardware":
        return _hardware(validate(HardwareSpec, document))
    return expand(validate(NetworkSpec, document), document)


def read_text(source: str | Path, *kinds: Kind) -> Text:
    """The text of a source. Raises SpecError S001 (cannot be opened), S002 (not text), S006 (too large)."""
    name = str(source)
    place = Location(name or "''", text=name or "''", length=len(name))
    names = {known: path for kind in kinds for known, path in bundled(kind).items()}
    path = Path(name)
    if name in names and not path.is_file():
        path = names[name]
    try:
        if name == "-":
            return _decode("<stdin>", _standard_input())
        with path.open("rb") as file:
            return _decode(_as_typed(path), file.read(MAX_TEXT_BYTES + 1))
    except FileNotFoundError:
        if any(name in bundled(kind) for kind in _FOLDERS):
            raise _misplaced(kinds[0], name, place) from None
        reason = "no such file, and nothing bundled has that name" if kinds else "no such file"
        remedy = did_you_mean(path.stem, names) or "give a YAML file, or '-' for standard input"
    except (OSError, ValueError) as error:
        reason, remedy = getattr(error, "strerror", None) or str(error), "give a YAML file, or '-' for standard input"
    raise SpecError("S001", f"cannot read {shown(name, 100)}: {reason}", place, remedy)


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise OSError("standard input is closed")
    return sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)


def _as_typed(path: Path) -> str:
    """The path as a person in this folder would write it."""
    try:
        return str(path.relative_to(Path.cwd())) if path.is_absolute() else str(path)
    except (ValueError, OSError):
        return str(path)


def _refuse_foreign(name: str, content: bytes) -> None:
    """Raises SpecError S002 for a file of another tool."""
    from mnsim.spec.formats import foreign_format

    found = foreign_format(name, content)
    if found:
        message = f"{shown(name, 100)} is {found.what}, and files of other tools are not read yet"
        remedy = WEIGHTS_REMEDY if found.is_data else MODEL_REMEDY
        raise SpecError("S002", message, Location(name, text=name, length=len(name)), remedy)


def _decode(name: str, content: bytes) -> Text:
    is_plain = content.isascii() and len(content.translate(None, bytes(range(9)))) == len(content)
    if not (is_plain and name.endswith((".yaml", ".yml"))):  # reading YAML does not wait for the formats of other tools
        _refuse_foreign(name, content)
    if len(content) > MAX_TEXT_BYTES:
        message = f"the file is larger than {MAX_TEXT_BYTES:,} bytes"
        raise SpecError("S006", message, Location(name), "a specification is a few kilobytes of YAML")
    try:
        return make_text(name, content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start)
        start = content.rfind(b"\n", 0, error.start) + 1
        column = len(content[start : error.start].decode("utf-8", "replace"))
        end = content.find(b"\n", error.start)
        text = content[start : end if end >= 0 else None].decode("utf-8", "backslashreplace")
        message = f"not text: byte 0x{content[error.start]:02x} is not UTF-8"
        raise SpecError("S002", message, Location(name, line + 1, column + 1, text), "give a YAML file in UTF-8") from None


def json_schema(kind: Kind | Literal["sweep"]) -> str:
    """The JSON Schema of the file kind, for editors."""
    from mnsim.spec.sweep import SweepSpec  # which loads both other kinds

    model: Any = {"network": NetworkSpec, "hardware": HardwareSpec, "sweep": SweepSpec}[kind]
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
    return json.dumps(schema, indent=2) + "\n"
