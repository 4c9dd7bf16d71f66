"""int8 where a channel's filter is next to nothing and its bias is not, as batch norms leave them in trained networks."""

import numpy as np
import pytest

from mnsim.graph.build import build_graph
from mnsim.reference.calibrate import calibrate, noise_images
from mnsim.reference.infer import infer
from mnsim.reference.numbers import dequantise
from mnsim.reference.weights import Weights, random_weights
from tests.helpers import network_of

NETWORK = """
name: dead
input: [8, 8, 3]
layers:
  - {conv: 4, kernel: 3, batch_norm: true}
  - {depthwise: 3, batch_norm: true, activation: relu6, name: d}
  - global_avg_pool
  - {dense: 3, bias: true, name: fc}
"""


def with_numbers(weights: Weights, layer: str, **numbers: float) -> Weights:
    """The weights with the second channel's numbers changed."""
    layers = {name: dict(arrays) for name, arrays in weights.layers.items()}
    for name, value in numbers.items():
        layers[layer][name] = layers[layer][name].copy()
        layers[layer][name][1] = value
    return Weights(layers)


@pytest.mark.parametrize("gamma", [1e-4, 1e-6, 1e-8, 1e-12, 1e-37, 0.0, -1e-9])
def test_a_bias_is_kept_however_small_the_filter(gamma: float) -> None:
    graph, plain = build_graph(network_of(NETWORK)), build_graph(network_of(NETWORK), dtype="float32")
    weights = with_numbers(random_weights(graph), "d", gamma=gamma, beta=3)
    images = noise_images(graph, 3)
    numbers = calibrate(graph, weights, images)
    scale = numbers.maps[graph.outputs[0]]
    for image in images:
        (found,), (wanted,) = infer(graph, weights, image, numbers), infer(plain, weights, image)
        assert np.abs(dequantise(found, scale) - wanted).max() <= 3 * scale.scale


def test_a_channel_without_filter_has_its_bias_to_a_fraction_of_a_step() -> None:
    graph, plain = build_graph(network_of(NETWORK)), build_graph(network_of(NETWORK), dtype="float32")
    weights = with_numbers(random_weights(graph), "fc", bias=0.37)
    layers = {name: dict(arrays) for name, arrays in weights.layers.items()}
    layers["fc"]["filters"] = layers["fc"]["filters"].copy()
    layers["fc"]["filters"][1] = 0
    images = noise_images(graph, 2)
    numbers = calibrate(graph, Weights(layers), images)
    scale = numbers.maps[graph.outputs[0]]
    (found,), (wanted,) = infer(graph, Weights(layers), images[0], numbers), infer(plain, Weights(layers), images[0])
    assert abs(float(dequantise(found, scale)[0, 0, 1]) - float(wanted[0, 0, 1])) <= scale.scale / 2 + 1e-6
