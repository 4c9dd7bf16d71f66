"""`--trace FILE`: a simulated run as a file for Perfetto."""

from typing import TYPE_CHECKING

from mnsim.cli.terminal import write_file

if TYPE_CHECKING:
    from mnsim.clocks.timeline import Timeline
    from mnsim.program.model import Program
    from mnsim.report.trace import Unit


def write_trace(path: str, program: "Program", timeline: "Timeline", name: str, unit: "Unit") -> None:
    """Write the trace atomically. Raises SpecError U003 when it cannot be written."""
    from mnsim.report.trace import trace_json

    write_file(path, "".join(trace_json(program, timeline, name, unit)), "--trace")
