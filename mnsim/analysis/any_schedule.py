"""The largest bound that holds for any schedule, fused or not: from what is left to do when the last element
of a map is there.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

from mnsim.analysis.bounds import bound_times, busy_s, compulsory_bytes, maximum
from mnsim.analysis.cones import Cone, Node, Reach, Region, all_of, area, cone, needed, nodes_of
from mnsim.clocks.rates import Number, Rates
from mnsim.graph.model import Graph, Operator
from mnsim.graph.operators import vector_work
from mnsim.spec.records import BUS, MATRIX, VECTOR, Hardware

MOST_MOMENTS = 128  # operators that are looked at; of more, evenly spread ones


def any_schedule_bound_time_s(graph: Graph, hardware: Hardware, rates: Rates[Number]) -> Number:
    """Seconds that no schedule beats which computes each operation once, however it fuses, tiles, orders and
    prefetches.

    An operation is one that `mnsim explain counting` counts (on padding too): a multiplication by a weight,
    or a vector operation. It starts when the elements that it reads are complete, and when its weight is in
    SRAM. Take an operator k and a set of elements E of its output (here: those rows and columns that the
    network's outputs need). Let t be when the last of E is complete, and e an element that is completed at
    t.

    *Before t.* All that E needs has been computed: of each operator before k, those elements that are read,
    and so on up to the input. So t is no earlier than their matrix time, no earlier than their vector time,
    and no earlier than the bytes of all weights and biases of these operators, and of what is read of the
    input, take on the bus.

    *The last element.* No operation that depends on e has started at t. Let W be the bytes of the weights
    that some such operation takes, O the bytes of the network's outputs that depend on e. Every weight of W
    is in SRAM at some time from t on, and at t at most the capacity's worth is: the others cross the bus
    after t. The O do not exist at t: all of them cross after t. So the run ends no earlier than t + (max(0,
    W - capacity) + O) / bandwidth. A bias is not in W, since a sum may start with it; scale and shift of a
    batch norm are, since they meet the complete sum. Nobody knows which element is the last, so W and O are
    the least of any (`cones.cone`).

    *The straddle.* Let f be a fully connected operator that needs k. One of two things is true.
    1. No operation of f has run at t. Then none of what depends on f's output has run either. W and O are
       those that depend on e or on f's output, and all filters of f.
    2. Some operation of f has run at t. The element v that it read was complete. An operator q between k and
       f, all of whose channels v needs at some place, has computed an element of each channel by then, so
       all its weights have been used by t. Those of them that e's successors take are used again after t.
       Each was in SRAM at t, or crosses the bus a second time: with R the bytes of these weights over all
       such q, R - capacity bytes cross twice. So the run ends no earlier than (compulsory bytes + max(0, R -
       capacity)) / bandwidth.
    The smaller of the two bounds any schedule. Here f is a fully connected operator that needs no other one:
    its filters are many, and a single element takes few of them.

    The result is the largest of all these, over k and f, and of `bound_times`. Left out, for they only add:
    the room that maps take, latency, launch overhead.
    """
    bandwidth, capacity = rates.engines[BUS].throughput, hardware.sram_capacity_bytes
    compulsory = compulsory_bytes(graph)
    bound_s = maximum(*bound_times(graph, hardware, rates))
    for moment in moments(graph, hardware.fused):
        computed_s = maximum(busy_s(rates.engines[MATRIX], moment.matrix), busy_s(rates.engines[VECTOR], moment.vector))
        left = moment.rest.bytes_beyond(capacity)
        bound_s = maximum(bound_s, _end_s(computed_s, moment.needed_bytes, left, bandwidth))
        for straddle in moment.straddles:
            unused_s = _end_s(computed_s, moment.needed_bytes, straddle.unused.bytes_beyond(capacity), bandwidth)
            twice_s = (compulsory + max(0, straddle.repeated_bytes - capacity)) / bandwidth
            bound_s = maximum(bound_s, _smaller(unused_s, twice_s))
    return bound_s


def _end_s(computed_s: Number, loaded_bytes: int, left_bytes: int, bandwidth: Number) -> Number:
    """The end of a run at the earliest of which so much is left when so much has been computed and loaded."""
    return maximum(computed_s + left_bytes / bandwidth, (loaded_bytes + left_bytes) / bandwidth)


def _smaller(first: Number, second: Number) -> Number:
    return -maximum(-first, -second)


class Rest(NamedTuple):
    """What has not been used, and what does not exist, at some time: bytes of weights, and of the network's
    outputs.
    """

    weight_bytes: int
    output_bytes: int

    def bytes_beyond(self, capacity_bytes: int) -> int:
        """The bytes that cross the bus from then on at the least."""
        return max(0, self.weight_bytes - capacity_bytes) + self.output_bytes


class Straddle(NamedTuple):
    """What is left if a fully connected operator has not begun, and the bytes of weights that are used both
    before and after if it has.
    """

    operator: int
    unused: Rest
    repeated_bytes: int


class Moment(NamedTuple):
    """When the last element of an operator's output is complete: the FLOP and vector operations by kind, and
    the bytes, that come before, and what is left.
    """

    operator: int
    matrix: tuple[tuple[str, int], ...]
    vector: tuple[tuple[str, int], ...]
    needed_bytes: int
    rest: Rest
    straddles: tuple[Straddle, ...]


@lru_cache(maxsize=8)
def moments(graph: Graph, fused: tuple[str, ...]) -> tuple[Moment, ...]:
    """The moments that bound a graph at any rates and capacity. `fused` is the matrix unit's output stage."""
    nodes = nodes_of(graph)
    live = needed(nodes, {index: _whole(graph, index) for index in graph.outputs})
    tails = [_Tail(graph, nodes, operator) for operator in _first_dense(graph)]
    works = [_work(graph, operator, fused) for operator in graph.operators]
    chosen = [each for each in graph.operators if each.output in live and (each.macs or each.vector_ops) and not each.copied]
    step = -(-len(chosen) // MOST_MOMENTS) or 1
    return tuple(_moment(graph, nodes, works, operator, live[operator.output], tails) for operator in chosen[::step])


def _whole(graph: Graph, index: int) -> Region:
    height, width, _ = graph.maps[index].shape
    return all_of(height), all_of(width)


class _Work(NamedTuple):
    """An operator's FLOP and vector operations by kind, for each pixel of its output."""

    flop: tuple[str, int]
    vector: tuple[tuple[str, int], ...]


def _work(graph: Graph, operator: Operator, fused: tuple[str, ...]) -> _Work:
    """Without copies, which another plan may not make."""
    pixels = prod(graph.maps[operator.output].shape[:2])
    vector = () if operator.copied else tuple((kind, ops // pixels) for kind, ops in vector_work(operator, fused))
    return _Work((operator.label, 2 * operator.macs // pixels), vector)


def _moment(
    graph: Graph, nodes: Sequence[Node], works: Sequence[_Work], operator: Operator, region: Region, tails: "Sequence[_Tail]"
) -> Moment:
    flop: dict[str, int] = {}
    vector: dict[str, int] = {}
    regions = needed(nodes, {operator.output: region})
    needed_bytes = area(regions[0]) * graph.maps[0].shape[2] * graph.maps[0].element_bytes if 0 in regions else 0
    for index, part in regions.items():
        if index:  # map i + 1 is operator i's output
            work, pixels = works[index - 1], area(part)
            needed_bytes += graph.operators[index - 1].weight_bytes
            for amounts, found in (((work.flop,), flop), (work.vector, vector)):
                for kind, amount in amounts:
                    found[kind] = found.get(kind, 0) + amount * pixels
    extents = graph.maps[operator.output].shape[:2]
    row_at, column_at = (0 if places == all_of(extent) else places for places, extent in zip(region, extents, strict=True))
    after = cone(graph, nodes, operator.output, Reach(1, 1, 1, row_at, column_at))
    straddles = tuple(tail.straddle(after) for tail in tails if tail.operator.index in after.weights)
    return Moment(operator.index, tuple(flop.items()), tuple(vector.items()), needed_bytes, _rest([after]), straddles)


def _rest(cones: Sequence[Cone], filters: int = 0) -> Rest:
    """What depends on any of these: of each weight and output at least the most that depends on one."""
    first, *others = cones
    return Rest(
        filters + _union(first.weights, *(each.weights for each in others)), _union(first.outputs, *(each.outputs for each in others))
    )


def _union(*parts: dict[int, int]) -> int:
    found: dict[int, int] = {}
    for part in parts:
        for index, size in part.items():
            found[index] = max(size, found.get(index, 0))
    return sum(found.values())


class _Tail:
    """A fully connected operator and what comes after it."""

    def __init__(self, graph: Graph, nodes: Sequence[Node], operator: Operator) -> None:
        self.operator = operator
        after = cone(graph, nodes, operator.output, Reach(graph.maps[operator.output].shape[2]))
        self.after = Cone({operator.index: operator.filter_bytes, **after.weights}, after.outputs)
        self.used = _used_before(nodes, operator)

    def straddle(self, after: Cone) -> Straddle:
        """The two cases for an element of which this depends."""
        repeated = sum(min(size, self.used.get(index, 0)) for index, size in after.weights.items())
        return Straddle(self.operator.index, _rest([after, self.after]), repeated)


def _first_dense(graph: Graph) -> list[Operator]:
    """The fully connected operators that need no other one."""
    behind: set[int] = set()
    found = []
    for operator in graph.operators:
        if behind.intersection(operator.inputs):
            behind.add(operator.output)
        elif operator.kind == "dense":
            behind.add(operator.output)
            found.append(operator)
    return found


def _used_before(nodes: Sequence[Node], start: Operator) -> dict[int, int]:
    """Bytes of weights by operator that have been used when any one element that `start` reads is complete:
    those of operators all of whose channels it needs at some place.
    """
    whole = {start.inputs[0]: False}  # maps of which an element is needed, and whether of each channel
    found: dict[int, int] = {}
    for node in reversed(nodes[: start.index]):
        operator = node.operator
        is_whole = whole.get(operator.output)
        if is_whole is None or not _reads_everywhere(node):
            continue
        if is_whole:
            found[operator.index] = operator.weight_bytes
        if operator.kind == "concat" and not is_whole:
            continue  # nobody knows which part
        mixes = (operator.macs > 0 and operator.groups == 1) or operator.kind == "softmax"
        for source in operator.inputs:
            whole[source] = whole.get(source, False) or is_whole or mixes
    return found


def _reads_everywhere(node: Node) -> bool:
    """Whether each element of the output reads one of the input: no window lies in the padding alone."""
    return all(axis.padding < axis.kernel and (axis.outputs - 1) * axis.stride - axis.padding < axis.extent for axis in node.windows or ())
