"""`mnsim simulate`."""

import sys
from typing import Any

import click
from click.core import ParameterSource

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
from mnsim.cli.places import FileCommand, OutputName, SpecName
from mnsim.cli.show import show
from mnsim.cli.terminal import STEP, printable, progress, within
from mnsim.spec.records import POLICIES

LONG = 20_000  # commands: more than a second of work


@click.command("simulate", cls=FileCommand)
@click.argument("network", type=SpecName("network"))
@variant_options
@machine_options
@click.option("--compare-policies", is_flag=True, help="All policies side by side.")
@click.option("--trace", metavar="FILE", type=OutputName(), help="Write the run as a trace (JSON) for ui.perfetto.dev.")
@click.option("--trace-unit", type=click.Choice(["ns", "ps"]), default="ns", show_default=True, help="What a trace's ns stands for.")
@output_options
@talk_options
def command(  # noqa: PLR0913 - an option each
    network: str,
    compare_policies: bool,
    trace: str | None,
    trace_unit: Any,
    variant: Variant,
    machine: Machine,
    output: Output,
    talk: Talk,
) -> None:
    """How long it takes when transfers and computation overlap, and what each layer waits for.

    NETWORK is a YAML file, `-` for standard input, or a bundled name (`mnsim list`). The program of the
    plan is played command by command on the bus, the matrix unit and the vector unit, each with its own
    queue. The time stands beside what no schedule beats and what policy serial takes.
    """
    output.check()
    given = click.get_current_context().get_parameter_source
    if compare_policies and given("policy") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--compare-policies runs all policies; leave --policy out")
    if trace is None and given("trace_unit") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--trace-unit is of a trace; say where with --trace FILE")
    if compare_policies and trace:
        raise click.UsageError("--trace is of one run, and --compare-policies makes several; give one of them")
    if trace in ("-", ""):
        raise click.UsageError("--trace needs a file: standard output has the result")
    loaded, hardware = load_both(network, machine)
    from mnsim.lowering.lower import count_commands
    from mnsim.pipeline import choose_plan, plan_network, run

    policies: tuple[Any, ...] = POLICIES if compare_policies else (variant.policy,)
    plans = [plan_network(loaded, hardware, policy, variant.alpha, variant.rho, variant.dtype) for policy in policies]
    runs = []
    is_long = sum(count_commands(planned.graph, planned.plan) for planned in plans) > LONG and not talk.quiet
    with progress("simulating", len(plans) * STEP, is_long) as bar:
        for planned in plans:
            runs.append(run(choose_plan(planned, within(bar)), within(bar)))
    if trace is not None:
        from mnsim.cli.trace_file import write_trace

        write_trace(trace, runs[0].program, runs[0].timeline, runs[0].estimate.graph.name, trace_unit)
        if not talk.quiet:
            sys.stderr.write(f"wrote {printable(trace)}: open it at ui.perfetto.dev\n")
    from mnsim.report.simulation_table import comparison_document, simulation_document

    show(comparison_document(runs) if compare_policies else simulation_document(runs[0]), output, talk)
