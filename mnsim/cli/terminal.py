"""The terminal's abilities, and the writing of results: to stdout, or to a file that is whole or not there
at all.
"""

import os
import sys
from collections.abc import Callable, Iterable
from errno import EACCES, EISDIR, ENOENT
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import IO, TYPE_CHECKING

import click

from mnsim.errors import Location, SpecError, shown

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

_PLAIN = str.maketrans("─▁▂▃▄▅▆▇█┐│┘", "-.:-=+*%#\\|/")  # rules, charts and brackets where letters are ASCII only
PIPE_WIDTH = 400  # no line of a table is cut where there is no screen


def wants_color(choice: str, stream: IO[str]) -> bool:
    """Whether to colour a stream: always, never, or (auto) a terminal that is not dumb, without NO_COLOR."""
    if choice in ("always", "never"):
        return choice == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width_of(stream: IO[str]) -> int:
    """Columns of the terminal, or enough for everything when it is none."""
    from shutil import get_terminal_size

    return get_terminal_size().columns if stream.isatty() else PIPE_WIDTH


def printable(text: str) -> str:
    """One line without tabs, line ends and control characters: text from a file or a name must not command
    the terminal.
    """
    return "".join(letter if letter.isprintable() else " " if letter in "\t\n" else "?" for letter in text)


def write_stdout(text: str) -> None:
    """The result, in the stream's encoding, with replacements for letters that it lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)


STEP = 100  # of a bar, for work that reports its progress


def progress(label: str, steps: int, is_long: bool) -> "ProgressBar[int]":
    """A bar on stderr of this many steps, for long work that is not quiet, and only where stderr is a
    terminal.
    """
    return click.progressbar(length=steps, label=label, file=sys.stderr, hidden=not (is_long and sys.stderr.isatty()), show_eta=False)


def within(bar: "ProgressBar[int]", label: str = "") -> Callable[[int, int], None]:
    """A function that moves the bar through its next STEP as work is done."""
    start = bar.pos
    bar.label = label or bar.label
    bar.render_progress()

    def tell(done: int, of: int) -> None:
        bar.update(max(0, start + min(STEP, STEP * done // max(1, of)) - bar.pos))

    return tell


def emit(parts: Iterable[str | bytes], output: str | None, quiet: bool) -> None:
    """The result, part by part, to its file, with a sentence on stderr unless quiet; or to stdout without a
    file.
    """
    if output is None or output == "-":
        for part in parts:
            assert isinstance(part, str)  # bytes are for files
            write_stdout(part)
        return
    write_with(output, lambda file: file.writelines(map(encoded, parts)))
    if not quiet:
        sys.stderr.write(f"wrote {printable(output)}\n")


def encoded(part: str | bytes) -> bytes:
    """A part of a file."""
    return part if isinstance(part, bytes) else part.encode("utf-8", "backslashreplace")


def write_file(name: str, text: str, option: str = "--output") -> None:
    """Write a text atomically, as write_with does."""
    write_with(name, lambda file: file.write(encoded(text)), option)


def write_bytes(name: str, content: bytes) -> None:
    """Write a file atomically, as write_with does."""
    write_with(name, lambda file: file.write(content))


def write_with(name: str, fill: Callable[[IO[bytes]], object], option: str = "--output") -> None:
    """Let `fill` write a file atomically: a reader sees the old content or the new one.

    Raises SpecError U003, which points at the option that named the file, when it cannot be written.
    """
    path = Path(name)
    try:
        mode = _refuse_unwritable(path, name)
        if mode is not None and not S_ISREG(mode):  # a device or a pipe cannot be replaced
            with path.open("wb") as file:
                fill(file)
        else:
            _replace(path.resolve(), fill, 0o666 & ~_umask() if mode is None else mode & 0o777)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise _cannot_write(name, error, option) from None


def check_place(name: str, option: str) -> None:
    """Raises SpecError U003, before any work, where a file could not be written."""
    try:
        _refuse_unwritable(Path(name), name)
    except (OSError, ValueError) as error:
        raise _cannot_write(name, error, option) from None


def _cannot_write(name: str, error: Exception, option: str) -> SpecError:
    reason = getattr(error, "strerror", None) or str(error)
    remedy = "make the folder first" if isinstance(error, FileNotFoundError) else "choose a place that you can write to"
    place = Location(option, text=name or "''", length=len(name))
    return SpecError("U003", f"cannot write {shown(name, 100)}: {reason}", place, remedy)


def _refuse_unwritable(path: Path, name: str) -> int | None:
    """The mode of the file that is there, None without one. Raises OSError where it cannot be written."""
    mode = _mode(path)
    if name.endswith(("/", os.sep)) or (mode is not None and S_ISDIR(mode)):
        raise IsADirectoryError(EISDIR, "Is a directory")
    folder = path.resolve().parent
    if mode is None and not folder.is_dir():
        raise FileNotFoundError(ENOENT, "No such file or directory")
    if not os.access(folder if mode is None else path, os.W_OK):
        raise PermissionError(EACCES, "Permission denied")
    return mode


def _mode(path: Path) -> int | None:
    """The kind and permissions of the file that is there; None without one."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _replace(path: Path, fill: Callable[[IO[bytes]], object], mode: int) -> None:
    from tempfile import mkstemp

    handle, name = mkstemp(dir=path.parent, prefix=".mnsim.")  # not its own name, which may have no room for more letters
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
