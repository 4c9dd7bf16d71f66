"""Which feature maps are the same bytes: flatten and concat move nothing, activations run in place.

A storage is a set of bytes that one or more maps name; it lives from its first writer to its last reader. A concat's output is
a storage in which its inputs are slices of channels, written there by their own operators. Where that cannot be (an input that
two concats want, the network's own input, a slice that is flattened), the operator copies, one vector operation an element
(assumption: a copy passes through the vector unit), so that nothing is moved for nothing.
"""

from dataclasses import replace
from math import prod
from typing import NamedTuple

from mnsim.graph.model import FeatureMap, Operator, Slot, Storage
from mnsim.graph.operators import RULES


class _Sharing(NamedTuple):
    """The state of the pass: each map's root and channel offset, and what must stay as it is."""

    maps: tuple[FeatureMap, ...]
    operators: list[Operator]
    root: list[int]
    offset: list[int]
    slices: set[int]  # maps that are slices of a concat's output
    flat: set[int]  # roots that have a flattened name

    def sharing(self, index: int) -> list[int]:
        return [other for other in range(len(self.maps)) if self.root[other] == self.root[index]]


Shared = tuple[tuple[Operator, ...], tuple[Storage, ...], tuple[Slot, ...]]


def share_storage(maps: tuple[FeatureMap, ...], operators: list[Operator]) -> Shared:
    """The operators (with the copies counted that could not be avoided), the storages, and each map's slot."""
    state = _Sharing(maps, operators, list(range(len(maps))), [0] * len(maps), set(), set())
    readers: list[list[int]] = [[] for _ in maps]
    for operator in operators:
        for read in operator.inputs:
            readers[read].append(operator.index)
    for operator in list(operators):
        memory = RULES[operator.kind].memory
        copied: tuple[int, ...] = ()
        if memory == "in_place" and _may_overwrite(state, operator, readers):
            _join(state, operator.output, operator.inputs[0])
        elif operator.kind == "flatten":
            copied = _flatten(state, operator, is_output=not readers[operator.output])
        elif operator.kind == "concat":
            copied = _concat(state, operator)
        if copied:
            elements = sum(prod(maps[source].shape) for source in copied)
            operators[operator.index] = replace(operator, vector_ops=(("copy", elements),), copied=copied)
    storages, slots = _collect(state, readers)
    return tuple(operators), storages, slots


def _join(state: _Sharing, output: int, source: int) -> None:
    state.root[output] = state.root[source]
    state.offset[output] = state.offset[source]


def _may_overwrite(state: _Sharing, operator: Operator, readers: list[list[int]]) -> bool:
    """Whether nothing needs the input's bytes afterwards: no later reader under any name, no network output, not its input."""
    sharing = state.sharing(operator.inputs[0])
    return 0 not in sharing and all(readers[other] and max(readers[other]) <= operator.index for other in sharing)


def _flatten(state: _Sharing, operator: Operator, is_output: bool) -> tuple[int, ...]:
    """Give the input's bytes a second name; a slice has gaps, and the network's input cannot be its output: those are copied."""
    (source,) = operator.inputs
    height, width, _ = state.maps[source].shape
    if (source in state.slices and height * width > 1) or (is_output and state.root[source] == 0):
        return operator.inputs
    _join(state, operator.output, source)
    if height * width > 1:
        state.flat.add(state.root[source])
    return ()


def _concat(state: _Sharing, operator: Operator) -> tuple[int, ...]:
    """Make every input that can be a slice of the output one; the others must be copied."""
    copied = []
    offset = 0
    for source in operator.inputs:
        channels = state.maps[source].shape[2]
        root = state.root[source]
        fills_root = state.maps[root].shape[2] == channels and state.offset[source] == 0
        if root in (0, operator.output) or not fills_root or root in state.flat or operator.inputs.count(source) > 1:
            copied.append(source)
        else:
            for member in state.sharing(source):
                state.root[member] = operator.output
                state.offset[member] += offset * state.maps[source].element_bytes
                state.slices.add(member)
        offset += channels
    return tuple(copied)


def _collect(state: _Sharing, readers: list[list[int]]) -> tuple[tuple[Storage, ...], tuple[Slot, ...]]:
    writers = {operator.output: operator.index for operator in state.operators}
    storages: list[Storage] = []
    number: dict[int, int] = {}
    for root in sorted(set(state.root)):
        members = tuple(index for index in range(len(state.maps)) if state.root[index] == root)
        used = [step for member in members for step in (*readers[member], *([writers[member]] if member in writers else []))]
        number[root] = len(storages)
        storages.append(Storage(len(storages), root, state.maps[root].size_bytes, members, min(used), max(used)))
    slots = tuple(Slot(number[root], offset) for root, offset in zip(state.root, state.offset, strict=True))
    return tuple(storages), slots
