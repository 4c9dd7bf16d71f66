"""`mnsim analyze`."""

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
from mnsim.cli.show import show
from mnsim.cli.words import LayerName


@click.command("analyze", cls=FileCommand)
@click.argument("network", type=SpecName("network"))
@variant_options
@machine_options
@click.option("--layer", type=LayerName(), metavar="NAME", help="Every figure of one layer, with its formula and the numbers put in.")
@output_options
@talk_options
def command(network: str, layer: str | None, variant: Variant, machine: Machine, output: Output, talk: Talk) -> None:
    """Where a network's time goes on a piece of hardware, layer by layer.

    NETWORK is a YAML file, `-` for standard input, or a bundled name (`mnsim list`). The result is the
    analytical model's: bytes moved, time of the bus, the matrix and the vector unit for each layer, one
    thing at a time, and a lower bound for any schedule. `mnsim explain counting` says what is counted.
    """
    output.check()
    loaded, hardware = load_both(network, machine)
    from mnsim.pipeline import analyze
    from mnsim.report.analysis import analysis_document, derivation_document

    estimate = analyze(loaded, hardware, variant.policy, variant.alpha, variant.rho, variant.dtype)
    if layer is None:
        show(analysis_document(estimate), output, talk)
        return
    from mnsim.analysis.derive import derive

    show(derivation_document(derive(estimate, find_layer(estimate.graph, layer))), output, talk)
