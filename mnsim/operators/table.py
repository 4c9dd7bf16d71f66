"""The operator table: what each kind of operator is. To add one, add a row here and a kernel of its name in
`reference/kernels.py`.

Shapes are (height, width, channels). Counting rules are those of `mnsim explain counting`; 1 MAC = 2 FLOP,
and one vector operation is one scalar arithmetic operation.
"""

from collections.abc import Callable
from math import prod
from typing import Literal, NamedTuple

from mnsim.errors import ShapeError
from mnsim.operators.shapes import Options, Pair, Shape, Window, make_window

Shaped = tuple[Shape, Window | None, int]  # output shape, window, groups


def _conv(layer: Options, inputs: tuple[Shape, ...]) -> Shaped:
    (x,), channels = inputs, layer.channels or 0
    if x[2] % layer.groups or channels % layer.groups:
        message = f"{x[2]} input and {channels} output channels cannot be split into {layer.groups} groups"
        raise ShapeError(layer.name, message, layer.location, "both must be multiples of `groups`")
    window, height, width = make_window(layer, x)
    return (height, width, channels), window, layer.groups


def _depthwise(layer: Options, inputs: tuple[Shape, ...]) -> Shaped:
    (x,) = inputs
    window, height, width = make_window(layer, x)
    return (height, width, x[2] * layer.multiplier), window, x[2]


def _dense(layer: Options, inputs: tuple[Shape, ...]) -> Shaped:
    return (1, 1, layer.channels or 0), None, 1


def _pool(layer: Options, inputs: tuple[Shape, ...]) -> Shaped:
    (x,) = inputs
    window, height, width = make_window(layer, x)
    if max(window.padding[:2]) >= window.kernel[0] or max(window.padding[2:]) >= window.kernel[1]:
        what = "largest element" if layer.kind == "max_pool" else "average"
        rows, columns = window.kernel
        message = f"padding {window.padding} is as wide as the {rows} x {columns} window: a window of padding alone has no {what}"
        raise ShapeError(
            layer.name, message, layer.location, f"pad at most {_counted(rows - 1, 'row')} and {_counted(columns - 1, 'column')}"
        )
    return (height, width, x[2]), window, x[2]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _global_pool(layer: Options, inputs: tuple[Shape, ...]) -> Shaped:
    (x,) = inputs
    return (1, 1, x[2]), Window(x[:2], (1, 1), (0, 0, 0, 0), "valid"), x[2]


def _elementwise(layer: Options, inputs: tuple[Shape, ...]) -> Shaped:
    for name, shape in zip(layer.inputs, inputs, strict=True):
        if shape != inputs[0]:
            message = f"'{layer.inputs[0]}' is {_show(inputs[0])} but '{name}' is {_show(shape)}"
            raise ShapeError(layer.name, message, layer.location, "layers that are added must have one shape")
    return inputs[0], None, inputs[0][2]


def _softmax(layer: Options, inputs: tuple[Shape, ...]) -> Shaped:
    return inputs[0], None, 1


def _flatten(layer: Options, inputs: tuple[Shape, ...]) -> Shaped:
    return (1, 1, prod(inputs[0])), None, 1


def _concat(layer: Options, inputs: tuple[Shape, ...]) -> Shaped:
    for name, shape in zip(layer.inputs, inputs, strict=True):
        if shape[:2] != inputs[0][:2]:
            message = f"'{layer.inputs[0]}' is {_show(inputs[0])} but '{name}' is {_show(shape)}"
            raise ShapeError(layer.name, message, layer.location, "layers that are concatenated must have one height and width")
    return (*inputs[0][:2], sum(shape[2] for shape in inputs)), None, 1


def _show(shape: Shape) -> str:
    return " x ".join(map(str, shape))


class MatrixWork(NamedTuple):
    """What the matrix unit does for an operator.

    `macs` counts the multiply-accumulates from the layer, the input's shape, the output's, and the groups;
    `filter_shape` gives the filters' layout in memory from the same. `labels` are what people call the
    operator, and the efficiencies that it can have.
    """

    macs: Callable[[Options, Shape, Shape, int], int]
    filter_shape: Callable[[Options, Shape, Shape, int], tuple[int, ...]]
    labels: tuple[str, ...]


class OperatorRule(NamedTuple):
    """What a kind of operator is.

    `shape` infers the output (raises ShapeError); `ops_per_output` are the vector unit's operations for one
    output element, given the window and the number of inputs. `memory` says what becomes of its input's
    bytes: `reads` makes a new map, `in_place` may overwrite the input, `renames` is the same bytes under
    another name or as a part of a larger map.

    `int8` says how the operator computes on int8: `sums` requantises exact sums, `table` looks each element
    up in 256 results of its float kernel, `same_scale` moves or compares bytes that share one scale, `own`
    has arithmetic of its own.

    `is_word`: a layer of this kind needs no value. `is_activation`: it may follow another operator as its
    `activation`. `is_clamp`: it only holds each element within bounds, so that what lies beyond them need not
    be kept in what it reads, and int8 may round that to the range of what it writes. `about` is a sentence
    for editors.
    """

    shape: Callable[[Options, tuple[Shape, ...]], Shaped]
    int8: Literal["sums", "table", "same_scale", "own"]
    matrix: MatrixWork | None = None
    ops_per_output: Callable[[Window | None, int], int] = lambda window, inputs: 0
    memory: Literal["reads", "in_place", "renames"] = "reads"
    is_word: bool = False
    is_activation: bool = False
    is_clamp: bool = False
    about: str = ""


def conv_macs(kernel: Pair, in_channels: int, groups: int, output: Shape) -> int:
    """k_h * k_w * (C_in / groups) * C_out * H_out * W_out (MobileNets, section 3.1; depthwise has groups =
    C_in).
    """
    return prod(kernel) * (in_channels // groups) * prod(output)


def _conv_work(layer: Options, x: Shape, output: Shape, groups: int) -> int:
    return conv_macs(layer.kernel or (1, 1), x[2], groups, output)


def _conv_filters(layer: Options, x: Shape, output: Shape, groups: int) -> tuple[int, ...]:
    return output[2], *(layer.kernel or (1, 1)), x[2] // groups


def _depthwise_filters(layer: Options, x: Shape, output: Shape, groups: int) -> tuple[int, ...]:
    return *(layer.kernel or (1, 1)), output[2]


def _dense_work(layer: Options, x: Shape, output: Shape, groups: int) -> int:
    """K * C_out, where K = H * W * C."""
    return prod(x) * output[2]


def _dense_filters(layer: Options, x: Shape, output: Shape, groups: int) -> tuple[int, ...]:
    return output[2], prod(x)


def _per_window(window: Window | None, inputs: int) -> int:
    """k_h * k_w operations an output; with the window as large as the map this is H * W a channel (global
    pooling).
    """
    return prod(window.kernel) if window else 0


def _each(ops: int) -> Callable[[Window | None, int], int]:
    """So many operations for each output."""
    return lambda window, inputs: ops


def _activation(ops: int, about: str, is_clamp: bool = False) -> OperatorRule:
    """A function of each element by itself, in place: its operations an element, and a sentence."""
    return OperatorRule(
        _elementwise, "table", None, _each(ops), "in_place", is_word=True, is_activation=True, is_clamp=is_clamp, about=about
    )


def _pooling(int8: Literal["same_scale", "own"], about: str = "") -> OperatorRule:
    """A window on each channel, or with a sentence about it, which a layer without a value has, the whole of
    each channel.
    """
    return OperatorRule(_global_pool if about else _pool, int8, None, _per_window, is_word=bool(about), about=about)


RULES: dict[str, OperatorRule] = {
    "conv": OperatorRule(_conv, "sums", MatrixWork(_conv_work, _conv_filters, ("conv", "pointwise"))),
    "depthwise": OperatorRule(_depthwise, "sums", MatrixWork(_conv_work, _depthwise_filters, ("depthwise",))),
    "dense": OperatorRule(_dense, "sums", MatrixWork(_dense_work, _dense_filters, ("dense",))),
    "max_pool": _pooling("same_scale"),
    "avg_pool": _pooling("own"),
    "global_avg_pool": _pooling("own", "The average of each channel."),
    "global_max_pool": _pooling("same_scale", "The maximum of each channel."),
    "batch_norm": OperatorRule(_elementwise, "own", None, _each(2), "in_place", is_word=True, about=(
        "A batch norm of its own, on the vector unit. `batch_norm: true` on a convolution is folded into its weights instead."
    )),
    "relu": _activation(1, "max(x, 0), in place.", is_clamp=True),
    "relu6": _activation(1, "min(max(x, 0), 6), in place.", is_clamp=True),
    "sigmoid": _activation(4, "1 / (1 + exp(-x)), in place."),
    "hard_swish": _activation(4, "x * min(max(x + 3, 0), 6) / 6, in place."),
    "flatten": OperatorRule(_flatten, "same_scale", memory="renames", is_word=True, about=(
        "The same bytes as one row of channels, in height, width, channel order."
    )),
    "softmax": OperatorRule(_softmax, "own", None, _each(5), "in_place", is_word=True, about="Softmax over the channels."),
    "add": OperatorRule(_elementwise, "own", None, lambda window, inputs: inputs - 1),
    "concat": OperatorRule(_concat, "same_scale", memory="renames"),
}  # fmt: skip

ACTIVATIONS = tuple(kind for kind, rule in RULES.items() if rule.is_activation)
FUSIBLE = ("batch_norm", *ACTIVATIONS)  # what the matrix unit's output stage may do
MATRIX_KINDS = tuple(label for rule in RULES.values() if rule.matrix for label in rule.matrix.labels)
VECTOR_KINDS = (*(kind for kind, rule in RULES.items() if not rule.matrix and rule.memory != "renames"), "copy")
