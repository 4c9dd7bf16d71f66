"""Which model gave a result: the release, and a digest of the code that results depend on."""

from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from mnsim import __version__

SHOWING = ("cli", "document", "render", "report")  # they only ask for results and show them; every other file counts, new ones too


@cache
def model_version() -> str:
    """The release and sixteen digits of a digest of the model's code, so that a stored result of another
    model is never taken for its own.

    Two installations that print the same give the same results.
    """
    digest = sha256()
    for name, file in sorted(_code(files("mnsim")), key=lambda each: each[0]):
        digest.update(f"{name}\0".encode())
        digest.update(file.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:16]}"


def _code(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    """Every file of Python that can change a result, with its place below the package."""
    for entry in folder.iterdir():
        name = f"{above}{entry.name}"
        if entry.is_dir() and name not in SHOWING:
            yield from _code(entry, f"{name}/")
        elif name.endswith(".py"):
            yield name, entry
