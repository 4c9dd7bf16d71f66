"""Padding at least as wide as the kernel: the border reads zeros alone. ONNX Runtime says what is legal, and what comes out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnsim.errors import ShapeError
from mnsim.graph.build import build_graph
from mnsim.lowering.lower import lower
from mnsim.operators.shapes import same_padding
from mnsim.pipeline import plan_network
from mnsim.program.model import Matrix
from mnsim.proof import verify
from mnsim.reference.calibrate import noise_images
from mnsim.reference.infer import infer
from mnsim.reference.weights import random_weights
from mnsim.spec.records import POLICIES, Policy
from tests.helpers import chain, run, seed_with

LAYERS = (
    "{conv: 6, kernel: 1, padding: 2, activation: relu}",
    "{conv: 8, kernel: 3, stride: 2, padding: [7, 3, 0, 5], groups: 2, batch_norm: unfolded}",
    "{depthwise: 2, stride: [3, 1], padding: [2, 9, 4, 1]}",
    "{conv: 5, kernel: [1, 2], stride: 4, padding: [1, 6, 2, 2]}",
)
POOLS = {"max_pool": "MaxPool", "avg_pool": "AveragePool"}


def test_squeezenets_last_layers_as_released() -> None:
    graph = build_graph(chain("{conv: 1000, kernel: 1, padding: 1, activation: relu}", "global_avg_pool", shape="[13, 13, 512]"))
    assert graph.maps[1].shape == (15, 15, 1000)
    assert graph.operators[0].macs == 115_200_000


def test_convolutions_agree_with_onnx_runtime() -> None:
    pytest.importorskip("onnxruntime")
    from tests.onnx_graphs import run_onnx

    graph = build_graph(chain(*LAYERS, shape="[5, 4, 4]"), dtype="float32")
    weights, image = random_weights(graph, seed=2), noise_images(graph, 1)[0]
    maps: dict[int, Any] = {}
    infer(graph, weights, image, None, lambda operator, _, result: maps.update({operator.output: result}))
    for operator, expected in zip(graph.operators, run_onnx(graph, weights, image), strict=True):
        assert maps[operator.output].shape == graph.maps[operator.output].shape == expected.shape
        np.testing.assert_allclose(maps[operator.output], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("sram", [10_000, 450, 250])
def test_plans_give_the_bits_of_inference(policy: Policy, sram: int) -> None:
    planned = plan_network(chain(*LAYERS, shape="[5, 4, 4]"), seed_with(f"internal_memory.capacity={sram} B"), policy)
    found = verify(planned, random_weights(planned.graph), noise_images(planned.graph, 1)[0])
    assert found.identical
    tiles = [command for command in lower(planned.graph, planned.plan).commands if isinstance(command, Matrix)]
    assert (min(tile.kernel.input_shape[0] for tile in tiles) == 0) == (sram < 10_000), "strips of padding alone"


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("kind", POOLS)
def test_a_pooling_window_of_padding_alone_is_refused_as_by_onnx_runtime(kind: str, extra: int) -> None:
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    from tests.onnx_graphs import session_of

    rows = 1 + extra  # of a window of 2
    node = helper.make_node(POOLS[kind], ["x"], ["y"], kernel_shape=[2, 2], strides=[1, 1], pads=[rows, 0, 0, 0])
    network = chain(f"{{{kind}: 2, stride: 1, padding: [{rows}, 0, 0, 0]}}")
    if extra == 0:
        session_of([node], [], ("x", TensorProto.FLOAT, [1, 4, 8, 8]), ["y"])
        assert build_graph(network).maps[1].shape == (8, 7, 4)
        return
    with pytest.raises(Exception, match="Pad should be smaller than kernel"):
        session_of([node], [], ("x", TensorProto.FLOAT, [1, 4, 8, 8]), ["y"])
    with pytest.raises(ShapeError, match="a window of padding alone has no"):
        build_graph(network)


def test_same_padding_is_never_as_wide_as_the_window() -> None:
    for extent in range(1, 12):
        for kernel in range(1, 8):
            for stride in range(1, 5):
                assert max(same_padding(extent, kernel, stride)) < kernel


def test_the_command_line_says_why(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("name: t\ninput: [8, 8, 4]\nlayers:\n  - {max_pool: [3, 2], stride: 2, padding: 2}\n")
    ran = run("analyze", str(tmp_path / "net.yaml"))
    assert ran.code == 2
    assert ":4:5: error[S301]: padding (2, 2, 2, 2) is as wide as the 3 x 2 window: a window of padding alone has no largest" in ran.err
    assert "help: pad at most 2 rows and 1 column" in ran.err
