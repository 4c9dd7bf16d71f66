"""Which model gave a result: the release, and a digest of the code that results depend on."""

from functools import cache
from hashlib import sha256
from importlib.resources import files

from mnsim import __version__

_PARTS = ("spec", "graph", "plan", "program", "interpreters", "explore")


@cache
def model_version() -> str:
    """The release and sixteen digits of a digest of the model's code, so that a stored result of another model is never taken for its own.

    Two installations that print the same give the same results.
    """
    root = files("mnsim")
    digest = sha256(root.joinpath("units.py").read_bytes())
    for part in _PARTS:
        for entry in sorted(root.joinpath(part).iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".py"):
                digest.update(f"{part}/{entry.name}\0".encode())
                digest.update(entry.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:16]}"
