"""`mnsim analyze`: an estimate, and the derivation of one layer."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from mnsim.analysis.cost import Estimate
from mnsim.document.model import Document, View
from mnsim.report.records import ENGINE_TIMES, as_dict, flat_rows, rows_of

if TYPE_CHECKING:
    from mnsim.analysis.derive import Derivation, Step
    from mnsim.document.blocks import Block


def analysis_document(estimate: Estimate) -> Document:
    """The table of layers with its totals, the shares by type, and the sentences."""
    return Document(lambda: as_dict(estimate), lambda: rows_of(flat_rows(as_dict(estimate))), lambda view: _blocks(estimate, view))


def _blocks(estimate: Estimate, view: View) -> "Sequence[Block]":
    from mnsim.document.blocks import Headline, Table, Words
    from mnsim.report.columns import layer_columns, type_table
    from mnsim.report.segments import candidate_words, segment_words
    from mnsim.report.words import headline, idle_memories, not_exact, sentences, taken_out

    record = as_dict(estimate)
    columns = layer_columns(estimate, record, view)
    layers = Table(columns, has_totals=True, elsewhere="--format csv, or --layer NAME")
    if view == "bare":
        return [layers]
    more = (*candidate_words(estimate.plan), *not_exact(estimate.plan), *taken_out(estimate.graph)) if view == "more" else ()
    fused = segment_words(estimate.plan, "column seg" if view == "page" else "in brackets")
    return [
        Headline(headline(estimate)),
        layers,
        type_table(record),
        Words((*sentences(estimate), *fused, *idle_memories(estimate.hardware), *more), are_items=True),
    ]


def derivation_document(derivation: "Derivation") -> Document:
    """A layer's figures; on a screen value, formula and numbers of each have lines of their own."""
    steps = [asdict(step) for step in derivation.steps]
    record = {"layer": derivation.title, "facts": derivation.facts, "figures": steps, "busiest": derivation.busiest}
    busiest = {"figure": "busiest", "formula": "the largest of the three times", "numbers": derivation.busiest}
    return Document(lambda: record, lambda: rows_of([*steps, busiest]), lambda view: _derivation_blocks(derivation, view))


def _derivation_blocks(derivation: "Derivation", view: View) -> "Sequence[Block]":
    from mnsim.document.blocks import Column, Lines, Section, Table, Words

    steps, busiest = derivation.steps, _busiest(derivation)
    if view == "page":
        columns = (
            Column("figure", [step.figure for step in steps], is_text=True),
            Column("value", [_value(step) for step in steps]),
            Column("formula", [step.formula for step in steps], is_text=True),
            Column("numbers", [step.numbers for step in steps], is_text=True, is_code=True),
        )
        return [Section(derivation.title), Words((*derivation.facts, f"busiest: {busiest}"), are_items=True), Table(columns)]
    width = max(len(step.figure) for step in steps)
    lines = [derivation.title, *(f"  {fact}" for fact in derivation.facts), ""]
    for step in steps:
        is_nothing = step.numbers in ("0", "0.0")
        lines.append(f"{step.figure.ljust(width)}  {_value(step)}{f'  ({step.formula})' if is_nothing else ''}")
        lines += [] if is_nothing else [f"{' ' * width}  = {text}" for text in (step.formula, step.numbers)]
    lines.append(f"{'busiest'.ljust(width)}  {busiest}")
    return [Lines([f"{line}\n" for line in lines])]


def _busiest(derivation: "Derivation") -> str:
    if derivation.busiest is None:
        return "none (all three times are 0)"
    return f"{derivation.busiest} (the largest of the three times is {ENGINE_TIMES[derivation.busiest]})"


def _value(step: "Step") -> str:
    from mnsim.units import format_scaled

    if step.unit == "s":
        return format_scaled(step.value, "s")
    return f"{step.value:,}" + (f" {step.unit}" if step.unit else "")
