"""Errors as a person reads them: the place, what is wrong, the line with a caret, what would be right."""

import shlex
import sys
from collections.abc import Iterable, Sequence

import click

from mnsim.cli.terminal import wants_color
from mnsim.errors import Location, MnsimError, SpecError, did_you_mean

COMMAND_LINE = "command line"
_MOST_SHOWN = 20
_WIDEST = 160


def report(error: MnsimError, arguments: Sequence[str]) -> None:
    """Print an error and all that was found with it to stderr."""
    color = wants_color(_color_choice(arguments), sys.stderr)
    shown = error.problems[:_MOST_SHOWN]
    text = "\n".join(format_problem(problem, color) for problem in shown)
    if len(error.problems) > len(shown):
        text += f"\nand {len(error.problems) - len(shown)} more\n"
    sys.stderr.write(text.encode(sys.stderr.encoding or "utf-8", "backslashreplace").decode(sys.stderr.encoding or "utf-8"))


def _color_choice(arguments: Sequence[str]) -> str:
    """The --color of a command line that may not have parsed."""
    for place, argument in enumerate(arguments):
        if argument.startswith("--color"):
            return argument.partition("=")[2] or next(iter(arguments[place + 1 : place + 2]), "auto")
    return "auto"


def format_problem(problem: MnsimError, color: bool = False) -> str:
    """The problem in four lines: place and message, source line, caret, remedy."""

    def paint(text: str, **style: bool | str) -> str:
        return click.style(text, **style) if color else text  # type: ignore[arg-type]

    place = problem.location
    where = f"{place.file}:{place.line}:{place.column}: " if place else ""
    lines = [f"{paint(where, bold=True)}{paint(f'error[{problem.code}]', fg='red', bold=True)}: {problem.message}"]
    if place:
        shown, caret_at = _excerpt(place)
        gutter = f"{place.line:>4} | "
        carets = "^" * max(1, min(place.length, len(shown) - caret_at))
        lines.append(f"{gutter}{shown}")
        lines.append(f"{' ' * (len(gutter) - 2)}| {' ' * caret_at}{paint(carets, fg='red', bold=True)}")
    if problem.remedy:
        lines.append(f"     {paint('help', fg='cyan', bold=True)}: {problem.remedy}")
    return "\n".join(lines) + "\n"


def _excerpt(place: Location) -> tuple[str, int]:
    """The line with tabs and control characters as single spaces or marks, cut to a window around the caret."""
    clean = "".join(" " if letter == "\t" else letter if letter.isprintable() else "?" for letter in place.text)
    start = max(0, place.column - 1 - _WIDEST // 2) if len(clean) > _WIDEST else 0
    return clean[start : start + _WIDEST], place.column - 1 - start


def usage_problem(error: click.UsageError, arguments: Sequence[str], commands: Iterable[str]) -> MnsimError:
    """A click usage error in mnsim's words, pointing into the command line."""
    message = error.format_message().rstrip(".")
    token, remedy = "", "see `mnsim --help`" if error.ctx is None else f"see `{error.ctx.command_path} --help`"
    if isinstance(error, click.NoSuchOption):
        token, message = error.option_name, f"no such option '{error.option_name}'"
        known = [name for param in _params(error.ctx) for name in param.opts if name.startswith("--")]
        remedy = did_you_mean(token, known) if token.startswith("--") else remedy
        remedy = remedy if remedy.startswith("did") else f"see `{error.ctx.command_path if error.ctx else 'mnsim'} --help`"
    elif isinstance(error, click.MissingParameter):
        message = f"missing {error.param.human_readable_name if error.param else 'argument'}"
        remedy = f"usage: {_usage(error.ctx)}"
    elif isinstance(error, click.BadParameter):
        token = _value_of(error, arguments)
        message, remedy = _bad_value(error, token, remedy)
    elif message.startswith("no such command"):
        token = message.split("'")[1]
        remedy = did_you_mean(token, commands)
    elif isinstance(error, click.BadOptionUsage):
        token = error.option_name
    return SpecError("U001", message, command_line(arguments, token), remedy)


def _params(ctx: click.Context | None) -> list[click.Parameter]:
    return ctx.command.get_params(ctx) if ctx else []


def _usage(ctx: click.Context | None) -> str:
    return " ".join([ctx.command_path, *ctx.command.collect_usage_pieces(ctx)]) if ctx else "mnsim --help"


def _value_of(error: click.BadParameter, arguments: Sequence[str]) -> str:
    """The word on the command line that a parameter got."""
    names = error.param.opts if error.param else []
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in names:
            return value if equals else next(iter(arguments[place + 1 : place + 2]), argument)
    quoted = error.message.split("'")
    return quoted[1] if len(quoted) > 2 else ""


def _bad_value(error: click.BadParameter, token: str, remedy: str) -> tuple[str, str]:
    name = error.param.opts[0] if error.param else "value"
    choice = error.param.type if error.param else None
    if isinstance(choice, click.Choice):
        words = [str(word) for word in choice.choices]
        near = did_you_mean(token, words)
        return f"{name} cannot be '{token}'", near if near.startswith("did") else f"write one of {', '.join(words)}"
    message, _, own_remedy = error.message.partition("; ")
    return f"{name}: {message.rstrip('.')}", own_remedy or remedy


def command_line(arguments: Sequence[str], token: str) -> Location:
    """The place of a word of the command line, as a person would have typed it."""
    text, column = "mnsim", 1
    for argument in arguments:
        quoted = shlex.quote(argument)
        at = argument.find(token) if token else -1
        if column == 1 and token and (argument == token or argument.partition("=")[0] == token or argument.endswith("=" + token)):
            column = len(text) + 2 + (quoted.find(token) if token in quoted and at >= 0 else 0)
        text += f" {quoted}"
    length = len(token) if column > 1 else len(text)
    return Location(COMMAND_LINE, 1, column, text, length)
