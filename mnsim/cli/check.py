"""`mnsim check`."""

import sys

import click

from mnsim.cli.faults import command_line, format_problems
from mnsim.cli.options import Talk, talk_options
from mnsim.cli.places import FileCommand, SpecName
from mnsim.cli.terminal import printable, wants_color, write_stdout
from mnsim.errors import MnsimError, SpecError


@click.command("check", cls=FileCommand)
@click.argument("files", nargs=-1, required=True, type=SpecName("network", "hardware"), metavar="FILE...")
@talk_options
def command(files: tuple[str, ...], talk: Talk) -> int:
    """Say of each FILE that it is fine, or list what is wrong with it: the first 20 errors, or all of them
    with -v.

    A FILE is a network, a piece of hardware or a sweep (its keys tell), `-` for standard input, or a
    bundled name. The exit code is 0 when all are fine and 2 when one is not.
    """
    if files.count("-") > 1:
        raise SpecError(
            "U001",
            "standard input can be one file only",
            command_line(["check", *files], len(files) - files[::-1].index("-")),
            "give the other as a file",
        )
    color = wants_color(talk.color, sys.stdout)
    wrong, wrong_files = 0, 0
    above: tuple[MnsimError, ...] | None = None  # the problems of the file above, if any were printed
    for file in files:
        problems, what = _check(file)
        if problems or not talk.quiet:
            gap = "\n" if above or (problems and above is not None) else ""
            text = format_problems(problems, color, talk.verbose) or f"{printable(file)}: fine ({what})\n"
            write_stdout(gap + text)
            above = problems
        wrong, wrong_files = wrong + len(problems), wrong_files + bool(problems)
    if wrong and not talk.quiet:
        write_stdout(f"\n{_counted(wrong, 'error')} in {wrong_files} of {_counted(len(files), 'file')}\n")
    return 2 if wrong else 0


def _check(file: str) -> tuple[tuple[MnsimError, ...], str]:
    """The problems of a file, or its kind if it has none."""
    from mnsim.graph.build import build_graph
    from mnsim.spec.load import load_any
    from mnsim.spec.records import Hardware, Network

    try:
        loaded = load_any(file)
        if isinstance(loaded, Hardware):
            idle = " and ".join(memory.name for memory in loaded.further)
            return (), f"hardware {loaded.name}{idle and f'; nothing lives in {idle} yet'}"
        if not isinstance(loaded, Network):
            from mnsim.explore.points import points_of

            return (), f"sweep, {_counted(points_of(loaded).count, 'point')}"
        graph = build_graph(loaded)
    except MnsimError as error:
        return error.problems, ""
    macs = sum(operator.macs for operator in graph.operators)
    return (), f"network {loaded.name}, {_counted(len(graph.operators), 'layer')}, {macs:,} MACs"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
