"""Which model gave a result: the release, and a digest of the code that results depend on."""

from functools import cache
from hashlib import sha256
from importlib.resources import files

from mnsim import __version__

_PACKAGES = ("spec", "graph", "plan", "program", "interpreters")
_FILES = ("units.py", "errors.py", "explore/evaluate.py", "explore/keys.py", "explore/rows.py")


@cache
def model_version() -> str:
    """The release and sixteen digits of a digest of the model's code, so that a stored result of another model is never taken for its own.

    Two installations that print the same give the same results.
    """
    root = files("mnsim")
    digest = sha256()
    names = [f"{package}/{entry.name}" for package in _PACKAGES for entry in root.joinpath(package).iterdir() if entry.name.endswith(".py")]
    for name in sorted([*names, *_FILES]):
        digest.update(f"{name}\0".encode())
        digest.update(root.joinpath(name).read_bytes())
    return f"{__version__}+{digest.hexdigest()[:16]}"
