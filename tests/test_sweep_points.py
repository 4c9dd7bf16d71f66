"""Levels, points and samples of a sweep: what always holds, and what a file says beside a command line."""

import json
import shutil
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.errors import SpecError
from mnsim.explore.keys import point_keys
from mnsim.explore.points import Points, count_groups, groups, places_of, points_of, rates_at
from mnsim.explore.sweep import _hardware, _structure
from mnsim.explore.version import model_version
from mnsim.spec.axes import Axis
from mnsim.spec.sweep import Asked, Sweep, read_sweep
from mnsim.spec.written import LevelRange, levels_between, read_levels, split, typed
from tests.helpers import ROOT, run

NETWORK = ("mobilenet_cifar",)


def asked(**options: Any) -> Sweep:
    return read_sweep(Asked(NETWORK, **options))


def levels(sweep: Sweep) -> dict[str, tuple[Any, ...]]:
    return {axis.name: axis.levels for axis in sweep.axes}


def test_lists_and_ranges_together() -> None:
    found = levels(
        asked(alpha="1/3, linear(0.25, 1, 4)", settings=("bus.bandwidth=log(1 GB/s, 8 GB/s, 4), 100 MB/s",), sram="1MiB,256 KiB")
    )
    assert found["alpha"] == (Fraction(1, 3), Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), 1)
    assert found["bus.bandwidth"] == (1e9, 2e9, 4e9, 8e9, 1e8)
    assert found["internal_memory.capacity"] == (2**20, 2**18)


def test_lists_of_lists_and_of_mappings() -> None:
    found = levels(
        asked(settings=("matrix_unit.fused=[relu], [relu, relu6],[]", "matrix_unit.efficiency={conv: 0.5}, {conv: 0.25, dense: 1}"))
    )
    assert found["matrix_unit.fused"] == (("relu",), ("relu", "relu6"), ())
    assert found["matrix_unit.efficiency"] == ({"conv": 0.5}, {"conv": 0.25, "dense": 1.0})


def test_sizes_are_whole_bytes_and_ranges_may_fall() -> None:
    found = levels(asked(sram="linear(10 B, 20 B, 4)", settings=("bus.bandwidth=linear(3 GB/s, 1 GB/s, 3)",)))
    assert found["internal_memory.capacity"] == (10, 13, 17, 20)
    assert found["bus.bandwidth"] == (3e9, 2e9, 1e9)


@given(st.fractions(Fraction(1, 1000), 1000), st.fractions(Fraction(1, 1000), 1000), st.integers(2, 60), st.sampled_from(["linear", "log"]))
def test_ranges_have_both_ends_and_equal_steps(first: Fraction, last: Fraction, count: int, scale: Any) -> None:
    text = typed("--alpha", "x")
    span = LevelRange(scale, text, text, count, text, text)
    if abs(float(last) - float(first)) < 1e-6:
        return
    found = [float(level) for level in levels_between(span, first, last, float)]
    assert len(found) == count
    assert (found[0], found[-1]) == (float(first), float(last))
    steps = np.diff(found) if scale == "linear" else np.diff(np.log(found))
    assert np.allclose(steps, steps.mean(), rtol=1e-6, atol=1e-9)
    exact = levels_between(span, first, last, Fraction)
    assert (exact[0], exact[-1]) == (first, last)
    if scale == "linear":
        assert exact == [first + (last - first) * Fraction(step, count - 1) for step in range(count)]


@given(st.lists(st.text("ab[](){},\"' :", max_size=4), min_size=1, max_size=4))
def test_every_part_of_a_list_knows_its_place(words: list[str]) -> None:
    text = ",".join(words)
    try:
        parts = split(typed("--x", text))
    except SpecError as error:
        assert 1 <= error.column <= len(text) + 1
        return
    for part in parts:
        start = part.place.column - 1
        assert text[start : start + len(part.text)] == part.text != ""


def test_a_range_knows_the_places_of_its_parts() -> None:
    (span,) = read_levels(typed("--alpha", " log( 0.25 ,1, 16 ) "))
    assert isinstance(span, LevelRange)
    assert (span.first.text, span.first.place.column, span.last.place.column, span.counted.place.column) == ("0.25", 7, 13, 16)


AXES = st.lists(st.integers(1, 4), min_size=1, max_size=5).flatmap(
    lambda lengths: st.tuples(st.just(lengths), st.integers(0, len(lengths)))
)


def points_with(lengths: list[int], rates: int) -> Points:
    """Axes of so many levels, the last ones rates."""
    names = ["external_memory.latency", "bus.bandwidth", "vector_unit.throughput", "matrix_unit.throughput", "matrix_unit.efficiency.conv"]
    place = typed("--set", "x").place
    axes = [
        Axis(names[number] if number >= len(lengths) - rates else f"plan{number}", tuple(range(length)), place, ())
        for number, length in enumerate(lengths)
    ]
    return points_of(Sweep(tuple(axes), "grid"))


@given(AXES)
def test_a_grid_has_every_combination_in_order(case: tuple[list[int], int]) -> None:
    lengths, rates = case
    points = points_with(lengths, rates)
    numbers = np.arange(points.count)
    found = list(zip(*(places_of(points, axis, numbers).tolist() for axis in range(len(lengths))), strict=True))
    assert found == list(product(*map(range, lengths)))


def check_groups(points: Points) -> None:
    """Every point is in one group, with the levels that the group says, and its rates are those of its levels."""
    seen: list[int] = []
    keys = set()
    for group in groups(points):
        keys.add(group.levels)
        seen += group.numbers.tolist()
        assert (np.diff(group.numbers) > 0).all()
        for axis, level in enumerate(group.levels):
            assert (places_of(points, axis, group.numbers) == level).all()
        for (_, values), axis in zip(rates_at(points, group.numbers).items(), range(points.plan_axes, len(points.axes)), strict=True):
            assert values.tolist() == [points.axes[axis].levels[place] for place in places_of(points, axis, group.numbers)]
    assert sorted(seen) == list(range(points.count))
    assert len(keys) == count_groups(points)


@given(AXES)
def test_groups_part_the_points_of_a_grid(case: tuple[list[int], int]) -> None:
    check_groups(points_with(*case))


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(0, 5))
def test_a_latin_hypercube_covers_every_axis_evenly(count: int, seed: int) -> None:
    options = {
        "alpha": "0.25,0.5,1",
        "sram": "log(64 KiB, 1 MiB)",
        "settings": ("bus.bandwidth=linear(1 GB/s, 3 GB/s)", "external_memory.latency=0 ns,1 us"),
    }
    points = points_of(asked(sample=count, seed=seed, **options))
    assert points.count == count
    check_groups(points)
    numbers = np.arange(count)
    for number, axis in enumerate(points.axes):
        places = places_of(points, number, numbers)
        if axis.name in ("alpha", "external_memory.latency"):
            drawn = np.bincount(places, minlength=len(axis.levels))
            assert drawn.min() >= count // len(axis.levels)
            assert drawn.max() <= -(-count // len(axis.levels))
    bandwidths = rates_at(points, numbers)["bus_bandwidth_bytes_per_s"]
    slices = np.floor((bandwidths - 1e9) / 2e9 * count + 1e-9 * count).astype(int)
    assert sorted(np.minimum(slices, count - 1).tolist()) == list(range(count))
    again = points_of(asked(sample=count, seed=seed, **options))
    assert [axis.levels for axis in again.axes] == [axis.levels for axis in points.axes]
    sizes = next(axis for axis in points.axes if axis.name == "internal_memory.capacity")
    assert sizes.data == tuple(f"{level} B" for level in sizes.levels)
    assert all(2**16 <= level <= 2**20 for level in sizes.levels)


def test_samples_differ_by_seed() -> None:
    arguments = ["mobilenet_cifar", "--sample", "5", "--alpha", "linear(0.25, 1)", "--dry-run", "--format", "csv"]
    assert run("sweep", *arguments).out == run("sweep", *arguments, "--seed", "0").out != run("sweep", *arguments, "--seed", "1").out


def test_zip_takes_levels_side_by_side() -> None:
    ran = run(
        "sweep", "mobilenet_cifar", "--zip", "--alpha", "1,0.5,1", "--rho", "1", "--sram", "linear(64KiB, 192KiB, 3)", "--format", "json"
    )
    rows = json.loads(ran.out)["rows"]
    assert [(row["alpha"], row["rho"], row["sram_capacity_bytes"]) for row in rows] == [(1, 1, 2**16), (0.5, 1, 2**17), (1, 1, 3 * 2**16)]
    check_groups(points_of(asked(zip=True, alpha="1,0.5,1", settings=("bus.bandwidth=1 GB/s,2 GB/s,1 GB/s",))))


SPEC = """\
# yaml-language-server: $schema=sweep.schema.json
networks: [mobilenet_cifar]
alpha: linear(0.25, 1, 4)
rho: [4/7, 1]
dtype: int8
policy: [serial, 'overlap']
set:
  internal_memory.capacity: [256 KiB, "log(512 KiB, 1 MiB, 2)"]
  bus.bandwidth: log(0.5 GB/s, 8 GB/s, 16)
  matrix_unit.fused: [[], [relu, relu6]]
"""


def test_a_file_says_what_a_command_line_says(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SPEC)
    typed_ = ["mobilenet_cifar", "--alpha", "linear(0.25, 1, 4)", "--rho", "4/7,1", "--policy", "serial,overlap",
              "--set", "internal_memory.capacity=256KiB,512KiB,1MiB", "--set", "bus.bandwidth=log(0.5 GB/s, 8 GB/s, 16)",
              "--set", "matrix_unit.fused=[],[relu, relu6]"]  # fmt: skip
    filed = run("sweep", "--spec", str(tmp_path / "sweep.yaml"), "--dry-run", "--format", "csv")
    assert filed.code == 0, filed.err
    assert filed.out == run("sweep", *typed_, "--dry-run", "--format", "csv").out
    assert len(filed.out.splitlines()) == 1 + 4 * 2 * 2 * 3 * 16 * 2


def test_check_knows_sweep_files(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SPEC)
    ran = run("check", str(tmp_path / "sweep.yaml"))
    assert (ran.code, ran.out) == (0, f"{tmp_path / 'sweep.yaml'}: fine (sweep, 1536 points)\n")
    (tmp_path / "sweep.yaml").write_text(SPEC.replace("8 GB/s", "8 GB").replace("4/7", "x"))
    ran = run("check", str(tmp_path / "sweep.yaml"))
    assert ran.code == 2
    assert ran.out.count("error[S10") == 2


def test_the_command_line_counts_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SPEC + "sample: 7\nseed: 3\n")
    spec = str(tmp_path / "sweep.yaml")
    read = read_sweep(Asked(("squeezenet",), alpha="1", sram="64KiB", settings=("matrix_unit={throughput: 2 TFLOPS}",)), spec)
    found = levels(read)
    assert [network.name for network in found["network"]] == ["squeezenet"]
    assert (found["alpha"], found["internal_memory.capacity"], len(found["bus.bandwidth"])) == ((1,), (2**16,), 16)
    assert "matrix_unit.fused" not in found  # the whole section was typed
    assert (read.mode, read.samples, read.seed) == ("sample", 7, 3)
    assert read_sweep(Asked(sample=9), spec).samples == 9
    assert (
        read_sweep(Asked(zip=True, alpha="1", rho="1", policy="serial", sram="1MiB", settings=("matrix_unit.fused=[]",)), spec).mode
        == "zip"
    )


def test_what_a_file_says_of_the_mode_can_be_taken_back(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("networks: mobilenet_cifar\nzip: true\nalpha: [0.5, 1]\nrho: [0.5, 1]\n")
    arguments = ["--spec", str(tmp_path / "sweep.yaml"), "--dry-run", "--format", "csv"]
    assert len(run("sweep", *arguments).out.splitlines()) == 3
    assert len(run("sweep", *arguments, "--no-zip").out.splitlines()) == 5


def test_a_network_may_be_missing_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("alpha: 0.5\n")
    assert len(read_sweep(Asked(NETWORK), str(tmp_path / "sweep.yaml")).axes[0].levels) == 1
    ran = run("sweep", "--spec", str(tmp_path / "sweep.yaml"))
    assert (ran.code, ran.out) == (2, "")
    assert "error[S101]: missing key 'networks'" in ran.err


SECTIONS = {"external_memory": "pJ/B", "internal_memory": "pJ/B", "matrix_unit": "pJ/FLOP", "vector_unit": "pJ/OP"}


def keys_of(network: str = NETWORK[0], fidelity: Any = "simulated", **options: Any) -> list[str]:
    points = points_of(read_sweep(Asked((network,), **options)))
    found = []
    for group in groups(points):
        structure = _structure(points, group, _hardware(points, group), fidelity)
        found += point_keys(structure, rates_at(points, group.numbers), len(group.numbers))
    return found


def test_a_key_is_of_the_point_not_of_the_sweep() -> None:
    (alone,) = keys_of(alpha="0.5", settings=("bus.bandwidth=2 GB/s",))
    among = keys_of(alpha="0.25,0.5", settings=("bus.bandwidth=1 GB/s, 2 GB/s",))
    assert len(set(among)) == 4
    assert among[3] == alone
    assert keys_of(alpha="1/2", settings=("bus.bandwidth=2000 MB/s", "title=other")) == [alone]
    assert keys_of(settings=("matrix_unit.efficiency.conv=0.5,1",))[1] == keys_of()[0]


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": "0.75"}, {"rho": "6/7"}, {"dtype": "float16"}, {"policy": "serial"}, {"sram": "256KiB"},
        *({"settings": (each,)} for each in (
            "bus.bandwidth=2 GB/s", "external_memory.latency=1 ns", "external_memory.capacity=1 GiB", "matrix_unit.throughput=2 TFLOPS",
            "matrix_unit.fused=[relu]", "matrix_unit.efficiency.conv=0.5", "vector_unit.efficiency.relu=0.5",
            "matrix_unit.launch_overhead=1 ns", "vector_unit.launch_overhead=1 ns", "vector_unit.throughput=2 GFLOPS",
        )),
    ],
    ids=str,
)  # fmt: skip
def test_whatever_a_result_depends_on_is_in_the_key(options: dict[str, Any]) -> None:
    assert keys_of(**options) != keys_of()


def test_fidelity_energy_and_every_layer_are_in_the_key(tmp_path: Path) -> None:
    assert keys_of(fidelity="analytical") != keys_of()
    energies = [f"{section}.energy=1 {unit}" for section, unit in SECTIONS.items()]
    one, other = keys_of(settings=tuple(energies)), keys_of(settings=(*energies[:-1], "vector_unit.energy=2 pJ/OP"))
    assert len({*one, *other, *keys_of()}) == 3
    text = (ROOT / "arch" / "mobilenet_cifar.yaml").read_text()
    for number, (old, new) in enumerate(
        (
            ("min_depth", ""),
            ("separable: 64}", "separable: 65}"),
            ("[28, 28, 3]", "[28, 29, 3]"),
            ("activation: relu}", "activation: relu6}"),
        )
    ):
        changed = text.replace(old, new) if number else text + "min_depth: 4\n"
        (tmp_path / "n.yaml").write_text(changed)
        assert keys_of(network=str(tmp_path / "n.yaml")) != keys_of(), new
    (tmp_path / "n.yaml").write_text("# moved\n" + text)
    assert keys_of(network=str(tmp_path / "n.yaml")) == keys_of()


def test_the_model_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.explore.keys as module

    before = keys_of()
    monkeypatch.setattr(module, "model_version", lambda: "another")
    assert keys_of() != before


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, whose version is asked for."""
    import mnsim.explore.version as module

    shutil.copytree(ROOT / "mnsim", tmp_path / "mnsim", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "files", lambda name: tmp_path / name)
    return tmp_path / "mnsim"


def version_now() -> str:
    return model_version.__wrapped__()


def test_the_version_knows_all_code_but_what_shows_results(package: Path) -> None:
    before = version_now()
    assert before == model_version()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        path.write_bytes(content + b"#\n")
        shows = path.relative_to(package).parts[0] in ("cli", "document", "render", "report")
        assert (version_now() == before) == shows, path
        path.write_bytes(content)
    assert version_now() == before


@pytest.mark.parametrize("name", ["clocks/tick.py", "plan/search/beam.py", "fusion.py", "explore/cli/here.py"])
def test_the_version_finds_new_code(name: str, package: Path) -> None:
    before = version_now()
    (package / name).parent.mkdir(parents=True, exist_ok=True)
    (package / name).write_text("")
    assert version_now() != before
    (package / name).unlink()
    assert version_now() == before
    (package / name).with_suffix(".txt").write_text("no code")
    assert version_now() == before


def test_the_version_knows_where_code_is(package: Path) -> None:
    before = version_now()
    (package / "units.py").rename(package / "amounts.py")
    assert version_now() != before
