"""Every printed cell of a paper, beside what its convention gives: exact, exact through a slip, or
different.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from mnsim.analysis.cost import estimate
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.papers.evaluate import Row, Sheet, Value, agrees, evaluate, rows_of
from mnsim.plan.residency import make_plan
from mnsim.spec.load import load_network
from mnsim.spec.paper import Convention, Quantity, printed_table
from mnsim.spec.records import Hardware

TOTAL = "total"
NO_ROW = "(no row)"  # where the printed table ends before the computed one


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: the computed value (None for a printed row that was not computed), and the printed one as
    its characters.

    `column` is the printed table's, `quantity` the short word for it; `printed` is '' where a network has
    no printed table. `slips` are the numbers (from 1) of the slips without which the value would be
    another. A published cell is carried as the paper prints it: nothing is computed for it.
    """

    table: str
    row: str
    layer: str
    column: str
    quantity: str
    computed: Value | None
    printed: str
    is_exact: bool
    slips: tuple[int, ...] = ()
    is_published: bool = False


@dataclass(frozen=True, slots=True)
class SlipEffect:
    """A slip in words, and what it does: the cells that it changes, and the sum that the paper would have
    without it.
    """

    number: int
    where: str
    because: str
    cells: int
    total_without_s: float | None


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A paper's cells, slips and contradicted claims, and its totals in seconds beside the physical
    model's.

    `notes` say, among others, whether the rule by itself ever fills the memory; `rule_alone` that the
    cells are those without slips.
    """

    paper: str
    title: str
    network: str
    cells: tuple[Cell, ...]
    slips: tuple[SlipEffect, ...]
    claims: tuple[tuple[str, str], ...]
    totals: tuple[tuple[str, float | None], ...]
    notes: tuple[str, ...] = ()
    rule_alone: bool = False

    @property
    def checked(self) -> tuple[Cell, ...]:
        """The cells that have a printed value to hold against the computed one."""
        return tuple(cell for cell in self.cells if cell.printed and not cell.is_published)


def reproduce(convention: Convention, hardware: Hardware, with_slips: bool = True) -> Reproduction:
    """The paper's tables, cell by cell, by its rule with its slips (or without); the physical model's
    total is the hardware's.
    """
    graph = build_graph(load_network(convention.network))
    rows = rows_of(graph, convention)
    every = frozenset(range(len(convention.slips)))
    full, plain = evaluate(convention, rows, every), evaluate(convention, rows, ())
    without = {index: evaluate(convention, rows, every - {index}) for index in sorted(every)}
    cells = tuple(_cells(convention, rows, full, without) if with_slips else _cells(convention, rows, plain, {}))
    effects = tuple(_effect(convention, index, full, sheet) for index, sheet in without.items())
    printed = _printed_total(convention)
    totals = (
        ("printed by the paper", None if printed is None else float(printed)),
        ("its rule with slips", float(full.total) if convention.repeats == "each" else None),
        ("its rule without slips", float(plain.total) if convention.repeats == "each" else None),
        *_physical(graph, hardware),
    )
    claims = tuple((claim.says, claim.but) for claim in convention.claims)
    return Reproduction(
        convention.name, convention.title, graph.name, cells, effects, claims, totals, _notes(convention, plain), not with_slips
    )


def apply_to(convention: Convention, graph: Graph, hardware: Hardware) -> Reproduction:
    """What the paper would have said of another network: its rule without slips."""
    rows = rows_of(graph, convention)
    sheet = evaluate(convention, rows, ())
    cells = tuple(
        Cell(place.partition(".")[0], str(number), row.name, quantity, quantity, values[quantity], "", False)
        for number, (row, values) in enumerate(zip(rows, sheet.rows, strict=True), 1)
        for quantity, place in convention.cells.items()
    )
    totals = (("the paper's rule", float(sheet.total) if convention.repeats == "each" else None), *_physical(graph, hardware))
    return Reproduction(convention.name, convention.title, graph.name, cells, (), (), totals, _notes(convention, sheet), True)


def _cells(convention: Convention, rows: tuple[Row, ...], sheet: Sheet, without: Mapping[int, Sheet]) -> Iterator[Cell]:
    tables = {place.partition(".")[0]: printed_table(convention.name, place.partition(".")[0]) for place in convention.cells.values()}
    for index in range(max(len(rows), *map(len, tables.values()))):
        for quantity, place in convention.cells.items():
            table, _, column = place.partition(".")
            printed = tables[table][index][column] if index < len(tables[table]) else NO_ROW
            if index >= len(rows):
                yield Cell(table, str(index + 1), "", column, quantity, None, printed, False)
                continue
            value = sheet.rows[index][quantity]
            exact = printed != NO_ROW and agrees(value, printed, sheet.printed[index])
            slips = tuple(slip + 1 for slip, other in without.items() if _differs(sheet, other, index, quantity))
            yield Cell(table, str(index + 1), rows[index].name, column, quantity, value, printed, exact, slips)
    printed_total = _printed_total(convention)
    if printed_total is not None:
        slips = tuple(slip + 1 for slip, other in without.items() if other.total != sheet.total)
        table, _, column = (convention.total or "").partition(".")
        exact = agrees(sheet.total, printed_total, convention.rule.printed)
        yield Cell(table, TOTAL, "", column, "time", sheet.total, printed_total, exact, slips)


def _differs(sheet: Sheet, other: Sheet, index: int, quantity: Quantity) -> bool:
    return other.rows[index][quantity] != sheet.rows[index][quantity] or other.printed[index] != sheet.printed[index]


def _effect(convention: Convention, index: int, full: Sheet, without: Sheet) -> SlipEffect:
    slip = convention.slips[index]
    cells = sum(_differs(full, without, row, quantity) for row in range(len(full.rows)) for quantity in convention.cells)
    cells += convention.total is not None and without.total != full.total
    where = (
        f"row {', '.join(map(str, slip.rows))}"
        if len(slip.rows) == 1
        else f"rows {slip.rows[0]} to {slip.rows[-1]}"
        if slip.rows
        else TOTAL
    )
    return SlipEffect(index + 1, where, slip.because, cells, float(without.total) if convention.total else None)


def _notes(convention: Convention, plain: Sheet) -> tuple[str, ...]:
    """Where the rule without slips fills the memory by itself, and why there is no sum."""
    once = ("a repeated row is printed once, so the rows have no sum",) if convention.repeats == "once" else ()
    if convention.memory is None:
        return once
    used, capacity = [int(row["memory"]) for row in plain.rows], convention.memory.capacity_bits
    full = [str(number) for number, bits in enumerate(used, 1) if bits > capacity]
    where = f"is full at row {', '.join(full)}" if full else f"is never full (at most {max(used)} bits are in use)"
    return (f"by the rule alone the memory of {capacity} bits {where}", *once)


def _printed_total(convention: Convention) -> str | None:
    if convention.total is None:
        return None
    table, _, column = convention.total.partition(".")
    return printed_table(convention.name, table)[0][column]


def _physical(graph: Graph, hardware: Hardware) -> tuple[tuple[str, float], tuple[str, float]]:
    """The model's own answer."""
    total = estimate(graph, make_plan(graph, hardware, "serial"), hardware).total
    return ("physical model (serial)", total.serial_time_s), ("lower bound", total.any_schedule_bound_time_s)


def as_number(value: Value | None) -> int | float | None:
    """A computed value as JSON and CSV give it."""
    return value if value is None or isinstance(value, int) else float(Fraction(value))
