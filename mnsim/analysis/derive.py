"""`--layer`: every figure of a layer with its formula and the numbers put in, so that a person can check
it by hand.

The `numbers` of a step are plain arithmetic (also valid Python, with ceil): they are derived here from
extents, and a test evaluates them against the model's own figures.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mnsim.analysis.cost import Estimate, LayerCost, sram_in_use
from mnsim.graph.model import BIAS_BYTES, Graph, Operator
from mnsim.graph.operators import vector_work
from mnsim.operators.quantities import ENERGIES, OVERHEADS
from mnsim.plan.model import Geometry, Tiling, cuts_of, lifetime, segments_of
from mnsim.plan.tiling import groups_a_block, input_passes, input_strips, tile_counts, weight_passes, what_stays, working_bytes
from mnsim.spec.records import BUS, MATRIX, VECTOR, Hardware, amount_of


@dataclass(frozen=True, slots=True)
class Step:
    """One figure: its value and unit, the formula in words and letters, the same with its numbers."""

    figure: str
    value: int | float
    unit: str
    formula: str
    numbers: str


@dataclass(frozen=True, slots=True)
class Derivation:
    """A layer's steps, after a few lines that say what it is, how it is cut, and where its bytes lie."""

    title: str
    facts: tuple[str, ...]
    steps: tuple[Step, ...]
    busiest: str | None


def derive(estimate: Estimate, index: int) -> Derivation:
    """All the figures of the layer at this index."""
    operator, row = estimate.graph.operators[index], estimate.layers[index]
    steps = (
        *_shape_steps(estimate.graph, operator),
        *_count_steps(estimate, operator, row),
        *_traffic_steps(estimate, operator, row),
        *_time_steps(estimate, operator, row),
        *_energy_step(estimate, row),
    )
    return Derivation(f"{operator.name}: {operator.label}", tuple(_facts(estimate, operator)), steps, row.busiest)


def _facts(estimate: Estimate, operator: Operator) -> Iterator[str]:
    graph, plan = estimate.graph, estimate.plan
    for role, indices in (("reads", operator.inputs), ("writes", (operator.output,))):
        for place in indices:
            feature_map, home = graph.maps[place], plan.homes[place]
            where = "external memory" if home.address is None else f"SRAM at {home.address}"
            first, last = (graph.operators[index].name for index in lifetime(plan, home))
            lives = f", in use from {first} to {last}" if first != last else ""
            yield f"{role} {feature_map.name}: {_by(feature_map.shape)}, {feature_map.size_bytes} bytes in {where}{lives}"
    if operator.window:
        top, bottom, left, right = operator.window.padding
        kernel, stride = _by(operator.window.kernel), _by(operator.window.stride)
        yield f"window {kernel}, stride {stride}, padding ({operator.window.rule}): top {top}, bottom {bottom}, left {left}, right {right}"
    yield _cut(estimate, operator)


def _cut(estimate: Estimate, operator: Operator) -> str:
    geometry, tiling = _cut_of(estimate, operator)
    if geometry.idle:
        crosses = estimate.layers[operator.index].traffic_bytes
        return f"{'' if crosses else 'moves and '}computes nothing: its bytes are those of what it reads"
    strips, out_blocks, in_blocks = tile_counts(geometry, tiling)
    if strips * out_blocks * in_blocks == 1:
        return "cut: not at all (one tile)"
    parts = [
        f"{_counted(strips, 'strip')} of {_up_to(tiling.rows, geometry.rows_out, 'output row')}",
        f"{_counted(out_blocks, 'block')} of {_up_to(tiling.out_channels, geometry.out_channels, 'output channel')}",
    ]
    if in_blocks > 1:
        parts.append(f"{_counted(in_blocks, 'block')} of {_up_to(tiling.in_channels, geometry.group_in, 'input channel')}")
    stays = what_stays(geometry, tiling)
    return f"cut: {', '.join(parts)}" + (f"; what stays: {stays}" if stays else "")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _up_to(size: int, whole: int, what: str) -> str:
    """A block's size; `up to` where the last one is smaller."""
    return f"{'up to ' if whole % size else ''}{_counted(size, what)}"


def _cut_of(estimate: Estimate, operator: Operator) -> tuple[Geometry, Tiling]:
    cut = cuts_of(estimate.plan)[operator.index]
    return cut.geometry, cut.tiling


def _by(extents: tuple[int, ...]) -> str:
    return " x ".join(map(str, extents))


def _times(*factors: int) -> str:
    return " * ".join(map(str, factors))


def _shape_steps(graph: Graph, operator: Operator) -> Iterator[Step]:
    x, y = graph.maps[operator.inputs[0]].shape, graph.maps[operator.output].shape
    if operator.window:
        window = operator.window
        pads = (window.padding[:2], window.padding[2:])
        for axis, name in enumerate(("H", "W")):
            formula = f"floor(({name}_in + padding - kernel) / stride) + 1"
            numbers = f"({x[axis]} + {sum(pads[axis])} - {window.kernel[axis]}) // {window.stride[axis]} + 1"
            yield Step(f"output {'height' if axis == 0 else 'width'}", y[axis], "", formula, numbers)
    if operator.base_channels and y[2] != operator.base_channels:
        alpha, channels = graph.alpha, operator.base_channels
        numbers = f"max({alpha.numerator} * {channels} // {alpha.denominator}, min({channels}, {graph.min_depth}))"
        yield Step("output channels", y[2], "", "max(floor(alpha * C), min(C, min_depth))", numbers)


def _count_steps(estimate: Estimate, operator: Operator, row: LayerCost) -> Iterator[Step]:
    graph = estimate.graph
    x, y = graph.maps[operator.inputs[0]].shape, graph.maps[operator.output].shape
    if operator.kind == "dense":
        inputs = _times(*x) if x[0] * x[1] > 1 else str(x[2])
        filters, sizes = "K * C_out", f"{inputs} * {y[2]}"
        yield Step("macs", row.macs, "MACs", filters, sizes)
    elif operator.window and operator.macs:
        filters = "k_h * k_w * C_in / groups * C_out"
        sizes = f"{_times(*operator.window.kernel)} * {x[2]} // {operator.groups} * {y[2]}"
        yield Step("macs", row.macs, "MACs", f"{filters} * H_out * W_out", f"{sizes} * {y[0]} * {y[1]}")
    else:
        yield Step("macs", 0, "MACs", f"none: this operator {'runs on the vector unit' if row.vector_ops else 'computes nothing'}", "0")
        filters, sizes = "filters", "0"
    yield _vector_ops(estimate, operator, row)
    channels = y[2]
    extra = len(operator.weights.trained)
    per_channel = {0: "", 1: " + C_out (bias)", 2: " + 2 * C_out (batch norm)", 3: " + 3 * C_out (bias, batch norm)"}[extra]
    if operator.kind == "batch_norm":
        yield Step("parameters", row.parameters, "", "2 * C (scale and shift)", f"2 * {channels}")
        yield Step("weight_bytes", row.weight_bytes, "B", f"2 * C * {BIAS_BYTES} B", f"2 * {channels} * {BIAS_BYTES}")
    elif operator.parameters:
        yield Step("parameters", row.parameters, "", filters + per_channel, f"{sizes} + {extra} * {channels}")
        biases = len(operator.weights.planes) * BIAS_BYTES
        formula = f"filters * {x_bytes(graph)} B ({graph.dtype}) + C_out * {biases} B ({_counted(biases // BIAS_BYTES, 'number')} of 4 B)"
        numbers = f"{sizes} * {x_bytes(graph)} + {channels} * {biases}"
        yield Step("weight_bytes", row.weight_bytes, "B", formula, numbers)
    else:
        yield Step("parameters", 0, "", "none", "0")
        yield Step("weight_bytes", 0, "B", "none", "0")


def x_bytes(graph: Graph) -> int:
    """Bytes of one element of a feature map or a filter."""
    return graph.maps[0].element_bytes


def _vector_ops(estimate: Estimate, operator: Operator, row: LayerCost) -> Step:
    maps = estimate.graph.maps
    y = maps[operator.output].shape
    work = vector_work(operator, estimate.hardware.fused)
    if operator.copied:
        copied = " + ".join(_times(*maps[source].shape) for source in operator.copied)
        return Step("vector_ops", row.vector_ops, "ops", "1 * elements copied", copied)
    if not work:
        why = "none" if not operator.vector_ops else "none: fused into the matrix unit"
        return Step("vector_ops", 0, "ops", why, "0")
    elements = y[0] * y[1] * y[2]
    formula = " + ".join(f"{ops // elements} * outputs ({name})" for name, ops in work)
    return Step("vector_ops", row.vector_ops, "ops", formula, " + ".join(f"{ops // elements} * {_times(*y)}" for _, ops in work))


def _traffic_steps(estimate: Estimate, operator: Operator, row: LayerCost) -> Iterator[Step]:
    graph, traffic = estimate.graph, row.traffic
    geometry, tiling = _cut_of(estimate, operator)
    filters, biases = weight_passes(geometry, tiling)
    numbers = f"{operator.filter_bytes} * {filters} + {operator.bias_bytes} * {biases}" if operator.weight_bytes else "0"
    formula = "bytes of filters * times read + bytes of biases * times read" if operator.weight_bytes else "none"
    yield Step("weight_traffic_bytes", traffic.weight_bytes, "B", formula, numbers)
    if geometry.in_streams and not geometry.idle:
        times, _ = input_passes(geometry, tiling)
        rows, _, _ = input_strips(geometry, tiling)
        formula = "inputs in external memory * times read * rows read (halo included) * bytes a row"
        numbers = _times(geometry.in_streams, times, rows, geometry.in_row_bytes * geometry.in_channels)
        yield Step("input_traffic_bytes", traffic.input_bytes, "B", formula, numbers)
    elif traffic.input_bytes:
        yield Step("input_traffic_bytes", traffic.input_bytes, "B", "the network's input, loaded whole", _size(graph, 0))
    else:
        does = "copies" if operator.copied else "reads"
        why = "what it reads is not moved" if geometry.idle else f"all that it {does} is in SRAM"
        yield Step("input_traffic_bytes", 0, "B", f"nothing: {why}", "0")
    if geometry.out_streams and not geometry.idle:
        numbers = _times(geometry.rows_out, geometry.out_row_bytes, geometry.out_channels)
        channels = "copied channels" if operator.copied else "channels"
        yield Step("output_traffic_bytes", traffic.output_bytes, "B", f"rows * bytes a row of one channel * {channels}", numbers)
    elif traffic.output_bytes:
        formula = "the network's output, stored whole"
        yield Step("output_traffic_bytes", traffic.output_bytes, "B", formula, _size(graph, operator.output))
    else:
        why = "its bytes are there already" if geometry.idle else "the output stays in SRAM"
        yield Step("output_traffic_bytes", 0, "B", f"nothing: {why}", "0")
    parts = (traffic.weight_bytes, traffic.input_bytes, traffic.output_bytes)
    yield Step("traffic_bytes", row.traffic_bytes, "B", "filters and biases + input + output", " + ".join(map(str, parts)))
    yield from _buffer_steps(geometry, tiling)
    held = sram_in_use(graph, estimate.plan)[segments_of(estimate.plan)[operator.index]]
    formula = " + ".join(f"{name} (at {address})" for name, address, _ in held) or "nothing"
    yield Step("sram_bytes", row.sram_bytes, "B", formula, " + ".join(str(size) for _, _, size in held) or "0")


def _buffer_steps(geometry: Geometry, tiling: Tiling) -> Iterator[Step]:
    """The working space, buffer by buffer."""
    block, part = min(tiling.out_channels, geometry.out_channels), min(tiling.in_channels, geometry.group_in)
    spans = geometry.groups if tiling.stays == "input" else groups_a_block(geometry, tiling)
    held_rows = geometry.rows_out if tiling.stays == "weights" else tiling.rows
    held_channels = geometry.out_channels if tiling.stays == "input" else block
    forms = {
        "filters": ("bytes of one kernel * input channels * output channels of a block", (geometry.kernel_bytes, part, block)),
        "biases": ("bytes a channel * output channels of a block", (geometry.channel_bytes, block)),
        "input strip": ("rows (halo included) * bytes a row of one channel * channels", (
            input_strips(geometry, tiling)[2] if geometry.in_streams else 0, geometry.in_row_bytes, spans * part)),
        "output strip": ("rows * bytes a row of one channel * channels of a block", (tiling.rows, geometry.out_row_bytes, block)),
        "partial sums": ("rows * 4 B a row of one channel * channels", (held_rows, geometry.partial_row_bytes, held_channels)),
    }  # fmt: skip
    for name, size in working_bytes(geometry, tiling):
        formula, numbers = forms[name if name in forms else "input strip"]
        yield Step(f"buffer: {name}", size, "B", formula, _times(*numbers))


def _size(graph: Graph, index: int) -> str:
    return f"{_times(*graph.maps[index].shape)} * {x_bytes(graph)}"


def _time_steps(estimate: Estimate, operator: Operator, row: LayerCost) -> Iterator[Step]:
    hardware = estimate.hardware
    geometry, tiling = _cut_of(estimate, operator)
    strips, out_blocks, in_blocks = tile_counts(geometry, tiling)
    formula, numbers = "traffic_bytes / bandwidth", f"{row.traffic_bytes} / {_number(hardware.bus_bandwidth_bytes_per_s)}"
    overheads = _overheads(hardware, BUS)
    if overheads:
        yield _transfers(geometry, tiling, row)
    for name, seconds in overheads:
        formula, numbers = f"{formula} + transfers * {name}", f"{numbers} + {row.traffic.transfers} * {seconds!r}"
    yield Step("transfer_time_s", row.transfer_time_s, "s", formula, numbers)
    share, rate = dict(hardware.matrix.efficiency).get(operator.label, 1.0), _number(hardware.matrix.throughput_per_s)
    formula, numbers = "2 * MACs / matrix throughput", f"2 * {row.macs} / {rate}"
    if share != 1:
        formula = f"2 * MACs / (matrix throughput * efficiency of {operator.label})"
        numbers = f"2 * {row.macs} / ({rate} * {share!r})"
    for name, seconds in _overheads(hardware, MATRIX) if operator.macs else ():
        formula += f" + tiles * {name}"
        numbers += f" + {_times(strips, out_blocks, in_blocks)} * {seconds!r}"
    yield Step("matrix_time_s", row.matrix_time_s, "s", formula, numbers)
    yield _vector_time(estimate, operator, row, strips * out_blocks)
    parts = (row.transfer_time_s, row.matrix_time_s, row.vector_time_s)
    yield Step("time_s", row.time_s, "s", "transfer_time_s + matrix_time_s + vector_time_s", " + ".join(map(repr, parts)))


def _energy_step(estimate: Estimate, row: LayerCost) -> Iterator[Step]:
    energies = estimate.hardware.energies
    if energies is None or estimate.energies is None:
        return
    found = estimate.energies[row.index]
    formula = "bytes of external memory, of SRAM (read and written), operations of the matrix and of the vector unit, each * its energy"
    amounts = (found.external_bytes, found.sram_bytes, found.matrix_ops, found.vector_ops)
    parts = zip(amounts, (amount_of(estimate.hardware, quantity) for quantity in ENERGIES), strict=True)
    yield Step("energy_j", found.energy_j, "J", formula, " + ".join(f"{amount} * {each!r}" for amount, each in parts))


def _transfers(geometry: Geometry, tiling: Tiling, row: LayerCost) -> Step:
    """Loads and stores: of weights, of inputs, of outputs, and of a network's input or output that crosses
    whole.
    """
    strips, out_blocks, in_blocks = tile_counts(geometry, tiling)
    parts = [0, 0, 0]
    if not geometry.idle:
        filters, biases = weight_passes(geometry, tiling)
        parts[0] = out_blocks * (filters * in_blocks * (geometry.filter_bytes > 0) + biases * (geometry.bias_bytes > 0))
    if geometry.in_streams and not geometry.idle:
        passes, slices = input_passes(geometry, tiling)
        parts[1] = geometry.in_sources * passes * slices * in_blocks * input_strips(geometry, tiling)[1]
    if geometry.out_streams and not geometry.idle:
        parts[2] = geometry.out_targets * strips * out_blocks
    formula = "loads of weight blocks + loads of input strips + stores of output tiles + maps that cross whole"
    numbers = " + ".join(map(str, [*parts, row.traffic.transfers - sum(parts)]))
    return Step("transfers", row.traffic.transfers, "", formula, numbers)


def _vector_time(estimate: Estimate, operator: Operator, row: LayerCost, tiles: int) -> Step:
    vector = estimate.hardware.vector
    terms, formulas = [], []
    for name, ops in vector_work(operator, estimate.hardware.fused):
        share = dict(vector.efficiency).get(name, 1.0)
        rate = _number(vector.throughput_per_s)
        terms.append(f"{ops} / {rate}" if share == 1 else f"{ops} / ({rate} * {share!r})")
        formulas.append(f"{name} ops / " + ("vector throughput" if share == 1 else f"(vector throughput * efficiency of {name})"))
        for overhead, seconds in _overheads(estimate.hardware, VECTOR):
            terms.append(f"{tiles} * {seconds!r}")
            formulas.append(f"tiles * {overhead}")
    return Step("vector_time_s", row.vector_time_s, "s", " + ".join(formulas) or "none", " + ".join(terms) or "0.0")


def _overheads(hardware: Hardware, engine: str) -> list[tuple[str, float]]:
    """What each command of an engine takes besides its work: names and seconds, without those that are 0."""
    found = ((quantity.name.replace("_", " "), amount_of(hardware, quantity)) for quantity in OVERHEADS if quantity.part == engine)
    return [(name, seconds) for name, seconds in found if seconds]


def _number(rate: float) -> str:
    short = f"{rate:.0e}".replace("e+0", "e").replace("e+", "e")
    return short if float(short) == rate else repr(rate)
