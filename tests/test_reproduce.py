"""The seed papers' tables: every cell comes out, and nothing in the conventions could be otherwise."""

import io
import json
import re
from typing import Any

import pandas
import pytest

from mnsim.graph.build import build_graph
from mnsim.papers import reproduce as module
from mnsim.papers.evaluate import agrees
from mnsim.papers.publish import reproduce_publication
from mnsim.papers.reproduce import Reproduction, apply_to, reproduce
from mnsim.spec import paper as papers
from mnsim.spec.load import load_hardware, load_network
from mnsim.spec.paper import Convention, Publication, Rule, load_paper, paper_names
from tests.helpers import ROOT, as_text, run

SEED = load_hardware("seed")
RULED = {"mobile-applications": 190, "pardhi": 128, "singh": 190}
OTHERWISE: dict[str, Any] = {
    "feature_map_bits": 4,
    "filter_bits": 8,
    "memory_holds_filters": {True: False, False: True},
    "maps_are_freed": True,
    "input_is": {"previous output": "own", "own": "previous output"},
    "filters_moved": 1,
    "input_moved": "in elements",
    "moved_unit_bits": 8,
    "macs_at": "output",
    "depthwise_as": {"depthwise": "dense", "dense": "depthwise"},
    "printed": "truncated",
}


def convention(name: str) -> Convention:
    found = load_paper(name)
    assert isinstance(found, Convention)
    return found


def differing(found: Reproduction) -> int:
    return sum(not cell.is_exact for cell in found.checked)


def fails(changed: Convention, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the command fails, and says so, with this convention in the paper's place."""
    monkeypatch.setattr(papers, "load_paper", lambda name: changed)
    ran = run("reproduce", changed.name)
    assert ran.out.endswith("; 0 unexplained\n") == (ran.code == 0)
    return ran.code == 1 and "≠" in ran.out


@pytest.mark.parametrize(("name", "cells"), RULED.items())
def test_every_printed_cell_is_reproduced(name: str, cells: int) -> None:
    found = reproduce(convention(name), SEED)
    assert len(found.checked) == cells
    assert [cell for cell in found.checked if not cell.is_exact] == []
    ran = run("reproduce", name)
    assert ran.code == 0
    assert ran.out.endswith(f"{cells} of {cells} cells reproduced; 0 unexplained\n")


def test_all_papers_at_once() -> None:
    ran = run("reproduce")
    assert ran.code == 0
    assert ran.out.endswith("\n508 of 508 cells reproduced; 0 unexplained\n")
    assert "mobilenet-notes: 27 of 27 cells reproduced; 0 unexplained\n" in ran.out


@pytest.mark.parametrize(("name", "printed"), [("mobile-applications", 0.001340632), ("singh", 0.002461038)])
def test_totals(name: str, printed: float) -> None:
    totals = dict(reproduce(convention(name), SEED).totals)
    assert totals["printed by the paper"] == printed
    with_slips, without = totals["its rule with slips"], totals["its rule without slips"]
    assert with_slips is not None
    assert without is not None
    assert round(with_slips, 9) == printed
    assert 0 < without < printed


@pytest.mark.parametrize("name", RULED)
def test_any_mistyped_digit_is_seen(name: str) -> None:
    """Every digit of every printed cell, replaced by another: none would pass for the computed value."""
    found = reproduce(convention(name), SEED)
    for cell in found.checked:
        how = "truncated" if name == "pardhi" and cell.row == "1" else "rounded"
        assert cell.computed is not None
        assert agrees(cell.computed, cell.printed, how)
        significant = cell.printed.upper().partition("E")[0]
        for place, digit in enumerate(significant):
            if digit.isdigit():
                mistyped = f"{cell.printed[:place]}{(int(digit) + 1) % 10}{cell.printed[place + 1 :]}"
                assert not agrees(cell.computed, mistyped, how), (cell, mistyped)


@pytest.mark.parametrize("name", RULED)
def test_a_mistyped_cell_fails_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = papers.printed_table

    def mistyped(paper: str, table: str) -> list[dict[str, str]]:
        rows = original(paper, table)
        if table == "table3":
            column = list(rows[6])[-1]
            rows[6][column] = rows[6][column][:-1] + str((int(rows[6][column][-1]) + 1) % 10)
        return rows

    monkeypatch.setattr(module, "printed_table", mistyped)
    ran = run("reproduce", name)
    assert ran.code == 1
    assert "; 1 unexplained" in ran.out
    assert "≠" in ran.out


@pytest.mark.parametrize(("name", "slip"), [(name, slip) for name in RULED for slip in range(len(convention(name).slips))])
def test_no_slip_can_be_dropped(name: str, slip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    full = convention(name)
    dropped = full.model_copy(update={"slips": [each for index, each in enumerate(full.slips) if index != slip]})
    assert fails(dropped, monkeypatch)


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in RULED for field in Rule.model_fields])
def test_no_field_of_the_rule_can_be_otherwise(name: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    full = convention(name)
    now, other = getattr(full.rule, field), OTHERWISE[field]
    other = other[now] if isinstance(other, dict) else other
    assert other != now
    assert fails(full.model_copy(update={"rule": full.rule.model_copy(update={field: other})}), monkeypatch)


CHANGES: dict[str, Any] = {
    "repeats": {"each": "once", "once": "each"},
    "bandwidth": 2e9,
    "throughput": 2e12,
    "flop_per_mac": 1,
    "rows": [],
    "network": "mobilenet_v1",
}


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in RULED for field in CHANGES])
def test_nothing_around_the_rule_can_be_otherwise(name: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    full, other = convention(name), CHANGES[field]
    other = other[getattr(full, field)] if isinstance(other, dict) else other
    changed = full.model_copy(update={field: other})
    if field == "rows":
        changed = full.model_copy(update={field: ["conv", "dense"] if full.rows == ["conv"] else ["conv"]})
    try:
        assert fails(changed, monkeypatch)
    except IndexError:
        pytest.fail("a table of another length must be reported, not crash")


@pytest.mark.parametrize("name", ["mobile-applications", "singh"])
@pytest.mark.parametrize("change", [{"capacity_bits": 4_000_000}, {"when_full": "nothing"}])
def test_memory_matters(name: str, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    full = convention(name)
    assert full.memory is not None
    assert fails(full.model_copy(update={"memory": full.memory.model_copy(update=change)}), monkeypatch)


@pytest.mark.parametrize(
    "slip",
    [
        {"rows": [1], "because": "two", "declared_full": True, "set": {"output": 1}},
        {"rows": [1], "because": "none"},
        {"rows": [1], "because": "unknown", "guess": 1},
        {"rows": [1], "because": "no such field", "rule": {"guess": 1}},
        {"rows": [1], "because": "no such value", "rule": {"macs_at": "nowhere"}},
    ],
    ids=lambda slip: slip["because"],
)
def test_a_slip_is_one_valid_change(slip: dict[str, Any]) -> None:
    import yaml
    from pydantic import ValidationError

    data = yaml.safe_load((ROOT / "mnsim" / "papers" / "pardhi.yaml").read_text(encoding="utf-8"))
    assert Convention.model_validate(data).slips
    with pytest.raises(ValidationError):
        Convention.model_validate({**data, "slips": [slip]})


def test_slips_are_named_at_the_cells_that_they_change() -> None:
    cells = {(cell.row, cell.column): cell for cell in reproduce(convention("mobile-applications"), SEED).cells if cell.table == "table3"}
    assert cells["1", "input_feature_map_bits"].slips == ()
    assert cells["5", "input_feature_map_bits"].slips == (1,)  # by carrying over from row 4
    assert cells["13", "output_feature_map_bits"].slips == (4,)
    assert cells["25", "data_movement_bits"].slips == (1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(("bits", "row"), [(8_388_608, "24"), (8_000_000, "23"), (16_777_216, "")])
def test_capacity_decides_where_the_rule_alone_fills_the_memory(bits: int, row: str) -> None:
    full = convention("singh")
    assert full.memory is not None
    changed = full.model_copy(update={"memory": full.memory.model_copy(update={"capacity_bits": bits})})
    (note,) = reproduce(changed, SEED).notes
    assert (f"is full at row {row}" if row else "is never full") in note


def test_without_slips() -> None:
    """By the rule alone singh's memory overflows at row 24, that of mobile-applications never."""
    ran = run("reproduce", "singh", "--without-slips")
    assert ran.code == 0
    assert "by the rule alone the memory of 8388608 bits is full at row 24" in ran.out
    assert ran.out.endswith("134 of 190 cells are what the rule alone gives; 56 are not\n")
    assert "is never full" in run("reproduce", "mobile-applications", "--without-slips").out


@pytest.mark.parametrize("name", RULED)
def test_a_rule_applies_to_any_network(name: str) -> None:
    ran = run("reproduce", name, "--network", "mobilenet_v1", "--alpha", "1/4", "--rho", "4/7", "--format", "csv")
    frame = pandas.read_csv(io.StringIO(ran.out))
    first = frame[frame["row"] == 1].set_index("column")["computed"]
    bits = 8 if name != "pardhi" else 1
    assert first["input"] == 128 * 128 * 3 * bits
    assert first["output"] == 64 * 64 * 8 * bits
    assert len(frame[frame["row"] == 27]) == (len(convention(name).cells) if name != "pardhi" else 0)
    own = json.loads(run("reproduce", name, "--network", convention(name).network, "--format", "json").out)["papers"][0]
    plain = reproduce(convention(name), SEED, with_slips=False)
    wanted = [float(cell.computed) for cell in plain.cells if cell.computed is not None and cell.row != "total"]
    assert [cell["computed"] for cell in own["cells"]] == wanted


def test_a_published_cell_that_differs_is_unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    from mnsim.papers import publish

    original = publish.printed_table

    def mistyped(paper: str, table: str) -> list[dict[str, str]]:
        return [{key: value.replace("569", "570") for key, value in row.items()} for row in original(paper, table)]

    monkeypatch.setattr(publish, "printed_table", mistyped)
    ran = run("reproduce")
    assert ran.code == 1
    assert ran.out.endswith("508 of 508 cells reproduced; 3 unexplained\n")
    assert json.loads(run("reproduce", "--format", "json").out)["unexplained"] == 3


def test_the_physical_model_follows_the_hardware() -> None:
    slow = json.loads(run("reproduce", "singh", "--set", "bus.bandwidth=1 MB/s", "--format", "json").out)["papers"][0]["totals_s"]
    assert slow["lower bound"] == pytest.approx(0.687842)
    assert slow["its rule with slips"] == pytest.approx(0.002461038, abs=1e-9)


def test_published_tables() -> None:
    found = load_paper("mobilenet-notes")
    assert isinstance(found, Publication)
    cells = reproduce_publication(found).cells
    assert len([cell for cell in cells if not cell.is_published]) == 27
    assert all(cell.is_exact for cell in cells if not cell.is_published)
    assert {cell.column for cell in cells if cell.is_published} >= {"imagenet_accuracy", "accuracy_at_1e-4"}
    bare = [cell for cell in reproduce_publication(found, with_errata=False).cells if not cell.is_published and not cell.is_exact]
    assert [(cell.table, cell.row) for cell in bare] == [("table4", "1"), ("table14", "4")]


def test_formats(tmp_path: Any) -> None:
    record = json.loads(run("reproduce", "--format", "json").out)
    assert (record["reproduced"], record["cells"], record["unexplained"]) == (508, 508, 0)
    assert [each["paper"] for each in record["papers"]] == paper_names()
    frame = pandas.read_csv(io.StringIO(run("reproduce", "--format", "csv").out))
    assert list(frame) == ["paper", "table", "row", "layer", "column", "computed", "printed", "mark", "slips"]
    assert frame["mark"].str.match(r"exact( through slip [\d,-]+)?$|published$").all()
    target = tmp_path / "papers.md"
    assert run("reproduce", "pardhi", "-o", str(target)).code == 0
    assert target.read_text(encoding="utf-8").endswith("128 of 128 cells reproduced; 0 unexplained\n")


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["reproduce", "sing"], "did you mean 'singh'?"),
        (["reproduce", "--network", "mobilenet_v1"], "needs a PAPER"),
        (["reproduce", "singh", "--alpha", "0.5"], "need a --network"),
        (["reproduce", "mobilenet-notes", "--network", "mobilenet_v1"], "no rule of time"),
    ],
)
def test_mistakes(arguments: list[str], phrase: str) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert phrase in ran.err


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_cell_is_cut(width: int) -> None:
    from mnsim.report.papers import papers_document

    def papers_table(found: list[Reproduction]) -> str:
        return as_text(papers_document(found), width)

    notes = load_paper("mobilenet-notes")
    assert isinstance(notes, Publication)
    text = papers_table([reproduce(convention(name), SEED) for name in RULED])
    others = [papers_table([reproduce_publication(notes)])]
    others += [papers_table([reproduce(convention(name), SEED, with_slips=False)]) for name in RULED]
    others += [papers_table([apply_to(convention(name), build_graph(load_network("mobilenet_v1")), SEED)]) for name in RULED]
    for each in (text, *others):
        assert "…" not in each
        assert max(map(len, each.splitlines())) <= width
    assert len(re.findall(r"^ *\d+  \w+ ", text, re.MULTILINE)) == 27 * 4 + 16 * 3


def test_the_evaluator_knows_no_paper_by_name() -> None:
    import inspect

    from mnsim.papers import evaluate, publish

    for each in (evaluate, module, publish):
        source = inspect.getsource(each)
        assert not any(name in source for name in (*RULED, "table14"))
