"""A layer's derivation as text, CSV, JSON or markdown."""

from dataclasses import asdict

from mnsim.report.derive import Derivation, Step
from mnsim.report.text import to_csv, to_json, to_markdown
from mnsim.units import format_scaled


def derivation_text(derivation: Derivation, chosen: str) -> str:
    """The derivation in one of the formats; the table gives each figure its value, its formula and its numbers on lines of their own."""
    steps = derivation.steps
    if chosen == "json":
        return to_json(
            {"layer": derivation.title, "facts": derivation.facts, "figures": list(map(asdict, steps)), "busiest": derivation.busiest}
        )
    if chosen == "csv":
        busiest = {"figure": "busiest", "formula": "the largest of the three times", "numbers": derivation.busiest}
        return to_csv([*map(asdict, steps), busiest])
    if chosen == "markdown":
        rows = [[step.figure, _value(step), step.formula, f"`{step.numbers}`"] for step in steps]
        facts = "".join(f"- {fact}\n" for fact in derivation.facts)
        facts += f"- busiest: {_busiest(derivation)}\n"
        return f"**{derivation.title}**\n\n{facts}\n" + to_markdown(
            ["figure", "value", "formula", "numbers"], rows, [True, False, True, True]
        )
    width = max(len(step.figure) for step in steps)
    lines = [derivation.title, *(f"  {fact}" for fact in derivation.facts), ""]
    for step in steps:
        lines.append(f"{step.figure.ljust(width)}  {_value(step)}")
        if step.numbers not in ("0", "0.0"):
            lines.append(f"{' ' * width}  = {step.formula}")
            lines.append(f"{' ' * width}  = {step.numbers}")
        else:
            lines[-1] += f"  ({step.formula})"
    lines.append(f"{'busiest'.ljust(width)}  {_busiest(derivation)}")
    return "\n".join(lines) + "\n"


def _busiest(derivation: Derivation) -> str:
    if derivation.busiest is None:
        return "none (all three times are 0)"
    largest = {"bus": "transfer_time_s", "matrix": "matrix_time_s", "vector": "vector_time_s"}[derivation.busiest]
    return f"{derivation.busiest} (the largest of the three times is {largest})"


def _value(step: Step) -> str:
    if step.unit == "s":
        return format_scaled(step.value, "s")
    return f"{step.value:,}" + (f" {step.unit}" if step.unit else "")
