"""`mnsim reproduce`."""

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mnsim.cli.options import Machine, Multiplier, Output, Talk, machine_options, output_options, talk_options
from mnsim.cli.places import FileCommand, SpecName
from mnsim.cli.show import show
from mnsim.cli.words import TextType

if TYPE_CHECKING:
    from mnsim.papers.reproduce import Reproduction
    from mnsim.spec.records import Hardware


class PaperName(TextType):
    """A paper, which the shell can complete."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        from mnsim.spec.paper import paper_names

        return [CompletionItem(name) for name in paper_names() if name.startswith(incomplete)]


@click.command("reproduce", cls=FileCommand)
@click.argument("paper", required=False, type=PaperName())
@click.option("--without-slips", is_flag=True, help="What the paper's own rule would have printed.")
@click.option("--network", type=SpecName("network"), help="Apply PAPER's rule (without slips) to this network.")
@click.option("--alpha", type=Multiplier(), default="1", show_default=True, help="Width multiplier, with --network.")
@click.option("--rho", type=Multiplier(), default="1", show_default=True, help="Resolution multiplier, with --network.")
@machine_options
@output_options
@talk_options
def command(  # noqa: PLR0913 - an option each
    paper: str | None, without_slips: bool, network: str | None, alpha: Any, rho: Any, machine: Machine, output: Output, talk: Talk
) -> int:
    """Every printed cell of the papers that mnsim comes from, recomputed, and where each paper slips.

    Without PAPER, all of them. Each cell is exact, exact through a slip (a place where the paper leaves
    its own rule), or differs; the exit code is 1 when one differs (not with --without-slips, which is
    about the differences).
    """
    output.check()
    _refuse_idle_hardware(paper)
    if network is None and (alpha, rho) != (1, 1):
        raise click.UsageError("--alpha and --rho need a --network to apply to")
    from mnsim.spec.load import load_hardware

    hardware = load_hardware(machine.hw, machine.settings, machine.sram)
    if network is not None:
        found = [_apply(paper, network, alpha, rho, hardware)]
    else:
        from mnsim.spec.paper import paper_names

        found = [_reproduce(name, hardware, not without_slips) for name in ([paper] if paper is not None else paper_names())]
    from mnsim.report.papers import papers_document

    show(papers_document(found), output, talk)
    differs = any(not cell.is_exact for each in found for cell in each.checked)
    return int(differs and not without_slips)


def _refuse_idle_hardware(paper: str | None) -> None:
    """Raises UsageError for hardware with a paper that prints no times."""
    given = click.get_current_context().get_parameter_source
    if paper is None or all(given(name) is not ParameterSource.COMMANDLINE for name in ("hw", "settings", "sram")):
        return
    from mnsim.spec.paper import Publication, load_paper

    if isinstance(load_paper(paper), Publication):
        raise click.UsageError(f"'{paper}' prints mult-adds and parameters, which no hardware changes; leave --hw, --set and --sram out")


def _reproduce(name: str, hardware: "Hardware", with_slips: bool) -> "Reproduction":
    from mnsim.spec.paper import Publication, load_paper

    paper = load_paper(name)
    if isinstance(paper, Publication):
        from mnsim.papers.publish import reproduce_publication

        return reproduce_publication(paper, with_slips)
    from mnsim.papers.reproduce import reproduce

    return reproduce(paper, hardware, with_slips)


def _apply(name: str | None, network: str, alpha: Any, rho: Any, hardware: "Hardware") -> "Reproduction":
    from mnsim.graph.build import build_graph
    from mnsim.papers.reproduce import apply_to
    from mnsim.spec.load import load_network
    from mnsim.spec.paper import Convention, load_paper

    if name is None:
        raise click.UsageError("--network needs a PAPER whose rule to apply")
    paper = load_paper(name)
    if not isinstance(paper, Convention):
        raise click.UsageError(f"'{name}' has no rule of time to apply: it prints mult-adds and parameters")
    return apply_to(paper, build_graph(load_network(network), alpha, rho), hardware)
