"""Files of other tools in a specification's place: recognised by content, else by name, and said to be what they are."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mnsim.spec.formats import foreign_format
from tests.helpers import ROOT, run

MNSIM = str(Path(sys.executable).with_name("mnsim"))


def onnx_model(**fields: object) -> bytes:
    onnx = pytest.importorskip("onnx")
    shape = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [shape("x", 1, [1])], [shape("y", 1, [1])])
    return bytes(onnx.helper.make_model(graph, **fields).SerializeToString())


def zipped(*members: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member in members:
            archive.writestr(member, b"\x80\x02}q\x00.")
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **{"conv1/filters": np.zeros(3)})
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def safetensors() -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4)


FILES = {
    "pytorch.onnx": (lambda: onnx_model(producer_name="pytorch", producer_version="2.1"), "an ONNX model"),
    "anonymous.onnx": (onnx_model, "an ONNX model"),
    "numbered.onnx": (lambda: onnx_model(model_version=3), "an ONNX model"),
    "large.onnx": (lambda: onnx_model(producer_name="tool", doc_string="x" * 1_100_000), "an ONNX model"),
    "net.tflite": (lambda: b"\x1c\0\0\0TFL3\x14\0\x20\0" + bytes(100), "a TensorFlow Lite model"),
    "net.pt": (lambda: zipped("net/data.pkl", "net/version"), "a PyTorch file"),
    "old.pth": (lambda: b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "a PyTorch file"),
    "net.keras": (lambda: zipped("metadata.json", "config.json"), "a Keras model"),
    "net.h5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file, as Keras writes"),
    "w.npz": (npz, "a file of NumPy arrays"),
    "w.npy": (npy, "a file of NumPy arrays"),
    "w.safetensors": (safetensors, "a file of weights (safetensors)"),
}
BY_NAME_ALONE = {
    "frozen.pb": (b"\x0a\x0c\x0a\x01x\x12\x0bPlaceholder" + b"\xf8" * 20, "a TensorFlow graph"),
    "net.caffemodel": (b"\x0a\x05LeNet\x92\x06\xff" + bytes(50), "a Caffe model"),
    "deploy.prototxt": (b'name: "LeNet"\nlayer { name: "data" }\n', "a Caffe model"),
    "odd.onnx": (b"\xff\xfe\xfd" * 10, "an ONNX model"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [True, False], ids=["its own name", "called x.yaml"])
def test_a_model_is_recognised_by_its_content(name: str, kept: bool, tmp_path: Path) -> None:
    make, what = FILES[name]
    path = tmp_path / (name if kept else "x.yaml")
    path.write_bytes(make())
    for arguments in (["analyze", str(path)], ["analyze", "squeezenet", "--hw", str(path)], ["sweep", "--spec", str(path)]):
        ran = run(*arguments)
        assert ran.code == 2
        assert f"error[S002]: '{path}' is {what}, and files of other tools are not read yet" in " ".join(ran.err.split())
        assert "YAML files" in ran.err
        assert "bundled names" in ran.err
        assert ("--weights" in ran.err) == name.startswith("w.")
        assert "0x" not in ran.err
    ran = run("check", str(path))
    assert ran.code == 2
    assert what in ran.out


@pytest.mark.parametrize("name", BY_NAME_ALONE)
def test_what_the_content_does_not_tell_the_name_does(name: str, tmp_path: Path) -> None:
    content, what = BY_NAME_ALONE[name]
    (tmp_path / name).write_bytes(content)
    ran = run("analyze", str(tmp_path / name))
    assert ran.code == 2
    assert f"is {what}, and" in ran.err


def test_standard_input_is_recognised_too() -> None:
    done = subprocess.run([MNSIM, "analyze", "-"], input=onnx_model(producer_name="pytorch"), capture_output=True)
    assert done.returncode == 2
    assert b"'<stdin>' is an ONNX model" in done.stderr


def test_a_text_is_read_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "n.onnx"
    path.write_text("name: n\ninput: [4, 4, 1]\nlayers: [relu]\n")
    assert run("analyze", str(path)).code == 0
    assert foreign_format("n.tflite", "é".encode() * 4000 + b"\n") is None


@pytest.mark.parametrize("path", [*(ROOT / "arch").glob("*.yaml"), *(ROOT / "hw").glob("*.yaml")], ids=lambda path: path.name)
def test_no_specification_is_taken_for_a_model(path: Path) -> None:
    for cut in (None, 1, 4, 9):
        assert foreign_format("x", path.read_bytes()[:cut]) is None


def test_other_binary_files_and_large_ones_are_said_to_be_that(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"name: \xf8\n")
    assert "not text: byte 0xf8 is not UTF-8" in run("analyze", str(tmp_path / "x.yaml")).err
    (tmp_path / "x.yaml").write_bytes(b"#" * 1_000_001)
    assert "the file is larger than 1,000,000 bytes" in run("analyze", str(tmp_path / "x.yaml")).err
