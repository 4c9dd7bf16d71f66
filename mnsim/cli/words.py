"""Words on a command line that the shell can complete: layers, keys of the hardware file, columns of a
sweep.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from mnsim.errors import MnsimError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from mnsim.explore.evaluate import Fidelity

    TextType = click.ParamType[str]
else:  # generic from click 8.4 on only
    TextType = click.ParamType


class Word(TextType):
    """A text for which the shell knows words; its value is checked elsewhere."""

    name = "text"

    def words(self, ctx: click.Context, typed: str) -> Iterable[str]:
        """The completions of `typed`. May raise MnsimError where a file that it depends on is wrong."""
        raise NotImplementedError

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        try:
            return [CompletionItem(word) for word in self.words(ctx, incomplete) if word.startswith(incomplete)]
        except MnsimError:  # a completion is no place for errors
            return []


class LayerName(Word):
    """A layer of the network that the line names before it."""

    def words(self, ctx: click.Context, typed: str) -> Iterable[str]:
        network = ctx.params.get("network")
        if network in (None, "-"):
            return ()
        from mnsim.spec.load import load_network

        return (layer.name for layer in load_network(network).layers)


class Setting(Word):
    """KEY=VALUE, by the keys of the hardware file."""

    def words(self, ctx: click.Context, typed: str) -> Iterable[str]:
        from mnsim.spec.hardware import HardwareSpec

        return (f"{key}=" for key in _keys(HardwareSpec))


def _keys(section: Any, before: str = "") -> Iterator[str]:
    """The dotted keys of all plain values of a section."""
    from mnsim.spec.settings import fields_of

    for name, field in fields_of(section).items():
        key = f"{before}{name}"
        if fields_of(field.annotation):
            yield from _keys(field.annotation, f"{key}.")
        else:
            yield key


class OneOf(Word):
    """Levels that are words, with commas between."""

    def __init__(self, choices: Iterable[str]) -> None:
        self.choices = tuple(choices)

    def words(self, ctx: click.Context, typed: str) -> Iterable[str]:
        before, comma, _ = typed.rpartition(",")
        taken = before.split(",")
        return (f"{before}{comma}{choice}" for choice in self.choices if choice not in taken)


class Condition(Word):
    """A condition: it starts with a column."""

    def words(self, ctx: click.Context, typed: str) -> Iterable[str]:
        return _columns(ctx)


class Objectives(Word):
    """Columns of numbers with commas between, each perhaps with min: or max: before it."""

    def words(self, ctx: click.Context, typed: str) -> Iterable[str]:
        before, comma, last = typed.rpartition(",")
        sense, colon, _ = last.rpartition(":")
        from mnsim.explore.rows import TEXTS
        from mnsim.explore.select import MARK

        return (f"{before}{comma}{sense}{colon}{name}" for name in _columns(ctx) if name not in (*TEXTS, MARK))


def _columns(ctx: click.Context) -> tuple[str, ...]:
    """The columns of the sweep on the line, or of any sweep while the line is not whole."""
    from mnsim.explore.points import points_of
    from mnsim.explore.sweep import columns_for
    from mnsim.spec.sweep import Asked, read_sweep

    given = {name: value for name, value in ctx.params.items() if name in Asked._fields and value is not None}
    spec, has_mark = ctx.params.get("spec"), ctx.params.get("pareto") is not None
    fidelity: Fidelity = "analytical" if ctx.params.get("fidelity") == "analytical" else "simulated"
    reads_input = "-" in (*given.get("networks", ()), spec, given.get("hardware"))
    for asked, file in ((Asked(**given), spec), (Asked(("mobilenet_cifar",)), None)):
        try:
            if not reads_input or file is None:
                return columns_for(points_of(read_sweep(asked, file)), fidelity, has_mark).names
        except MnsimError:
            continue
    return ()
