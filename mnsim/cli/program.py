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
from mnsim.cli.terminal import STEP, emit, progress, within
from mnsim.cli.words import LayerName

if TYPE_CHECKING:
    from mnsim.pipeline import Planned
    from mnsim.program.model import Program

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

    NETWORK is a YAML file, `-` for standard input, or a bundled name (`mnsim list`). Commands stand in issue order, and each
    names the bytes that it reads and writes. The program is checked before it is shown: the exit code is 1 if it breaks a rule.
    `mnsim explain program` says how to read it, and how to check it yourself.
    """
    chosen = output.chosen
    if layer is not None and chosen == "json":
        raise click.UsageError("--layer cannot be part of json, which is the whole program; use table, csv or markdown")
    loaded, hardware = load_both(network, machine)
    from mnsim.pipeline import plan_network

    planned = plan_network(loaded, hardware, variant.policy, variant.alpha, variant.rho, variant.dtype)
    if layer is not None:
        find_layer(planned.graph, layer)
    from mnsim.program.check import check
    from mnsim.program.lower import count_commands, lower

    is_long = count_commands(planned.graph, planned.plan) > LONG and not talk.quiet
    with progress("making the program", 3 * STEP, is_long) as bar:
        program = lower(planned.graph, planned.plan, within(bar))
        check(program, hardware, within(bar, "checking it       "))
        within(bar, "writing it        ")
        text = _text(program, _about(planned), layer, chosen, talk)
        bar.update(STEP)
    emit(text, output.output, talk.quiet)


def _about(planned: "Planned") -> str:
    graph = planned.graph
    shape = " x ".join(map(str, graph.maps[0].shape))
    return f"alpha {float(graph.alpha):.4g}, rho {float(graph.rho):.4g}, input {shape}, {graph.dtype}, on {planned.hardware.name}"


def _text(program: "Program", about: str, layer: str | None, chosen: str, talk: Talk) -> str:
    if chosen == "table":
        from mnsim.program.dump import dump

        return "".join(dump(program, about, layer, talk.verbosity))
    from mnsim.report import programs

    if chosen == "json":
        return "".join(programs.program_json(program))
    return programs.program_csv(program, layer) if chosen == "csv" else programs.program_markdown(program, layer)
