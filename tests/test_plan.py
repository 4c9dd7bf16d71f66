"""Plans: an answer for every network on every SRAM, real addresses, and errors that say how much is missing."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from mnsim.analysis.bounds import compulsory_bytes
from mnsim.analysis.cost import estimate, sram_in_use
from mnsim.errors import CapacityError
from mnsim.graph.build import build_graph
from mnsim.plan.model import Plan, Tiling
from mnsim.plan.residency import external_storages, make_plan
from mnsim.plan.tiling import make_geometry, tile_counts, tile_traffic, working_bytes
from mnsim.spec.load import load_network
from mnsim.spec.records import Policy
from tests.helpers import NETWORKS, chain, seed_with


def plan_of(*layers: str, sram: str, shape: str = "[8, 8, 4]", policy: Policy = "overlap") -> Plan:
    graph = build_graph(chain(*layers, shape=shape))
    return make_plan(graph, seed_with(f"internal_memory.capacity={sram}"), policy)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("sram", ["64 KiB", "200 kB", "1 MiB", "16 MiB"])
def test_every_variant_has_a_sound_plan(network: str, sram: str) -> None:
    """Everything that is alive together lies inside the SRAM without overlap, and the totals keep their order."""
    hardware = seed_with(f"internal_memory.capacity={sram}")
    loaded = load_network(network)
    for alpha, rho, dtype in ((1, 1, "int8"), (0.25, Fraction(4, 7), "float32"), (0.75, Fraction(6, 7), "float16"), (1, 1, "float32")):
        graph = build_graph(loaded, alpha, rho, dtype)  # type: ignore[arg-type]
        plan = make_plan(graph, hardware)
        for index in range(len(plan.segments)):
            parts = sorted((address, size) for _, address, size in sram_in_use(graph, plan)[index])
            assert all(start + size <= following for (start, size), (following, _) in pairwise(parts))
            assert not parts or parts[-1][0] + parts[-1][1] <= hardware.sram_capacity_bytes
        found = estimate(graph, plan, hardware)
        assert found.total.traffic_bytes >= compulsory_bytes(graph)
        assert found.total.bound_time_s <= found.total.serial_time_s


def test_enough_memory_moves_only_what_must_be_moved() -> None:
    for network in NETWORKS:
        graph = build_graph(load_network(network), dtype="float32")
        hardware = seed_with("internal_memory.capacity=64 MiB")
        assert estimate(graph, make_plan(graph, hardware), hardware).total.traffic_bytes == compulsory_bytes(graph)


def test_more_memory_never_moves_more() -> None:
    for network, sizes in (("mobilenet_cifar", range(32, 161, 8)), ("mobilenet_v1", (64, 96, 112, 128, 192, 208, 256, 512, 1024, 2048))):
        graph = build_graph(load_network(network))
        moved = []
        for kib in sizes:
            hardware = seed_with(f"internal_memory.capacity={kib} KiB")
            moved.append(estimate(graph, make_plan(graph, hardware), hardware).total.traffic_bytes)
        assert moved == sorted(moved, reverse=True)


def test_the_plan_does_not_depend_on_rates() -> None:
    graph = build_graph(load_network("mobilenet_v1"))
    slow = seed_with("bus.bandwidth=1 MB/s", "matrix_unit.throughput=1 GFLOPS", "vector_unit.launch_overhead=1 us")
    assert make_plan(graph, slow) == make_plan(graph, seed_with())


def test_the_smallest_tile_decides() -> None:
    """One output row and channel, one input channel at a time, every map external: 9 + 4 + 3*8 + 8 + 4*8 bytes."""
    needed = 9 + 4 + 3 * 8 + 8 + 4 * 8
    assert plan_of("{conv: 16, kernel: 3, name: c}", sram=f"{needed} B").segments[0].cuts[0].tiling == Tiling(1, 1, 1, "output")
    with pytest.raises(CapacityError) as caught:
        plan_of("{conv: 16, kernel: 3, name: c}", sram=f"{needed - 1} B")
    error = caught.value
    assert (error.memory, error.layer, error.needed_bytes, error.available_bytes) == ("internal memory", "c", needed, needed - 1)
    assert "layer 'c'" in str(error)
    assert str(needed) in error.remedy


def test_a_softmax_cannot_be_cut_by_channels() -> None:
    with pytest.raises(CapacityError) as caught:
        plan_of("{dense: 4000}", "{softmax: , name: s}", sram="3000 B", shape="[1, 1, 8]")
    assert (caught.value.layer, caught.value.needed_bytes) == ("s", 4000)


def test_external_memory_can_be_too_small() -> None:
    graph = build_graph(load_network("mobilenet_v1"))
    needed = 4_256_864 + 150_528 + 1_000 + 401_408  # weights, input, output, dw1's spilled output
    assert make_plan(graph, seed_with(f"external_memory.capacity={needed} B"), "layerwise")
    with pytest.raises(CapacityError) as caught:
        make_plan(graph, seed_with(f"external_memory.capacity={needed - 1} B"), "layerwise")
    assert (caught.value.memory, caught.value.needed_bytes) == ("external memory", needed)


def test_homes_say_where_and_how_long() -> None:
    layers = ("{conv: 4, kernel: 1, name: a}", "{conv: 8, kernel: 1, name: b}", "{conv: 4, kernel: 1, name: c}", "{add: [a, c], name: d}")
    plan = plan_of(*layers, sram="1 MiB", policy="serial")
    lives = [(home.first, home.last) for home in plan.homes]
    assert lives == [(0, 0), (0, 3), (1, 2), (2, 3), (3, 3)]
    assert all(home.address is not None for home in plan.homes)


def test_overlap_streams_what_crosses_the_bus_once_in_any_case() -> None:
    """The input and the output move the same bytes strip by strip, and leave the SRAM to prefetch."""
    layers = ("{conv: 4, kernel: 1}", "{conv: 8, kernel: 1}", "{conv: 4, kernel: 1}")
    overlap, serial = (plan_of(*layers, sram="1 MiB", policy=policy) for policy in ("layerwise", "serial"))
    assert [home.address is None for home in serial.homes] == [False] * 4
    assert [home.address is None for home in overlap.homes] == [True, False, False, True]


def test_a_spilled_map_that_turns_out_to_fit_is_brought_back() -> None:
    """The skip `a` is the cheapest at the crowded layer, but the map beside it must go anyway: then `a` can stay."""
    layers = (
        "{conv: 8, kernel: 1, name: a}",
        "{conv: 64, kernel: 1, name: b}",
        "{conv: 64, kernel: 1, name: c}",
        "{conv: 8, kernel: 1, name: d}",
        "{add: [a, d]}",
    )
    graph = build_graph(chain(*layers, shape="[16, 16, 8]"))
    plan = make_plan(graph, seed_with("internal_memory.capacity=26 KiB"))
    outside = {graph.maps[index].name for index, home in enumerate(plan.homes) if home.address is None}
    assert "a" not in outside
    assert outside & {"b", "c"}


def test_every_buffer_has_its_closed_form() -> None:
    """A depthwise 3 x 3 at stride 2 from and to external memory, cut into strips of 2 rows and blocks of 3 channels, by hand."""
    graph = build_graph(chain("{depthwise: 3, stride: 2, padding: same}", shape="[9, 10, 6]"))
    geometry = make_geometry(graph, graph.operators[0], {0, 1})
    tiling = Tiling(2, 3, 1, "weights")
    assert tile_counts(geometry, tiling) == (3, 2, 1)
    # output rows 0-1 read rows 0-3 (padding on top), 2-3 read 3-7, 4 reads 7-8: at the most 5 rows
    assert dict(working_bytes(geometry, tiling)) == {"filters": 27, "biases": 12, "input strip": 5 * 10 * 3, "output strip": 2 * 5 * 3}
    traffic = tile_traffic(geometry, tiling)
    assert (traffic.weight_bytes, traffic.input_bytes, traffic.output_bytes) == (54 + 24, 9 * 10 * 6, 5 * 5 * 6)
    assert traffic.transfers == 2 * 2 + 2 * 3 + 2 * 3


def test_weights_that_do_not_stay_are_read_again() -> None:
    graph = build_graph(chain("{conv: 8, kernel: 3, padding: same}", shape="[8, 8, 4]"))
    geometry = make_geometry(graph, graph.operators[0], {0, 1})
    weights, halo = 8 * 4 * 9 + 32, 2  # 3 x 3: two halo rows between two strips
    stays = {
        "weights": (weights, 2 * 8 * 8 * 4),
        "input": (4 * weights, 8 * 8 * 4),
        "output": (4 * weights, 8 * 8 * 4),
    }
    for operand, (weight_bytes, input_bytes) in stays.items():
        traffic = tile_traffic(geometry, Tiling(2, 4, 4, operand))  # type: ignore[arg-type]
        assert (traffic.weight_bytes, traffic.input_bytes) == (weight_bytes, input_bytes)
    split = tile_traffic(geometry, Tiling(2, 4, 2, "output"))
    assert split.input_bytes == 2 * (8 + 3 * halo) * 8 * 4


def test_a_copying_concat_moves_what_it_copies() -> None:
    """Of a (4 channels, two concats want it), b (2, its own slice) and the network's input (3) the first and last are copied."""
    lines = ("{conv: 4, kernel: 1, name: a}", "{conv: 2, kernel: 1, name: b}", "{concat: [a, b]}", "{concat: [a, b, input], name: c}")
    graph = build_graph(chain(*lines, shape="[6, 5, 3]"))
    operator = graph.operators[3]
    assert operator.copied == (1, 2, 0)
    geometry = make_geometry(graph, operator, {graph.slots[index].storage for index in (0, 1, 4)})
    tiling = Tiling(4, 9, geometry.in_channels, "weights")
    assert dict(working_bytes(geometry, tiling)) == {"input strip": 4 * 5 * 9, "output strip": 4 * 5 * 9}
    traffic = tile_traffic(geometry, tiling)
    assert (traffic.input_bytes, traffic.output_bytes, traffic.transfers) == (6 * 5 * 9, 6 * 5 * 9, 2 * 3 + 2 * 3)


def test_outputs_have_bytes_of_their_own() -> None:
    graph = build_graph(chain("{conv: 4, kernel: 1, name: a}", "{flatten: , name: b}", "{flatten: , input: a, name: c}"))
    assert [operator.copied for operator in graph.operators] == [(), (), (1,)]


def test_thousands_of_layers_and_huge_maps_are_planned_at_once() -> None:
    """Counted, not timed: the search asks for few tilings however large a map is."""
    from mnsim.plan import tiles

    graph = build_graph(chain("{conv: 1000000, kernel: 999}", "{dense: 1000000}", shape="[1000000, 1000000, 1000000]"))
    asked = 0
    original = tiles.working_size

    def counting(*arguments: Any) -> int:
        nonlocal asked
        asked += 1
        return original(*arguments)

    tiles.working_size = counting
    try:
        make_plan(graph, seed_with("internal_memory.capacity=4 PB"))
    finally:
        tiles.working_size = original
    assert asked < 60_000


def test_external_storages_are_those_without_an_address() -> None:
    graph = build_graph(load_network("mobilenet_v1"))
    plan = make_plan(graph, seed_with(), "serial")
    assert {graph.storages[index].root for index in external_storages(graph, plan)} == {2}
