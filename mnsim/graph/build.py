"""A network becomes its graph: multipliers applied, shapes inferred, operations counted."""

from dataclasses import replace
from fractions import Fraction
from numbers import Rational

from mnsim.errors import Location, MnsimError, ShapeError, SpecError, did_you_mean, raise_all
from mnsim.graph.concats import as_chains
from mnsim.graph.model import ELEMENT_BYTES, FeatureMap, Graph, Operator
from mnsim.graph.operators import count_macs, count_vector_ops, label_of, weight_parts
from mnsim.graph.storage import share_storage
from mnsim.operators.shapes import Shape
from mnsim.operators.table import RULES
from mnsim.spec.expand import INPUT
from mnsim.spec.records import Dtype, Layer, Network
from mnsim.units import MAX_MULTIPLIER


def build_graph(network: Network, alpha: Fraction | float = 1, rho: Fraction | float = 1, dtype: Dtype = "int8") -> Graph:
    """The network at width multiplier alpha and resolution multiplier rho (MobileNets, arXiv:1704.04861,
    sections 3.3 and 3.4).

    Channels become int(alpha * C), never fewer than `min_depth` (or C, if that is less); the classifier
    keeps its classes. The input becomes round(rho * H) x round(rho * W), halves to even. Raises ShapeError
    with all the layers that do not fit, SpecError for a dtype that cannot be, and for a multiplier that
    cannot be, or that leaves nothing of the input.
    """
    alpha, rho = _exact("alpha", alpha), _exact("rho", rho)
    if dtype not in ELEMENT_BYTES:
        raise SpecError(
            "S107", f"'{dtype}' is no dtype", Location("--dtype", text=dtype, length=len(dtype)), did_you_mean(dtype, ELEMENT_BYTES)
        )
    layers = _scale_channels(network, alpha)
    start = _scale_input(network.input, rho)
    maps = [FeatureMap(0, INPUT, start, ELEMENT_BYTES[dtype])]
    index_of: dict[str, int | None] = {INPUT: 0}
    operators: list[Operator] = []
    problems: list[MnsimError] = []
    for written, layer in zip(network.layers, layers, strict=True):
        inputs = [index_of[name] for name in layer.inputs]
        index_of[layer.name] = None  # unknown until its shape is
        known = tuple(index for index in inputs if index is not None)
        if len(known) < len(inputs):
            continue  # its input's problem is reported; its own cannot be known
        try:
            operator, shape = _operator(layer, known, maps, len(operators))
        except ShapeError as error:
            problems.append(error)
            continue
        index_of[layer.name] = operator.output
        maps.append(FeatureMap(operator.output, layer.name, shape, ELEMENT_BYTES[dtype]))
        operators.append(replace(operator, base_channels=written.channels, turn=written.turn))
    if problems:
        raise_all(problems)
    shared, storages, slots = share_storage(tuple(maps), as_chains(operators))
    read = {source for operator in shared for source in operator.inputs}
    outputs = tuple(operator.output for operator in shared if operator.output not in read)
    return Graph(network.name, alpha, rho, network.min_depth, dtype, tuple(maps), shared, outputs, storages, slots, network.taken_out)


def _exact(name: str, multiplier: Fraction | float) -> Fraction:
    """A multiplier as written: the float 0.1 is one tenth, NumPy's too."""
    if not 0 < multiplier <= MAX_MULTIPLIER:
        place = Location(f"--{name}", text=str(multiplier), length=len(str(multiplier)))
        raise SpecError("S104", f"{name} must be above 0 and at most {MAX_MULTIPLIER}, got {multiplier}", place, "such as 0.75")
    return Fraction(multiplier) if isinstance(multiplier, Rational) else Fraction(str(multiplier))


def scale_extent(extent: int, rho: Fraction) -> int:
    """The input's rows or columns at rho; 0 where none is left."""
    return round(rho * extent)


def _scale_input(shape: Shape, rho: Fraction) -> Shape:
    """The input at rho. Raises SpecError S104 where its rows or columns round to 0, as 0.5 does."""
    height, width, channels = shape
    scaled = scale_extent(height, rho), scale_extent(width, rho)
    if 0 not in scaled:
        return (*scaled, channels)
    most = Fraction(1, 2 * min(height, width))
    text = f"{float(rho):.6g}"
    message = f"rho {text} makes an input of {scaled[0]} x {scaled[1]} out of {height} x {width}; it must be above {most}"
    raise SpecError("S104", message, Location("--rho", text=text, length=len(text)), f"such as {_just_above(most)}")


def _just_above(bound: Fraction) -> str:
    """The smallest decimal of two significant digits that is larger."""
    decimals = 1
    while bound * 10**decimals < 10:
        decimals += 1
    return f"{float(Fraction(int(bound * 10**decimals) + 1, 10**decimals)):.{decimals}f}"


def _scale_channels(network: Network, alpha: Fraction) -> list[Layer]:
    """The layers at alpha. A classifier is a layer with channels of its own whose output reaches no other
    such layer.
    """
    feeds_weights: set[str] = set()
    scaled: list[Layer] = []
    for layer in reversed(network.layers):
        has_channels = layer.channels is not None
        is_classifier = layer.name not in feeds_weights
        if has_channels or layer.kind == "depthwise" or not is_classifier:
            feeds_weights.update(layer.inputs)
        applies = not is_classifier if layer.scaled is None else layer.scaled
        scaled.append(replace(layer, channels=_scale_channel(layer.channels, alpha, network.min_depth)) if applies else layer)
    return scaled[::-1]


def _scale_channel(channels: int | None, alpha: Fraction, min_depth: int) -> int | None:
    return None if channels is None else max(int(alpha * channels), min(channels, min_depth))


def _operator(layer: Layer, inputs: tuple[int, ...], maps: list[FeatureMap], index: int) -> tuple[Operator, Shape]:
    shapes = tuple(maps[source].shape for source in inputs)
    shape, window, groups = RULES[layer.kind].shape(layer, shapes)
    operator = Operator(
        index=index,
        name=layer.name,
        kind=layer.kind,
        label=label_of(layer),
        inputs=inputs,
        output=len(maps),
        window=window,
        groups=groups,
        macs=count_macs(layer, shapes[0], shape, groups),
        vector_ops=count_vector_ops(layer, window, shape),
        weights=weight_parts(layer, shapes[0], shape, groups, maps[0].element_bytes),
        activation=layer.activation,
    )
    return operator, shape
