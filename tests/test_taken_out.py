"""`dropout` and `identity` do nothing at inference: they are no layers, and whoever reads them reads what they read."""

from pathlib import Path

import pytest

from mnsim.graph.build import build_graph
from mnsim.spec.records import contents
from tests.helpers import chain, run

WITH = (
    "identity",
    "{conv: 8, kernel: 3, name: a}",
    "{dropout: 0.5, name: d}",
    "{identity: , name: e}",
    "{conv: 8, kernel: 1, input: e, name: b}",
    "{add: [d, b], name: s}",
    "{dropout: , input: a}",
    "relu",
    "{concat: [s, relu1, input]}",
    "dropout",
)
WITHOUT = (
    "{conv: 8, kernel: 3, name: a}",
    "{conv: 8, kernel: 1, input: a, name: b}",
    "{add: [a, b], name: s}",
    "{relu: , input: a}",
    "{concat: [s, relu1, input]}",
)


def test_the_network_is_the_one_without_them() -> None:
    network = chain(*WITH)
    assert contents(network) == contents(chain(*WITHOUT))
    assert network.taken_out == ("identity1", "d", "e", "dropout1", "dropout2")
    assert build_graph(network).taken_out == network.taken_out
    assert build_graph(chain(*WITHOUT)).operators == build_graph(network).operators


def test_in_repeats() -> None:
    network = chain("{repeat: 2, layers: [{conv: 4, kernel: 1, name: c}, {dropout: 0.1, name: d}, {add: [c, d]}]}", "{relu: , input: d_2}")
    assert [(layer.name, layer.inputs) for layer in network.layers] == [
        ("c_1", ("input",)), ("add1", ("c_1", "c_1")), ("c_2", ("add1",)), ("add2", ("c_2", "c_2")), ("relu1", ("c_2",)),
    ]  # fmt: skip
    assert network.taken_out == ("d_1", "d_2")


@pytest.mark.parametrize(
    ("layers", "code", "line", "column", "message"),
    [
        (["dropout", "identity"], "S106", 4, 3, "nothing is left of the layers: dropout and identity do nothing"),
        (["{dropout: 1.0}"], "S104", 4, 15, "a rate must be at least 0 and below 1, got 1.0"),
        (["{dropout: high}"], "S103", 4, 15, "a rate must be a number, got 'high'"),
        (["{dropout: true}"], "S103", 4, 15, "a rate must be a number, got true"),
        (["{identity: 3}"], "S103", 4, 16, "takes no value, got 3"),
        (["{dropout: , name: a}", "{relu: , name: a}"], "S201", 5, 20, "the name 'a' is taken"),
        (["{dropout: , input: nobody}", "relu"], "S202", 4, 24, "no layer is called 'nobody'"),
        (["{dropout: , name: a, input: b}", "{identity: , name: b, input: a}"], "S203", 4, 33, "a cycle"),
    ],
)
def test_they_are_checked_before_they_go(layers: list[str], code: str, line: int, column: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text("name: t\ninput: [8, 8, 4]\nlayers:\n" + "".join(f"  - {layer}\n" for layer in layers))
    printed = run("check", str(tmp_path / "n.yaml")).out
    assert f":{line}:{column}: error[{code}]: " in printed
    assert message in printed


@pytest.mark.parametrize("command", ["analyze", "simulate"])
def test_verbose_names_them(command: str, tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text("name: t\ninput: [8, 8, 4]\nlayers: [relu, {dropout: 0.2, name: last}]\n")
    sentence = "Taken out, since they do nothing at inference: last."
    assert sentence in run(command, str(tmp_path / "n.yaml"), "-v").out
    assert "Taken out" not in run(command, str(tmp_path / "n.yaml")).out
    assert "Taken out" not in run(command, "mobilenet_cifar", "-v").out
