"""A store of results that only grows: a line a point, found by the point's key after any end of the run."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from errno import EACCES, EAGAIN, EDEADLK, ENOENT, EWOULDBLOCK
from pathlib import Path
from stat import S_IMODE
from time import monotonic
from typing import IO, Any, NamedTuple

from mnsim.errors import Location, WorkError, shown
from mnsim.explore.lines import is_torn, key_of, line_of, looks_like_row

FILE, LOCK, DAMAGED = "rows.jsonl", "lock", "damaged.jsonl"
SYNC_S = 1.0  # of rows that a failing machine may lose; a killed process loses no row that was appended
MOST_NAMED = 20  # damaged rows in messages


class Fault(NamedTuple):
    """A damaged line: its number, its start, and its damage."""

    number: int
    at: int
    what: str


class Index(NamedTuple):
    """The contents of a file of rows: the start of each key's whole line, the damaged lines, and the number
    without a checksum.

    `end` is where the last whole line ends, `torn` the length of the beginning of a row behind it.
    """

    places: dict[bytes, int]
    faults: list[Fault]
    unsummed: int
    end: int
    torn: int


class Store:
    """An open store: the place of each key's line, and the file to append to. Made by `open_store`, for one
    writer at a time.

    `news` are sentences about the state on opening: a torn last line, damaged rows, rows without a checksum.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.path = Path(folder) / FILE
        self.lines: IO[bytes] = self.path.open("a+b")
        self.places: dict[bytes, int] = {}
        self.news: list[str] = []
        self.synced_s = monotonic()

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self.places


@contextmanager
def open_store(folder: str) -> Iterator[Store]:
    """The store in a folder, which is made if there is none.

    A last line that a kill has torn is cut off; damaged lines are moved to a file beside the rows. Raises
    WorkError W101 while another process writes to it, W102 for a file that has no row at all, W103 where
    it cannot be used.
    """
    with ExitStack() as stack:
        try:
            if not folder.strip():
                raise FileNotFoundError(ENOENT, "it has no name")
            path = Path(folder)
            path.mkdir(parents=True, exist_ok=True)
            _lock(stack.enter_context((path / LOCK).open("a+b")), folder)
            store = Store(folder)
            stack.callback(_close, store)
            _settle(store)
        except OSError as error:
            raise _unusable(folder, error) from None
        yield store
        _sync(store)


def survey(folder: str) -> tuple[frozenset[str], list[str]]:
    """The keys of the whole rows that a store has now, and sentences about the others.

    Read without touching it, also while a sweep writes; nothing where there is no store. Raises WorkError
    W102 for a file that has no row at all, W103 where it cannot be read.
    """
    path = Path(folder) / FILE
    try:
        if not path.exists():
            return frozenset(), []
        with path.open("rb") as lines:
            index = _index(lines, path)
    except OSError as error:
        raise _unusable(folder, error) from None
    return frozenset(key.hex() for key in index.places), [*_named(path, index.faults), *_old(path, index.unsummed)]


def _settle(store: Store) -> None:
    """Index the file, and mend its torn and damaged lines."""
    index = _index(store.lines, store.path)
    if index.torn:
        store.lines.truncate(index.end)
        store.news.append(f"{store.folder}: cut off a torn last line of {index.torn} bytes")
    store.places = index.places
    store.news += _old(store.path, index.unsummed)
    if index.faults:
        store.news += _move_out(store, index.faults)


def _old(path: Path, count: int) -> list[str]:
    rows = "1 row without a checksum is" if count == 1 else f"{count:,} rows without a checksum are"
    return [f"{path}: {rows} not used: an older mnsim wrote such; their points are computed again"] if count else []


def _named(path: Path, faults: Sequence[Fault]) -> list[str]:
    """A sentence a damaged row, of the first ones."""
    named = [f"{path}:{fault.number}: damaged row: {fault.what}; its point is computed again" for fault in faults[:MOST_NAMED]]
    return [*named, *([f"{path}: {len(faults) - MOST_NAMED:,} more damaged rows"] if len(faults) > MOST_NAMED else [])]


def _move_out(store: Store, faults: Sequence[Fault]) -> list[str]:
    """Move damaged lines to a file beside the rows, so that nothing is lost and none is met again. Returns
    the sentences to print.

    The rows without them are a new file that takes the old one's place at once: a kill leaves one or the
    other.
    """
    target = store.path.resolve()
    fresh = target.with_name(f"{FILE}.new")
    try:
        _divide(store.lines, {fault.at for fault in faults}, fresh, store.path.parent / DAMAGED)
        fresh.chmod(S_IMODE(target.stat().st_mode))
        store.lines.close()
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    store.lines = store.path.open("a+b")
    store.places = _index(store.lines, store.path).places
    return [*_named(store.path, faults), f"{store.folder}: moved what is damaged to {store.path.parent / DAMAGED}"]


def _divide(lines: IO[bytes], starts: set[int], whole: Path, damaged: Path) -> None:
    """Write the lines that start at these places to the end of one file, and the others to a new one."""
    lines.seek(0)
    with whole.open("wb") as kept, damaged.open("ab") as moved:
        at = 0
        for line in lines:
            (moved if at in starts else kept).write(line if line.endswith(b"\n") else line + b"\n")
            at += len(line)
        for file in (moved, kept):
            file.flush()
            os.fsync(file.fileno())


def _close(store: Store) -> None:
    store.lines.close()


def _unusable(folder: str, error: OSError) -> WorkError:
    message = f"cannot use {shown(folder, 100)} as a store: {error.strerror or error}"
    return WorkError("W103", message, _place(folder), "choose a folder that you can write to, with room")


def _place(folder: str) -> Location:
    return Location("--store", 1, 9, f"--store {folder}", max(1, len(folder)))


def _lock(file: IO[bytes], folder: str) -> None:
    """Lock the store; the lock ends with the process, however it ends."""
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


def _index(lines: IO[bytes], path: Path) -> Index:
    """The file's index. Raises WorkError W102 where none of its lines is a row, or was one."""
    places: dict[bytes, int] = {}
    faults: list[Fault] = []
    again: list[tuple[bytes, int, int]] = []  # key, line number and start of each further line of a key
    unsummed, at, torn, is_store = 0, 0, 0, False
    lines.seek(0)
    for number, line in enumerate(lines, 1):
        if is_torn(line):
            torn = len(line)
            break
        try:
            key = key_of(line)
            if key is None:
                unsummed += 1
            elif key in places:
                again.append((key, number, at))
            else:
                places[key] = at
        except ValueError as error:
            faults.append(Fault(number, at, str(error)))
            is_store = is_store or looks_like_row(line)
        at += len(line)
    if faults and not (places or unsummed or is_store):
        raise _foreign(lines, path)
    faults += _contradictions(lines, places, again)
    return Index(places, sorted(faults), unsummed, at, torn)


def _contradictions(lines: IO[bytes], places: dict[bytes, int], again: Sequence[tuple[bytes, int, int]]) -> list[Fault]:
    """The lines of keys with two different lines: neither is known to be right. Their keys are taken out of
    `places`.
    """
    differing = {key for key, _, at in again if _line_at(lines, at) != _line_at(lines, places[key])}
    if not differing:
        return []
    starts = {places.pop(key) for key in differing} | {at for key, _, at in again if key in differing}
    faults, at = [], 0
    lines.seek(0)
    for number, line in enumerate(lines, 1):
        if at in starts:
            faults.append(Fault(number, at, "another row has its key and differs from it"))
        at += len(line)
    return faults


def _line_at(lines: IO[bytes], at: int) -> bytes:
    lines.seek(at)
    return lines.readline()


def stored(store: Store, keys: Iterable[str]) -> list[Mapping[str, Any]]:
    """The rows of these keys; an empty one for a line that is no JSON."""
    found: list[Mapping[str, Any]] = []
    for key in keys:
        line = _line_at(store.lines, store.places[bytes.fromhex(key)])
        try:
            found.append(json.loads(line.decode()))  # faster than of bytes
        except (ValueError, RecursionError):
            found.append({})
    return found


def give_up(store: Store, keys: Iterable[str], what: str) -> list[str]:
    """Move out the lines of keys that are wrong in spite of their checksums. Returns sentences to print."""
    starts, faults, at = {store.places[bytes.fromhex(key)] for key in keys}, [], 0
    store.lines.seek(0)
    for number, line in enumerate(store.lines, 1):
        if at in starts:
            faults.append(Fault(number, at, what))
        at += len(line)
    try:
        return _move_out(store, faults)
    except OSError as error:
        raise _unusable(store.folder, error) from None


def _foreign(lines: IO[bytes], path: Path) -> WorkError:
    lines.seek(0)
    text = lines.readline()[:200].decode("utf-8", "replace").rstrip("\n")
    place = Location(str(path), 1, 1, text, max(1, len(text)))
    return WorkError("W102", "this file has no row of a store", place, "choose another folder: whatever this is, it is left alone")


def append(store: Store, keys: Iterable[str], rows: Iterable[str]) -> None:
    """Append lines, each a row as the inner text of a JSON object, in one write; the lines before stay as
    they are.
    """
    fresh: dict[str, str] = {key: row for key, row in zip(keys, rows, strict=True) if key not in store}
    at = store.lines.seek(0, os.SEEK_END)
    parts = []
    for key, row in fresh.items():
        line = line_of(key, row)
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
