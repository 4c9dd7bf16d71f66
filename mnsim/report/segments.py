"""The segments of a plan in tables and sentences."""

from mnsim.graph.model import Graph
from mnsim.operators.quantities import SRAM
from mnsim.plan.model import Cut, Home, Plan, Segment, segments_of
from mnsim.plan.tiling import tile_counts
from mnsim.plan.words import pass_words
from mnsim.spec.records import EXTERNAL

LETTERS = {"rows": "r", "channels": "c"}  # behind the number of a fused segment
RING = "ring"


def place_of(home: Home) -> str:
    """Where a map is kept: sram, external, or ring."""
    if home.is_passed:
        return RING
    return EXTERNAL if home.is_external else SRAM.part


def segment_cell(plan: Plan, operator: int) -> str:
    """The number of the fused segment that an operator runs in, and a letter for its kind; empty for one
    alone.
    """
    number = segments_of(plan)[operator]
    letter = LETTERS.get(plan.segments[number].kind)
    return f"{number}{letter}" if letter else ""


def bracketed(graph: Graph, plan: Plan) -> list[str]:
    """The layers' names, those of a fused segment with a bracket behind them."""
    names = [operator.name for operator in graph.operators]
    if not is_fused(plan):
        return names
    marks = [""] * len(names)
    for segment in plan.segments:
        members = [cut.operator for cut in segment.cuts] if segment.kind != "single" else []
        for place, member in enumerate(members):
            marks[member] = "┐" if place == 0 else "┘" if place == len(members) - 1 else "│"
    width = max(map(len, names))
    return [f"{name.ljust(width)} {mark}".rstrip() for name, mark in zip(names, marks, strict=True)]


def is_fused(plan: Plan) -> bool:
    """Whether any operators of a plan run together."""
    return any(segment.kind != "single" for segment in plan.segments)


def how_it_runs(segment: Segment) -> str:
    """A fused segment's pass and order in a cell: rows, on demand."""
    return pass_words(segment.kind, segment.order).replace(" pass", "")


def cut_cell(segment: Segment, cut: Cut) -> str:
    """How an operator of a fused segment is cut; empty where it moves and computes nothing."""
    strips, blocks, _ = tile_counts(cut.geometry, cut.tiling)
    if cut.geometry.idle:
        return ""
    if segment.kind == "channels":
        return f"{blocks} x {min(cut.tiling.out_channels, cut.geometry.out_channels)} channels"
    lead = f", lead {cut.tiling.lead}" if cut.tiling.lead else ""
    return f"{strips} x {cut.tiling.rows} row{'s' if cut.tiling.rows > 1 else ''}{lead}"


def segment_words(plan: Plan, mark: str) -> tuple[str, ...]:
    """The sentence about fused segments, if there are any; `mark` says where the table shows them."""
    fused = [segment for segment in plan.segments if segment.kind != "single"]
    if not fused:
        return ()
    layers = sum(len(segment.cuts) for segment in fused)
    counts = {kind: sum(segment.kind == kind for segment in fused) for kind in LETTERS}
    kinds = " and ".join(f"{count} pass{'es' if count == 1 else ''} {kind} ({LETTERS[kind]})" for kind, count in counts.items() if count)
    if len(fused) == 1:
        kind = fused[0].kind
        where = f"{layers} of {len(plan.cuts)} layers run in 1 segment ({mark}), which passes {kind} ({LETTERS[kind]})"
        return (f"{where}. What it passes on never crosses the bus.",)
    where = f"{layers} of {len(plan.cuts)} layers run in {len(fused)} segments ({mark}): {kinds}"
    return (f"{where}. What they pass on never crosses the bus.",)


def candidate_words(plan: Plan) -> tuple[str, ...]:
    """The sentence about the other candidates for a plan; policy serial has none."""
    if plan.policy == "serial":
        return ()
    return ("This plan is the first candidate, found without a clock; the clock may take another, and mnsim simulate says which.",)
