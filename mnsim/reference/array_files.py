"""Named arrays in files: .npz, .safetensors and the initialisers of .onnx, with one interface.

Nothing here unpickles: a pickle can run any code. Arrays are read one by one, after their shape is known,
so that neither a forged header nor an unused array costs memory. The sizes in a header are compared with
the bytes of the file before anything is allocated.
"""

import io
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from mnsim.errors import Location, MnsimError, SpecError, did_you_mean, shown

Dims = tuple[int, ...]
CHUNK_BYTES = 1 << 20
LONGEST_HEADER = 1 << 16  # bytes; NumPy itself takes no description of an array that is longer than 10,000
DEFLATE_RATIO = 1032  # bytes that a byte of a compressed zip member unpacks to at most: 258 for each two bits (RFC 1951)
PICKLE = "it holds Python objects (a pickle), which mnsim never loads: they can run any code"


class Entry(NamedTuple):
    """An array in a file: its shape, its element type in the file's words, and a function that reads it.

    `is_transposed`: a matrix whose rows are inputs, as the operator that uses it in an .onnx file wants it.
    `epsilon` is added to this variance by the batch norm that uses it there.
    """

    shape: Dims
    dtype: str
    read: Callable[[], NDArray[Any]]
    is_transposed: bool = False
    epsilon: float | None = None


class NpyHeader(NamedTuple):
    """The header of an .npy file."""

    shape: Dims
    is_fortran: bool
    dtype: np.dtype[Any]


def place_in(path: Path, what: str = "") -> Location:
    """A place in a file without lines: the array's name, or the file's own, takes the line's place."""
    text = what or str(path) or "''"
    return Location(str(path) or "''", text=text, length=len(text))


def refuse(path: Path, reason: str, remedy: str = "") -> NoReturn:
    """Raise SpecError S401: the file cannot be read."""
    raise SpecError("S401", f"cannot read {shown(str(path), 100)}: {reason}", place_in(path), remedy)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn any error of a library about a broken file into SpecError S401. Only calls of the library belong
    inside.
    """
    try:
        yield
    except MnsimError:
        raise
    except OSError as error:
        refuse(path, error.strerror or str(error).replace("\n", " ") or type(error).__name__)
    except Exception as error:  # each library has a dozen for damaged bytes, few of them documented
        text = " ".join(str(error).split()) or type(error).__name__
        refuse(path, f"it is damaged or of another format ({text[:150]})")


def library(name: str, extra: str, path: Path, package: str = "") -> Any:
    """An optional library, `package` where it is installed under another name. Raises SpecError S404 when
    it is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        message = f"{path.suffix} files need the library '{package or name.partition('.')[0]}', which is not installed"
        raise SpecError("S404", message, place_in(path), f"pip install 'mnsim[{extra}]'") from None


@contextmanager
def open_arrays(path: Path) -> Iterator[Mapping[str, Entry]]:
    """The arrays of a file by name. Raises SpecError S401 (unreadable) or S404 (a library is missing)."""
    suffix = path.suffix.lower()
    if suffix not in OPENERS:
        remedy = did_you_mean(suffix, OPENERS)
        if suffix in (".pt", ".pth", ".pkl", ".ckpt", ".bin"):
            remedy = "such files are mostly pickles: save the weights with safetensors.torch.save_file, or with numpy.savez"
        refuse(path, f"the suffix {shown(suffix)} names no format of weights", remedy)
    with OPENERS[suffix](path) as entries:
        yield entries


def read_header(stream: IO[bytes], size: int) -> NpyHeader:
    """The header of an .npy file of `size` bytes. Raises ValueError without a header, and where it announces
    more bytes than there are.
    """
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format is for records, not for numbers")
    read, form = (np.lib.format.read_array_header_1_0, "<H") if version == (1, 0) else (np.lib.format.read_array_header_2_0, "<I")
    field = stream.read(struct.calcsize(form))
    length = struct.unpack(form, field)[0] if len(field) == struct.calcsize(form) else 0
    if length > LONGEST_HEADER:  # NumPy would read it all before it says so
        raise ValueError(f"its header announces {length:,} bytes for itself")
    header = NpyHeader(*read(io.BytesIO(field + stream.read(length))))
    if header.dtype.hasobject:
        raise ValueError(PICKLE)
    announced, there = prod(header.shape) * header.dtype.itemsize, size - stream.tell()
    if announced != there:
        raise ValueError(f"its header announces {announced:,} bytes of numbers, but there are {there:,}")
    return header


def read_numbers(stream: IO[bytes], header: NpyHeader, first: int | None = None) -> NDArray[Any]:
    """The numbers behind an .npy file's header, or only those of the `first` entries of its first axis.
    Nothing else is read, or held in memory. Raises ValueError when the stream ends too early.
    """
    shape, dtype = header.shape, header.dtype
    taken = shape if first is None or not shape else (min(first, shape[0]), *shape[1:])
    if not header.is_fortran:
        return fill(stream, np.empty(taken, dtype))
    turned = np.empty(taken[::-1], dtype)  # the first axis is the fastest one
    if taken == shape:
        return fill(stream, turned).T
    start = stream.tell()
    for place, run in enumerate(turned.reshape(-1, taken[0])):
        stream.seek(start + place * shape[0] * dtype.itemsize)
        fill(stream, run)
    return turned.T


def fill(stream: IO[bytes], target: NDArray[Any]) -> NDArray[Any]:
    """Read the target's bytes from the stream, a part at a time, and return it. Raises ValueError for a short
    stream.
    """
    content = target.reshape(-1).view(np.uint8)
    for start in range(0, content.size, CHUNK_BYTES):
        part = stream.read(min(CHUNK_BYTES, content.size - start))
        content[start : start + len(part)] = np.frombuffer(part, np.uint8)
        if start + len(part) < min(content.size, start + CHUNK_BYTES):
            raise ValueError(f"it ends after {start + len(part):,} of {content.size:,} bytes of numbers")
    return target


@contextmanager
def _open_npz(path: Path) -> Iterator[Mapping[str, Entry]]:
    with reading(path):
        with path.open("rb") as file:
            start = file.read(6)
        if start[:1] == b"\x80":
            refuse(path, PICKLE, "save the arrays with numpy.savez")
        if start == b"\x93NUMPY":
            refuse(path, "it is one array (.npy) without a name", "save the arrays with numpy.savez, by layer name")
        archive = zipfile.ZipFile(path)
    with archive:
        yield {name.removesuffix(".npy"): _npz_entry(path, archive, name) for name in archive.namelist() if name.endswith(".npy")}


def _npz_entry(path: Path, archive: zipfile.ZipFile, name: str) -> Entry:
    info = archive.getinfo(name)

    def read() -> NDArray[Any]:
        with reading(path), archive.open(name) as stream:
            return read_numbers(stream, read_header(stream, info.file_size))

    with reading(path), archive.open(name) as stream:
        try:
            _check_member(info, path.stat().st_size)
            header = read_header(stream, info.file_size)
        except ValueError as error:
            refuse(path, f"array {shown(name.removesuffix('.npy'), 100)}: {error}")
    return Entry(header.shape, header.dtype.name, read)


def _check_member(info: zipfile.ZipInfo, archive_bytes: int) -> None:
    """Raises ValueError when the archive gives a member more bytes than its data can unpack to."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is compressed in a way that no .npz file is (neither stored nor deflated)")
    there = min(info.compress_size, archive_bytes)
    most = there * (DEFLATE_RATIO if info.compress_type == zipfile.ZIP_DEFLATED else 1)
    if info.file_size > most:
        raise ValueError(f"the archive announces {info.file_size:,} bytes, but {there:,} bytes of it can hold {most:,} at most")


@contextmanager
def _open_safetensors(path: Path) -> Iterator[Mapping[str, Entry]]:
    safetensors = library("safetensors", "safetensors", path)
    with reading(path):
        with path.open("rb") as file:  # the library's own error for a missing file has only its name
            length = file.read(8)
        if len(length) < 8 or struct.unpack("<Q", length)[0] > path.stat().st_size - 8:
            refuse(path, "it is damaged or of another format (its header is longer than the file)")
        opened = safetensors.safe_open(path, framework="numpy")
    with opened as file:
        yield {name: _safetensors_entry(path, file, name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)


def _safetensors_entry(path: Path, file: Any, name: str) -> Entry:
    def read() -> NDArray[Any]:
        with reading(path):
            array: NDArray[Any] = file.get_tensor(name)
        return array

    with reading(path):
        piece = file.get_slice(name)
        kind = piece.get_dtype()
        if kind == "BF16":
            library("ml_dtypes", "safetensors", path)  # teaches numpy the type
        return Entry(tuple(piece.get_shape()), SAFETENSORS_TYPES.get(kind, kind), read)


SAFETENSORS_TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@contextmanager
def _open_onnx(path: Path) -> Iterator[Mapping[str, Entry]]:
    onnx = library("onnx", "onnx", path)
    with reading(path):
        graph = onnx.load(path, load_external_data=False).graph
    if not graph.initializer:
        refuse(path, "it has no initialisers: it is no ONNX model, or its weights are elsewhere")
    transposed = {name for node in graph.node for name in _transposed_inputs(node)}
    epsilons = {node.input[4]: _epsilon(node) for node in graph.node if node.op_type == "BatchNormalization" and len(node.input) > 4}
    for tensor in graph.initializer:
        if isinstance(tensor.name, bytes):  # protobuf gives bytes where it is no text
            refuse(path, "it is damaged: the name of an initialiser is no text")
    yield {
        tensor.name: Entry(
            tuple(tensor.dims),
            _onnx_type(path, onnx, tensor),
            partial(_read_initialiser, path, onnx, tensor),
            tensor.name in transposed,
            epsilons.get(tensor.name),
        )
        for tensor in graph.initializer
    }


def _epsilon(node: Any) -> float:
    """As written: the attribute is a float32, in which 0.001 is 0.0010000000475. ONNX's default is 1e-5."""
    return next((float(str(np.float32(attribute.f))) for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)


def _transposed_inputs(node: Any) -> list[str]:
    """The matrices that a node multiplies with as inputs x outputs: MatMul's second operand, and Gemm's
    unless transB.
    """
    if node.op_type == "MatMul":
        return list(node.input[1:2])
    if node.op_type == "Gemm" and not any(attribute.name == "transB" and attribute.i for attribute in node.attribute):
        return list(node.input[1:2])
    return []


def _onnx_type(path: Path, onnx: Any, tensor: Any) -> str:
    with reading(path):
        kind = str(onnx.TensorProto.DataType.Name(tensor.data_type)).lower()
    return ONNX_TYPES.get(kind, kind)


def _read_initialiser(path: Path, onnx: Any, tensor: Any) -> NDArray[Any]:
    """The numbers of an initialiser, from the model or from the file beside it that it names."""
    helpers = library("onnx.numpy_helper", "onnx", path), library("onnx.external_data_helper", "onnx", path)
    with reading(path):
        if helpers[1].uses_external_data(tensor):
            where = helpers[1].ExternalDataInfo(tensor)
            needed = prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            behind = (path.parent / where.location).stat().st_size - (where.offset or 0)
            there = min(where.length or behind, behind)
            if there != needed:
                refuse(path, f"{shown(tensor.name, 100)} needs {needed:,} bytes, but there are {there:,} in {shown(where.location, 100)}")
        array: NDArray[Any] = helpers[0].to_array(tensor, str(path.parent))
    return array


ONNX_TYPES = {"float": "float32", "double": "float64"}

OPENERS = {".npz": _open_npz, ".safetensors": _open_safetensors, ".onnx": _open_onnx}
