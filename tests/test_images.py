"""Images from .npy, .png, .jpg and CIFAR-10's binary batches, written here as the formats say."""

import pickle
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mnsim.errors import MnsimError, ShapeError, SpecError
from mnsim.operators.shapes import Shape
from mnsim.reference.images import CIFAR_10, Normalisation, load_images

SHAPE = (28, 28, 3)
UNCHANGED = Normalisation((0.0,), (1 / 255,))  # pixels stay 0 to 255
MEAN, DEVIATION = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2470, 0.2435, 0.2616])
RANDOM = np.random.default_rng(11)


def pixels(count: int, height: int = 32, width: int = 32, channels: int = 3) -> NDArray[np.uint8]:
    return RANDOM.integers(0, 256, (count, height, width, channels), np.uint8)


def write_cifar(path: Path, images: NDArray[np.uint8], labels: list[int]) -> Path:
    """A label, then 1,024 bytes of red, of green and of blue, row by row."""
    path.write_bytes(b"".join(bytes([label]) + image.transpose(2, 0, 1).tobytes() for image, label in zip(images, labels, strict=True)))
    return path


def write_png(path: Path, image: NDArray[np.uint8]) -> Path:
    """The smallest PNG there is: one chunk each, rows unfiltered."""
    height, width, _ = image.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.tobytes() for row in image)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


def fails(path: Path, shape: Shape = SHAPE) -> MnsimError:
    with pytest.raises((SpecError, ShapeError)) as caught:
        load_images(path, shape)
    assert caught.value.exit_code == 2
    assert caught.value.location is not None
    return caught.value


def test_a_cifar_batch_is_cropped_and_normalised(tmp_path: Path) -> None:
    images, labels = pixels(5), [3, 0, 9, 1, 1]
    found = load_images(write_cifar(tmp_path / "data_batch_1.bin", images, labels), SHAPE)
    assert found.images.shape == (5, 28, 28, 3)
    assert found.images.dtype == np.float32
    assert found.labels is not None
    assert found.labels.tolist() == labels
    wanted = (images[:, 2:30, 2:30] / 255 - MEAN) / DEVIATION
    assert np.array_equal(found.images, wanted.astype(np.float32))
    assert (tuple(MEAN), tuple(DEVIATION)) == CIFAR_10


def test_other_sizes_and_normalisations(tmp_path: Path) -> None:
    images = pixels(2)
    path = write_cifar(tmp_path / "test_batch.bin", images, [1, 2])
    assert np.array_equal(load_images(path, (32, 32, 3), normalisation=UNCHANGED).images, images)
    assert np.array_equal(load_images(path, (27, 32, 3), normalisation=UNCHANGED).images, images[:, 2:29])
    for shape in ((33, 28, 3), (224, 224, 3), (28, 28, 1)):
        assert "its images are 32 x 32 x 3" in fails(path, shape).message


def test_a_folder_is_read_in_order(tmp_path: Path) -> None:
    images = pixels(4)
    write_cifar(tmp_path / "data_batch_2.bin", images[2:3], [2])
    write_cifar(tmp_path / "data_batch_1.bin", images[:2], [0, 1])
    write_cifar(tmp_path / "test_batch.bin", images[3:], [3])
    (tmp_path / "batches.meta.txt").write_text("airplane\n")
    (tmp_path / "readme.html").write_text("<html>")
    found = load_images(tmp_path, (32, 32, 3), normalisation=UNCHANGED)
    assert np.array_equal(found.images, images)
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1, 2, 3]
    first = load_images(tmp_path, (32, 32, 3), limit=1)
    assert first.images.shape == (1, 32, 32, 3)
    assert first.labels is not None
    assert first.labels.tolist() == [0]


def test_labelled_and_unlabelled_files_do_not_mix(tmp_path: Path) -> None:
    write_cifar(tmp_path / "test_batch.bin", pixels(1), [3])
    np.save(tmp_path / "x.npy", pixels(1))
    assert "some of its files have labels" in fails(tmp_path).message


class Bomb:
    """What a pickle could do to whoever loads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize("name", ["data_batch_1", "data_batch_1.bin", "x.npy", "x.png"])
def test_pickles_are_never_loaded(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(), protocol=2))
    for path in (tmp_path / name, tmp_path):
        error = fails(path)
        assert "a pickle" in error.message
        assert "use the binary version" in error.remedy


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    objects: NDArray[Any] = np.array([Bomb()], object)
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    assert "(a pickle)" in fails(tmp_path / "x.npy").message


@pytest.mark.parametrize("size", [0, 1, 3072, 3074, 2 * 3073 - 1])
def test_cut_batches_are_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(bytes(size))
    error = fails(path)
    assert error.code == "S401"
    assert f"{size:,} bytes are no whole number of CIFAR-10's records" in error.message
    assert ("CIFAR-100" in error.remedy) == (size == 3074)


def test_labels_beyond_nine_are_refused(tmp_path: Path) -> None:
    path = write_cifar(tmp_path / "data_batch_1.bin", pixels(2), [9, 10])
    assert "record 1 has label 10" in fails(path).message


def test_npy_of_pixels_and_of_numbers(tmp_path: Path) -> None:
    images, path = pixels(3), tmp_path / "x.npy"
    np.save(path, images)
    found = load_images(path, SHAPE)
    assert found.labels is None
    assert np.array_equal(found.images, ((images[:, 2:30, 2:30] / 255 - MEAN) / DEVIATION).astype(np.float32))
    np.save(path, images[0])
    assert load_images(path, SHAPE).images.shape == (1, 28, 28, 3)
    numbers = RANDOM.standard_normal((2, 28, 28, 3)).astype(np.float32)
    for kept in (numbers, np.asfortranarray(numbers), numbers[0]):
        np.save(path, kept)
        assert np.array_equal(load_images(path, SHAPE).images, kept.reshape(-1, 28, 28, 3))


def test_pixels_of_one_channel_are_brought_around_zero(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([0, 255], np.uint8).reshape(1, 1, 2, 1))
    assert load_images(tmp_path / "x.npy", (1, 2, 1)).images.ravel().tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("array", "code", "phrase"),
    [
        (np.zeros((32, 32, 3), np.float32), "S301", "its images are 32 x 32 x 3, the input is 28 x 28 x 3"),
        (np.zeros((27, 28, 3), np.uint8), "S301", "its images are 27 x 28 x 3"),
        (np.zeros((1, 3, 28, 28), np.uint8), "S301", "its images are 3 x 28 x 28"),
        (np.zeros((28, 28), np.uint8), "S301", "its array is 28 x 28"),
        (np.zeros((0, 28, 28, 3), np.uint8), "S301", "its array is 0 x 28 x 28 x 3"),
        (np.zeros((28, 28, 3), np.int64), "S401", "int64 numbers"),
        (np.full((28, 28, 3), np.nan, np.float32), "S403", "has nan in image 0, row 0, column 0, channel 0"),
        (np.full((28, 28, 3), 1e300), "S403", "has inf in image 0"),
    ],
)
def test_arrays_that_cannot_be_images(tmp_path: Path, array: NDArray[Any], code: str, phrase: str) -> None:
    np.save(tmp_path / "x.npy", array)
    error = fails(tmp_path / "x.npy")
    assert error.code == code
    assert phrase in error.message


def test_damaged_npy_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, pixels(1))
    whole = path.read_bytes()
    for length in (0, 5, 6, 8, 9, 60, 127, 128, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert fails(path).code == "S401"
    path.write_bytes(whole + b"x")
    assert "announces 3,072 bytes of numbers, but there are 3,073" in fails(path).message
    path.write_bytes(b"no magic " * 20)
    assert fails(path).code == "S401"


def test_a_png_of_the_inputs_size_is_taken_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    (image,) = pixels(1, 28, 20)
    found = load_images(write_png(tmp_path / "x.png", image), (28, 20, 3), normalisation=UNCHANGED)
    assert np.array_equal(found.images, image[np.newaxis])
    assert found.labels is None


def test_a_png_of_cifars_size_is_cropped_like_cifar(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    (image,) = pixels(1)
    picture = load_images(write_png(tmp_path / "x.png", image), SHAPE).images
    assert np.array_equal(picture, load_images(write_cifar(tmp_path / "x.bin", image[np.newaxis], [0]), SHAPE).images)


@pytest.mark.parametrize("size", [(64, 64), (640, 320), (10, 10), (33, 32), (1, 500)])
def test_pictures_are_scaled_then_cropped(tmp_path: Path, size: tuple[int, int]) -> None:
    pillow = pytest.importorskip("PIL.Image")
    halves = np.zeros((*size, 3), np.uint8)
    halves[:, size[1] // 2 :] = 255
    for suffix in ("png", "jpg"):
        pillow.fromarray(halves).save(tmp_path / f"x.{suffix}")
        found = load_images(tmp_path / f"x.{suffix}", SHAPE, normalisation=UNCHANGED).images
        assert found.shape == (1, 28, 28, 3)
        if min(size) > 9:
            assert found[0, :, :8].max() < 40 < 215 < found[0, :, -8:].min()  # the middle stays in the middle


def test_jpeg_grey_alpha_and_palette(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    grey = pillow.new("L", (28, 28), 77)
    for mode, suffix in (("L", "jpg"), ("RGB", "jpeg"), ("RGBA", "png"), ("P", "png"), ("1", "png")):
        path = tmp_path / f"{mode}.{suffix}"
        grey.convert(mode).save(path)
        for channels in (1, 3):
            found = load_images(path, (28, 28, channels), normalisation=UNCHANGED).images
            assert found.shape == (1, 28, 28, channels)
            assert mode == "1" or abs(found - 77).max() <= 1


def test_a_picture_is_turned_upright(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    picture = pillow.new("RGB", (20, 28))
    exif = picture.getexif()
    exif[0x0112] = 6  # a camera on its side
    picture.save(tmp_path / "x.jpg", exif=exif)
    assert load_images(tmp_path / "x.jpg", (20, 28, 3)).images.shape == (1, 20, 28, 3)


def test_pictures_that_cannot_be_used(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    path = write_png(tmp_path / "x.png", pixels(1)[0])
    assert "a picture has 1 or 3 channels" in fails(path, (28, 28, 4)).message
    whole = path.read_bytes()
    for length in (0, 3, 8, 20, 40, len(whole) // 2):
        path.write_bytes(whole[:length])
        assert fails(path).code == "S401"
    pillow.new("I;16", (28, 28)).save(path)
    assert "more than 8 bits" in fails(path).message
    pillow.new("RGB", (28, 28)).save(path, format="BMP")
    assert fails(path).code == "S401"
    with write_png(path, pixels(1)[0]).open("r+b") as file:  # its header says 60,000 x 60,000
        header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        file.seek(12)
        file.write(header + struct.pack(">I", zlib.crc32(header)))
    assert "decompression bomb" in fails(path).message
    pillow.new("RGB", (64, 64)).save(tmp_path / "x.jpg")
    whole = (tmp_path / "x.jpg").read_bytes()
    (tmp_path / "x.jpg").write_bytes(whole[: len(whole) // 2])
    assert fails(tmp_path / "x.jpg").code == "S401"


def test_a_missing_pillow_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_png(tmp_path / "x.png", pixels(1)[0])
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    error = fails(path)
    assert (error.code, error.remedy) == ("S404", "pip install 'mnsim[images]'")
    assert "'PIL'" not in error.message


def test_files_that_are_not_there_or_not_images(tmp_path: Path) -> None:
    for name in ("no", "no.npy", "no.png", "no.bin"):
        assert "No such file" in fails(tmp_path / name).message
    assert "no file in the folder is an image" in fails(tmp_path).message
    (tmp_path / "x.gif").write_bytes(b"GIF89a")
    assert "'.gif' names no format of images" in fails(tmp_path / "x.gif").message
    (tmp_path / "x.npy").mkdir()
    assert "no file in the folder is an image" in fails(tmp_path / "x.npy").message
