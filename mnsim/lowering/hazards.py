"""Which earlier commands a command must wait for, from the bytes that both touch.

Space is opened where a value begins to be written. What touched the same bytes before belongs to older
spaces under it: waiting for those is waiting for room; waiting for the writers of a value that is read is
waiting for data. Commands of one kind run in their order, so that none waits for its own.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from mnsim.program.model import Region

GROUP = 8  # uses, or groups of uses, that make a group

Waits = dict[str, int]  # by kind of command (load, store, matrix, vector) the last one to wait for


# What surrounds a region: the bytes [start, end), and of each pixel there the bytes [left, right).
Box = tuple[int, int, int, int]
# A command's use of a region: its box, the command, the region. Or a group of uses in the order of their
# commands: the box around all, the last command, the uses.
Use = tuple[int, int, int, int, int, "Region | tuple[Use, ...]"]


class Log:
    """The regions that commands of one kind used, in the order of the commands.

    Uses make groups, groups make larger groups, and so on. Tiles that follow one another lie side by side,
    so that the boxes of a few groups tell where the last use of a region is, or that there is none.
    `levels` are the single uses, the groups, the groups of groups that are in no larger one yet: each
    level is older than the one before.
    """

    def __init__(self) -> None:
        self.levels: list[list[Use]] = [[]]

    def note(self, box: Box, region: Region, command: int) -> None:
        """Add a use by the latest command."""
        use: Use = (*box, command, region)
        for level in self.levels:
            level.append(use)
            if len(level) < GROUP:
                return
            use = _group(level)
            level.clear()
        self.levels.append([use])

    def all(self, box: Box, region: Region) -> list[int]:
        """The commands that used a byte of the region, in their order; one that did so several times is
        there as often.
        """
        return [command for level in reversed(self.levels) for command in _all(level, box, region)]


def _group(uses: Sequence[Use]) -> Use:
    starts, ends, lefts, rights, commands, _ = zip(*uses, strict=True)
    return min(starts), max(ends), min(lefts), max(rights), commands[-1], tuple(uses)


def _last(uses: Sequence[Use], box: Box, region: Region, known: int) -> int:
    """The last command after `known` that used a byte of the region; `known` if there is none."""
    start, end, left, right = box
    for other_start, other_end, other_left, other_right, command, inside in reversed(uses):
        if command <= known:
            break
        if other_start < end and start < other_end and other_left < right and left < other_right:
            if isinstance(inside, Region):
                if region.runs == inside.runs == 1 or overlaps(region, inside):
                    return command
            elif (found := _last(inside, box, region, known)) > known:
                return found
    return known


def _all(uses: Sequence[Use], box: Box, region: Region) -> Iterator[int]:
    start, end, left, right = box
    for other_start, other_end, other_left, other_right, command, inside in uses:
        if other_start < end and start < other_end and other_left < right and left < other_right:
            if not isinstance(inside, Region):
                yield from _all(inside, box, region)
            elif overlaps(region, inside):
                yield command


@dataclass(slots=True, eq=False)
class Space:
    """The bytes from `start` on, from the first write of a value on: who used which region of them, and
    the spaces under it.

    The value's pixels are `pixel_bytes` apart. `left` are the bytes that nobody has written yet.
    """

    start: int
    left: int
    pixel_bytes: int
    writers: dict[str, Log] = field(default_factory=dict)  # by kind of command
    readers: dict[str, Log] = field(default_factory=dict)
    under: "list[Space]" = field(default_factory=list)

    def box(self, region: Region) -> Box:
        """The box around a region. A run that is no part of a pixel, or not of every pixel alike, may be
        anywhere in them.
        """
        start, run, pixel = region.start, region.run_bytes, self.pixel_bytes
        end = start + (region.runs - 1) * region.stride_bytes + run
        left = (start - self.start) % pixel
        if left + run > pixel or (region.runs > 1 and region.stride_bytes != pixel):
            return start, end, 0, pixel
        return start, end, left, left + run


class Hazards:
    """All spaces of one memory. Commands are numbered in the order in which they use it."""

    def __init__(self) -> None:
        self._exposed: list[tuple[int, int, Space]] = []  # parts of spaces that no later space lies on, by address

    def open(self, start: int, size: int, pixel_bytes: int) -> Space:
        """A new space, for a value that is about to be written; it lies on whatever was there."""
        end, exposed = start + size, self._exposed
        space = Space(start, size, pixel_bytes)
        first, last = bisect_right(exposed, start, key=itemgetter(1)), bisect_left(exposed, end, key=itemgetter(0))
        covered = exposed[first:last]
        space.under = list(dict.fromkeys(older for _, _, older in covered))
        before = [(at, start, older) for at, _, older in covered[:1] if at < start]
        behind = [(end, until, older) for _, until, older in covered[-1:] if end < until]
        exposed[first:last] = [*before, (start, end, space), *behind]
        return space


def note_read(space: Space, region: Region, kind: str, command: int, waits: Waits) -> None:
    """Note that a command reads a region of a space, and the writers that it must wait for."""
    box = space.box(region)
    _gather(waits, space.writers, box, region, kind)
    _note(space.readers, box, region, kind, command)


def note_write(space: Space, region: Region, kind: str, command: int, fresh: bool, waits: Waits) -> None:
    """Note that a command writes a region of a space, and all that used those bytes last and must have
    ended.

    `fresh` bytes are written for the first time since the space was opened: only what lay under them is in
    the way.
    """
    box = space.box(region)
    if fresh:
        for older in space.under:
            box_there = older.box(region)
            _gather(waits, older.writers, box_there, region, kind)
            _gather(waits, older.readers, box_there, region, kind)
        space.left -= region.size_bytes
        if space.left <= 0:
            space.under.clear()  # whoever comes next waits for the writers, who have waited for those
    else:
        _gather(waits, space.writers, box, region, kind)
        _gather(waits, space.readers, box, region, kind)
    _note(space.writers, box, region, kind, command)


def _note(logs: dict[str, Log], box: Box, region: Region, kind: str, command: int) -> None:
    if kind not in logs:
        logs[kind] = Log()
    logs[kind].note(box, region, command)


def _gather(waits: Waits, logs: dict[str, Log], box: Box, region: Region, own: str) -> None:
    """Of each other kind the last command that used a byte of the region, unless a later one is known."""
    for kind, log in logs.items():
        if kind != own:
            known = waits.get(kind, -1)
            for level in log.levels:
                known = _last(level, box, region, known)
            if known >= 0:
                waits[kind] = known


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
