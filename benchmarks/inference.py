"""mobilenet_v1 1.0/224 in float32, one image: this program's NumPy against PyTorch in eager mode, two threads each, in one run.

    python benchmarks/inference.py     (in an environment that has PyTorch: its default wheel is gigabytes, so that no other needs it)

Runs are taken in turn, and the ratio is that of the fastest ones. The limit is 2.
"""

import os
import sys
from time import perf_counter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

import numpy as np

from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.reference.calibrate import noise_images
from mnsim.reference.infer import run
from mnsim.reference.store import LayerArrays, layer_arrays
from mnsim.reference.weights import random_weights
from mnsim.spec.load import load_network

TURNS = 40


def torch_network(torch, graph: Graph, arrays: tuple[LayerArrays, ...]):  # type: ignore[no-untyped-def]
    """The same network as PyTorch modules (channels first), batch norm folded as ours is."""
    layers = []
    for operator, stored in zip(graph.operators, arrays, strict=True):
        window = operator.window
        if operator.kind in ("conv", "depthwise"):
            filters = stored.filters.transpose(0, 3, 1, 2) if operator.kind == "conv" else stored.filters.transpose(2, 0, 1)[:, None]
            top, bottom, left, right = window.padding
            if (top, left) != (bottom, right):
                layers.append(torch.nn.ZeroPad2d((left, right, top, bottom)))
            padding = (top, left) if (top, left) == (bottom, right) else 0
            made = torch.nn.Conv2d(
                filters.shape[1] * operator.groups, filters.shape[0], window.kernel, window.stride, padding, 1, operator.groups
            )
        elif operator.kind == "dense":
            filters = stored.filters
            layers.append(torch.nn.Flatten())
            made = torch.nn.Linear(filters.shape[1], filters.shape[0])
        else:
            layers.append(torch.nn.AdaptiveAvgPool2d(1) if operator.kind == "global_avg_pool" else torch.nn.Softmax(1))
            continue
        made.weight.data = torch.from_numpy(np.ascontiguousarray(filters))
        made.bias.data = torch.from_numpy(stored.bias.copy())
        layers += [made, *([torch.nn.ReLU(inplace=True)] if "relu" in dict(operator.vector_ops) else [])]
    return torch.nn.Sequential(*layers).eval()


def main() -> int:
    import torch

    torch.set_num_threads(2)
    graph = build_graph(load_network("mobilenet_v1"), dtype="float32")
    arrays, image = layer_arrays(graph, random_weights(graph)), noise_images(graph, 1)[0]
    network = torch_network(torch, graph, arrays)
    batch = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
    times: dict[str, list[float]] = {"numpy": [], "torch": []}
    with torch.inference_mode():
        for _ in range(TURNS):
            start = perf_counter()
            ours = run(graph, arrays, image, fast=True)[0]
            middle = perf_counter()
            theirs = network(batch)
            times["numpy"].append(middle - start)
            times["torch"].append(perf_counter() - middle)
    error = np.abs(ours.reshape(-1) - theirs.numpy().reshape(-1)).max() / np.abs(theirs.numpy()).max()
    numpy_s, torch_s = min(times["numpy"]), min(times["torch"])
    print(f"mobilenet_v1 float32: NumPy {numpy_s * 1e3:.1f} ms, PyTorch {torch_s * 1e3:.1f} ms, ratio {numpy_s / torch_s:.2f} (limit 2)")
    print(f"outputs differ by {error:.1e} of the largest")
    return int(numpy_s > 2 * torch_s)


if __name__ == "__main__":
    sys.exit(main())
