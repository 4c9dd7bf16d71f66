"""The operator table: for every kind its output shape and what it counts. To add an operator, add a row.

Shapes are (height, width, channels). Counting rules are those of `mnsim explain counting`; 1 MAC = 2 FLOP, and one vector
operation is one scalar arithmetic operation.
"""

from collections.abc import Callable
from itertools import takewhile
from math import ceil, prod
from typing import Literal, NamedTuple

from mnsim.errors import ShapeError
from mnsim.graph.model import BIAS_BYTES, Operator, Pair, Shape, Window
from mnsim.spec.records import Layer, Padding

Shaped = tuple[Shape, Window | None, int]  # output shape, window, groups


def conv_macs(kernel: Pair, in_channels: int, groups: int, output: Shape) -> int:
    """k_h * k_w * (C_in / groups) * C_out * H_out * W_out (MobileNets, section 3.1; depthwise has groups = C_in)."""
    return prod(kernel) * (in_channels // groups) * prod(output)


def conv_filter_elements(kernel: Pair, in_channels: int, groups: int, out_channels: int) -> int:
    """k_h * k_w * (C_in / groups) * C_out."""
    return prod(kernel) * (in_channels // groups) * out_channels


def same_padding(extent: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: the output is ceil(extent / stride), an odd padding puts the extra row at the end."""
    total = max((ceil(extent / stride) - 1) * stride + kernel - extent, 0)
    return total // 2, total - total // 2


def make_window(layer: Layer, x: Shape) -> tuple[Window, int, int]:
    """The window with its padding in numbers, and the output's height and width. Raises ShapeError when the kernel does not fit."""
    kernel, stride = layer.kernel or (1, 1), layer.stride or (1, 1)
    padding, rule = _padding(layer.padding, x, kernel, stride)
    height = (x[0] + padding[0] + padding[1] - kernel[0]) // stride[0] + 1
    width = (x[1] + padding[2] + padding[3] - kernel[1]) // stride[1] + 1
    if height < 1 or width < 1:
        message = f"a {kernel[0]} x {kernel[1]} kernel does not fit its input of {x[0]} x {x[1]}"
        raise ShapeError(layer.name, message, layer.location, "pad it (padding: same), shrink the kernel, or keep the map larger")
    if max(padding[:2]) >= kernel[0] or max(padding[2:]) >= kernel[1]:
        message = f"padding {padding} is as wide as the {kernel[0]} x {kernel[1]} kernel: it would read nothing but zeros"
        raise ShapeError(layer.name, message, layer.location, f"pad at most {kernel[0] - 1} rows and {kernel[1] - 1} columns")
    return Window(kernel, stride, padding, rule), height, width


def _padding(padding: Padding, x: Shape, kernel: Pair, stride: Pair) -> tuple[tuple[int, int, int, int], str]:
    if padding == "same":
        return (*same_padding(x[0], kernel[0], stride[0]), *same_padding(x[1], kernel[1], stride[1])), "same"
    if isinstance(padding, str):
        return (0, 0, 0, 0), "valid"
    return padding, "explicit"


def _conv(layer: Layer, inputs: tuple[Shape, ...]) -> Shaped:
    (x,), channels = inputs, layer.channels or 0
    if x[2] % layer.groups or channels % layer.groups:
        message = f"{x[2]} input and {channels} output channels cannot be split into {layer.groups} groups"
        raise ShapeError(layer.name, message, layer.location, "both must be multiples of `groups`")
    window, height, width = make_window(layer, x)
    return (height, width, channels), window, layer.groups


def _depthwise(layer: Layer, inputs: tuple[Shape, ...]) -> Shaped:
    (x,) = inputs
    window, height, width = make_window(layer, x)
    return (height, width, x[2] * layer.multiplier), window, x[2]


def _dense(layer: Layer, inputs: tuple[Shape, ...]) -> Shaped:
    return (1, 1, layer.channels or 0), None, 1


def _pool(layer: Layer, inputs: tuple[Shape, ...]) -> Shaped:
    (x,) = inputs
    window, height, width = make_window(layer, x)
    return (height, width, x[2]), window, x[2]


def _global_pool(layer: Layer, inputs: tuple[Shape, ...]) -> Shaped:
    (x,) = inputs
    return (1, 1, x[2]), Window(x[:2], (1, 1), (0, 0, 0, 0), "valid"), x[2]


def _elementwise(layer: Layer, inputs: tuple[Shape, ...]) -> Shaped:
    for name, shape in zip(layer.inputs, inputs, strict=True):
        if shape != inputs[0]:
            message = f"'{layer.inputs[0]}' is {_show(inputs[0])} but '{name}' is {_show(shape)}"
            raise ShapeError(layer.name, message, layer.location, "layers that are added must have one shape")
    return inputs[0], None, inputs[0][2]


def _softmax(layer: Layer, inputs: tuple[Shape, ...]) -> Shaped:
    return inputs[0], None, 1


def _flatten(layer: Layer, inputs: tuple[Shape, ...]) -> Shaped:
    return (1, 1, prod(inputs[0])), None, 1


def _concat(layer: Layer, inputs: tuple[Shape, ...]) -> Shaped:
    for name, shape in zip(layer.inputs, inputs, strict=True):
        if shape[:2] != inputs[0][:2]:
            message = f"'{layer.inputs[0]}' is {_show(inputs[0])} but '{name}' is {_show(shape)}"
            raise ShapeError(layer.name, message, layer.location, "layers that are concatenated must have one height and width")
    return (*inputs[0][:2], sum(shape[2] for shape in inputs)), None, 1


def _show(shape: Shape) -> str:
    return " x ".join(map(str, shape))


class OperatorRule(NamedTuple):
    """What a kind of operator is.

    `unit` computes it; `shape` infers the output (raises ShapeError); `ops_per_output` are the vector unit's operations for one
    output element, given the window and the number of inputs. `memory` says what becomes of its input's bytes: `reads` makes a
    new map, `in_place` may overwrite the input, `renames` is the same bytes under another name or as a part of a larger map.
    `is_clamp` says that it only holds each element within bounds: what lies beyond them need not be kept in what it reads, so that
    int8 may round that to the range of what it writes.
    """

    unit: Literal["matrix", "vector"]
    shape: Callable[[Layer, tuple[Shape, ...]], Shaped]
    ops_per_output: Callable[[Window | None, int], int] = lambda window, inputs: 0
    memory: Literal["reads", "in_place", "renames"] = "reads"
    is_clamp: bool = False


def _per_window(window: Window | None, inputs: int) -> int:
    """k_h * k_w operations an output; with the window as large as the map this is H * W a channel (global pooling)."""
    return prod(window.kernel) if window else 0


RULES: dict[str, OperatorRule] = {
    "conv": OperatorRule("matrix", _conv),
    "depthwise": OperatorRule("matrix", _depthwise),
    "dense": OperatorRule("matrix", _dense),
    "max_pool": OperatorRule("vector", _pool, _per_window),
    "avg_pool": OperatorRule("vector", _pool, _per_window),
    "global_max_pool": OperatorRule("vector", _global_pool, _per_window),
    "global_avg_pool": OperatorRule("vector", _global_pool, _per_window),
    "batch_norm": OperatorRule("vector", _elementwise, lambda window, inputs: 2, "in_place"),
    "relu": OperatorRule("vector", _elementwise, lambda window, inputs: 1, "in_place", is_clamp=True),
    "relu6": OperatorRule("vector", _elementwise, lambda window, inputs: 1, "in_place", is_clamp=True),
    "softmax": OperatorRule("vector", _softmax, lambda window, inputs: 5, "in_place"),
    "add": OperatorRule("vector", _elementwise, lambda window, inputs: inputs - 1),
    "concat": OperatorRule("vector", _concat, memory="renames"),
    "flatten": OperatorRule("vector", _flatten, memory="renames"),
}


def label_of(layer: Layer) -> str:
    """What people call the operator: a 1 x 1 convolution over all channels is pointwise."""
    pointwise = layer.kind == "conv" and layer.kernel == (1, 1) and layer.groups == 1
    return "pointwise" if pointwise else layer.kind


def count_macs(layer: Layer, x: Shape, output: Shape, groups: int) -> int:
    """The operator's MACs: zero on the vector unit; a fully connected layer has K = H * W * C inputs."""
    if RULES[layer.kind].unit == "vector":
        return 0
    if layer.kind == "dense":
        return prod(x) * output[2]
    return conv_macs(layer.kernel or (1, 1), x[2], groups, output)


def count_vector_ops(layer: Layer, window: Window | None, output: Shape) -> tuple[tuple[str, int], ...]:
    """The vector operations by name: the operator's own, then its unfolded batch norm, then its activation, as layers of their own."""
    own = RULES[layer.kind].ops_per_output(window, len(layer.inputs)) * prod(output)
    counted = [(layer.kind, own)]
    if layer.batch_norm == "unfolded":
        counted.append(("batch_norm", RULES["batch_norm"].ops_per_output(None, 1) * prod(output)))
    if layer.activation != "none":
        counted.append((layer.activation, RULES[layer.activation].ops_per_output(None, 1) * prod(output)))
    return tuple((name, ops) for name, ops in counted if ops)


def output_stage(operator: Operator, fused: tuple[str, ...]) -> tuple[str, ...]:
    """The operations that the matrix unit's output stage does: those of `fused` that no other has to come before."""
    free = fused if RULES[operator.kind].unit == "matrix" else ()
    return tuple(takewhile(lambda name: name in free, (name for name, _ in operator.vector_ops)))


def vector_work(operator: Operator, fused: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """The operations that reach the vector unit: all but those of the matrix unit's output stage."""
    return operator.vector_ops[len(output_stage(operator, fused)) :]


def count_weights(layer: Layer, x: Shape, output: Shape, groups: int, element_bytes: int) -> tuple[int, int, int]:
    """Trainable parameters, filter bytes and bias bytes.

    Parameters count batch norm's scale and shift. The stored bias is 4 bytes a channel when the layer has one or a batch norm is
    folded into it; an unfolded batch norm stores scale and shift, 4 bytes each (assumption: its mean and variance are merged
    into them, which inference always can).
    """
    channels = output[2]
    if layer.kind == "batch_norm":
        return 2 * channels, 0, 2 * BIAS_BYTES * channels
    if RULES[layer.kind].unit == "vector":
        return 0, 0, 0
    filters = prod(x) * channels if layer.kind == "dense" else conv_filter_elements(layer.kernel or (1, 1), x[2], groups, channels)
    parameters = filters + channels * (layer.bias + 2 * (layer.batch_norm != "none"))
    biases = (layer.bias or layer.batch_norm == "folded") + 2 * (layer.batch_norm == "unfolded")
    return parameters, filters * element_bytes, biases * BIAS_BYTES * channels
