"""Images from files, as a network's input.

- `.npy`: (H, W, C) or (N, H, W, C). uint8 are pixels; floating-point numbers are taken as they are,
  already normalised.
- `.png`, `.jpg`: one image, turned upright, in the network's channels (1 or 3). One of another size than
  the network's input is scaled until that input covers the middle 7/8 of it, and cropped to the middle:
  256 to 224 as is usual for ImageNet, 32 to 28 for CIFAR-10.
- `.bin`: CIFAR-10's binary batches (https://www.cs.toronto.edu/~kriz/cifar.html): records of 3,073 bytes,
  a label and 3 x 32 x 32 bytes by channel, row, column. Like the pixels of `.npy`, they are cropped to the
  middle and never scaled. Python's pickled batches are refused.
- A folder: all such files in it, in the order of their names; other files are left alone.

Pixels are normalised as the seed papers say: less the mean, divided by the standard deviation. They print
no values and crop at random in training, so these are assumptions: the mean and the deviation of each
channel over CIFAR-10's training images, and the middle crop. Two of the papers write "variance" where the
third writes "standard deviation", which is taken to be what all mean. Images that have other than three
channels are brought to -1..1. `normalisation` puts other values in.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnsim.errors import ShapeError, SpecError, shown
from mnsim.operators.shapes import Shape
from mnsim.reference.array_files import PICKLE, fill, library, place_in, read_header, read_numbers, reading, refuse

CIFAR_SIDE = 32
CIFAR_RECORD_BYTES = 1 + 3 * CIFAR_SIDE * CIFAR_SIDE
CIFAR_CLASSES = 10
_PICTURE_FORMATS = ("PNG", "JPEG")
_LARGE_PICTURE_BYTES = 1 << 26  # unpacked, at Pillow's 4 bytes a pixel; from there on a picture may unpack to so many times its file:
_MOST_UNPACKED = 250
_INSTEAD = "use the binary version: cifar-10-binary.tar.gz has data_batch_1.bin to data_batch_5.bin and test_batch.bin"


class Normalisation(NamedTuple):
    """A pixel p, 0 to 255, becomes (p / 255 - mean) / deviation, by channel."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


CIFAR_10 = Normalisation((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
SYMMETRIC = Normalisation((0.5,), (0.5,))


class Images(NamedTuple):
    """Images as a network reads them, (N, H, W, C), and their labels where the files have them."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64] | None


class _Batch(NamedTuple):
    """The images of one file: uint8 pixels, or floats that are normalised already."""

    images: NDArray[Any]
    labels: NDArray[np.int64] | None = None


def load_images(path: str | Path, shape: Shape, limit: int | None = None, normalisation: Normalisation | None = None) -> Images:
    """The images of a file or a folder for a network whose input has this shape, the first `limit` of them
    only if there is one.

    No more than that is read, so that faults of later images are not found. Raises SpecError (S401 unreadable
    or of an unknown format, S403 impossible values, S404 a library is missing) or ShapeError.
    """
    path = Path(path)
    factors = normalisation or (CIFAR_10 if shape[2] == 3 else SYMMETRIC)
    batches: list[_Batch] = []
    count = 0
    for file in _files(path):
        if limit is not None and count >= limit:
            break
        batch = _load(file, shape, None if limit is None else limit - count)
        batches.append(_Batch(_normalise(batch.images, factors), batch.labels))
        count += len(batch.images)
    unlabelled = [batch for batch in batches if batch.labels is None]
    if unlabelled and len(unlabelled) < len(batches):
        refuse(
            path, "some of its files have labels and others have none", "keep CIFAR-10's batches and single images in folders of their own"
        )
    labels = None if unlabelled else np.concatenate([batch.labels for batch in batches if batch.labels is not None])
    return Images(batches[0].images if len(batches) == 1 else np.concatenate([batch.images for batch in batches]), labels)


def _files(path: Path) -> list[Path]:
    """The file, or those of the folder that are images."""
    with reading(path):
        if not path.is_dir():
            return [path]
        there = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    files = [file for file in there if file.suffix.lower() in _LOADERS]
    if not files:
        for file in there:
            _refuse_pickle(file)
        refuse(path, "no file in the folder is an image", f"images are {', '.join(_LOADERS)} files")
    return files


def _load(path: Path, shape: Shape, most: int | None) -> _Batch:
    """The first images of a file, at most `most` of them if that is a number."""
    loader = _LOADERS.get(path.suffix.lower())
    if loader is None:
        _refuse_pickle(path)
        refuse(path, f"the suffix {shown(path.suffix)} names no format of images", f"images are {', '.join(_LOADERS)} files")
    return loader(path, shape, most)


def _refuse_pickle(path: Path) -> None:
    with reading(path), path.open("rb") as file:
        start = file.read(1)
    if start == b"\x80":  # the first byte of every pickle since 2003
        refuse(path, PICKLE, _INSTEAD)


def _load_npy(path: Path, shape: Shape, most: int | None) -> _Batch:
    _refuse_pickle(path)
    with reading(path), path.open("rb") as file:
        header = read_header(file, os.fstat(file.fileno()).st_size)
        there = header.shape
        if len(there) not in (3, 4) or not there[0]:
            raise _misfit(path, f"its array is {_show(there) or 'a single number'}", shape)
        if header.dtype == np.uint8:
            _margins(path, there[-3:], shape)
        elif header.dtype.kind != "f":
            refuse(path, f"it holds {header.dtype} numbers", "images are uint8 pixels, or normalised floating-point numbers")
        elif there[-3:] != shape:
            raise _misfit(path, f"its images are {_show(there[-3:])}", shape)
        values = read_numbers(file, header, most if len(there) == 4 else None)
    values = values.reshape(-1, *there[-3:])
    if values.dtype == np.uint8:
        return _Batch(_crop(path, values, shape))
    with np.errstate(over="ignore"):
        values = values.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        first = tuple(map(int, np.argwhere(~np.isfinite(values))[0]))
        message = f"{shown(str(path), 100)} has {values[first]} in image {first[0]}, row {first[1]}, column {first[2]}, channel {first[3]}"
        raise SpecError("S403", message, place_in(path))
    return _Batch(values)


def _load_cifar(path: Path, shape: Shape, most: int | None) -> _Batch:
    _refuse_pickle(path)
    with reading(path), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        records, rest = divmod(size, CIFAR_RECORD_BYTES)
        if rest or not records:
            other = size and size % (CIFAR_RECORD_BYTES + 1) == 0
            remedy = "CIFAR-100's records have two labels: it is another data set" if other else "download it again"
            refuse(path, f"{size:,} bytes are no whole number of CIFAR-10's records of {CIFAR_RECORD_BYTES:,} bytes", remedy)
        records = records if most is None else min(records, most)
        table = fill(file, np.empty((records, CIFAR_RECORD_BYTES), np.uint8))
    labels = table[:, 0].astype(np.int64)
    if labels.max() >= CIFAR_CLASSES:
        first = int(np.argmax(labels >= CIFAR_CLASSES))
        refuse(path, f"record {first} has label {labels[first]}, but CIFAR-10's are 0 to {CIFAR_CLASSES - 1}", "download it again")
    pixels = table[:, 1:].reshape(records, 3, CIFAR_SIDE, CIFAR_SIDE).transpose(0, 2, 3, 1)
    return _Batch(_crop(path, pixels, shape), labels)


def _crop(path: Path, pixels: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """The middle of the images; of an odd margin the larger half is at the end."""
    height, width = _margins(path, pixels.shape[1:], shape)
    top, left = height // 2, width // 2
    return pixels[:, top : top + shape[0], left : left + shape[1]]


def _margins(path: Path, there: tuple[int, ...], shape: Shape) -> tuple[int, int]:
    """How many rows and columns images have more than the input."""
    height, width = there[0] - shape[0], there[1] - shape[1]
    if height < 0 or width < 0 or there[2] != shape[2]:
        raise _misfit(path, f"its images are {_show(there)}", shape)
    return height, width


def _load_picture(path: Path, shape: Shape, most: int | None) -> _Batch:
    _refuse_pickle(path)
    if shape[2] not in (1, 3):
        raise _misfit(path, "a picture has 1 or 3 channels", shape)
    pillow, operations = library("PIL.Image", "images", path, "pillow"), library("PIL.ImageOps", "images", path, "pillow")
    with reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about palettes and metadata, which do not matter here
        warnings.simplefilter("error", pillow.DecompressionBombWarning)
        with pillow.open(path, formats=_PICTURE_FORMATS) as opened:
            if opened.mode.startswith(("I", "F")):
                refuse(path, "it has more than 8 bits a channel", "save it with 8 bits a channel")
            unpacked, packed = 4 * opened.width * opened.height, path.stat().st_size
            if unpacked > max(_LARGE_PICTURE_BYTES, _MOST_UNPACKED * packed):
                refuse(path, f"{opened.width} x {opened.height} pixels in {packed:,} bytes are a decompression bomb", "scale it down")
            operations.exif_transpose(opened, in_place=True)
            mode = "RGB" if shape[2] == 3 else "L"
            picture = opened if opened.mode == mode else opened.convert(mode)
            picture.load()
        pixels = np.asarray(_fit(picture, shape, pillow), np.uint8)
    return _Batch(pixels.reshape(1, *pixels.shape[:2], shape[2]))


def _fit(picture: Any, shape: Shape, pillow: Any) -> Any:
    """The picture scaled so that the input is the middle 7/8 of it (of the tighter side), and cropped to
    the middle.
    """
    height, width = shape[:2]
    if picture.size == (width, height):
        return picture
    scale = max(height / picture.height, width / picture.width) * 8 / 7
    size = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
    if size != picture.size:
        picture = picture.resize(size, pillow.Resampling.BILINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _normalise(images: NDArray[Any], factors: Normalisation) -> NDArray[np.float32]:
    """Pixels in float32, normalised; floats are already. Each is rounded once: there is a table of the 256
    values by channel.
    """
    if images.dtype != np.uint8:
        return np.ascontiguousarray(images, np.float32)
    channels = images.shape[3]
    mean, deviation = (np.broadcast_to(np.asarray(part, np.float64), (channels,)) for part in factors)
    table = ((np.arange(256)[:, np.newaxis] / 255 - mean) / deviation).astype(np.float32)
    normalised = np.empty(images.shape, np.float32)
    for image, target in zip(images, normalised, strict=True):  # NumPy makes indices of 8 bytes of the pixels
        target[...] = table[image, np.arange(channels)]
    return normalised


def _misfit(path: Path, what: str, shape: Shape) -> ShapeError:
    message = f"{shown(str(path), 100)} does not fit the network's input: {what}, the input is {_show(shape)}"
    remedy = "pixels (uint8) may be larger, and are cropped; normalised numbers must have the input's shape"
    return ShapeError("input", message, place_in(path), remedy)


def _show(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


_LOADERS: dict[str, Callable[[Path, Shape, int | None], _Batch]] = {
    ".npy": _load_npy,
    ".png": _load_picture,
    ".jpg": _load_picture,
    ".jpeg": _load_picture,
    ".bin": _load_cifar,
}
