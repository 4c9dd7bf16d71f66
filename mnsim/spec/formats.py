"""Files of other tools that come in a specification's place, told by their first bytes, else by their
names.
"""

import re
from pathlib import PurePath
from typing import NamedTuple


class Foreign(NamedTuple):
    """A format of another tool, and whether its files hold weights or data rather than a whole model."""

    what: str
    is_data: bool = False


_ONNX = Foreign("an ONNX model")
_TFLITE = Foreign("a TensorFlow Lite model")
_TORCH = Foreign("a PyTorch file")
_KERAS = Foreign("a Keras model")
_NUMPY = Foreign("a file of NumPy arrays", is_data=True)
_SAFETENSORS = Foreign("a file of weights (safetensors)", is_data=True)
_HDF5 = Foreign("an HDF5 file, as Keras writes")
_GGUF = Foreign("a GGUF file")
_STARTS = (  # no text starts with one of these
    (re.compile(rb".[\x00-\x0f]\0\0TFL3", re.DOTALL), _TFLITE),
    (re.compile(rb"\x93NUMPY"), _NUMPY),
    (re.compile(rb"\x80\x02(\x8a\x0a\x6c\xfc\x9c\x46\xf9|.{0,80}torch)", re.DOTALL), _TORCH),
    (re.compile(rb"\x89HDF\r\n\x1a\n"), _HDF5),
    (re.compile(rb".{4}\0{4}\{", re.DOTALL), _SAFETENSORS),
    (re.compile(rb"GGUF.\0"), _GGUF),
    # onnx.ModelProto as exporters write it: the version of the format (1 to 99), then who made it, where it
    # belongs or what it is (texts), the model's own version, or at once the graph or the operator sets.
    (re.compile(rb"\x08[\x01-\x63](?:[\x12\x1a\x22\x32](?:\0|.{1,2}?[\x20-\x7e]{2})|\x28.|[\x3a\x42])", re.DOTALL), _ONNX),
)
_FIRST_MEMBERS = (
    (re.compile(rb".*\.npy"), _NUMPY),
    (re.compile(rb"(metadata|config)\.json"), _KERAS),
    (re.compile(rb"[^/]+/(data\.pkl|\.format_version|version|byteorder|archive_format|constants\.pkl)"), _TORCH),
)
_SUFFIXES = {
    **dict.fromkeys((".onnx", ".ort"), _ONNX),
    ".tflite": _TFLITE,
    **dict.fromkeys((".pt", ".pth", ".pt2", ".torchscript"), _TORCH),
    **dict.fromkeys((".h5", ".hdf5"), _HDF5),
    ".keras": _KERAS,
    ".pb": Foreign("a TensorFlow graph"),
    **dict.fromkeys((".caffemodel", ".prototxt"), Foreign("a Caffe model")),
    **dict.fromkeys((".mlmodel", ".mlpackage"), Foreign("a Core ML model")),
    **dict.fromkeys((".npz", ".npy"), _NUMPY),
    ".safetensors": _SAFETENSORS,
    ".gguf": _GGUF,
}
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_LOOKED_AT = 4096


def foreign_format(name: str, content: bytes) -> Foreign | None:
    """The format of another tool's file, by its first bytes, or by its name where they are not text; None for
    a file that may be YAML.
    """
    start = content[:_LOOKED_AT]
    member = _first_member(start)
    patterns, text = (_STARTS, start) if member is None else (_FIRST_MEMBERS, member)
    found = next((foreign for pattern, foreign in patterns if pattern.match(text)), None)
    suffix = PurePath(name).suffix.lower()
    return found or (_SUFFIXES.get(suffix) if suffix == ".prototxt" or not _is_text(start) else None)


def _first_member(start: bytes) -> bytes | None:
    """The name of a ZIP file's first member; None for any other file."""
    return start[30 : 30 + int.from_bytes(start[26:28], "little")] if start.startswith(b"PK\x03\x04") else None


def _is_text(start: bytes) -> bool:
    if _NOT_TEXT.search(start):
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return len(start) == _LOOKED_AT and error.start >= _LOOKED_AT - 3  # a letter that is cut through
    return True
