"""`mnsim why`."""

import click

from mnsim.cli.options import (
    Machine,
    Output,
    Talk,
    Variant,
    load_both,
    machine_options,
    output_options,
    talk_options,
    variant_options,
)
from mnsim.cli.places import FileCommand, SpecName
from mnsim.cli.show import show
from mnsim.cli.terminal import progress


@click.command("why", cls=FileCommand)
@click.argument("network", type=SpecName("network"))
@variant_options
@machine_options
@output_options
@talk_options
def command(network: str, variant: Variant, machine: Machine, output: Output, talk: Talk) -> None:
    """What to buy next: the time that more of each resource saves.

    NETWORK is a YAML file, `-` for standard input, or a bundled name (`mnsim list`). Bandwidth, SRAM, both
    units, latency and launch overheads: what 25 % more of each saves of the simulated time, what twice as
    much does, what any amount could, up to where doubling it pays, and how much SRAM is enough. `mnsim
    explain why` says how.
    """
    output.check()
    loaded, hardware = load_both(network, machine)
    from mnsim.pipeline import plan_network
    from mnsim.report.why import why_document
    from mnsim.why import most_sizes_of_sram, sensitivity

    planned = plan_network(loaded, hardware, variant.policy, variant.alpha, variant.rho, variant.dtype)
    with progress("simulating", most_sizes_of_sram(planned), not talk.quiet) as bar:
        found = sensitivity(planned, lambda: bar.update(1))
        bar.update(max(0, (bar.length or 0) - bar.pos))  # not all sizes were needed
    show(why_document(found), output, talk)
