"""Numbers that carry their formula, and derivations that say what the closed form computed."""

from dataclasses import fields
from functools import lru_cache
from inspect import getsource, signature
from math import ceil, floor, isclose
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnsim import analyze
from mnsim.analysis import cost
from mnsim.analysis.derive import GEOMETRY, RESULTS, TILING, derive
from mnsim.analysis.traced import Traced, Tracer, fields_named, named, noted, plain
from mnsim.plan import tiling
from mnsim.plan.model import Geometry, Tiling, cuts_of
from tests.helpers import seed_with

NAMES = "abcdef"
NUMBERS = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 9), min_size=len(NAMES))
WHOLE = st.recursive(  # with whole numbers alone
    st.sampled_from(NAMES) | st.integers(0, 3),
    lambda inner: st.tuples(inner, st.sampled_from(("+", "-", "*", "//", "ceil")), inner),
    max_leaves=12,
)
TREES = WHOLE | st.tuples(WHOLE, st.sampled_from("+-*/"), st.tuples(WHOLE, st.just("/"), WHOLE))


def work(tree: Any, numbers: dict[str, Any]) -> Any:
    """What a tree of operations gives, by Python's own arithmetic on whatever the numbers are."""
    if not isinstance(tree, tuple):
        return numbers.get(tree, tree)
    left, sign, right = work(tree[0], numbers), tree[1], work(tree[2], numbers)
    if sign == "ceil":
        return ceil(left / right)
    return eval(f"left {sign} right", {"left": left, "right": right})


@given(TREES, NUMBERS)
def test_both_texts_give_the_number(tree: Any, numbers: dict[str, int]) -> None:
    """Brackets stand where they must, whatever is left out: Python reads both texts as the same number."""
    try:
        right = work(tree, dict(numbers))
    except ZeroDivisionError:
        return
    found = work(tree, {name: named(number, name) for name, number in numbers.items()})
    assert plain(found) == right
    if isinstance(found, Traced):
        functions = {"__builtins__": {}, "ceil": ceil, "floor": floor}
        formula, put_in = found.texts
        assert isclose(eval(formula, functions, dict(numbers)), right, rel_tol=1e-12, abs_tol=1e-12)
        assert isclose(eval(put_in, functions), right, rel_tol=1e-12, abs_tol=1e-12)


def test_what_a_text_leaves_out() -> None:
    rows, channels = named(6, "rows"), named(4, "channels of a block")
    assert (rows * (channels * 1 + 0)).texts == ("rows * channels of a block", "6 * 4")
    assert plain((rows > 7) * channels) == 0
    assert (rows - (channels - 2) // 3).texts == ("rows - floor((channels of a block - 2) / 3)", "6 - (4 - 2) // 3")
    assert (channels // named(2, "groups")).texts == ("channels of a block / groups", "4 // 2")
    assert (noted(rows + channels, "halo") * 2).texts == ("(rows + channels of a block (halo)) * 2", "(6 + 4) * 2")
    assert sum([rows, channels]).texts[0] == "rows + channels of a block"  # type: ignore[attr-defined]
    assert max(rows, channels) is rows
    assert (named(5e11, "rate").texts[1], named(1.7e9, "rate").texts[1], named(1e-07, "s").texts[1]) == ("5e11", "1700000000.0", "1e-07")
    with pytest.raises(TypeError):
        hash(rows)


def test_words_are_for_what_there_is() -> None:
    for name, words in RESULTS.items():
        function = getattr(tiling, name, None) or getattr(cost, name)
        assert str(signature(function).return_annotation).count("int") == len(words)
    for words, record in ((GEOMETRY, Geometry), (TILING, Tiling)):
        assert set(words) <= {field.name for field in fields(record)}


SMALL = ("internal_memory.capacity=64 KiB", "external_memory.latency=100 ns", "vector_unit.launch_overhead=1 us")


def with_another_term(function: Any, before: str, after: str) -> Any:
    """A function of the closed form in which a part of a line has been written anew."""
    source, there = getsource(function), dict(function.__globals__)
    assert source.count(before) == 1
    exec(source.replace(before, after), there)
    return there[function.__name__]


def test_a_term_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same plan, another closed form gives another derivation: values, formulas and numbers."""
    found = analyze("mobilenet_v1", seed_with(*SMALL), "layerwise")
    cut = cuts_of(found.plan)[3]
    before = {step.figure: step for step in derive(found, 3).steps}
    traffic = with_another_term(tiling.tile_traffic, "input_bytes = geometry.in_streams", "input_bytes = 16 * strips + geometry.in_streams")
    monkeypatch.setattr(cost, "tile_traffic", traffic)
    monkeypatch.setattr(cost, "busy_s", lambda engine, work: 7 / engine.throughput)
    after = {step.figure: step for step in derive(found, 3).steps}
    strips = ceil(cut.geometry.rows_out / cut.tiling.rows)
    assert strips > 1
    old, new = before["input_traffic_bytes"], after["input_traffic_bytes"]
    assert new.value == old.value + 16 * strips
    assert (new.formula, new.numbers) == (f"16 * strips + {old.formula}", f"16 * {strips} + {old.numbers}")
    assert after["traffic_bytes"].value == before["traffic_bytes"].value + 16 * strips
    assert after["transfer_time_s"].formula == "7 / bandwidth + transfers * latency"
    assert after["macs"] == before["macs"]


def test_what_a_function_returns_is_that_of_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    found = analyze("mobilenet_v1", seed_with(*SMALL), "layerwise")
    geometry = cuts_of(found.plan)[3].geometry
    monkeypatch.setattr(tiling, "weight_passes", lambda geometry, tiling: (3, 5))
    (step,) = (step for step in derive(found, 3).steps if step.figure == "weight_traffic_bytes")
    assert step.value == 3 * geometry.filter_bytes + 5 * geometry.bias_bytes


def test_the_closed_form_is_left_as_it_was() -> None:
    """Plain numbers stay plain: no name is bound anew, and what is remembered is no traced number."""
    tiling.strip_rows.cache_clear()
    before = dict(vars(tiling))
    found = analyze("mobilenet_v1", seed_with(*SMALL), "layerwise")
    tiling.strip_rows.cache_clear()
    derive(found, 3)
    assert dict(vars(tiling)) == before
    cut = cuts_of(found.plan)[3]
    assert {type(number) for number in tiling.input_strips(cut.geometry, cut.tiling)} == {int}


@lru_cache
def remembered(cut: Tiling, times: int = 1) -> int:
    return cut.rows * times


def half(number: int, *, by: int = 2) -> int:
    return number // by


def outer(cut: Tiling) -> tuple[int, int]:
    return remembered(cut, times=3) + half(cut.rows), half(cut.in_channels, by=3)


def test_functions_with_caches_and_options() -> None:
    """A cached function sees plain records and numbers; options and their defaults get there."""
    for function in (remembered, half, outer):
        function.__module__ = "mnsim.analysis.of_tests"
    cut = fields_named(Tiling(8, 6, 9, "weights"), {})
    first, second = Tracer({"remembered": ("rows of three",)})(outer, cut)
    assert first.texts == ("rows of three + rows / 2", "24 + 8 // 2")
    assert second.texts == ("in_channels / 3", "9 // 3")
    assert type(remembered(Tiling(8, 6, 9, "weights"), times=3)) is int
    assert Tracer({"outer": ("a", "b")})(outer, cut)[1].texts == ("b", "3")
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        Tracer({"outer": ("a",)})(outer, cut)
