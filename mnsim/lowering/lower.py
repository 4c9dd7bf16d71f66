"""From a plan to its program: every tile's loads, computation and stores."""

from collections.abc import Iterator, Sequence
from math import prod

from mnsim.errors import LengthError, ProgramError
from mnsim.graph.model import Graph, Operator
from mnsim.graph.operators import vector_work
from mnsim.lowering.operands import Columns, Scene, Tile, block, inputs_of, make_scene, partial_sums, staged, target_of
from mnsim.lowering.order import arrange
from mnsim.lowering.places import Area, biases_of, filters_of, make_places, part_of, run_of
from mnsim.lowering.rings import load_rows, make_rings
from mnsim.lowering.work import Draft, Touch, Work, compute, fresh_data, in_external, in_sram, outside, transfer, whole
from mnsim.plan.model import Buffer, Cut, Plan, Segment
from mnsim.plan.passes import make_pass, needed_rows, rows_order
from mnsim.plan.pieces import Span, walk
from mnsim.plan.tiling import loads_of, tile_counts, tile_traffic
from mnsim.program.collector import collector_paused
from mnsim.program.model import Fused, Kernel, Passed, Program, Region
from mnsim.program.progress import Progress, untold
from mnsim.spec.records import EXTERNAL, SRAM

Named = tuple[tuple[str, Touch], ...]  # operands by name


MOST_COMMANDS = 700_000  # a gigabyte to lower and check: mobilenet_v1 in 8 KiB takes 1.35 kB and 55 us of CPU for each of its 470,535


def count_commands(graph: Graph, plan: Plan) -> int:
    """How many commands a plan's program has: each transfer, each step of a matrix operator, each tile's
    vector operations.
    """
    count = 0
    for cut in plan.cuts:
        operator = graph.operators[cut.operator]
        strips, out_blocks, in_blocks = tile_counts(cut.geometry, cut.tiling)
        tiles = strips * out_blocks
        steps = tiles * in_blocks * bool(operator.macs) + tiles * len(vector_work(operator, plan.fused))
        count += tile_traffic(cut.geometry, cut.tiling).transfers + (0 if cut.geometry.idle else steps)
        count += len(cut.loads_whole) + len(cut.stores_whole) + sum(loads_of(graph, stream) for stream in cut.streams)
    return count


@collector_paused()
def lower(graph: Graph, plan: Plan, progress: Progress = untold) -> Program:
    """The plan's commands in issue order, with what each waits for.

    Under policy `serial` every command waits for the one before it. Under `overlap` loads are hoisted as
    far ahead as the bytes that they write are free, in the order in which they are needed. `progress` is
    told now and then how many commands are made, of about how many. Raises LengthError for a program of
    more than MOST_COMMANDS, ProgramError for the plan of another graph.
    """
    if (len(plan.homes), len(plan.cuts)) != (len(graph.maps), len(graph.operators)):
        raise ProgramError(-1, f"the plan is of another network than {graph.name}, or of another variant of it")
    if (expected := count_commands(graph, plan)) > MOST_COMMANDS:
        raise LengthError(expected, MOST_COMMANDS)
    places = make_places(graph, plan)
    passed: dict[int, Passed] = {}
    first = places.values + 2 * len(graph.operators)
    commands = arrange(_drafts(Work(graph, plan, places, first, progress, expected, passed=passed)), plan.policy)
    weights: list[Region] = []
    for operator in graph.operators:
        if operator.filter_bytes:
            weights.append(run_of(EXTERNAL, places.filters[operator.index], operator.filter_bytes, places.filter_data(operator)))
        if operator.bias_bytes:
            weights.append(run_of(EXTERNAL, places.biases[operator.index], operator.bias_bytes, places.bias_data(operator)))
    inputs, *outputs = (whole(graph.maps[index], outside(places, index)) for index in (0, *graph.outputs))
    ends = (inputs,), tuple(weights), tuple(outputs)
    memories = {SRAM: plan.sram_capacity_bytes, EXTERNAL: places.external_bytes}
    return Program(graph.name, plan.policy, memories, commands, *ends, _fused(graph, plan), passed)


def _fused(graph: Graph, plan: Plan) -> tuple[Fused, ...]:
    return tuple(
        Fused(tuple(graph.operators[cut.operator].name for cut in segment.cuts), segment.kind, segment.order)
        for segment in plan.segments
        if segment.kind != "single"
    )


def _drafts(work: Work) -> list[Draft]:
    """The commands in the order of the plan. Who used which bytes is forgotten with the work: it takes as
    much memory as the commands.
    """
    for segment in work.plan.segments:
        if segment.kind == "single":
            for cut in segment.cuts:
                _lower_cut(work, cut, segment.buffers)
        else:
            _lower_fused(work, segment)
    work.progress(work.expected, work.expected)
    return work.drafts


def _lower_cut(work: Work, cut: Cut, buffers: tuple[Buffer, ...]) -> None:
    _load_ends(work, cut)
    if not cut.geometry.idle:
        scene = make_scene(work, cut, buffers)
        for s, o, i in walk(scene.cuts, cut.tiling.stays):
            if scene.operator.copied:
                _copy(scene, s)
            else:
                _step(scene, s, scene.cuts.outs[o], i)
    _store_ends(work, cut)


def _lower_fused(work: Work, segment: Segment) -> None:
    """The steps of a segment's operators, one after another's as the order of its pass says."""
    rings = make_rings(work, segment)
    for cut in segment.cuts:
        _load_ends(work, cut)
    scenes = [make_scene(work, cut, segment.buffers, rings) for cut in segment.cuts]
    if segment.kind == "rows":
        _lower_rows(work, segment, scenes)
    else:
        _load_streams(work, scenes, scenes[0].operator.inputs)
        for outs in scenes[0].cuts.outs:
            for scene in scenes:
                _step(scene, 0, outs, 0)
    for cut in segment.cuts:
        _store_ends(work, cut)


def _lower_rows(work: Work, segment: Segment, scenes: Sequence[Scene]) -> None:
    """The parts of a rows pass's strips, each behind the rows that it reads; at last rows that none reads."""
    steps = make_pass(work.graph, segment.cuts, work.plan.fused)
    begun: dict[tuple[int, int], Iterator[None]] = {}
    for step in rows_order(steps, segment.order):
        scene = scenes[step.member]
        if step.part == 0:
            _load_streams(work, scenes, scene.operator.inputs, needed_rows(steps, step.member, step.strip))
            begun[step.member, step.strip] = _parts(scene, step.strip, scene.cuts.outs[0], 0)
        is_last = step.part == steps.parts[step.member] - 1
        next(begun.pop((step.member, step.strip)) if is_last else begun[step.member, step.strip], None)
    for scene in scenes:
        _load_streams(work, scenes, scene.operator.inputs)


def _load_streams(work: Work, scenes: Sequence[Scene], maps: Sequence[int], rows: int | None = None) -> None:
    """Load so many rows of those of the maps that the segment streams; all of them by default."""
    for scene in scenes:
        for stream in scene.streams:
            if stream.map in maps:
                ring = scene.rings[work.graph.slots[stream.map].storage]
                load_rows(work, ring, scene.operator, stream, work.graph.maps[stream.map].shape[0] if rows is None else rows)


def _load_ends(work: Work, cut: Cut) -> None:
    """Load the network's inputs that cross whole."""
    operator, graph, places = work.graph.operators[cut.operator], work.graph, work.places
    for index in cut.loads_whole:
        source = in_external(work, index, whole(graph.maps[index], outside(places, index)))
        transfer(work, operator, "load", [source], [in_sram(work, index, whole(graph.maps[index], places.homes[index]))])


def _store_ends(work: Work, cut: Cut) -> None:
    """Store the network's outputs that cross whole."""
    operator, graph, places = work.graph.operators[cut.operator], work.graph, work.places
    for index in cut.stores_whole:
        source = in_sram(work, index, whole(graph.maps[index], places.homes[index]))
        transfer(work, operator, "store", [source], [in_external(work, index, whole(graph.maps[index], outside(places, index)))])


def _step(scene: Scene, s: int, outs: Span, i: int) -> None:
    """One step of the loops, all of it."""
    for _ in _parts(scene, s, outs, i):
        pass


def _parts(scene: Scene, s: int, outs: Span, i: int) -> Iterator[None]:
    """One step of the loops: load what is not there, compute, and store a complete tile whose map is
    external. It stops between the matrix unit's part and what follows on the vector unit.
    """
    work, operator, geometry = scene.work, scene.operator, scene.geometry
    tile = Tile(s, outs, _channels(scene, outs, i), i == 0, i == len(scene.cuts.ins) - 1)
    weights: Named = ()
    if geometry.filter_bytes:
        source = filters_of(work.graph, work.places, operator, outs, scene.cuts.ins[i])
        weights = (("filters", block(scene, "filters", (outs, i), source)),)
    if geometry.bias_bytes and tile.first:
        block(scene, "biases", outs, biases_of(work.graph, work.places, operator, outs))
    inputs = inputs_of(scene, tile)
    if not tile.last:
        operands = (*inputs, *weights, *_sum_start(scene, tile))
        _matrix(scene, tile, operands, (partial_sums(scene, tile),))
        return
    target = target_of(scene, tile, inputs)
    written: tuple[Touch, ...] = ()
    for number, name in enumerate(scene.stages):
        if number == 1 and operator.macs:
            yield
        result = staged(work, target, is_first=number == 0, is_last=number == len(scene.stages) - 1)
        if number == 0 and operator.macs:
            _matrix(scene, tile, (*inputs, *weights, *_sum_start(scene, tile), *_fused_numbers(scene)), result)
        else:
            operands = inputs if number == 0 else tuple([("input", touch) for touch in written])
            _vector(scene, tile, name, operands, result)
        written = result
    if geometry.out_streams:
        region = part_of(outside(work.places, operator.output), work.graph.maps[operator.output], scene.cuts.strips[s].rows, outs)
        transfer(work, operator, "store", written, [in_external(work, operator.output, region)])


def _channels(scene: Scene, outs: Span, i: int) -> Span:
    """The input channels that an output block sums in one step: those of its groups, or a part of one
    group's.
    """
    geometry = scene.geometry
    first, last = outs[0] // geometry.group_out, -(-outs[1] // geometry.group_out)
    if len(scene.cuts.ins) > 1:
        ins = scene.cuts.ins[i]
        return first * geometry.group_in + ins[0], first * geometry.group_in + ins[1]
    return first * geometry.group_in, last * geometry.group_in


def _sum_start(scene: Scene, tile: Tile) -> Named:
    """What the sum goes on from: the biases, or the partial sums so far."""
    if not tile.first:
        return (("partial", scene.sums[tile.strip, tile.outs]),)
    planes = scene.bias_planes
    return (("biases", _planes(scene, 0, planes)),) if planes else ()


def _fused_numbers(scene: Scene) -> Named:
    """A batch norm's numbers, where the matrix unit's output stage applies it."""
    is_fused = "batch_norm" in scene.fused
    return (("norm", _planes(scene, scene.bias_planes, scene.norm_planes)),) if is_fused else ()


def _planes(scene: Scene, first: int, count: int) -> Touch:
    """Some of the planes of 4-byte numbers in the buffer of biases."""
    _, touch = scene.blocks["biases"]
    plane = touch.region.size_bytes // len(scene.operator.weights.planes)
    return Touch(touch.space, run_of(SRAM, touch.region.start + first * plane, count * plane, touch.region.data))


def _matrix(scene: Scene, tile: Tile, operands: Named, writes: tuple[Touch, ...]) -> None:
    operator = scene.operator
    kernel = _kernel(scene, tile, operator.label, operands)
    taps = prod(operator.window.kernel) if operator.window else 1
    count = taps * (kernel.input_shape[2] // kernel.groups) * prod(kernel.output_shape)
    compute(scene.work, operator, kernel, count, [touch for _, touch in operands], writes)


def _vector(scene: Scene, tile: Tile, name: str, operands: Named, writes: tuple[Touch, ...]) -> None:
    """A vector operation on the tile: the operator's own, or one in place on its result."""
    if name == "batch_norm":
        operands = (*operands, ("norm", _planes(scene, scene.bias_planes, scene.norm_planes)))
    kernel = _kernel(scene, tile, name, operands) if name == scene.operator.kind else _in_place(scene, tile, name, operands)
    count = scene.ops_each[name] * prod(kernel.output_shape)
    compute(scene.work, scene.operator, kernel, count, [touch for _, touch in operands], writes)


def _in_place(scene: Scene, tile: Tile, operation: str, operands: Named) -> Kernel:
    """An operation on a result, where that lies."""
    shape = _output_shape(scene, tile)
    return Kernel(operation, scene.work.graph.dtype, tuple([name for name, _ in operands]), shape, shape, first_channel=tile.outs[0])


def _output_shape(scene: Scene, tile: Tile) -> tuple[int, int, int]:
    rows, element = scene.cuts.strips[tile.strip].rows, scene.work.graph.maps[0].element_bytes
    return rows[1] - rows[0], scene.geometry.out_row_bytes // element, tile.outs[1] - tile.outs[0]


def _kernel(scene: Scene, tile: Tile, operation: str, operands: Named) -> Kernel:
    """The operator on one tile: its extents, and the padding that is the tile's own."""
    operator, geometry, graph = scene.operator, scene.geometry, scene.work.graph
    strip, element = scene.cuts.strips[tile.strip], graph.maps[0].element_bytes
    window, pads = operator.window, (0, 0, 0, 0)
    if window:
        top, _, left, right = window.padding
        first, last = strip.rows[0] * window.stride[0] - top, (strip.rows[1] - 1) * window.stride[0] - top + window.kernel[0]
        high = last - first  # a strip beyond the map's edge is padding alone
        pads = min(max(0, -first), high), min(max(0, last - geometry.rows_in), high), left, right
    first_group, last_group = tile.outs[0] // geometry.group_out, -(-tile.outs[1] // geometry.group_out)
    return Kernel(
        operation,
        graph.dtype,
        tuple([name for name, _ in operands]),
        (strip.covered[1] - strip.covered[0], geometry.in_row_bytes // element, tile.channels[1] - tile.channels[0]),
        _output_shape(scene, tile),
        window.kernel if window else (1, 1),
        window.stride if window else (1, 1),
        pads,
        last_group - first_group,
        scene.fused if operator.macs and tile.last else (),
        not tile.last,
        tile.outs[0],
    )


def _copy(scene: Scene, s: int) -> None:
    """A strip of the copies that a concat or flatten cannot avoid: load, move on the vector unit, store."""
    work, operator, geometry = scene.work, scene.operator, scene.geometry
    rows, element = scene.cuts.strips[s].rows, work.graph.maps[0].element_bytes
    reads, writes = [], []
    taken = Columns(scene, "input strip", rows, geometry.in_channels) if geometry.in_streams else None
    given = Columns(scene, "output strip", rows, geometry.out_channels) if geometry.out_streams else None
    value = fresh_data(work)
    for source, place in _copies(work, operator):
        feature_map = work.graph.maps[source]
        if work.plan.homes[source].is_external and taken:
            touch = taken.next(feature_map.shape[2], fresh_data(work))
            region = part_of(work.places.homes[source], feature_map, rows, (0, feature_map.shape[2]))
            transfer(work, operator, "load", [in_external(work, source, region)], [touch])
            reads.append(touch)
        else:
            region = part_of(work.places.homes[source], feature_map, rows, (0, feature_map.shape[2]))
            reads.append(in_sram(work, source, region))
        region = part_of(place, feature_map, rows, (0, feature_map.shape[2]))
        writes.append((given.next(feature_map.shape[2], value) if given else in_sram(work, operator.output, region), region))
    shape = (rows[1] - rows[0], geometry.out_row_bytes // element, geometry.out_channels)
    kernel = Kernel("copy", work.graph.dtype, ("input",) * len(reads), shape, shape)
    compute(work, operator, kernel, prod(shape), reads, [touch for touch, _ in writes])
    if given:
        for touch, region in writes:
            transfer(work, operator, "store", [touch], [in_external(work, operator.output, region)])


def _copies(work: Work, operator: Operator) -> Iterator[tuple[int, Area]]:
    """What is copied, and where each goes: a slice of the output's channels, or all of it under another
    name.
    """
    home, offset = work.places.homes[operator.output], 0
    for source in operator.inputs:
        channel_bytes = work.graph.maps[source].shape[2] * work.graph.maps[source].element_bytes
        if source in operator.copied:
            pixel = channel_bytes if operator.kind == "flatten" else home.pixel_bytes
            yield source, Area(home.memory, home.start + offset, pixel, home.data)
        offset += channel_bytes
