"""200 handwritten digits with their labels, and a network that was trained on others (tests/data/digits/README.md)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.helpers import ROOT

FOLDER = ROOT / "tests" / "data" / "digits"
WEIGHTS = FOLDER / "mobilenet_cifar_025.npz"
NETWORK = ("mobilenet_cifar", "--alpha", "0.25")


def digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The digits (200, 28, 28), and their labels."""
    with np.load(FOLDER / "digits.npz", allow_pickle=False) as found:
        return found["digits"], found["labels"]


def write_digits(path: Path) -> Path:
    """The digits as CIFAR-10's binary batches have images: a label, then 32 x 32 bytes of red, of green and of blue."""
    pixels, labels = digits()
    grey = np.pad(pixels, ((0, 0), (2, 2), (2, 2))).reshape(len(pixels), -1)
    path.write_bytes(np.concatenate([labels[:, np.newaxis], grey, grey, grey], axis=1).tobytes())
    return path
