"""Accuracies as the papers print them, by variant of a network. They are carried, never computed."""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from mnsim.graph.build import scale_extent
from mnsim.spec.load import load_network
from mnsim.spec.paper import Convention, Publication, load_paper, paper_names, printed_table
from mnsim.spec.records import Network, contents


class Accuracy(NamedTuple):
    """A published share of images that are classified right (top 1), and where it is printed."""

    share: float
    source: str


def published_accuracy(network: Network, alpha: Fraction, rho: Fraction) -> Accuracy | None:
    """What a paper prints for the network at these multipliers; None where none does, or where the network
    is another of that name.

    assumption: of the trained network, whatever the dtype is that a run computes in; the papers do not
    quantise.
    """
    found = _known().get(network.name, {}).get((alpha, _extents(network, rho)))
    return found if found is not None and contents(network) == _bundled(network.name) else None


def _extents(network: Network, rho: Fraction) -> tuple[int, int]:
    height, width, _ = network.input
    return scale_extent(height, rho), scale_extent(width, rho)


@cache
def _bundled(name: str) -> Network:
    return contents(load_network(name))


@cache
def _known() -> dict[str, dict[tuple[Fraction, tuple[int, int]], Accuracy]]:
    """All printed accuracies, by network, alpha and the input's extents; of a variant that is printed
    twice, the first.
    """
    known: dict[str, dict[tuple[Fraction, tuple[int, int]], Accuracy]] = {}
    for name in paper_names():
        paper = load_paper(name)
        for (network, alpha, rho), accuracy in _conventions(paper) if isinstance(paper, Convention) else _publications(paper):
            known.setdefault(network, {}).setdefault((alpha, _extents(_bundled(network), rho)), accuracy)
    return known


def _conventions(paper: Convention) -> Iterator[tuple[tuple[str, Fraction, Fraction], Accuracy]]:
    where = paper.accuracy
    for line in printed_table(paper.name, where.table):
        key = paper.network, Fraction(line[where.alpha]), Fraction(1)
        yield key, Accuracy(_share(line[where.column]), f"{paper.name} {where.table}")


def _publications(paper: Publication) -> Iterator[tuple[tuple[str, Fraction, Fraction], Accuracy]]:
    for table, variants in paper.tables.items():
        for line, variant in zip(printed_table(paper.name, table), variants, strict=True):
            if variant is not None and paper.accuracy in line:
                key = variant.network, Fraction(variant.alpha), Fraction(variant.rho)
                yield key, Accuracy(_share(line[paper.accuracy]), f"{paper.name} {table}")


def _share(printed: str) -> float:
    """70.6% is 0.706."""
    return float(Fraction(printed.removesuffix("%")) / (100 if printed.endswith("%") else 1))
