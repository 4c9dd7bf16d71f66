"""int8 inference: right on digits whose labels are known, the same bits on both of its paths, and every activation near its float."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mnsim.errors import ShapeError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.graph.operators import RULES
from mnsim.pipeline import plan_network
from mnsim.program.model import Kernel
from mnsim.proof import verify
from mnsim.reference.calibrate import calibrate, noise_images
from mnsim.reference.images import load_images
from mnsim.reference.infer import as_input, infer, run
from mnsim.reference.kernels import Array
from mnsim.reference.numbers import Numbers, Scale, StageNumbers, dequantise
from mnsim.reference.stages import ACTIVATIONS, accumulate, apply_vector
from mnsim.reference.store import layer_arrays
from mnsim.reference.weight_files import load_weights
from mnsim.reference.weights import Weights, random_weights
from mnsim.spec.load import load_network
from mnsim.spec.records import Network
from tests import generators
from tests.digits import NETWORK, WEIGHTS, digits, write_digits
from tests.generators import networks, small_layers
from tests.helpers import NETWORKS, chain, layer, seed_with
from tests.helpers import run as command

QUARTER = Fraction(1, 4)
Stage = tuple[str, str, Array]


def right_of(dtype: Any, fast: bool, tmp_path: Path) -> int:
    """How many of the 200 digits inference gets right."""
    graph = build_graph(load_network("mobilenet_cifar"), QUARTER, dtype=dtype)
    weights = load_weights(WEIGHTS, graph)
    images, labels = load_images(write_digits(tmp_path / "digits.bin"), graph.maps[0].shape)
    assert labels is not None
    numbers = calibrate(graph, weights, images[:8]) if dtype == "int8" else None
    arrays = layer_arrays(graph, weights, numbers)
    scores = [run(graph, arrays, image, numbers, fast=fast)[0].reshape(-1) for image in images]
    return sum(int(score.argmax()) == label for score, label in zip(scores, labels, strict=True))


def test_the_digits_are_what_their_readme_says(tmp_path: Path) -> None:
    pixels, labels = digits()
    assert (pixels.shape, pixels.dtype, set(labels.tolist())) == ((200, 28, 28), np.uint8, set(range(10)))
    images = load_images(write_digits(tmp_path / "digits.bin"), (28, 28, 3)).images
    wanted = ((pixels[7] / 255)[..., np.newaxis] - (0.4914, 0.4822, 0.4465)) / (0.2470, 0.2435, 0.2616)
    np.testing.assert_allclose(images[7], wanted, rtol=1e-6)


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "exact"])
def test_int8_is_as_often_right_as_float32(fast: bool, tmp_path: Path) -> None:
    exact, rough = right_of("float32", fast, tmp_path), right_of("int8", fast, tmp_path)
    assert exact >= 190
    assert abs(exact - rough) <= 1


@pytest.mark.parametrize("dtype", [(), ("--dtype", "float32")], ids=["default", "float32"])
def test_the_command_is_right_on_digits(dtype: tuple[str, ...], tmp_path: Path) -> None:
    data = str(write_digits(tmp_path / "digits.bin"))
    found = command("infer", *NETWORK, "--weights", str(WEIGHTS), "--data", data, "--limit", "200", "--format", "json", *dtype)
    assert (found.code, found.err) == (0, "")
    assert json.loads(found.out)["top1"] >= 0.95


def seen(graph: Graph, weights: Weights, image: Array, numbers: Numbers, fast: bool) -> list[Stage]:
    """The result of every stage of every operator."""
    found: list[Stage] = []
    run(graph, layer_arrays(graph, weights, numbers), image, numbers, lambda *each: found.append((each[0].name, each[1], each[2])), fast)
    return found


def agree(graph: Graph, weights: Weights, image: Array, numbers: Numbers) -> None:
    """Both paths give the same bytes, stage by stage."""
    exact, fast = (seen(graph, weights, image, numbers, way) for way in (False, True))
    assert [each[:2] for each in exact] == [each[:2] for each in fast]
    for (name, stage, wanted), (_, _, found) in zip(exact, fast, strict=True):
        assert found.dtype == wanted.dtype == np.int8
        np.testing.assert_array_equal(found, wanted, f"{name}: {stage}")


def test_generated_networks_have_every_operator() -> None:
    assert {*generators.KINDS, *generators.RENAMES} == set(RULES)
    assert set(generators.ACTIVATIONS) == {"none", *ACTIVATIONS}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(networks(("int8",)), st.integers(0, 2**32 - 1), st.sampled_from((0.01, 1.0, 30.0)), st.booleans())
def test_both_paths_give_the_same_bits(graph: Graph, seed: int, loudness: float, is_quantised: bool) -> None:
    """On images that calibration has not seen, and of other sizes, so that much is saturated; also on bytes without any order."""
    random = np.random.default_rng(seed)
    weights = random_weights(graph, seed)
    image = random.standard_normal(graph.maps[0].shape, np.float32) * np.float32(loudness)
    if is_quantised:
        image = random.integers(-128, 128, graph.maps[0].shape, np.int8)
    agree(graph, weights, image, calibrate(graph, weights))


@pytest.mark.parametrize("name", NETWORKS)
def test_both_paths_give_the_same_bits_on_bundled_networks(name: str) -> None:
    graph = build_graph(load_network(name), Fraction(1, 8), QUARTER)
    weights = random_weights(graph, 2)
    numbers = calibrate(graph, weights)
    for image in noise_images(graph, 2, seed=9):
        agree(graph, weights, image, numbers)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from(sorted(RULES)), st.sampled_from(generators.ACTIVATIONS), st.integers(0, 2**32 - 1))
def test_int8_operators_follow_float32(data: st.DataObject, kind: str, activation: str, seed: int) -> None:
    """Each operator on its own, whatever comes behind it, is off by no more than its own roundings: a few steps of its map."""
    shape = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 4), st.integers(1, 6)))
    written = data.draw(small_layers("it", kind, ("input", "input"), shape))
    if kind in (*generators.FILTERED, "add"):
        written = replace(written, activation=activation)
    try:
        error, step = error_of(Network("test", "", "", shape, 1, (written,)), seed)
    except ShapeError:
        reject()  # a kernel that does not fit
    assert error <= 3 * step


def error_of(network: Network, seed: int) -> tuple[float, float]:
    """How far int8 is from float32 at most, on an image that is number for number the same in both; and the step of int8's output."""
    graph, plain = build_graph(network), build_graph(network, dtype="float32")
    weights, image = random_weights(graph, seed), np.random.default_rng(seed).standard_normal(graph.maps[0].shape, np.float32)
    numbers = calibrate(graph, weights, [image])
    quantised = as_input(graph, image, numbers)
    (found,), (wanted,) = infer(graph, weights, quantised, numbers), infer(plain, weights, dequantise(quantised, numbers.maps[0]))
    scale = numbers.maps[graph.outputs[0]]
    return float(np.abs(dequantise(found, scale) - wanted).max()), scale.scale


def hard_swish(x: Array) -> Array:
    return x * np.clip(x + 3, 0, 6) / 6


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def offset(x: Array) -> Array:
    """Its outputs are far from all that it reads."""
    return x / 8 - 20


FUNCTIONS: dict[str, tuple[Callable[[Array], Array], float]] = {  # with their steepest slopes
    "hard_swish": (hard_swish, 1.5),
    "sigmoid": (sigmoid, 0.25),
    "tanh": (np.tanh, 1),
    "offset": (offset, 0.125),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("batch_norm", ["none", "folded", "unfolded"])
def test_an_activation_that_is_no_clamp(name: str, batch_norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row in the operator table and a function are enough; on a convolution it is what it is as a layer of its own, bit for bit."""
    monkeypatch.setitem(RULES, name, RULES["relu"]._replace(ops_per_output=lambda window, inputs: 4, is_clamp=False))
    function, slope = FUNCTIONS[name]
    monkeypatch.setitem(ACTIVATIONS, name, function)
    first = layer("c", "conv", "input", kernel=(3, 3), channels=8, padding="same", bias=True, batch_norm=batch_norm, activation=name)
    fused = Network("test", "", "", (9, 9, 4), 1, (first,))
    bare = replace(fused, layers=(replace(first, activation="none"),))
    alone = replace(fused, layers=(*bare.layers, layer("a", name, "c")))
    for seed in range(3):
        (error, step), (before, _) = error_of(fused, seed), error_of(bare, seed)
        assert (error, step) == error_of(alone, seed)
        assert error <= slope * before + 0.501 * step  # what it reads is as good as the convolution; it rounds once itself
    assert build_graph(fused).operators[0].vector_ops[-1] == build_graph(alone).operators[1].vector_ops[0] == (name, 4 * 9 * 9 * 8)
    graph = build_graph(fused)
    weights = random_weights(graph)
    numbers = calibrate(graph, weights)
    agree(graph, weights, noise_images(graph, 1, seed=4)[0], numbers)
    found = verify(plan_network(fused, seed_with("internal_memory.capacity=700 B")), weights, noise_images(graph, 1)[0])
    assert found.identical
    assert found.compared_elements >= 9 * 9 * 8
    plain = build_graph(fused, dtype="float32")
    arrays, image = layer_arrays(plain, weights), noise_images(plain, 1)[0]
    np.testing.assert_allclose(run(plain, arrays, image, fast=True)[0], run(plain, arrays, image)[0], rtol=1e-4, atol=1e-4)


def test_what_a_clamp_reads_has_the_scale_of_what_it_writes() -> None:
    """All 256 values are for what it lets through."""
    for name in ("relu", "relu6"):
        written = layer("c", "conv", "input", kernel=(1, 1), channels=8, activation=name)
        graph = build_graph(Network("test", "", "", (9, 9, 4), 1, (written,)))
        conv, clamp = calibrate(graph, random_weights(graph)).layers[0].stages
        assert conv.output == clamp.output
        assert clamp.output.zero_point == -128


def test_bytes_are_never_taken_for_numbers() -> None:
    """Not even by one who forgets what they stand for."""
    x, scale = np.ones((2, 2, 1), np.int8), Scale(0.5, 3)
    for name in ("relu", "max_pool", "avg_pool", "add", "softmax", "batch_norm"):
        kernel, norm = Kernel(name, "int8", (), x.shape, x.shape), np.ones((2, 1), np.float32)
        for in_place in (False, True):
            with pytest.raises(TypeError, match="int8 values run with"):
                apply_vector(kernel, [x], None, norm, in_place)
            with pytest.raises(TypeError, match="float32 values run without"):
                apply_vector(kernel, [x.astype(np.float32)], StageNumbers(name, (scale,), scale), norm, in_place)
    with pytest.raises(TypeError, match="int8 values run with"):
        accumulate(Kernel("conv", "int8", (), x.shape, x.shape), x, np.ones((1, 1, 1, 1), np.int8))


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_fused_activation_waits_for_a_batch_norm_that_is_not(dtype: Any) -> None:
    """A unit that fuses relu alone cannot do it before the batch norm in front of it: both run on the vector unit then."""
    network = chain("{conv: 8, kernel: 3, batch_norm: unfolded, activation: relu, name: c}")
    times = {}
    for fused in ("[]", "[relu]", "[batch_norm]", "[batch_norm, relu]"):
        planned = plan_network(network, seed_with(f"matrix_unit.fused={fused}"), dtype=dtype)
        found = verify(planned, random_weights(planned.graph), noise_images(planned.graph, 1)[0])
        assert found.identical, fused
        times[fused] = found.simulated.estimate.layers[0].vector_time_s
    assert times["[]"] == times["[relu]"] > times["[batch_norm]"] > times["[batch_norm, relu]"] == 0
