"""What a fused segment is to the search: the room that it needs and the bytes that it moves, and what
crosses the bus for each storage that it touches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mnsim.graph.model import Graph, Operator
from mnsim.graph.operators import is_in_place
from mnsim.plan.model import Kind
from mnsim.plan.passes import moves

MOST_MEMBERS = 24  # of a fused segment; longer ones were never chosen
FEWEST_MEMBERS = 4  # that are tried in the longest network
MOST_OPTIONS = 12_000  # that a network of many operators has, about: shorter segments are tried then


def most_members(graph: Graph) -> int:
    """How many operators a fused segment of the network may have."""
    return max(FEWEST_MEMBERS, min(MOST_MEMBERS, MOST_OPTIONS // len(graph.operators)))


class Outside(NamedTuple):
    """What a storage outside of a segment costs it: bytes of its ring, as in `Option`, and bytes that are
    loaded and stored, when it is external; bytes that cross whole when it is resident (the network's
    ends).
    """

    ring_bytes: int
    pipelined_bytes: int
    external_bytes: int
    resident_bytes: int
    may_be_external: bool = True


@dataclass(frozen=True, slots=True)
class Option:
    """A segment that the search may choose: the operators first..last and how they run.

    `working_bytes` are filters, biases, and the rings of the maps that are passed, whose storages are
    `inner`: as small as they can be, and with the room that strips take which are worked on at a time.
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


def ends_in(graph: Graph, operators: Sequence[Operator], storage: int) -> list[int]:
    """The network's input and outputs in a storage that cross whole when it is resident."""
    first = min(operator.index for operator in operators)
    last = max(operator.index for operator in operators)
    ends = [0] if graph.slots[0].storage == storage and first <= graph.storages[storage].first <= last else []
    written = {operator.output for operator in operators}
    return ends + [output for output in graph.outputs if output in written and graph.slots[output].storage == storage]


class Crossings(NamedTuple):
    """The maps of an external storage that a segment loads into its ring, and those that it stores from
    there.
    """

    loaded: tuple[int, ...]
    stored: tuple[int, ...]
    is_legal: bool


def crossings(graph: Graph, operators: Sequence[Operator], storage: int) -> Crossings:
    """What crosses the bus for an external storage that the operators of a fused segment touch.

    Loaded is what others wrote, stored what is not overwritten in place. A storage from which one map is
    loaded into which another is written would need parts of rows at different times: only an operation in
    place does both.
    """
    mine = [operator for operator in operators if graph.slots[operator.output].storage == storage]
    written = {operator.output for operator in mine}
    read = dict.fromkeys(
        index for operator in operators for index in operator.inputs if graph.slots[index].storage == storage and index not in written
    )
    replaced = {operator.inputs[0] for operator in mine if is_in_place(graph, operator)}
    stored = tuple(operator.output for operator in mine if moves(operator) and operator.output not in replaced)
    sizes = {(graph.slots[index], graph.maps[index].size_bytes) for index in (*read, *written)}
    is_legal = len(read) <= 1 and (not read or not written or len(sizes) == 1)
    return Crossings(tuple(read), stored, is_legal)
