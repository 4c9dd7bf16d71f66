"""Rows passes while they grow towards the front: in closed form, how many rows each map needs between its
writer and its readers, and what the pass moves.

With its last operator fixed, an operator that is put in front of a pass changes nothing of those behind
it. So only the storages that it touches are looked at again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mnsim.graph.model import Graph, Operator
from mnsim.graph.operators import is_in_place
from mnsim.plan.options import Option, Outside, crossings, ends_in, most_members
from mnsim.plan.passes import moves, parts_of, wants_all


def rows_options(graph: Graph, last: int, capacity: int, fused: tuple[str, ...]) -> Iterator[Option]:
    """The rows passes that end with an operator and fit a capacity at all; `fused` are the operations of
    the matrix unit's output stage.
    """
    grown = _Pass(graph, fused)
    for first in range(last, max(-1, last - most_members(graph)), -1):
        operator = graph.operators[first]
        ends_early = first < last and wants_all(graph, operator)
        if grown.weight_bytes + operator.weight_bytes > capacity or ends_early or not _makes_rows(graph, operator):
            return
        if grown.members and not grown.touched.keys() & {graph.slots[index].storage for index in (*operator.inputs, operator.output)}:
            return
        _grow(grown, operator)
        if grown.is_overtaken:
            return
        option = _option(grown)
        if first < last and any(map(moves, grown.members)) and option.working_bytes <= capacity:
            yield option


def _makes_rows(graph: Graph, operator: Operator) -> bool:
    """Whether the operator can be part of a rows pass."""
    return not operator.copied and not (wants_all(graph, operator) and operator.window is None) and operator.kind != "dense"


@dataclass(slots=True)
class _Pass:
    """A rows pass, its members from the last to the first.

    A map has `pace` * w + `ahead` rows when the last operator has made w. `joins` says behind which
    operator all readers of an operator's map have read it (-1: none before the end), `level` how many
    slots an operator is ahead of the end in a pipelined pass. `touched` are the maps of each storage,
    `rings` and `outside` what is known of it: bytes of its smallest rings, and what it costs where it is
    not passed.
    """

    graph: Graph
    fused: tuple[str, ...]
    weight_bytes: int = 0
    is_overtaken: bool = False
    pace: dict[int, int] = field(default_factory=dict)
    ahead: dict[int, int] = field(default_factory=dict)
    readers: dict[int, list[int]] = field(default_factory=dict)
    members: list[Operator] = field(default_factory=list)
    joins: dict[int, int] = field(default_factory=dict)
    level: dict[int, int] = field(default_factory=dict)
    touched: dict[int, list[int]] = field(default_factory=dict)
    rings: dict[int, tuple[int, int]] = field(default_factory=dict)
    outside: dict[int, Outside] = field(default_factory=dict)


def _grow(grown: _Pass, operator: Operator) -> None:
    """Put an operator in front of the pass."""
    graph = grown.graph
    readers = grown.readers.get(operator.output, [])
    if not readers:
        last = grown.members[0] if grown.members else operator
        grown.pace[operator.output] = max(1, -(-graph.maps[operator.output].shape[0] // graph.maps[last.output].shape[0]))
        grown.ahead[operator.output] = 0
    grown.joins[operator.index] = _joined(grown, readers) if readers else -1
    grown.level[operator.index] = parts_of(operator, grown.fused) + max((grown.level[reader] for reader in readers), default=0)
    grown.members.append(operator)
    grown.weight_bytes += operator.weight_bytes
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
    for index in dict.fromkeys((*operator.inputs, operator.output)):
        storage = graph.slots[index].storage
        maps = grown.touched.setdefault(storage, [])
        if index not in maps:
            maps.append(index)
        grown.rings.pop(storage, None)
        grown.outside.pop(storage, None)
    grown.is_overtaken = grown.is_overtaken or _is_overtaken(grown, operator)


def _is_overtaken(grown: _Pass, operator: Operator) -> bool:
    """Whether the operator overwrites in place what another member still reads, or the other way round."""
    for reader in (operator.index, *(each for source in operator.inputs for each in grown.readers[source])):
        each = next(member for member in grown.members if member.index == reader)
        if is_in_place(grown.graph, each) and len(grown.readers[each.inputs[0]]) > 1:
            return True
    return False


def _joined(grown: _Pass, readers: Sequence[int]) -> int:
    """The first operator that every way from the readers leads to (a reader by itself, if it is the only
    one).
    """
    now = set(readers)
    while len(now) > 1:
        earliest = min(now)
        if earliest < 0:
            return -1
        now.remove(earliest)
        now.add(grown.joins[earliest])
    return now.pop()


def _option(grown: _Pass) -> Option:
    """The pass as it stands."""
    graph, first, last = grown.graph, grown.members[-1].index, grown.members[0].index
    working, pipelined, inner, outside = grown.weight_bytes, grown.weight_bytes, [], {}
    ends = {graph.slots[index].storage for index in (0, *graph.outputs)}
    for storage in grown.touched:
        life = graph.storages[storage]
        if first <= life.first and life.last <= last and storage not in ends:
            if storage not in grown.rings:
                grown.rings[storage] = _ring_bytes(grown, storage, 0)
            least, roomy = grown.rings[storage]
            working, pipelined = working + least, pipelined + roomy
            inner.append(storage)
        else:
            if storage not in grown.outside:
                grown.outside[storage] = _outside(grown, storage)
            outside[storage] = grown.outside[storage]
    return Option(first, last, "rows", working, pipelined, grown.weight_bytes, frozenset(inner), outside)


def _outside(grown: _Pass, storage: int) -> Outside:
    graph = grown.graph
    crossing = crossings(graph, grown.members[::-1], storage)
    moved = sum(graph.maps[index].size_bytes for index in (*crossing.loaded, *crossing.stored))
    resident = sum(graph.maps[index].size_bytes for index in ends_in(graph, grown.members, storage))
    return Outside(*_ring_bytes(grown, storage, 1), moved, resident, crossing.is_legal)


def _ring_bytes(grown: _Pass, storage: int, spare: int) -> tuple[int, int]:
    """Bytes of the smallest ring for a storage, with rows made on demand and in a pipeline.

    It holds the rows between the last that is written and the first that is read again: those of the windows,
    those by which the readers are apart, and in a pipeline one for each slot that a row waits.
    """
    graph, maps = grown.graph, grown.touched[storage]
    largest = max((graph.maps[index] for index in maps), key=lambda each: each.size_bytes)
    root = graph.maps[graph.storages[storage].root]
    if len({graph.slots[index] for index in maps}) > 1:
        largest = root
    height, row_bytes = largest.shape[0], largest.size_bytes // largest.shape[0]
    readers = [each for each in grown.members if any(index in maps for index in each.inputs)]
    if any(wants_all(graph, reader) for reader in readers):
        return height * row_bytes, height * row_bytes
    if not readers:
        return min(height, 1 + spare) * row_bytes, min(height, 2 + spare) * row_bytes
    end = max(grown.ahead[index] for index in maps)
    starts = [_first_read(grown, reader) for reader in readers]
    pace = max(grown.pace[index] for index in maps)
    join = _joined(grown, [reader.index for reader in readers])
    step = -(-pace // grown.pace[graph.operators[join].output]) if join >= 0 else pace
    least = step + end - min(starts) + spare
    levels = [grown.level[reader.index] for reader in readers]
    written = max((grown.level[each.index] for each in grown.members if each.output in maps), default=max(levels) + 1)
    roomy = max(least, pace + end - min(starts) + spare + written - min(levels))
    return min(height, least) * row_bytes, min(height, roomy) * row_bytes


def _first_read(grown: _Pass, reader: Operator) -> int:
    """The first row of its inputs that an operator still reads, as an offset like `ahead`."""
    out = grown.ahead[reader.output]
    return reader.window.stride[0] * out - reader.window.padding[0] if reader.window else out
