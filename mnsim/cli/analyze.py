"""`mnsim analyze`."""

import sys
from typing import TYPE_CHECKING

import click

from mnsim.cli.options import (
    Machine,
    Output,
    Talk,
    Variant,
    find_layer,
    load_both,
    machine_options,
    output_options,
    talk_options,
    variant_options,
)
from mnsim.cli.places import FileCommand, SpecName
from mnsim.cli.terminal import PIPE_WIDTH, emit, wants_color, width_of
from mnsim.cli.words import LayerName

if TYPE_CHECKING:
    from mnsim.interpreters.cost import Estimate


@click.command("analyze", cls=FileCommand)
@click.argument("network", type=SpecName("network"))
@variant_options
@machine_options
@click.option("--layer", type=LayerName(), metavar="NAME", help="Every figure of one layer, with its formula and the numbers put in.")
@output_options
@talk_options
def command(network: str, layer: str | None, variant: Variant, machine: Machine, output: Output, talk: Talk) -> None:
    """Where a network's time goes on a piece of hardware, layer by layer.

    NETWORK is a YAML file, `-` for standard input, or a bundled name (`mnsim list`). The result is the analytical model's: bytes
    moved, time of the bus, the matrix and the vector unit for each layer, one thing at a time, and a lower bound for any
    schedule. `mnsim explain counting` says what is counted.
    """
    chosen = output.chosen  # a wrong suffix is found before any work is done
    loaded, hardware = load_both(network, machine)
    from mnsim.pipeline import analyze

    estimate = analyze(loaded, hardware, variant.policy, variant.alpha, variant.rho, variant.dtype)
    text = _layer_text(estimate, layer, chosen) if layer is not None else _estimate_text(estimate, chosen, output, talk)
    emit(text, output.output, talk.quiet)


def _estimate_text(estimate: "Estimate", chosen: str, output: Output, talk: Talk) -> str:
    from mnsim.report import text

    if chosen == "csv":
        return text.estimate_csv(estimate)
    if chosen == "json":
        return text.estimate_json(estimate)
    if chosen == "markdown":
        return text.estimate_markdown(estimate)
    from mnsim.report.table import estimate_table  # rich is worth its import only for a table

    width = width_of(sys.stdout) if output.to_screen else PIPE_WIDTH
    color = wants_color(talk.color, sys.stdout) and (output.to_screen or talk.color == "always")
    return estimate_table(estimate, width, color, talk.verbosity)


def _layer_text(estimate: "Estimate", name: str, chosen: str) -> str:
    from mnsim.report.derive import derive
    from mnsim.report.derived_text import derivation_text

    return derivation_text(derive(estimate, find_layer(estimate.graph, name)), chosen)
