"""The search that drops states: what it says that it may have missed, against every plan there is."""

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.analysis.bounds import compulsory_bytes
from mnsim.analysis.cost import estimate
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.pipeline import plan_network, run
from mnsim.plan import search
from mnsim.plan.options import Option, Outside, ends_in
from mnsim.plan.residency import make_plan
from mnsim.plan.search import Search, cheapest, make_search, tiling_in
from mnsim.plan.tiling import make_geometry
from mnsim.report.analysis import analysis_document
from mnsim.report.records import as_dict
from mnsim.report.simulation import simulation_record
from mnsim.spec.records import Network, Policy
from tests.generators import networks
from tests.helpers import as_text, chain, seed_with

POLICIES: tuple[Policy, ...] = ("overlap", "layerwise", "serial")  # type: ignore[assignment]


def single_bytes(found: Search, step: int, external: set[int]) -> float:
    """What an operator counts as by itself; infinity where it does not fit."""
    graph = found.graph
    alive = [each for each in graph.storages if each.first <= step <= each.last and each.index not in external]
    operator = graph.operators[step]
    tiling = tiling_in(found, make_geometry(graph, operator, external), found.capacity - sum(each.size_bytes for each in alive))
    whole = sum(graph.maps[index].size_bytes for each in alive for index in ends_in(graph, (operator,), each.index))
    return inf if tiling is None else tiling[1] + whole


def fused_bytes(found: Search, option: Option, external: set[int]) -> float:
    """What a fused segment counts as; infinity where it does not fit."""
    alive = [
        each for each in found.graph.storages if each.first <= option.last and each.last >= option.first and each.index not in external
    ]
    size = option.working_bytes + sum(each.size_bytes for each in alive if each.index not in option.inner)
    if external & option.inner or any(not option.outside[index].may_be_external for index in external & option.outside.keys()):
        return inf
    size += sum(outside.ring_bytes for index, outside in option.outside.items() if index in external)
    moved = sum(outside.external_bytes if index in external else outside.resident_bytes for index, outside in option.outside.items())
    return inf if size > found.capacity else option.moved_bytes + moved


def brute_force(found: Search) -> float:
    """The fewest bytes: for every set of external storages, every way to cut the operators into segments."""
    graph = found.graph
    count, best = len(graph.operators), inf
    for number in range(1 << len(graph.storages)):
        external = {index for index in range(len(graph.storages)) if number >> index & 1}
        least = [inf] * count + [0.0]
        for first in reversed(range(count)):
            least[first] = single_bytes(found, first, external) + least[first + 1]
            for option in found.options[first] if found.options else []:
                least[first] = min(least[first], fused_bytes(found, option, external) + least[option.last + 1])
        best = min(best, least[0])
    return best


def sized_search(graph: Graph, percent: int, policy: Policy) -> Search:
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    return make_search(graph, policy, max(1, most * percent // 100))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(networks(), st.integers(1, 110), st.sampled_from(POLICIES), st.integers(1, 3))
def test_what_is_said_to_be_missed_is_never_less_than_what_is_missed(graph: Graph, percent: int, policy: Policy, kept: int) -> None:
    """With all states, and with hardly any."""
    expected = brute_force(sized_search(graph, percent, policy))
    full = cheapest(sized_search(graph, percent, policy))
    if expected == inf:
        assert isinstance(full, int)
        return
    assert not isinstance(full, int)
    assert (full.moved_bytes, full.least_bytes, full.dropped) == (expected, expected, 0)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("MOST_STATES", kept), ("FEWEST_STATES", 1), ("MOST_WAYS", 1), ("MOST_CHOSEN", kept - 1)):
            patch.setattr(search, name, value)
        few = cheapest(sized_search(graph, percent, policy))
    if not isinstance(few, int):
        assert few.least_bytes <= expected <= few.moved_bytes
        assert few.dropped or few.least_bytes == few.moved_bytes


def skips(count: int) -> Network:
    """Convolutions in a row whose outputs, 1,024 bytes each, are all added up again from the last to the first."""
    convolutions = [f"{{conv: 4, kernel: 3, name: x{number}}}" for number in range(count)]
    sums = [
        f"{{add: [{f'z{number + 1}' if number < count - 2 else f'x{count - 1}'}, x{number}], name: z{number}}}"
        for number in reversed(range(count - 1))
    ]
    return chain(*convolutions, *sums, shape="[16, 16, 4]")


def test_what_must_be_spilled_is_spilled_in_time() -> None:
    """24 maps are alive at once where 14 fit: by hand, the oldest go out once and come in twice."""
    graph = build_graph(skips(24))
    hardware = seed_with("internal_memory.capacity=16 KiB")
    by_hand = compulsory_bytes(graph) + 3 * 1024 * (24 - 14)
    moved = estimate(graph, make_plan(graph, hardware, "layerwise"), hardware).total.traffic_bytes
    assert moved <= by_hand
    plan = make_plan(graph, hardware)
    fused = estimate(graph, plan, hardware).total.traffic_bytes
    assert fused <= moved
    assert compulsory_bytes(graph) <= fused - plan.at_most_fewer_bytes


def test_a_plan_says_that_it_is_not_exact() -> None:
    planned = plan_network(skips(24), seed_with("internal_memory.capacity=16 KiB"))
    plan = planned.plan
    assert not plan.exact
    assert plan.dropped_ways > 0
    found = estimate(*planned[:1], planned.plan, planned.hardware)
    fewer = f"at most {plan.at_most_fewer_bytes:,} B fewer are possible"
    assert fewer in " ".join(as_text(analysis_document(found), 80, "more").split())
    assert fewer not in " ".join(as_text(analysis_document(found), 80).split())
    said = {"exact": False, "at_most_fewer_bytes": plan.at_most_fewer_bytes, "dropped_ways": plan.dropped_ways}
    assert said.items() <= as_dict(found)["plan"].items()
    assert simulation_record(run(planned))["plan"] == said


def test_a_plan_that_is_exact_says_nothing() -> None:
    planned = plan_network("mobilenet_cifar")
    assert (planned.plan.exact, planned.plan.dropped_ways) == (True, 0)
    found = estimate(planned.graph, planned.plan, planned.hardware)
    assert "fewer are possible" not in as_text(analysis_document(found), 160, "more")


def test_many_maps_born_in_a_segment_do_not_make_as_many_choices() -> None:
    """Of 20 maps that a segment leaves behind there are a million choices of homes."""
    found = make_search(build_graph(skips(24)), "layerwise", 1 << 20)
    option = Option(0, 22, "rows", 0, 0, 0, frozenset(), {index: Outside(1, 1, 2, 0) for index in range(1, 24)})
    found.options = [[option], *([] for _ in range(len(found.graph.operators) - 1))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "MOST_STATES", 1)
        assert not isinstance(cheapest(found), int)
    (choice,) = found.choices[0]
    assert choice.left_out is not None
    assert len(choice.homes) + choice.left_out.ways == 1 << 24
    assert len(choice.homes) == 25
