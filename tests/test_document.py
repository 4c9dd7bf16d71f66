"""YAML 1.2 with places: what scalars mean, where things stand, and what is refused."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mnsim.errors import SpecError
from mnsim.spec.document import Document, make_text, read_document


def read(text: str) -> Document:
    return read_document(make_text("x.yaml", text))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("off", "off"), ("y", "y"), ("1e9", 1e9), ("1.5E-3", 1.5e-3), (".5", 0.5), ("5.", 5.0),
        ("0o17", 15), ("017", 17), ("0x1F", 31), ("-3", -3), ("+3", 3), ("1_000", "1_000"), ("1:30", "1:30"), ("0b1", "0b1"), ("~", None),
        ("null", None), ("Null", None), ("true", True), ("FALSE", False), ("tRue", "tRue"), ("2001-01-01", "2001-01-01"), ("=", "="),
        ('"1"', "1"), ("'no'", "no"), ("!!str 1", "1"), ("! 1", "1"), ("1 GB/s", "1 GB/s"), ("<<", "<<"),
    ],
)  # fmt: skip
def test_core_schema(word: str, value: object) -> None:
    """YAML 1.2.2, section 10.3.2 (the words differ from YAML 1.1's)."""
    found = read(f"key: {word}").data["key"]
    assert found == value
    assert type(found) is type(value)


def test_infinities_and_nan() -> None:
    assert read("[.inf, -.INF, +.Inf]").data == [math.inf, -math.inf, math.inf]
    assert math.isnan(read("x: .NaN").data["x"])


def test_places() -> None:
    document = read("a: 1\nb:\n  - x\n  - {c: ü, d: 2}\n")
    places = {path: (place.line, place.column, place.length) for path, place in document.values.items()}
    assert places[("a",)] == (1, 4, 1)
    assert places[("b", 0)] == (3, 5, 1)
    assert places[("b", 1, "d")] == (4, 15, 1)
    assert (document.keys[("b", 1, "d")].line, document.keys[("b", 1, "d")].column) == (4, 12)
    assert document.locate(("b", 7, "nothing")) == document.values[("b",)]


def test_aliases_are_written_out() -> None:
    assert read("a: &x {k: 1}\nb: [*x, *x]").data == {"a": {"k": 1}, "b": [{"k": 1}, {"k": 1}]}


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("", "S004", 1, 1),
        ("# nothing\n", "S004", 1, 1),
        ("a: 1\na: 2\n", "S005", 2, 1),
        ("a: {b: 1, c: 2, b: 3}", "S005", 1, 17),
        ("a: [1, 2", "S003", 1, 4),
        ("a: 'x\n\n", "S003", 1, 4),
        ("a: 1\n\tb: 2", "S003", 2, 1),
        ("a: 1\n---\nb: 2", "S003", 2, 1),
        ("a: *nowhere", "S003", 1, 4),
        ("a: !!python/object:os.system x", "S003", 1, 4),
        ("a: \x00", "S003", 1, 4),
        ("a: &x [*x]", "S006", 1, 8),
        ("[" * 100, "S006", 1, 33),
        ("1: 2", "S103", 1, 1),
        ("? [a]\n: 2", "S103", 1, 3),
        ("a: " + "9" * 5000, "S104", 1, 4),
    ],
)
def test_refusals(text: str, code: str, line: int, column: int) -> None:
    with pytest.raises(SpecError) as caught:
        read(text)
    assert (caught.value.code, caught.value.line, caught.value.column) == (code, line, column)
    assert caught.value.remedy


def test_an_alias_bomb_is_stopped() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    with pytest.raises(SpecError) as caught:
        read(bomb)
    assert caught.value.code == "S006"


def test_all_duplicates_are_listed() -> None:
    with pytest.raises(SpecError) as caught:
        read("a: 1\na: 2\nb: 1\nb: 2\n")
    assert [problem.location.line for problem in caught.value.problems if problem.location] == [2, 4]


def _of_both_versions(word: str) -> bool:
    """Not 0E0, 1.5e3 or 0o7: words to YAML 1.1, so PyYAML leaves the quotes out, but numbers to YAML 1.2."""
    return word[:1] not in tuple("+-.0123456789") or not set(word) & set("eEo")


_words = st.text(max_size=8).filter(_of_both_versions)
_plain = st.one_of(st.none(), st.booleans(), st.integers(-(10**9), 10**9), _words)


@given(st.recursive(_plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3), max_leaves=8))
def test_reads_what_pyyaml_writes(data: object) -> None:
    """PyYAML's own emitter is the oracle: strings are quoted wherever YAML 1.1 or 1.2 could read them otherwise."""
    text = yaml.safe_dump({"data": data}, allow_unicode=False, default_style='"' if isinstance(data, str) else None)
    found = read(text).data["data"] if not isinstance(data, str) else read(yaml.safe_dump([data], default_style='"')).data[0]
    assert found == data


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read(text)
    except SpecError as error:
        assert error.line >= 1
        assert error.column >= 1
