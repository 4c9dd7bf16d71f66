"""Documents and renderers: a new format is one file, and no command or report asks which format it is for."""

import ast
import csv
import io
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnsim.cli.main import COMMANDS, cli
from mnsim.document.blocks import Column, Table
from mnsim.document.model import Document, Listing, Rows, View
from mnsim.render.formats import FORMATS, Screen, render
from mnsim.report.records import rows_of
from tests.helpers import HANG_S, ROOT, as_text

OUTLINE = """
'''A format that the package does not know: what each aspect of a document has.'''

def render(document, screen):
    record, rows = document.record(), document.rows()
    yield f"record {type(record).__name__}\\n"
    for columns in rows.parts(1000):
        yield f"rows {','.join(rows.names)}\\n"
        assert len({len(column.values if column.places is None else column.places) for column in columns}) == 1
    for block in document.blocks(screen.view):
        yield f"{screen.view} {type(block).__name__}\\n"
    for block in document.blocks("page"):
        yield f"page {type(block).__name__}\\n"
"""
RUN = """
import json, sys
from mnsim.render.formats import FORMATS, Format
FORMATS["outline"] = Format("blocks", "outline", (".outline",))
from mnsim.cli.main import main
for line in json.loads(sys.argv[1]):
    print(">", line[0])
    assert main([*line, "--format", "outline"]) == 0, line
    assert main([*line, "-q", "-o", "result.outline"]) == 0, line
    print(len(open("result.outline").read().split()))
"""
NETWORK = "name: small\ninput: [8, 8, 3]\nlayers: [{conv: 4, kernel: 3, name: first}, relu]\n"
LINES = [
    ["analyze", "n.yaml"],
    ["analyze", "n.yaml", "--layer", "first"],
    ["program", "n.yaml"],
    ["simulate", "n.yaml"],
    ["simulate", "n.yaml", "--compare-policies"],
    ["sweep", "n.yaml", "--alpha", "0.5,1", "--jobs", "1"],
    ["sweep", "n.yaml", "--alpha", "0.5,1", "--dry-run"],
    ["why", "n.yaml"],
    ["verify", "n.yaml"],
    ["infer", "n.yaml"],
    ["reproduce", "pardhi"],
    ["list"],
]


def commands_with_formats() -> set[str]:
    found = {name: cli.get_command(click.Context(cli), name) for name in COMMANDS}
    return {name for name, command in found.items() if command and any(param.name == "format" for param in command.params)}


def test_a_new_format_is_one_file_and_a_row(tmp_path: Path) -> None:
    """Every command writes its document in a format that is added to the table, on the screen and by a file's suffix."""
    assert {line[0] for line in LINES} == commands_with_formats()
    (tmp_path / "outline.py").write_text(OUTLINE)
    (tmp_path / "n.yaml").write_text(NETWORK)
    command = [sys.executable, "-c", RUN, json.dumps(LINES)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_S)
    assert (done.returncode, done.stderr) == (0, "")
    parts = done.stdout.split("> ")[1:]
    assert len(parts) == len(LINES)
    for line, part in zip(LINES, parts, strict=True):
        words = part.split()
        assert "record" in words
        assert "rows" in words
        assert "usual" in words
        assert "page" in words, line
        assert int(words[-1]) > 4


def asked(code: str) -> set[str]:
    """The formats that code asks for: in a comparison, in a case, or as keys of a table of several."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Compare():
                sides: list[ast.AST] = [each for side in (node.left, *node.comparators) for each in ast.walk(side)]
            case ast.MatchValue():
                sides = [node.value]
            case ast.Dict():
                sides = [key for key in node.keys if key]
            case _:
                continue
        names = {each.value for each in sides if isinstance(each, ast.Constant)} & {*FORMATS}
        found |= names if len(names) > 1 or not isinstance(node, ast.Dict) else set()
    return found


def test_no_command_and_no_report_asks_for_a_format() -> None:
    assert asked('if chosen == "csv" or "json" in given: pass') == {"csv", "json"}
    assert asked('show = {"table": 1, "markdown": 2}[chosen]') == {"table", "markdown"}
    for folder in ("cli", "report"):
        for path in (ROOT / "mnsim" / folder).glob("*.py"):
            assert asked(path.read_text(encoding="utf-8")) == set(), path


def test_every_renderer_is_in_the_table() -> None:
    for name, each in FORMATS.items():
        module = import_module(each.module)
        assert callable(module.render), name
        assert hasattr(module, "require") == each.is_binary
    suffixes = [suffix for each in FORMATS.values() for suffix in each.suffixes]
    assert len({*suffixes}) == len(suffixes)
    renderers = {path.stem for path in (ROOT / "mnsim" / "render").glob("*.py") if "\ndef render(" in path.read_text(encoding="utf-8")}
    assert renderers - {"formats"} == {each.module.rpartition(".")[2] for each in FORMATS.values()}


def document(record: Any = None, rows: Rows | None = None, table: Table | None = None) -> Document:
    """A document of what is given; what is not must not be asked for."""

    def blocks(view: View) -> list[Table]:
        assert table is not None
        return [table]

    def its_rows() -> Rows:
        assert rows is not None
        return rows

    return Document(lambda: record, its_rows, blocks)


def written(name: str, what: Document) -> str:
    return "".join(map(str, render(name, what, Screen(400, False, "usual"))))


CELLS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(st.characters(codec="utf-8")))
RECORDS = st.lists(st.fixed_dictionaries({"first": CELLS, "second": CELLS}), min_size=1, max_size=5)


@given(RECORDS)
def test_csv_reads_back(records: list[dict[str, Any]]) -> None:
    found = list(csv.DictReader(io.StringIO(written("csv", document(rows=rows_of(records))), newline="")))
    words = {True: "true", False: "false", None: ""}
    said = [
        {key: words[value] if value is None or isinstance(value, bool) else str(value) for key, value in each.items()} for each in records
    ]
    assert found == said


def test_rows_without_a_row_have_a_heading() -> None:
    assert written("csv", document(rows=rows_of([], ("first", "second")))) == "first,second\n"


@pytest.mark.parametrize("is_compact", [False, True])
@given(records=st.one_of(st.just([]), RECORDS), size=st.integers(1, 3))
def test_listings_read_back(records: list[dict[str, Any]], size: int, is_compact: bool) -> None:
    """Whether the items come as records or as columns, in one piece or in several."""
    rows = rows_of(records, ("first", "second"))
    by_columns = Rows(rows.names, lambda _: rows.parts(size))
    for items in (by_columns, lambda: records):
        text = written("json", document(Listing({"about": {"n": 1}}, "items", items, {"more": [2]}, is_compact)))
        assert json.loads(text) == {"about": {"n": 1}, "items": records, "more": [2]}
        assert list(json.loads(text)) == ["about", "items", "more"]


def test_a_table_gives_way_to_a_narrower_one_and_then_to_none() -> None:
    names = Column("name", ["left", "right"], is_text=True)
    wide = Table((names, Column("number", ["1", "22"])), narrower=Table((names,), narrower=Table(())))
    assert as_text(document(table=wide), 13).splitlines()[0] == "name   number"
    assert as_text(document(table=wide), 12).splitlines() == ["name", "─────", "left", "right"]
    assert as_text(document(table=wide), 4) == ""


def test_columns_without_a_rank_stay() -> None:
    columns = (Column("name", ["a"]), Column("more", ["1"], 2), Column("less", ["2"], 1), Column("number", ["3"]))
    shown = {width: as_text(document(table=Table(columns)), width).splitlines()[0].split() for width in (99, 23, 17, 3)}
    assert shown == {
        99: ["name", "more", "less", "number"],
        23: ["name", "less", "number"],
        17: ["name", "number"],
        3: ["name", "number"],
    }


def test_markdown_escapes_what_would_end_a_cell() -> None:
    text = written("markdown", document(table=Table((Column("a|b", ["c|d"], is_text=True, total="e|f"),), has_totals=True)))
    assert text.splitlines() == ["| a\\|b |", "| ---- |", "| c\\|d |", "| e\\|f |"]
