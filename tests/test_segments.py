"""Segments of several operators: every answer and every report reads the plan's cuts, not an operator's place."""

import json
from dataclasses import replace

import pytest

from mnsim.analysis.derive import derive
from mnsim.clocks.rates import rates_of
from mnsim.clocks.recurrence import recur
from mnsim.clocks.simulate import simulate
from mnsim.pipeline import Planned, analyze, estimate_plan, plan_network, run
from mnsim.plan.model import Plan, Segment
from mnsim.proof import verify
from mnsim.reference.calibrate import noise_images
from mnsim.reference.weights import random_weights
from mnsim.report.analysis import analysis_document, derivation_document
from mnsim.report.records import as_dict
from mnsim.spec.records import POLICIES, Policy
from tests.helpers import as_text, network_of

NETWORK = """
name: pairs
input: [12, 12, 4]
layers:
  - {conv: 8, kernel: 3, activation: relu6, name: a}
  - {depthwise: 3, stride: 2, name: b}
  - {conv: 12, kernel: 1, batch_norm: unfolded, name: c}
  - global_avg_pool
  - {dense: 5, name: d}
"""


def in_pairs(plan: Plan) -> Plan:
    """The plan with every two operators in one segment: the second one's homes and buffers begin with the first."""
    segments = []
    for start in range(0, len(plan.segments), 2):
        joined = plan.segments[start : start + 2]
        cuts = tuple(cut for segment in joined for cut in segment.cuts)
        segments.append(Segment(cuts, tuple(buffer for segment in joined for buffer in segment.buffers)))
    homes = tuple(replace(home, first=home.first // 2, last=home.last // 2) for home in plan.homes)
    return replace(plan, segments=tuple(segments), homes=homes)


@pytest.mark.parametrize("policy", POLICIES)
def test_two_operators_in_a_segment_go_through_every_answer(policy: Policy) -> None:
    single = plan_network(network_of(NETWORK), policy=policy)
    pairs = single._replace(plan=in_pairs(single.plan))
    assert [len(segment.cuts) for segment in pairs.plan.segments] == [2, 2, 1]
    found, before = estimate_plan(pairs), estimate_plan(single)
    assert found.total.traffic_bytes == before.total.traffic_bytes
    assert found.total.serial_time_s == before.total.serial_time_s
    both = [max(before.layers[index].sram_bytes, before.layers[index + 1].sram_bytes) for index in (0, 2)]
    assert [found.layers[index].sram_bytes >= most for index, most in zip((0, 2), both, strict=True)] == [True, True]
    played = run(pairs)  # lowers, checks, simulates
    assert played.timeline.end_s <= found.total.serial_time_s * (1 + 1e-12)
    assert simulate(played.program, pairs.hardware) == recur(played.program, rates_of(pairs.hardware))
    graph = pairs.graph
    assert verify(pairs, random_weights(graph), noise_images(graph, 1)[0]).identical


def test_two_operators_in_a_segment_go_through_every_report() -> None:
    single = plan_network(network_of(NETWORK))
    found = estimate_plan(Planned(single.graph, single.hardware, in_pairs(single.plan)))
    record = as_dict(found)
    assert [segment["layers"] for segment in record["plan"]["segments"]] == [["a", "b"], ["c", "pool1"], ["d"]]
    homes = {home["name"]: (home["first_layer"], home["last_layer"]) for home in record["plan"]["homes"]}
    assert homes["a"] == ("a", "b")
    assert homes["b"] == ("a", "pool1")
    json.dumps(record)
    for view in ("bare", "usual", "more", "page"):
        assert "pool1" in as_text(analysis_document(found), 160, view)
    for row in found.layers:
        derivation = derive(found, row.index)
        assert "sram_bytes" in as_text(derivation_document(derivation), 160)
        (step,) = [step for step in derivation.steps if step.figure == "sram_bytes"]
        assert (step.value, eval(step.numbers)) == (row.sram_bytes, row.sram_bytes)


def test_a_segment_says_how_each_of_its_operators_is_cut() -> None:
    found = analyze(network_of(NETWORK))
    assert [len(segment.cuts) for segment in found.plan.segments] == [1] * 5
    assert [cut.operator for cut in found.plan.cuts] == [0, 1, 2, 3, 4]
