"""A store of results that only grows: a line a point, found again by the point's key after any end of the run."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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

    def __init__(self, path: Path, lines: IO[bytes], places: dict[bytes, int]) -> None:
        self.path = path
        self.lines = lines
        self.places = places
        self.repaired_bytes = 0
        self.synced_s = monotonic()

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self.places


@contextmanager
def open_store(folder: str) -> Iterator[Store]:
    """The store in a folder, which is made if there is none; a last line that a kill has torn is cut off.

    Raises WorkError W101 while another process writes to it, W102 for a line that is damaged, W103 where it cannot be opened.
    """
    try:
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        with (path / LOCK).open("a+b") as lock, (path / FILE).open("a+b") as lines:
            _lock(lock, folder)
            repaired = _cut_torn_line(lines)
            store = Store(path / FILE, lines, _index(lines, path / FILE))
            store.repaired_bytes = repaired
            yield store
            _sync(store)
    except OSError as error:
        message = f"cannot use {shown(folder, 100)} as a store: {error.strerror or error}"
        raise WorkError("W103", message, _place(folder), "choose a folder that you can write to") from None


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
    except OSError:
        message = f"another sweep is writing to {shown(folder, 100)}"
        raise WorkError("W101", message, _place(folder), "wait for it, or choose another folder") from None


def _cut_torn_line(lines: IO[bytes]) -> int:
    """Bytes cut off behind the last whole line."""
    size = lines.seek(0, os.SEEK_END)
    end, step = size, 1 << 16
    while end:
        start = max(0, end - step)
        lines.seek(start)
        newline = lines.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        lines.truncate(end)
    return size - end


def _index(lines: IO[bytes], path: Path) -> dict[bytes, int]:
    """Where each key's line starts."""
    places: dict[bytes, int] = {}
    lines.seek(0)
    at = 0
    for number, line in enumerate(lines, 1):
        try:
            places[_key_of(line)] = at
        except ValueError:
            raise _damaged(path, number, line) from None
        at += len(line)
    return places


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
            store.lines.seek(0)
            raise _damaged(store.path, store.lines.read(at).count(b"\n") + 1, line) from None
    return found


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
    store.lines.write(b"".join(parts))
    store.lines.flush()
    if monotonic() - store.synced_s > SYNC_S:
        _sync(store)


def _sync(store: Store) -> None:
    os.fsync(store.lines.fileno())
    store.synced_s = monotonic()
