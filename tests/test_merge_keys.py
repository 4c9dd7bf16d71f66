"""YAML 1.1's merge keys (https://yaml.org/type/merge.html), with PyYAML as an oracle where it follows that page."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mnsim.errors import SpecError
from mnsim.spec.document import Document, make_text, read_document
from mnsim.spec.load import load_hardware
from tests.helpers import network_of, run

BASES = "a: &a {x: 1, y: {z: 2}}\nb: &b {x: 3, w: [4]}\nc: &c {<<: *a, v: 5}\n"
LAYERS = "name: t\ninput: [8, 8, 4]\nlayers:\n"


def read(text: str) -> Document:
    return read_document(make_text("x.yaml", text))


@pytest.mark.parametrize(
    "text",
    [
        "d: {<<: *a}",
        "d: {<<: *a, x: 9}",
        "d: {x: 9, <<: *a}",
        "d: {<<: [*a, *b]}",
        "d: {<<: [*b, *a], y: 0}",
        "d: {<<: *c}",
        "d: {<<: [*b, *c, *b]}",
        "d: {<<: {x: 7, q: 8}}",
        "d: {<<: [{x: 7}, *a]}",
        "d: {<<: []}",
        "d:\n  <<: *a\n  y: 1",
        "d: &d {<<: *c, t: 0}\ne: [{<<: *d}, *d]",
    ],
)
def test_merges_as_pyyaml_does(text: str) -> None:
    assert read(BASES + text).data == yaml.safe_load(BASES + text)


@st.composite
def merging(draw: st.DrawFn) -> tuple[str, dict[str, dict[str, int]]]:
    """Mappings that merge earlier ones in every way, and what they are: own keys win, then the first of the list."""
    made: dict[str, dict[str, int]] = {}
    lines = []
    for number in range(draw(st.integers(1, 6))):
        own = draw(st.dictionaries(st.sampled_from("pqrs"), st.integers(0, 9), max_size=3))
        sources = [*((f"*{name}", data) for name, data in made.items()), ("{p: 100, t: 1}", {"p": 100, "t": 1})]
        named = draw(st.lists(st.sampled_from(sources), max_size=3))
        pairs = [f"{key}: {value}" for key, value in own.items()]
        if named:
            merged = named[0][0] if len(named) == 1 else f"[{', '.join(text for text, _ in named)}]"
            pairs.insert(draw(st.integers(0, len(pairs))), f"<<: {merged}")
        lines.append(f"m{number}: &m{number} {{{', '.join(pairs)}}}")
        made[f"m{number}"] = dict(pair for data in (*(data for _, data in named[::-1]), own) for pair in data.items())
    return "\n".join(lines), made


@given(merging())
def test_any_merges(case: tuple[str, dict[str, dict[str, int]]]) -> None:
    text, made = case
    assert read(text).data == made


def test_a_key_in_quotes_is_a_key() -> None:
    assert read("d: {'<<': 1}\ne: <<").data == {"d": {"<<": 1}, "e": "<<"}


def test_places_are_where_values_were_written() -> None:
    document = read(BASES + "d: {<<: *a, x: 9}\n")
    places = {path: (place.line, place.column) for path, place in document.values.items()}
    assert places["d", "x"] == (4, 16)
    assert places["d", "y", "z"] == places["a", "y", "z"] == (1, 21)
    assert (document.keys["d", "y"].line, document.keys["d", "y"].column) == (1, 14)
    assert places["d",] == (4, 4)


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "message"),
    [
        ("d: {<<: 3}", "S103", 1, 9, "'<<' merges a mapping, or a list of them, got 3"),
        ("d: {<<: }", "S103", 1, 9, "got an empty value"),
        ("a: &a [1]\nd: {<<: *a}", "S103", 1, 8, "got 1"),
        ("d: {<<: [{x: 1}, 5]}", "S103", 1, 18, "got 5"),
        ("d: {<<: [[{x: 1}]]}", "S103", 1, 10, "got a list"),
        ("a: &a {x: 1}\nd: {<<: *a, <<: *a}", "S005", 2, 13, "'<<' stands twice"),
        ("d: &d {<<: *d}", "S006", 1, 12, "contains itself"),
        ("d: {<<: *nobody}", "S003", 1, 9, "no anchor"),
    ],
)
def test_what_cannot_be_merged(text: str, code: str, line: int, column: int, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(text)
    assert (caught.value.code, caught.value.line, caught.value.column) == (code, line, column)
    assert message in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("hidden", [False, True])
def test_merge_bombs_are_stopped(hidden: bool) -> None:
    """Chains of merges are looked at once each, what they give is counted, and depth is too."""
    chain = ", ".join(f"&m{n} {{k{n}: 1, <<: *m{n - 1}}}" for n in range(1, 3000))
    text = f"x: [&m0 {{}}, {chain}]\n" if not hidden else f"x: 1\nx: [&m0 {{}}, {chain}]\n"
    with pytest.raises(SpecError) as caught:
        read(f"{text}y: {{<<: [{', '.join(['*m2999'] * 2000)}]}}\n")
    assert "S006" in [problem.code for problem in caught.value.problems]


def test_layers_merge() -> None:
    network = network_of(
        LAYERS + "  - &c {conv: 4, kernel: 3, name: a}\n  - {<<: *c, stride: 2, name: b}\n  - {<<: [{relu: }, {name: c}]}\n"
    )
    first, second, third = network.layers
    assert (second.kind, second.channels, second.kernel, second.stride, second.name) == ("conv", 4, (3, 3), (2, 2), "b")
    assert first.stride == (1, 1)
    assert (third.kind, third.name) == ("relu", "c")


def test_a_mistake_in_what_is_merged_is_told_once_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text(LAYERS + "  - &c {conv: 4, krenel: 3, kernel: 3}\n  - {<<: *c, stride: 2}\n  - {<<: *c, stride: 0}\n")
    ran = run("check", str(tmp_path / "n.yaml"))
    assert ":4:18: error[S102]: unknown key 'krenel'" in ran.out
    assert ":6:22: error[S104]" in ran.out
    assert ran.out.endswith("2 errors in 1 of 1 file\n")


def test_hardware_and_sweeps_merge(tmp_path: Path) -> None:
    units = "matrix_unit: &u {throughput: 1 GFLOPS, launch_overhead: 5 ns}\nvector_unit: {<<: *u, throughput: 2 GFLOPS}\n"
    (tmp_path / "h.yaml").write_text(f"name: h\nbus: {{bandwidth: 1 GB/s}}\ninternal_memory: {{capacity: 1 MiB}}\n{units}")
    machine = load_hardware(tmp_path / "h.yaml")
    assert (machine.vector.throughput_per_s, machine.vector.launch_overhead_s) == (2e9, 5e-9)
    (tmp_path / "s.yaml").write_text("networks: [mobilenet_cifar]\n<<: {alpha: [0.5, 1], policy: serial}\npolicy: [overlap]\n")
    assert "fine (sweep, 2 points)" in run("check", str(tmp_path / "s.yaml")).out
