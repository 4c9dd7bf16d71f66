"""Tilings replayed step by step, and plans run on a memory of tagged bytes: oracles that know nothing of the closed forms.

The replay keeps, for every buffer, the set of elements that lie in it, walks the loops of a tiling, and counts what must be
loaded because it is not there. An element is a (row, channel) of a map (columns are never cut), an (output channel, input
channel of its group) of the filters, or a channel of the biases.
"""

from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from math import ceil, prod
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnsim.analysis.bounds import compulsory_bytes
from mnsim.analysis.cost import estimate
from mnsim.errors import CapacityError, ShapeError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph, Operator, Storage
from mnsim.operators.shapes import Shape
from mnsim.plan.model import STAYS, Buffer, Plan, Stays, Tiling
from mnsim.plan.residency import external_storages, make_plan
from mnsim.plan.tiling import make_geometry, strip_rows, tile_counts, tile_traffic, working_bytes
from mnsim.spec.load import load_hardware
from mnsim.spec.records import Dtype, Layer, Network, Policy
from tests.generators import DTYPES, FILTERED, IN_PLACE, KINDS, RENAMES, networks, small_layers
from tests.helpers import layer

MOVED, BUFFERS = ("weights", "input", "output", "transfers"), ("filters", "biases", "input strip", "output strip", "partial sums")
EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True)

Elements = frozenset[Hashable]
Values = NDArray[np.int64]


@dataclass(frozen=True)
class Work:
    """What the replay knows of an operator, from the graph alone. `window` is (kernel rows, stride, top padding)."""

    rows_in: int
    rows_out: int
    group_in: int
    group_out: int
    groups: int
    window: tuple[int, int, int]
    element_bytes: dict[str, int]  # of one element of each buffer; 0 where there is none
    streams: int
    overwrites: bool


def work_of(graph: Graph, operator: Operator, external: Collection[int] = ()) -> Work:
    x, y = graph.maps[operator.inputs[0]].shape, graph.maps[operator.output].shape
    element, window = graph.maps[0].element_bytes, operator.window
    if operator.kind == "dense":
        x = (1, 1, prod(x))
    filter_bytes = (prod(window.kernel) if window else 1) * element if operator.kind in FILTERED else 0
    own, read = graph.slots[operator.output], [graph.slots[source] for source in operator.inputs]
    maps = {"input strip": x[1] * element, "output strip": y[1] * element * (own.storage in external), "partial sums": y[1] * 4}
    return Work(
        rows_in=x[0],
        rows_out=y[0],
        group_in=x[2] // operator.groups,
        group_out=y[2] // operator.groups,
        groups=operator.groups,
        window=(window.kernel[0], window.stride[0], window.padding[0]) if window else (1, 1, 0),
        element_bytes={"filters": filter_bytes, "biases": operator.bias_bytes // y[2], **maps},
        streams=sum(slot.storage in external for slot in read),
        overwrites=operator.kind in IN_PLACE and own in read,
    )


@dataclass
class Sram:
    """The buffers: which elements each holds, the largest size it had, and what crossed the bus to fill or empty it."""

    held: dict[str, Elements] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    moved: Counter[str] = field(default_factory=Counter)

    def occupy(self, buffer: str, size: int) -> None:
        self.sizes[buffer] = max(size, self.sizes.get(buffer, 0))

    def transfer(self, category: str, size: int) -> None:
        if size:
            self.moved[category] += size
            self.moved["transfers"] += 1

    def want(self, buffer: str, category: str, wanted: Elements, element_bytes: int, keep: int = 0) -> None:
        """Have the elements in the buffer: nothing moves if it holds them; with `keep` (its room) only those that lack are loaded."""
        held = self.held.get(buffer, frozenset())
        if not wanted <= held:
            self.transfer(category, len(wanted - held if keep else wanted) * element_bytes)
            self.held[buffer] = held | wanted if len(held | wanted) <= keep else wanted
        self.occupy(buffer, len(wanted) * element_bytes)


def cut(extent: int, size: int, start: int = 0) -> list[range]:
    return [range(first, min(first + size, start + extent)) for first in range(start, start + extent, size)]


def cut_outputs(work: Work, size: int) -> list[range]:
    """Output blocks: parts of each group in turn, or whole groups."""
    if size >= work.group_out:
        return cut(work.groups * work.group_out, size)
    return [part for group in range(work.groups) for part in cut(work.group_out, size, group * work.group_out)]


def cut_inputs(work: Work, strips: Sequence[range]) -> list[range]:
    """The input rows of each output strip: one run from the first to the last row that a window covers, without gaps between."""
    kernel, stride, pad_top = work.window
    runs: list[range] = []
    for strip in strips:
        seen = {row * stride - pad_top + tap for row in strip for tap in range(kernel)}
        covered = seen & set(range(work.rows_in))
        edge = 0 if max(seen) < 0 else work.rows_in  # where a strip is that sees padding alone
        start = min(min(covered, default=edge), runs[-1].stop if runs else 0)
        runs.append(range(start, work.rows_in if strip is strips[-1] else max(covered, default=edge - 1) + 1))
    return runs


def walk(stays: Stays, strips: int, outs: int, ins: int) -> Iterator[tuple[int, int, int]]:
    """The steps (strip, output block, input block) in the order of the loops."""
    if stays == "weights":
        return ((s, o, i) for o in range(outs) for i in range(ins) for s in range(strips))
    if stays == "input":
        return ((s, o, i) for s in range(strips) for i in range(ins) for o in range(outs))
    return ((s, o, i) for s in range(strips) for o in range(outs) for i in range(ins))


def play(work: Work, tiling: Tiling) -> tuple[Sram, tuple[int, int, int]]:
    """Walk a tiling's loops; returns the SRAM with its counts, and the numbers of strips, output and input blocks."""
    sram, size, strips = Sram(), work.element_bytes, cut(work.rows_out, tiling.rows)
    outs, ins, runs = cut_outputs(work, tiling.out_channels), cut(work.group_in, tiling.in_channels), cut_inputs(work, strips)
    summed: Counter[Hashable] = Counter()
    unfinished: set[Hashable] = set()
    before: tuple[int, list[int]] = (-1, [])
    for s, o, i in walk(tiling.stays, len(strips), len(outs), len(ins)):
        groups = range(work.groups) if tiling.stays == "input" else sorted({channel // work.group_out for channel in outs[o]})
        channels = [group * work.group_in + channel for group in groups for channel in ins[i]]
        for stream in range(work.streams):
            name = f"input strip {stream + 1}" if stream else "input strip"
            room = max(map(len, runs)) * len(channels) if before == (s - 1, channels) else 0
            sram.want(name, "input", frozenset(product(runs[s], channels)), size["input strip"], room)
        before = s, channels
        if size["filters"]:
            sram.want("filters", "weights", frozenset(product(outs[o], ins[i])), size["filters"])
        if size["biases"] and i == 0:
            sram.want("biases", "weights", frozenset(outs[o]), size["biases"])
        tile = set(product(strips[s], outs[o]))
        summed.update(dict.fromkeys(tile, len(ins[i])))
        unfinished |= tile
        if len(ins) > 1:
            sram.occupy("partial sums", len(unfinished) * size["partial sums"])
        if all(summed[element] == work.group_in for element in tile):
            unfinished -= tile
            sram.transfer("output", len(tile) * size["output strip"])
            if size["output strip"] and not work.overwrites:
                sram.occupy("output strip", len(tile) * size["output strip"])
    assert summed == dict.fromkeys(product(range(work.rows_out), range(work.groups * work.group_out)), work.group_in)
    return sram, (len(strips), len(outs), len(ins))


def closed_form(graph: Graph, operator: Operator, external: Collection[int], tiling: Tiling) -> dict[str, Any]:
    geometry = make_geometry(graph, operator, external)
    traffic, buffers = tile_traffic(geometry, tiling), working_bytes(geometry, tiling)
    moved = (traffic.weight_bytes, traffic.input_bytes, traffic.output_bytes, traffic.transfers)
    return {"tiles": tile_counts(geometry, tiling), **dict(zip(MOVED, moved, strict=True)), "buffers": dict(buffers)}


def replayed(graph: Graph, operator: Operator, external: Collection[int], tiling: Tiling) -> dict[str, Any]:
    sram, tiles = play(work_of(graph, operator, external), tiling)
    return {"tiles": tiles, **{name: sram.moved[name] for name in MOVED}, "buffers": sram.sizes}


def legal_tilings(graph: Graph, operator: Operator) -> list[Tiling]:
    """Blocks are parts of a group or multiples of whole groups (a softmax needs all channels); only filters' sums are split."""
    work, channels = work_of(graph, operator), graph.maps[operator.output].shape[2]
    outs = [*range(1, work.group_out), *range(work.group_out, channels + 1, work.group_out)]
    ins = range(1, work.group_in + 1) if operator.kind in FILTERED else [work.group_in]
    tiles = product(range(1, work.rows_out + 1), [channels] if operator.kind == "softmax" else outs, ins, STAYS)
    return [Tiling(*tile) for tile in tiles]


COPIES = tuple(layer(name, "max_pool", "input", kernel=(1, 1), stride=(1, 1)) for name in "ab")  # maps with storages of their own


@dataclass(frozen=True)
class Case:
    """A layer `last` after COPIES, and the storages in external memory: 0 the input, 1 and 2 the copies, 3 the output."""

    shape: Shape
    last: Layer
    external: frozenset[int] = frozenset(range(4))
    dtype: Dtype = "int8"

    @property
    def parts(self) -> tuple[Graph, Operator, frozenset[int]]:
        graph = build_graph(Network("test", "", "", self.shape, 1, (*COPIES, self.last)), dtype=self.dtype)
        return graph, graph.operators[-1], self.external


@st.composite
def cases(draw: st.DrawFn, kinds: Sequence[str] = KINDS, most_rows: int = 7) -> Case:
    shape = draw(st.tuples(st.integers(1, most_rows), st.integers(1, 3), st.integers(1, 6)))
    inputs = draw(st.lists(st.sampled_from(["input", "a", "b"]), min_size=2, max_size=3))
    last = draw(small_layers("last", draw(st.sampled_from(kinds)), inputs, shape))
    case = Case(shape, last, draw(st.frozensets(st.integers(0, 3))), draw(st.sampled_from(DTYPES)))
    try:
        assert case.parts
    except ShapeError:
        reject()
    return case


@EXAMPLES
@given(cases(), st.integers(0, 99))
def test_closed_forms_are_what_the_replay_counts(case: Case, seed: int) -> None:
    parts, legal = case.parts, legal_tilings(*case.parts[:2])
    for tiling in Random(seed).sample(legal, min(40, len(legal))):
        assert closed_form(*parts, tiling) == replayed(*parts, tiling), tiling


@EXAMPLES
@given(cases(["max_pool"], most_rows=40), st.integers(1, 12), st.booleans())
def test_strip_rows_is_one_pass_over_the_map(case: Case, rows: int, keep: bool) -> None:
    work, sram = work_of(*case.parts), Sram()
    for run in cut_inputs(work, cut(work.rows_out, rows)):
        if not keep:
            sram.held.clear()  # other data passes between two strips
        sram.want("strip", "rows", frozenset(run), 1, keep * len(run))
    passed = sram.moved["rows"], sram.moved["transfers"], sram.sizes["strip"]
    assert strip_rows(work.rows_in, work.rows_out, work.window, rows, keep) == passed


def conv(kernel: int, channels: int, bias: bool = True) -> Layer:
    return layer("last", "conv", "input", kernel=(kernel, 1), stride=(1, 1), padding="same", channels=channels, bias=bias)


DEPTHWISE = layer("last", "depthwise", "input", kernel=(3, 3), stride=(2, 2), padding="same", bias=True)
SPARSE = layer("last", "max_pool", "input", kernel=(1, 1), stride=(3, 1))
BY_HAND: dict[str, tuple[Case, Tiling, tuple[int, ...], tuple[int, ...]]] = {  # MOVED, then BUFFERS
    # 3 taps * 2 * 3 = 18 bytes of filters and 12 of biases, each loaded once; strips of rows 0-2, then 3 (halo kept); 2 stores.
    "all channels": (Case((4, 4, 2), conv(3, 3)), Tiling(2, 3, 2, "input"), (30, 32, 48, 6), (18, 12, 24, 24, 0)),
    # 2 * 3 * 2 steps, each with 3 bytes of filters and 3 rows * 4 of one channel; 2 * 3 loads of 4 bytes of biases, 2 * 3 stores.
    "split sums": (Case((4, 4, 2), conv(3, 3)), Tiling(2, 1, 1, "output"), (60, 144, 48, 36), (3, 4, 12, 8, 32)),
    # Rows 0-2, then 2-3 again (the other channel came between), 4 bytes each; 4 steps of 9 + 4 bytes of weights, 2 of output.
    "channelwise": (Case((4, 4, 2), DEPTHWISE), Tiling(1, 1, 1, "output"), (52, 40, 8, 16), (9, 4, 12, 2, 0)),
    # Windows on rows 0 and 3 of 5; the second strip has rows 1, 2 and 4, too.
    "gaps": (Case((5, 1, 1), SPARSE), Tiling(1, 1, 1, "weights"), (0, 5, 2, 4), (0, 0, 4, 1, 0)),
    "in place": (Case((4, 4, 2), layer("last", "relu", "a")), Tiling(2, 2, 1, "input"), (0, 32, 32, 4), (0, 0, 16, 0, 0)),
    # For each half of the sum rows 0 and 1 are loaded for the first strip, and still there for the second. Filters 2 * 2 bytes.
    "halo": (Case((2, 1, 2), conv(2, 1, False), frozenset({0})), Tiling(1, 1, 1, "weights"), (4, 4, 0, 4), (2, 0, 2, 0, 8)),
    # 2 strips * 2 halves of the sum: 4 loads of filters of 1 byte; the one block of biases is loaded once.
    "biases": (Case((2, 1, 2), conv(1, 1), frozenset()), Tiling(1, 1, 1, "output"), (8, 0, 0, 5), (1, 4, 0, 0, 4)),
    # Both strips want both rows, so does the second output block. Filters 2 * 3 bytes.
    "whole map": (Case((2, 1, 1), conv(3, 2, False), frozenset({0})), Tiling(1, 1, 1, "weights"), (6, 2, 0, 3), (3, 0, 2, 0, 0)),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_closed_forms_are_what_a_hand_counts(name: str) -> None:
    case, tiling, moved, sizes = BY_HAND[name]
    for counts in (replayed(*case.parts, tiling), closed_form(*case.parts, tiling)):
        assert tuple(counts[each] for each in MOVED) == moved
        assert counts["buffers"] == {buffer: size for buffer, size in zip(BUFFERS, sizes, strict=True) if size}


def lives(graph: Graph, storage: Storage) -> range:
    """The operators from the first to the last that name a map of the storage."""
    used = [each.index for each in graph.operators if {each.output, *each.inputs} & {*storage.members}]
    return range(min(used), max(used) + 1)


def check_space(graph: Graph, plan: Plan) -> None:
    """Working space and live storages lie in SRAM, apart from each other; buffers are as large as the replay says."""
    external = external_storages(graph, plan)
    for operator, segment in zip(graph.operators, plan.segments, strict=True):
        alive = [(plan.homes[each.root].address, each.size_bytes) for each in graph.storages if operator.index in lives(graph, each)]
        resident = [(address, size) for address, size in alive if address is not None]
        spans = sorted([*resident, *((buffer.address, buffer.size_bytes) for buffer in segment.buffers), (plan.sram_capacity_bytes, 0)])
        assert all(start >= 0 and start + size <= after for (start, size), (after, _) in pairwise(spans))
        if operator.kind not in RENAMES:
            sizes = {buffer.name: buffer.size_bytes for buffer in segment.buffers}
            least = replayed(graph, operator, external, segment.cuts[0].tiling)["buffers"]
            rings = [name for name in sizes if plan.policy == "overlap" and "input" in name and sizes[name] > least[name]]
            assert sizes == least | {name: sizes[name] for name in rings}  # room for the next rows


def place(graph: Graph, plan: Plan, spaces: dict[int, Values], index: int) -> Values:
    """The bytes of a map where the plan puts it, as pixels x bytes of a pixel: all of its storage, or a slice of each pixel."""
    own, slot, address = graph.maps[index], graph.slots[index], plan.homes[index].address
    storage = graph.storages[slot.storage]
    start, space = (0, spaces[slot.storage]) if address is None else (address - slot.offset_bytes, spaces[-1])
    pixels = prod((own if own.size_bytes == storage.size_bytes else graph.maps[storage.root]).shape[:2])
    found = space[start : start + storage.size_bytes].reshape(pixels, -1)[:, slot.offset_bytes :][:, : own.size_bytes // pixels]
    assert found.size == own.size_bytes  # the slice lies within its storage
    return found


def value_of(graph: Graph, index: int, inputs: Sequence[Values] = (), kind: str = "") -> Values:
    """What an operator writes: its inputs under another name, or tags that are found nowhere else."""
    if kind in RENAMES:
        return np.concatenate(inputs, axis=1) if kind == "concat" else inputs[0].reshape(1, -1)
    return np.arange(graph.maps[index].size_bytes).reshape(prod(graph.maps[index].shape[:2]), -1) + (index + 1) * 10**6


def run(graph: Graph, plan: Plan) -> None:
    """Run a plan on memory of tagged bytes: every operator finds its inputs, though working space is overwritten at will."""
    spaces = {each.index: np.zeros(each.size_bytes, np.int64) for each in graph.storages} | {
        -1: np.zeros(plan.sram_capacity_bytes, np.int64)
    }
    values = {0: value_of(graph, 0)}
    place(graph, plan, spaces, 0)[:] = values[0]  # operator 0 reads it

    def check(maps: Collection[int], buffers: Collection[Buffer] = ()) -> None:
        for buffer in buffers:
            spaces[-1][buffer.address : buffer.address + buffer.size_bytes] = -1
        assert all(np.array_equal(place(graph, plan, spaces, index), values[index]) for index in maps)

    for operator, segment in zip(graph.operators, plan.segments, strict=True):
        check(operator.inputs, segment.buffers)
        output = values[operator.output] = value_of(graph, operator.output, [values[source] for source in operator.inputs], operator.kind)
        copied = [tag for source in operator.copied for tag in values[source].flat]
        written = np.isin(output, copied if operator.kind in RENAMES else output)
        place(graph, plan, spaces, operator.output)[written] = output[written]
        kept = [source for source in operator.inputs if graph.slots[source] != graph.slots[operator.output]]
        check([*kept, operator.output], segment.buffers)
    check([index for index in graph.outputs if plan.homes[index].address is None])


TWINS = (layer("a", "relu", "input"), layer("b", "flatten", "a"), layer("c", "flatten", "a"))  # two outputs of the same bytes


@EXAMPLES
@given(networks(), st.integers(1, 100), st.sampled_from(("serial", "layerwise")))
@example(build_graph(Network("twins", "", "", (2, 2, 2), 1, TWINS)), 25, "serial")
def test_a_plan_has_room_for_everything_and_loses_nothing(graph: Graph, percent: int, policy: Policy) -> None:
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    hardware = replace(load_hardware("seed"), sram_capacity_bytes=ceil(most * percent / 100))
    try:
        plan = make_plan(graph, hardware, policy)
    except CapacityError as error:
        operator = next(each for each in graph.operators if each.name == error.layer)
        geometry = make_geometry(graph, operator, range(len(graph.storages)))
        if operator.kind not in RENAMES and len(set(operator.inputs)) == len(operator.inputs):  # see test_least_memory.py
            smallest = min(sum(size for _, size in working_bytes(geometry, tiling)) for tiling in legal_tilings(graph, operator))
            assert error.available_bytes < smallest == error.needed_bytes
        return
    check_space(graph, plan)
    run(graph, plan)
    total = estimate(graph, plan, hardware).total
    assert total.traffic_bytes >= compulsory_bytes(graph)
    assert total.bound_time_s <= total.serial_time_s * (1 + 1e-12)
