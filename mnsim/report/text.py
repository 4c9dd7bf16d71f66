"""Estimates and derivations as CSV, JSON and markdown."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from mnsim.interpreters.cost import Estimate
from mnsim.report.records import Record, as_dict, flat_rows


def to_csv(rows: Sequence[Record]) -> str:
    """One line a row under the names of the first row's keys; None is an empty field."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def to_json(record: Any) -> str:
    """The record as indented JSON."""
    return json.dumps(record, indent=2) + "\n"


def to_markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], is_text: Sequence[bool]) -> str:
    """A table in GitHub's markdown, padded so that its source reads well; numbers are aligned to the right."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (headings, *rows)]
    widths = [max(3, *(len(row[place]) for row in cells)) for place in range(len(headings))]
    rule = [("-" * width if text else "-" * (width - 1) + ":") for width, text in zip(widths, is_text, strict=True)]
    lines = [[pad(cell, width, text) for cell, width, text in zip(row, widths, is_text, strict=True)] for row in cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in (lines[0], rule, *lines[1:]))


def to_aligned(headings: Sequence[str], rows: Sequence[Sequence[str]], is_text: Sequence[bool]) -> str:
    """A table in columns of equal width with a rule under its headings, for a terminal that is wide enough."""
    widths = [max(len(row[place]) for row in (headings, *rows)) for place in range(len(headings))]
    lines = ["  ".join(pad(*cell) for cell in zip(row, widths, is_text, strict=True)).rstrip() for row in (headings, *rows)]
    return "\n".join([lines[0], "─" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]]) + "\n"


def pad(cell: str, width: int, is_text: bool) -> str:
    """A cell of a column: words to the left, numbers to the right."""
    return cell.ljust(width) if is_text else cell.rjust(width)


def estimate_csv(estimate: Estimate) -> str:
    """One row a layer."""
    return to_csv(flat_rows(as_dict(estimate)))


def estimate_json(estimate: Estimate) -> str:
    """Network, hardware, layers, total and plan."""
    return to_json(as_dict(estimate))


def estimate_markdown(estimate: Estimate) -> str:
    """The full table of layers with its totals, the shares by type, and the sentences."""
    from mnsim.report.columns import layer_columns, type_rows
    from mnsim.report.words import headline, sentences

    record, columns = as_dict(estimate), layer_columns(estimate)
    rows = [[column.cell(layer) for column in columns] for layer in record["layers"]]
    rows.append([column.total(record["total"]) for column in columns])
    layers = to_markdown([column.heading for column in columns], rows, [column.is_text for column in columns])
    headings, shares = type_rows(record)
    types = to_markdown(headings, shares, [True] + [False] * (len(headings) - 1))
    words = "".join(f"- {sentence}\n" for sentence in sentences(estimate))
    return f"{headline(estimate).replace(chr(10), '; ')}\n\n{layers}\n{types}\n{words}"
