"""Weights and images on a command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from mnsim.cli.options import ALPHA, POLICY, RHO, Variant, gather
from mnsim.cli.places import FileName, ImagesName
from mnsim.errors import Location, SpecError

if TYPE_CHECKING:
    from mnsim.graph.model import Graph
    from mnsim.reference.weights import Weights

COMPUTABLE = ("int8", "float32")


class Material(NamedTuple):
    """Which weights and images to compute with."""

    weights: str | None
    images: str | None
    seed: int


class Computed(NamedTuple):
    """The variant of a network that is computed: the multipliers and the data type. It has no plan."""

    alpha: Fraction
    rho: Fraction
    dtype: Any


_DTYPE = click.option(
    "--dtype", type=click.Choice(COMPUTABLE), default="int8", show_default=True, help="Numbers to compute with (float16 has costs only)."
)
computed_options = gather("variant", Computed, ALPHA, RHO, _DTYPE)
proved_options = gather("variant", Variant, ALPHA, RHO, _DTYPE, POLICY)
material_options = gather(
    "material",
    Material,
    click.option(
        "--weights", type=FileName(), metavar="FILE", help="Weights: .npz, .safetensors or .onnx; seeded random ones if not said."
    ),
    click.option(
        "--data", "images", type=ImagesName(), metavar="PATH", help="Images: .npy, .png, .jpg, CIFAR-10 .bin, or a folder; else noise."
    ),
    click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of random weights and noise."),
)


def refuse_idle_options(material: Material) -> None:
    """Raises UsageError for options without effect: a seed where nothing is random, a number of images
    without images.
    """
    given = click.get_current_context().get_parameter_source
    if material.weights and material.images and given("seed") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--seed is of random weights and noise; with --weights and --data nothing is random")
    if material.images is None and given("limit") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--limit is of images; say which with --data PATH")


@contextmanager
def computing(material: Material) -> Iterator[None]:
    """Turn a ValueError (values beyond every scale) into an error that names the weights. Raises SpecError
    S403.
    """
    try:
        yield
    except ValueError as error:
        name = material.weights or "weights"
        raise SpecError(
            "S403", str(error), Location(name, text=name, length=len(name)), "look for weights that are far too large"
        ) from None


def gathered(material: Material, graph: "Graph", most: int = 8) -> "tuple[Weights, list[Any], list[int] | None]":
    """The weights, the first images (or one of noise) as the network takes them, and their labels where the
    files have them.
    """
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
