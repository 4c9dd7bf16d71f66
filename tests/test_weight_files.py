"""Weights from .npz, .safetensors and .onnx: what is in the file is what the layers get, and what is wrong names its layer."""

import json
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mnsim.cli.weights import save_weights
from mnsim.errors import MnsimError, ShapeError, SpecError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.reference.weight_files import load_weights, npz_bytes, read_weights
from mnsim.reference.weights import EPSILON, Weights, expected_shapes, random_weights
from tests.helpers import chain

Arrays = dict[str, NDArray[Any]]


def small() -> Graph:
    """A layer of every kind that has weights, and a dense one that reads a map of 4 x 4."""
    network = chain(
        "{conv: 6, kernel: 3, bias: true}",
        "{depthwise: 3, multiplier: 2, stride: 2, batch_norm: true, name: dw}",
        "{conv: 8, kernel: 1, groups: 2, bias: false, batch_norm: unfolded, name: grouped}",
        "{batch_norm: , name: bn}",
        "{dense: 5, name: fc}",
    )
    return build_graph(network, dtype="float32")


GRAPH = small()
WEIGHTS = random_weights(GRAPH, 7)


def flat(weights: Weights) -> Arrays:
    return {f"{layer}/{array}": values for layer, arrays in weights.layers.items() for array, values in arrays.items()}


def same(left: Weights, right: Weights) -> bool:
    one, other = flat(left), flat(right)
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) and one[name].dtype == np.float32 for name in one)


def torch_arrays(weights: Weights = WEIGHTS) -> Arrays:
    """The weights of `small` as PyTorch names them and lays them out, written out by hand."""
    layers = weights.layers
    fc = layers["fc"]["filters"].reshape(5, 4, 4, 8)  # its input: row, column, channel
    found: Arrays = {
        "conv1.weight": layers["conv1"]["filters"].transpose(0, 3, 1, 2),
        "dw.weight": layers["dw"]["filters"].transpose(2, 0, 1)[:, np.newaxis],
        "grouped.weight": layers["grouped"]["filters"].transpose(0, 3, 1, 2),
        "fc.weight": fc.transpose(0, 3, 1, 2).reshape(5, -1),
    }
    for layer in layers:
        stem = layer if layer == "bn" else f"{layer}.bn"
        names = {"gamma": f"{stem}.weight", "beta": f"{stem}.bias", "mean": f"{stem}.running_mean", "variance": f"{stem}.running_var"}
        names["bias"] = f"{layer}.bias"
        found |= {names[array]: values for array, values in layers[layer].items() if array in names}
    return {name: np.ascontiguousarray(values) for name, values in found.items()}


def write_npz(path: Path, arrays: Arrays) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def write_safetensors(path: Path, arrays: Arrays) -> Path:
    """By the format's description: length of the header, header in JSON, the arrays' bytes."""
    header, data = {}, b""
    kinds = {"float32": "F32", "float64": "F64", "float16": "F16", "int64": "I64"}
    for name, values in arrays.items():
        raw = np.ascontiguousarray(values).tobytes()
        header[name] = {"dtype": kinds[values.dtype.name], "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def write_onnx(path: Path, arrays: Arrays, nodes: tuple[Any, ...] = ()) -> Path:
    onnx = pytest.importorskip("onnx")
    tensors = [onnx.numpy_helper.from_array(values, name) for name, values in arrays.items()]
    graph = onnx.helper.make_graph(list(nodes), "test", [], [], initializer=tensors)
    onnx.save(onnx.helper.make_model(graph), path)
    return path


WRITERS = {".npz": write_npz, ".safetensors": write_safetensors, ".onnx": write_onnx}


def write(path: Path, arrays: Arrays) -> Path:
    if path.suffix == ".safetensors":
        pytest.importorskip("safetensors")
    return WRITERS[path.suffix](path, arrays)


def fails(path: Path, graph: Graph = GRAPH) -> MnsimError:
    with pytest.raises((SpecError, ShapeError)) as caught:
        load_weights(path, graph)
    assert caught.value.exit_code == 2
    assert caught.value.location is not None
    assert caught.value.location.file == str(path)
    return caught.value


def test_the_small_network_has_every_array() -> None:
    shapes = expected_shapes(GRAPH)
    assert {array for arrays in shapes.values() for array in arrays} == {"filters", "bias", "gamma", "beta", "mean", "variance"}
    assert shapes["dw"]["filters"] == (3, 3, 12)
    assert shapes["grouped"]["filters"] == (8, 1, 1, 6)
    assert shapes["fc"]["filters"] == (5, 4 * 4 * 8)
    assert set(shapes["bn"]) == {"gamma", "beta", "mean", "variance"}


def test_npz_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    save_weights(str(path), WEIGHTS)
    assert same(load_weights(path, GRAPH), WEIGHTS)
    with np.load(path, allow_pickle=False) as found:  # any NumPy reads it
        assert set(found.files) == set(flat(WEIGHTS))
        assert np.array_equal(found["dw/filters"], WEIGHTS.layers["dw"]["filters"])


def test_the_same_weights_are_the_same_bytes() -> None:
    turned = Weights({layer: dict(reversed(list(arrays.items()))) for layer, arrays in reversed(list(WEIGHTS.layers.items()))})
    assert npz_bytes(WEIGHTS) == npz_bytes(random_weights(GRAPH, 7)) == npz_bytes(turned)
    assert npz_bytes(WEIGHTS) != npz_bytes(random_weights(GRAPH, 8))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_own_names_in_files_of_numpy(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "w.npz", **flat(WEIGHTS))
    assert same(load_weights(tmp_path / "w.npz", GRAPH), WEIGHTS)


def test_other_orders_and_types_of_numbers(tmp_path: Path) -> None:
    turned: Arrays = {name: np.asfortranarray(values.astype(">f8")) for name, values in flat(WEIGHTS).items()}
    assert same(load_weights(write_npz(tmp_path / "w.npz", turned), GRAPH), WEIGHTS)
    halves = {name: values.astype(np.float16) for name, values in flat(WEIGHTS).items()}
    found = load_weights(write_npz(tmp_path / "h.npz", halves), GRAPH)
    assert np.array_equal(found.layers["fc"]["filters"], halves["fc/filters"].astype(np.float32))


@pytest.mark.parametrize("suffix", WRITERS)
def test_names_and_layouts_of_pytorch(tmp_path: Path, suffix: str) -> None:
    extra = torch_arrays() | {"dw.bn.num_batches_tracked": np.array(3), "aux.weight": np.ones((2, 2), np.float32)}
    loaded = read_weights(write(tmp_path / f"w{suffix}", extra), GRAPH)
    assert same(loaded.weights, WEIGHTS)
    assert set(loaded.unused) == {"dw.bn.num_batches_tracked", "aux.weight"}


def test_own_names_in_safetensors(tmp_path: Path) -> None:
    assert same(load_weights(write(tmp_path / "w.safetensors", flat(WEIGHTS)), GRAPH), WEIGHTS)


def test_safetensors_of_the_library(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy")
    library.save_file(torch_arrays(), tmp_path / "w.safetensors", {"format": "pt"})
    assert same(load_weights(tmp_path / "w.safetensors", GRAPH), WEIGHTS)
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    library.save_file({name: values.astype(bfloat16) for name, values in flat(WEIGHTS).items()}, tmp_path / "b.safetensors")
    found = load_weights(tmp_path / "b.safetensors", GRAPH)
    assert np.array_equal(found.layers["fc"]["bias"], WEIGHTS.layers["fc"]["bias"].astype(bfloat16).astype(np.float32))


def test_onnx_arrays_lie_as_their_operators_want_them(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    arrays = torch_arrays()
    arrays["conv1/filters"] = arrays.pop("conv1.weight")  # in .onnx the name does not say the layout
    for turn, node in enumerate(
        (
            onnx.helper.make_node("Gemm", ["x", "fc.weight", "fc.bias"], ["y"]),
            onnx.helper.make_node("MatMul", ["x", "fc.weight"], ["y"]),
            onnx.helper.make_node("Gemm", ["x", "fc.weight", "fc.bias"], ["y"], transB=1),
        )
    ):
        matrix = arrays["fc.weight"] if turn == 2 else np.ascontiguousarray(arrays["fc.weight"].T)
        path = write_onnx(tmp_path / f"{turn}.onnx", arrays | {"fc.weight": matrix}, (node,))
        assert same(load_weights(path, GRAPH), WEIGHTS)


@pytest.mark.parametrize("epsilon", [EPSILON, 1e-5, None])
def test_the_epsilon_of_onnx_is_kept(tmp_path: Path, epsilon: float | None) -> None:
    onnx = pytest.importorskip("onnx")
    names = [f"bn.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
    node = onnx.helper.make_node("BatchNormalization", ["x", *names], ["y"], **({"epsilon": epsilon} if epsilon else {}))
    arrays = torch_arrays() | {"bn.running_var": np.array([0, *[1] * 7], np.float32)}
    found = load_weights(write_onnx(tmp_path / "w.onnx", arrays, (node,)), GRAPH).layers["bn"]["variance"]
    assert found + EPSILON == pytest.approx(arrays["bn.running_var"] + (epsilon or 1e-5), rel=1e-4)
    assert (found[0] == 0) == (epsilon == EPSILON)


def test_flattened_channels_are_put_in_order(tmp_path: Path) -> None:
    """Flatten, and what keeps its order, between a map and the layers that read it."""
    layers = ["{conv: 3, kernel: 3, name: c}", "{flatten: , name: f}", "{batch_norm: , name: bn}", "{relu: }", "{dense: 2, name: fc}"]
    graph = build_graph(chain(*layers, shape="[4, 5, 2]"))
    weights = random_weights(graph, 1)
    ours = weights.layers
    arrays: Arrays = {f"bn.{name}": ours["bn"][name].reshape(4, 5, 3).transpose(2, 0, 1).ravel() for name in ours["bn"]}
    arrays |= {f"{name}.bias": ours[name]["bias"] for name in ("c", "fc") if "bias" in ours[name]}
    arrays["c.weight"] = ours["c"]["filters"].transpose(0, 3, 1, 2)
    arrays["fc.weight"] = ours["fc"]["filters"].reshape(2, 4, 5, 3).transpose(0, 3, 1, 2).reshape(2, -1)
    assert same(load_weights(write_npz(tmp_path / "w.npz", arrays), graph), weights)


def test_concatenated_flattened_channels_are_put_in_order(tmp_path: Path) -> None:
    layers = [
        "{flatten: , name: f}",
        "{global_avg_pool: , input: input, name: g}",
        "{concat: [g, f], name: c}",
        "{conv: 2, kernel: 1, name: pw}",
    ]
    graph = build_graph(chain(*layers, shape="[2, 3, 4]"))
    weights = random_weights(graph, 1)
    ours = weights.layers["pw"]["filters"].reshape(2, 28)
    theirs = np.concatenate([ours[:, :4], ours[:, 4:].reshape(2, 2, 3, 4).transpose(0, 3, 1, 2).reshape(2, 24)], 1)
    arrays: Arrays = {"pw.weight": theirs.reshape(2, 28, 1, 1), "pw.bias": weights.layers["pw"]["bias"]}
    assert same(load_weights(write_npz(tmp_path / "w.npz", arrays), graph), weights)


@pytest.mark.parametrize("layer", ["{depthwise: 1, bias: true, name: d}", "{conv: 4, kernel: 1, groups: 2, name: d}"])
def test_flattened_channels_in_groups_are_refused(tmp_path: Path, layer: str) -> None:
    graph = build_graph(chain("{flatten: , name: f}", layer, shape="[2, 2, 2]"))
    weights = random_weights(graph, 1)
    arrays = {name.replace("/", ".").replace("filters", "weight"): values for name, values in flat(weights).items()}
    arrays["d.weight"] = arrays["d.weight"].reshape(8, 1, 1, 1) if "depthwise" in layer else arrays["d.weight"].transpose(0, 3, 1, 2)
    assert "layer 'd' treats the channels of a flattened map in groups" in fails(write_npz(tmp_path / "w.npz", arrays), graph).message
    assert same(load_weights(write_npz(tmp_path / "o.npz", flat(weights)), graph), weights)


def test_a_layer_that_is_called_like_anothers_batch_norm(tmp_path: Path) -> None:
    graph = build_graph(chain("{conv: 2, kernel: 1, bias: true, name: a}", "{batch_norm: , name: a.bn}"))
    weights = random_weights(graph, 1)
    arrays: Arrays = {f"a.bn.{array}": values for array, values in weights.layers["a.bn"].items()}
    arrays |= {"a.bn.weight": arrays.pop("a.bn.gamma"), "a.bias": weights.layers["a"]["bias"]}
    arrays["a.weight"] = weights.layers["a"]["filters"].transpose(0, 3, 1, 2)
    assert same(load_weights(write_npz(tmp_path / "w.npz", arrays), graph), weights)


@pytest.mark.parametrize("suffix", WRITERS)
def test_missing_arrays_name_their_layers(tmp_path: Path, suffix: str) -> None:
    arrays = torch_arrays()
    del arrays["dw.weight"], arrays["fc.bias"]
    error = fails(write(tmp_path / f"w{suffix}", arrays))
    assert [problem.code for problem in error.problems] == ["S402", "S402"]
    assert error.problems[0].message == "layer 'dw': the file has no filters (3 x 3 x 12) for it"
    assert error.problems[0].remedy == "call the array dw/filters or dw.weight"
    assert "layer 'fc'" in error.problems[1].message


def test_a_mistyped_name_gets_the_right_one(tmp_path: Path) -> None:
    arrays = flat(WEIGHTS)
    arrays["dw/fliters"] = arrays.pop("dw/filters")
    assert "did you mean 'dw/fliters'?" in fails(write_npz(tmp_path / "w.npz", arrays)).remedy


def test_arrays_that_a_layer_has_not_are_refused(tmp_path: Path) -> None:
    error = fails(write_npz(tmp_path / "w.npz", flat(WEIGHTS) | {"grouped.bias": np.zeros(8, np.float32)}))
    assert (error.code, error.message) == ("S402", "layer 'grouped' has no bias, but the file has 'grouped.bias'")


def test_an_array_under_two_names_is_refused(tmp_path: Path) -> None:
    error = fails(write_npz(tmp_path / "w.npz", flat(WEIGHTS) | {"fc.bias": np.zeros(5, np.float32)}))
    assert "layer 'fc': its bias stand twice" in error.message


@pytest.mark.parametrize("suffix", WRITERS)
def test_wrong_shapes_name_their_layers(tmp_path: Path, suffix: str) -> None:
    arrays = torch_arrays() | {"dw.weight": np.ones((12, 1, 5, 5), np.float32)}
    error = fails(write(tmp_path / f"w{suffix}", arrays))
    assert isinstance(error, ShapeError)
    assert error.layer == "dw"
    assert error.message == "layer 'dw': 'dw.weight' is 12 x 1 x 5 x 5, but its filters are 12 x 1 x 3 x 3"


def test_the_other_layout_is_recognised(tmp_path: Path) -> None:
    arrays = torch_arrays()
    arrays["conv1/filters"] = arrays.pop("conv1.weight")
    assert "call it 'conv1.weight'" in fails(write_npz(tmp_path / "w.npz", arrays)).remedy
    ours = flat(WEIGHTS)
    ours["conv1.weight"] = ours.pop("conv1/filters")
    assert "call it 'conv1/filters'" in fails(write_npz(tmp_path / "v.npz", ours)).remedy


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_no_numbers_name_their_layer(tmp_path: Path, suffix: str, value: float) -> None:
    arrays = torch_arrays()
    bad = arrays["dw.weight"].astype(np.float64)
    bad.flat[2] = value
    error = fails(write(tmp_path / f"w{suffix}", arrays | {"dw.weight": bad}))
    assert error.code == "S403"
    assert "layer 'dw': 1 of the 108 values of 'dw.weight' are not finite" in error.message


def test_negative_variances_are_refused(tmp_path: Path) -> None:
    error = fails(write_npz(tmp_path / "w.npz", flat(WEIGHTS) | {"dw/variance": np.full(12, -1, np.float32)}))
    assert "layer 'dw': 12 of the 12 values of 'dw/variance' are below 0" in error.message


def test_integers_are_refused(tmp_path: Path) -> None:
    error = fails(write_npz(tmp_path / "w.npz", flat(WEIGHTS) | {"fc/bias": np.zeros(5, np.int8)}))
    assert (error.code, error.message) == ("S402", "layer 'fc': 'fc/bias' is of type int8")


class Bomb:
    """What a pickle could do to whoever loads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    import pickle

    objects: NDArray[Any] = np.empty(5, object)
    objects[:] = [Bomb()] * 5
    path = write_npz(tmp_path / "w.npz", flat(WEIGHTS) | {"fc/bias": objects})
    error = fails(path)
    assert error.code == "S401"
    assert "array 'fc/bias': it holds Python objects (a pickle)" in error.message
    path.write_bytes(pickle.dumps(Bomb()))
    assert "(a pickle)" in fails(path).message
    (tmp_path / "w.pt").write_bytes(pickle.dumps(Bomb()))
    assert "safetensors" in fails(tmp_path / "w.pt").remedy


@pytest.mark.parametrize("suffix", WRITERS)
def test_damaged_files_are_refused(tmp_path: Path, suffix: str) -> None:
    """Cut at many places, and overwritten at many: an error with a place, or the weights if nothing that matters was hit."""
    path = write(tmp_path / f"w{suffix}", torch_arrays())
    whole = path.read_bytes()
    for length in [0, 1, 7, 8, 9, 100, *range(200, len(whole), len(whole) // 20), len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert fails(path).code in ("S401", "S402", "S301", "S403")
    random = np.random.default_rng(5)
    for _ in range(60):
        broken = bytearray(whole)
        start = int(random.integers(0, 2000))
        broken[start : start + 4] = random.bytes(4)
        path.write_bytes(broken)
        try:
            load_weights(path, GRAPH)
        except MnsimError as error:
            assert error.exit_code == 2
    path.write_bytes(b"this is no file of weights, whatever its name says\n" * 9)
    assert fails(path).code == "S401"


def test_a_header_cannot_ask_for_memory(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    header = str({"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**5)}).encode().ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fc/bias.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    assert "array 'fc/bias': its header announces 400,000,000,000,000 bytes" in fails(path).message
    path = tmp_path / "w.safetensors"
    pytest.importorskip("safetensors")
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")
    assert fails(path).code == "S401"


def test_files_that_are_not_there_or_not_weights(tmp_path: Path) -> None:
    for suffix in WRITERS:
        if suffix != ".npz":
            pytest.importorskip(suffix[1:])
        assert "No such file" in fails(tmp_path / f"no{suffix}").message
    np.save(tmp_path / "one.npy", np.ones(3))
    assert "names no format of weights" in fails(tmp_path / "one.npy").message
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    assert "one array (.npy) without a name" in fails(tmp_path / "one.npz").message
    (tmp_path / "folder.npz").mkdir()
    assert "directory" in fails(tmp_path / "folder.npz").message
    pytest.importorskip("onnx")
    assert "no initialisers" in fails(write_onnx(tmp_path / "w.onnx", {})).message


@pytest.mark.parametrize(("suffix", "extra"), [("safetensors", "safetensors"), ("onnx", "onnx")])
def test_a_missing_library_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, suffix, None)
    error = fails(tmp_path / f"w.{suffix}")
    assert (error.code, error.remedy) == ("S404", f"pip install 'mnsim[{extra}]'")


def test_a_damaged_array_behind_a_sound_header_is_refused(tmp_path: Path) -> None:
    graph = build_graph(chain("{dense: 500, bias: false, name: fc}"))
    path = write_npz(tmp_path / "w.npz", flat(random_weights(graph)))
    broken = bytearray(path.read_bytes())
    broken[200_000] ^= 1
    path.write_bytes(broken)
    assert "Bad CRC" in fails(path, graph).message
