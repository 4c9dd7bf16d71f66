"""`--layer`: every figure of a layer with its formula and the numbers put in, so that a person can check
it by hand.

The closed form computes them here a second time, on traced numbers (`Tracer`): a formula is what it did, and
is nowhere else. Here are only the words: for the quantities, and for figures that are 0.

The `numbers` of a step are plain arithmetic (also valid Python, with ceil).
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from math import prod
from typing import Any

from mnsim.analysis.cost import Estimate, LayerTimes, LayerWork, layer_cost, layer_times, layer_works, sram_in_use
from mnsim.analysis.energy import joules
from mnsim.analysis.rings import buffer_name, need_of, row_bytes, rows_in_ring, segment_name
from mnsim.analysis.traced import Traced, Tracer, fields_named, named, noted, plain, written
from mnsim.clocks.rates import Rates, make_rates
from mnsim.errors import Location
from mnsim.graph.model import BIAS_BYTES, Graph, Operator
from mnsim.graph.operators import count_macs, count_vector_ops
from mnsim.operators.quantities import EFFICIENCIES, ENERGIES, RATES, kind_column
from mnsim.operators.shapes import Window, make_window
from mnsim.operators.table import RULES
from mnsim.plan.model import Buffer, Cut, Geometry, Segment, Tiling, cuts_of, lifetime, segments_of
from mnsim.plan.tiling import Traffic, loads_of, tile_counts, what_stays, working_bytes
from mnsim.plan.words import pass_words
from mnsim.spec.records import BUS, Hardware, Layer, amount_of, own_rates

RESULTS = {  # the words for what functions of the closed form return
    "tile_counts": ("strips", "output blocks", "input blocks"),
    "groups_a_block": ("groups of a block",),
    "weight_passes": ("reads of filters", "reads of biases"),
    "input_passes": ("times read", "slices"),
    "whole_maps": ("maps that cross whole",),
    "input_strips": ("rows read (halo included)", "strips loaded", "rows (halo included)"),
}
GEOMETRY = {
    "filter_bytes": "bytes of filters",
    "bias_bytes": "bytes of biases",
    "kernel_bytes": "bytes of one kernel",
    "channel_bytes": "bytes a channel",
    "in_row_bytes": "bytes a row of one channel",
    "out_row_bytes": "bytes a row of one channel",
    "partial_row_bytes": "4 B a row of one channel",
    "in_streams": "inputs in external memory",
    "in_sources": "loads a strip",
    "out_targets": "stores a tile",
    "rows_out": "rows",
    "in_channels": "channels",
    "out_channels": "channels",
}
TILING = {
    "rows": "rows of a strip",
    "lead": "rows more in the first",
    "out_channels": "output channels of a block",
    "in_channels": "input channels of a block",
}
ABOUT = {  # segments, by kind and order
    ("rows", "demand"): "strips of rows pass from layer to layer, each made just before it is read",
    ("rows", "pipelined"): "strips of rows pass from layer to layer, and the layers work on different strips at a time",
    ("channels", "demand"): "blocks of channels pass from layer to layer, each through all of them before the next",
}
AMOUNTS = ("bytes of external memory", "bytes of SRAM (read and written)", "matrix operations", "vector operations")
INPUT = ("H_in", "W_in", "C_in")


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
    operator = estimate.graph.operators[index]
    steps = (*_shape_steps(estimate.graph, operator), *_figures(estimate, operator))
    return Derivation(f"{operator.name}: {operator.label}", tuple(_facts(estimate, operator)), steps, estimate.layers[index].busiest)


def _facts(estimate: Estimate, operator: Operator) -> Iterator[str]:
    graph, plan = estimate.graph, estimate.plan
    for role, indices in (("reads", operator.sources), ("writes", (operator.output,))):
        for place in indices:
            feature_map = graph.maps[place]
            yield f"{role} {feature_map.name}: {_by(feature_map.shape)}, {feature_map.size_bytes} bytes in {_where(estimate, place)}"
    if operator.window:
        top, bottom, left, right = operator.window.padding
        kernel, stride = _by(operator.window.kernel), _by(operator.window.stride)
        yield f"window {kernel}, stride {stride}, padding ({operator.window.rule}): top {top}, bottom {bottom}, left {left}, right {right}"
    if segment := _fused_segment(estimate, operator):
        number = segments_of(plan)[operator.index]
        how = f"({pass_words(segment.kind, segment.order)}): {ABOUT[segment.kind, segment.order]}"
        yield f"runs in segment {number}, {segment_name(graph, segment)} {how}"
    yield _cut(estimate, operator)
    if segment:
        yield from _streams(graph, segment, operator)
        yield from _rings(estimate, segment, operator)


def _fused_segment(estimate: Estimate, operator: Operator) -> Segment | None:
    segment = estimate.plan.segments[segments_of(estimate.plan)[operator.index]]
    return None if segment.kind == "single" else segment


def _where(estimate: Estimate, place: int) -> str:
    """A map's home in words."""
    graph, plan = estimate.graph, estimate.plan
    home = plan.homes[place]
    if home.is_passed:
        segment = plan.segments[home.first]
        (rows, *_) = [rows_in_ring(graph, segment, each) for each in segment.buffers if each.storage == graph.slots[place].storage]
        passes = "passed block by block" if rows is None else f"in a ring of {_counted(rows, 'row')}"
        return f"segment {home.first}, {segment_name(graph, segment)}: {passes}, never whole"
    first, last = (graph.operators[index].name for index in lifetime(plan, home))
    lives = f", in use from {first} to {last}" if first != last else ""
    return f"{'external memory' if home.is_external else f'SRAM at {home.address}'}{lives}"


def _streams(graph: Graph, segment: Segment, operator: Operator) -> Iterator[str]:
    """Where the rows of external maps come from that the operator reads in a segment, and its own go to."""
    for cut in segment.cuts:
        for stream in cut.streams:
            if stream.map in operator.inputs:
                loads, name = loads_of(graph, stream), graph.maps[stream.map].name
                if cut.operator != operator.index:
                    yield f"{name} is loaded for {graph.operators[cut.operator].name}, the first of the segment that reads it"
                    continue
                sizes = _up_to(stream.rows, graph.maps[stream.map].shape[0] - stream.lead, "row") + _with_lead(stream.lead, loads)
                yield f"loads {name} into a ring: {_counted(loads, 'load')} of {sizes}"


def _rings(estimate: Estimate, segment: Segment, operator: Operator) -> Iterator[str]:
    """What the rows of the rings are needed for that the operator reads or writes."""
    graph = estimate.graph
    for buffer in _buffers_of(graph, segment, operator):
        need = need_of(graph, estimate.plan, segment, buffer)
        if need is None:
            continue
        held = f"for rows {need.first} to {need.end - 1}" if need.end - need.first > 1 else f"for row {need.first}"
        filled = f"which are loaded for {need.filler.name}" if need.is_loaded else f"which {need.filler.name} fills"
        parts = [held, filled if need.filler == need.reader and not need.is_loaded else f"{filled} and {need.reader.name} still uses"]
        parts += ["1 more, since the bus fills or empties it"] if need.spare_rows else []
        parts += [f"{need.ahead_rows} more, since there is room"] if need.ahead_rows else []
        rows = rows_in_ring(graph, segment, buffer)
        yield f"{buffer_name(graph, segment, buffer)} (at {buffer.address}), {_counted(rows or 0, 'row')}: {', '.join(parts)}"


def _buffers_of(graph: Graph, segment: Segment, operator: Operator) -> list[Buffer]:
    """The buffers of a segment through which the operator's maps pass."""
    mine = {graph.slots[index].storage for index in (*operator.inputs, operator.output)}
    return [buffer for buffer in segment.buffers if buffer.storage in mine]


def _with_lead(lead: int, strips: int) -> str:
    return f" (and {lead} more in the first)" if lead and strips > 1 else ""


def _cut(estimate: Estimate, operator: Operator) -> str:
    cut = cuts_of(estimate.plan)[operator.index]
    geometry, tiling = cut.geometry, cut.tiling
    if geometry.idle:
        crosses = estimate.layers[operator.index].traffic_bytes
        return f"{'' if crosses else 'moves and '}computes nothing: its bytes are those of what it reads"
    strips, out_blocks, in_blocks = tile_counts(geometry, tiling)
    if strips * out_blocks * in_blocks == 1:
        return "cut: not at all (one tile)"
    rows = _up_to(tiling.rows, geometry.rows_out - tiling.lead, "output row")
    parts = [
        f"{_counted(strips, 'strip')} of {rows}{_with_lead(tiling.lead, strips)}",
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


def _by(extents: tuple[int, ...]) -> str:
    return " x ".join(map(str, extents))


def _shape_steps(graph: Graph, operator: Operator) -> Iterator[Step]:
    if operator.window:
        _, height, width = make_window(_layer(operator), _named(graph.maps[operator.inputs[0]].shape, *INPUT))
        yield _step("output height", height, "")
        yield _step("output width", width, "")
    channels, scaled = operator.base_channels, graph.maps[operator.output].shape[2]
    if channels and channels != scaled:
        alpha = graph.alpha
        numbers = f"max({alpha.numerator} * {channels} // {alpha.denominator}, min({channels}, {graph.min_depth}))"
        yield Step("output channels", scaled, "", "max(floor(alpha * C), min(C, min_depth))", numbers)


def _figures(estimate: Estimate, operator: Operator) -> Iterator[Step]:
    """What the closed form computes of a layer, figure by figure."""
    trace = Tracer(RESULTS)
    work, geometry, tiling = _work(estimate, operator, trace)
    traffic, weights = work.traffic, work.operator.weights
    unit = "runs on the vector unit" if work.vector_ops else "computes nothing"
    yield _step("macs", work.operator.macs, "MACs", f"none: this operator {unit}")
    ops = sum(noted(amount, name) for name, amount in work.vector_ops)
    yield _step("vector_ops", ops, "ops", "none: fused into the matrix unit" if operator.vector_ops else "none")
    trained = ["bias"] * ("bias" in weights.trained) + ["batch norm"] * weights.has_norm
    yield _step("parameters", noted(weights.parameters, ", ".join(trained)), "", "none")
    planes = f"{_counted(len(weights.planes), 'number')} of {BIAS_BYTES} B a channel" if weights.planes else ""
    yield _step("weight_bytes", noted(work.operator.weight_bytes, planes), "B", "none")
    yield _step("weight_traffic_bytes", traffic.weight_bytes, "B", "none")
    yield _step("input_traffic_bytes", traffic.input_bytes, "B", f"nothing: {_why_no_input(estimate, operator, geometry)}")
    yield _step("output_traffic_bytes", traffic.output_bytes, "B", f"nothing: {_why_no_output(estimate, operator, geometry)}")
    parts = (traffic.weight_bytes, traffic.input_bytes, traffic.output_bytes, traffic.transfers)
    moved = Traffic(*_named(parts, "filters and biases", "input", "output", "transfers"))
    yield _step("traffic_bytes", moved.total_bytes, "B")
    yield from _buffer_steps(estimate, operator, trace(working_bytes, geometry, tiling))
    held = _sram_in_use(estimate, segments_of(estimate.plan)[operator.index])
    yield _step("sram_bytes", sum(named(size, f"{name} (at {address})") for name, address, size in held), "B", "nothing")
    yield from _strip_step(
        replace(cuts_of(estimate.plan)[operator.index], geometry=geometry, tiling=tiling), _fused_segment(estimate, operator)
    )
    rates = _rates(estimate.hardware)
    if any(rates.engines[BUS].overheads):
        yield _step("transfers", traffic.transfers, "", "none")
    total = replace(moved, weight_bytes=named(moved.total_bytes, "traffic_bytes"), input_bytes=0, output_bytes=0)
    vector_ops = tuple((name, named(amount, f"{name} ops")) for name, amount in work.vector_ops)
    counted = replace(work.operator, macs=named(operator.macs, "MACs"))
    yield from _time_steps(work._replace(operator=counted, traffic=total, vector_ops=vector_ops), rates)
    if estimate.energies:
        amounts = _named(astuple(estimate.energies[operator.index])[:-1], *AMOUNTS)
        each_j = [named(amount_of(estimate.hardware, quantity), quantity.column) for quantity in ENERGIES]
        yield _step("energy_j", joules(amounts, each_j), "J")


def _why_no_input(estimate: Estimate, operator: Operator, geometry: Geometry) -> str:
    """Why the operator loads no maps."""
    if geometry.idle:
        return "what it reads is not moved"
    homes = [estimate.plan.homes[index] for index in operator.copied or operator.inputs]
    if all(home.address is not None for home in homes):
        return f"all that it {'copies' if operator.copied else 'reads'} is in SRAM"
    return "all that it reads is in SRAM: what passes through a ring was made, or loaded, by others of its segment"


def _why_no_output(estimate: Estimate, operator: Operator, geometry: Geometry) -> str:
    """Why the operator stores nothing."""
    home = estimate.plan.homes[operator.output]
    if geometry.idle:
        return "its bytes are there already"
    if home.is_passed:
        return "the output passes to the next layers of its segment"
    return "another layer of its segment writes over it first" if home.is_external else "the output stays in SRAM"


def _buffer_steps(estimate: Estimate, operator: Operator, traced: Iterable[tuple[str, Any]]) -> Iterator[Step]:
    """The buffers that the operator works in; in a segment its strips lie in rings."""
    segment, graph = _fused_segment(estimate, operator), estimate.graph
    for name, size in traced:
        if segment is None or name in ("filters", "biases"):
            yield _step(f"buffer: {name}", size, "B")
    seen: set[str] = set()
    for buffer in _buffers_of(graph, segment, operator) if segment else ():
        assert segment is not None
        assert buffer.storage is not None
        name = buffer_name(graph, segment, buffer)
        width, pixel = row_bytes(graph, segment, buffer.storage)
        rows = rows_in_ring(graph, segment, buffer)
        if name in seen:
            continue
        seen.add(name)
        if rows is None:
            height = graph.maps[graph.storages[buffer.storage].root].shape[0]
            parts = _named(
                (height, width, buffer.size_bytes // (height * width)), "rows", "columns", "bytes of a pixel's channels in a block"
            )
        else:
            parts = _named((rows, width, pixel), "rows of the ring", "columns", "bytes of a pixel")
        yield _step(f"buffer: {name}", prod(parts), "B")


def _sram_in_use(estimate: Estimate, number: int) -> list[tuple[str, int, int]]:
    """What is set aside while a segment runs, as `sram_in_use` has it; buffers say what they belong to."""
    held, segment = sram_in_use(estimate.graph, estimate.plan)[number], estimate.plan.segments[number]
    maps = held[: len(held) - len(segment.buffers)]
    return maps + [(buffer_name(estimate.graph, segment, each), each.address, each.size_bytes) for each in segment.buffers]


def _strip_step(cut: Cut, segment: Segment | None) -> Iterator[Step]:
    """How many strips, or blocks, a segment's operator is cut into."""
    if segment is not None and not cut.geometry.idle:
        strips, blocks, _ = Tracer({})(tile_counts, cut.geometry, cut.tiling)
        yield _step("strips", strips, "") if segment.kind == "rows" else _step("blocks", blocks, "")


def _time_steps(work: LayerWork, rates: Rates[Any]) -> Iterator[Step]:
    times, names = layer_times(work, rates), ("transfer_time_s", "matrix_time_s", "vector_time_s")
    yield from (_step(name, spent, "s") for name, spent in zip(names, times, strict=True))
    yield _step("time_s", layer_cost(work, LayerTimes(*_named(times, *names)), 0).time_s, "s")


def _work(estimate: Estimate, operator: Operator, trace: Tracer) -> tuple[LayerWork, Geometry, Tiling]:
    """What the layer does and how it is cut, with names for all that the closed form reads of them."""
    graph, cut = estimate.graph, cuts_of(estimate.plan)[operator.index]
    cut = replace(cut, geometry=fields_named(cut.geometry, GEOMETRY), tiling=fields_named(cut.tiling, TILING))
    operators, maps = list(graph.operators), list(graph.maps)
    operators[operator.index] = _counts(graph, operator)
    streamed = tuple(stream.map for stream in cut.streams)
    for place in cut.loads_whole + cut.stores_whole + streamed:
        whole = maps[place]
        how = "which is loaded into a ring" if place in streamed else "which crosses whole"
        element = named(whole.element_bytes, f"bytes an element of {whole.name}, {how}")
        maps[place] = replace(whole, shape=_named(whole.shape, "H", "W", "C"), element_bytes=element)
    graph = replace(graph, operators=tuple(operators), maps=tuple(maps))
    (work,) = trace(layer_works, graph, replace(estimate.plan, segments=(Segment((cut,), ()),)), estimate.hardware.fused)
    return work, cut.geometry, cut.tiling


def _counts(graph: Graph, operator: Operator) -> Operator:
    """The operator with its counts traced from the extents of its maps and of its window."""
    layer, weights, groups = _layer(operator), operator.weights, named(operator.groups, "groups")
    x, *others = (_named(graph.maps[source].shape, *INPUT) for source in operator.copied or operator.inputs)
    y = _named(graph.maps[operator.output].shape, "H_out", "W_out", "C_out")
    window = operator.window and replace(operator.window, kernel=layer.kernel or (1, 1))
    ops: Any = (("copy", sum(map(prod, (x, *others)))),) if operator.copied else count_vector_ops(layer, window, y)
    if weights.channels:
        matrix, element = RULES[operator.kind].matrix, named(weights.element_bytes, f"{weights.element_bytes} B ({graph.dtype})")
        filters = matrix.filter_shape(layer, x, y, groups) if matrix else ()
        weights = replace(weights, filter_shape=filters, element_bytes=element, channels=y[2])
    return replace(operator, macs=count_macs(layer, x, y, groups), vector_ops=ops, weights=weights)


def _layer(operator: Operator) -> Layer:
    """As much of the operator's layer as shapes and counts follow from."""
    has_norm = operator.kind != "batch_norm" and "batch_norm" in dict(operator.vector_ops)
    window = operator.window or Window((1, 1), (1, 1), (0, 0, 0, 0))
    return Layer(
        name=operator.name,
        kind=operator.kind,
        inputs=tuple(map(str, operator.inputs)),
        location=Location(""),
        kernel=_named(window.kernel, "k_h", "k_w"),
        stride=_named(window.stride, "stride", "stride"),
        padding=_named(window.padding, "top", "bottom", "left", "right"),
        batch_norm="unfolded" if has_norm else "none",
        activation=operator.activation,
    )


def _rates(hardware: Hardware) -> Rates[Any]:
    """The rates with names, without the overheads that are 0."""
    words = {kind_column(quantity, kind): f"efficiency of {kind}" for quantity in EFFICIENCIES for kind in quantity.kinds}
    for quantity in RATES:
        whose = f"{quantity.part} " if quantity.name == "throughput" else ""
        words[quantity.column] = whose + quantity.name.replace("_", " ")
    return make_rates({column: amount and named(amount, words.get(column, column)) for column, amount in own_rates(hardware).items()})


def _named(numbers: Iterable[Any], *names: str) -> Any:
    return tuple(map(named, numbers, names))


def _step(figure: str, value: Any, unit: str, nothing: str = "") -> Step:
    """A figure as it was traced, or the words for nothing."""
    is_traced = isinstance(value, Traced) and (value.value or not nothing)
    return Step(figure, plain(value), unit, *(value.texts if is_traced else (nothing or "none", written(plain(value)))))
