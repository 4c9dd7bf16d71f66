"""The command line's entry: the list of commands, each loaded when used, and the one place that reports
errors.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from mnsim import __version__
from mnsim.errors import MnsimError

COMMANDS = {
    "analyze": "Where a network's time goes on a piece of hardware, layer by layer.",
    "program": "What runs: every load, store and computation, with its bytes and what it waits for.",
    "simulate": "How long it takes when transfers and computation overlap.",
    "sweep": "Many networks, multipliers and machines: which is best.",
    "why": "What to buy next: the time that more of each resource saves.",
    "verify": "Prove the plan: run it on real bytes, and compare with plain inference.",
    "infer": "Run the network on images, in int8 or float32.",
    "weights": "Random weights for a network, in a file that NumPy reads.",
    "reproduce": "Every printed cell of the seed papers, and where each paper slips.",
    "check": "Say whether specification files are right, or all that is wrong.",
    "list": "The networks and hardware that come with mnsim.",
    "schema": "The JSON Schema of network, hardware or sweep files, for editors.",
    "explain": "What is counted and how, and what an error code means.",
    "completion": "A script that lets the shell complete commands and names.",
}


COMPLETE = "_MNSIM_COMPLETE"  # set by a shell that asks for completions


class Commands(click.Group):
    """A group that imports a command's module only when the command is used: help must not cost as much as
    analysis.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"mnsim.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            raise click.UsageError(f"no such command '{args[0]}'", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


TALK_OPTIONS = (
    click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True, help="Colours."),
    click.option("-q", "--quiet", is_flag=True, help="The bare result."),
    click.option("-v", "--verbose", is_flag=True, help="More of the result."),
)


def talk(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator for the options of talking (-v, -q, --color), which stand before a command or behind it."""
    for option in reversed(TALK_OPTIONS):
        function = option(function)
    return function


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="mnsim %(version)s")
@talk
@click.pass_context
def cli(context: click.Context, /, **talking: Any) -> None:
    """Predict how fast a convolutional network runs on an accelerator that does not exist yet.

    \b
    mnsim analyze mobilenet_cifar               a bundled network on the bundled machine
    mnsim analyze my.yaml --sram 256KiB         your own network, less memory
    mnsim analyze mobilenet_v1 --layer pw1      every figure of one layer, derived
    mnsim program mobilenet_cifar               the commands that the machine runs
    """
    context.default_map = dict.fromkeys(COMMANDS, talking)  # options of the command itself win


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0 done, 1 the model or a check says no, 2 usage or input, 130
    interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    code = 1
    if COMPLETE in os.environ:
        from mnsim.cli.shells import register

        register()
    try:
        code = cli.main(args=arguments, prog_name="mnsim", standalone_mode=False) or 0
        sys.stdout.flush()
        return code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except (MnsimError, click.UsageError) as error:
        from mnsim.cli.faults import report, usage_problem

        problem = error if isinstance(error, MnsimError) else usage_problem(error, arguments, COMMANDS)
        with suppress(OSError):  # no message can be printed: the exit code has to do
            report(problem, arguments)
        return problem.exit_code
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the rest of the buffer is dropped at exit
        if not isinstance(error, BrokenPipeError):  # the reader of a closed pipe is gone
            with suppress(OSError):
                sys.stderr.write(f"mnsim: cannot write the result: {error.strerror or error}\n")
        return code or 1
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("interrupted\n")
        return 130


def _open_closed_streams() -> None:
    """Replace streams that the shell closed (`>&-`), which are None in Python: a stdout that fails, a stderr
    that drops its text.
    """
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w")  # noqa: SIM115, PTH123
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
