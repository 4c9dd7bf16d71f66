"""`mnsim weights`."""

import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnsim.cli.options import ALPHA, RHO, Talk, talk_options
from mnsim.cli.places import FileCommand, OutputName, SpecName
from mnsim.cli.terminal import printable, write_bytes

if TYPE_CHECKING:
    from mnsim.reference.weights import Weights


@click.command("weights", cls=FileCommand)
@click.argument("network", type=SpecName("network"))
@ALPHA
@RHO
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Other seed, other weights.")
@click.option("-o", "--output", type=OutputName(), metavar="FILE", required=True, help="The .npz file to write, or - for standard output.")
@talk_options
def command(network: str, alpha: Fraction, rho: Fraction, seed: int, output: str, talk: Talk) -> None:
    """Random weights for a network, in a file that NumPy reads.

    NETWORK is a YAML file, `-` for standard input, or a bundled name (`mnsim list`). Filters are
    He-normal, batch norms near the identity, all in float32; the same seed gives the same bytes. `mnsim
    explain S402` lists the arrays' names and layouts.
    """
    if output != "-" and Path(output).suffix.lower() != ".npz":
        raise click.BadParameter("the file's name must end in .npz; call it weights.npz", param=click.Option(["--output", "-o"]))
    if output == "-" and sys.stdout.isatty():
        raise click.UsageError("weights are no text for a terminal; give a file with -o, or send them to another program")
    from mnsim.spec.load import load_network

    loaded = load_network(network)
    from mnsim.graph.build import build_graph
    from mnsim.reference.weights import random_weights

    weights = random_weights(build_graph(loaded, alpha, rho, "float32"), seed)
    save_weights(output, weights)
    if output != "-" and not talk.quiet:
        count = sum(array.size for arrays in weights.layers.values() for array in arrays.values())
        sys.stderr.write(f"wrote {printable(output)}: {count:,} numbers for {len(weights.layers)} layers\n")


def save_weights(name: str, weights: "Weights") -> None:
    """Write weights as .npz, atomically, the same bytes for the same weights. Raises SpecError U003 when
    it cannot be written.
    """
    from mnsim.reference.weight_files import npz_bytes

    content = npz_bytes(weights)
    if name == "-":
        sys.stdout.buffer.write(content)
    else:
        write_bytes(name, content)
