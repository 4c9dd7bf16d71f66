"""`mnsim list`."""

import click

from mnsim.cli.options import Output, Talk, output_options, talk_options
from mnsim.cli.places import FileCommand
from mnsim.cli.terminal import emit


@click.command("list", cls=FileCommand)
@output_options
@talk_options
def command(output: Output, talk: Talk) -> None:
    """The networks and hardware that come with mnsim, one line each.

    A name stands for its file wherever a network or a piece of hardware is asked for.
    """
    chosen = output.chosen
    from mnsim.graph.build import build_graph
    from mnsim.report import text
    from mnsim.spec.load import bundled, load_hardware, load_network

    rows = []
    for name, path in bundled("network").items():
        network = load_network(path)
        operators = build_graph(network).operators
        counts = {"layers": len(operators), "macs": sum(each.macs for each in operators)}
        counts["parameters"] = sum(each.parameters for each in operators)
        rows.append({"kind": "network", "name": name, **counts, "title": network.title})
    nothing = {"layers": None, "macs": None, "parameters": None}
    for name, path in bundled("hardware").items():
        rows.append({"kind": "hardware", "name": name, **nothing, "title": load_hardware(path).title})
    every = ["kind", "name", "layers", "macs", "parameters", "title"]
    headings = every if talk.verbose or chosen == "markdown" else ["kind", "name", "macs", "title"]
    cells = [[_cell(row[key]) for key in headings] for row in rows]
    is_text = [heading in ("kind", "name", "title") for heading in headings]
    if chosen == "csv":
        result = text.to_csv(rows)
    elif chosen == "json":
        result = text.to_json(rows)
    elif chosen == "markdown":
        result = text.to_markdown(headings, cells, is_text)
    else:
        result = text.to_aligned(headings, cells, is_text)
    emit(result, output.output, talk.quiet)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
