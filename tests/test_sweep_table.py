"""`mnsim sweep` for people and programs: the table, what a dry run lists, the library call."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnsim
from mnsim.cli.main import main
from mnsim.explore.points import points_of
from mnsim.explore.select import Selection, select
from mnsim.explore.sweep import Means, columns_for, run_sweep
from mnsim.report.sweep import sweep_document
from mnsim.spec.sweep import Asked, read_sweep
from tests.helpers import ROOT, as_text, run
from tests.test_sweep import FAST, rows_of


@pytest.mark.parametrize("width", [20, 40, 80, 160])
def test_a_table_never_loses_what_tells_rows_apart(width: int, tmp_path: Path) -> None:
    text = (ROOT / "hw" / "seed.yaml").read_text().replace("name: seed", "name: other").replace("1 GB/s", "7 GB/s")
    (tmp_path / "other.yaml").write_text(text)
    asked = Asked(("mobilenet_cifar",), hardware=f"seed,{tmp_path / 'other.yaml'}", alpha="0.25,0.5", sram="30B,1MiB")
    points = points_of(read_sweep(asked))
    rows = run_sweep(points, columns_for(points, "analytical"), Means("analytical"))
    table = as_text(sweep_document(rows, select(rows, Selection()), "grid", False), width, "bare")
    assert table.split()[0] == "alpha"
    assert [line.split()[0] for line in table.splitlines()[2:]] == ["0.25"] * 4 + ["0.5"] * 4
    if width >= 80:
        assert "C001" in table


def test_the_winner_says_what_it_is() -> None:
    cases = {
        "external_memory.latency=1 ns,500 ns": ("latency", "1 ns"),
        "matrix_unit.fused=[relu],[]": ("fused", "relu"),
        "matrix_unit.efficiency.conv=0.1,0.7": ("matrix_efficiency_conv", "0.1"),
    }
    for setting, (heading, level) in cases.items():
        first, _, row = run("sweep", "mobilenet_cifar", "--alpha", "0.25,0.5", "--set", setting, "--top", "1", "-q").out.splitlines()
        assert heading in first.split("M MACs")[0]
        assert level in row


@pytest.mark.parametrize(
    ("section", "heading"),
    [
        ("internal_memory={capacity: 64KiB},{capacity: 2MiB}", "SRAM"),
        ("matrix_unit={throughput: 1 TFLOPS, fused: [relu]},{throughput: 1 TFLOPS}", "fused"),
        ("matrix_unit={throughput: 1 TFLOPS},{throughput: 2 TFLOPS}", "matrix"),
        ("bus={bandwidth: 1 GB/s},{bandwidth: 2 GB/s}", "bandwidth"),
        ("vector_unit.efficiency={relu: 0.5},{copy: 0.5}", "vector_efficiency_relu"),
        ("external_memory={capacity: 1 GiB},{latency: 5 ns}", "external"),
    ],
)
def test_the_levels_of_a_section_are_told_apart(section: str, heading: str) -> None:
    first, _, *rows = run("sweep", "mobilenet_cifar", "--set", section, "--fidelity", "analytical", "-q").out.splitlines()
    assert first.split("M MACs")[0].split()[0] == heading
    assert rows[0].split("91.8")[0] != rows[1].split("91.8")[0]


def test_levels_that_look_alike_are_written_out() -> None:
    rows = run("sweep", "mobilenet_cifar", "--sram", "linear(1000000 B, 1000030 B, 3)", "--fidelity", "analytical", "-q").out.splitlines()
    assert [row.split()[0] for row in rows[2:]] == ["1,000,000", "1,000,015", "1,000,030"]


def test_dry_run_lists_and_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.explore.workers as module

    def never(batch: Any) -> Any:
        raise AssertionError("it ran")

    monkeypatch.setattr(module, "evaluate", never)
    arguments = ["mobilenet_v1", "--alpha", "0.5,1", "--rho", "4/7,1", "--set", "bus.bandwidth=log(0.5 GB/s, 8 GB/s, 16)", "--dry-run"]
    ran = run("sweep", *arguments)
    assert (ran.code, ran.err) == (0, "")
    assert "64 points (every combination), 4 plans" in ran.out
    assert "bus.bandwidth      16  log(0.5 GB/s, 8 GB/s, 16)" in ran.out
    points = list(csv.DictReader(io.StringIO(run("sweep", *arguments, "--format", "csv").out)))
    assert len(points) == 64
    assert "macs" not in points[0]
    assert (points[0]["bus_bandwidth_bytes_per_s"], points[15]["bus_bandwidth_bytes_per_s"]) == ("500000000.0", "8000000000.0")


def test_the_library_gives_what_the_command_gives() -> None:
    levels = {"alpha": [0.25, "1/2"], "bus.bandwidth": "log(1 GB/s, 4 GB/s, 3)", "internal_memory.capacity": ["256 KiB"]}
    rows = mnsim.sweep("mobilenet_cifar", levels=levels)
    assert rows == rows_of(*FAST, "--set", "bus.bandwidth=log(1 GB/s, 4 GB/s, 3)", "--sram", "256 KiB")
    with pytest.raises(mnsim.SpecError) as caught:
        mnsim.sweep("mobilenet_cifar", levels={"bus.bandwidht": "1 GB/s"})
    assert caught.value.column == 5


def test_the_library_takes_what_python_has(tmp_path: Path) -> None:
    path, machine = tmp_path / "a,b.yaml", tmp_path / "c,d.yaml"
    path.write_text((ROOT / "arch" / "mobilenet_cifar.yaml").read_text())
    machine.write_text((ROOT / "hw" / "seed.yaml").read_text())
    levels = {
        "alpha": np.linspace(0.5, 1, 2),
        "hardware": [machine],
        "matrix_unit.efficiency": {"conv": 0.5},
        "matrix_unit.fused": [["relu"], []],
    }
    rows = mnsim.sweep(path, levels=levels, means=Means("analytical"))
    assert [(row["alpha"], row["fused"], row["matrix_efficiency_conv"]) for row in rows] == [
        (0.5, "relu", 0.5), (0.5, None, 0.5), (1.0, "relu", 0.5), (1.0, None, 0.5),
    ]  # fmt: skip
    assert len(mnsim.sweep(path, levels={"alpha": "linear(0.5, 1)"}, sample=3, means=Means("analytical"))) == 3
    for wrong in ({"sample": 0}, {"sample": -3}, {"sample": 2, "seed": -1}, {"seed": 1}, {"zip": True, "sample": 2}):
        with pytest.raises(mnsim.SpecError):
            mnsim.sweep(path, **wrong)  # type: ignore[arg-type]
    with pytest.raises(mnsim.SpecError, match="fidelity must be one of 'simulated', 'analytical', got 'exact'"):
        Means("exact")  # type: ignore[arg-type]
    with pytest.raises(mnsim.SpecError, match="jobs must be a whole number, at least 1, got 0"):
        Means(jobs=0)


def test_the_table_shows_what_varies(capsys: pytest.CaptureFixture[str]) -> None:
    out = run("sweep", *FAST, "--set", "bus.bandwidth=1 GB/s, 2 GB/s").out
    first = out.splitlines()[0]
    assert first.startswith("4 points: mobilenet_cifar, int8, policy overlap, rho 1, on seed, 1 MiB SRAM")
    assert out.splitlines()[2].startswith("alpha  bandwidth")
    assert "Fastest of all 4 points: alpha 0.25, bandwidth 2 GB/s: " in out
    assert run("sweep", *FAST, "-q").out.startswith("alpha ")
    assert main(["sweep", *FAST, "--top", "1", "-q"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_long_tables_say_what_they_leave_out() -> None:
    out = run("sweep", "mobilenet_cifar", "--set", "bus.bandwidth=log(1 GB/s, 9 GB/s, 300)").out
    assert "(100 more rows: --top N, --where, or -o FILE.csv)" in out
    assert len(out.splitlines()) < 215


@pytest.mark.parametrize(("arguments", "rows"), [(["-q"], 300), (["--top", "250"], 250), (["-o", "t.txt"], 300), ([], 200)])
def test_rows_are_left_out_only_where_it_is_said(arguments: list[str], rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = run("sweep", "mobilenet_cifar", "--fidelity", "analytical", "--set", "bus.bandwidth=log(1 GB/s, 9 GB/s, 300)", *arguments).out
    out = out or (tmp_path / "t.txt").read_text()
    assert (
        sum(" GB/s " in line and "points" not in line and "Fastest" not in line and "slowest" not in line for line in out.splitlines())
        == rows
    )
