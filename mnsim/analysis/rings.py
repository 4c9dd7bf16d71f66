"""What passes through the rings of a segment, for those who explain a plan: which maps, in how many rows, and
what so many rows are needed for.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from mnsim.graph.model import FeatureMap, Graph, Operator
from mnsim.plan.model import Buffer, Plan, Segment
from mnsim.plan.passes import Pace, Pass, Ring, Step, loaded_rows, make_pass, moves, needed_rows, ring_rows, rows_order
from mnsim.plan.segments import ring_pixel


class Need(NamedTuple):
    """When a ring is fullest: rows `first` to `end` (half-open) are there when `filler` fills it, or has it
    loaded, and `reader` still uses row `first`. `spare_rows` are kept longer, for the bus; the buffer has
    `ahead_rows` more, for loads that come early.
    """

    first: int
    end: int
    filler: Operator
    reader: Operator
    spare_rows: int
    ahead_rows: int
    is_loaded: bool


def operators_of(graph: Graph, segment: Segment) -> list[Operator]:
    """A segment's operators, in their order."""
    return [graph.operators[cut.operator] for cut in segment.cuts]


def segment_name(graph: Graph, segment: Segment) -> str:
    """A segment by its layers: conv1..dw2."""
    names = [operator.name for operator in operators_of(graph, segment)]
    return names[0] if len(names) == 1 else f"{names[0]}..{names[-1]}"


def maps_in(graph: Graph, segment: Segment, storage: int) -> list[int]:
    """The maps of a storage that a segment's operators touch, in order."""
    touched = (index for each in operators_of(graph, segment) for index in (*each.inputs, each.output))
    return [index for index in dict.fromkeys(touched) if graph.slots[index].storage == storage]


def widest_map(graph: Graph, segment: Segment, storage: int) -> FeatureMap:
    """The map that gives a ring its name: the first of those with the most bytes."""
    return max((graph.maps[index] for index in maps_in(graph, segment, storage)), key=attrgetter("size_bytes"))


def buffer_name(graph: Graph, segment: Segment, buffer: Buffer) -> str:
    """A buffer with what it belongs to: filters of conv1, ring of dw1. One of an operator alone needs that
    not.
    """
    if segment.kind == "single":
        return buffer.name
    owner = graph.operators[buffer.operator] if buffer.storage is None else widest_map(graph, segment, buffer.storage)
    return f"{buffer.name} of {owner.name}"


def row_bytes(graph: Graph, segment: Segment, storage: int) -> tuple[int, int]:
    """Columns of a row in a segment's ring, and bytes of a pixel there."""
    width = graph.maps[graph.storages[storage].root].shape[1]
    return width, ring_pixel(graph, operators_of(graph, segment), storage)[1]


def rows_in_ring(graph: Graph, segment: Segment, buffer: Buffer) -> int | None:
    """Rows that a ring has; None for other buffers."""
    if buffer.storage is None or buffer.name != "ring":
        return None
    width, pixel = row_bytes(graph, segment, buffer.storage)
    return buffer.size_bytes // (width * pixel)


def need_of(graph: Graph, plan: Plan, segment: Segment, buffer: Buffer) -> Need | None:
    """What the rows of a ring are needed for; None where it is no ring of a rows pass."""
    rows = rows_in_ring(graph, segment, buffer)
    if segment.kind != "rows" or buffer.storage is None or rows is None:
        return None
    work = make_pass(graph, segment.cuts, plan.fused)
    steps = rows_order(work, segment.order)
    counted = _ring(graph, plan, segment, buffer.storage)
    ring, spare = replace(counted, spare_rows=0), counted.spare_rows
    most = ring_rows(work, steps, {0: ring})[0]
    ends = [0]
    for _, group in groupby(steps, key=attrgetter("slot")):
        ends.append(ends[-1] + len(tuple(group)))
    low, high = 0, len(ends) - 1  # slots; the first after which the ring has been as full as it ever is
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if ring_rows(work, steps[: ends[middle]], {0: ring})[0] == most else (middle + 1, high)
    done, now = steps[: ends[low]], steps[ends[low - 1] : ends[low]]
    filled = [(_filled(work, ring, step), step) for step in done if step.member in {*ring.writers, *ring.readers}]
    end, filler = max(filled, key=lambda each: (each[0], each[1] in now))
    first, spare = end - most, min(spare, ring.height - most)
    user = _user(work, ring, done, now, first)
    members = operators_of(graph, segment)
    is_loaded = ring.loaded is not None
    return Need(first, end, members[filler.member], members[user], spare, rows - most - spare, is_loaded)


def _ring(graph: Graph, plan: Plan, segment: Segment, storage: int) -> Ring:
    """The ring as the planner counts its rows."""
    members = list(enumerate(operators_of(graph, segment)))
    moving = [(member, each) for member, each in members if moves(each)]
    writers = tuple(member for member, each in moving if graph.slots[each.output].storage == storage)
    readers = tuple(member for member, each in moving if any(graph.slots[index].storage == storage for index in each.inputs))
    paces = [Pace(stream.rows, stream.lead) for cut in segment.cuts for stream in cut.streams if graph.slots[stream.map].storage == storage]
    root = graph.storages[storage].root
    spare = int(bool(paces) or plan.homes[root].is_external)
    return Ring(writers, readers, graph.maps[root].shape[0], paces[0] if paces else None, spare)


def _filled(work: Pass, ring: Ring, step: Step) -> int:
    """How far the ring is filled by a step."""
    if step.member in ring.writers:
        return work.strips[step.member][step.strip].rows[1]
    return loaded_rows(ring.loaded, needed_rows(work, step.member, step.strip), ring.height) if ring.loaded else 0


def _user(work: Pass, ring: Ring, done: Sequence[Step], now: Sequence[Step], first: int) -> int:
    """The member that reads (or else writes) from a row on, in the last slot or next."""
    strips = {member: sum(step.member == member and not step.part for step in done) for member in (*ring.readers, *ring.writers)}
    for step in now:
        if not step.part and step.member in strips:
            strips[step.member] -= 1
    for member in ring.readers:
        own = work.strips[member]
        if strips[member] < len(own) and (0 if work.whole[member] else own[strips[member]].covered[0]) <= first:
            return member
    return ring.writers[0] if ring.writers else ring.readers[0]
