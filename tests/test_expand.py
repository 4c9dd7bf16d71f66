"""What a network file's lines mean: defaults, blocks, repeats, names and inputs."""

import pytest

from mnsim.errors import SpecError
from mnsim.spec.load import load_network
from tests.helpers import NETWORKS, chain, network_of


def names(*layers: str) -> list[str]:
    return [layer.name for layer in chain(*layers).layers]


def inputs(*layers: str) -> dict[str, tuple[str, ...]]:
    return {layer.name: layer.inputs for layer in chain(*layers).layers}


def test_layers_are_numbered_by_kind() -> None:
    found = names("{conv: 8, kernel: 3}", "{separable: 8}", "{separable: 8, repeat: 2}", "{conv: 8, kernel: 1}", "{dense: 2}", "softmax")
    assert found == ["conv1", "dw1", "pw1", "dw2", "pw2", "dw3", "pw3", "pw4", "fc1", "softmax1"]


def test_a_written_name_is_kept_and_counted_around() -> None:
    assert names("{conv: 8, kernel: 3, name: conv2}", "{conv: 8, kernel: 3}", "{conv: 8, kernel: 3}") == ["conv2", "conv1", "conv3"]


def test_a_block_ends_in_its_name_and_repeats_number_it() -> None:
    assert names("{separable: 8, name: block, repeat: 2}") == ["block_dw_1", "block_1", "block_dw_2", "block_2"]


def test_groups_nest_and_names_mean_the_same_turn() -> None:
    group = "{repeat: 2, layers: [{conv: 4, kernel: 1, name: a}, {conv: 4, kernel: 1, name: b, input: a}, {add: [a, b], name: c}]}"
    found = inputs(group, "{relu: , input: c_1}")
    assert found["b_2"] == ("a_2",)
    assert found["c_2"] == ("a_2", "b_2")
    assert found["a_2"] == ("c_1",)
    assert found["relu1"] == ("c_1",)


def test_a_name_outside_the_group_is_seen_from_inside() -> None:
    found = inputs("{conv: 4, kernel: 1, name: stem}", "{repeat: 2, layers: [{conv: 4, kernel: 1, name: a}, {add: [stem, a]}]}")
    assert found["add2"] == ("stem", "a_2")


def test_defaults_reach_convolutions_only() -> None:
    network = network_of(
        "name: n\ninput: [8, 8, 3]\ndefaults: {batch_norm: true, activation: relu}\n"
        "layers: [{conv: 4, kernel: 3}, {separable: 4, activation: relu6}, {conv: 4, kernel: 1, batch_norm: false, activation: none}, "
        "{dense: 2}]"
    )
    found = [(layer.batch_norm, layer.activation, layer.bias) for layer in network.layers]
    folded6 = ("folded", "relu6", False)
    assert found == [("folded", "relu", False), folded6, folded6, ("none", "none", True), ("none", "none", True)]


def test_an_option_that_is_an_operator_elsewhere() -> None:
    (layer,) = chain("{batch_norm: unfolded, conv: 4, kernel: 3}").layers
    assert (layer.kind, layer.batch_norm) == ("conv", "unfolded")
    (layer,) = chain("{batch_norm: }").layers
    assert layer.kind == "batch_norm"


def test_a_pooling_steps_by_its_window() -> None:
    assert chain("{max_pool: [2, 3]}").layers[0].stride == (2, 3)
    assert chain("{max_pool: 3, stride: 2}").layers[0].stride == (2, 2)


@pytest.mark.parametrize(
    ("layers", "code", "phrase"),
    [
        (["{conv: 4, kernel: 1, name: a}", "{conv: 4, kernel: 1, name: a}"], "S201", "'a' is taken by the layer in line 4"),
        (["{conv: 4, kernel: 1, name: input}"], "S201", "taken by the network's input"),
        (["{relu: , input: stemm, name: x}"], "S202", "no layer is called 'stemm'"),
        (["{relu: , input: x, name: x}"], "S203", "a cycle: 'x' reads 'x'"),
        (["{relu: , input: b, name: a}", "{relu: , name: b}"], "S203", "a cycle: 'a' reads 'b' reads 'a'"),
        (["{add: [input, late], name: a}", "{conv: 4, kernel: 1, input: input, name: late}"], "S203", "'late' stands below 'a'"),
        (["{repeat: 3, layers: [{conv: 4, kernel: 1, name: a}]}", "{relu: , input: a}"], "S202", "no layer is called 'a'"),
    ],
)
def test_what_cannot_be_connected(layers: list[str], code: str, phrase: str) -> None:
    with pytest.raises(SpecError) as caught:
        chain(*layers)
    assert caught.value.code == code
    assert phrase in caught.value.message


def test_too_many_layers_are_refused_early() -> None:
    with pytest.raises(SpecError) as caught:
        chain("{repeat: 100000, layers: [{repeat: 100000, layers: [relu]}]}")
    assert caught.value.code == "S006"


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.startswith("mobilenet")])
def test_a_network_file_reads_like_the_papers_table(name: str) -> None:
    """No MobileNet is longer than 20 lines, and a separable block is one line of it."""
    from mnsim.spec.load import bundled

    lines = bundled("network")[name].read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 22
    assert sum("separable" in line for line in lines) >= 7 or name == "mobilenet_v1_conv"
    assert load_network(name).name == name
