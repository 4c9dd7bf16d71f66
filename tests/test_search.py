"""The planner against brute force: tilings of small operators, homes of small networks."""

from itertools import chain as joined
from itertools import combinations
from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.analysis.cost import estimate
from mnsim.errors import CapacityError, ShapeError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.plan.residency import make_plan
from mnsim.plan.tiles import best_tiling, is_legal, pipelined_tiling, smallest_bytes, working_size
from mnsim.plan.tiling import make_geometry, tile_traffic
from mnsim.spec.load import load_network
from mnsim.spec.records import Network
from tests.helpers import NETWORKS, layer, seed_with
from tests.test_tiling_oracle import Case, cases, legal_tilings


@settings(max_examples=200, deadline=None, derandomize=True)
@given(cases(), st.integers(0, 100))
def test_no_tiling_that_fits_moves_less(case: Case, percent: int) -> None:
    """Of all strips, blocks, split sums and orders of loops."""
    geometry = make_geometry(*case.parts)
    sizes = {tiling: working_size(geometry, tiling) for tiling in legal_tilings(*case.parts[:2]) if is_legal(geometry, tiling)}
    room = smallest_bytes(geometry) + (max(sizes.values()) - smallest_bytes(geometry)) * percent // 100
    found = best_tiling(geometry, room)
    assert found in sizes
    assert sizes[found] <= room
    assert tile_traffic(geometry, found).total_bytes == min(
        tile_traffic(geometry, each).total_bytes for each in sizes if sizes[each] <= room
    )
    assert min(sizes.values()) == smallest_bytes(geometry)
    assert best_tiling(geometry, smallest_bytes(geometry) - 1) is None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(cases(most_rows=30), st.integers(1, 4000))
def test_smaller_pieces_move_the_same_bytes_in_less_space(case: Case, capacity: int) -> None:
    geometry = make_geometry(*case.parts)
    tiling = best_tiling(geometry, capacity)
    if tiling is None:
        return
    piece = pipelined_tiling(geometry, tiling, capacity)
    assert tile_traffic(geometry, piece).total_bytes == tile_traffic(geometry, tiling).total_bytes
    assert working_size(geometry, piece) <= capacity


def least_bytes(graph: Graph, capacity: int) -> float:
    """The fewest bytes that any choice of homes moves, if addresses were no question: every subset of the storages is tried."""
    best = inf
    numbers = range(len(graph.storages))
    for external in joined.from_iterable(combinations(numbers, size) for size in range(len(graph.storages) + 1)):
        best = min(best, sum(step_bytes(graph, capacity, frozenset(external), step) for step in range(len(graph.operators))))
    return best


def step_bytes(graph: Graph, capacity: int, external: frozenset[int], step: int) -> float:
    operator = graph.operators[step]
    geometry = make_geometry(graph, operator, external)
    alive = [each for each in graph.storages if each.first <= step <= each.last and each.index not in external]
    tiling = best_tiling(geometry, capacity - sum(each.size_bytes for each in alive))
    if tiling is None:
        return inf
    ends = [index for index in (0, *graph.outputs) if graph.slots[index].storage not in external]
    readers = [each.index for each in graph.operators if 0 in each.inputs]
    crossing = [index for index in ends if index == operator.output or (index == 0 and min(readers) == step)]
    aliases = [index for index in crossing if index != 0 or graph.storages[graph.slots[0].storage].first == step]
    return tile_traffic(geometry, tiling).total_bytes + sum(graph.maps[index].size_bytes for index in aliases)


def small_network(random: Random) -> Graph | None:
    """Up to five layers, most of them convolutions, each reading one or two of the maps before it."""
    shape, names, layers = (random.randint(2, 6), random.randint(1, 3), random.randint(1, 4)), ["input"], []
    for number in range(random.randint(2, 5)):
        kind = random.choice(("conv", "conv", "depthwise", "max_pool", "relu", "add", "concat"))
        inputs = [random.choice(names[-2:]) for _ in range(2 if kind in ("add", "concat") else 1)]
        fields = {"channels": random.randint(1, 6)} if kind == "conv" else {}
        if kind in ("conv", "depthwise", "max_pool"):
            fields |= {"kernel": (1, 1) if random.random() < 0.4 else (3, 3), "stride": (1, 1), "padding": "same"}
        layers.append(layer(f"l{number}", kind, *inputs, **fields))
        names.append(f"l{number}")
    try:
        return build_graph(Network("test", "", "", shape, 1, tuple(layers)))
    except ShapeError:
        return None


def test_no_choice_of_homes_moves_less() -> None:
    """Against all subsets of the storages, by the sum of bytes alone: never below it, and equal but where addresses do not fit."""
    random, tried, equal = Random(4), 0, 0
    while tried < 300:
        graph = small_network(random)
        if graph is None:
            continue
        most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
        hardware = seed_with(f"internal_memory.capacity={random.randint(most // 5 + 1, most)} B")
        for policy in ("serial", "layerwise"):
            try:
                moved = estimate(graph, make_plan(graph, hardware, policy), hardware).total.traffic_bytes
            except CapacityError:
                assert least_bytes(graph, hardware.sram_capacity_bytes) == inf
                continue
            least = least_bytes(graph, hardware.sram_capacity_bytes)
            assert moved >= least
            tried, equal = tried + 1, equal + (moved == least)
    assert equal >= 0.97 * tried, f"{equal} of {tried}"


@pytest.mark.parametrize("network", NETWORKS)
def test_more_memory_never_moves_more(network: str) -> None:
    graph = build_graph(load_network(network), 0.5, 0.5)
    moved = []
    for kib in (12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024):
        hardware = seed_with(f"internal_memory.capacity={kib} KiB")
        moved.append(estimate(graph, make_plan(graph, hardware), hardware).total.traffic_bytes)
    assert moved == sorted(moved, reverse=True)
