"""`mnsim program`. The names are a public contract: a schedule can be checked from its record alone."""

from collections.abc import Sequence
from functools import partial

from mnsim.document.blocks import Block, Column, Lines, Table
from mnsim.document.model import Document, Listing, View
from mnsim.program.dump import HEADINGS, amount_of, dump, kind_of, regions_text, rows_of, segments_by_layer
from mnsim.program.model import Command, Fused, Program, Region, engine_of
from mnsim.report import records
from mnsim.report.records import Record

COLUMNS = ("id", "kind", "engine", "layer", "bytes", "macs", "vector_ops", "depends_on", "room", "reads", "writes", "segment")
_VERBOSITY = {"bare": -1, "usual": 0, "more": 1}


def program_document(program: Program, about: str, layer: str | None = None) -> Document:
    """A row a command, those of one layer or all; the record is the whole program. `about` is the network
    in a few words.
    """
    commands = [command for command in program.commands if layer in (None, command.layer)]

    def blocks(view: View) -> Sequence[Block]:
        if view != "page":
            return [Lines(list(dump(program, about, layer, _VERBOSITY[view])))]
        cells = list(zip(*rows_of(program, layer), strict=True)) or [()] * len(HEADINGS)
        return [
            Table(tuple(Column(name, column, is_text=name not in ("id", "amount")) for name, column in zip(HEADINGS, cells, strict=True)))
        ]

    segments = segments_by_layer(program)
    return Document(
        lambda: program_listing(program),
        lambda: records.rows_of([_flat(command, segments.get(command.layer)) for command in commands], COLUMNS),
        blocks,
    )


def program_listing(program: Program) -> Listing:
    """Memories, the layers that run together, commands in issue order, and the contents of the memories
    outside.
    """
    memories = dict(program.memories)
    ends = (("inputs", program.inputs), ("weights", program.weights), ("outputs", program.outputs))
    external = {name: [_region_record(region) for region in regions] for name, regions in ends}
    commands = partial(map, command_record, program.commands)
    segments = [
        {"layers": list(each.layers), "kind": each.kind, "order": each.order if each.kind == "rows" else None} for each in program.segments
    ]
    return Listing({"memories": memories, "segments": segments}, "commands", commands, {"external": external}, is_compact=True)


def command_record(command: Command) -> Record:
    """A command as plain data. `bytes` cross the bus; amounts that a kind of command does not have are 0."""
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
    """A region's place. The number of its value serves the program's own verifier only, and is left out."""
    return {
        "memory": region.memory,
        "start": region.start,
        "run_bytes": region.run_bytes,
        "stride_bytes": region.stride_bytes,
        "runs": region.runs,
    }


def _flat(command: Command, segment: Fused | None) -> Record:
    """Ids joined with `;`, regions in the notation of the text, the segment by its layers."""
    record = command_record(command)
    record["segment"] = segment.name if segment else ""
    texts = {"reads": regions_text(command.reads), "writes": regions_text(command.writes)}
    ids = {key: ";".join(map(str, record[key])) for key in ("depends_on", "room")}
    return {key: (texts | ids).get(key, record[key]) for key in COLUMNS}
