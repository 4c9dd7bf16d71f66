"""What an element needs, and what needs it: never more than element by element, on every kind of network."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.analysis.any_schedule import moments
from mnsim.graph.build import build_graph
from mnsim.graph.model import BIAS_BYTES, Graph
from mnsim.graph.operators import vector_work
from tests.element_oracle import Elements
from tests.generators import networks
from tests.helpers import chain

MOST = 24  # elements of a map that are looked at


def norm_bytes(graph: Graph, index: int, made: np.ndarray) -> int:
    """Bytes of scale and shift that elements of an operator's output meet."""
    operator = graph.operators[index]
    channels = made.reshape(graph.maps[operator.output].shape).any(axis=(0, 1)).sum()
    return int(channels) * BIAS_BYTES * len({"scale", "shift"}.intersection(operator.weights.planes))


def live_elements(elements: Elements) -> list[np.ndarray]:
    """For every map the elements that the network's outputs need."""
    graph = elements.graph
    found = [elements.needed(output, np.arange(elements.sizes[output])) for output in graph.outputs]
    return [np.logical_or.reduce([each[number] for each in found]) for number in range(len(graph.maps))]


def check_graph(graph: Graph, seed: int) -> dict[str, int]:
    """Compare every moment with what is really needed and really left. Counts how many are exact."""
    elements, random, size = Elements(graph), Random(seed), graph.maps[0].element_bytes
    live = live_elements(elements)
    exact = {"before": 0, "left": 0, "all": 0, "twice": 0}
    for moment in moments(graph, ()):
        output = graph.operators[moment.operator].output
        candidates = np.flatnonzero(live[output])
        needed = elements.needed(output, candidates)
        done = [operator for operator in graph.operators if needed[operator.output].any()]
        weight_bytes = sum(operator.weight_bytes for operator in done)
        assert moment.needed_bytes <= weight_bytes + size * int(needed[0].sum())
        flop, ops = {}, {}
        for operator in done:
            count, whole = int(needed[operator.output].sum()), elements.sizes[operator.output]
            flop[operator.label] = flop.get(operator.label, 0) + 2 * operator.macs * count // whole
            for kind, amount in () if operator.copied else vector_work(operator, ()):
                ops[kind] = ops.get(kind, 0) + amount * count // whole
        assert all(amount <= flop[kind] for kind, amount in moment.matrix)
        assert all(amount <= ops[kind] for kind, amount in moment.vector)
        shown = sorted([*random.sample(candidates.tolist(), min(MOST, len(candidates))), candidates[0], candidates[-1]])
        least = None
        for element in shown:
            found, weights = elements.successors(output, np.array([element]))
            left = size * sum(map(len, weights)) + sum(
                norm_bytes(graph, each.index, found[each.output]) for each in graph.operators[output:]
            )
            outputs = size * sum(int(found[each].sum()) for each in graph.outputs if each != output)
            assert moment.rest.weight_bytes <= left
            assert moment.rest.output_bytes <= outputs
            least = (left, outputs) if least is None else min(least, (left, outputs))
        exact["all"] += 1
        exact["before"] += moment.needed_bytes == weight_bytes + size * int(needed[0].sum())
        exact["left"] += least == moment.rest
        exact["twice"] += check_straddles(elements, moment, shown, random)
    return exact


def check_straddles(elements, moment, shown, random) -> int:
    """Both cases of each straddle, for these elements and for some elements that the fully connected operator reads."""
    graph, size, above = elements.graph, elements.graph.maps[0].element_bytes, 0
    output = graph.operators[moment.operator].output
    for straddle in moment.straddles:
        last = graph.operators[straddle.operator]
        _, behind = elements.successors(last.output, np.arange(elements.sizes[last.output]))
        made, _ = elements.successors(last.output, np.arange(elements.sizes[last.output]))
        source = last.inputs[0]
        values = random.sample(range(elements.sizes[source]), min(8, elements.sizes[source]))
        for element in shown[:: max(1, len(shown) // 6)]:
            found, weights = elements.successors(output, np.array([element]))
            unused = sum(
                size * len(weights[each.index] | behind[each.index])
                + norm_bytes(graph, each.index, found[each.output] | (made[each.output] if each != last else False))
                for each in graph.operators
                if each != last
            )
            assert straddle.unused.weight_bytes <= unused + last.weight_bytes
            for value in values:
                before = elements.needed(source, np.array([value]))
                both = 0
                for each, terms in zip(graph.operators, elements.terms, strict=True):
                    used = set(terms.weight[before[each.output][terms.output]].tolist())
                    both += size * len(weights[each.index] & used) + norm_bytes(graph, each.index, found[each.output])
                assert straddle.repeated_bytes <= both
                above += straddle.repeated_bytes > 0
    return above


@settings(max_examples=60, deadline=None, derandomize=True)
@given(networks(dtypes=["int8", "float32"]), st.integers(0, 1000))
def test_never_more_than_element_by_element(graph: Graph, seed: int) -> None:
    check_graph(graph, seed)


@pytest.mark.parametrize(
    "layers",
    [
        ("{conv: 3, kernel: 3}", "{conv: 4, kernel: 3}", "{conv: 2, kernel: 1}", "{dense: 5}"),
        ("{conv: 3, kernel: 3, stride: 2}", "{conv: 4, kernel: 1, stride: 2}", "{conv: 4, kernel: 3}"),
        ("{depthwise: 3}", "{conv: 6, kernel: 1}", "{max_pool: 2}", "{conv: 4, kernel: 3, groups: 2}", "global_avg_pool", "{dense: 3}"),
        (
            "{conv: 4, kernel: 1, name: s}",
            "{conv: 3, kernel: 1, input: s, name: a}",
            "{conv: 3, kernel: 3, input: s, name: b}",
            "{concat: [a, b]}",
            "{conv: 2, kernel: 1}",
            "{conv: 2, kernel: 3}",
        ),
        (
            "{conv: 4, kernel: 3, name: s}",
            "{conv: 4, kernel: 3, stride: 2, input: s, name: a}",
            "{conv: 4, kernel: 1, stride: 2, input: s, name: b}",
            "{add: [a, b]}",
            "{conv: 4, kernel: 3}",
            "flatten",
            "{dense: 4}",
            "{dense: 3}",
        ),
    ],
)
def test_nearly_exact_on_usual_networks(layers: tuple[str, ...]) -> None:
    """The bytes before are exact; those after are in most places."""
    exact = check_graph(build_graph(chain(*layers)), 1)
    assert exact["before"] == exact["all"]
    assert exact["left"] >= 0.7 * exact["all"]


@pytest.mark.parametrize(
    "layers",
    [
        # What the fully connected layer reads needs half of the channels before the groups.
        ("{conv: 4, kernel: 3}", "{conv: 4, kernel: 3}", "{conv: 4, kernel: 1, groups: 2}", "{dense: 3}"),
        # An element of a concat needs one of its parts.
        (
            "{conv: 4, kernel: 3, name: s}",
            "{conv: 4, kernel: 3, name: a1}",
            "{conv: 4, kernel: 1, name: a}",
            "{conv: 4, kernel: 3, input: s, name: b1}",
            "{conv: 4, kernel: 1, name: b}",
            "{concat: [a, b]}",
            "{dense: 3}",
        ),
        # An element whose window lies in the padding needs none.
        ("{conv: 4, kernel: 3}", "{conv: 4, kernel: 3}", "{conv: 4, kernel: 1, padding: [2, 2, 2, 2]}", "{dense: 3}"),
        # One reader skips rows, the other columns.
        (
            "{conv: 4, kernel: 1, name: s}",
            "{conv: 4, kernel: 1, stride: [2, 1], input: s, name: a}",
            "{conv: 4, kernel: 1, stride: [1, 2], input: s, name: b}",
        ),
    ],
)
def test_never_more_where_only_a_part_is_needed(layers: tuple[str, ...]) -> None:
    graph = build_graph(chain(*layers, shape="[4, 4, 4]"))
    for seed in range(3):
        check_graph(graph, seed)
