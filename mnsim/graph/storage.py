"""Which feature maps are the same bytes: flatten and concat move nothing, activations run in place.

A storage is a set of bytes that one or more maps name; it lives from its first writer to its last reader. A
concat's output is a storage in which its inputs are slices of channels, written there by their own
operators; or a slice of another concat's storage, where its inputs are neighbours there. Where neither can be
(an input that two concats want in another order, the network's own input, a slice that is flattened), the
operator copies, one vector operation an element (assumption: a copy passes through the vector unit).
"""

from dataclasses import replace
from math import inf, prod
from typing import NamedTuple

from mnsim.graph.model import FeatureMap, Graph, Operator, Slot, Storage
from mnsim.operators.table import RULES


class _Sharing(NamedTuple):
    """The state of the pass: each map's root and channel offset, and the roots that must stay as they are."""

    maps: tuple[FeatureMap, ...]
    operators: list[Operator]
    root: list[int]
    offset: list[int]
    members: dict[int, list[int]]  # the maps of each root
    until: dict[int, float]  # the last operator that reads any map of a root; infinity where one is an output of the network
    slices: set[int]  # maps that are slices of a concat's output
    flat: set[int]  # roots that have a flattened name

    def move(self, index: int, root: int, offset: int) -> None:
        """Make a map a part of another root, at an offset in its channels."""
        self.until[root] = max(self.until[root], self.until[self.root[index]])
        self.members[self.root[index]].remove(index)
        self.members[root].append(index)
        self.root[index], self.offset[index] = root, offset

    def has_end(self, root: int) -> bool:
        """Whether the network's input or an output is there; each of those has bytes of its own in external
        memory.
        """
        return root == 0 or self.until[root] == inf


Shared = tuple[tuple[Operator, ...], tuple[Storage, ...], tuple[Slot, ...]]


def share_storage(maps: tuple[FeatureMap, ...], operators: list[Operator]) -> Shared:
    """The operators (with the copies counted that could not be avoided), the storages, and each map's
    slot.
    """
    readers: list[list[int]] = [[] for _ in maps]
    for operator in operators:
        for read in operator.inputs:
            readers[read].append(operator.index)
    members, until = {index: [index] for index in range(len(maps))}, {index: max(read, default=inf) for index, read in enumerate(readers)}
    state = _Sharing(maps, operators, list(range(len(maps))), [0] * len(maps), members, until, set(), set())
    for operator in list(operators):
        memory, source = RULES[operator.kind].memory, operator.inputs[0]
        copied: tuple[int, ...] = ()
        if memory == "in_place" and state.root[source] != 0 and state.until[state.root[source]] <= operator.index:
            state.move(operator.output, state.root[source], state.offset[source])  # no operator reads the input's bytes afterwards
        elif operator.kind == "flatten":
            copied = _flatten(state, operator)
        elif operator.kind == "concat":
            copied = _concat(state, operator)
        if copied:
            elements = sum(prod(maps[source].shape) for source in copied)
            operators[operator.index] = replace(operator, vector_ops=(("copy", elements),), copied=copied)
    storages, slots = _collect(state, readers)
    return tuple(operators), storages, slots


def _flatten(state: _Sharing, operator: Operator) -> tuple[int, ...]:
    """Give the input's bytes a second name, or copy them: a slice has gaps, and one storage cannot be two
    ends of the network.
    """
    (source,) = operator.inputs
    height, width, _ = state.maps[source].shape
    two_ends = state.has_end(operator.output) and state.has_end(state.root[source])
    if (source in state.slices and height * width > 1) or two_ends:
        return operator.inputs
    state.move(operator.output, state.root[source], state.offset[source])
    if height * width > 1:
        state.flat.add(state.root[source])
    return ()


def _concat(state: _Sharing, operator: Operator) -> tuple[int, ...]:
    """Make every input that can be a slice of the output one; the others must be copied.

    Where all of them stand next to one another already, the output is another name for those bytes.
    """
    if _stand_together(state, operator):
        root, start = state.root[operator.inputs[0]], state.offset[operator.inputs[0]]
        state.move(operator.output, root, start)
        if state.maps[root].shape != state.maps[operator.output].shape:
            state.slices.add(operator.output)
        return ()
    copied = []
    offset = 0
    for source in operator.inputs:
        channels = state.maps[source].shape[2]
        root = state.root[source]
        fills_root = state.maps[root].shape[2] == channels and state.offset[source] == 0
        two_ends = state.has_end(operator.output) and state.has_end(root)
        unfit = root in (0, operator.output) or not fills_root or root in state.flat
        if unfit or two_ends or operator.inputs.count(source) > 1:
            copied.append(source)
        else:
            for member in tuple(state.members[root]):
                state.move(member, operator.output, state.offset[member] + offset * state.maps[source].element_bytes)
                state.slices.add(member)
        offset += channels
    return tuple(copied)


def _stand_together(state: _Sharing, operator: Operator) -> bool:
    """Whether a concat's inputs are neighbours, in order, in a storage of the same rows and columns.

    An output of the network has bytes of its own.
    """
    root, place = state.root[operator.inputs[0]], state.offset[operator.inputs[0]]
    output = state.maps[operator.output]
    if root == 0 or state.maps[root].shape[:2] != output.shape[:2] or state.has_end(operator.output):
        return False
    for source in operator.inputs:
        if state.root[source] != root or state.offset[source] != place:
            return False
        place += state.maps[source].shape[2] * output.element_bytes
    return True


def _collect(state: _Sharing, readers: list[list[int]]) -> tuple[tuple[Storage, ...], tuple[Slot, ...]]:
    writers = {operator.output: operator.index for operator in state.operators}
    storages: list[Storage] = []
    number: dict[int, int] = {}
    for root in sorted(set(state.root)):
        members = tuple(sorted(state.members[root]))
        used = [step for member in members for step in (*readers[member], *([writers[member]] if member in writers else []))]
        number[root] = len(storages)
        storages.append(Storage(len(storages), root, state.maps[root].size_bytes, members, min(used), max(used)))
    slots = tuple(Slot(number[root], offset) for root, offset in zip(state.root, state.offset, strict=True))
    return tuple(storages), slots


def value_classes(graph: Graph) -> tuple[int, ...]:
    """For every map the lowest index of those that are the same bytes at the same time: slices and other
    names.

    A map and a result that is computed from it in place share a storage, but are two values.
    """
    classes = list(range(len(graph.maps)))
    for operator in graph.operators:
        if RULES[operator.kind].memory != "renames":
            continue
        for source in operator.inputs:
            if source not in operator.copied:
                pair = classes[operator.output], classes[source]
                classes = [min(pair) if number in pair else number for number in classes]
    return tuple(classes)


def class_root(graph: Graph, classes: tuple[int, ...], number: int) -> int:
    """The largest map of a class, of which the others are slices or other names."""
    return max((index for index, found in enumerate(classes) if found == number), key=lambda index: (graph.maps[index].size_bytes, -index))
