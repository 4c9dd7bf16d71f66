"""Our graph and weights as an ONNX model, in ONNX's own layout (NCHW) and with batch norm left unfolded: a second opinion."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from mnsim.graph.model import Graph, Operator
from mnsim.reference.weights import EPSILON, Weights

Array = np.ndarray[Any, Any]
POOLS = {"max_pool": "MaxPool", "avg_pool": "AveragePool", "global_max_pool": "GlobalMaxPool", "global_avg_pool": "GlobalAveragePool"}

ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "hard_swish": "HardSwish"}


class _Builder:
    """Nodes and initialisers so far; each method adds a node and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def constant(self, array: Array) -> str:
        name = f"constant{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def flat(self, x: str) -> str:
        """(1, K) in HWC order."""
        return self.node("Reshape", [self.node("Transpose", [x], perm=[0, 2, 3, 1]), self.constant(np.int64([1, -1]))])

    def tall(self, x: str) -> str:
        """(1, K) as a map of one pixel."""
        return self.node("Reshape", [x, self.constant(np.int64([1, -1, 1, 1]))])


def run_onnx(graph: Graph, weights: Weights, image: Array) -> list[Array]:
    """Every operator's output (H, W, C) in ONNX Runtime."""
    builder, names = _Builder(), ["input"]
    for operator in graph.operators:
        names.append(_operator(builder, graph, operator, weights, [names[source] for source in operator.inputs]))
    session = session_of(
        builder.nodes, builder.initialisers, ("input", TensorProto.FLOAT, [1, *np.transpose(image, (2, 0, 1)).shape]), names[1:]
    )
    results = session.run(None, {"input": np.ascontiguousarray(image.transpose(2, 0, 1))[None]})
    return [result[0].transpose(1, 2, 0) for result in results]


def session_of(nodes: list[Any], initialisers: list[Any], given: tuple[str, int, list[int]], outputs: list[str]) -> Any:
    """A model of one thread with one input (name, type, shape)."""
    wanted = [helper.make_empty_tensor_value_info(name) for name in outputs]
    body = helper.make_graph(nodes, "test", [helper.make_tensor_value_info(*given)], wanted, initialisers)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def window_attributes(operator: Operator) -> dict[str, Any]:
    assert operator.window
    top, bottom, left, right = operator.window.padding
    return {"kernel_shape": operator.window.kernel, "strides": operator.window.stride, "pads": [top, left, bottom, right]}


def _operator(builder: _Builder, graph: Graph, operator: Operator, weights: Weights, inputs: list[str]) -> str:
    arrays = weights.layers.get(operator.name, {})
    bias = [builder.constant(arrays["bias"])] if "bias" in arrays else []
    (x, *_), kind = inputs, operator.kind
    if kind in ("conv", "depthwise"):
        order = (0, 3, 1, 2) if kind == "conv" else (2, 0, 1)
        filters = arrays["filters"].transpose(order)
        filters = filters if kind == "conv" else filters[:, None]
        x = builder.node("Conv", [x, builder.constant(filters), *bias], group=operator.groups, **window_attributes(operator))
    elif kind == "dense":
        x = builder.tall(builder.node("Gemm", [builder.flat(x), builder.constant(arrays["filters"]), *bias], transB=1))
    elif kind in POOLS:
        x = builder.node(POOLS[kind], [x], **({} if kind.startswith("global") else window_attributes(operator)))
    elif kind == "add":
        x = builder.node("Sum", inputs)
    elif kind == "concat":
        x = builder.node("Concat", inputs, axis=1)
    elif kind == "flatten":
        x = builder.tall(builder.flat(x))
    elif kind == "softmax":
        x = builder.node("Softmax", [x], axis=1)
    if "gamma" in arrays:
        numbers = [builder.constant(arrays[name]) for name in ("gamma", "beta", "mean", "variance")]
        x = builder.node("BatchNormalization", [x, *numbers], epsilon=EPSILON)
    for name in {kind, *dict(operator.vector_ops)} & {"relu6", *ACTIVATIONS}:
        bounds = [builder.constant(np.float32(bound)) for bound in (0, 6)] if name == "relu6" else []
        x = builder.node(ACTIVATIONS.get(name, "Clip"), [x, *bounds])
    return x
