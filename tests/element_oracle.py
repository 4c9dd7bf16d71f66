"""Networks element by element: which product reads which element and which weight. For the bounds' tests."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mnsim.graph.model import Graph, Operator

Indices = NDArray[np.int64]
PADDING = -1  # in place of an element of the input


@dataclass(frozen=True)
class Terms:
    """All terms of an operator's sums: of each the output's element, the input's map and element, and the weight.

    The weight is an element of the filters, of some order; -1 where there is none, as in a pool.
    """

    output: Indices
    source: Indices
    read: Indices
    weight: Indices


def terms_of(graph: Graph, operator: Operator) -> Terms:
    """The terms of an operator's elements, one by one, from what the operator is."""
    shape = graph.maps[operator.output].shape
    found = [
        (_place(shape, place), source, read, weight)
        for place in product(*map(range, shape))
        for source, read, weight in _terms_at(graph, operator, place)
    ]
    columns = np.array(found, np.int64).reshape(-1, 4).T
    return Terms(*columns)


def _place(shape: tuple[int, int, int], place: tuple[int, int, int]) -> int:
    return (place[0] * shape[1] + place[1]) * shape[2] + place[2]


def _terms_at(graph: Graph, operator: Operator, place: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    row, column, channel = place
    source = operator.inputs[0]
    height, width, depth = graph.maps[source].shape
    made = graph.maps[operator.output].shape[2]
    if operator.kind == "dense":
        return [(source, each, channel * height * width * depth + each) for each in range(height * width * depth)]
    if operator.kind == "flatten":
        return [(source, channel, -1)]
    if operator.kind == "softmax":
        return [(source, _place((height, width, depth), (row, column, each)), -1) for each in range(depth)]
    if operator.kind == "concat":
        for part in operator.inputs:
            size = graph.maps[part].shape[2]
            if channel < size:
                return [(part, _place((height, width, size), (row, column, channel)), -1)]
            channel -= size
    if operator.window is None:
        return [(each, _place((height, width, depth), place), -1) for each in operator.inputs]
    kernel, stride, padding = operator.window.kernel, operator.window.stride, operator.window.padding
    group = channel // (made // operator.groups)
    size = depth // operator.groups
    found = []
    for y, x, each in product(range(kernel[0]), range(kernel[1]), range(size)):
        at = row * stride[0] - padding[0] + y, column * stride[1] - padding[2] + x
        inside = 0 <= at[0] < height and 0 <= at[1] < width
        weight = ((channel * kernel[0] + y) * kernel[1] + x) * size + each if operator.macs else -1
        read = _place((height, width, depth), (*at, group * size + each)) if inside else PADDING
        found.append((source, read, weight))
    return found


class Elements:
    """A network with all its terms."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.terms = [terms_of(graph, operator) for operator in graph.operators]
        self.sizes = [int(np.prod(each.shape)) for each in graph.maps]

    def needed(self, start: int, elements: Indices) -> list[NDArray[np.bool_]]:
        """For every map the elements that these of map `start` need, themselves too."""
        found = [np.zeros(size, np.bool_) for size in self.sizes]
        found[start][elements] = True
        for operator, terms in zip(self.graph.operators[::-1], self.terms[::-1], strict=True):
            taken = found[operator.output][terms.output] & (terms.read != PADDING)
            for source in set(operator.inputs):
                found[source][terms.read[taken & (terms.source == source)]] = True
        return found

    def successors(self, start: int, elements: Indices) -> tuple[list[NDArray[np.bool_]], list[set[int]]]:
        """For every map the elements that depend on these of map `start`, and for every operator the weights that meet
        one.
        """
        found = [np.zeros(size, np.bool_) for size in self.sizes]
        found[start][elements] = True
        weights: list[set[int]] = []
        for operator, terms in zip(self.graph.operators, self.terms, strict=True):
            taken = np.zeros(len(terms.output), np.bool_)
            for source in set(operator.inputs):
                at = np.flatnonzero((terms.source == source) & (terms.read != PADDING))
                taken[at] = found[source][terms.read[at]]
            found[operator.output][terms.output[taken]] = True
            weights.append(set(terms.weight[taken].tolist()) - {-1})
        return found, weights
