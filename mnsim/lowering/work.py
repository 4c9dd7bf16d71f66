"""The program while it is being made: commands so far, and who touched which bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from mnsim.graph.model import FeatureMap, Graph, Operator
from mnsim.lowering.hazards import Hazards, Space, Waits, note_read, note_write
from mnsim.lowering.places import Area, Places, part_of
from mnsim.plan.model import Plan
from mnsim.program.model import Kernel, Passed, Region
from mnsim.program.progress import EVERY, Progress

Kind = Literal["load", "store", "matrix", "vector"]


class Touch(NamedTuple):
    """A region and the space that it lies in (None: external memory that no command writes). `fresh`:
    nobody wrote it before.
    """

    space: Space | None
    region: Region
    fresh: bool = True


class Job(NamedTuple):
    """What a command does, for which layer; `amount` are MACs or vector operations."""

    layer: str
    kind: Kind
    kernel: Kernel | None = None
    amount: int = 0


class Draft(NamedTuple):
    """A command before its place is known. `data` and `room` are the drafts, by number, that it must wait
    for.
    """

    job: Job
    reads: tuple[Region, ...]
    writes: tuple[Region, ...]
    data: tuple[int, ...]
    room: tuple[int, ...]


@dataclass(slots=True)
class Work:
    """What is being lowered; `expected` are the commands that it will be about.

    `resident` are the spaces of storages in SRAM, `outside` those of values in external memory. `passed` says
    of the values that pass through rings what they are, by number.
    """

    graph: Graph
    plan: Plan
    places: Places
    next_data: int
    progress: Progress
    expected: int
    drafts: list[Draft] = field(default_factory=list)
    sram: Hazards = field(default_factory=Hazards)
    resident: dict[int, Space] = field(default_factory=dict)
    outside: dict[int, Space] = field(default_factory=dict)
    passed: dict[int, Passed] = field(default_factory=dict)


def fresh_data(work: Work) -> int:
    """The number of a value that nobody has named yet."""
    work.next_data += 1
    return work.next_data - 1


def transfer(work: Work, operator: Operator, kind: Literal["load", "store"], reads: Sequence[Touch], writes: Sequence[Touch]) -> None:
    """Append a load or a store."""
    _append(work, Job(operator.name, kind), reads, writes)


def compute(work: Work, operator: Operator, kernel: Kernel, count: int, reads: Sequence[Touch], writes: Sequence[Touch]) -> None:
    """Append a tile's computation, `count` MACs or vector operations: on the matrix unit if it is the
    operator's own and has MACs.
    """
    is_matrix = operator.macs and kernel.operation == operator.label
    _append(work, Job(operator.name, "matrix" if is_matrix else "vector", kernel, count), reads, writes)


def _append(work: Work, job: Job, reads: Sequence[Touch], writes: Sequence[Touch]) -> None:
    """Append a command that waits for the writers of what it reads (data) and for all who used what it
    overwrites (room).
    """
    number = len(work.drafts)
    if number % EVERY == 0:
        work.progress(number, work.expected)
    data: Waits = {}
    room: Waits = {}
    for space, region, _ in reads:
        if space is not None:
            note_read(space, region, job.kind, number, data)
    for space, region, fresh in writes:
        assert space is not None
        note_write(space, region, job.kind, number, fresh, room)
    regions = tuple([touch.region for touch in reads]), tuple([touch.region for touch in writes])
    work.drafts.append(Draft(job, *regions, tuple(data.values()), tuple(room.values())))


def outside(places: Places, index: int) -> Area:
    """Where a map lies in external memory."""
    area = places.outside[index]
    assert area is not None
    return area


def whole(feature_map: FeatureMap, area: Area) -> Region:
    """All of a map."""
    return part_of(area, feature_map, (0, feature_map.shape[0]), (0, feature_map.shape[2]))


def in_sram(work: Work, index: int, region: Region, fresh: bool = True) -> Touch:
    """A region of a resident map, in the space of its storage."""
    storage = work.graph.storages[work.graph.slots[index].storage]
    if storage.index not in work.resident:
        area = work.places.homes[storage.root]
        work.resident[storage.index] = work.sram.open(area.start, storage.size_bytes, area.pixel_bytes)
    return Touch(work.resident[storage.index], region, fresh)


def in_external(work: Work, index: int, region: Region) -> Touch:
    """A region of a map in external memory: whoever loads it waits for whoever stored it."""
    area = outside(work.places, index)
    if area.data == work.places.homes[0].data:  # the network's input
        return Touch(None, region)
    if area.data not in work.outside:
        work.outside[area.data] = Space(area.start, 0, area.pixel_bytes)
    return Touch(work.outside[area.data], region)
