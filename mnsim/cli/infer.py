"""`mnsim infer`."""

import json
from typing import TYPE_CHECKING, Any

import click

from mnsim.cli.numbers import Computed, Material, computed_options, computing, gathered, material_options, refuse_idle_options
from mnsim.cli.options import Output, Talk, only_formats, output_with, talk_options
from mnsim.cli.places import FileCommand, SpecName
from mnsim.cli.terminal import emit, progress

if TYPE_CHECKING:
    from mnsim.graph.model import Graph
    from mnsim.reference.weights import Weights

BEST = 5
FORMATS = ("table", "csv", "json")


@click.command("infer", cls=FileCommand)
@click.argument("network", type=SpecName("network"))
@computed_options
@material_options
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many images.")
@output_with(only_formats(*FORMATS), FORMATS)
@talk_options
def command(network: str, limit: int, variant: Computed, material: Material, output: Output, talk: Talk) -> None:
    """Run the network: the best classes of each image, and how many are right where the images have labels.

    NETWORK is a YAML file, `-` for standard input, or a bundled name (`mnsim list`). Without --weights and --data it runs random weights on
    noise: a check that it runs, not of what it finds. int8 is calibrated on the images that it is given.
    """
    chosen = output.chosen
    refuse_idle_options(material)
    from mnsim.graph.build import build_graph
    from mnsim.spec.load import load_network

    graph = build_graph(load_network(network), variant.alpha, variant.rho, variant.dtype)
    weights, images, labels = gathered(material, graph, limit)
    with computing(material):
        rows = _rows(graph, weights, images, labels, talk.quiet)
    emit(_text(rows, graph, chosen), output.output, talk.quiet)


def _rows(graph: "Graph", weights: "Weights", images: list[Any], labels: list[int] | None, quiet: bool) -> list[dict[str, Any]]:
    """One row an image: its best classes with their scores (of the network's first output), and its label."""
    from mnsim.reference.calibrate import calibrate
    from mnsim.reference.infer import run
    from mnsim.reference.numbers import dequantise
    from mnsim.reference.store import layer_arrays

    numbers = calibrate(graph, weights, images[:8]) if graph.dtype == "int8" else None
    arrays, rows = layer_arrays(graph, weights, numbers), []
    with progress("inferring", len(images), len(images) > 10 and not quiet) as bar:
        for place, image in enumerate(images):
            scores = run(graph, arrays, image, numbers, fast=True)[0]
            if numbers is not None:
                scores = dequantise(scores, numbers.maps[graph.outputs[0]])
            flat = scores.reshape(-1)
            best = sorted(range(flat.size), key=lambda index: (-flat[index], index))[:BEST]
            label = {} if labels is None else {"label": labels[place], "correct": labels[place] == best[0]}
            rows.append({"image": place, "best": best, "scores": [float(flat[index]) for index in best], **label})
            bar.update(1)
    return rows


def _text(rows: list[dict[str, Any]], graph: "Graph", chosen: str) -> str:
    right = [row["correct"] for row in rows if "correct" in row]
    accuracy = sum(right) / len(right) if right else None
    if chosen == "json":
        return json.dumps({"network": graph.name, "dtype": graph.dtype, "images": rows, "top1": accuracy}, indent=2) + "\n"
    flat = [{**row, "best": ";".join(map(str, row["best"])), "scores": ";".join(f"{score:.6g}" for score in row["scores"])} for row in rows]
    if chosen == "csv":
        from mnsim.report.text import to_csv

        return to_csv(flat)
    from mnsim.report.text import to_aligned

    headings = list(flat[0])
    table = to_aligned(headings, [[str(row[heading]) for heading in headings] for row in flat], [False] * len(headings))
    return table + (f"\ntop-1: {sum(right)} of {len(right)} ({100 * accuracy:.1f} %)\n" if accuracy is not None else "")
