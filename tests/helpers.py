"""What several tests need: running the command line in this process, and networks made in memory."""

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnsim.cli.main import main
from mnsim.document.model import Document, View
from mnsim.errors import Location
from mnsim.render.formats import Screen, render
from mnsim.spec.document import make_text, read_document
from mnsim.spec.expand import expand
from mnsim.spec.load import load_hardware
from mnsim.spec.network import NetworkSpec
from mnsim.spec.records import Hardware, Layer, Network

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = (
    "mobilenet_cifar",
    "mobilenet_cifar_pardhi",
    "mobilenet_cifar_singh",
    "mobilenet_v1",
    "mobilenet_v1_conv",
    "mobilenet_v1_shallow",
    "squeezenet",
)
KINDS_OF_NETWORKS = ("mobilenet_cifar", "mobilenet_v1", "squeezenet")  # the others have no operator and no shape that these lack
HANG_S = 600  # ends a process that hangs: far above what any takes on the busiest machine, so that no test is decided by it


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command line did."""

    code: int
    out: str
    err: str


def run(*arguments: str) -> Ran:
    """Run mnsim in this process, with text streams that are no terminal."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    return Ran(code, _text(out), _text(err))


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode()


def wait_until(there: Callable[[], bool], what: str) -> None:
    """Wait for another process, which may take its time."""
    end = time.monotonic() + HANG_S
    while not there():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def as_text(document: Document, width: int, view: View = "usual", color: bool = False) -> str:
    """A document as a terminal of that width shows it."""
    return "".join(map(str, render("table", document, Screen(width, color, view))))


def network_of(yaml: str) -> Network:
    """The network that a YAML text says."""
    document = read_document(make_text("test.yaml", yaml))
    return expand(NetworkSpec.model_validate(document.data), document)


def chain(*layers: str, shape: str = "[8, 8, 4]") -> Network:
    """A network of these layers, one entry of the list each."""
    return network_of(f"name: test\ninput: {shape}\nlayers:\n" + "".join(f"  - {layer}\n" for layer in layers))


def seed_with(*settings: str) -> Hardware:
    """The papers' machine with some values replaced."""
    return load_hardware("seed", settings)


def layer(name: str, kind: str, *inputs: str, **fields: Any) -> Layer:
    """A layer record without a file."""
    return Layer(name, kind, inputs, Location("test"), **fields)


def each_layer(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The layers of an analysis as JSON gives it."""
    yield from record["layers"]
