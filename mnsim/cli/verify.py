"""`mnsim verify`."""

from typing import TYPE_CHECKING

import click

from mnsim.cli.material import Material, computing, gathered, material_options, proved_options, refuse_idle_options
from mnsim.cli.options import (
    Machine,
    Output,
    Talk,
    Variant,
    formats_but,
    load_both,
    machine_options,
    output_with,
    talk_options,
)
from mnsim.cli.places import FileCommand, SpecName
from mnsim.cli.show import show
from mnsim.cli.terminal import STEP, progress, within

if TYPE_CHECKING:
    from mnsim.proof import Verified

LONG = 5_000  # commands: more than a second or two of work


@click.command("verify", cls=FileCommand)
@click.argument("network", type=SpecName("network"))
@proved_options
@machine_options
@material_options
@output_with(*formats_but("csv", "markdown"))  # the result is words and a few numbers
@talk_options
def command(network: str, variant: Variant, machine: Machine, material: Material, output: Output, talk: Talk) -> int:
    """Prove the plan: run its program on real bytes, and compare every map with plain inference.

    NETWORK is a YAML file, `-` for standard input, or a bundled name (`mnsim list`). The commands run in
    simulated time order on a memory of exactly the SRAM's size. int8 results must be identical, bit for
    bit. float32 sums are rounded once on both sides, but where the plan splits a sum its parts are rounded
    too: the distance is reported. The exit code is 1 when an int8 result differs, or a float32 one by more
    than 1e-4 of the largest output.
    """
    output.check()
    refuse_idle_options(material)
    loaded, hardware = load_both(network, machine)
    from mnsim.lowering.lower import count_commands
    from mnsim.pipeline import choose_plan, plan_network
    from mnsim.proof import verify

    planned = plan_network(loaded, hardware, variant.policy, variant.alpha, variant.rho, variant.dtype)
    is_long = count_commands(planned.graph, planned.plan) > LONG and not talk.quiet
    with progress("verifying", 3 * STEP, is_long) as bar:
        weights, images, _ = gathered(material, planned.graph)
        bar.update(STEP)
        with computing(material):
            found = verify(choose_plan(planned, within(bar)), weights, images[0], images if material.images else ())
        bar.update(STEP)
    from mnsim.report.proof import proof_document

    show(proof_document(found), output, talk)
    return _exit_code(found)


def _exit_code(found: "Verified") -> int:
    """0 or 1. float32 maps are close, not equal, where a sum is split: no error of the plan."""
    return int(not found.identical and (found.simulated.estimate.graph.dtype == "int8" or not found.is_close))
