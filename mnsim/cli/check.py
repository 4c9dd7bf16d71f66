"""`mnsim check`."""

import sys

import click

from mnsim.cli.faults import format_problem
from mnsim.cli.options import Talk, talk_options
from mnsim.cli.terminal import wants_color, write_stdout
from mnsim.errors import MnsimError


@click.command("check")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@talk_options
def command(files: tuple[str, ...], talk: Talk) -> int:
    """Say of each FILE that it is fine, or list all that is wrong with it.

    A FILE is a network or a piece of hardware (its keys tell), `-` for standard input, or a bundled name. The exit code is 0 when
    all are fine and 2 when one is not.
    """
    color = wants_color(talk.color, sys.stdout)
    faults = [problems for file in files if (problems := _check(file, talk, color))]
    wrong = sum(len(problems) for problems in faults)
    if wrong and not talk.quiet:
        write_stdout(f"{wrong} {'error' if wrong == 1 else 'errors'} in {len(faults)} of {len(files)} files\n")
    return 2 if faults else 0


def _check(file: str, talk: Talk, color: bool) -> tuple[MnsimError, ...]:
    """Report on one file; its problems."""
    from mnsim.graph.build import build_graph
    from mnsim.spec.load import load_any
    from mnsim.spec.records import Network

    try:
        loaded = load_any(file)
        if isinstance(loaded, Network):
            graph = build_graph(loaded)
            macs = sum(operator.macs for operator in graph.operators)
            what = f"network {loaded.name}, {len(graph.operators)} layers, {macs:,} MACs"
        else:
            what = f"hardware {loaded.name}"
    except MnsimError as error:
        write_stdout("\n".join(format_problem(problem, color) for problem in error.problems))
        return error.problems
    if not talk.quiet:
        write_stdout(f"{file}: fine ({what})\n")
    return ()
