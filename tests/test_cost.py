"""The analytical model: sums, bounds, and each option of the hardware file by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.analysis.cost import Estimate, estimate
from mnsim.graph.build import build_graph
from mnsim.pipeline import analyze
from mnsim.plan.residency import make_plan
from tests.helpers import NETWORKS, chain, seed_with


def cost_of(*layers: str, settings: tuple[str, ...] = ()) -> Estimate:
    graph, hardware = build_graph(chain(*layers)), seed_with(*settings)
    return estimate(graph, make_plan(graph, hardware), hardware)


@pytest.mark.parametrize("network", NETWORKS)
def test_rows_add_up_to_the_totals(network: str) -> None:
    found = analyze(network, seed_with("internal_memory.capacity=100 KiB"))
    rows, total = found.layers, found.total
    for key in ("macs", "vector_ops", "parameters", "weight_bytes", "traffic_bytes"):
        assert sum(getattr(row, key) for row in rows) == getattr(total, key)
    assert max(row.sram_bytes for row in rows) == total.reserved_sram_bytes <= 100 * 1024
    for key, total_key in (("transfer_time_s", "transfer_time_s"), ("matrix_time_s", "matrix_time_s"), ("time_s", "serial_time_s")):
        assert math.isclose(math.fsum(getattr(row, key) for row in rows), getattr(total, total_key), rel_tol=1e-12)
    assert math.isclose(total.transfer_time_s + total.matrix_time_s + total.vector_time_s, total.serial_time_s, rel_tol=1e-12)


def test_a_convolution_by_hand() -> None:
    """8 x 8 x 4 to 8 x 8 x 4, 1 x 1, relu: 1024 MACs, 256 operations; input 256, filters 16, biases 16, output 256 bytes."""
    (row,) = cost_of("{conv: 4, kernel: 1, activation: relu}").layers
    assert (row.traffic.weight_bytes, row.traffic.input_bytes, row.traffic.output_bytes) == (32, 256, 256)
    assert row.traffic.transfers == 4
    assert row.transfer_time_s == 544 / 1e9
    assert row.matrix_time_s == 2048 / 1e12
    assert row.vector_time_s == 256 / 1e10
    assert row.sram_bytes == 544
    assert row.busiest == "bus"


def test_latency_is_paid_once_a_transfer() -> None:
    (row,) = cost_of("{conv: 4, kernel: 1}", settings=("external_memory.latency=5 ns",)).layers
    assert math.isclose(row.transfer_time_s, 544e-9 + 4 * 5e-9, rel_tol=1e-12)


def test_launch_overhead_is_paid_once_a_command() -> None:
    """1,100 bytes of SRAM cut the layer into strips: 8 rows in, 8 rows out, and 32 bytes of weights do not fit otherwise."""
    options = ("matrix_unit.launch_overhead=1 us", "vector_unit.launch_overhead=10 us", "internal_memory.capacity=200 B")
    found = cost_of("{conv: 4, kernel: 1, activation: relu}", settings=options)
    (row,), tiling = found.layers, found.plan.segments[0].cuts[0].tiling
    tiles = math.ceil(8 / tiling.rows) * math.ceil(4 / tiling.out_channels)
    assert tiles > 1
    assert math.isclose(row.matrix_time_s, 2048e-12 + tiles * 1e-6, rel_tol=1e-12)
    assert math.isclose(row.vector_time_s, 256e-10 + tiles * 10e-6, rel_tol=1e-12)


def test_efficiency_is_by_kind_of_operation() -> None:
    options = ("matrix_unit.efficiency={depthwise: 0.25, pointwise: 0.5}", "vector_unit.efficiency.relu=0.1")
    found = cost_of("{depthwise: 3, activation: relu}", "{conv: 4, kernel: 1}", "{conv: 4, kernel: 3}", settings=options)
    depthwise, pointwise, conv = found.layers
    assert math.isclose(depthwise.matrix_time_s, 2 * depthwise.macs / 0.25e12)
    assert math.isclose(pointwise.matrix_time_s, 2 * pointwise.macs / 0.5e12)
    assert math.isclose(conv.matrix_time_s, 2 * conv.macs / 1e12)
    assert math.isclose(depthwise.vector_time_s, 256 / 0.1e10)
    assert math.isclose(found.total.matrix_time_s, sum(row.matrix_time_s for row in found.layers))


def test_fused_operations_leave_the_vector_unit_but_only_behind_the_matrix_unit() -> None:
    layers = ("{conv: 4, kernel: 1, activation: relu, batch_norm: unfolded}", "{max_pool: 2}", "relu")
    plain, fused = cost_of(*layers), cost_of(*layers, settings=("matrix_unit.fused=[relu, batch_norm]",))
    assert [row.vector_ops for row in plain.layers] == [256 + 512, 256, 64]
    assert [row.vector_ops for row in fused.layers] == [0, 256, 64]
    assert fused.total.bound_time_s <= plain.total.bound_time_s


def test_copies_take_time_but_bound_nothing() -> None:
    lines = ("{conv: 4, kernel: 1, name: a}", "{concat: [a, input]}", "{conv: 4, kernel: 1}")
    found = cost_of(*lines, settings=("vector_unit.throughput=1 kFLOPS",))
    assert found.total.vector_time_s == 256 / 1e3
    assert found.total.bound_by == "bus"


def test_what_bounds() -> None:
    assert cost_of("{conv: 4, kernel: 1}", settings=("matrix_unit.throughput=1 GFLOPS",)).total.bound_by == "matrix"
    assert cost_of("{conv: 4, kernel: 1, activation: relu}", settings=("vector_unit.throughput=1 MFLOPS",)).total.bound_by == "vector"
    assert cost_of("{conv: 4, kernel: 1}").layers[0].busiest == "bus"


def test_a_renamed_input_is_no_output_without_a_copy() -> None:
    found = cost_of("flatten")
    assert (found.total.traffic_bytes, found.total.vector_ops) == (512, 256)
    assert cost_of("flatten", "{dense: 3}").layers[0].vector_ops == 0


_line = st.one_of(
    st.builds("{{conv: {}, kernel: {}, stride: {}, padding: same}}".format, st.integers(1, 12), st.integers(1, 4), st.integers(1, 2)),
    st.builds("{{separable: {}, activation: relu}}".format, st.integers(1, 12)),
    st.sampled_from(["relu", "batch_norm", "softmax", "{max_pool: 2, padding: same}", "global_avg_pool", "flatten", "{dense: 7}"]),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(_line, min_size=1, max_size=6), st.sampled_from([300, 700, 2_000, 100_000]), st.integers(0, 3))
def test_no_serial_time_is_below_the_bound(lines: list[str], sram: int, machine: int) -> None:
    from mnsim.errors import CapacityError

    rates = ("bus.bandwidth=1 MB/s", "matrix_unit.throughput=1 MFLOPS", "vector_unit.throughput=1 MFLOPS", "external_memory.latency=1 us")
    try:
        found = cost_of(*lines, settings=(f"internal_memory.capacity={sram} B", rates[machine]))
    except CapacityError as error:
        assert error.needed_bytes > error.available_bytes
        return
    assert found.total.bound_time_s <= found.total.serial_time_s * (1 + 1e-12)
    assert found.total.reserved_sram_bytes <= sram
