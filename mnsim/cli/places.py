"""Files on a command line: those that a parameter reads or writes. No command writes to a file that it
reads.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mnsim.cli.terminal import check_place
from mnsim.cli.words import TextType
from mnsim.errors import shown

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class FileName(TextType):
    """A file to read; the shell can complete it."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]

    def reads(self, value: str) -> Iterable[str]:
        """The files that a command with this value reads; `-` is standard input."""
        return [value]

    def writes(self, value: str) -> Iterable[str]:
        """The files that it writes."""
        return []


class SpecName(FileName):
    """A file, or the name of something bundled of these kinds."""

    def __init__(self, *kinds: Any) -> None:
        self.kinds = kinds

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        from mnsim.spec.load import bundled

        names = [CompletionItem(name) for kind in self.kinds for name in bundled(kind) if name.startswith(incomplete)]
        return [*names, *super().shell_complete(ctx, param, incomplete)]

    def reads(self, value: str) -> Iterable[str]:
        from mnsim.spec.load import bundled

        names = {known: path for kind in self.kinds for known, path in bundled(kind).items()}
        return [str(names[value]) if value in names and not Path(value).is_file() else value]


class SpecNames(SpecName):
    """Several names of files or bundled files, with commas between."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        before, comma, last = incomplete.rpartition(",")
        found = super().shell_complete(ctx, param, last)
        return [CompletionItem(f"{before}{comma}{item.value}", type=item.type) for item in found if not comma or item.type == "plain"]

    def reads(self, value: str) -> Iterable[str]:
        return [path for name in value.split(",") for path in super(SpecNames, self).reads(name.strip(" \"'"))]


class ImagesName(FileName):
    """A file of images, or a folder, of which every file may be one."""

    def reads(self, value: str) -> Iterable[str]:
        folder = Path(value)
        return [value, *map(str, folder.iterdir())] if folder.is_dir() and os.access(folder, os.R_OK) else [value]


class SchedulerName(TextType):
    """A cluster's address, or `file:` and the file with the address."""

    name = "text"

    def reads(self, value: str) -> Iterable[str]:
        """The file."""
        return [value.removeprefix("file:")] if value.startswith("file:") else []

    def writes(self, value: str) -> Iterable[str]:
        """Nothing."""
        return []


class OutputName(FileName):
    """A file to write; `-` is standard output."""

    def reads(self, value: str) -> Iterable[str]:
        return []

    def writes(self, value: str) -> Iterable[str]:
        return [] if value in ("-", "") else [value]


class StoreName(OutputName):
    """A folder of results, which grows."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="dir")]

    def writes(self, value: str) -> Iterable[str]:
        from mnsim.explore.store import DAMAGED, FILE, LOCK

        return [value, *(os.path.join(value, name) for name in (FILE, LOCK, DAMAGED))] if value.strip() else []  # noqa: PTH118


class _Used(NamedTuple):
    """A file that a parameter reads or writes, as it is named."""

    param: click.Parameter
    path: str


class FileCommand(click.Command):
    """A command that writes to no file that it reads, to none twice, and only where it may. It fails before
    any work.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing and args and any(args[-1] in param.opts and not getattr(param, "is_flag", True) for param in self.params):
            args = args[:-1]  # an option without its value yet: click would take no arguments before it
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        refuse_overwriting(ctx)
        for param, path in _used(ctx, "writes"):
            if not isinstance(param.type, StoreName):  # its own checks are made when it is opened
                check_place(path, _what(param))
        return super().invoke(ctx)


def refuse_overwriting(ctx: click.Context, also_read: Iterable[tuple[str, str]] = ()) -> None:
    """Raises BadParameter where an output is an input, another output, or one of the files `also_read` (each
    with its kind and its path).

    Links to one file are that file. Devices and pipes do not count.
    """
    outputs = list(_used(ctx, "writes"))
    if not outputs:
        return
    read = {_identity(path): what for what, path in also_read}
    read |= {_identity(used.path): _what(used.param) for used in _used(ctx, "reads")}
    written: dict[object, click.Parameter] = {}
    for param, path in outputs:
        here = _identity(path)
        if here is not None and here in read:
            message = f"{shown(path, 100)} is also read, as {read[here]}, and would be lost"
            raise click.BadParameter(f"{message}; choose another place for the result", ctx, param)
        other = written.setdefault(here, param)
        if here is not None and other is not param:
            message = f"{shown(path, 100)} is where {_what(other)} goes, too, and one would overwrite the other"
            raise click.BadParameter(f"{message}; choose two places", ctx, param)


def _used(ctx: click.Context, verb: str) -> Iterator[_Used]:
    for param in ctx.command.params:
        value = ctx.params.get(param.name or "")
        if value is not None and hasattr(param.type, verb):
            for each in value if isinstance(value, tuple) else (value,):
                yield from (_Used(param, path) for path in getattr(param.type, verb)(each))


def _what(param: click.Parameter) -> str:
    """A parameter's name on the command line."""
    return max(param.opts, key=len) if isinstance(param, click.Option) else param.human_readable_name.rstrip(".")


def _identity(path: str) -> object:
    """A value that all paths to one file share, also before the file is there; None for devices, pipes and
    folders.
    """
    try:
        found = os.fstat(sys.stdin.fileno()) if path == "-" else os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return os.path.realpath(path)
    except (OSError, ValueError, AttributeError):  # opening it will raise the error
        return None
    return (found.st_dev, found.st_ino) if S_ISREG(found.st_mode) else None
