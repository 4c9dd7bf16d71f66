"""The passes of a fused segment: who works on which rows in which order, and how many rows of each map lie
between them.

In a rows pass every operator makes strips of rows of all its channels. `paces` says how large the strips
are: for every strip of the last operator, each other makes as many rows as the windows behind it move on by.
`rows_order` puts the strips in an order, on demand or pipelined, and `ring_rows` counts the rows of a map
that have been written and will be read again, which its ring must hold.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from typing import NamedTuple

from mnsim.graph.model import Graph, Operator
from mnsim.plan.model import Cut, Order
from mnsim.plan.pieces import Strip, make_cuts


class Pace(NamedTuple):
    """Rows that a map gets a strip, and how many more in the first strip."""

    rows: int
    lead: int


class Step(NamedTuple):
    """A strip of a segment's operator, by the operator's place in the segment; `slot` numbers the steps that a
    pipelined pass works on at a time.
    """

    member: int
    strip: int
    slot: int = 0


def moves(operator: Operator) -> bool:
    """Whether the operator has steps: a concat or flatten that only gives bytes another name has none."""
    return bool(operator.macs or operator.vector_ops)


def wants_all(graph: Graph, operator: Operator) -> bool:
    """Whether the operator's first row reads the whole of its input."""
    height, width, _ = graph.maps[operator.inputs[0]].shape
    if operator.window:
        return graph.maps[operator.output].shape[0] == 1 and operator.window.kernel[0] >= height
    return operator.kind in ("dense", "flatten") and height * width > 1


def paces(graph: Graph, operators: Sequence[Operator], strips: int) -> dict[int, Pace]:
    """The pace of every map that the operators of a rows pass touch, by the map's index.

    A map that no window inside the segment moves over, or one that an operator reads whole, gets its height
    in `strips` strips. Where an operator makes r rows a strip and l more in the first, its windows of k rows,
    s apart, the first p rows above the map, move on by s r rows a strip, and reach s l + k - s - p rows
    further in the first.
    """
    wanted: dict[int, Pace] = {}
    for operator in reversed(operators):
        own = wanted.setdefault(operator.output, Pace(ceil(graph.maps[operator.output].shape[0] / strips), 0))
        for source in operator.inputs:
            height = graph.maps[source].shape[0]
            if wants_all(graph, operator):
                reached = Pace(ceil(height / strips), 0)
            elif operator.window:
                kernel, stride, pad = operator.window.kernel[0], operator.window.stride[0], operator.window.padding[0]
                reached = Pace(stride * own.rows, max(0, stride * own.lead + kernel - stride - pad))
            else:
                reached = own
            known = wanted.get(source, reached)
            rows = min(height, max(known.rows, reached.rows))
            wanted[source] = Pace(rows, min(height - rows, max(known.lead, reached.lead)))
    return wanted


@dataclass(frozen=True, slots=True)
class Pass:
    """What the order of a rows pass depends on: by member the strips, the members whose rows it reads, and
    the heights of their maps and of its own.

    `idle` members are names of other members' maps: their strips are nobody's steps.
    """

    strips: tuple[tuple[Strip, ...], ...]
    sources: tuple[tuple[int, ...], ...]
    whole: tuple[bool, ...]  # by member, whether it reads all of its inputs at once
    height_in: tuple[int, ...]
    height: tuple[int, ...]


def make_pass(graph: Graph, cuts: Sequence[Cut]) -> Pass:
    """The pass of a segment's cuts."""
    operators = [graph.operators[cut.operator] for cut in cuts]
    makers = {operator.output: member for member, operator in enumerate(operators)}
    return Pass(
        tuple(make_cuts(cut.geometry, cut.tiling).strips if moves(operator) else () for cut, operator in zip(cuts, operators, strict=True)),
        tuple(tuple(_makers(operators, makers, operator.inputs)) for operator in operators),
        tuple(wants_all(graph, operator) for operator in operators),
        tuple(graph.maps[operator.inputs[0]].shape[0] for operator in operators),
        tuple(graph.maps[operator.output].shape[0] for operator in operators),
    )


def _makers(operators: Sequence[Operator], makers: Mapping[int, int], maps: Iterable[int]) -> Iterator[int]:
    """The members that write the maps; behind a name for others' bytes, those that write these."""
    for index in maps:
        if index in makers:
            member = makers[index]
            if moves(operators[member]):
                yield member
            else:
                yield from _makers(operators, makers, operators[member].inputs)


def needed_rows(work: Pass, member: int, strip: int) -> int:
    """Rows of its inputs that must exist before a member's strip is worked on."""
    if work.whole[member]:
        return work.height_in[member]
    return work.strips[member][strip].covered[1]


def rows_order(work: Pass, order: Order) -> list[Step]:
    """The steps of a rows pass in their order."""
    return _demanded(work) if order == "demand" else _pipelined(work)


def _demanded(work: Pass) -> list[Step]:
    """Each strip just before the first that reads it; of several ends, each at the same share of its rows."""
    steps: list[Step] = []
    done = [0] * len(work.strips)  # strips

    def make(member: int, rows: int) -> None:
        strips = work.strips[member]
        while done[member] < len(strips) and (strips[done[member] - 1].rows[1] if done[member] else 0) < rows:
            for source in work.sources[member]:
                make(source, needed_rows(work, member, done[member]))
            steps.append(Step(member, done[member], len(steps)))
            done[member] += 1

    read = {source for sources in work.sources for source in sources}
    ends = [member for member, strips in enumerate(work.strips) if strips and member not in read]
    turns = sorted((strip.rows[1] / work.height[end], end, strip.rows[1]) for end in ends for strip in work.strips[end])
    for _, end, rows in turns:
        make(end, rows)
    for member in range(len(work.strips)):  # rows that no window covers
        make(member, work.height[member])
    return steps


def _pipelined(work: Pass) -> list[Step]:
    """Each strip one slot behind the last that it reads and behind its member's strip before; in a slot the
    last members first.
    """
    slots: list[list[int]] = []
    for member, strips in enumerate(work.strips):
        own: list[int] = []
        for number in range(len(strips)):
            slot = own[-1] + 1 if own else 0
            for source in work.sources[member]:
                slot = max(slot, slots[source][_strip_with(work.strips[source], needed_rows(work, member, number))] + 1)
            own.append(slot)
        slots.append(own)
    return sorted((Step(member, number, slot) for member, own in enumerate(slots) for number, slot in enumerate(own)), key=_by_slot)


def _by_slot(step: Step) -> tuple[int, int]:
    return step.slot, -step.member


def _strip_with(strips: Sequence[Strip], rows: int) -> int:
    """The strip after which so many rows exist."""
    first = strips[0].rows[1]
    if rows <= first or len(strips) == 1:
        return 0
    size = strips[1].rows[1] - first
    return min(len(strips) - 1, ceil((rows - first) / size))


@dataclass(frozen=True, slots=True)
class Ring:
    """A storage whose rows pass through a ring: the members that write it and those that read it; what is
    loaded into it, at which pace, and rows that are kept longer than they are used.

    `spare_rows` let the next load come while the last is read, and the bus have a strip that is stored.
    """

    writers: tuple[int, ...]
    readers: tuple[int, ...]
    height: int
    loaded: Pace | None = None
    spare_rows: int = 0


def ring_rows(work: Pass, steps: Sequence[Step], rings: Mapping[int, Ring]) -> dict[int, int]:
    """Rows that each ring must hold so that none is overwritten before its last use, by storage.

    Strips of one slot are worked on at a time: what is read in a slot is kept through all of it.
    """
    found, ends = dict.fromkeys(rings, 0), dict.fromkeys(rings, 0)
    done = [0] * len(work.strips)
    touching: list[list[int]] = [[] for _ in work.strips]
    for storage, ring in rings.items():
        for member in {*ring.writers, *ring.readers}:
            touching[member].append(storage)
    for _, group in groupby(steps, key=_slot):
        now = tuple(group)
        kept: dict[int, int] = {}
        for step in now:
            rows = work.strips[step.member][step.strip].rows
            for storage in touching[step.member]:
                ring = rings[storage]
                if step.member in ring.writers:
                    ends[storage] = max(ends[storage], rows[1])
                    kept[storage] = min(kept.get(storage, rows[0]), rows[0])
                elif ring.loaded:
                    needed = needed_rows(work, step.member, step.strip)
                    ends[storage] = max(ends[storage], loaded_rows(ring.loaded, needed, ring.height))
                kept.setdefault(storage, ends[storage])
        for storage, row in kept.items():
            ring = rings[storage]
            oldest = min((_first_row(work, reader, done[reader]) for reader in ring.readers), default=row)
            found[storage] = max(found[storage], ends[storage] - min(row, oldest))
        for step in now:
            done[step.member] = step.strip + 1
    return {storage: min(rings[storage].height, rows + rings[storage].spare_rows) for storage, rows in found.items()}


def _slot(step: Step) -> int:
    return step.slot


def _first_row(work: Pass, member: int, strip: int) -> int:
    """The first row of its inputs that a member still reads, when this strip is its next."""
    strips = work.strips[member]
    if strip == len(strips):
        return work.height_in[member]
    return 0 if work.whole[member] else strips[strip].covered[0]


def loaded_rows(pace: Pace, needed: int, height: int) -> int:
    """Rows that are loaded, a strip at a time, once so many are needed."""
    strips = max(1, ceil((needed - pace.lead) / pace.rows)) if needed else 0
    return min(height, pace.lead + strips * pace.rows) if strips else 0
