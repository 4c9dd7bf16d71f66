"""`mnsim weights`: a file that `load_weights` takes, the same bytes for the same seed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mnsim.graph.build import build_graph
from mnsim.reference.weight_files import load_weights
from mnsim.reference.weights import random_weights
from mnsim.spec.load import load_network
from tests.helpers import run
from tests.test_weight_files import fails, same


def test_weights_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    ran = run("weights", "mobilenet_cifar", "-o", str(path), "--seed", "3", "--alpha", "0.5")
    assert ran.code == 0
    assert ran.err.startswith(f"wrote {path}: ")
    graph = build_graph(load_network("mobilenet_cifar"), 0.5)
    assert same(load_weights(path, graph), random_weights(graph, 3))
    assert list(tmp_path.iterdir()) == [path]
    assert run("weights", "mobilenet_cifar", "-q", "-o", str(path)).err == ""
    done = subprocess.run([sys.executable, "-m", "mnsim", "weights", "mobilenet_cifar", "-o", "-"], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (path.read_bytes(), b"")
    error = fails(path, graph)
    assert "weights made for another alpha or rho have other shapes" in error.remedy


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["-o", "w.txt"], "U001"), ([], "U001"), (["-o", "/no/such/folder/w.npz"], "U003"), (["-o", "w.npz", "--seed", "-1"], "U001")],
)
def test_mistakes_on_the_command_line(arguments: list[str], code: str) -> None:
    ran = run("weights", "mobilenet_cifar", *arguments)
    assert ran.code == 2
    assert f"error[{code}]" in ran.err


def test_infer_says_whose_scores_they_are(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text("name: two\ninput: [4, 4, 3]\nlayers:\n  - {conv: 3, kernel: 3, name: c}\n  - {relu: null, name: r}\n"
                    "  - {sigmoid: null, name: s, input: c}\n")  # fmt: skip
    assert "Of output r, the first of 2: r, s." in run("infer", str(path)).out
    assert json.loads(run("infer", str(path), "--format", "json").out)["output"] == "r"
    assert "Of output" not in run("infer", "mobilenet_cifar", "--alpha", "0.25").out
