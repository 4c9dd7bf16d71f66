"""Results as people and programs read them: JSON's pinned names, CSV in pandas, markdown, tables, and derivations evaluated."""

import io
import json
import math
from typing import Any

import pandas
import pytest

from mnsim import analyze
from mnsim.analysis.cost import Estimate
from mnsim.analysis.derive import derive
from mnsim.report.analysis import analysis_document
from tests.helpers import NETWORKS, as_text, chain, run, seed_with

LAYER = [
    "index", "name", "type", "segment", "stride", "kernel", "inputs", "output", "macs", "vector_ops", "parameters", "weight_bytes",
    "weight_traffic_bytes", "input_traffic_bytes", "output_traffic_bytes", "traffic_bytes", "sram_bytes",
    "transfer_time_s", "matrix_time_s", "vector_time_s", "time_s", "busiest",
]  # fmt: skip
TOTAL = [
    "macs", "vector_ops", "parameters", "weight_bytes", "traffic_bytes", "reserved_sram_bytes", "transfer_time_s", "matrix_time_s",
    "vector_time_s", "serial_time_s", "bound_time_s", "any_schedule_bound_time_s",
    "capacity_bound_time_s", "busiest", "bound_by",
]  # fmt: skip
BRANCHES = (
    "{conv: 6, kernel: 3, activation: relu, name: stem}",
    "{conv: 4, kernel: 1, name: left}",
    "{conv: 4, kernel: 3, stride: 1, input: stem, name: right}",
    "{concat: [left, right], name: join}",
    "{add: [join, join], name: sum}",
    "{max_pool: 2}",
    "batch_norm",
    "{depthwise: 3, batch_norm: unfolded, activation: relu6}",
    "flatten",
    "{dense: 12, activation: relu}",
    "softmax",
)


def as_json(*arguments: str) -> dict[str, Any]:
    ran = run("analyze", *arguments, "--format", "json")
    assert ran.code == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found


def as_frame(*arguments: str) -> pandas.DataFrame:
    ran = run("analyze", *arguments, "--format", "csv")
    assert ran.code == 0, ran.err
    return pandas.read_csv(io.StringIO(ran.out))


def branched(*settings: str, shape: str = "[12, 12, 3]") -> Estimate:
    return analyze(chain(*BRANCHES, shape=shape), seed_with(*settings))


def test_the_names_of_the_json_are_a_contract() -> None:
    record = as_json("mobilenet_v1", "--sram", "64 KiB")
    assert list(record) == ["network", "hardware", "layers", "total", "plan"]
    assert list(record["network"]) == ["name", "alpha", "rho", "dtype", "input_shape"]
    assert list(record["total"]) == TOTAL
    for layer in record["layers"]:
        assert list(layer) == LAYER
        for feature_map in (*layer["inputs"], layer["output"]):
            assert list(feature_map) == ["name", "shape", "bytes", "address", "place"]
            assert len(feature_map["shape"]) == 3
    assert list(record["plan"]) == ["policy", "exact", "at_most_fewer_bytes", "dropped_ways", "homes", "segments"]
    for home in record["plan"]["homes"]:
        assert list(home) == ["name", "address", "place", "first_layer", "last_layer"]
    for segment in record["plan"]["segments"]:
        assert list(segment) == ["layers", "kind", "order", "tiling", "cuts", "buffers"]
        assert [cut["layer"] for cut in segment["cuts"]] == segment["layers"]
        for cut in segment["cuts"]:
            assert list(cut) == ["layer", "tiling", "streams", "loads_whole", "stores_whole"]
            assert sorted(cut["tiling"]) == ["in_channels", "lead", "out_channels", "rows", "stays"]
        for buffer in segment["buffers"]:
            assert list(buffer) == ["name", "address", "size_bytes", "layer", "maps", "rows"]


def test_a_plan_says_how_segments_run() -> None:
    """What each layer's cut and each ring is follows from the shapes: rows add up, and a ring's bytes are its rows."""
    record = as_json("mobilenet_v1")
    layers = {layer["name"]: layer for layer in record["layers"]}
    shapes = {"input": [224, 224, 3]} | {name: layer["output"]["shape"] for name, layer in layers.items()}
    places = {home["name"]: home["place"] for home in record["plan"]["homes"]}
    segments = record["plan"]["segments"]
    assert [(segment["layers"], segment["kind"], segment["order"]) for segment in segments[:3]] == [
        (["conv1", "dw1", "pw1", "dw2"], "rows", "pipelined"),
        (["pw2", "dw3", "pw3", "dw4"], "rows", "pipelined"),
        (["pw4", "dw5"], "channels", None),
    ]
    assert sum(len(segment["layers"]) for segment in segments) == len(layers)
    for number, segment in enumerate(segments):
        assert {layers[name]["segment"] for name in segment["layers"]} == {number}
        assert (segment["tiling"] is None) == (segment["kind"] != "single") == (len(segment["layers"]) > 1)
        assert {places[name] for name in segment["layers"][:-1]} <= {"ring"}
        assert places[segment["layers"][-1]] != "ring"
        for buffer in segment["buffers"]:
            assert buffer["layer"] in segment["layers"]
            if buffer["name"] == "ring":
                (name,) = buffer["maps"]
                assert buffer["size_bytes"] == buffer["rows"] * shapes[name][1] * shapes[name][2]
            if buffer["name"] == "passed block":
                assert buffer["rows"] is None
                assert buffer["maps"] == segment["layers"][:1]
    (stream,) = segments[0]["cuts"][0]["streams"]
    assert (stream["map"], places["input"]) == ("input", "external")
    assert all(layer["output"]["place"] == places[name] for name, layer in layers.items())


def test_the_rows_add_up_to_the_totals() -> None:
    for network in NETWORKS:
        record = as_json(network, "--sram", "128 KiB", "--dtype", "float16")
        layers, total = record["layers"], record["total"]
        for key in ("macs", "vector_ops", "parameters", "weight_bytes", "traffic_bytes"):
            assert sum(layer[key] for layer in layers) == total[key]
        for key in ("transfer_time_s", "matrix_time_s", "vector_time_s"):
            assert math.isclose(math.fsum(layer[key] for layer in layers), total[key], rel_tol=1e-12)
        assert math.isclose(math.fsum(layer["time_s"] for layer in layers), total["serial_time_s"], rel_tol=1e-12)
        assert max(layer["sram_bytes"] for layer in layers) == total["reserved_sram_bytes"]
        for layer in layers:
            parts = ("weight_traffic_bytes", "input_traffic_bytes", "output_traffic_bytes")
            assert sum(layer[part] for part in parts) == layer["traffic_bytes"]


def test_kernel_and_stride_are_null_where_there_is_no_window() -> None:
    layers = {layer["name"]: layer for layer in as_json("mobilenet_v1")["layers"]}
    assert (layers["conv1"]["kernel"], layers["conv1"]["stride"]) == ([3, 3], [2, 2])
    assert (layers["fc1"]["kernel"], layers["fc1"]["stride"]) == (None, None)
    assert (layers["dw1"]["output"]["address"], layers["dw1"]["output"]["place"]) == (None, "ring")
    assert layers["pw1"]["inputs"][0] == layers["dw1"]["output"]


def test_csv_loads_into_pandas_without_options() -> None:
    frame, record = as_frame("mobilenet_v1"), as_json("mobilenet_v1")
    assert len(frame) == 30
    assert list(frame["name"]) == [layer["name"] for layer in record["layers"]]
    for key in ("macs", "traffic_bytes", "sram_bytes", "parameters"):
        assert frame[key].dtype.kind == "i"
        assert list(frame[key]) == [layer[key] for layer in record["layers"]]
    for key in ("time_s", "transfer_time_s"):
        assert list(frame[key]) == [layer[key] for layer in record["layers"]]  # to the last bit
    assert (frame["output_place"] == "ring").sum() == 10  # 16 layers in 6 segments, of which all but the last pass their map on
    assert list(frame["output_address"].isna()) == list(frame["output_place"] != "sram")
    assert (as_frame("mobilenet_v1", "--policy", "layerwise")["output_place"] == "external").sum() == 1
    assert frame["output_shape"][0] == "112x112x32"
    by_type = frame.groupby("type")["macs"].sum()
    assert round(100 * by_type["pointwise"] / by_type.sum(), 1) == 94.9


def test_several_inputs_are_joined(tmp_path: Any) -> None:
    path = tmp_path / "b.yaml"
    path.write_text("name: b\ninput: [12, 12, 3]\nlayers:\n" + "".join(f"  - {line}\n" for line in BRANCHES))
    frame = as_frame(str(path)).set_index("name")
    assert frame["input"]["join"] == "left;right"
    assert frame["input_shape"]["join"] == "12x12x4;12x12x4"
    addresses = [int(address) for address in frame["input_address"]["join"].split(";")]
    assert addresses == [frame["output_address"]["join"], frame["output_address"]["join"] + 4]
    assert list(frame.loc["join", ["traffic_bytes", "vector_ops", "time_s"]]) == [0, 0, 0.0]


def test_markdown_is_one_table_of_equal_rows() -> None:
    ran = run("analyze", "mobilenet_cifar", "--format", "markdown")
    rows = [line for line in ran.out.splitlines() if line.startswith("|")]
    layers = rows[:33]
    assert len({line.count("|") for line in layers}) == 1
    assert "585,186" in layers[32]
    assert sum(line.startswith("- ") for line in ran.out.splitlines()) == 4


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 200])
@pytest.mark.parametrize("network", NETWORKS)
def test_no_table_is_wider_than_its_terminal(network: str, width: int) -> None:
    lines = as_text(analysis_document(analyze(network)), width).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    assert sum(line.startswith(("dw", " 1 ", "conv1", " 0 ")) or "dw1 " in line for line in lines) >= 2


def test_a_pipe_gets_every_column() -> None:
    ran = run("analyze", "mobilenet_v1", "-v", "--policy", "layerwise")
    header = next(line for line in ran.out.splitlines() if "layer" in line)
    for heading in ("#", "window", "at", "weights B", "maps in B", "maps out B", "SRAM B", "cut", "busiest"):
        assert heading in header
    assert "8x1x1, weights stay" in ran.out
    assert not ran.err
    assert "seg" not in header  # a plan without fused segments


def test_a_pipe_says_how_segments_run() -> None:
    ran = run("analyze", "mobilenet_v1", "-v")
    header = next(line for line in ran.out.splitlines() if "layer" in line)
    rows = [line for line in ran.out.splitlines() if line[:2].strip().isdigit()]
    assert " seg " in header
    assert " pass " in header
    assert rows[0].split()[:4] == ["0", "conv1", "┐", "0r"]
    assert rows[1].split()[:4] == ["1", "dw1", "│", "0r"]
    assert rows[3].split()[:4] == ["3", "dw2", "┘", "0r"]
    assert rows[8].split()[:4] == ["8", "pw4", "┐", "2c"]
    assert rows[14].split()[:3] == ["14", "pw7", "pointwise"]
    assert rows[0].endswith("rows, pipelined  14 x 8 rows, lead 2")
    assert rows[8].rstrip().endswith("channels         8 x 32 channels")
    assert " ring " in rows[0]
    assert " external " not in rows[0]
    assert "the clock may take another" in ran.out
    assert "the clock may take another" not in run("analyze", "mobilenet_v1", "-v", "--policy", "serial").out


def test_quiet_leaves_the_bare_table() -> None:
    lines = run("analyze", "mobilenet_cifar", "-q").out.splitlines()
    assert len(lines) == 1 + 1 + 30 + 1 + 1


def test_the_sentences_name_bound_and_costly_layers() -> None:
    out = run("analyze", "mobilenet_v1").out
    assert "Most costly: 5 like pw7 377.0 us each (31.1 %, bus), pw13 1.160 ms (19.2 %, bus), fc1 1.030 ms (17.0 %, bus)" in out
    assert "16 of 30 layers run in 6 segments (in brackets): 2 pass rows (r) and 4 pass channels (c)." in out
    out = run("analyze", "mobilenet_v1", "--policy", "layerwise").out
    assert "run in" not in out
    assert "No schedule beats 4.408 ms, which the bus sets (4.408 MB of weights, input and output at 1 GB/s)" in out
    assert "beyond weights, input and output, 802.8 kB of feature maps that do not stay in SRAM cross the bus" in out
    assert "Most costly: 5 like pw7 377.0 us each (27.5 %, bus), pw13 1.160 ms (16.9 %, bus), fc1 1.030 ms (15.0 %, bus)" in out
    assert "MB of weights read again cross the bus" in run("analyze", "mobilenet_v1", "--sram", "64KiB", "--policy", "layerwise").out
    slow = run("analyze", "mobilenet_v1", "--set", "matrix_unit.throughput=10 GFLOPS").out
    assert "which the matrix unit sets (568.7 MMACs on the matrix unit)" in slow


OPTIONS: tuple[tuple[str, ...], ...] = (
    (),
    ("internal_memory.capacity=500 B",),
    ("internal_memory.capacity=250 B", "external_memory.latency=100 ns", "matrix_unit.launch_overhead=1 us"),
    ("matrix_unit.efficiency={depthwise: 0.3, conv: 0.7}", "vector_unit.efficiency={relu: 0.5}", "vector_unit.launch_overhead=2 us"),
    ("matrix_unit.fused=[relu, relu6, batch_norm]", "bus.bandwidth=1.7 GB/s"),
)


@pytest.mark.parametrize("options", OPTIONS)
def test_derivations_evaluate_to_the_figures(options: tuple[str, ...]) -> None:
    """Every `numbers` is arithmetic; Python works it out and the model's own figure must come out."""
    estimates = [branched(*options)]
    estimates += (
        [analyze("mobilenet_v1", alpha=0.25, rho=0.5, dtype="float32", hardware=seed_with(*options))]
        if "B" not in "".join(options[:1])
        else []
    )
    for estimate in estimates:
        for row in estimate.layers:
            derivation = derive(estimate, row.index)
            figures = {step.figure: step for step in derivation.steps}
            for step in derivation.steps:
                value = eval(step.numbers, {"__builtins__": {}, "max": max, "min": min, "ceil": math.ceil})
                assert math.isclose(value, step.value, rel_tol=1e-12, abs_tol=1e-18), (row.index, step)
                assert step.formula
            for key in LAYER[8:-1]:
                assert key in figures
            output = estimate.graph.maps[estimate.graph.operators[row.index].output].shape
            assert figures.get("output height", figures["macs"]).value in (output[0], row.macs)
            assert figures["time_s"].value == row.time_s
            assert figures["traffic_bytes"].value == row.traffic_bytes
            assert figures["sram_bytes"].value == row.sram_bytes


@pytest.mark.parametrize("chosen", ["table", "csv", "json", "markdown"])
def test_a_layer_in_every_format(chosen: str) -> None:
    ran = run("analyze", "mobilenet_v1", "--layer", "pw1", "--alpha", "3/4", "--format", chosen)
    assert ran.code == 0, ran.err
    assert "max(3 * 64 // 4, min(64, 8))" in ran.out
    if chosen == "csv":
        assert list(pandas.read_csv(io.StringIO(ran.out))) == ["figure", "value", "unit", "formula", "numbers"]
    if chosen == "json":
        assert json.loads(ran.out)["busiest"] == "vector"
