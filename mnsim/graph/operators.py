"""What the operator table says of the operators of a graph: MACs, vector operations, weights."""

from itertools import takewhile
from math import prod

from mnsim.graph.model import Graph, Operator, WeightParts
from mnsim.operators.shapes import Shape, Window
from mnsim.operators.table import RULES
from mnsim.spec.records import Layer

NORM_TRAINED = ("gamma", "beta")  # a batch norm's trained parameters
NORM_PLANES = ("scale", "shift")  # what inference stores of a batch norm that is not folded


def label_of(layer: Layer) -> str:
    """The operator's usual name: a 1 x 1 convolution over all channels is pointwise."""
    pointwise = layer.kind == "conv" and layer.kernel == (1, 1) and layer.groups == 1
    return "pointwise" if pointwise else layer.kind


def count_macs(layer: Layer, x: Shape, output: Shape, groups: int) -> int:
    """The operator's MACs: zero on the vector unit."""
    work = RULES[layer.kind].matrix
    return work.macs(layer, x, output, groups) if work else 0


def count_vector_ops(layer: Layer, window: Window | None, output: Shape) -> tuple[tuple[str, int], ...]:
    """The vector operations by name: the operator's own, then its unfolded batch norm, then its
    activation, as layers of their own.
    """
    own = RULES[layer.kind].ops_per_output(window, len(layer.inputs)) * prod(output)
    counted = [(layer.kind, own)]
    if layer.batch_norm == "unfolded":
        counted.append(("batch_norm", RULES["batch_norm"].ops_per_output(None, 1) * prod(output)))
    if layer.activation != "none":
        counted.append((layer.activation, RULES[layer.activation].ops_per_output(None, 1) * prod(output)))
    return tuple((name, ops) for name, ops in counted if ops)


def is_in_place(graph: Graph, operator: Operator) -> bool:
    """Whether the operator's output lies over its first input."""
    return RULES[operator.kind].memory == "in_place" and graph.slots[operator.inputs[0]] == graph.slots[operator.output]


def ops_per_output(operator: Operator, name: str) -> int:
    """The operations for each output element of one of the operator's vector operations; a copy is one."""
    if name == "copy":
        return 1
    own = name == operator.kind
    return RULES[name].ops_per_output(operator.window if own else None, len(operator.inputs) if own else 1)


def output_stage(operator: Operator, fused: tuple[str, ...]) -> tuple[str, ...]:
    """The operations of the matrix unit's output stage: the leading ones that are in `fused`."""
    free = fused if RULES[operator.kind].matrix else ()
    return tuple(takewhile(lambda name: name in free, (name for name, _ in operator.vector_ops)))


def vector_work(operator: Operator, fused: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """The operations that reach the vector unit: all but those of the matrix unit's output stage."""
    return operator.vector_ops[len(output_stage(operator, fused)) :]


def weight_parts(layer: Layer, x: Shape, output: Shape, groups: int, element_bytes: int) -> WeightParts:
    """The operator's weights, part by part.

    Trained parameters count batch norm's scale and shift (gamma and beta). A bias is stored when the layer
    has one or a batch norm is folded into it; an unfolded batch norm stores scale and shift (assumption:
    its mean and variance are merged into them, which inference always can).
    """
    channels = output[2]
    if layer.kind == "batch_norm":
        return WeightParts((), element_bytes, channels, NORM_TRAINED, NORM_PLANES)
    work = RULES[layer.kind].matrix
    if work is None:
        return WeightParts()
    bias = ("bias",) if layer.bias or layer.batch_norm == "folded" else ()
    trained = (("bias",) if layer.bias else ()) + (NORM_TRAINED if layer.batch_norm != "none" else ())
    planes = bias + (NORM_PLANES if layer.batch_norm == "unfolded" else ())
    return WeightParts(work.filter_shape(layer, x, output, groups), element_bytes, channels, trained, planes)
