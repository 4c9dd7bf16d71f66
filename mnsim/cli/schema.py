"""`mnsim schema`."""

from typing import Any

import click

from mnsim.cli.options import Quiet, quiet_options
from mnsim.cli.places import FileCommand, OutputName
from mnsim.cli.terminal import emit


@click.command("schema", cls=FileCommand)
@click.argument("kind", type=click.Choice(["network", "hardware", "sweep"]))
@click.option("-o", "--output", type=OutputName(), metavar="FILE", help="Write the schema to a file.")
@quiet_options
def command(kind: Any, output: str | None, talk: Quiet) -> None:
    """The JSON Schema of network, hardware or sweep files.

    An editor with a YAML language server checks and completes a file whose first line is
    `# yaml-language-server: $schema=network.schema.json`.
    """
    from mnsim.spec.load import json_schema

    emit([json_schema(kind)], output, talk.quiet)
