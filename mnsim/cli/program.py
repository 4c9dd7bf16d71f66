"""`mnsim program`."""

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
from mnsim.cli.show import rendered
from mnsim.cli.terminal import STEP, emit, progress, within
from mnsim.cli.words import LayerName
from mnsim.render.formats import FORMATS

if TYPE_CHECKING:
    from mnsim.pipeline import Planned

LONG = 20_000  # commands: more than a second of work


@click.command("program", cls=FileCommand)
@click.argument("network", type=SpecName("network"))
@variant_options
@machine_options
@click.option("--layer", type=LayerName(), metavar="NAME", help="The commands of one layer only (not with json).")
@output_options
@talk_options
def command(network: str, layer: str | None, variant: Variant, machine: Machine, output: Output, talk: Talk) -> None:
    """What runs: every load, store and computation, with its bytes and what it waits for.

    NETWORK is a YAML file, `-` for standard input, or a bundled name (`mnsim list`). Commands stand in
    issue order, and each names the bytes that it reads and writes. The program is checked before it is
    shown: the exit code is 1 if it breaks a rule. `mnsim explain program` says how to read it, and how to
    check it yourself.
    """
    output.check()
    if layer is not None and output.aspect == "record":
        *others, last = (name for name in output.formats() if FORMATS[name].aspect != "record")
        message = f"--layer cannot be part of {output.chosen}, which is the whole program; use {', '.join(others)} or {last}"
        raise click.UsageError(message)
    loaded, hardware = load_both(network, machine)
    from mnsim.pipeline import choose_plan, plan_network

    planned = plan_network(loaded, hardware, variant.policy, variant.alpha, variant.rho, variant.dtype)
    if layer is not None:
        find_layer(planned.graph, layer)
    from mnsim.lowering.lower import count_commands
    from mnsim.report.programs import program_document

    is_long = count_commands(planned.graph, planned.plan) > LONG and not talk.quiet
    with progress("making the program", 3 * STEP, is_long) as bar:
        program = choose_plan(planned, within(bar)).program
        assert program is not None  # the clock has chosen by it
        bar.update(STEP)
        within(bar, "writing it        ")
        parts = list(rendered(program_document(program, _about(planned), layer), output, talk))
        bar.update(STEP)
    emit(parts, output.output, talk.quiet)


def _about(planned: "Planned") -> str:
    graph = planned.graph
    shape = " x ".join(map(str, graph.maps[0].shape))
    return f"alpha {float(graph.alpha):.4g}, rho {float(graph.rho):.4g}, input {shape}, {graph.dtype}, on {planned.hardware.name}"
