"""`mnsim infer`."""

from typing import TYPE_CHECKING, Any

import click

from mnsim.cli.material import Computed, Material, computed_options, computing, gathered, material_options, refuse_idle_options
from mnsim.cli.options import Output, Talk, formats_but, output_with, talk_options
from mnsim.cli.places import FileCommand, SpecName
from mnsim.cli.show import show
from mnsim.cli.terminal import progress

if TYPE_CHECKING:
    from mnsim.graph.model import Graph
    from mnsim.reference.weights import Weights
    from mnsim.report.inference import Answer

BEST = 5


@click.command("infer", cls=FileCommand)
@click.argument("network", type=SpecName("network"))
@computed_options
@material_options
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many images.")
@output_with(*formats_but("markdown"))
@talk_options
def command(network: str, limit: int, variant: Computed, material: Material, output: Output, talk: Talk) -> None:
    """Run the network: the best classes of each image, and how many are right where the images have
    labels.

    NETWORK is a YAML file, `-` for standard input, or a bundled name (`mnsim list`). Without --weights and
    --data it runs random weights on noise: a check that it runs, not of what it finds. int8 is calibrated
    on the images that it is given.
    """
    output.check()
    refuse_idle_options(material)
    from mnsim.graph.build import build_graph
    from mnsim.spec.load import load_network

    graph = build_graph(load_network(network), variant.alpha, variant.rho, variant.dtype)
    weights, images, labels = gathered(material, graph, limit)
    with computing(material):
        answers = _answers(graph, weights, images, labels, talk.quiet)
    from mnsim.report.inference import inference_document

    show(inference_document(graph, answers), output, talk)


def _answers(graph: "Graph", weights: "Weights", images: list[Any], labels: list[int] | None, quiet: bool) -> "list[Answer]":
    """Each image's best classes with their scores (of the network's first output), and its label."""
    from mnsim.reference.calibrate import calibrate
    from mnsim.reference.infer import run
    from mnsim.reference.numbers import dequantise
    from mnsim.reference.store import layer_arrays
    from mnsim.report.inference import Answer

    numbers = calibrate(graph, weights, images[:8]) if graph.dtype == "int8" else None
    arrays, answers = layer_arrays(graph, weights, numbers), []
    with progress("inferring", len(images), len(images) > 10 and not quiet) as bar:
        for place, image in enumerate(images):
            scores = run(graph, arrays, image, numbers, fast=True)[0]
            if numbers is not None:
                scores = dequantise(scores, numbers.maps[graph.outputs[0]])
            flat = scores.reshape(-1)
            best = sorted(range(flat.size), key=lambda index: (-flat[index], index))[:BEST]
            label = None if labels is None else labels[place]
            answers.append(Answer(tuple(best), tuple(float(flat[index]) for index in best), label))
            bar.update(1)
    return answers
