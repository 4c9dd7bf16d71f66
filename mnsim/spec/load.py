"""Finding, reading and checking specification files: by path, by `-` for standard input, or by bundled name."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from mnsim.errors import Location, SpecError, did_you_mean, raise_all
from mnsim.spec.document import MAX_TEXT_BYTES, Document, Text, make_text, read_document
from mnsim.spec.expand import expand
from mnsim.spec.hardware import HardwareSpec
from mnsim.spec.network import NetworkSpec
from mnsim.spec.records import Engine, Hardware, Network

Kind = Literal["network", "hardware"]
Model = TypeVar("Model", bound=BaseModel)

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
    return expand(_validate(NetworkSpec, document), document)


def load_hardware(source: str | Path = "seed", settings: Sequence[str] = ()) -> Hardware:
    """The hardware of a file, of `-`, or bundled under this name, with `settings` like `bus.bandwidth=2 GB/s` put in.

    Raises SpecError as load_network does; for a setting its place is in the setting.
    """
    document = read_document(read_text(source, "hardware"))
    if settings:
        from mnsim.spec.settings import apply_settings

        document = apply_settings(document, settings, HardwareSpec)
    return _hardware(_validate(HardwareSpec, document))


def _validate(model: type[Model], document: Document) -> Model:
    """The document as the model. Raises SpecError with everything that is wrong with it."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        from mnsim.spec.diagnose import problems

        raise_all(problems(error, document, model))


def _hardware(spec: HardwareSpec) -> Hardware:
    external, matrix, vector = spec.external_memory, spec.matrix_unit, spec.vector_unit
    return Hardware(
        name=spec.name,
        title=spec.title,
        external_kind=external.kind,
        external_capacity_bytes=external.capacity,
        external_latency_s=external.latency,
        bus_bandwidth_bytes_per_s=spec.bus.bandwidth,
        sram_capacity_bytes=spec.internal_memory.capacity,
        matrix=Engine(matrix.throughput, matrix.launch_overhead, matrix.efficiency),
        vector=Engine(vector.throughput, vector.launch_overhead, vector.efficiency),
        fused=matrix.fused,
    )


def load_any(source: str | Path) -> Network | Hardware:
    """Load a source as what its keys say that it is. Raises SpecError as load_network and load_hardware do."""
    document = read_document(read_text(source, "network", "hardware"))
    keys = set(document.data) if isinstance(document.data, dict) else set()
    if len(keys & set(HardwareSpec.model_fields)) > len(keys & set(NetworkSpec.model_fields)):
        return _hardware(_validate(HardwareSpec, document))
    return expand(_validate(NetworkSpec, document), document)


def read_text(source: str | Path, *kinds: Kind) -> Text:
    """The text of a source. Raises SpecError S001 (cannot be opened), S002 (not text), S006 (too large)."""
    name = str(source)
    if name == "-":
        return _decode("<stdin>", sys.stdin.buffer.read(MAX_TEXT_BYTES + 1))
    names = {known: path for kind in kinds for known, path in bundled(kind).items()}
    path = Path(name)
    if name in names and not path.is_file():
        path = names[name]
    try:
        with path.open("rb") as file:
            return _decode(_shown(path), file.read(MAX_TEXT_BYTES + 1))
    except FileNotFoundError:
        reason, remedy = "no such file, and nothing bundled has that name", did_you_mean(path.stem, names)
    except (OSError, ValueError) as error:
        reason, remedy = getattr(error, "strerror", None) or str(error), "give a YAML file, or '-' for standard input"
    raise SpecError("S001", f"cannot read '{name}': {reason}", Location(name, text=name, length=len(name)), remedy)


def _shown(path: Path) -> str:
    """The path as a person in this folder would write it."""
    try:
        return str(path.relative_to(Path.cwd())) if path.is_absolute() else str(path)
    except (ValueError, OSError):
        return str(path)


def _decode(name: str, content: bytes) -> Text:
    if len(content) > MAX_TEXT_BYTES:
        message = f"the file is larger than {MAX_TEXT_BYTES:,} bytes"
        raise SpecError("S006", message, Location(name), "a specification is a few kilobytes of text")
    try:
        return make_text(name, content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start)
        start = content.rfind(b"\n", 0, error.start) + 1
        column = len(content[start : error.start].decode("utf-8", "replace"))
        shown = content[start : start + 60].split(b"\n")[0].decode("utf-8", "backslashreplace")
        shown = "".join(letter if letter.isprintable() else "?" for letter in shown)
        message = f"not text: byte 0x{content[error.start]:02x} is not UTF-8"
        raise SpecError("S002", message, Location(name, line + 1, column + 1, shown), "give a YAML file in UTF-8") from None


def json_schema(kind: Kind) -> str:
    """The JSON Schema of the file kind, for editors."""
    model: Any = NetworkSpec if kind == "network" else HardwareSpec
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
    return json.dumps(schema, indent=2) + "\n"
