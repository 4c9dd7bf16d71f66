"""Weights and images on a command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mnsim.cli.options import SpecName, Variant, gather
from mnsim.errors import Location, SpecError

if TYPE_CHECKING:
    from mnsim.graph.model import Graph
    from mnsim.reference.weights import Weights


class Material(NamedTuple):
    """Which weights and images to compute with."""

    weights: str | None
    images: str | None
    seed: int


material_options = gather(
    "material",
    Material,
    click.option(
        "--weights", type=SpecName(), metavar="FILE", help="Weights: .npz, .safetensors or .onnx; seeded random ones if not said."
    ),
    click.option(
        "--data", "images", type=SpecName(), metavar="PATH", help="Images: .npy, .png, .jpg, CIFAR-10 .bin, or a folder; else noise."
    ),
    click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of random weights and noise."),
)


def only_computable(variant: Variant) -> None:
    """Raises UsageError for a dtype that has costs but no arithmetic here."""
    if variant.dtype == "float16":
        raise click.BadParameter("float16 has costs but cannot be computed; use int8 or float32", param=click.Option(["--dtype"]))


@contextmanager
def computing(material: Material) -> Iterator[None]:
    """What cannot be computed (values that run over every scale) as an error that names the weights. Raises SpecError S403."""
    try:
        yield
    except ValueError as error:
        name = material.weights or "weights"
        raise SpecError(
            "S403", str(error), Location(name, text=name, length=len(name)), "look for weights that are far too large"
        ) from None


def gathered(material: Material, graph: "Graph", most: int = 8) -> "tuple[Weights, list[Any], list[int] | None]":
    """The weights, the first images (or one of noise) as the network takes them, and their labels where the files have them."""
    from mnsim.reference.calibrate import noise_images
    from mnsim.reference.weights import random_weights

    if material.weights is None:
        weights = random_weights(graph, material.seed)
    else:
        from mnsim.reference.weight_files import load_weights

        weights = load_weights(material.weights, graph)
    if material.images is None:
        return weights, noise_images(graph, 1, material.seed), None
    from mnsim.reference.images import load_images

    images, labels = load_images(material.images, graph.maps[0].shape, most)
    return weights, list(images), None if labels is None else [int(label) for label in labels]
