"""What files of weights and images, and the proof, take of memory: what is needed, whatever a header says."""

import io
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnsim.errors import MnsimError, ShapeError, SpecError
from mnsim.graph.build import build_graph
from mnsim.pipeline import plan_network
from mnsim.proof import verify
from mnsim.reference.calibrate import noise_images
from mnsim.reference.images import CIFAR_RECORD_BYTES, load_images
from mnsim.reference.store import layer_arrays
from mnsim.reference.weight_files import load_weights
from mnsim.reference.weights import Weights, random_weights
from tests.helpers import chain, seed_with

MB = 1_000_000
BOMB = 100 * MB
SHAPE = (28, 28, 3)
DENSE = build_graph(chain("{dense: 500, bias: false, name: fc}"), dtype="float32")  # 500 x 256
SMALL = 8 * MB  # for all that is read of a small network's files, and to find out that a file is bad


def peak_bytes(work: Callable[[], object]) -> int:
    """The most that was allocated at once by Python and NumPy, beside what there was before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refused(work: Callable[[], object], most: int = SMALL) -> MnsimError:
    """The error, which must come before much is allocated."""
    found: list[MnsimError] = []

    def attempt() -> None:
        with pytest.raises((SpecError, ShapeError)) as caught:
            work()
        found.append(caught.value)

    assert peak_bytes(attempt) < most
    assert found[0].exit_code == 2
    return found[0]


def npy_header(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    text = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


LONG_HEADER = b"\x93NUMPY\x02\x00" + struct.pack("<I", BOMB)


def write_members(path: Path, content: bytes, name: str = "fc/filters.npy", method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["fc/filters.npy", "of_nobody.npy"])
def test_a_header_that_is_longer_than_any(tmp_path: Path, name: str) -> None:
    """100 MB of description, which the archive holds in 100 kB."""
    path = write_members(tmp_path / "w.npz", LONG_HEADER + b" " * BOMB, name)
    assert path.stat().st_size < MB
    error = refused(lambda: load_weights(path, DENSE))
    assert "its header announces 100,000,000 bytes for itself" in error.message


def test_a_long_header_of_images(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(LONG_HEADER)
    with path.open("r+b") as file:
        file.truncate(BOMB + 12)
    assert "100,000,000 bytes for itself" in refused(lambda: load_images(path, SHAPE)).message


@pytest.mark.parametrize("name", ["fc/filters.npy", "of_nobody.npy"])
def test_numbers_that_nobody_needs_are_not_unpacked(tmp_path: Path, name: str) -> None:
    """A sound array of 100 MB: too large for the layer, or of no layer at all."""
    path = write_members(tmp_path / "w.npz", npy_header((BOMB // 4,)) + bytes(BOMB), name)
    error = refused(lambda: load_weights(path, DENSE))
    assert ("is 25000000, but its filters are 500 x 256" in error.message) or "has no filters" in error.message


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_that_announces_more_than_it_has(tmp_path: Path, method: int) -> None:
    """What the network needs, a gigabyte, announced by a few hundred bytes: in the array's header and in the archive's directory."""
    graph = build_graph(chain("{dense: 1000000, bias: false, name: fc}"), dtype="float32")
    content = npy_header((1_000_000, 256)) + bytes(1000)
    path = write_members(tmp_path / "w.npz", content, method=method)
    raw = path.read_bytes()
    place = raw.rindex(b"PK\x01\x02") + 24  # the size in the central directory
    assert struct.unpack("<I", raw[place : place + 4]) == (len(content),)
    path.write_bytes(raw[:place] + struct.pack("<I", 128 + 1_024_000_000) + raw[place + 4 :])
    assert "the archive announces 1,024,000,128 bytes" in refused(lambda: load_weights(path, graph)).message


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_have_no_bound(tmp_path: Path, method: int) -> None:
    path = write_members(tmp_path / "w.npz", npy_header((500, 256)) + bytes(512_000), method=method)
    assert "neither stored nor deflated" in refused(lambda: load_weights(path, DENSE)).message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_weights_take_no_more_than_they_are(tmp_path: Path, save: Any) -> None:
    filters = np.random.default_rng(0).standard_normal((5000, 1024), np.float32)
    graph = build_graph(chain("{dense: 5000, bias: false, name: fc}", shape="[16, 16, 4]"), dtype="float32")
    save(tmp_path / "w.npz", **{"fc/filters": filters})
    loaded: list[Weights] = []
    assert peak_bytes(lambda: loaded.append(load_weights(tmp_path / "w.npz", graph))) < 1.3 * filters.nbytes + SMALL
    np.testing.assert_array_equal(loaded[0].layers["fc"]["filters"], filters)


def test_safetensors_that_announce_more_than_they_have(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    text = b'{"fc/filters": {"dtype": "F32", "shape": [500, 256], "data_offsets": [0, 512000]}}'
    path = tmp_path / "w.safetensors"
    for length, content in ((len(text), text), (BOMB, text), (2**63, text)):
        path.write_bytes(struct.pack("<Q", length) + content)
        assert refused(lambda: load_weights(path, DENSE)).code == "S401"


def write_external(path: Path, size: int, **where: Any) -> Path:
    """A model whose filters lie in `size` bytes of another file."""
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(name="fc.weight", dims=(500, 256), data_type=onnx.TensorProto.FLOAT)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": "data", **where}.items():
        tensor.external_data.add(key=key, value=str(value))
    stranger = onnx.TensorProto(name="of_nobody", dims=(BOMB // 4,), data_type=onnx.TensorProto.FLOAT)
    stranger.data_location = onnx.TensorProto.EXTERNAL
    stranger.external_data.add(key="location", value="data")
    path.write_bytes(onnx.helper.make_model(onnx.helper.make_graph([], "test", [], [], [tensor, stranger])).SerializeToString())
    with (path.parent / "data").open("wb") as file:
        file.write(np.arange(128_000, dtype=np.float32).tobytes())
        file.truncate(size)
    return path


def test_onnx_reads_no_more_of_a_file_beside_it_than_it_needs(tmp_path: Path) -> None:
    path = write_external(tmp_path / "w.onnx", BOMB)
    assert "'fc.weight' needs 512,000 bytes, but there are 100,000,000 in 'data'" in refused(lambda: load_weights(path, DENSE)).message
    path = write_external(tmp_path / "w.onnx", BOMB, length=BOMB)
    assert "needs 512,000 bytes" in refused(lambda: load_weights(path, DENSE)).message
    path = write_external(tmp_path / "w.onnx", 1000, length=512_000)
    assert "needs 512,000 bytes, but there are 1,000 in 'data'" in refused(lambda: load_weights(path, DENSE)).message
    for size, where in ((512_000, {}), (BOMB, {"length": 512_000}), (BOMB, {"length": 512_000, "offset": 0})):
        path = write_external(tmp_path / "w.onnx", size, **where)
        found: list[Weights] = []
        assert peak_bytes(lambda into=found, file=path: into.append(load_weights(file, DENSE))) < SMALL
        wanted = np.arange(128_000).reshape(500, 4, 8, 8).transpose(0, 2, 3, 1).reshape(500, 256)
        assert np.array_equal(found[0].layers["fc"]["filters"], wanted)
    (tmp_path / "data").unlink()
    assert "No such file" in refused(lambda: load_weights(path, DENSE)).message


def test_a_batch_is_read_as_far_as_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1.bin"
    random = np.random.default_rng(0)
    records = np.concatenate([random.integers(0, 10, (120, 1), np.uint8), random.integers(0, 256, (120, 3072), np.uint8)], axis=1)
    with path.open("wb") as file:
        file.write(records.tobytes())
        file.truncate(30_000 * CIFAR_RECORD_BYTES)  # 92 MB
    assert peak_bytes(lambda: load_images(path, SHAPE, 100)) < SMALL
    found = load_images(path, SHAPE, 100)
    path.write_bytes(records[:100].tobytes())
    whole = load_images(path, SHAPE)
    assert found.labels is not None
    assert whole.labels is not None
    assert np.array_equal(found.images, whole.images)
    assert found.labels.tolist() == whole.labels.tolist() == records[:100, 0].tolist()
    assert load_images(path, SHAPE, 1000).images.shape == whole.images.shape


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["uint8", "float32", ">f8"])
def test_arrays_of_images_are_read_as_far_as_they_are_asked_for(tmp_path: Path, kind: str, order: Any) -> None:
    images = np.asarray(np.random.default_rng(0).integers(0, 256, (4000, 28, 28, 3)), kind, order)
    np.save(tmp_path / "x.npy", images)
    assert images.nbytes > SMALL
    found: list[Any] = []
    assert peak_bytes(lambda: found.append(load_images(tmp_path / "x.npy", SHAPE, 5))) < SMALL
    assert np.array_equal(found[0].images, load_images(tmp_path / "x.npy", SHAPE).images[:5])
    assert np.array_equal(found[0].images, images[:5]) == (kind != "uint8")


def test_a_folder_is_read_as_far_as_it_is_asked_for(tmp_path: Path) -> None:
    """Two of the first file, then one of the second, which is long."""
    np.save(tmp_path / "a.npy", np.zeros((2, 28, 28, 3), np.uint8))
    np.save(tmp_path / "b.npy", np.full((8000, 28, 28, 3), 9, np.uint8))
    assert peak_bytes(lambda: load_images(tmp_path, SHAPE, 3)) < SMALL
    assert [image.max() == image.min() for image in load_images(tmp_path, SHAPE, 3).images[..., 0]] == [True] * 3


def test_arrays_that_cannot_be_images_are_not_read(tmp_path: Path) -> None:
    for shape, kind in (((10**6, 28, 28), "|u1"), ((1, BOMB // 8), "<i8"), ((10**4, 28, 28, 3), "<i8"), ((10**4, 27, 28, 3), "<f4")):
        path = tmp_path / "x.npy"
        path.write_bytes(npy_header(shape, kind))
        with path.open("r+b") as file:
            file.truncate(128 + int(np.prod(shape)) * np.dtype(kind).itemsize)
        refused(partial(load_images, path, SHAPE))


def test_a_bomb_of_pixels(tmp_path: Path) -> None:
    """81 million black pixels in a few hundred kilobytes: in a process of its own, for Pillow allocates by itself."""
    pytest.importorskip("PIL")
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc to read a process's memory from")
    path = tmp_path / "x.png"

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, rows = zlib.compressobj(), io.BytesIO()
    for _ in range(9000):
        rows.write(packer.compress(bytes(1 + 27_000)))
    rows.write(packer.flush())
    header = struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows.getvalue()) + chunk(b"IEND", b""))
    script = (
        "import sys; from pathlib import Path; from mnsim.errors import SpecError; from mnsim.reference.images import load_images\n"
        "try: load_images(sys.argv[1], (28, 28, 3))\n"
        "except SpecError as error: print(error.message)\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"  # not ru_maxrss, which begins with its parent's
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    message, peak_kib = done.stdout.splitlines()
    assert "9000 x 9000 pixels in" in message
    assert message.endswith("are a decompression bomb")
    assert int(peak_kib) < 200_000


WIDE = chain(  # nearly all of it is one fully connected layer, as in AlexNet and VGG, and one convolution over a whole map
    "{conv: 8, kernel: 3, stride: 2, name: c}",
    "{conv: 1024, kernel: 16, padding: valid, name: whole}",
    "{dense: 4096, name: fc}",
    shape="[32, 32, 4]",
)


@pytest.mark.parametrize(("dtype", "times"), [("int8", 0.8), ("float32", 1.3)])
def test_the_proof_needs_little_beside_the_weights(dtype: Any, times: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """What external memory holds, once (a float32 network's is as large as its weights), and some of a layer in float64 at a time."""
    monkeypatch.setattr("mnsim.reference.kernels.WIDENED_ELEMENTS", 1 << 16)
    monkeypatch.setattr("mnsim.reference.weights.PIECE_ELEMENTS", 1 << 14)
    monkeypatch.setattr("mnsim.reference.store.KEPT_BYTES", 1 << 16)
    planned = plan_network(WIDE, seed_with(), dtype=dtype)
    weights, image = random_weights(planned.graph), noise_images(planned.graph, 1)[0]
    size = sum(array.nbytes for arrays in weights.layers.values() for array in arrays.values())
    assert size > 24 * MB
    assert peak_bytes(lambda: verify(planned, weights, image)) < times * size


def test_random_weights_are_made_once() -> None:
    graph = build_graph(WIDE, dtype="float32")
    size = sum(operator.filter_bytes for operator in graph.operators)
    assert peak_bytes(lambda: random_weights(graph)) < 1.1 * size
    weights = random_weights(graph)
    assert peak_bytes(lambda: layer_arrays(graph, weights)) < 0.1 * size
