"""`mnsim list`: the bundled networks and hardware."""

from collections.abc import Mapping, Sequence

from mnsim.document.blocks import Block, Column, Table
from mnsim.document.model import Document, View
from mnsim.graph.build import build_graph
from mnsim.report.records import Record, rows_of
from mnsim.spec.records import Hardware, Network

_FEW = ("kind", "name", "macs", "title")


def bundled_document(networks: Mapping[str, Network], machines: Mapping[str, Hardware]) -> Document:
    """A row for each network and piece of hardware by its name; a terminal has fewer columns."""
    nothing = {"layers": None, "macs": None, "parameters": None}
    records = [{"kind": "network", "name": name, **_counts(each), "title": each.title} for name, each in networks.items()]
    records += [{"kind": "hardware", "name": name, **nothing, "title": each.title} for name, each in machines.items()]

    def blocks(view: View) -> Sequence[Block]:
        names = records[0] if view in ("more", "page") else _FEW
        return [
            Table(tuple(Column(name, [_cell(row[name]) for row in records], is_text=name in ("kind", "name", "title")) for name in names))
        ]

    return Document(lambda: records, lambda: rows_of(records), blocks)


def _counts(network: Network) -> Record:
    operators = build_graph(network).operators
    macs, parameters = sum(each.macs for each in operators), sum(each.parameters for each in operators)
    return {"layers": len(operators), "macs": macs, "parameters": parameters}


def _cell(value: object) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
