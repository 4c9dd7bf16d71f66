"""Which earlier commands a command must wait for, from the bytes that both touch.

Space is opened where a value begins to be written. What touched the same bytes before belongs to older spaces under it: waiting
for those is waiting for room; waiting for the writers of a value that is read is waiting for data.
"""

from dataclasses import dataclass, field

from mnsim.program.model import Region

Waits = dict[str, int]  # by kind of command (load, store, matrix, vector) the last one to wait for
Log = dict[str, dict[Region, int]]  # by kind the regions touched and the last command that did, in the order of the commands


@dataclass(slots=True)
class Space:
    """The bytes [start, end) from the first write of a value on: who touched which region of it last, and the spaces under it."""

    start: int
    end: int
    left: int  # bytes that nobody has written yet
    writers: Log = field(default_factory=dict)
    readers: Log = field(default_factory=dict)
    under: "list[Space]" = field(default_factory=list)


class Hazards:
    """All spaces of one memory. Commands are numbered in the order in which they touch it."""

    def __init__(self) -> None:
        self._exposed: list[tuple[int, int, Space]] = []  # disjoint parts of spaces that no later space lies on

    def open(self, start: int, size: int) -> Space:
        """A new space, for a value that is about to be written; it lies on whatever was there."""
        end = start + size
        space = Space(start, end, size)
        exposed = [(start, end, space)]
        for first, last, older in self._exposed:
            if last <= start or end <= first:
                exposed.append((first, last, older))
                continue
            if older not in space.under:
                space.under.append(older)
            if first < start:
                exposed.append((first, start, older))
            if end < last:
                exposed.append((end, last, older))
        self._exposed = exposed
        return space


def note_read(space: Space, region: Region, kind: str, command: int) -> Waits:
    """Note that a command reads a region of a space; returns the writers that it must wait for."""
    waits: Waits = {}
    _gather(waits, space.writers, region)
    _note(space.readers, region, kind, command)
    return waits


def note_write(space: Space, region: Region, kind: str, command: int, fresh: bool) -> Waits:
    """Note that a command writes a region of a space; returns all that touched those bytes last and must have ended.

    `fresh` bytes are written for the first time since the space was opened: only what lay under them is in the way.
    """
    waits: Waits = {}
    for older in space.under if fresh else (space,):
        _gather(waits, older.writers, region)
        _gather(waits, older.readers, region)
    if fresh:
        space.left -= region.size_bytes
        if space.left <= 0:
            space.under.clear()  # whoever comes next waits for the writers, who have waited for those
    for log in (space.writers, space.readers):
        for touched in log.values():
            touched.pop(region, None)  # this command has waited for those
    _note(space.writers, region, kind, command)
    return waits


def _note(log: Log, region: Region, kind: str, command: int) -> None:
    touched = log.setdefault(kind, {})
    touched.pop(region, None)  # so that the regions stay in the order of their commands
    touched[region] = command


def _gather(waits: Waits, log: Log, region: Region) -> None:
    """Of each kind the last command that touched a byte of the region, unless a later one is known."""
    for kind, touched in log.items():
        known = waits.get(kind, -1)
        for other, command in reversed(touched.items()):
            if command <= known:
                break
            if overlaps(region, other):
                waits[kind] = command
                break


def overlaps(one: Region, other: Region) -> bool:
    """Whether two regions of a memory have a byte in common: exactly, whatever their strides."""
    if one.end <= other.start or other.end <= one.start:
        return False
    if one.runs == 1 or other.runs == 1:
        single, many = (one, other) if one.runs == 1 else (other, one)
        return _has_byte_in(many, single.start, single.end)
    if one.stride_bytes == other.stride_bytes:
        apart, shift = divmod(other.start - one.start, one.stride_bytes)  # run k of other begins `shift` after run k + apart of one
        same = shift < one.run_bytes and _meet(apart, one.runs, other.runs)
        return same or (shift + other.run_bytes > one.stride_bytes and _meet(apart + 1, one.runs, other.runs))
    few, many = sorted((one, other), key=lambda region: region.runs)
    starts = range(few.start, few.end, few.stride_bytes)
    return any(_has_byte_in(many, start, start + few.run_bytes) for start in starts)


def _meet(apart: int, runs: int, other_runs: int) -> bool:
    """Whether there is a k in [0, other_runs) with k + apart in [0, runs)."""
    return max(0, -apart) < min(other_runs, runs - apart)


def _has_byte_in(region: Region, start: int, end: int) -> bool:
    first = max(0, (start - region.start - region.run_bytes) // region.stride_bytes + 1)  # the first run that ends after start
    return first < region.runs and region.start + first * region.stride_bytes < end
