"""How much of the SRAM is in use, moment by moment: byte by byte, from the first write of a value to its
last use.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from mnsim.clocks.timeline import Timeline
from mnsim.program.model import Memory, Program, Region
from mnsim.spec.records import SRAM

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Bytes in use from each moment (seconds from the start of the run) to the next; 0 before the first
    and after the last.
    """

    times_s: tuple[float, ...]
    in_use_bytes: tuple[int, ...]

    @property
    def peak_bytes(self) -> int:
        return max(self.in_use_bytes, default=0)


def occupancy(program: Program, timeline: Timeline, memory: Memory = SRAM) -> Occupancy:
    """A memory's bytes in use over a run.

    A byte is in use from the start of the command that writes a value there, or of the run, to the end of
    the last command that reads it, or of the run for outputs; what is computed in place stays in use.
    Found backwards in time, where the first reader that is met is the last one.
    """
    regions = list(_regions(program, memory))
    unit = gcd(0, *(number for region in regions for number in (region.start, region.run_bytes, region.stride_bytes))) or 1
    used = max((region.end for region in regions), default=0)  # of a huge memory only a part
    needed: Flags = np.zeros(used // unit + 1, np.bool_)
    events = [(timeline.ends_s[command.id], 0, command.id) for command in program.commands]
    events += [(timeline.starts_s[command.id], 1, command.id) for command in program.commands]
    kept = sum(_set(needed, region, unit) for region in program.outputs if region.memory == memory)
    changes = {timeline.end_s: -kept * unit}
    for time, is_start, number in sorted(events, reverse=True):
        command = program.commands[number]
        if not is_start:
            freed = sum(_set(needed, region, unit) for region in command.reads if region.memory == memory)
            changes[time] = changes.get(time, 0) - freed * unit
            continue
        for region in command.writes:
            if region.memory == memory and not _is_in_place(region, command.reads):
                wanted = _clear(needed, region, unit) * unit
                changes[time] = changes.get(time, 0) + region.size_bytes
                unread = region.size_bytes - wanted  # in use while it is written, for nobody
                changes[timeline.ends_s[number]] = changes.get(timeline.ends_s[number], 0) - unread
    changes[0.0] = changes.get(0.0, 0) + int(np.count_nonzero(needed)) * unit  # read, but never written: it lies there from the start
    times = sorted(time for time, change in changes.items() if change)
    return Occupancy(tuple(times), tuple(int(level) for level in np.cumsum([changes[time] for time in times])))


def _regions(program: Program, memory: Memory) -> Iterable[Region]:
    for command in program.commands:
        yield from (region for region in (*command.reads, *command.writes) if region.memory == memory)


def _is_in_place(region: Region, reads: Iterable[Region]) -> bool:
    return any((other.memory, other.start, other.end) == (region.memory, region.start, region.end) for other in reads)


def _view(flags: Flags, region: Region, unit: int) -> Flags:
    start, run, stride = region.start // unit, region.run_bytes // unit, region.stride_bytes // unit
    return as_strided(flags[start:], (region.runs, run), (stride, 1)) if region.runs > 1 else flags[start : start + run]


def _set(flags: Flags, region: Region, unit: int) -> int:
    """Set the region's flags; returns how many were not set."""
    view = _view(flags, region, unit)
    missing = view.size - int(np.count_nonzero(view))
    view[...] = True
    return missing


def _clear(flags: Flags, region: Region, unit: int) -> int:
    """Clear the region's flags; returns how many were set."""
    view = _view(flags, region, unit)
    found = int(np.count_nonzero(view))
    view[...] = False
    return found
