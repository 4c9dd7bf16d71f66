"""`mnsim list`."""

import click

from mnsim.cli.options import Output, Talk, output_options, talk_options
from mnsim.cli.places import FileCommand
from mnsim.cli.show import show


@click.command("list", cls=FileCommand)
@output_options
@talk_options
def command(output: Output, talk: Talk) -> None:
    """The networks and hardware that come with mnsim, one line each.

    A name stands for its file wherever a network or a piece of hardware is asked for.
    """
    output.check()
    from mnsim.report.bundled import bundled_document
    from mnsim.spec.load import bundled, load_hardware, load_network

    loaded = {name: load_network(path) for name, path in bundled("network").items()}
    machines = {name: load_hardware(path) for name, path in bundled("hardware").items()}
    show(bundled_document(loaded, machines), output, talk)
