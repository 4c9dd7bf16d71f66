"""Conditions, order and the Pareto front, against plain loops."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.explore import front as module
from mnsim.explore.front import front
from mnsim.explore.points import points_of
from mnsim.explore.rows import Rows, records
from mnsim.explore.select import Selection, read_condition, select
from mnsim.explore.sweep import Means, columns_for, run_sweep
from mnsim.spec.sweep import Asked, read_sweep
from tests.helpers import run

GRID = ("mobilenet_v1", "squeezenet", "--alpha", "0.5,1", "--sram", "1KiB,256KiB,1MiB", "--set", "bus.bandwidth=1 GB/s,9 GB/s",
        "--fidelity", "analytical")  # fmt: skip


def rows_of(*arguments: str) -> list[dict[str, Any]]:
    ran = run("sweep", *GRID, *arguments, "--format", "json")
    assert ran.code == 1, ran.err  # 1 KiB is too little for two of them
    found: list[dict[str, Any]] = json.loads(ran.out)["rows"]
    return found


@pytest.fixture(scope="module")
def ran() -> Rows:
    asked = Asked(GRID[:2], alpha="0.5,1", sram="1KiB,256KiB,1MiB", settings=("bus.bandwidth=1 GB/s,9 GB/s",))
    points = points_of(read_sweep(asked))
    return run_sweep(points, columns_for(points, "analytical"), Means("analytical"))


@pytest.fixture(scope="module")
def everything() -> list[dict[str, Any]]:
    return rows_of()


def beats(one: list[float], other: list[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


COSTS = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, 2.5, float("nan")]), min_size=width, max_size=width), min_size=1, max_size=40
    )
)


@settings(max_examples=200, derandomize=True)
@given(COSTS, st.sampled_from([1, 30, 1 << 14]))
def test_the_front_is_what_nothing_beats(costs: list[list[float]], small: int) -> None:
    whole = [row for row in costs if row == row and not any(value != value for value in row)]
    expected = [not any(value != value for value in row) and not any(beats(other, row) for other in whole) for row in costs]
    old, module.SMALL = module.SMALL, small
    try:
        assert front(np.array(costs)).tolist() == expected
    finally:
        module.SMALL = old


def test_a_large_front_takes_no_time_to_speak_of() -> None:
    random = np.random.default_rng(0)
    costs = random.random((20_000, 3))
    marks = front(costs)
    best = costs[marks]
    assert not any((np.all(best <= row, axis=1) & np.any(best < row, axis=1)).any() for row in best)
    beaten = costs[~marks][:500]
    assert all((np.all(best <= row, axis=1) & np.any(best < row, axis=1)).any() for row in beaten)


@pytest.mark.parametrize(
    ("condition", "test"),
    [
        ("serial_time_s < 4 ms", lambda row: row["serial_time_s"] is not None and row["serial_time_s"] < 4e-3),
        ("serial_time_s<0.004", lambda row: row["serial_time_s"] is not None and row["serial_time_s"] < 4e-3),
        ("sram_capacity_bytes >= 256KiB", lambda row: row["sram_capacity_bytes"] >= 2**18),
        ("internal_memory.capacity = 1 MiB", lambda row: row["sram_capacity_bytes"] == 2**20),
        ("bus.bandwidth > 2 GB/s", lambda row: row["bus_bandwidth_bytes_per_s"] > 2e9),
        ("bus_bandwidth_bytes_per_s != 1e9", lambda row: row["bus_bandwidth_bytes_per_s"] != 1e9),
        ("network = squeezenet", lambda row: row["network"] == "squeezenet"),
        ("network != squeezenet", lambda row: row["network"] != "squeezenet"),
        ("alpha == 1/2", lambda row: row["alpha"] == 0.5),
        ("bound_by != bus", lambda row: row["bound_by"] != "bus"),
        ("bound_by = none", lambda row: row["bound_by"] is None),
        ("busiest = bus", lambda row: row["busiest"] == "bus"),
        ("error = C001", lambda row: row["error"] is not None and row["error"].startswith("C001")),
        ("error != none", lambda row: row["error"] is not None),
        ("published_accuracy != none", lambda row: row["published_accuracy"] is not None),
        ("published_accuracy = none", lambda row: row["published_accuracy"] is None),
        ("macs <= 500000000", lambda row: row["macs"] is not None and row["macs"] <= 500_000_000),
    ],
)
def test_conditions(condition: str, test: Any, everything: list[dict[str, Any]], ran: Rows) -> None:
    expected = [row for row in everything if test(row)]
    assert 0 < len(expected) < len(everything)
    assert records(ran, select(ran, Selection((read_condition(condition, ran.columns),))).numbers) == expected


def test_all_conditions_must_hold(everything: list[dict[str, Any]]) -> None:
    found = rows_of("--where", "alpha = 1", "--where", "bound_by = bus")
    assert found == [row for row in everything if row["alpha"] == 1 and row["bound_by"] == "bus"]


def test_order_and_the_first_few(everything: list[dict[str, Any]]) -> None:
    there = [row for row in everything if row["error"] is None]
    missing = [row for row in everything if row["error"] is not None]
    assert rows_of("--sort", "traffic_bytes") == sorted(there, key=lambda row: row["traffic_bytes"]) + missing
    assert rows_of("--sort", "max:traffic_bytes") == sorted(there, key=lambda row: -row["traffic_bytes"]) + missing
    assert rows_of("--top", "3") == sorted(there, key=lambda row: row["serial_time_s"])[:3]
    assert rows_of("--top", "2", "--sort", "published_accuracy") == [row for row in everything if row["published_accuracy"] == 0.706][:2]
    assert rows_of("--top", "1000") == sorted(there, key=lambda row: row["serial_time_s"]) + missing


def test_the_front_is_that_of_the_rows_that_are_kept(everything: list[dict[str, Any]]) -> None:
    found = rows_of(
        "--pareto", "serial_time_s,sram_capacity_bytes", "--where", "network = mobilenet_v1", "--where", "bus.bandwidth = 1 GB/s"
    )
    kept = [row for row in everything if row["network"] == "mobilenet_v1" and row["bus_bandwidth_bytes_per_s"] == 1e9]
    costs = [[row["serial_time_s"], row["sram_capacity_bytes"]] for row in kept if row["error"] is None]
    expected = [
        row["error"] is None and not any(beats(other, [row["serial_time_s"], row["sram_capacity_bytes"]]) for other in costs)
        for row in kept
    ]
    assert [row.pop("pareto") for row in found] == expected
    assert found == kept
    assert 0 < sum(expected) < len(expected)
    alone = rows_of("--pareto", "serial_time_s,internal_memory.capacity", "--where", "pareto = true", "--where", "network = mobilenet_v1")
    assert all(row["pareto"] for row in alone)


def test_more_accuracy_is_better() -> None:
    fast = ["--fidelity", "analytical", "--format", "json"]
    variants = ["mobilenet_v1", "--alpha", "0.25,0.5,0.75,1", "--rho", "4/7,5/7,6/7,1"]
    ran = run("sweep", *variants, "--pareto", "serial_time_s,published_accuracy", *fast)
    marked = [(row["alpha"], round(row["rho"] * 224)) for row in json.loads(ran.out)["rows"] if row["pareto"]]
    assert marked == [(0.25, 224), (0.5, 224), (0.75, 224), (1.0, 192), (1.0, 224)]
    least = run(
        "sweep", "mobilenet_v1", "--alpha", "0.25,1", "--pareto", "min:published_accuracy", "--fidelity", "analytical", "--format", "json"
    )
    assert [row["pareto"] for row in json.loads(least.out)["rows"]] == [True, False]
