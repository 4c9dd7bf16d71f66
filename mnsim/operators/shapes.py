"""Shapes and windows: what operators are told of a layer, and the arithmetic of windows on plain numbers."""

from dataclasses import dataclass
from math import ceil
from typing import Protocol

from mnsim.errors import Location, ShapeError

Shape = tuple[int, int, int]  # height, width, channels
Pair = tuple[int, int]
Padding = str | tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Window:
    """The kernel's extent, its stride, and the padding in rows and columns: (top, bottom, left, right)."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    rule: str = "explicit"  # same, valid or explicit: how the padding came about


class Options(Protocol):
    """A layer as its file gives it, at the width multiplier: what the operator table reads of it."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def location(self) -> Location: ...
    @property
    def channels(self) -> int | None: ...
    @property
    def kernel(self) -> Pair | None: ...
    @property
    def stride(self) -> Pair | None: ...
    @property
    def padding(self) -> Padding: ...
    @property
    def groups(self) -> int: ...
    @property
    def multiplier(self) -> int: ...


def same_padding(extent: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: the output is ceil(extent / stride), an odd padding puts the extra row at the
    end.
    """
    total = max((ceil(extent / stride) - 1) * stride + kernel - extent, 0)
    return total // 2, total - total // 2


def make_window(layer: Options, x: Shape) -> tuple[Window, int, int]:
    """The window with its padding in numbers, and the output's height and width. Raises ShapeError when the
    kernel does not fit.
    """
    kernel, stride = layer.kernel or (1, 1), layer.stride or (1, 1)
    padding, rule = _padding(layer.padding, x, kernel, stride)
    height = (x[0] + padding[0] + padding[1] - kernel[0]) // stride[0] + 1
    width = (x[1] + padding[2] + padding[3] - kernel[1]) // stride[1] + 1
    if height < 1 or width < 1:
        message = f"a {kernel[0]} x {kernel[1]} kernel does not fit its input of {x[0]} x {x[1]}"
        raise ShapeError(layer.name, message, layer.location, "pad it (padding: same), shrink the kernel, or keep the map larger")
    return Window(kernel, stride, padding, rule), height, width


def _padding(padding: Padding, x: Shape, kernel: Pair, stride: Pair) -> tuple[tuple[int, int, int, int], str]:
    if padding == "same":
        return (*same_padding(x[0], kernel[0], stride[0]), *same_padding(x[1], kernel[1], stride[1])), "same"
    if isinstance(padding, str):
        return (0, 0, 0, 0), "valid"
    return padding, "explicit"
