"""`mnsim sweep`: against single runs of every other command, against itself in every format, and as its users see it."""

import csv
import io
import json
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest

from mnsim.explore.evaluate import COUNTS, TIMES, evaluate
from mnsim.explore.points import count_groups, points_of
from mnsim.explore.sweep import Means, columns_for, run_sweep
from mnsim.pipeline import Simulated, choose_plan, plan_network
from mnsim.pipeline import run as run_plan
from mnsim.spec.records import Policy
from mnsim.spec.sweep import Asked, read_sweep
from tests.helpers import ROOT, run, seed_with

FAST = ("mobilenet_cifar", "--alpha", "0.25,0.5")
ENERGIES = {
    "external_memory.energy": ["20 pJ/B"],
    "internal_memory.energy": ["1 pJ/B"],
    "matrix_unit.energy": ["0.5 pJ/FLOP"],
    "vector_unit.energy": ["1 pJ/OP", "2 pJ/OP"],
}


def rows_of(*arguments: str, code: int = 0) -> list[dict[str, Any]]:
    ran = run("sweep", *arguments, "--format", "json")
    assert ran.code == code, ran.err
    found: list[dict[str, Any]] = json.loads(ran.out)["rows"]
    return found


def single(command: str, point: list[str], settings: list[str]) -> dict[str, Any]:
    ran = run(command, *point, *(part for setting in settings for part in ("--set", setting)), "--format", "json")
    assert ran.code == 0, ran.err
    record: dict[str, Any] = json.loads(ran.out)
    return record


def simulated_in_process(network: str, options: dict[str, str], settings: list[str]) -> Simulated:
    """A simulation by itself, for figures that `simulate` does not print."""
    numbers = {key.removeprefix("--"): Fraction(text) for key, text in options.items() if key in ("--alpha", "--rho")}
    names: dict[str, Any] = {key.removeprefix("--"): text for key, text in options.items() if key in ("--policy", "--dtype")}
    return run_plan(choose_plan(plan_network(network, seed_with(*settings), **numbers, **names)))


CASES: list[tuple[list[str], dict[str, list[str]], dict[str, list[str]]]] = [
    (["mobilenet_cifar"], {"--alpha": ["0.25", "1"], "--rho": ["4/7", "1"]}, {"bus.bandwidth": ["0.7 GB/s", "16 GB/s"]}),
    (["squeezenet"], {"--policy": ["serial", "overlap"]}, {"matrix_unit.fused": ["[]", "[relu]"], "vector_unit.throughput": ["3 GFLOPS"]}),
    (
        ["mobilenet_cifar"],
        {"--alpha": ["0.5"], "--dtype": ["int8", "float32"]},
        {"internal_memory.capacity": ["100 KiB", "1 MiB"], "external_memory.latency": ["90 ns"]},
    ),
    (
        ["mobilenet_cifar_singh"],
        {"--alpha": ["0.5"]},
        {
            "matrix_unit.efficiency.depthwise": ["0.25", "1.0"],
            "vector_unit.efficiency.relu": ["0.3"],
            "matrix_unit.launch_overhead": ["0 ns", "170 ns"],
            "vector_unit.launch_overhead": ["33 ns"],
            "matrix_unit.throughput": ["0.3 TFLOPS"],
        },
    ),
    (["mobilenet_cifar"], {"--alpha": ["0.5"]}, {**ENERGIES, "bus.bandwidth": ["1 GB/s", "3 GB/s"]}),
]  # fmt: skip


@pytest.mark.parametrize(("networks", "options", "settings"), CASES)
def test_rows_are_what_the_other_commands_say(networks: list[str], options: dict[str, list[str]], settings: dict[str, list[str]]) -> None:
    arguments = [part for option, levels in options.items() for part in (option, ",".join(levels))]
    arguments += [part for key, levels in settings.items() for part in ("--set", f"{key}={','.join(levels)}")]
    rows = rows_of(*networks, *arguments)
    is_plan = {"internal_memory.capacity", "external_memory.capacity", "matrix_unit.fused"}
    keys = [*options, *sorted(settings, key=lambda key: key not in is_plan)]
    points = list(product(networks, *({**options, **settings}[key] for key in keys)))
    assert len(rows) == len(points)
    for row, (network, *levels) in zip(rows, points, strict=True):
        chosen = dict(zip(keys, levels, strict=True))
        point = [network, *(part for key in options for part in (key, chosen[key]))]
        given = [f"{key}={chosen[key]}" for key in settings]
        analyzed, simulated = single("analyze", point, given), single("simulate", point, given)
        chosen_total = simulated_in_process(network, {key: chosen[key] for key in options}, given).estimate.total
        for name in (*COUNTS, *TIMES, "busiest", "bound_by"):
            if name in simulated["total"]:
                assert row[name] == simulated["total"][name], name
            elif name != "energy_j":
                assert row[name] == getattr(chosen_total, name), name
        assert ("energy_j" in row) == ("energy_j" in simulated["total"])
        hardware = analyzed["hardware"]
        for name in ("sram_capacity_bytes", "bus_bandwidth_bytes_per_s", "external_latency_s", "external_capacity_bytes"):
            assert row[name] == hardware[name]
        for unit in ("matrix", "vector"):
            assert row[f"{unit}_throughput_per_s"] == hardware[unit]["throughput_per_s"]
            assert row[f"{unit}_launch_overhead_s"] == hardware[unit]["launch_overhead_s"]
            for kind, share in hardware[unit]["efficiency"].items():
                assert row[f"{unit}_efficiency_{kind}"] == share
        assert row["fused"] == ("+".join(hardware["fused"]) or None)
        assert (row["network"], row["dtype"]) == (analyzed["network"]["name"], analyzed["network"]["dtype"])
        assert (row["alpha"], row["rho"]) == (analyzed["network"]["alpha"], analyzed["network"]["rho"])
        assert row["policy"] == simulated["policy"]


CONTESTED = [
    ("mobilenet_cifar", "overlap", ["256 KiB"], ["0 ns", "1 us"], "log(0.1 GB/s, 100 GB/s, 5)", ["0 ns", "1 us"]),
    ("squeezenet", "overlap", ["256 KiB"], ["0 ns", "1 us"], "log(0.1 GB/s, 100 GB/s, 3)", ["0 ns"]),
    ("mobilenet_cifar", "layerwise", ["48 KiB"], ["0 ns", "1 us"], "log(0.1 GB/s, 100 GB/s, 3)", ["0 ns", "2 us"]),
]  # fmt: skip


@pytest.mark.parametrize(("network", "policy", "sizes", "latencies", "bandwidths", "overheads"), CONTESTED)
def test_a_row_is_a_simulation_whatever_other_points_there_are(
    network: str, policy: str, sizes: list[str], latencies: list[str], bandwidths: str, overheads: list[str]
) -> None:
    """Where the clock takes different plans at different rates of one sweep: every figure, to the last bit."""
    rows = rows_of(
        network, "--policy", policy, "--sram", ",".join(sizes),
        "--set", f"external_memory.latency={','.join(latencies)}",
        "--set", f"bus.bandwidth={bandwidths}",
        "--set", f"matrix_unit.launch_overhead={','.join(overheads)}",
    )  # fmt: skip
    assert len({(row["traffic_bytes"], row["commands"]) for row in rows}) > 1
    for row in rows:
        hardware = replace(
            seed_with(f"internal_memory.capacity={row['sram_capacity_bytes']} B"),
            external_latency_s=row["external_latency_s"],
            bus_bandwidth_bytes_per_s=row["bus_bandwidth_bytes_per_s"],
        )
        hardware = replace(hardware, matrix=replace(hardware.matrix, launch_overhead_s=row["matrix_launch_overhead_s"]))
        found = run_plan(choose_plan(plan_network(network, hardware, cast(Policy, policy))))
        assert row["simulated_time_s"] == found.timeline.end_s
        assert row["commands"] == len(found.program.commands)
        for name in (*COUNTS, *TIMES, "busiest", "bound_by"):
            if name not in ("commands", "simulated_time_s", "energy_j"):
                assert row[name] == getattr(found.estimate.total, name), name


def test_every_format_says_the_same(tmp_path: Path) -> None:
    arguments = ["mobilenet_v1", "squeezenet", "--sram", "600B,1MiB", "--set", "bus.bandwidth=log(1 GB/s, 4 GB/s, 3)",
                 "--pareto", "simulated_time_s,sram_capacity_bytes"]  # fmt: skip
    rows = rows_of(*arguments, code=1)
    assert [row["error"] is None for row in rows] == ([False] * 3 + [True] * 3) * 2
    for name in ("s.csv", "s.json", "s.md", "s.parquet", "s.txt"):
        ran = run("sweep", *arguments, "-o", str(tmp_path / name), "-q")
        assert (ran.code, ran.out, ran.err) == (1, "", "")
    assert json.loads((tmp_path / "s.json").read_text())["rows"] == rows
    read = list(csv.DictReader(io.StringIO((tmp_path / "s.csv").read_text())))
    assert list(read[0]) == list(rows[0])
    for line, row in zip(read, rows, strict=True):
        assert line == {
            name: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value) for name, value in row.items()
        }
    frame, table = pd.read_parquet(tmp_path / "s.parquet"), pd.read_csv(tmp_path / "s.csv")
    assert list(frame) == list(table) == list(rows[0])
    for name in frame:
        found = [None if pd.isna(value) else value for value in frame[name].tolist()]
        assert found == [row[name] for row in rows], name
    assert (table["simulated_time_s"].fillna(0) == frame["simulated_time_s"].fillna(0)).all()
    assert str(frame.dtypes["macs"]) == "float64"  # it has nulls
    markdown = (tmp_path / "s.md").read_text()
    assert sum(line.startswith("|") for line in markdown.splitlines()) == len(rows) + 2


def test_no_rows_in_every_format(tmp_path: Path) -> None:
    arguments = [*FAST, "--where", "simulated_time_s > 1 s"]
    assert rows_of(*arguments) == []
    for name in ("s.csv", "s.md", "s.parquet", "s.txt"):
        assert run("sweep", *arguments, "-o", str(tmp_path / name)).code == 0
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 1
    assert len(pd.read_parquet(tmp_path / "s.parquet")) == 0
    assert "0 of 2 points" in (tmp_path / "s.txt").read_text()


def test_a_failing_point_is_a_row() -> None:
    ran = run("sweep", "mobilenet_v1", "--sram", "600B,1MiB", "--policy", "serial")
    assert ran.code == 1
    assert "C001" in ran.out
    assert "layer 'conv1', cut as small as it can be" in ran.out
    assert "1 of 2 points failed, the first with C001" in ran.err
    failed, fine = rows_of("mobilenet_v1", "--sram", "600B,1MiB", "--policy", "serial", code=1)
    assert failed["error"].startswith("C001: ")
    assert failed["macs"] is failed["simulated_time_s"] is failed["busiest"] is failed["bound_by"] is None
    assert failed["published_accuracy"] == fine["published_accuracy"] == 0.706
    assert fine["error"] is None
    quick = run("sweep", "mobilenet_v1", "--sram", "600B,1MiB", "--fail-fast")
    assert (quick.code, quick.out) == (1, "")
    assert "error[C001]" in quick.err
    whole = run("sweep", "mobilenet_v1", "--sram", "600B,1MiB", "--where", "error = none", "--format", "csv")
    assert whole.code == 1  # a filter hides a failure, and does not mend it
    assert len(whole.out.splitlines()) == 2


def test_a_defect_is_a_row_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.explore.evaluate as module

    real = module.find_plan

    def broken(graph: Any, hardware: Any, policy: Any) -> Any:
        if graph.alpha < 0.5:
            raise ZeroDivisionError("by zero")
        return real(graph, hardware, policy)

    module._contest.cache_clear()
    module._first.cache_clear()
    monkeypatch.setattr(module, "find_plan", broken)
    ran = run("sweep", *FAST, "--format", "json")
    assert ran.code == 1
    assert [row["error"] for row in json.loads(ran.out)["rows"]] == ["W003: ZeroDivisionError: by zero", None]
    module._contest.cache_clear()
    module._first.cache_clear()


def test_a_shape_that_cannot_be_is_a_row(tmp_path: Path) -> None:
    """Its error says which layer, but not where in a file: the same network elsewhere is the same point."""
    text = "name: tall\ninput: [32, 32, 3]\nlayers:\n  - {conv: 4, kernel: 9, padding: valid}\n"
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text(f"# a comment\n\n{text}")
    store = ["--store", str(tmp_path / "store")]
    (small, whole), again = (rows_of(str(tmp_path / name), "--rho", "1/8,1", *store, code=1) for name in ("a.yaml", "b.yaml"))
    assert again == [small, whole]
    assert small["error"].startswith("S301: layer 'conv1': ")
    assert "yaml" not in small["error"]
    assert whole["error"] is None


def test_a_rho_that_leaves_nothing_of_a_network_is_a_row() -> None:
    """Of the one network: it may be fine for the others."""
    rows = rows_of("mobilenet_cifar", "mobilenet_v1", "--rho", "0.01,1", "--fidelity", "analytical", code=1)
    errors = {(row["network"], row["rho"]): row["error"] for row in rows}
    assert errors.pop(("mobilenet_cifar", 0.01)).startswith("S104: rho 0.01 makes an input of 0 x 0 out of 28 x 28")
    assert set(errors.values()) == {None}


def test_a_plan_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For each network, multiplier, SRAM size, dtype, policy and fused stage, whatever the rates, on whichever hardware."""
    import mnsim.explore.evaluate as module

    made: list[tuple[Any, ...]] = []
    real = module.find_plan

    def counted(graph: Any, hardware: Any, policy: Any) -> Any:
        made.append((graph.alpha, graph.dtype, hardware.sram_capacity_bytes, policy, hardware.fused))
        return real(graph, hardware, policy)

    module._contest.cache_clear()
    module._first.cache_clear()
    monkeypatch.setattr(module, "find_plan", counted)
    seed = (ROOT / "hw" / "seed.yaml").read_text()
    (tmp_path / "other.yaml").write_text(seed.replace("name: seed", "name: other").replace("1 GB/s", "7 GB/s"))
    hardware = f"seed,{tmp_path / 'other.yaml'}"
    rows = rows_of(
        *FAST, "--dtype", "int8,float16", "--policy", "serial,overlap", "--sram", "256KiB,1MiB", "--hw", hardware,
        "--set", "matrix_unit.fused=[],[relu]", "--set", "bus.bandwidth=log(1 GB/s, 2 GB/s, 3)",
        "--set", "matrix_unit.efficiency.conv=0.5,1", "--jobs", "1",
    )  # fmt: skip
    assert len(rows) == 2**5 * 2 * 3 * 2
    assert len(made) == len(set(made)) == 2**5
    assert rows[0]["hardware"] == "seed"
    assert rows[6]["hardware"] == "other"


def test_several_processes_give_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.explore.workers as module

    arguments = ["mobilenet_cifar", "--alpha", "linear(0.25, 0.5, 6)", "--sram", "30B,64KiB"]
    alone = run("sweep", *arguments, "--jobs", "1", "--format", "csv")
    monkeypatch.setattr(module, "PATIENCE_S", -1.0)
    together = run("sweep", *arguments, "--jobs", "2", "--format", "csv")
    assert (alone.code, alone.out) == (together.code, together.out)
    assert len(alone.out.splitlines()) == 13


def test_analytical_rows_have_no_simulation() -> None:
    full, short = rows_of(*FAST), rows_of(*FAST, "--fidelity", "analytical")
    assert set(full[0]) - set(short[0]) == {"simulated_time_s", "commands"}
    assert [{name: row[name] for name in short[0]} for row in full] == short


def test_energy_only_where_the_hardware_has_it(tmp_path: Path) -> None:
    text = (ROOT / "hw" / "seed.yaml").read_text().replace("name: seed", "name: other")
    for section, energy in (
        ("external_memory: {", "1 pJ/B"),
        ("internal_memory: {", "1 pJ/B"),
        ("matrix_unit: {", "1 pJ/MAC"),
        ("vector_unit: {", "1 pJ/OP"),
    ):
        text = text.replace(section, f"{section}energy: {energy}, ")
    (tmp_path / "other.yaml").write_text(text)
    arguments = ["mobilenet_cifar", "--hw", f"seed,{tmp_path / 'other.yaml'}", "--store", str(tmp_path / "store")]
    first, again = rows_of(*arguments), rows_of(*arguments)
    assert first == again
    assert first[0]["energy_j"] is first[0]["matrix_j_per_op"] is None
    simulated = run("simulate", "mobilenet_cifar", "--hw", str(tmp_path / "other.yaml"), "--format", "json")
    assert first[1]["energy_j"] == json.loads(simulated.out)["total"]["energy_j"]
    assert first[1]["matrix_j_per_op"] == 0.5e-12


def test_a_section_is_a_level_too() -> None:
    rows = rows_of("mobilenet_cifar", "--set", "matrix_unit={throughput: 1 TFLOPS},{throughput: 2 TFLOPS, efficiency: {conv: 0.5}}")
    assert [row["matrix_throughput_per_s"] for row in rows] == [1e12, 2e12]
    assert [row["matrix_efficiency_conv"] for row in rows] == [1.0, 0.5]


def test_plans_are_shared_across_sections_of_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.explore.evaluate as module

    made = []
    real = module.find_plan
    module._contest.cache_clear()
    module._first.cache_clear()
    monkeypatch.setattr(module, "find_plan", lambda *given: (made.append(given[1].sram_capacity_bytes), real(*given))[1])
    sections = ",".join(f"{{conv: 0.{share}}}" for share in range(1, 7))
    arguments = [
        "mobilenet_cifar",
        "--set",
        f"matrix_unit.efficiency={sections}",
        "--sram",
        "linear(100KiB, 600KiB, 6)",
        "--fidelity",
        "analytical",
    ]
    assert len(rows_of(*arguments, "--jobs", "1")) == 36
    assert len(made) == 6
    assert "at most 36 plans" in run("sweep", *arguments, "--dry-run").out


def test_published_accuracies_are_the_papers() -> None:
    rows = rows_of("mobilenet_v1", "--alpha", "0.25,0.5,0.75,1", "--rho", "128/224,160/224,0.857,1", "--fidelity", "analytical")
    found = {(row["alpha"], round(224 * row["rho"])): row["published_accuracy"] for row in rows}
    notes = ROOT / "mnsim" / "papers" / "mobilenet-notes"
    printed = [line for table in ("table6", "table7") for line in csv.reader((notes / f"{table}.csv").read_text().splitlines())]
    known = 0
    for model, accuracy, *_ in printed:
        if "MobileNet" in model:
            alpha, _, size = model.partition(" MobileNet-")
            assert found.pop((float(alpha), int(size)), None) in (float(accuracy.rstrip("%")) / 100, None)
            known += 1
    assert known == 8
    assert set(found.values()) == {None}
    rows = rows_of("mobilenet_cifar_pardhi", "mobilenet_cifar_singh", "mobilenet_cifar", "--alpha", "0.75,1", "--fidelity", "analytical")
    assert [row["published_accuracy"] for row in rows] == [0.8069, 0.8452, 0.81, 0.84, 0.78, 0.82]
    assert {row["published_in"] for row in rows} == {"pardhi table2", "singh table2", "mobile-applications table2"}


def test_another_network_of_that_name_has_no_published_accuracy(tmp_path: Path) -> None:
    text = (ROOT / "arch" / "mobilenet_cifar.yaml").read_text()
    (tmp_path / "same.yaml").write_text(text.replace("title: MobileNet", "title: My MobileNet") + "# a comment\n")
    (tmp_path / "wider.yaml").write_text(text.replace("separable: 64}", "separable: 96}"))
    assert rows_of(str(tmp_path / "same.yaml"))[0]["published_accuracy"] == 0.82
    assert rows_of(str(tmp_path / "wider.yaml"))[0]["published_accuracy"] is None


def test_counts_beyond_64_bits(tmp_path: Path) -> None:
    layers = "  - {conv: 60000, kernel: 3}\n" * 2
    (tmp_path / "n.yaml").write_text(f"name: huge\ninput: [60000, 60000, 3]\nlayers:\n{layers}")
    arguments = [str(tmp_path / "n.yaml"), "--sram", "100GiB", "--fidelity", "analytical"]
    (row,) = rows_of(*arguments)
    assert row["macs"] > 2**63
    assert run("sweep", *arguments, "-o", str(tmp_path / "n.parquet")).code == 0
    assert pd.read_parquet(tmp_path / "n.parquet")["macs"].tolist() == [float(row["macs"])]


def test_many_rates_are_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.explore.workers as module

    sizes = []

    def noted(batch: Any) -> Any:
        sizes.append(batch.count)
        return evaluate(batch)

    monkeypatch.setattr(module, "evaluate", noted)
    points = points_of(read_sweep(Asked(("mobilenet_cifar",), settings=("bus.bandwidth=log(1 GB/s, 9 GB/s, 40000)",))))
    assert count_groups(points) == 1
    rows = run_sweep(points, columns_for(points, "simulated"), Means())
    assert sizes == [16384, 16384, 7232]
    assert (rows.times["simulated_time_s"] > 0).all()
