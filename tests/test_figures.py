"""The figures that the project promises: printed in the papers, or computed by others from the counting rules alone."""

import pytest

from mnsim import Estimate, analyze
from mnsim.analysis.bounds import bound_times
from mnsim.clocks.rates import rates_of
from tests.helpers import ROOT, run


@pytest.mark.parametrize(
    ("network", "macs", "parameters"),
    [
        ("mobilenet_v1", 568_740_352, 4_231_976),
        ("mobilenet_cifar", 91_799_552, 572_938),
        ("mobilenet_cifar_singh", 121_491_200, 674_570),
        ("mobilenet_cifar_pardhi", 452_058_368, 3_130_314),
    ],
)
def test_macs_and_parameters(network: str, macs: int, parameters: int) -> None:
    total = analyze(network).total
    assert (total.macs, total.parameters) == (macs, parameters)


@pytest.mark.parametrize(("alpha", "millions", "parameters"), [("0.75", 325.400, 2.6), ("0.5", 149.497, 1.3), ("1/4", 41.030, 0.5)])
def test_width_multiplier(alpha: str, millions: float, parameters: float) -> None:
    """MobileNets, table 6 (printed 325, 149 and 41 million mult-adds; 2.6, 1.3 and 0.5 million parameters)."""
    record = _json("mobilenet_v1", "--alpha", alpha)
    assert round(record["total"]["macs"] / 1e6, 3) == millions
    assert round(record["total"]["parameters"] / 1e6, 1) == parameters


@pytest.mark.parametrize(("rho", "side", "millions"), [("6/7", 192, 418.122), ("5/7", 160, 290.675), ("4/7", 128, 186.401)])
def test_resolution_multiplier(rho: str, side: int, millions: float) -> None:
    """MobileNets, table 7 (printed 418, 290 and 186 million mult-adds); parameters do not change."""
    record = _json("mobilenet_v1", "--rho", rho)
    assert record["network"]["input_shape"] == [side, side, 3]
    assert round(record["total"]["macs"] / 1e6, 3) == millions
    assert record["total"]["parameters"] == 4_231_976


def test_share_of_pointwise_convolutions() -> None:
    """MobileNets, table 2: 94.86 % of the mult-adds are in 1 x 1 convolutions."""
    record = _json("mobilenet_v1")
    pointwise = sum(layer["macs"] for layer in record["layers"] if layer["type"] == "pointwise")
    assert round(100 * pointwise / record["total"]["macs"], 2) == 94.86


@pytest.mark.parametrize(
    ("network", "bus", "matrix", "vector", "all_external"),
    [
        ("mobilenet_cifar", 0.585186, 0.183599, 0.090322, 2.6409),
        ("mobilenet_v1", 4.408392, 1.137481, 0.509786, 16.1451),
        ("squeezenet", 1.416, 1.665, 0.970, 14.427),
        ("vgg16", 138.549, 30.941, 1.968, 201.632),
    ],
)
def test_independent_figures_in_ms(network: str, bus: float, matrix: float, vector: float, all_external: float) -> None:
    """Computed apart from this program, with the counting rules alone; milliseconds on the papers' machine, as many digits as known."""
    bundled = network != "vgg16"
    estimate = analyze(network if bundled else ROOT / "tests" / "data" / f"{network}.yaml")
    digits = 6 if network.startswith("mobilenet") else 3
    assert round(bound_times(estimate.graph, estimate.hardware, rates_of(estimate.hardware))[0] * 1e3, digits) == bus
    assert round(estimate.total.matrix_time_s * 1e3, digits) == pytest.approx(matrix, abs=1e-6)
    assert round(estimate.total.vector_time_s * 1e3, digits) == pytest.approx(vector, abs=1e-6)
    assert estimate.total.bound_time_s * 1e3 == pytest.approx(max(bus, matrix, vector), rel=1e-3)
    assert round(_all_maps_external_s(estimate) * 1e3, 4 if network.startswith("mobilenet") else 3) == all_external


def test_squeezenet_goes_through_branches() -> None:
    """3,781,571 bytes layer by layer, found apart from this program; its concats move nothing. Fused, no map crosses."""
    assert analyze("squeezenet").total.traffic_bytes == 1_415_939 == 1_260_352 + 227 * 227 * 3 + 1_000
    estimate = analyze("squeezenet", policy="layerwise")
    assert estimate.total.traffic_bytes == 3_781_571
    assert all(row.time_s == 0 for row in estimate.layers if estimate.graph.operators[row.index].kind == "concat")


def _all_maps_external_s(estimate: Estimate) -> float:
    """Serial time if every layer loaded all its inputs and stored its output (a concat or flatten moves nothing)."""
    maps = estimate.graph.maps
    moved = sum(
        operator.weight_bytes + maps[operator.output].size_bytes + sum(maps[source].size_bytes for source in operator.inputs)
        for operator in estimate.graph.operators
        if operator.kind not in ("concat", "flatten")
    )
    return moved / 1e9 + estimate.total.matrix_time_s + estimate.total.vector_time_s


def test_mobilenet_v1_spills_one_map() -> None:
    """Layer by layer dw1's output goes external and pw1's stays, which is twice as large: 5,211,208 bytes. Fused, none crosses."""
    assert analyze("mobilenet_v1").total.traffic_bytes == 4_408_392
    assert analyze("mobilenet_v1", policy="layerwise").total.traffic_bytes == 5_211_208
    estimate = analyze("mobilenet_v1", policy="serial")
    spilled = [feature_map.name for feature_map, home in zip(estimate.graph.maps, estimate.plan.homes, strict=True) if home.address is None]
    assert spilled == ["dw1"]
    assert estimate.total.traffic_bytes == 5_211_208


def test_mobilenet_cifar_moves_only_what_it_must() -> None:
    assert analyze("mobilenet_cifar").total.traffic_bytes == 585_186


def test_convolutions_of_the_papers() -> None:
    """27 rows in mobile-applications and singh, 23 in pardhi (whose 5 x pair is printed once)."""
    counts = {
        network: sum(operator.window is not None and operator.macs > 0 for operator in analyze(network).graph.operators)
        for network in ("mobilenet_cifar", "mobilenet_cifar_singh", "mobilenet_cifar_pardhi", "mobilenet_v1")
    }
    assert counts == {"mobilenet_cifar": 27, "mobilenet_cifar_singh": 27, "mobilenet_cifar_pardhi": 23, "mobilenet_v1": 27}


def _json(*arguments: str) -> dict[str, dict[str, object]]:
    import json

    ran = run("analyze", *arguments, "--format", "json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)
