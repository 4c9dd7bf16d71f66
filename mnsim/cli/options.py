"""Options that commands share, each group gathered into one record."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mnsim.cli.main import TALK_OPTIONS
from mnsim.cli.places import OutputName, SpecName
from mnsim.cli.words import Setting
from mnsim.errors import Location, SpecError, did_you_mean, shown
from mnsim.spec.records import DTYPES, POLICIES

if TYPE_CHECKING:
    from mnsim.graph.model import Graph
    from mnsim.spec.records import Hardware, Network

    NumberType = click.ParamType[Fraction]
else:  # generic from click 8.4 on only
    NumberType = click.ParamType

FORMATS = ("table", "csv", "json", "markdown")
_SUFFIXES = {".txt": "table", ".csv": "csv", ".json": "json", ".md": "markdown", ".markdown": "markdown"}

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
    """Which variant of a network, and how it is run: the multipliers, the data type, the policy."""

    alpha: Fraction
    rho: Fraction
    dtype: Any
    policy: Any


class Machine(NamedTuple):
    """Which hardware, and what is different about it."""

    hw: str
    settings: tuple[str, ...]
    sram: str | None


class Output(NamedTuple):
    """Where the result goes, and in which format."""

    format: str | None
    output: str | None

    @classmethod
    def known_suffixes(cls) -> dict[str, str]:
        """The format that each suffix names."""
        return _SUFFIXES

    @property
    def to_screen(self) -> bool:
        return self.output in (None, "-")

    @property
    def chosen(self) -> str:
        """The format as said, else as the file's suffix says, else a table."""
        if self.format:
            return self.format
        if self.output is None or self.to_screen:
            return "table"
        suffix = Path(self.output).suffix.lower()
        if suffix not in self.known_suffixes():
            ends = ", ".join(self.known_suffixes())
            message = f"{shown(self.output, 100)} has no suffix that names a format; end it in one of {ends}, or say --format"
            raise click.BadParameter(message, param_hint="--output", param=click.Option(["--output", "-o"]))
        return self.known_suffixes()[suffix]


class Colour(NamedTuple):
    """In colour or not: errors are, also of a command whose result has no colours."""

    color: str


class Quiet(NamedTuple):
    """Whether to say what was written where, and in colour or not."""

    color: str
    quiet: bool


class Talk(NamedTuple):
    """How much to say, and in colour or not."""

    color: str
    quiet: bool
    verbose: bool

    @property
    def verbosity(self) -> int:
        return -1 if self.quiet else int(self.verbose)


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
POLICY = click.option(
    "--policy", type=click.Choice(POLICIES), default="overlap", show_default=True, help="Prefetch, or one thing at a time."
)
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


def only_formats(*formats: str) -> type[Output]:
    """The kind of output that has these formats only."""

    class Fewer(Output):
        """Where the result goes, in one of a few formats."""

        @classmethod
        def known_suffixes(cls) -> dict[str, str]:
            """The format that each suffix names."""
            return {suffix: name for suffix, name in super().known_suffixes().items() if name in formats}

    return Fewer


def output_with(record: type[Output], formats: Sequence[str]) -> Callable[[Function], Function]:
    """The options of where the result goes, in one of these formats."""
    ends = ", ".join(end for end in record.known_suffixes() if end != ".markdown")
    return gather(
        "output",
        record,
        click.option("--format", type=click.Choice(formats), help="Format of the result; table unless --output's suffix says."),
        click.option("-o", "--output", type=OutputName(), metavar="FILE", help=f"Write the result to a file ({ends})."),
    )


output_options = output_with(Output, FORMATS)
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
