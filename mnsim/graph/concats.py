"""A concat that is spelled flat is planned as the chain that it is.

PyTorch writes each layer of a DenseNet as a concat of all maps before it. A concat among whose inputs the
parts of an earlier concat stand next to one another, in order, is a concat of that one and the rest: the
same function, and the earlier concat's bytes are a slice of it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from mnsim.graph.model import Operator

Maps = tuple[int, ...]


@dataclass(slots=True)
class _Spelling:
    """The state of the pass: how often each map is read, the parts of each concat (which are no concats), and
    the concats that are read, by their first part.
    """

    reads: Counter[int]
    parts: dict[int, Maps] = field(default_factory=dict)
    by_start: dict[int, list[int]] = field(default_factory=dict)


def as_chains(operators: Sequence[Operator]) -> list[Operator]:
    """The operators, in which concats read the longest earlier concats that they contain.

    A map that is read still is read afterwards, by somebody. One that nobody reads, which is an output of the
    network, still is not.
    """
    state = _Spelling(Counter(source for operator in operators for source in operator.inputs))
    found = []
    for operator in operators:
        if operator.kind != "concat":
            found.append(operator)
            continue
        inputs = _shortened(state, operator.inputs)
        found.append(operator if inputs == operator.inputs else replace(operator, inputs=inputs, spelled=operator.inputs))
        state.parts[operator.output] = _parts(state, inputs)
        if state.reads[operator.output]:
            same = state.by_start.setdefault(state.parts[operator.output][0], [])
            same.append(operator.output)
            same.sort(key=lambda index: -len(state.parts[index]))
    return found


def _parts(state: _Spelling, inputs: Maps) -> Maps:
    return tuple(part for source in inputs for part in state.parts.get(source, (source,)))


def _shortened(state: _Spelling, inputs: Maps) -> Maps:
    """The inputs of a concat, the longest runs replaced by an earlier concat, from the first input on."""
    found: list[int] = []
    first = 0
    while first < len(inputs):
        concat, last = _longest(state, inputs, first)
        state.reads.subtract(inputs[first:last])
        state.reads[concat] += 1
        found.append(concat)
        first = last
    return tuple(found)


def _longest(state: _Spelling, inputs: Maps, first: int) -> tuple[int, int]:
    """The longest earlier concat that some inputs from the first on make up, and the input behind them. The
    first input itself if there is none.
    """
    rest = _parts(state, inputs[first:])
    lengths = accumulate(len(state.parts.get(source, (source,))) for source in inputs[first:])
    ends = {length: number for number, length in enumerate(lengths, first + 1)}  # the input behind so many parts
    for concat in state.by_start.get(rest[0], ()):
        own = state.parts[concat]
        if len(own) in ends and rest[len(own) - 1] == own[-1] and rest[: len(own)] == own:
            run = inputs[first : ends[len(own)]]
            if run == (concat,) or all(state.reads[source] > run.count(source) for source in run if source in state.parts):
                return concat, ends[len(own)]
    return inputs[first], first + 1
