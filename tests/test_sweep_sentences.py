"""What `mnsim sweep` says in words, parsed, and held against all rows of the same sweep."""

import re
from collections import Counter
from itertools import pairwise
from math import isclose
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import run
from tests.sentences import AMOUNT, ENGINE, ENGINES, TIMES, is_amount, largest, matched, swept

LEVELS = {
    "--alpha": ("1", "0.25,1", "0.3,0.5"),
    "--sram": ("1MiB", "30B,64KiB,1MiB", "40KiB,1MiB"),
    "bus.bandwidth": ("1 GB/s", "log(0.5 GB/s, 64 GB/s, 7)", "100 MB/s,1 GB/s"),
    "vector_unit.throughput": ("10 GFLOPS", "1 GFLOPS,100 GFLOPS"),
    "matrix_unit.throughput": ("1 TFLOPS", "10 GFLOPS,1 TFLOPS"),
}
CONDITIONS = (
    "serial_time_s < 1 ms", "alpha = 1", "bus.bandwidth >= 1 GB/s", "busiest = bus", "bound_by != bus", "error = none",
    "error != none", "pareto = true",
)  # fmt: skip
KINDS = (("mobilenet_v1", "analytical"), ("mobilenet_cifar", "analytical"), ("mobilenet_cifar", "simulated"))
FRONTS = ("serial_time_s,published_accuracy", "serial_time_s,traffic_bytes", "published_accuracy,sram_capacity_bytes")


@st.composite
def sweeps(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """The arguments of a sweep, and those that only leave out rows."""
    levels = {name: draw(st.sampled_from(texts)) for name, texts in LEVELS.items()}
    points = [part for name, text in levels.items() for part in ([name, text] if name.startswith("--") else ["--set", f"{name}={text}"])]
    pareto = draw(st.sampled_from([None, *FRONTS]))
    conditions = draw(st.lists(st.sampled_from(CONDITIONS[: None if pareto else -1]), max_size=2, unique=True))
    chosen = [*(["--pareto", pareto] if pareto else []), *(part for each in conditions for part in ("--where", each))]
    network, fidelity = draw(st.sampled_from(KINDS))
    top = draw(st.sampled_from([[], ["--top", "2"]]))
    return [network, *points, *chosen, "--fidelity", fidelity], top


@settings(max_examples=40, deadline=None, derandomize=True)
@given(sweeps())
def test_what_a_sweep_says(case: tuple[list[str], list[str]]) -> None:
    """The sentences hold for all rows that the conditions keep, however few of them `--top` leaves."""
    arguments, top = case
    text = swept([*arguments, *top], "markdown")
    found = swept(arguments, "json")
    rows = [row for row in found["rows"] if row["error"] is None]
    said = [line.removeprefix("- ") for line in text.splitlines() if line.startswith("- ")]
    if not rows:
        assert not said
        return
    count, points = len(rows), found["sweep"]["points"]
    those = rf"the {count:,} points?{'' if count == len(found['rows']) else ' with a result'} that --where keeps"
    if "--where" not in arguments:
        those = f"all {points:,} points" if count == points else rf"the {count:,} points? with a result"
    is_simulated = "simulated_time_s" in rows[0]
    time = "simulated_time_s" if is_simulated else "serial_time_s"
    if said[0].startswith("Fastest"):
        check_extremes(said.pop(0), rf"{those}{'' if is_simulated else ', one thing at a time'}", [row[time] for row in rows])
    else:
        assert len({row[time] for row in rows}) == 1
    check_engines(said.pop(0), "" if points == 1 else f"in {those} ", rows)
    if "--pareto" in arguments:
        check_front(said, found["sweep"]["pareto"], arguments, time)
    else:
        assert not said


def check_extremes(sentence: str, those: str, times: list[float]) -> None:
    match = matched(rf"Fastest of {those}: (.+?): {AMOUNT}; slowest: (.+?): {AMOUNT}, ([\d.e+]+)x that\.", sentence)
    for words, amount, time in ((match[1], match[2], min(times)), (match[3], match[4], max(times))):
        assert is_amount(amount, time)
        more = re.search(r" and ([\d,]+) more$", words)
        assert times.count(time) == (1 + int(more[1].replace(",", "")) if more else 1)
    assert isclose(float(match[5]), max(times) / min(times), rel_tol=6e-4)


def check_engines(sentence: str, those: str, rows: list[dict[str, Any]]) -> None:
    """`the bus is busiest 668 times, the matrix unit 332`, of the times that the rows have."""
    counts = {name: Counter(row[name] for row in rows) for name in ("busiest", "bound_by")}
    assert counts["busiest"] == Counter(largest({engine: row[key] for engine, key in TIMES.items()}) for row in rows)
    sentence = matched(rf"(?i:{those})(.*)\.", sentence)[1]
    both = re.fullmatch(rf"(?i:{ENGINE}) is busiest and sets the lower bound", sentence)
    if both:
        engine = ENGINES[both[1].lower()]
        assert counts["busiest"] == counts["bound_by"] == {engine: len(rows)}
        return
    for part, does in zip(sentence.split("; "), ("is busiest", "sets the lower bound"), strict=True):
        first, *others = part.split(", ")
        engine, times = matched(rf"(?i:{ENGINE}) {does}(?: ([\d,]+) times?)?", first).groups()
        tally = {ENGINES[engine.lower()]: int(times.replace(",", "")) if times else len(rows)}
        tally |= {ENGINES[each.rpartition(" ")[0]]: int(each.rpartition(" ")[2].replace(",", "")) for each in others}
        assert tally == counts["busiest" if does == "is busiest" else "bound_by"]
        assert list(tally.values()) == sorted(tally.values(), reverse=True)


def check_front(said: list[str], head: dict[str, Any], arguments: list[str], time: str) -> None:
    """How many are on the front, of how many that were compared; what was not compared, and whether the fastest is there."""
    kept = [part for part in pairwise(arguments) if part != ("--where", "pareto = true")]
    others = [arguments[0]] + [each for option, value in kept if option.startswith("--") for each in (option, value)]
    everything = swept(others, "json")["rows"]
    columns = [each.partition(":")[2] for each in head["objectives"]]
    there = [row for row in everything if row["error"] is None]
    lacking = [row for row in there if any(row[column] is None for column in columns)]
    compared = [row for row in there if row not in lacking]
    assert head["missing"] == {name: n for name in columns if (n := sum(row[name] is None for row in there))}
    assert (head["compared"], head["not_compared"], head["failed"]) == (len(compared), len(lacking), len(everything) - len(there))
    marked = sum(row["pareto"] for row in everything)
    assert all(row in compared for row in everything if row["pareto"])
    front = said.pop(0)
    if marked:
        assert front.startswith(f"{marked} point{' is' if marked == 1 else 's are'} on the front for ")
        assert f"no other of the {len(compared)} compared is" in front if len(compared) > 1 else "no other is compared" in front
    else:
        assert front.startswith("No point is on the front for ") and not compared  # noqa: PT018
    assert len(said) == bool(lacking)
    for sentence in said:
        match = matched(r"(\d+) points? ha(?:s|ve) (no .*) and (?:is|are) not compared(, the fastest of all(?: among them)?)?\.", sentence)
        assert int(match[1]) == len(lacking)
        assert match[2] == " or ".join(f"no {name}" for name in head["missing"])
        assert bool(match[3]) == (bool(compared) and min(row[time] for row in lacking) < min(row[time] for row in compared))


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_programs_hear_what_the_front_leaves_out(form: str, tmp_path: Any) -> None:
    pytest.importorskip("pyarrow")
    arguments = [
        "sweep",
        "mobilenet_v1",
        "--alpha",
        "0.2,0.25,0.5",
        "--pareto",
        "serial_time_s,published_accuracy",
        "--fidelity",
        "analytical",
    ]
    output = ["-o", str(tmp_path / f"rows.{form}")]
    assert "1 point has no published_accuracy and is not compared, the fastest of all.\n" in run(*arguments, *output).err
    assert run(*arguments, *output, "-q").err == ""
    table = run(*arguments)
    assert "1 point has no published_accuracy and is not compared, the fastest of all." in table.out.replace("\n", " ")
    assert table.err == ""
    assert "not compared" not in run(*arguments, "-q").out


def test_what_failed_is_not_on_the_front() -> None:
    """Too little SRAM is not a cheap machine: it is none."""
    arguments = ["mobilenet_v1", "--sram", "100B,1MiB", "--pareto", "sram_capacity_bytes,published_accuracy", "--fidelity", "analytical"]
    found = swept(arguments, "json")
    assert [row["pareto"] for row in found["rows"]] == [False, True]
    assert found["sweep"]["pareto"] == {
        "objectives": ["min:sram_capacity_bytes", "max:published_accuracy"], "compared": 1, "not_compared": 0, "missing": {}, "failed": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("sram", "write set: {internal_memory.capacity: [256 KiB, 1 MiB]}"),
        ("bus.bandwidth", "keys of the hardware file stand under `set`, like set: {bus.bandwidth: [1 GB/s, 2 GB/s]}"),
        ("max_points", "say --max-points on the command line"),
        ("alpah", "did you mean 'alpha'?"),
    ],
)
def test_a_key_of_a_sweep_file_that_has_its_place_elsewhere(key: str, remedy: str, tmp_path: Any) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(f"networks: mobilenet_cifar\n{key}: [1 MiB]\n")
    assert f"help: {remedy}\n" in run("sweep", "--spec", str(path)).err


@pytest.mark.parametrize("remedy", ["set: {internal_memory.capacity: [256 KiB, 1 MiB]}", "set: {bus.bandwidth: [1 GB/s, 2 GB/s]}"])
def test_what_a_hint_writes_is_a_sweep(remedy: str, tmp_path: Any) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(f"networks: mobilenet_cifar\n{remedy}\n")
    assert len(swept(["--spec", str(path), "--fidelity", "analytical"], "json")["rows"]) == 2
