"""Weights from files, by layer name, and to files.

Every array that the network needs must be there, under one of these names (for a layer `conv1`):

| array | mnsim's own name | PyTorch's and ONNX's names |
|---|---|---|
| filters | `conv1/filters` | `conv1.weight` |
| bias | `conv1/bias` | `conv1.bias` |
| gamma, the batch norm's scale | `conv1/gamma` | `conv1.bn.weight`, `conv1.bn.gamma`, `conv1.gamma` |
| beta, its shift | `conv1/beta` | `conv1.bn.bias`, `conv1.bn.beta`, `conv1.beta` |
| mean | `conv1/mean` | `conv1.bn.running_mean`, `conv1.bn.mean`, `conv1.mean` |
| variance | `conv1/variance` | `conv1.bn.running_var`, `conv1.bn.var`, `conv1.variance` |

A `batch_norm` layer of its own, say `bn1`, has `bn1/gamma` ..., or `bn1.weight`, `bn1.bias`,
`bn1.running_mean`, `bn1.running_var`.

The name says how the array lies in an .npz or .safetensors file: own names are in mnsim's layout (filters
OHWI, depthwise KKC, fully connected C_out x K with K in the order row, column, channel), the others in
PyTorch's (OIHW, depthwise C_out x 1 x k_h x k_w, K in the order channel, row, column). In an .onnx file
all lie as ONNX's operators want them, which is PyTorch's layout; a matrix that MatMul or an untransposed
Gemm uses is turned, and a batch norm's own epsilon is made up for in its variance. (Other files do not say
their epsilon; it is taken to be `EPSILON`.) Numbers are float16, bfloat16, float32 or float64, and become
float32.

Arrays that the network does not use are left unread, and `read_weights` names them. An array that would
change a layer's result (a bias for a layer without one) is refused.
"""

import io
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnsim.errors import MnsimError, ShapeError, SpecError, did_you_mean, raise_all, shown
from mnsim.graph.model import Graph, Operator
from mnsim.reference.array_files import Dims, Entry, open_arrays, place_in
from mnsim.reference.weights import EPSILON, Weights, expected_shapes

_MOST_GUESSES = 20  # each compares a name with all in the file; no more errors than these are shown anyway
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "filters": ("weight",),
    "bias": ("bias",),
    "gamma": ("bn.weight", "bn.gamma", "gamma"),
    "beta": ("bn.bias", "bn.beta", "beta"),
    "mean": ("bn.running_mean", "bn.mean", "mean"),
    "variance": ("bn.running_var", "bn.var", "variance"),
}
_BATCH_NORM_NAMES: dict[str, tuple[str, ...]] = {
    "gamma": ("weight", "gamma"),
    "beta": ("bias", "beta"),
    "mean": ("running_mean", "mean"),
    "variance": ("running_var", "variance"),
}


class LoadedWeights(NamedTuple):
    """Weights, and the names of the file's arrays that the network does not use."""

    weights: Weights
    unused: tuple[str, ...]


class _Wanted(NamedTuple):
    """An array that a layer needs, in mnsim's words; `source` is the shape of its input, `order` that of
    its input's channels.
    """

    operator: Operator
    array: str
    shape: Dims
    source: Dims
    order: NDArray[np.intp] | None


def load_weights(path: str | Path, graph: Graph) -> Weights:
    """The graph's weights from an .npz, .safetensors or .onnx file.

    Raises SpecError (S401 unreadable, S402 missing, doubled or of the wrong kind, S403 impossible values,
    S404 a library is missing) or ShapeError; its `problems` are all problems, each with its layer.
    """
    return read_weights(path, graph).weights


def read_weights(path: str | Path, graph: Graph) -> LoadedWeights:
    """As load_weights, with the names of the arrays that were not used."""
    path = Path(path)
    problems: list[MnsimError] = []
    layers: dict[str, dict[str, NDArray[np.float32]]] = {}
    used: set[str] = set()
    operators, orders = {operator.name: operator for operator in graph.operators}, _channel_orders(graph)
    with open_arrays(path) as entries:
        strangers = entries.keys() - {name for operator in graph.operators for array in _OTHER_NAMES for name in _names(operator, array)}
        for layer, shapes in expected_shapes(graph).items():
            operator, source = operators[layer], operators[layer].inputs[0]
            layers[layer] = {}
            for array, shape in shapes.items():
                wanted = _Wanted(operator, array, shape, graph.maps[source].shape, orders[source])
                try:
                    name = _find(path, wanted, entries, operators, strangers if len(problems) < _MOST_GUESSES else ())
                    layers[layer][array] = _load(path, wanted, name, entries[name])
                    used.add(name)
                except (ShapeError, SpecError) as error:
                    if error.code in ("S401", "S404"):
                        raise
                    problems.append(error)
            problems += _meddling(path, operator, set(shapes), entries, operators)
        unused = tuple(name for name in entries if name not in used)
    if problems:
        raise_all(problems)
    return LoadedWeights(Weights(layers), unused)


def npz_bytes(weights: Weights) -> bytes:
    """The weights as an .npz file under mnsim's own names: the same bytes for the same weights."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for layer, arrays in sorted(weights.layers.items()):
            for array, values in sorted(arrays.items()):
                member = zipfile.ZipInfo(f"{layer}/{array}.npy")  # its date is 1980, not today
                member.create_system = 3  # nor does it say on which system it was written
                with archive.open(member, "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.ascontiguousarray(values), (1, 0), allow_pickle=False)
    return target.getvalue()


def _names(operator: Operator, array: str) -> list[str]:
    """The names that an array of a layer may have, mnsim's own first."""
    others = _BATCH_NORM_NAMES if operator.kind == "batch_norm" else _OTHER_NAMES
    return [f"{operator.name}/{array}", *(f"{operator.name}.{other}" for other in others.get(array, ()))]


def _find(path: Path, wanted: _Wanted, entries: Mapping[str, Entry], operators: Mapping[str, Operator], strangers: Collection[str]) -> str:
    """The name under which the file has an array. `strangers` are names in the file of no layer: perhaps
    mistyped.
    """
    names = _names(wanted.operator, wanted.array)
    found = [name for name in names if name in entries and not _is_of_another(name, wanted.operator, operators)]
    if len(found) == 1:
        return found[0]
    layer = wanted.operator.name
    if found:
        message = f"layer '{layer}': its {wanted.array} stand twice in the file, as {' and '.join(map(shown, found[:2]))}"
        raise SpecError("S402", message, place_in(path, found[1]), "leave one of them out", layer)
    near = did_you_mean(names[0], strangers)
    remedy = near if near.startswith("did you mean '") else f"call the array {' or '.join(names[:2])}"
    message = f"layer '{layer}': the file has no {wanted.array} ({_show(wanted.shape)}) for it"
    raise SpecError("S402", message, place_in(path, names[0]), remedy, layer)


def _is_of_another(name: str, operator: Operator, operators: Mapping[str, Operator]) -> bool:
    """Whether `a.bn.weight` is the weight of a layer `a.bn`, not the batch norm of layer `a`."""
    stem = f"{operator.name}.bn"
    return name.startswith(f"{stem}.") and stem in operators


def _meddling(
    path: Path, operator: Operator, known: set[str], entries: Mapping[str, Entry], operators: Mapping[str, Operator]
) -> list[MnsimError]:
    """Arrays that would change a layer's result: a bias or a batch norm that it does not have."""
    names = _BATCH_NORM_NAMES if operator.kind == "batch_norm" else _OTHER_NAMES
    found: list[MnsimError] = []
    for array in names:
        if array in known:
            continue
        for name in _names(operator, array):
            if name in entries and not _is_of_another(name, operator, operators):
                message = f"layer '{operator.name}' has no {array}, but the file has {shown(name, 100)}"
                remedy = "the file belongs to another network; or say `bias: true` or `batch_norm: true` of the layer"
                found.append(SpecError("S402", message, place_in(path, name), remedy, operator.name))
    return found


def _load(path: Path, wanted: _Wanted, name: str, entry: Entry) -> NDArray[np.float32]:
    """One array in mnsim's layout, in float32, all its values usable."""
    layer = wanted.operator.name
    is_own = name == f"{layer}/{wanted.array}" and path.suffix.lower() != ".onnx"
    there = wanted.shape if is_own else _outer_shape(wanted)
    if entry.is_transposed:
        there = there[::-1]
    if entry.shape != there:
        message = f"layer '{layer}': {shown(name, 100)} is {_show(entry.shape)}, but its {wanted.array} are {_show(there)}"
        raise ShapeError(layer, message, place_in(path, name), _shape_remedy(wanted, is_own, entry.shape))
    if entry.dtype not in _FLOATS:
        message = f"layer '{layer}': {shown(name, 100)} is of type {entry.dtype}"
        raise SpecError("S402", message, place_in(path, name), f"weights are {', '.join(_FLOATS)}; mnsim quantises them itself", layer)
    values = entry.read()
    with np.errstate(over="ignore", invalid="ignore"):  # values beyond float32 become inf, and are found below
        values = values.astype(np.float32, copy=False)
    if entry.is_transposed:
        values = values.T
    if wanted.array == "variance" and entry.epsilon is not None:
        values = values + np.float32(entry.epsilon - EPSILON)  # so that with mnsim's epsilon the sum is the file's
    values = np.ascontiguousarray(values if is_own else _from_outer(path, wanted, values))
    _check_values(path, wanted, name, values)
    return values


def _check_values(path: Path, wanted: _Wanted, name: str, values: NDArray[np.float32]) -> None:
    bad, what = ~np.isfinite(values), "not finite in float32"
    if not bad.any() and wanted.array == "variance":
        bad, what = values <= -EPSILON, "below 0, which no variance is"  # those of .onnx may be, by as much as the epsilons differ
    if bad.any():
        first = tuple(map(int, np.argwhere(bad)[0]))
        message = f"layer '{wanted.operator.name}': {int(bad.sum())} of the {bad.size} values of {shown(name, 100)} are {what}"
        remedy = f"the first is {values[first]}, at {list(first)} of {wanted.array} ({_show(wanted.shape)})"
        raise SpecError("S403", message, place_in(path, name), remedy, wanted.operator.name)


def _outer_shape(wanted: _Wanted) -> Dims:
    """The shape of an array in PyTorch's layout."""
    if wanted.array != "filters" or wanted.operator.kind == "dense":
        return wanted.shape
    if wanted.operator.kind == "depthwise":
        rows, columns, channels = wanted.shape
        return channels, 1, rows, columns
    out_channels, rows, columns, in_channels = wanted.shape
    return out_channels, in_channels, rows, columns


def _from_outer(path: Path, wanted: _Wanted, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """An array in PyTorch's layout brought into mnsim's."""
    operator, order = wanted.operator, wanted.order
    if operator.kind == "batch_norm":
        return values if order is None else values[order]
    if wanted.array != "filters":
        return values if operator.kind != "depthwise" or order is None else _give_up(path, wanted)
    if operator.kind == "dense":
        height, width, channels = wanted.source
        order = order if height * width == 1 else _flat_order(height, width, channels)
        return values if order is None else values[:, order]
    if order is not None and operator.groups > 1:
        _give_up(path, wanted)
    if operator.kind == "depthwise":
        return values[:, 0].transpose(1, 2, 0)
    return (values if order is None else values[:, order]).transpose(0, 2, 3, 1)


def _flat_order(height: int, width: int, channels: int) -> NDArray[np.intp]:
    """The place of each element of a map flattened by row, column, channel in the same map flattened by
    channel, row, column.
    """
    return np.arange(height * width * channels).reshape(channels, height, width).transpose(1, 2, 0).ravel()


def _channel_orders(graph: Graph) -> list[NDArray[np.intp] | None]:
    """For each map, the place of each channel in PyTorch's order; None where it is the same, as it is unless
    flattened.
    """
    orders: list[NDArray[np.intp] | None] = [None] * len(graph.maps)
    for operator in graph.operators:
        shape = graph.maps[operator.inputs[0]].shape
        if operator.kind in ("conv", "dense"):
            continue
        if operator.kind == "flatten" and shape[:2] != (1, 1):
            orders[operator.output] = _flat_order(*shape)
        elif operator.kind == "concat" and any(orders[source] is not None for source in operator.inputs):
            orders[operator.output] = _joined(graph, operator, orders)
        else:
            orders[operator.output] = orders[operator.inputs[0]]
    return orders


def _joined(graph: Graph, operator: Operator, orders: list[NDArray[np.intp] | None]) -> NDArray[np.intp]:
    """The order of a concat's channels: those of its inputs, one behind the other."""
    pieces, start = [], 0
    for source in operator.inputs:
        channels, order = graph.maps[source].shape[2], orders[source]
        pieces.append(start + (np.arange(channels) if order is None else order))
        start += channels
    return np.concatenate(pieces)


def _give_up(path: Path, wanted: _Wanted) -> Any:
    layer = wanted.operator.name
    message = f"layer '{layer}' treats the channels of a flattened map in groups, which PyTorch orders differently"
    raise SpecError("S402", message, place_in(path, f"{layer}/{wanted.array}"), "give its arrays under mnsim's own names in .npz", layer)


def _shape_remedy(wanted: _Wanted, is_own: bool, shape: Dims) -> str:
    """For an array in the other layout, the name that says so."""
    own, other = _names(wanted.operator, wanted.array)[:2]
    if is_own and shape == _outer_shape(wanted):
        return f"that is PyTorch's layout: call it '{other}'"
    if not is_own and shape == wanted.shape:
        return f"that is mnsim's layout: call it '{own}' in an .npz or .safetensors file"
    return "weights made for another alpha or rho have other shapes"


def _show(shape: Dims) -> str:
    return " x ".join(map(str, shape)) or "a single number"
