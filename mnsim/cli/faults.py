"""Errors as a person reads them: the place, the fault, the line with a caret, the remedy."""

import re
import shlex
import sys
from collections.abc import Iterable, Sequence

import click

from mnsim.cli.terminal import printable, wants_color
from mnsim.errors import Location, MnsimError, SpecError, did_you_mean, shown

COMMAND_LINE = "command line"
_MOST_SHOWN = 20
_WIDEST = 160


def report(error: MnsimError, arguments: Sequence[str]) -> None:
    """Print an error and its further problems to stderr."""
    color = wants_color(_color_choice(arguments), sys.stderr)
    text = format_problems(error.problems, color, _is_verbose(arguments))
    sys.stderr.write(text.encode(sys.stderr.encoding or "utf-8", "backslashreplace").decode(sys.stderr.encoding or "utf-8"))


def format_problems(problems: Sequence[MnsimError], color: bool, everything: bool) -> str:
    """The problems, one below the other: the first 20 and how many more there are, or all of them."""
    shown = problems if everything else problems[:_MOST_SHOWN]
    text = "\n".join(format_problem(problem, color) for problem in shown)
    if len(problems) > len(shown):
        text += f"\nand {len(problems) - len(shown)} more: -v shows them all\n"
    return text


def _is_verbose(arguments: Sequence[str]) -> bool:
    """Whether a command line has -v, alone or with other flags; it need not have parsed."""
    return any(word == "--verbose" or re.fullmatch("-[qv]*v[qv]*", word) for word in arguments)


def _color_choice(arguments: Sequence[str]) -> str:
    """The last --color of a command line, which need not have parsed."""
    at = _place_of(arguments, ["--color"])
    if at < 0:
        return "auto"
    return arguments[at].partition("=")[2] or next(iter(arguments[at + 1 : at + 2]), "auto")


def format_problem(problem: MnsimError, color: bool = False) -> str:
    """The problem in four lines: place and message, source line, caret, remedy."""

    def paint(text: str, **style: bool | str) -> str:
        return click.style(text, **style) if color else text  # type: ignore[arg-type]

    place = problem.location
    where = f"{printable(place.file)}:{place.line}:{place.column}: " if place else ""
    lines = [f"{paint(where, bold=True)}{paint(f'error[{problem.code}]', fg='red', bold=True)}: {printable(problem.message)}"]
    if place:
        excerpt, caret_at = _excerpt(place)
        gutter = f"{place.line:>4} | "
        carets = "^" * max(1, min(place.length, len(excerpt) - caret_at))
        lines.append(f"{gutter}{excerpt}")
        lines.append(f"{' ' * (len(gutter) - 2)}| {' ' * caret_at}{paint(carets, fg='red', bold=True)}")
    if problem.remedy:
        lines.append(f"     {paint('help', fg='cyan', bold=True)}: {printable(problem.remedy)}")
    return "\n".join(lines) + "\n"


def _excerpt(place: Location) -> tuple[str, int]:
    """The line, cut to a window around the caret."""
    start = max(0, place.column - 1 - _WIDEST // 2) if len(place.text) > _WIDEST else 0
    return printable(place.text[start : start + _WIDEST]), place.column - 1 - start


def usage_problem(error: click.UsageError, arguments: Sequence[str], commands: Iterable[str]) -> MnsimError:
    """A click usage error in mnsim's words, pointing into the command line."""
    message = error.format_message().rstrip(".")
    path = error.ctx.command_path if error.ctx else " ".join(["mnsim", *[word for word in arguments if word in commands][:1]])
    at, part, remedy = -1, "", f"see `{path} --help`"
    if isinstance(error, click.NoSuchOption):
        at, message = _place_of(arguments, [error.option_name]), f"no such option {shown(error.option_name)}"
        known = [name for param in _params(error.ctx) for name in param.opts if name.startswith("--")]
        near = did_you_mean(error.option_name, known) if error.option_name.startswith("--") else ""
        part, remedy = error.option_name, near if near.startswith("did") else remedy
    elif isinstance(error, click.MissingParameter):
        message, remedy = _missing(error.param, error.ctx)
    elif isinstance(error, click.BadParameter):
        at, part = _value_of(error, arguments)
        message, remedy = _bad_value(error, part, remedy)
    elif isinstance(error, click.BadOptionUsage):
        at, part = _place_of(arguments, [error.option_name]), error.option_name
        message = f"{error.option_name} needs a value" if "requires" in message else f"{error.option_name} takes no value"
    elif message.startswith("no such command"):
        part = message.partition("'")[2][:-1]
        at, message, remedy = _place_of(arguments, [part]), f"no such command {shown(part)}", did_you_mean(part, commands)
    elif "extra argument" in message:
        extra = message.partition("(")[2][:-1]  # all extra words; they begin at the last word of the line that fits
        at = max((at for at, word in enumerate(arguments) if word and f"{extra} ".startswith(f"{word} ")), default=-1)
        message = f"unexpected extra argument {shown(arguments[at] if at >= 0 else extra)}"
    elif message.startswith("Missing command"):
        message, remedy = "missing command", did_you_mean("", commands)
    return SpecError("U001", message, command_line(arguments, at, part), remedy)


def _missing(param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
    """The message and remedy for a missing argument or option."""
    usage = f"usage: {_usage(ctx)}"
    if not isinstance(param, click.Option):
        return f"missing {param.human_readable_name if param else 'argument'}", usage
    value = f"{param.opts[0]} {param.metavar or 'VALUE'}"
    return f"missing {value}", f"{usage} {value}: {(param.help or '').rstrip('.')}"


def _params(ctx: click.Context | None) -> list[click.Parameter]:
    return ctx.command.get_params(ctx) if ctx else []


def _usage(ctx: click.Context | None) -> str:
    return " ".join([ctx.command_path, *ctx.command.collect_usage_pieces(ctx)]) if ctx else "mnsim --help"


def _place_of(arguments: Sequence[str], names: Sequence[str]) -> int:
    """Where the last of these options (or words) stands on the command line; -1 if it does not."""
    return max((at for at, argument in enumerate(arguments) if argument.partition("=")[0] in names), default=-1)


def _value_of(error: click.BadParameter, arguments: Sequence[str]) -> tuple[int, str]:
    """The word of the command line behind a parameter, and the part of it that is the value."""
    at = _place_of(arguments, error.param.opts if error.param else [])
    if at >= 0 and "=" in arguments[at]:
        return at, arguments[at].partition("=")[2]
    if at >= 0:
        at = min(at + 1, len(arguments) - 1)
        return at, arguments[at]
    quoted = error.message.split("'")
    value = quoted[1] if len(quoted) > 2 else ""
    return max((at for at, argument in enumerate(arguments) if value and argument.endswith(value)), default=-1), value


def _bad_value(error: click.BadParameter, token: str, remedy: str) -> tuple[str, str]:
    name = max(error.param.opts, key=len) if error.param else "value"
    choice = error.param.type if error.param else None
    if isinstance(choice, click.Choice):
        words = [str(word) for word in choice.choices]
        near = did_you_mean(token, words)
        return f"{name} cannot be {shown(token)}", near if near.startswith("did") else f"write one of {', '.join(words)}"
    message, semicolon, own_remedy = error.message.rpartition("; ")  # the last: a file's name may have one, too
    return (f"{name}: {message}", own_remedy) if semicolon else (f"{name}: {own_remedy.rstrip('.')}", remedy)


def command_line(arguments: Sequence[str], at: int, part: str = "") -> Location:
    """A word of the command line as it would be typed, or a part of it; the whole line where `at` is -1."""
    words = ["mnsim", *map(shlex.quote, arguments)]
    text = " ".join(words)
    if at < 0:
        return Location(COMMAND_LINE, 1, 1, text, len(text))
    word = words[at + 1]
    start = word.rfind(part) if part and part in word else 0
    length = len(part) if part and part in word else len(word)
    return Location(COMMAND_LINE, 1, len(" ".join(words[: at + 1])) + 2 + start, text, length)
