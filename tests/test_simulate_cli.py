"""`mnsim simulate` as its users see it: the table, the charts, JSON, CSV, traces, energies."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mnsim.analysis.derive import derive
from mnsim.document.blocks import Chart, Interval, Steps
from mnsim.lowering.lower import MOST_COMMANDS, lower
from mnsim.pipeline import analyze, plan_network
from mnsim.render.chart import axis, bar_line, track_line
from mnsim.report.simulation_table import simulation_document
from mnsim.spec.load import load_hardware
from tests.helpers import NETWORKS, ROOT, as_text, run
from tests.programs import played

TOTAL = {
    "simulated_time_s",
    "bound_time_s",
    "any_schedule_bound_time_s",
    "capacity_bound_time_s",
    "serial_time_s",
    "traffic_bytes",
    "peak_sram_bytes",
    "commands",
    "busiest",
    "bound_by",
}
LAYER = {"index", "name", "start_s", "end_s", "wait_s"}
ENERGIES = """name: e
external_memory: {energy: 20 pJ/B}
bus: {bandwidth: 1 GB/s}
internal_memory: {capacity: 1 MiB, energy: 1 pJ/B}
matrix_unit: {throughput: 1 TFLOPS, energy: 0.5 pJ/MAC}
vector_unit: {throughput: 10 GFLOPS, energy: 2 pJ/OP}
"""


def json_of(*arguments: str) -> dict[str, object]:
    ran = run("simulate", *arguments, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    found: dict[str, object] = json.loads(ran.out)
    return found


def test_the_json_is_a_contract() -> None:
    record = json_of("mobilenet_cifar")
    total, engines, layers = record["total"], record["engines"], record["layers"]
    assert isinstance(total, dict)
    assert isinstance(engines, dict)
    assert isinstance(layers, list)
    assert total.keys() >= TOTAL
    assert list(engines) == ["bus", "matrix", "vector"]
    assert all(set(engine) == {"busy_s", "utilization"} for engine in engines.values())
    assert len(layers) == 30
    for layer in layers:
        assert layer.keys() >= LAYER
        assert set(layer["wait_s"]) == {"bus", "matrix", "vector", "room", "data"}
        assert 0 <= layer["start_s"] <= layer["end_s"] <= total["simulated_time_s"]
    assert total["simulated_time_s"] <= 1.03 * total["capacity_bound_time_s"]
    assert "energy_j" not in total


def test_csv_has_a_row_a_layer() -> None:
    rows = list(csv.DictReader(io.StringIO(run("simulate", "squeezenet", "--format", "csv").out)))
    assert len(rows) == 39
    fire = next(row for row in rows if row["name"] == "fire2")
    assert fire["start_s"] == fire["end_s"] == max((row["end_s"] for row in rows if row["name"].startswith("expand2")), key=float)
    assert {"wait_room_s", "wait_data_s", "wait_bus_s", "busy_matrix_s", "commands"} <= set(fire)


@pytest.mark.parametrize("form", ["table", "csv", "json", "markdown"])
def test_policies_side_by_side(form: str) -> None:
    ran = run("simulate", "mobilenet_cifar", "--compare-policies", "--format", form)
    assert ran.code == 0
    assert "serial" in ran.out
    assert "overlap" in ran.out
    if form == "json":
        serial, overlap = (json.loads(ran.out)["policies"][policy]["total"]["simulated_time_s"] for policy in ("serial", "overlap"))
        assert overlap < serial


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("width", [80, 160])
def test_no_line_is_wider_than_the_terminal(network: str, width: int) -> None:
    text = as_text(simulation_document(played(network)), width)
    assert max(map(len, text.splitlines())) <= width
    assert "wait: data" in text
    assert " room" in text
    assert text.count("%") >= 4


def test_verbose_tells_the_engines_apart() -> None:
    assert " engine" in run("simulate", "mobilenet_cifar").out
    assert "vector queue" in run("simulate", "mobilenet_cifar", "-v").out


def test_the_policy_that_is_faster_is_named() -> None:
    """Policy serial's plan is a candidate under the others: none of them is ever much slower."""
    record = json.loads(run("simulate", "mobilenet_cifar", "--set", "matrix_unit.launch_overhead=5us", "--format", "json").out)
    assert record["total"]["simulated_time_s"] <= record["total"]["serial_policy_time_s"]
    found = played("mobilenet_cifar")
    slow = as_text(simulation_document(found._replace(serial_policy_time_s=0.9 * found.timeline.end_s)), 200)
    assert "Use --policy serial" in slow
    assert "With --policy serial it takes 859.1 us: 1.46x that" in run("simulate", "mobilenet_cifar").out


def test_letters_where_there_are_no_blocks() -> None:
    command = [sys.executable, "-m", "mnsim", "simulate", "mobilenet_cifar"]
    plain = subprocess.run(command, cwd=ROOT, env={"PYTHONIOENCODING": "ascii", "PATH": ""}, capture_output=True, text=True)
    assert plain.returncode == 0
    assert "?" not in plain.stdout
    assert "####" in plain.stdout


@pytest.mark.parametrize(
    "options", [("--trace", "a.json", "-o", "./a.json"), ("--trace-unit", "ps"), ("--compare-policies", "--policy", "serial")]
)
def test_options_that_contradict_each_other(options: tuple[str, ...]) -> None:
    assert run("simulate", "mobilenet_cifar", *options).code == 2


def test_a_program_that_is_too_long_is_refused() -> None:
    ran = run("simulate", "mobilenet_v1", "--sram", "1300 B")
    assert ran.code == 1
    assert "P002" in ran.err
    assert f"more than {MOST_COMMANDS:,}" in ran.err
    assert f"{MOST_COMMANDS:,}" in run("explain", "P002").out
    assert run("analyze", "mobilenet_v1", "--sram", "1300 B").code == 0


def test_quiet_is_the_bare_table() -> None:
    quiet, full = run("simulate", "mobilenet_cifar", "-q").out, run("simulate", "mobilenet_cifar").out
    assert quiet in full
    assert "SRAM" not in quiet


def test_the_charts_say_what_ran() -> None:
    simulated = played("mobilenet_v1", "serial")
    blocks = simulation_document(simulated).blocks("usual")
    (chart,) = (block for block in blocks if isinstance(block, Chart))
    rows = {track.label: track_line(track, chart.end_s, 40) for track in chart.tracks}
    assert {len(row) for row in rows.values()} == {40}
    assert rows["bus"][-5:-1] == "█" * 4  # fc1's weights
    assert sum(row[20] != " " for row in rows.values()) >= 1
    assert bar_line([Interval(0.0, 0.5, is_thick=False), Interval(0.5, 0.75)], 1.0, 8) == "────██"
    assert bar_line([], 1.0, 8) == ""
    scale = Chart((), 1e-3, "us", 1e-6)
    assert axis(scale, 40) == "0         250       500         1,000 us"
    assert axis(scale, 60).split() == ["0", "250", "500", "750", "1,000", "us"]
    assert track_line(Steps("SRAM", (0.0, 1.0, 2.0), (50, 100, 0), 100, ""), 4.0, 4) == "▄█  "


@pytest.fixture
def energy_file(tmp_path: Path) -> str:
    (tmp_path / "e.yaml").write_text(ENERGIES)
    return str(tmp_path / "e.yaml")


def test_energy_is_in_every_output_and_the_same(energy_file: str) -> None:
    record, plain = (
        json_of("mobilenet_cifar", "--hw", energy_file),
        json.loads(run("analyze", "mobilenet_cifar", "--hw", energy_file, "--format", "json").out),
    )
    assert record["total"]["energy_j"] == plain["total"]["energy_j"] == pytest.approx(sum(row["energy_j"] for row in plain["layers"]))  # type: ignore[index]
    for command in ("simulate", "analyze"):
        assert "energy uJ" in run(command, "mobilenet_cifar", "--hw", energy_file).out
        assert "energy_j" in run(command, "mobilenet_cifar", "--hw", energy_file, "--format", "csv").out
        assert "energy" not in run(command, "mobilenet_cifar").out
    assert "energy_j" in run("analyze", "mobilenet_cifar", "--hw", energy_file, "--layer", "pw1").out


def test_energy_by_hand(tmp_path: Path, energy_file: str) -> None:
    """8 x 8 x 4 to 4 channels by 1 x 1: every byte is moved into SRAM once, read once, written once."""
    path = tmp_path / "n.yaml"
    path.write_text("name: n\ninput: [8, 8, 4]\nlayers: [{conv: 4, kernel: 1, activation: relu}]\n")
    found = analyze(path, load_hardware(energy_file), "serial")
    (layer,) = found.energies or ()
    moved, inside = 256 + 32 + 256, 256 + 32 + 256 * 3  # relu reads and writes the map, too
    assert (layer.external_bytes, layer.sram_bytes) == (moved, moved + inside)
    assert (layer.matrix_ops, layer.vector_ops) == (2 * 1024, 256)
    assert layer.energy_j == pytest.approx(moved * 20e-12 + (moved + inside) * 1e-12 + 1024 * 0.5e-12 + 256 * 2e-12)


def test_energy_is_derived(energy_file: str) -> None:
    found = analyze("mobilenet_v1", load_hardware(energy_file), alpha=0.25)
    for row in found.layers:
        step = next(step for step in derive(found, row.index).steps if step.figure == "energy_j")
        assert eval(step.numbers, {"__builtins__": {}}) == pytest.approx(step.value)


@pytest.mark.parametrize("missing", ["external_memory: {energy: 20 pJ/B}\n", ", energy: 1 pJ/B", ", energy: 2 pJ/OP"])
def test_three_energies_are_refused(tmp_path: Path, missing: str) -> None:
    (tmp_path / "e.yaml").write_text(ENERGIES.replace(missing, ""))
    ran = run("simulate", "mobilenet_cifar", "--hw", str(tmp_path / "e.yaml"))
    assert ran.code == 2
    assert "S108" in ran.err
    assert "^^^^^^" in ran.err


def test_wrong_command_lines() -> None:
    assert run("simulate", "mobilenet_cifar", "--compare-policies", "--trace", "t.json").code == 2
    assert run("simulate", "no_such_network").code == 2
    small = run("simulate", "mobilenet_cifar", "--sram", "100 B")
    assert small.code == 1
    assert "conv1" in small.err


def test_the_same_bytes_in_three_interpreters() -> None:
    command = [sys.executable, "-m", "mnsim", "simulate", "squeezenet", "--alpha", "0.5", "--format", "json"]
    outs = {
        subprocess.run(command, cwd=ROOT, env={"PYTHONHASHSEED": seed, "PATH": ""}, capture_output=True).stdout for seed in ("0", "1", "2")
    }
    assert len(outs) == 1
    assert outs.pop()


def test_a_program_can_be_played_from_python() -> None:
    import mnsim

    planned = plan_network("mobilenet_cifar")
    program = lower(planned.graph, planned.plan)
    assert mnsim.simulate(program, planned.hardware).end_s == played("mobilenet_cifar").timeline.end_s
