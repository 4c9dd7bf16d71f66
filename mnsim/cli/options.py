"""Options that commands share, each group gathered into one record."""

from collections.abc import Callable
from fractions import Fraction
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mnsim.cli.main import TALK_OPTIONS
from mnsim.cli.places import OutputName, SpecName
from mnsim.cli.words import Setting
from mnsim.errors import Location, SpecError, did_you_mean, shown
from mnsim.render.formats import FORMATS
from mnsim.spec.records import DTYPES, POLICIES

if TYPE_CHECKING:
    from mnsim.document.model import View
    from mnsim.graph.model import Graph
    from mnsim.spec.records import Hardware, Network

    NumberType = click.ParamType[Fraction]
else:  # generic from click 8.4 on only
    NumberType = click.ParamType

Function = Callable[..., Any]


class Multiplier(NumberType):
    """A positive decimal or fraction: 0.75, 6/7."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        if isinstance(value, Fraction):
            return value
        from mnsim.units import UnitError, parse_multiplier

        try:
            return parse_multiplier(str(value))
        except UnitError as error:
            self.fail(f"{error.message}; {error.remedy}", param, ctx)


class Variant(NamedTuple):
    """The variant of a network, and how it runs: the multipliers, the data type, the policy."""

    alpha: Fraction
    rho: Fraction
    dtype: Any
    policy: Any


class Machine(NamedTuple):
    """The hardware, and the changes to it."""

    hw: str
    settings: tuple[str, ...]
    sram: str | None


class Output(NamedTuple):
    """Where the result goes, and in which format."""

    format: str | None
    output: str | None

    @classmethod
    def formats(cls) -> tuple[str, ...]:
        """The formats that the command has."""
        return tuple(FORMATS)

    @property
    def to_screen(self) -> bool:
        return self.output in (None, "-")

    def check(self) -> None:
        """Before any work: raises UsageError for an unknown suffix or bytes on a screen, SpecError S404."""
        name = self.chosen
        if FORMATS[name].is_binary:
            if self.to_screen:
                raise click.UsageError(f"{name.capitalize()} needs a file; say where with --output FILE{FORMATS[name].suffixes[0]}")
            import_module(FORMATS[name].module).require(self.output)

    @property
    def chosen(self) -> str:
        """The format as said, else as the file's suffix says, else the command's first."""
        if self.format:
            return self.format
        if self.output is None or self.to_screen:
            return self.formats()[0]
        suffixes = {suffix: name for name in self.formats() for suffix in FORMATS[name].suffixes}
        suffix = Path(self.output).suffix.lower()
        if suffix not in suffixes:
            message = (
                f"{shown(self.output, 100)} has no suffix that names a format; end it in one of {', '.join(suffixes)}, or say --format"
            )
            raise click.BadParameter(message, param_hint="--output", param=click.Option(["--output", "-o"]))
        return suffixes[suffix]

    @property
    def aspect(self) -> str:
        """Which aspect of a document the chosen format writes."""
        return FORMATS[self.chosen].aspect


class Colour(NamedTuple):
    """Whether to use colour: for errors, also of a command whose result has no colours."""

    color: str


class Quiet(NamedTuple):
    """Whether to name the files that were written, and to use colour."""

    color: str
    quiet: bool


class Talk(NamedTuple):
    """How much to print, and whether to use colour."""

    color: str
    quiet: bool
    verbose: bool

    @property
    def view(self) -> "View":
        return "bare" if self.quiet else "more" if self.verbose else "usual"


def gather(name: str, record: type[tuple[Any, ...]], *options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """A decorator that adds the options and hands their values to the command as one record."""
    keys: tuple[str, ...] = record._fields  # type: ignore[attr-defined]

    def decorate(function: Function) -> Function:
        @wraps(function)
        def call(**values: Any) -> Any:
            gathered = record(**{key: values.pop(key) for key in keys})
            return function(**values, **{name: gathered})

        for option in reversed(options):
            option(call)
        return call

    return decorate


_ALPHA_HELP = "Width multiplier: channels become int(alpha * C), at least min_depth."
ALPHA = click.option("--alpha", type=Multiplier(), default="1", show_default=True, help=_ALPHA_HELP)
RHO = click.option("--rho", type=Multiplier(), default="1", show_default=True, help="Resolution multiplier: 0.5, or 6/7.")
DTYPE = click.option("--dtype", type=click.Choice(DTYPES), default="int8", show_default=True, help="Elements of maps and filters.")
_POLICY_HELP = "overlap: fusion, prefetch; layerwise: prefetch, one operator at a time; serial: one thing at a time."
POLICY = click.option("--policy", type=click.Choice(POLICIES), default="overlap", show_default=True, help=_POLICY_HELP)
variant_options = gather("variant", Variant, ALPHA, RHO, DTYPE, POLICY)
machine_options = gather(
    "machine",
    Machine,
    click.option("--hw", type=SpecName("hardware"), default="seed", show_default=True, help="Hardware: a YAML file or a bundled name."),
    click.option(
        "--set", "settings", type=Setting(), multiple=True, metavar="KEY=VALUE", help="Override a hardware value: bus.bandwidth=2GB/s."
    ),
    click.option("--sram", metavar="SIZE", help="Short for --set internal_memory.capacity=SIZE."),
)


def formats_but(*absent: str) -> tuple[str, ...]:
    """The formats of text without these, for a command that does not list its own."""
    return tuple(name for name, each in FORMATS.items() if not each.is_binary and name not in absent)


def output_with(*formats: str) -> Callable[[Function], Function]:
    """The options of the result's place, in one of these formats."""

    class Chosen(Output):
        """Where the result goes, in one of a command's formats."""

        @classmethod
        def formats(cls) -> tuple[str, ...]:
            """The formats that the command has."""
            return formats

    ends = ", ".join(FORMATS[name].suffixes[0] for name in formats)
    words = f"Format of the result; {formats[0]} unless --output's suffix says."
    return gather(
        "output",
        Chosen,
        click.option("--format", type=click.Choice(formats), help=words),
        click.option("-o", "--output", type=OutputName(), metavar="FILE", help=f"Write the result to a file ({ends})."),
    )


output_options = output_with(*formats_but())
talk_options = gather("talk", Talk, *TALK_OPTIONS)
quiet_options = gather("talk", Quiet, *TALK_OPTIONS[:2])
color_options = gather("talk", Colour, TALK_OPTIONS[0])


def load_both(network: str, machine: Machine) -> "tuple[Network, Hardware]":
    """The network and the hardware that a command line names. Raises SpecError."""
    if network == machine.hw == "-":
        raise SpecError("U001", "standard input can be one file only", _typed("--hw", "-"), "give the network or the hardware as a file")
    from mnsim.spec.load import load_hardware, load_network

    return load_network(network), load_hardware(machine.hw, machine.settings, machine.sram)


def find_layer(graph: "Graph", name: str) -> int:
    """The place of the layer that `--layer` names. Raises SpecError U004."""
    names = [operator.name for operator in graph.operators]
    if name not in names:
        message = f"{graph.name} has no layer {shown(name)}"
        raise SpecError("U004", message, _typed("--layer", name), did_you_mean(name, names))
    return names.index(name)


def _typed(option: str, value: str) -> Location:
    return Location("command line", 1, len(option) + 2, f"{option} {value}", len(value))
