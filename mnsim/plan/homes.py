"""The homes that a fused segment's storages may have: what each choice adds to its size and moves.

All sums of a segment are taken once: those over what is born in it for each choice of homes, those over what
it finds there for each that a state of the search has made before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mnsim.graph.model import Graph
from mnsim.plan.options import Option, Outside

NOWHERE = Outside(0, 0, 0, 0)


class Taken(NamedTuple):
    """Storages that are external, as bits, the SRAM that this takes (see `Option`), and the bytes moved."""

    external: int
    size_bytes: int
    pipelined_bytes: int
    moved_bytes: int


class LeftOut(NamedTuple):
    """Choices that are not looked at: how many, and the fewest bytes that one moves."""

    ways: int
    moved_bytes: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A fused segment with the homes of what is born in it.

    `found` are the older storages that it touches, by their bit, and `before` what was made of them.
    """

    option: Option
    homes: tuple[Taken, ...]
    left_out: LeftOut | None
    found: dict[int, Outside]
    before: dict[int, Taken | None] = field(default_factory=dict)


def make_choice(graph: Graph, option: Option, born: Sequence[int], spill_bytes: Sequence[int]) -> Choice:
    """A segment in which these storages are born, with every choice of their homes.

    Where `spill_bytes` says what it costs each storage of the graph to be external, only those choices in
    which the cheapest by the byte are external, none to all of them.
    """
    storages = graph.storages
    may = [index for index in born if option.outside.get(index, NOWHERE).may_be_external]
    if not spill_bytes:
        outs = list(subsets(may))
    else:
        may.sort(key=lambda index: (spill_bytes[index] / storages[index].size_bytes, -storages[index].last, index))
        outs = [sum(1 << index for index in may[:number]) for number in range(len(may) + 1)]
    homes = []
    for out in outs:
        size = roomy = moved = 0
        for index in born:
            outside = option.outside.get(index, NOWHERE)
            if out >> index & 1:
                size, roomy, moved = size + outside.ring_bytes, roomy + outside.pipelined_bytes, moved + outside.external_bytes
            else:
                size, roomy = size + storages[index].size_bytes, roomy + storages[index].size_bytes
                moved += outside.resident_bytes
        homes.append(Taken(out, size, roomy, moved))
    missing = (1 << len(may)) - len(outs)
    least = 0
    for index in born:
        outside = option.outside.get(index, NOWHERE)
        least += min(outside.resident_bytes, outside.external_bytes) if index in may else outside.resident_bytes
    found = {1 << index: outside for index, outside in option.outside.items() if index not in born}
    return Choice(option, tuple(homes), LeftOut(missing, least) if missing else None, found)


def taken_before(choice: Choice, external: int) -> Taken | None:
    """What a segment takes beside what is born in it, where this is external; None where that may not be."""
    touched = sum(bit for bit in choice.found if external & bit)
    if touched not in choice.before:
        choice.before[touched] = _taken(choice, touched)
    return choice.before[touched]


def _taken(choice: Choice, touched: int) -> Taken | None:
    option = choice.option
    size, roomy, moved = option.working_bytes, option.pipelined_bytes, option.moved_bytes
    for bit, outside in choice.found.items():
        if not touched & bit:
            moved += outside.resident_bytes
        elif not outside.may_be_external:
            return None
        else:
            size, roomy, moved = size + outside.ring_bytes, roomy + outside.pipelined_bytes, moved + outside.external_bytes
    return Taken(touched, size, roomy, moved)


def subsets(indices: Sequence[int]) -> Iterator[int]:
    """Every choice among storages, as bits."""
    for number in range(1 << len(indices)):
        yield sum(1 << index for place, index in enumerate(indices) if number >> place & 1)
