"""Two clocks that must agree, what they say beside the bounds, and what a user sees of it."""

import json
from dataclasses import replace
from math import ceil, isclose

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.analysis.bounds import capacity_bound_time_s
from mnsim.analysis.cost import estimate
from mnsim.analysis.occupancy import occupancy
from mnsim.clocks.rates import make_rates, rates_of
from mnsim.clocks.recurrence import recur, simulated_times_s
from mnsim.clocks.simulate import simulate
from mnsim.clocks.timeline import Timeline, busy_times_s, command_waits_s, layer_schedules
from mnsim.errors import CapacityError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.lowering.lower import lower
from mnsim.operators.quantities import RATES
from mnsim.pipeline import plan_network, run
from mnsim.plan.residency import make_plan
from mnsim.program.model import Kernel, Load, Matrix, Program, Region, Store, Vector
from mnsim.spec.load import load_hardware
from mnsim.spec.records import POLICIES, Engine, Hardware, Policy
from tests.generators import networks
from tests.helpers import NETWORKS, chain, seed_with
from tests.programs import played

SEED = load_hardware("seed")
rates = st.floats(1e3, 1e13)
overheads = st.sampled_from([0.0, 1e-9, 3e-7, 1e-5])


@st.composite
def machines(draw: st.DrawFn, graph: Graph) -> Hardware:
    """Any rates, latency, overheads, efficiencies and fused operations; SRAM from too little to more than enough."""
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    matrix = Engine(draw(rates), draw(overheads), (("conv", draw(st.floats(0.1, 1))),))
    vector = Engine(draw(rates), draw(overheads), (("relu", draw(st.floats(0.1, 1))),))
    return replace(
        SEED,
        external_latency_s=draw(overheads),
        bus_bandwidth_bytes_per_s=draw(rates),
        sram_capacity_bytes=ceil(most * draw(st.integers(1, 120)) / 100),
        matrix=matrix,
        vector=vector,
        fused=draw(st.sampled_from([(), ("relu",), ("batch_norm", "relu6")])),
    )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_bound_simulated_serial_and_two_clocks(data: st.DataObject) -> None:
    """On generated networks and machines: both clocks to the last bit, and bound <= simulated <= serial."""
    graph = data.draw(networks())
    hardware, policy = data.draw(machines(graph)), data.draw(st.sampled_from(POLICIES))
    try:
        plan = make_plan(graph, hardware, policy)
    except CapacityError:
        return
    program, total = lower(graph, plan), estimate(graph, plan, hardware).total
    timeline = simulate(program, hardware)
    assert timeline == recur(program, rates_of(hardware))
    assert total.bound_time_s <= total.capacity_bound_time_s <= timeline.end_s * (1 + 1e-12) + 1e-18
    assert timeline.end_s <= total.serial_time_s * (1 + 1e-12)
    if policy == "serial":
        assert isclose(timeline.end_s, total.serial_time_s, rel_tol=1e-12)
    busy = busy_times_s(program.commands, rates_of(hardware))
    for engine, seconds in (("bus", total.transfer_time_s), ("matrix", total.matrix_time_s), ("vector", total.vector_time_s)):
        assert isclose(busy[engine], seconds, rel_tol=1e-9, abs_tol=1e-15)  # type: ignore[index]
    assert occupancy(program, timeline).peak_bytes <= plan.sram_capacity_bytes


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("network", NETWORKS)
def test_two_clocks_and_bounds_on_bundled_networks(network: str, policy: Policy) -> None:
    for alpha, kib, settings_ in ((1, 1024, ()), (0.25, 64, ("external_memory.latency=100 ns", "matrix_unit.launch_overhead=1 us"))):
        hardware = seed_with(f"internal_memory.capacity={kib} KiB", *settings_)
        program, timeline, found, *_ = run(plan_network(network, hardware, policy, alpha))
        assert timeline == recur(program, rates_of(hardware))
        total = found.total
        assert total.capacity_bound_time_s <= timeline.end_s * (1 + 1e-12)
        assert timeline.end_s <= total.serial_time_s * (1 + 1e-12)
        moved = sum(command.moved_bytes for command in program.commands if isinstance(command, Load | Store))
        assert moved == total.traffic_bytes


@pytest.mark.parametrize(("network", "most"), [("mobilenet_cifar", 1.03), ("mobilenet_v1", 1.25)])
def test_how_near_the_bound(network: str, most: float) -> None:
    _, timeline, found, *_ = played(network)
    assert timeline.end_s <= most * found.total.capacity_bound_time_s


def test_many_settings_at_once_are_each_setting_alone() -> None:
    program = played("mobilenet_cifar").program
    random = np.random.default_rng(7)
    low = {"B/s": 8, "s": -9, "FLOPS": 9}
    columns = {rate.column: 10 ** random.uniform(low[rate.unit], low[rate.unit] + 3, 5000) for rate in RATES}
    columns["external_latency_s"][::2] = 0
    shares = {"matrix_efficiency_conv": 0.5, "vector_efficiency_relu": 0.25}
    many = simulated_times_s(program, make_rates(columns | shares))
    for place in (0, 1, 2047, 2048, 4999):
        alone = make_rates({name: float(column[place]) for name, column in columns.items()} | shares)
        assert recur(program, alone).end_s == many[place]


def region(memory: str, start: int, size: int, data: int) -> Region:
    return Region(memory, start, size, size, 1, data)  # type: ignore[arg-type]


def two_tiles() -> Program:
    """Two tiles through one buffer of 10 bytes: load, matrix, load again (room), matrix, vector, store."""
    kernel = Kernel("conv", "int8", ("input",), (1, 1, 10), (1, 1, 5))
    relu = Kernel("relu", "int8", ("input",), (1, 1, 5), (1, 1, 5))
    buffer, first, second = region("sram", 0, 10, 1), region("sram", 10, 5, 3), region("sram", 15, 5, 4)
    return Program(
        "toy",
        "overlap",
        {"sram": 20, "external": 25},
        (
            Load(0, "a", (region("external", 0, 10, 1),), (buffer,)),
            Matrix(1, "a", (buffer,), (first,), kernel, 10, (0,)),
            Load(2, "b", (region("external", 10, 10, 2),), (replace(buffer, data=2),), (1,), (1,)),
            Matrix(3, "b", (replace(buffer, data=2),), (second,), kernel, 10, (2,)),
            Vector(4, "b", (first,), (replace(first, data=5),), relu, 5, (1,)),
            Store(5, "b", (replace(first, data=5),), (region("external", 20, 5, 5),), (4,)),
        ),
        (),
        (),
        (),
    )


TOY = replace(SEED, bus_bandwidth_bytes_per_s=1.0, matrix=Engine(1.0), vector=Engine(1.0), sram_capacity_bytes=20)


def test_a_run_by_hand() -> None:
    """Loads take 10 s, matrix tiles 20, the vector 5, the store 5."""
    timeline = simulate(two_tiles(), TOY)
    assert timeline.starts_s == (0, 10, 30, 40, 30, 40)
    assert timeline.ends_s == (10, 30, 40, 60, 35, 45)
    assert busy_times_s(two_tiles().commands, rates_of(TOY)) == {"bus": 25, "matrix": 40, "vector": 5}
    waits = command_waits_s(two_tiles(), timeline)
    assert waits == [{}, {"data": 10}, {"room": 30}, {"data": 30}, {"data": 30}, {"data": 5, "bus": 5}]
    layer = layer_schedules(two_tiles(), timeline)["b"]
    assert (layer.start_s, layer.end_s) == (30, 60)
    assert layer.wait_s == {"bus": 5, "matrix": 0, "vector": 0, "room": 30, "data": 65}


def test_occupancy_by_hand() -> None:
    """The buffer from 0 to 30 and 30 to 60, the first result from 10 to 45 (vector in place, then stored), the second while written."""
    found = occupancy(two_tiles(), simulate(two_tiles(), TOY))
    assert found.times_s == (0, 10, 40, 45, 60)
    assert found.in_use_bytes == (10, 15, 20, 15, 0)
    assert found.peak_bytes == 20


def slow_occupancy(program: Program, timeline: Timeline, moment: float) -> int:
    """Bytes in use at a moment, one by one: written (or being written) by then, and read, or still being written, later."""
    bytes_of = lambda regions: {  # noqa: E731
        each.start + run_ * each.stride_bytes + byte
        for each in regions
        if each.memory == "sram"
        for run_ in range(each.runs)
        for byte in range(each.run_bytes)
    }
    events: dict[int, list[tuple[float, int]]] = {}
    for command in program.commands:
        reads, writes = bytes_of(command.reads), bytes_of(command.writes)
        for byte in writes - reads:
            events.setdefault(byte, []).append((timeline.starts_s[command.id], 1))
            events[byte].append((timeline.ends_s[command.id], 0))
        for byte in reads:
            events.setdefault(byte, []).append((timeline.ends_s[command.id], 0))
    used = 0
    for times in events.values():
        begun = [time for time, kind in times if kind == 1 and time <= moment]
        value_end = min([time for time, kind in times if kind == 1 and time > moment], default=float("inf"))
        lasts = [time for time, kind in times if kind == 0 and begun and max(begun) < time <= value_end]
        used += bool(begun) and max(lasts) > moment
    return used


@settings(max_examples=60, deadline=None, derandomize=True)
@given(networks(), st.integers(5, 100), st.sampled_from(POLICIES))
def test_occupancy_is_what_a_count_of_single_bytes_says(graph: Graph, percent: int, policy: Policy) -> None:
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    hardware = replace(SEED, sram_capacity_bytes=ceil(most * percent / 100))
    try:
        program = lower(graph, make_plan(graph, hardware, policy))
    except CapacityError:
        return
    timeline = simulate(program, hardware)
    found = occupancy(program, timeline)
    for place in range(0, len(found.times_s), 1 + len(found.times_s) // 12):
        assert found.in_use_bytes[place] == slow_occupancy(program, timeline, found.times_s[place])
    assert found.in_use_bytes[-1:] in ((), (0,))


def test_rates_take_effect() -> None:
    graph = build_graph(chain("{conv: 4, kernel: 1, activation: relu}", "{depthwise: 3}"))
    base = run(plan_network(chain("{conv: 4, kernel: 1, activation: relu}", "{depthwise: 3}"))).timeline.end_s
    for setting in ("external_memory.latency=1 us", "matrix_unit.launch_overhead=1 us", "matrix_unit.efficiency.depthwise=0.001"):
        slower = run(plan_network(chain("{conv: 4, kernel: 1, activation: relu}", "{depthwise: 3}"), seed_with(setting)))
        assert slower.timeline.end_s > base
    fused = seed_with("matrix_unit.fused=[relu]")
    assert not [each for each in lower(graph, make_plan(graph, fused)).commands if isinstance(each, Vector)]


def test_the_capacity_bound_stands_beside_the_time() -> None:
    planned = plan_network("mobilenet_v1", seed_with("internal_memory.capacity=64 KiB"))
    found = capacity_bound_time_s(planned.graph, planned.plan, planned.hardware, rates_of(planned.hardware))
    assert found == run(planned).estimate.total.capacity_bound_time_s


def test_json_is_json() -> None:
    from mnsim.report.simulation import simulation_record

    record = simulation_record(played("mobilenet_cifar"))
    assert json.loads(json.dumps(record)) == record
