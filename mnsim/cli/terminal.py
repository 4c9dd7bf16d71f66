"""What the terminal can show, and writing results: to stdout, or to a file that is whole or not there at all."""

import os
import sys
from pathlib import Path
from typing import IO

from mnsim.errors import Location, SpecError

PIPE_WIDTH = 400  # no line of a table is cut where nobody looks at a screen


def wants_color(choice: str, stream: IO[str]) -> bool:
    """Whether to colour a stream: always, never, or (auto) a terminal that is not dumb, without NO_COLOR."""
    if choice in ("always", "never"):
        return choice == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width_of(stream: IO[str]) -> int:
    """Columns of the terminal, or enough for everything when it is none."""
    from shutil import get_terminal_size

    return get_terminal_size().columns if stream.isatty() else PIPE_WIDTH


def write_stdout(text: str) -> None:
    """The result, in the stream's encoding; what that cannot say is replaced."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def emit(text: str, path: Path | None, quiet: bool) -> None:
    """The result to its file, with a word on stderr unless quiet; or to stdout when there is none."""
    if path is None:
        write_stdout(text)
        return
    write_file(path, text)
    if not quiet:
        sys.stderr.write(f"wrote {path}\n")


def write_file(path: Path, text: str) -> None:
    """Write a file atomically: a reader sees the old content or the new one. Raises SpecError U003 when it cannot be written."""
    try:
        if path.exists() and not path.is_file():  # a device or a pipe cannot be replaced
            path.write_text(text, encoding="utf-8")
            return
        _replace(path.resolve(), text)
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "make the folder first" if not path.parent.is_dir() else "choose a place that you can write to"
        place = Location("--output", text=str(path), length=len(str(path)))
        raise SpecError("U003", f"cannot write '{path}': {reason}", place, remedy) from None


def _replace(path: Path, text: str) -> None:
    from tempfile import mkstemp

    handle, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
