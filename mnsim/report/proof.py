"""The result of `mnsim verify`, as data and in words."""

from mnsim.document.blocks import Lines
from mnsim.document.model import Document
from mnsim.operators.quantities import SRAM
from mnsim.program.dump import regions_text
from mnsim.proof import Verified, moved_bytes
from mnsim.report.records import Record, rows_of
from mnsim.report.words import headline, idle_memories


def proof_document(found: Verified) -> Document:
    """The verdict in sentences; its numbers are a row."""
    record = proof_record(found)
    numbers = {name: value for name, value in record.items() if name != "first_difference"}
    return Document(lambda: record, lambda: rows_of([numbers]), lambda view: [Lines([f"{line}\n" for line in proof_lines(found)])])


def proof_record(found: Verified) -> Record:
    """The verdict as plain data; `first_difference` is null where nothing differs."""
    program, first = found.simulated.program, found.first_difference
    return {
        "identical": found.identical,
        "differing_elements": found.differing_elements,
        "max_ulp": found.max_ulp,
        "relative_error": found.relative_error,
        "output_elements": found.output_elements,
        "compared_elements": found.compared_elements,
        "commands": len(program.commands),
        "traffic_bytes": moved_bytes(program),
        "analysed_traffic_bytes": found.simulated.estimate.total.traffic_bytes,
        "sram_touched_bytes": found.sram_touched_bytes,
        "peak_sram_bytes": found.peak_sram_bytes,
        SRAM.column: program.memories[SRAM.part],
        "policy": program.policy,
        "first_difference": None
        if first is None
        else {
            "command": first.command,
            "layer": first.layer,
            "region": regions_text((first.region,)),
            "differing_bytes": first.differing_bytes,
            "overlapping_commands": list(first.overlapping),
        },
    }


def proof_lines(found: Verified) -> list[str]:
    """The verdict in sentences."""
    program, estimate = found.simulated.program, found.simulated.estimate
    moved, analysed = moved_bytes(program), estimate.total.traffic_bytes
    agrees = "as analysed" if moved == analysed else f"but the analysis says {analysed:,} B"
    sram_bytes = program.memories[SRAM.part]
    lines = [
        *headline(estimate, found.peak_sram_bytes),
        "",
        f"Ran {len(program.commands):,} commands (policy {program.policy}) in simulated time order.",
        f"{moved:,} B crossed the bus, {agrees}.",
        f"{found.sram_touched_bytes:,} of the SRAM's {sram_bytes:,} B were written, {found.peak_sram_bytes:,} B in use at once.",
    ]
    if found.identical:
        lines.append(
            f"Identical: {found.compared_elements:,} elements when they were written, and at the end {found.output_elements:,} of outputs."
        )
    else:
        unit = "steps" if estimate.graph.dtype == "int8" else "ulp"
        distance = f"{found.max_ulp:,} {unit} at most, {found.relative_error:.1e} of the largest"
        lines.append(f"{found.differing_elements:,} of {found.output_elements:,} output elements differ: by {distance}.")
    lines += idle_memories(estimate.hardware, program.memories)
    if found.first_difference is not None:
        lines += _first_difference(found)
    return lines


def _first_difference(found: Verified) -> list[str]:
    first = found.first_difference
    assert first is not None
    where = regions_text((first.region,))
    wrote = f"command {first.command} of {first.layer} wrote {first.differing_bytes:,} bytes that inference has otherwise"
    lines = [f"First difference: {wrote}, in {where}."]
    if found.simulated.estimate.graph.dtype == "int8":
        others = ", ".join(f"{other} ({found.simulated.program.commands[other].layer})" for other in first.overlapping)
        lines.append(f"Commands before it that used the same bytes, or what it read: {others or 'none'}.")
    elif found.is_close:
        lines.append("A sum over input channels was split there, and its parts rounded to float32: close, but not equal.")
    return lines
