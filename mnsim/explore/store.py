"""A store of results that only grows: a line a point, found again by the point's key after any end of the run."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from errno import EACCES, EAGAIN, EDEADLK, ENOENT, EWOULDBLOCK
from pathlib import Path
from time import monotonic
from typing import IO, Any

from mnsim.errors import Location, WorkError, shown
from mnsim.explore.keys import DIGITS

FILE, LOCK = "rows.jsonl", "lock"
SYNC_S = 1.0  # what a failing machine may lose; a killed process loses nothing that was appended
_START = '{"key": "'


class Store:
    """An open store: where the line of each key is, and the file to append to. Made by `open_store`, for one writer at a time."""

    def __init__(self, folder: str, path: Path, lines: IO[bytes], places: dict[bytes, int], repaired_bytes: int) -> None:
        self.folder = folder
        self.path = path
        self.lines = lines
        self.places = places
        self.repaired_bytes = repaired_bytes
        self.synced_s = monotonic()

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self.places


@contextmanager
def open_store(folder: str) -> Iterator[Store]:
    """The store in a folder, which is made if there is none; a last line that a kill has torn is cut off.

    Raises WorkError W101 while another process writes to it, W102 for a line that is damaged, W103 where it cannot be used.
    """
    with ExitStack() as stack:
        try:
            if not folder.strip():
                raise FileNotFoundError(ENOENT, "it has no name")
            path = Path(folder)
            path.mkdir(parents=True, exist_ok=True)
            _lock(stack.enter_context((path / LOCK).open("a+b")), folder)
            lines = stack.enter_context((path / FILE).open("a+b"))
            store = _opened(folder, path / FILE, lines)
        except OSError as error:
            raise _unusable(folder, error) from None
        yield store
        _sync(store)


def keys_in(folder: str) -> frozenset[str]:
    """The keys that a store has now, read without touching it, also while a sweep writes; none where there is no store.

    Raises WorkError W102 for a line that is damaged, W103 where it cannot be read.
    """
    path = Path(folder) / FILE
    try:
        if not path.exists():
            return frozenset()
        with path.open("rb") as lines:
            return frozenset(key.hex() for key in _index(lines, path)[0])
    except OSError as error:
        raise _unusable(folder, error) from None


def _opened(folder: str, path: Path, lines: IO[bytes]) -> Store:
    """The store of these lines, the last of which is cut off if it is the beginning of a row."""
    places, end, torn = _index(lines, path)
    if torn:
        lines.truncate(end)
    return Store(folder, path, lines, places, torn)


def _unusable(folder: str, error: OSError) -> WorkError:
    message = f"cannot use {shown(folder, 100)} as a store: {error.strerror or error}"
    return WorkError("W103", message, _place(folder), "choose a folder that you can write to, with room")


def _place(folder: str) -> Location:
    return Location("--store", 1, 9, f"--store {folder}", max(1, len(folder)))


def _lock(file: IO[bytes], folder: str) -> None:
    """The lock ends with the process, however it ends."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (EWOULDBLOCK, EAGAIN, EACCES, EDEADLK):
            raise  # a file system that cannot lock
        message = f"another sweep is writing to {shown(folder, 100)}"
        raise WorkError("W101", message, _place(folder), "wait for it, or choose another folder") from None


def _index(lines: IO[bytes], path: Path) -> tuple[dict[bytes, int], int, int]:
    """Where each key's line starts, where the last whole line ends, and how long the beginning of a row behind it is."""
    places: dict[bytes, int] = {}
    lines.seek(0)
    at = 0
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n") and (line[: len(_START)] == _START[: len(line)].encode() or not line.strip(b"\0")):
            return places, at, len(line)  # cut short by a kill, or filled with zeros by a power loss
        try:
            places[_key_of(line)] = at
        except ValueError:
            raise _damaged(path, number, line) from None
        at += len(line)
    return places, at, 0


def _key_of(line: bytes) -> bytes:
    start = len(_START)
    if not line.startswith(_START.encode()) or line[start + DIGITS : start + DIGITS + 1] != b'"' or not line.endswith(b"}\n"):
        raise ValueError(line)
    return bytes.fromhex(line[start : start + DIGITS].decode("ascii"))


def stored(store: Store, keys: Iterable[str]) -> list[Mapping[str, Any]]:
    """The rows of these keys. Raises WorkError W102 for a line that is no JSON."""
    found = []
    for key in keys:
        at = store.places[bytes.fromhex(key)]
        store.lines.seek(at)
        line = store.lines.readline()
        try:
            found.append(json.loads(line))
        except ValueError:
            raise damaged(store, key) from None
    return found


def damaged(store: Store, key: str) -> WorkError:
    """The error for the line of a key that is no row."""
    at = store.places[bytes.fromhex(key)]
    store.lines.seek(0)
    number = store.lines.read(at).count(b"\n") + 1
    return _damaged(store.path, number, store.lines.readline())


def _damaged(path: Path, number: int, line: bytes) -> WorkError:
    text = line[:200].decode("utf-8", "replace").rstrip("\n")
    place = Location(str(path), number, 1, text, max(1, len(text)))
    return WorkError("W102", "this line is no row of a store", place, "remove the line: its point is computed again")


def append(store: Store, keys: Iterable[str], rows: Iterable[str]) -> None:
    """Append lines, each a row as the inner text of a JSON object, in one write; those that are there stay as they are."""
    fresh: dict[str, str] = {key: row for key, row in zip(keys, rows, strict=True) if key not in store}
    at = store.lines.seek(0, os.SEEK_END)
    parts = []
    for key, row in fresh.items():
        line = f'{_START}{key}", {row}}}\n'.encode()
        store.places[bytes.fromhex(key)] = at
        at += len(line)
        parts.append(line)
    try:
        store.lines.write(b"".join(parts))
        store.lines.flush()
    except OSError as error:
        raise _unusable(store.folder, error) from None
    if monotonic() - store.synced_s > SYNC_S:
        _sync(store)


def _sync(store: Store) -> None:
    try:
        os.fsync(store.lines.fileno())
    except OSError as error:
        raise _unusable(store.folder, error) from None
    store.synced_s = monotonic()
