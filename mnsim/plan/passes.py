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
from mnsim.graph.operators import vector_work
from mnsim.plan.model import Cut, Order
from mnsim.plan.pieces import Strip, make_cuts


class Pace(NamedTuple):
    """Rows that a map gets a strip, and how many more in the first strip."""

    rows: int
    lead: int


class Step(NamedTuple):
    """A strip (or block) of a segment's operator, by the operator's place in the segment, or the second
    part of it: the vector work on what the matrix unit made. Steps of one `slot` are worked on at a time.
    """

    slot: int
    member: int
    strip: int
    part: int = 0


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
    """What the order of a rows pass depends on: by member the strips, the members whose rows it reads,
    whether it reads all of its inputs at once, the heights of its input and of its own map, and its parts:
    2 where vector work follows on the matrix unit's.

    A member that only gives others' bytes a name has no strips.
    """

    strips: tuple[tuple[Strip, ...], ...]
    sources: tuple[tuple[int, ...], ...]
    whole: tuple[bool, ...]
    height_in: tuple[int, ...]
    height: tuple[int, ...]
    parts: tuple[int, ...]


def make_pass(graph: Graph, cuts: Sequence[Cut], fused: tuple[str, ...]) -> Pass:
    """The pass of a segment's cuts; `fused` are the operations of the matrix unit's output stage."""
    operators = [graph.operators[cut.operator] for cut in cuts]
    makers = {operator.output: member for member, operator in enumerate(operators)}
    return Pass(
        tuple(make_cuts(cut.geometry, cut.tiling).strips if moves(operator) else () for cut, operator in zip(cuts, operators, strict=True)),
        tuple(tuple(_makers(operators, makers, operator.inputs)) for operator in operators),
        tuple(wants_all(graph, operator) for operator in operators),
        tuple(graph.maps[operator.inputs[0]].shape[0] for operator in operators),
        tuple(graph.maps[operator.output].shape[0] for operator in operators),
        tuple(parts_of(operator, fused) for operator in operators),
    )


def parts_of(operator: Operator, fused: tuple[str, ...]) -> int:
    """2 where vector work follows on the matrix unit's, else 1."""
    return 2 if operator.macs and vector_work(operator, fused) else 1


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
            steps.extend(Step(len(steps) + part, member, done[member], part) for part in range(work.parts[member]))
            done[member] += 1

    turns = sorted((strip.rows[1] / work.height[end], end, strip.rows[1]) for end in _ends(work) for strip in work.strips[end])
    for _, member, rows in turns:
        make(member, rows)
    for member in range(len(work.strips)):  # rows that no window covers
        make(member, work.height[member])
    return steps


def _ends(work: Pass) -> list[int]:
    """The members whose rows no other reads."""
    read = {source for sources in work.sources for source in sources}
    return [member for member, strips in enumerate(work.strips) if strips and member not in read]


def _pipelined(work: Pass) -> list[Step]:
    """Each strip as late as the first that reads it allows, one of a member in a slot, so that the steps of a
    slot do not depend on one another.

    The ends' strips are as many slots apart as the member with the most strips has for each of theirs.
    """
    ends = _ends(work)
    most = max(len(strips) for strips in work.strips)
    readers: list[list[int]] = [[] for _ in work.strips]
    for member, sources in enumerate(work.sources):
        for source in sources:
            readers[source].append(member)
    slots: list[list[int]] = [[] for _ in work.strips]
    for member in range(len(work.strips) - 1, -1, -1):
        strips = work.strips[member]
        count = len(strips)
        own = [most * (number + 1) // count for number in range(count)] if member in ends else [_NEVER] * count
        for reader in readers[member]:
            first = 0
            for number, slot in enumerate(slots[reader]):
                needed = _strip_with(strips, needed_rows(work, reader, number))
                if needed >= first:
                    own[needed] = min(own[needed], slot - work.parts[member])
                    first = needed + 1
        for number in range(count - 2, -1, -1):
            own[number] = min(own[number], own[number + 1] - 1)
        for number in range(1, count):
            if own[number] > _NEVER - count:  # nobody reads it
                own[number] = own[number - 1] + 1
        slots[member] = own
    start = min(own[0] for own in slots if own)
    return sorted(
        Step(slot - start + part, member, number, part)
        for member, own in enumerate(slots)
        for number, slot in enumerate(own)
        for part in range(work.parts[member])
    )


_NEVER = 1 << 60  # a slot behind all others


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
    read, written = [0] * len(work.strips), [0] * len(work.strips)  # strips of which that is done
    touching: list[list[int]] = [[] for _ in work.strips]
    for storage, ring in rings.items():
        for member in {*ring.writers, *ring.readers}:
            touching[member].append(storage)
    for _, group in groupby(steps, key=_slot):
        now = tuple(group)
        for step in now:
            for storage in touching[step.member]:
                ends[storage] = max(ends[storage], _end_after(work, rings[storage], step))
        for storage in {storage for step in now if not step.part for storage in touching[step.member]}:
            ring = rings[storage]
            rows = [_first_row(work, reader, read[reader]) for reader in ring.readers]
            rows += [_row_of(work, writer, written[writer]) for writer in ring.writers]
            found[storage] = max(found[storage], ends[storage] - min(rows))
        for step in now:
            if not step.part:
                read[step.member] = step.strip + 1
            if step.part == work.parts[step.member] - 1:
                written[step.member] = step.strip + 1
    return {storage: min(rings[storage].height, rows + rings[storage].spare_rows) for storage, rows in found.items()}


def _end_after(work: Pass, ring: Ring, step: Step) -> int:
    """How far a ring is filled by a step: by the rows that it writes, or by what is loaded for it."""
    if step.member in ring.writers:
        return work.strips[step.member][step.strip].rows[1]
    return loaded_rows(ring.loaded, needed_rows(work, step.member, step.strip), ring.height) if ring.loaded else 0


def _slot(step: Step) -> int:
    return step.slot


def _row_of(work: Pass, member: int, strip: int) -> int:
    """The first row of a member's strip; its map's height behind the last."""
    strips = work.strips[member]
    return strips[strip].rows[0] if strip < len(strips) else work.height[member]


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
