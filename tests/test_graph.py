"""Shapes, counts and shared storage, against brute force and hand-made numbers."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnsim.errors import ShapeError, SpecError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.operators.shapes import same_padding
from tests.helpers import chain, network_of


def graph_of(*layers: str, shape: str = "[8, 8, 4]") -> Graph:
    return build_graph(chain(*layers, shape=shape))


def slots_of(graph: Graph) -> dict[str, tuple[int, int]]:
    return {each.name: (graph.slots[each.index].storage, graph.slots[each.index].offset_bytes) for each in graph.maps}


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3))
def test_a_window_stands_wherever_it_fits(extent: int, kernel: int, stride: int, before: int, after: int) -> None:
    """The output's height is the number of places where a window fits the padded input, counted one by one."""
    before, after = min(before, kernel - 1), min(after, kernel - 1)
    places = len([top for top in range(0, before + extent + after, stride) if top + kernel <= before + extent + after])
    line = f"{{conv: 2, kernel: {kernel}, stride: {stride}, padding: [{before}, {after}, {kernel // 2}, {kernel - 1 - kernel // 2}]}}"
    if not places:
        with pytest.raises(ShapeError):
            graph_of(line, shape=f"[{extent}, {kernel}, 1]")
    else:
        assert graph_of(line, shape=f"[{extent}, {kernel}, 1]").maps[1].shape[0] == places


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 5))
def test_same_padding_is_the_least_that_gives_tensorflows_output(extent: int, kernel: int, stride: int) -> None:
    before, after = same_padding(extent, kernel, stride)
    wanted = -(-extent // stride)
    assert (extent + before + after - kernel) // stride + 1 >= wanted
    assert 0 <= after - before <= 1
    if before + after:
        assert (extent + before + after - 1 - kernel) // stride + 1 < wanted


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.integers(1, 2), st.sampled_from([1, 2, 4]))
def test_macs_are_multiplications_counted_one_by_one(height: int, width: int, kernel: int, stride: int, groups: int) -> None:
    graph = graph_of(f"{{conv: 8, kernel: {kernel}, stride: {stride}, groups: {groups}}}", shape=f"[{height}, {width}, 4]")
    count = 0
    for _row in range(-(-height // stride)):
        for _column in range(-(-width // stride)):
            for out in range(8):
                count += sum(source // (4 // groups) == out // (8 // groups) for source in range(4)) * kernel * kernel
    assert graph.operators[0].macs == count


@pytest.mark.parametrize(
    ("line", "shape", "macs", "ops", "parameters", "weight_bytes"),
    [
        ("{conv: 4, kernel: 3}", (8, 8, 4), 64 * 4 * 4 * 9, {}, 144 + 4, 144 + 16),
        ("{conv: 4, kernel: 3, bias: false}", (8, 8, 4), 64 * 144, {}, 144, 144),
        ("{conv: 4, kernel: 3, batch_norm: true}", (8, 8, 4), 64 * 144, {}, 144 + 8, 144 + 16),
        ("{conv: 4, kernel: 3, batch_norm: unfolded}", (8, 8, 4), 64 * 144, {"batch_norm": 512}, 144 + 8, 144 + 32),
        ("{conv: 4, kernel: 3, batch_norm: true, bias: true, activation: relu6}", (8, 8, 4), 64 * 144, {"relu6": 256}, 156, 160),
        ("{depthwise: 3, stride: 2, multiplier: 2}", (4, 4, 8), 16 * 8 * 9, {}, 72 + 8, 72 + 32),
        ("{dense: 10}", (1, 1, 10), 2560, {}, 2570, 2560 + 40),
        ("{dense: 10, bias: false, activation: relu}", (1, 1, 10), 2560, {"relu": 10}, 2560, 2560),
        ("{max_pool: 2}", (4, 4, 4), 0, {"max_pool": 4 * 64}, 0, 0),
        ("{avg_pool: 3, stride: 2, padding: same}", (4, 4, 4), 0, {"avg_pool": 9 * 64}, 0, 0),
        ("global_avg_pool", (1, 1, 4), 0, {"global_avg_pool": 64 * 4}, 0, 0),
        ("global_max_pool", (1, 1, 4), 0, {"global_max_pool": 64 * 4}, 0, 0),
        ("batch_norm", (8, 8, 4), 0, {"batch_norm": 512}, 8, 32),
        ("relu", (8, 8, 4), 0, {"relu": 256}, 0, 0),
        ("relu6", (8, 8, 4), 0, {"relu6": 256}, 0, 0),
        ("sigmoid", (8, 8, 4), 0, {"sigmoid": 4 * 256}, 0, 0),
        ("hard_swish", (8, 8, 4), 0, {"hard_swish": 4 * 256}, 0, 0),
        ("{dense: 10, bias: false, activation: hard_swish}", (1, 1, 10), 2560, {"hard_swish": 40}, 2560, 2560),
        ("softmax", (8, 8, 4), 0, {"softmax": 5 * 256}, 0, 0),
        ("{add: [input, input]}", (8, 8, 4), 0, {"add": 256}, 0, 0),
        ("{add: [input, input, input], activation: relu}", (8, 8, 4), 0, {"add": 512, "relu": 256}, 0, 0),
        ("flatten", (1, 1, 256), 0, {"copy": 256}, 0, 0),
        ("{concat: [input, input]}", (8, 8, 8), 0, {"copy": 512}, 0, 0),
    ],
)
def test_what_each_operator_counts(
    line: str, shape: tuple[int, ...], macs: int, ops: dict[str, int], parameters: int, weight_bytes: int
) -> None:
    graph = graph_of(line)
    (operator,) = graph.operators
    assert graph.maps[1].shape == shape
    assert (operator.macs, dict(operator.vector_ops), operator.parameters, operator.weight_bytes) == (macs, ops, parameters, weight_bytes)


def test_bytes_follow_the_dtype_but_biases_do_not() -> None:
    network = chain("{conv: 4, kernel: 3}")
    for dtype, size in (("int8", 1), ("float16", 2), ("float32", 4)):
        graph = build_graph(network, dtype=dtype)  # type: ignore[arg-type]
        assert (graph.operators[0].filter_bytes, graph.operators[0].bias_bytes, graph.maps[1].size_bytes) == (144 * size, 16, 256 * size)


def test_alpha_spares_small_layers_and_the_classifier() -> None:
    lines = ("{conv: 6, kernel: 1}", "{conv: 9, kernel: 1}", "{conv: 40, kernel: 1}", "{conv: 10, kernel: 1}", "global_avg_pool", "softmax")
    channels = [each.shape[2] for each in build_graph(chain(*lines), alpha=Fraction(1, 4)).maps]
    assert channels == [4, 6, 8, 10, 10, 10, 10]  # 6 < min_depth stays, 9 / 4 is raised to 8, the last convolution classifies


def test_alpha_is_exact_and_can_be_said_for_a_layer() -> None:
    lines = ("{conv: 49, kernel: 1}", "{conv: 49, kernel: 1, scaled: false}", "{dense: 70, scaled: true}")
    network = chain(*lines)
    assert [each.shape[2] for each in build_graph(network, alpha=Fraction(6, 7)).maps[1:]] == [42, 49, 60]
    assert build_graph(network, alpha=0.1).alpha == Fraction(1, 10)


def test_hidden_dense_layers_are_scaled() -> None:
    assert [each.shape[2] for each in build_graph(chain("{dense: 64}", "{dense: 64}", "{dense: 64}"), alpha=0.5).maps[1:]] == [32, 32, 64]


def test_rho_rounds_halves_to_even() -> None:
    assert build_graph(chain("relu", shape="[225, 227, 3]"), rho=Fraction(1, 2)).maps[0].shape == (112, 114, 3)


@pytest.mark.parametrize("shape", [(28, 28), (3, 3), (1, 1), (5, 224), (224, 5), (1, 64), (1000, 999)])
def test_a_rho_that_leaves_no_row_or_column_is_refused(shape: tuple[int, int]) -> None:
    network = chain("relu", shape=f"[{shape[0]}, {shape[1]}, 3]")
    edge = Fraction(1, 2 * min(shape))  # half a row rounds to none
    for rho in (edge, edge * Fraction(999, 1000), Fraction(1, 10**9)):
        with pytest.raises(SpecError, match=f"must be above {edge}") as caught:
            build_graph(network, rho=rho)
        assert caught.value.code == "S104"
    least = Fraction(caught.value.remedy.removeprefix("such as "))
    for rho in (least, edge * Fraction(1001, 1000)):
        assert min(build_graph(network, rho=rho).maps[0].shape[:2]) >= 1
    assert edge < least <= edge * Fraction(11, 10)  # two digits


def test_alpha_keeps_the_depth_that_the_file_says() -> None:
    """max(int(alpha * C), min_depth), as in the MobileNets' authors' code (slim's mobilenet_v1.py: depth)."""
    graph = build_graph(chain("{conv: 32, kernel: 3}", "{conv: 4, kernel: 3}", "{dense: 10}"), alpha=Fraction(1, 1000))
    assert [feature_map.shape[2] for feature_map in graph.maps] == [4, 8, 4, 10]


def test_all_shape_errors_are_listed_and_their_followers_are_not() -> None:
    with pytest.raises(ShapeError) as caught:
        graph_of(
            "{conv: 4, kernel: 20, padding: valid, name: big}",
            "{conv: 4, kernel: 3, name: after}",
            "{conv: 6, kernel: 3, groups: 4, input: input, name: odd}",
            "{conv: 4, kernel: 1, stride: 2, input: input, name: small}",
            "{add: [small, input], name: sum}",
            "{concat: [small, input], name: join}",
        )
    assert [problem.layer for problem in caught.value.problems if isinstance(problem, ShapeError)] == ["big", "odd", "sum", "join"]
    assert all(problem.location and problem.remedy for problem in caught.value.problems)


def test_activations_and_flatten_share_their_inputs_bytes() -> None:
    graph = graph_of("{conv: 4, kernel: 1, name: a}", "{relu: , name: b}", "{flatten: , name: c}", "{softmax: , name: d}")
    found = slots_of(graph)
    assert found["a"] == found["b"] == found["c"] == found["d"] != found["input"]


def test_nothing_is_overwritten_that_is_still_needed() -> None:
    graph = graph_of("{conv: 4, kernel: 1, name: a}", "{relu: , name: b}", "{add: [a, b]}")
    assert slots_of(graph)["a"] != slots_of(graph)["b"]
    graph = graph_of("{relu: , name: a}")
    assert slots_of(graph)["a"] != slots_of(graph)["input"]
    graph = graph_of("{conv: 4, kernel: 1, name: a}", "{flatten: , name: out}", "{relu: , input: a, name: b}")
    assert slots_of(graph)["out"] != slots_of(graph)["b"]


def test_concat_places_its_inputs_in_its_output() -> None:
    lines = ("{conv: 4, kernel: 1, name: a}", "{conv: 2, kernel: 1, input: a, name: b}", "{conv: 3, kernel: 1, input: a, name: c}")
    graph = graph_of(*lines, "{concat: [b, c], name: d}", "{concat: [a, d], name: e}")
    found = slots_of(graph)
    assert [found[name][1] for name in "abcde"] == [0, 4, 6, 4, 0]
    assert len({found[name][0] for name in "abcde"}) == 1
    assert all(operator.copied == () for operator in graph.operators)
    storage = graph.storages[found["e"][0]]
    assert (storage.first, storage.last, storage.size_bytes) == (0, 4, 64 * 9)


def test_what_two_concats_want_is_copied_into_one() -> None:
    base = ("{conv: 4, kernel: 1, name: a}", "{conv: 4, kernel: 1, input: a, name: b}")
    graph = graph_of(*base, "{concat: [a, b], name: c}", "{concat: [b, a], name: d}", "{add: [c, d]}")
    assert [dict(operator.vector_ops) for operator in graph.operators[2:4]] == [{}, {"copy": 512}]


def test_a_slice_is_flattened_by_copying() -> None:
    base = ("{conv: 4, kernel: 1, name: a}", "{conv: 4, kernel: 1, input: a, name: b}", "{concat: [a, b], name: c}")
    graph = graph_of(*base, "{flatten: , input: a, name: d}", "{dense: 2}")
    assert graph.operators[3].copied == (1,)
    graph = graph_of("{conv: 4, kernel: 1, name: a}", "{flatten: , name: f}", "{concat: [a, input], name: c}")
    assert [operator.copied for operator in graph.operators[1:]] == [(), (1, 0)]


def test_labels() -> None:
    network = network_of(
        "name: n\ninput: [8, 8, 4]\n"
        "layers: [{conv: 4, kernel: 1}, {conv: 4, kernel: 1, groups: 2}, {conv: 4, kernel: [1, 3]}, {depthwise: 3}]"
    )
    assert [operator.label for operator in build_graph(network).operators] == ["pointwise", "conv", "conv", "depthwise"]
