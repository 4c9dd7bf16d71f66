"""The segments that may be fused, and in closed form what each needs and moves: what the search chooses from.

Bytes of SRAM are those of the smallest rings that a pass can do with: rows made one by one, on demand.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mnsim.graph.model import Graph, Operator
from mnsim.operators.table import RULES
from mnsim.plan.model import Kind
from mnsim.plan.passes import moves, parts_of, wants_all

MOST_MEMBERS = 24  # of a fused segment; longer ones were never chosen
CHANNEL_BLOCK = 16  # output channels that pass at a time, at least where there are twice as many


class Outside(NamedTuple):
    """What a storage outside of a segment costs it: bytes of its ring, as in `Option`, and bytes that are loaded
    and stored, when it is external; bytes that cross whole when it is resident (the network's ends).
    """

    ring_bytes: int
    pipelined_bytes: int
    external_bytes: int
    resident_bytes: int
    may_be_external: bool = True


@dataclass(frozen=True, slots=True)
class Option:
    """A segment that the search may choose: the operators first..last and how they run.

    `working_bytes` are filters, biases, and the rings of the maps that are passed, whose storages are `inner`:
    as small as they can be, and with the room that strips take which are worked on at a time.
    `moved_bytes` are its weights. `outside` are the other storages that it touches.
    """

    first: int
    last: int
    kind: Kind
    working_bytes: int
    pipelined_bytes: int
    moved_bytes: int
    inner: frozenset[int]
    outside: dict[int, Outside]


def options_of(graph: Graph, capacity: int, fused: tuple[str, ...]) -> list[list[Option]]:
    """The fused segments that fit a capacity at all, by their first operator."""
    found: list[list[Option]] = [[] for _ in graph.operators]
    for last in range(len(graph.operators)):
        for option in _rows_options(graph, last, capacity, fused):
            found[option.first].append(option)
    for first in range(len(graph.operators)):
        found[first] += _channels_options(graph, first, capacity)
    return found


def may_pass(graph: Graph, operator: Operator) -> bool:
    """Whether the operator can be part of a rows pass: it makes rows from rows."""
    return not operator.copied and not (wants_all(graph, operator) and operator.window is None) and operator.kind != "dense"


@dataclass(slots=True)
class _Backward:
    """A rows pass while it grows towards the front: of each map how far it is ahead of the last operator.

    `pace` and `ahead` say that a map has pace * w + ahead rows when the last operator has made w; `behind` is the
    first row that is still read, as an offset of the same kind, and `joins` the operator behind which all of a
    map's readers have read it. `level` is how many slots an operator is ahead of the last in a pipelined pass.
    """

    fused: tuple[str, ...]
    pace: dict[int, int] = field(default_factory=dict)
    ahead: dict[int, int] = field(default_factory=dict)
    readers: dict[int, list[int]] = field(default_factory=dict)
    members: list[Operator] = field(default_factory=list)  # from the last to the first
    join: dict[int, int] = field(default_factory=dict)  # by operator, the next that all its readers lead to; -1: the end
    level: dict[int, int] = field(default_factory=dict)  # by operator


def _rows_options(graph: Graph, last: int, capacity: int, fused: tuple[str, ...]) -> Iterator[Option]:
    grown = _Backward(fused)
    weights = 0
    touched: set[int] = set()
    for first in range(last, max(-1, last - MOST_MEMBERS), -1):
        operator = graph.operators[first]
        weights += operator.weight_bytes
        ends_early = first < last and wants_all(graph, operator)
        if weights > capacity or ends_early or not may_pass(graph, operator):
            return
        own = {graph.slots[index].storage for index in (*operator.inputs, operator.output)}
        if touched and not own & touched:
            return
        touched |= own
        _grow(graph, grown, operator)
        if first < last and (option := _rows_option(graph, grown, weights)):
            if option.working_bytes <= capacity:
                yield option


def _grow(graph: Graph, grown: _Backward, operator: Operator) -> None:
    """Put an operator in front of the pass."""
    height = graph.maps[operator.output].shape[0]
    readers = grown.readers.get(operator.output, [])
    if not readers:
        last = grown.members[0] if grown.members else operator
        grown.pace[operator.output] = max(1, -(-height // graph.maps[last.output].shape[0]))
        grown.ahead[operator.output] = 0
    grown.join[operator.index] = _joined(grown, readers) if readers else -1
    grown.level[operator.index] = parts_of(operator, grown.fused) + max((grown.level[reader] for reader in readers), default=0)
    grown.members.append(operator)
    pace, ahead = grown.pace[operator.output], grown.ahead[operator.output]
    for source in operator.inputs:
        if wants_all(graph, operator):
            pace_there, ahead_there = 1, 0
        elif operator.window:
            kernel, stride, pad = operator.window.kernel[0], operator.window.stride[0], operator.window.padding[0]
            pace_there, ahead_there = stride * pace, stride * ahead + kernel - stride - pad
        else:
            pace_there, ahead_there = pace, ahead
        grown.pace[source] = max(grown.pace.get(source, 0), pace_there)
        grown.ahead[source] = max(grown.ahead.get(source, ahead_there), ahead_there)
        grown.readers.setdefault(source, []).append(operator.index)


def _joined(grown: _Backward, readers: Sequence[int]) -> int:
    """The first operator that every way from the readers leads to (a reader by itself, if it is the only one)."""
    now = set(readers)
    while len(now) > 1:
        earliest = min(now)
        if earliest < 0:
            return -1
        now.remove(earliest)
        now.add(grown.join[earliest])
    return now.pop()


def _ring_bytes(graph: Graph, grown: _Backward, maps: Sequence[int], spare: int) -> tuple[int, int]:
    """Bytes of the smallest ring for maps of one storage, with rows made on demand and in a pipeline.

    It holds the rows between the last that is written and the first that is read again: those of the windows,
    those by which the readers are apart, and in a pipeline one for each slot that a row waits.
    """
    by_index = {operator.index: operator for operator in grown.members}
    storage = graph.slots[maps[0]].storage
    largest = max((graph.maps[index] for index in maps), key=lambda each: each.size_bytes)
    height, row_bytes = largest.shape[0], largest.size_bytes // largest.shape[0]
    root = graph.maps[graph.storages[storage].root]
    if len({graph.slots[index] for index in maps}) > 1 and largest.size_bytes < root.size_bytes:
        row_bytes = root.size_bytes // root.shape[0]
    end = max(grown.ahead.get(index, 0) for index in maps)
    readers = sorted({reader for index in maps for reader in grown.readers.get(index, ())})
    if any(wants_all(graph, by_index[reader]) for reader in readers):
        return height * row_bytes, height * row_bytes
    pace = max(grown.pace[index] for index in maps)
    written = max((grown.level[each.index] for each in grown.members if each.output in maps), default=None)
    if not readers:
        least = 1 + spare
        return min(height, least) * row_bytes, min(height, least + 1) * row_bytes
    first, latest = _first_read(grown, [by_index[reader] for reader in readers])
    join = _joined(grown, readers)
    step = -(-pace // grown.pace[by_index[join].output]) if join >= 0 else pace
    least = step + end - first + spare
    waiting = (max(grown.level[reader] for reader in readers) + 1 if written is None else written) - latest
    return min(height, least) * row_bytes, min(height, max(least, pace + end - first + spare + waiting)) * row_bytes


def _first_read(grown: _Backward, readers: Sequence[Operator]) -> tuple[int, int]:
    """The first row that readers of a map still read, beside `ahead`, and the level of the last of them."""
    starts = []
    for operator in readers:
        out = grown.ahead[operator.output]
        starts.append(operator.window.stride[0] * out - operator.window.padding[0] if operator.window else out)
    return min(starts), min(grown.level[operator.index] for operator in readers)


def _rows_option(graph: Graph, grown: _Backward, weights: int) -> Option | None:
    """The pass as it stands; None where a storage's bytes would be both loaded and written anew."""
    if any(_is_overtaken(graph, grown, operator) for operator in grown.members):
        return None
    first, last = grown.members[-1].index, grown.members[0].index
    touched: dict[int, list[int]] = {}
    for operator in grown.members:
        for index in (*operator.inputs, operator.output):
            touched.setdefault(graph.slots[index].storage, []).append(index)
    working, pipelined, inner, outside = weights, weights, [], {}
    for storage, maps in touched.items():
        life = graph.storages[storage]
        is_end = storage == graph.slots[0].storage or any(graph.slots[output].storage == storage for output in graph.outputs)
        if first <= life.first and life.last <= last and not is_end:
            least, roomy = _ring_bytes(graph, grown, sorted(set(maps)), 0)
            working, pipelined = working + least, pipelined + roomy
            inner.append(storage)
        else:
            outside[storage] = _outside(graph, grown, storage, sorted(set(maps)))
    return Option(first, last, "rows", working, pipelined, weights, frozenset(inner), outside)


def _is_overtaken(graph: Graph, grown: _Backward, operator: Operator) -> bool:
    """Whether the operator overwrites in place what another member still reads."""
    source = operator.inputs[0]
    is_in_place = RULES[operator.kind].memory == "in_place" and graph.slots[source] == graph.slots[operator.output]
    return is_in_place and len(grown.readers[source]) > 1


def _outside(graph: Graph, grown: _Backward, storage: int, maps: Sequence[int]) -> Outside:
    crossing = crossings(graph, grown.members[::-1], storage)
    moved = sum(graph.maps[index].size_bytes for index in (*crossing.loaded, *crossing.stored))
    resident = sum(graph.maps[index].size_bytes for index in ends_in(graph, grown.members, storage))
    return Outside(*_ring_bytes(graph, grown, maps, 1), moved, resident, crossing.is_legal)


def ends_in(graph: Graph, operators: Sequence[Operator], storage: int) -> list[int]:
    """The network's input and outputs in a storage that cross whole when it is resident."""
    first = min(operator.index for operator in operators)
    last = max(operator.index for operator in operators)
    ends = [0] if graph.slots[0].storage == storage and first <= graph.storages[storage].first <= last else []
    written = {operator.output for operator in operators}
    return ends + [output for output in graph.outputs if output in written and graph.slots[output].storage == storage]


class Crossings(NamedTuple):
    """The maps of an external storage that a segment loads into its ring, and those that it stores from there."""

    loaded: tuple[int, ...]
    stored: tuple[int, ...]
    is_legal: bool


def crossings(graph: Graph, operators: Sequence[Operator], storage: int) -> Crossings:
    """What crosses the bus for an external storage that the operators of a fused segment touch.

    Loaded is what others wrote, stored what is not overwritten in place. A storage from which one map is loaded
    into which another is written would need parts of rows at different times: only an operation in place does
    both.
    """
    mine = [operator for operator in operators if graph.slots[operator.output].storage == storage]
    written = {operator.output for operator in mine}
    read = dict.fromkeys(
        index for operator in operators for index in operator.inputs if graph.slots[index].storage == storage and index not in written
    )
    replaced = {
        operator.inputs[0] for operator in mine
        if RULES[operator.kind].memory == "in_place" and graph.slots[operator.inputs[0]] == graph.slots[operator.output]
    }  # fmt: skip
    stored = tuple(operator.output for operator in mine if moves(operator) and operator.output not in replaced)
    sizes = {(graph.slots[index], graph.maps[index].size_bytes) for index in (*read, *written)}
    is_legal = len(read) <= 1 and (not read or not written or len(sizes) == 1)
    return Crossings(tuple(read), stored, is_legal)


def _channels_options(graph: Graph, first: int, capacity: int) -> Iterator[Option]:
    """Passes of an operator that reads all channels, and of those behind it that treat channels one by one."""
    leader = graph.operators[first]
    if not leader.macs or leader.groups != 1 or leader.kind == "dense" or leader.copied or len(leader.inputs) != 1:
        return
    members = [leader]
    channels = graph.maps[leader.output].shape[2]
    block = min(CHANNEL_BLOCK, max(1, channels // 2))
    for last in range(first, min(len(graph.operators), first + MOST_MEMBERS)):
        if last > first:
            operator, before = graph.operators[last], graph.operators[last - 1]
            follows = operator.inputs == (before.output,) and _is_passed(graph, before.output, last)
            if not follows or operator.groups != channels or graph.maps[operator.output].shape[2] != channels or operator.copied:
                return
            members.append(operator)
        if option := _channels_option(graph, members, block):
            if option.working_bytes <= capacity and last > first:
                yield option


def _is_passed(graph: Graph, index: int, reader: int) -> bool:
    """Whether a map's bytes are nobody's but its reader's, or are overwritten by it in place."""
    storage = graph.slots[index].storage
    readers = [operator.index for operator in graph.operators[reader - 1 :] if index in operator.inputs]
    same = graph.slots[graph.operators[reader].output] == graph.slots[index]
    return readers == [reader] and index not in graph.outputs and (same or graph.storages[storage].last == reader)


def _channels_option(graph: Graph, members: Sequence[Operator], block: int) -> Option | None:
    leader, final = members[0], members[-1]
    source, target = graph.slots[leader.inputs[0]].storage, graph.slots[final.output].storage
    if source == target:
        return None
    channels = graph.maps[final.output].shape[2]
    weights = sum(operator.weight_bytes for operator in members)
    working = 2 * -(-weights * block // channels)
    inner = []
    for storage in dict.fromkeys(graph.slots[operator.output].storage for operator in members):
        if storage != target:
            inner.append(storage)
            working += -(-graph.storages[storage].size_bytes * block // channels)
    read, written = graph.maps[leader.inputs[0]].size_bytes, graph.maps[final.output].size_bytes
    ends = {storage: sum(graph.maps[index].size_bytes for index in ends_in(graph, members, storage)) for storage in (source, target)}
    outside = {
        source: Outside(read, read, read, ends[source]),
        target: Outside(2 * -(-written * block // channels), 2 * -(-written * block // channels), written, ends[target]),
    }
    return Option(leader.index, final.index, "channels", working, working, weights, frozenset(inner), outside)
