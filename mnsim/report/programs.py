"""A program as JSON, CSV and markdown. The names are a public contract: a schedule can be checked from its JSON alone."""

import json
from collections.abc import Iterator, Sequence

from mnsim.program.dump import amount_of, kind_of, regions_text, rows_of
from mnsim.program.model import Command, Program, Region, engine_of
from mnsim.report.records import Record
from mnsim.report.text import to_csv, to_markdown

COLUMNS = ("id", "kind", "engine", "layer", "bytes", "macs", "vector_ops", "depends_on", "room", "reads", "writes")


def program_json(program: Program) -> Iterator[str]:
    """The program as JSON in pieces, a command on a line of its own: memories, commands in issue order, what lies outside."""
    yield f'{{"memories": {json.dumps(dict(program.memories))},\n "commands": ['
    separator = "\n  "
    for command in program.commands:
        yield separator + json.dumps(command_record(command))
        separator = ",\n  "
    ends = (("inputs", program.inputs), ("weights", program.weights), ("outputs", program.outputs))
    external = {name: [_region_record(region) for region in regions] for name, regions in ends}
    yield f'],\n "external": {json.dumps(external)}}}\n'


def command_record(command: Command) -> Record:
    """A command as plain data. `bytes` is what crosses the bus; what a kind of command does not do is 0."""
    amount = amount_of(command)
    return {
        "id": command.id,
        "kind": kind_of(command),
        "engine": engine_of(command),
        "layer": command.layer,
        "reads": [_region_record(region) for region in command.reads],
        "writes": [_region_record(region) for region in command.writes],
        "depends_on": list(command.depends_on),
        "room": list(command.room),
        "bytes": amount.bytes,
        "macs": amount.macs,
        "vector_ops": amount.vector_ops,
    }


def _region_record(region: Region) -> Record:
    """Where a region is; which value lies there is for the program's own verifier."""
    return {
        "memory": region.memory,
        "start": region.start,
        "run_bytes": region.run_bytes,
        "stride_bytes": region.stride_bytes,
        "runs": region.runs,
    }


def program_csv(program: Program, layer: str | None = None) -> str:
    """One row a command, those of one layer or all: ids joined with `;`, regions in the notation of the text."""
    rows = [_flat(command) for command in program.commands if layer in (None, command.layer)]
    return to_csv(rows) if rows else f"{','.join(COLUMNS)}\n"


def _flat(command: Command) -> Record:
    record = command_record(command)
    texts = {"reads": regions_text(command.reads), "writes": regions_text(command.writes)}
    ids = {key: ";".join(map(str, record[key])) for key in ("depends_on", "room")}
    return {key: (texts | ids).get(key, record[key]) for key in COLUMNS}


def program_markdown(program: Program, layer: str | None = None) -> str:
    """One row a command, those of one layer or all."""
    headings: Sequence[str] = ("id", "engine", "command", "layer", "amount", "reads -> writes", "waits")
    is_text = [heading not in ("id", "amount") for heading in headings]
    return to_markdown(headings, rows_of(program, layer), is_text)
