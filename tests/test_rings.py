"""What is said of a ring's rows, against the program: the fullest moment that `--layer` names is there, and no fuller one."""

from math import ceil

from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mnsim.analysis.rings import buffer_name, need_of, rows_in_ring
from mnsim.errors import CapacityError
from mnsim.graph.model import Graph
from mnsim.pipeline import plan_network
from mnsim.plan.model import Plan
from mnsim.plan.residency import make_plan
from tests.generators import networks
from tests.helpers import run, seed_with


def check_needs(graph: Graph, plan: Plan) -> int:
    """Rows add up to the ring's, lie within the map, and belong to operators that touch it. How many rings there are."""
    count = 0
    for segment in plan.segments:
        members = {cut.operator for cut in segment.cuts}
        for buffer in segment.buffers:
            need = need_of(graph, plan, segment, buffer)
            if buffer.name != "ring" or segment.kind != "rows":
                assert need is None
                continue
            assert need is not None
            assert buffer.storage is not None
            count += 1
            maps = {index for index, slot in enumerate(graph.slots) if slot.storage == buffer.storage}
            assert need.end - need.first + need.spare_rows + need.ahead_rows == rows_in_ring(graph, segment, buffer)
            assert 0 <= need.first < need.end <= graph.maps[graph.storages[buffer.storage].root].shape[0]
            assert need.spare_rows in (0, 1)
            assert need.ahead_rows >= 0
            for operator in (need.filler, need.reader):
                assert operator.index in members
                assert maps & {*operator.inputs, operator.output}
            assert maps & ({*need.filler.inputs} if need.is_loaded else {need.filler.output})
    return count


@settings(max_examples=150, deadline=None, derandomize=True)
@given(networks(), st.integers(5, 110))
def test_rows_of_any_ring_are_accounted_for(graph: Graph, percent: int) -> None:
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    try:
        plan = make_plan(graph, seed_with(f"internal_memory.capacity={ceil(most * percent / 100)} B"), "overlap")
    except CapacityError:
        reject()
    check_needs(graph, plan)


def test_rows_of_the_rings_of_networks() -> None:
    for network, sram in (("mobilenet_v1", "1 MiB"), ("mobilenet_v1", "128 KiB"), ("squeezenet", "256 KiB")):
        planned = plan_network(network, seed_with(f"internal_memory.capacity={sram}"))
        assert check_needs(planned.graph, planned.plan) > 3


def test_a_ring_by_hand() -> None:
    """mobilenet_v1: dw2 (3 x 3, stride 2, no row of padding on top) makes 4 rows a strip, so 8 of pw1's and one more in the first.

    In the pipeline pw1 makes its third strip, to row 25, while dw2 works on its first: rows 0 to 24 are there at once.
    """
    planned = plan_network("mobilenet_v1")
    segment = planned.plan.segments[0]
    ring = next(buffer for buffer in segment.buffers if buffer_name(planned.graph, segment, buffer) == "ring of pw1")
    need = need_of(planned.graph, planned.plan, segment, ring)
    assert need is not None
    assert (need.first, need.end, need.filler.name, need.reader.name) == (0, 1 + 3 * 8, "pw1", "dw2")
    out = run("analyze", "mobilenet_v1", "--layer", "dw2").out
    assert "ring of pw1 (at 470688), 25 rows: for rows 0 to 24, which pw1 fills and dw2 still uses\n" in out
    assert "runs in segment 0, conv1..dw2 (rows pass, pipelined)" in out
    assert "cut: 14 strips of 4 output rows, 1 block of 64 output channels; what stays: weights\n" in out
    assert "= ceil((rows - rows more in the first) / rows of a strip)\n" in out
    assert "= ceil((56 - 0) / 4)\n" in out
    out = run("analyze", "mobilenet_v1", "--layer", "conv1").out
    assert "loads input into a ring: 14 loads of up to 16 rows (and 5 more in the first)\n" in out
    assert "cut: 14 strips of up to 8 output rows (and 2 more in the first), 1 block" in out
    assert "filters of conv1 (at 200704)" in out
