"""The segments that may be fused: what the search chooses from."""

from collections.abc import Iterator, Sequence

from mnsim.graph.model import Graph, Operator
from mnsim.plan.growing import rows_options
from mnsim.plan.options import Option, Outside, ends_in, most_members

CHANNEL_BLOCK = 16  # output channels that pass at a time, at least where there are twice as many


def options_of(graph: Graph, capacity: int, fused: tuple[str, ...]) -> list[list[Option]]:
    """The fused segments that fit a capacity at all, by their first operator."""
    found: list[list[Option]] = [[] for _ in graph.operators]
    for last in range(len(graph.operators)):
        for option in rows_options(graph, last, capacity, fused):
            found[option.first].append(option)
    for first in range(len(graph.operators)):
        found[first] += _channels_options(graph, first, capacity)
    return found


def _channels_options(graph: Graph, first: int, capacity: int) -> Iterator[Option]:
    """Passes of an operator that reads all channels, and of those behind it that treat channels one by
    one.
    """
    leader = graph.operators[first]
    if not leader.macs or leader.groups != 1 or leader.kind == "dense" or leader.copied or len(leader.inputs) != 1:
        return
    members = [leader]
    channels = graph.maps[leader.output].shape[2]
    block = min(CHANNEL_BLOCK, max(1, channels // 2))
    for last in range(first, min(len(graph.operators), first + most_members(graph))):
        if last > first:
            operator, before = graph.operators[last], graph.operators[last - 1]
            follows = operator.inputs == (before.output,) and _is_passed(graph, before.output, last)
            if not follows or operator.groups != channels or graph.maps[operator.output].shape[2] != channels or operator.copied:
                return
            members.append(operator)
        option = _channels_option(graph, members, block)
        if option and option.working_bytes <= capacity and last > first:
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
