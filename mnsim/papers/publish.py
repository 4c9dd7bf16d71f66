"""Published tables of mult-adds and parameters, recomputed from the networks that they name."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.papers.evaluate import agrees
from mnsim.papers.reproduce import Cell, Reproduction, SlipEffect
from mnsim.spec.load import load_network
from mnsim.spec.paper import Erratum, Publication, Variant, printed_table

_HEADINGS = {"million_mult_adds": "M mult-adds", "million_parameters": "M parameters", "imagenet_accuracy": "accuracy"}


def reproduce_publication(paper: Publication, with_errata: bool = True) -> Reproduction:
    """The publication's tables, cell by cell; what is not computed (accuracies, other networks) is carried
    as published.
    """
    variants = [variant for row in paper.tables.values() for variant in row] + [erratum.variant for erratum in paper.errata]
    graphs = _graphs([variant for variant in variants if variant is not None])
    cells = tuple(_cells(paper, graphs, with_errata))
    effects = tuple(SlipEffect(number, f"{e.table}, row {e.row}", e.because, 1, None) for number, e in enumerate(paper.errata, 1))
    notes = tuple(f"text, {share.of}: {share.because}" for share in paper.shares)
    claims = tuple((claim.says, claim.but) for claim in paper.claims)
    return Reproduction(paper.name, paper.title, paper.network, cells, effects, claims, (), notes, not with_errata)


Graphs = Mapping[tuple[str, str, str], Graph]


def _key(variant: Variant) -> tuple[str, str, str]:
    return variant.network, variant.alpha, variant.rho


def _graphs(variants: Iterable[Variant]) -> Graphs:
    """Every variant's graph, built once."""
    networks = {name: load_network(name) for name in {variant.network for variant in variants}}
    keys = {_key(variant) for variant in variants}
    return {(name, alpha, rho): build_graph(networks[name], Fraction(alpha), Fraction(rho)) for name, alpha, rho in keys}


def _cells(paper: Publication, graphs: Graphs, with_errata: bool) -> Iterator[Cell]:
    for table, variants in paper.tables.items():
        lines = printed_table(paper.name, table)
        for number, (line, variant) in enumerate(zip(lines, variants, strict=True), 1):
            label, *columns = line
            for column in columns:
                erratum = next((found for found in enumerate(paper.errata, 1) if _is_of(found[1], table, number, column)), None)
                place = (table, str(number), line[label], column, _HEADINGS.get(column, column.partition("_at")[0]))
                if variant is None or column not in variant.computes:
                    yield Cell(*place, None, line[column], False, is_published=True)
                    continue
                applied = erratum[1] if erratum and with_errata else None
                value = _value(graphs[_key((applied and applied.variant) or variant)], column, applied)
                slips = (erratum[0],) if erratum and applied else ()
                yield Cell(*place, value, line[column], agrees(value, line[column], "either"), slips)
    for number, share in enumerate(paper.shares, 1):
        value = 100 * _share(graphs[share.network, "1", "1"], share.of)
        printed = str(share.printed_percent)
        yield Cell(
            "text",
            str(number),
            "1 x 1 convolutions",
            f"percent of {share.of}",
            f"{share.of} %",
            value,
            printed,
            agrees(value, printed, "either"),
        )


def _is_of(erratum: Erratum, table: str, row: int, column: str) -> bool:
    return (erratum.table, erratum.row, erratum.column) == (table, row, column)


def _value(graph: Graph, column: str, erratum: Erratum | None) -> Fraction:
    left_out = erratum.leave_out if erratum else None
    operators = [operator for operator in graph.operators if operator.kind != left_out]
    count = sum(operator.macs if column == "million_mult_adds" else operator.parameters for operator in operators)
    return Fraction(count, 10**6)


def _share(graph: Graph, of: str) -> Fraction:
    def amount(pointwise_only: bool) -> int:
        chosen = [operator for operator in graph.operators if not pointwise_only or operator.label == "pointwise"]
        return sum(operator.macs if of == "macs" else operator.filter_bytes for operator in chosen)

    return Fraction(amount(True), amount(False))
