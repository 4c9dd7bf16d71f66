"""The store and the processes: kills at any moment, torn lines, two writers, workers that die."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.errors import WorkError
from mnsim.explore.evaluate import Batch, Structure, evaluate
from mnsim.explore.points import points_of
from mnsim.explore.store import append, open_store, stored
from mnsim.explore.sweep import Means, columns_for, run_sweep
from mnsim.explore.version import model_version
from mnsim.explore.workers import TRIES, run_here
from mnsim.spec.load import load_hardware, load_network
from mnsim.spec.sweep import Asked, read_sweep
from tests.helpers import HANG_S, run, wait_until

BUS = ["--set", "bus.bandwidth=log(1 GB/s, 4 GB/s, 20)"]
SWEEP = ["mobilenet_cifar", "--alpha", "linear(0.25, 1, 8)", "--rho", "linear(0.5, 1, 6)", *BUS]
SMALL = ["mobilenet_cifar", "--alpha", "0.25,0.5", "--set", "bus.bandwidth=log(1 GB/s, 4 GB/s, 3)", "--sram", "64KiB,30B"]
KILLS = 10
# A shell that starts the tests in the background has them ignore Ctrl-C, and with them all that they start.
RUN = "from signal import *; signal(SIGINT, default_int_handler); from mnsim.__main__ import run; run()"


def start(*arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", RUN, "sweep", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(*arguments: str) -> None:
    process = start(*arguments)
    process.communicate()
    assert process.returncode == 0


def lines_of(folder: Path) -> list[bytes]:
    return (folder / "rows.jsonl").read_bytes().splitlines(keepends=True)


@pytest.mark.slow
def test_killed_ten_times_and_resumed(tmp_path: Path) -> None:
    """SIGKILL at ten random moments: what was appended stays, and the union is that of an undisturbed run, byte for byte."""
    whole = tmp_path / "whole"
    begun = time.monotonic()
    finish(*SWEEP, "--store", str(whole), "-o", str(tmp_path / "whole.csv"))
    took_s = time.monotonic() - begun
    moments = random.Random(7)
    broken, grown = tmp_path / "broken", [0]
    rows = broken / "rows.jsonl"
    for _ in range(KILLS):
        process = start(*SWEEP, "--store", str(broken))
        time.sleep(moments.uniform(0.2, took_s))
        while not grown[-1] and process.poll() is None and not (rows.exists() and rows.stat().st_size):
            time.sleep(0.01)  # on a busy machine: the first kill comes when there is something to lose
        process.kill()
        process.communicate()
        if broken.is_dir() and (broken / "rows.jsonl").exists():
            kept = [line for line in lines_of(broken) if line.endswith(b"\n")]
            assert len(kept) >= grown[-1]
            grown.append(len(kept))
    finish(*SWEEP, "--store", str(broken), "-o", str(tmp_path / "resumed.csv"))
    assert sorted(lines_of(broken)) == sorted(lines_of(whole))
    assert len(lines_of(broken)) == len(set(lines_of(broken))) == 8 * 6 * 20
    assert (tmp_path / "resumed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert grown[-1] > 0


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_killed_sweep_leaves_no_processes(tmp_path: Path) -> None:
    process = start(*SWEEP, "--rho", "linear(0.5, 1, 200)", "--jobs", "2")
    children: list[int] = []

    def started() -> bool:
        children[:] = [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        return len(children) >= 3  # two workers, and the one that tracks shared resources

    wait_until(started, "two workers have not started")
    process.kill()
    process.communicate()
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), f"some of {children} outlived their parent")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    assert run("sweep", *SMALL, "--store", str(folder), "-q").code == 1
    return folder


def test_a_second_run_computes_nothing(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.explore.workers as module

    before = lines_of(filled)

    def never(batch: Batch) -> Any:
        raise AssertionError("it ran")

    fresh = run("sweep", *SMALL, "--format", "csv")
    monkeypatch.setattr(module, "evaluate", never)
    again = run("sweep", *SMALL, "--store", str(filled), "--format", "csv")
    assert (again.code, again.out) == (fresh.code, fresh.out)
    assert lines_of(filled) == before
    part = run("sweep", "mobilenet_cifar", "--alpha", "0.5", "--set", "bus.bandwidth=2 GB/s", "--sram", "65536 B", "--store", str(filled))
    assert part.code == 0


def test_another_sweep_computes_what_is_missing(filled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "rows.jsonl").write_bytes((filled / "rows.jsonl").read_bytes())
    wider = ["mobilenet_cifar", "--alpha", "0.5,0.75", "--set", "bus.bandwidth=1 GB/s, 3 GB/s", "--sram", "64KiB"]
    ran = run("sweep", *wider, "--store", str(folder), "--format", "csv")
    assert ran.out == run("sweep", *wider, "--format", "csv").out
    assert len(lines_of(folder)) == len(lines_of(filled)) + 3
    assert lines_of(folder)[: len(lines_of(filled))] == lines_of(filled)


def test_rows_are_json_that_anybody_reads(filled: Path) -> None:
    rows = [json.loads(line) for line in lines_of(filled)]
    assert len({row["key"] for row in rows}) == 12
    assert {row["network"] for row in rows} == {"mobilenet_cifar"}
    assert sum(row["error"] is None for row in rows) == 6


def test_equal_points_share_a_line(tmp_path: Path) -> None:
    arguments = ["mobilenet_cifar", "--zip", "--alpha", "0.5,0.25,0.5,1/2", "--store", str(tmp_path / "s"), "--format", "csv"]
    first, second = run("sweep", *arguments), run("sweep", *arguments)
    assert first.out == second.out
    assert len(first.out.splitlines()) == 5
    assert len(lines_of(tmp_path / "s")) == 2


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(1, 3000))
def test_a_torn_last_line_is_cut_off_wherever_it_is_torn(cut: int, filled: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("torn")
    content = (filled / "rows.jsonl").read_bytes()
    (folder / "rows.jsonl").write_bytes(content[:-cut])
    whole = content[: content[:-cut].rfind(b"\n") + 1]
    with open_store(str(folder)) as store:
        torn = len(content) - cut - len(whole)
        assert store.news == ([f"{folder}: cut off a torn last line of {torn} bytes"] if torn else [])
        assert len(store.places) == whole.count(b"\n")
    assert (folder / "rows.jsonl").read_bytes() == whole


def test_a_torn_line_is_told_and_mended(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes((filled / "rows.jsonl").read_bytes()[:-100])
    ran = run("sweep", *SMALL, "--store", str(tmp_path))
    assert "cut off a torn last line" in ran.err
    assert sorted(lines_of(tmp_path)) == sorted(lines_of(filled))


def test_two_writers_are_refused(filled: Path) -> None:
    with open_store(str(filled)):
        ran = run("sweep", *SMALL, "--store", str(filled))
    assert (ran.code, ran.out) == (2, "")
    assert "--store:1:9: error[W101]: another sweep is writing to" in ran.err


def test_zeros_that_a_power_loss_left_are_cut_off(filled: Path, tmp_path: Path) -> None:
    content = (filled / "rows.jsonl").read_bytes()
    (tmp_path / "rows.jsonl").write_bytes(content + b"\0" * 200)
    assert run("sweep", *SMALL, "--store", str(tmp_path)).code == 1
    assert (tmp_path / "rows.jsonl").read_bytes() == content


def test_a_file_system_that_cannot_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def cannot(file: Any, how: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", cannot)
    ran = run("sweep", *SMALL, "--store", str(tmp_path))
    assert ran.code == 2
    assert "error[W103]" in ran.err
    assert "Function not implemented" in ran.err


def test_a_dry_run_says_how_much_is_there(filled: Path, tmp_path: Path) -> None:
    assert (
        "12 points (every combination), 4 plans, 12 of the points are in the store"
        in run("sweep", *SMALL, "--store", str(filled), "--dry-run").out
    )
    assert "0 of the points are in the store" in run("sweep", *SMALL, "--store", str(tmp_path / "none"), "--dry-run").out
    assert not (tmp_path / "none").exists()


def test_a_dry_run_leaves_the_store_alone(filled: Path, tmp_path: Path) -> None:
    """Also while a sweep writes to it, and with a last line that is not whole yet."""
    content = (filled / "rows.jsonl").read_bytes()[:-100]
    (tmp_path / "rows.jsonl").write_bytes(content)
    ran = run("sweep", *SMALL, "--store", str(tmp_path), "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert "11 of the points are in the store" in ran.out
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
    assert (tmp_path / "rows.jsonl").read_bytes() == content
    with open_store(str(filled)):
        assert "12 of the points" in run("sweep", *SMALL, "--store", str(filled), "--dry-run").out


@pytest.mark.parametrize("content", [b"my own data\nsecond line without newline", b"x" * 100_000, b'{"key": 3}'])
def test_a_file_of_somebody_else_is_left_alone(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    ran = run("sweep", *SMALL, "--store", str(tmp_path))
    assert (ran.code, ran.out) == (2, "")
    assert "error[W102]" in ran.err
    assert (tmp_path / "rows.jsonl").read_bytes() == content


def test_fail_fast_ends_at_a_failure_that_the_store_has(filled: Path) -> None:
    ran = run("sweep", *SMALL, "--store", str(filled), "--fail-fast")
    assert (ran.code, ran.out) == (1, "")
    assert "error[C001]" in ran.err
    assert "(at alpha 0.25, internal_memory.capacity 30, bus.bandwidth 1e+09)" in ran.err


def test_a_place_that_cannot_be_a_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("sweep", *SMALL, "--store", str(tmp_path / "file"))
    assert (ran.code, ran.out) == (2, "")
    assert "error[W103]" in ran.err
    assert "Traceback" not in ran.err


def test_what_is_there_is_not_appended_again(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        append(store, ["0" * 32, "1" * 32, "0" * 32], ['"a": 1', '"a": 2', '"a": 1'])
        append(store, ["1" * 32], ['"a": 3'])
        assert [row["a"] for row in stored(store, ["1" * 32, "0" * 32])] == [2, 1]
    assert len(lines_of(tmp_path)) == 2


def test_results_of_another_model_are_not_used(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.explore.keys as module

    (tmp_path / "rows.jsonl").write_bytes((filled / "rows.jsonl").read_bytes())
    monkeypatch.setattr(module, "model_version", lambda: "another")
    assert run("sweep", *SMALL, "--store", str(tmp_path)).code == 1
    assert len(lines_of(tmp_path)) == 24


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_says_how_it_goes_on(interrupt: signal.Signals, tmp_path: Path) -> None:
    process = start(*SWEEP, "--rho", "linear(0.5, 1, 200)", "--store", str(tmp_path), "--jobs", "2")
    rows = tmp_path / "rows.jsonl"
    wait_until(lambda: rows.exists() and rows.stat().st_size > 0, "no row has come")
    time.sleep(0.5)
    process.send_signal(interrupt)
    _, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 130
    assert err.decode().split("\n") == [f"what has finished is in {tmp_path}; the same command goes on from there", "", "interrupted", ""]
    assert lines_of(tmp_path)[-1].endswith(b"}\n")


class Deadly:
    """What kills the process that reads it."""

    def __reduce__(self) -> Any:
        return os._exit, (9,)


def batches(deadly: set[int], count: int = 8) -> Iterator[Batch]:
    network, hardware = load_network("mobilenet_cifar"), load_hardware("seed")
    for number in range(count):
        structure: Any = Structure(network, number % 3 + 1, 1, "int8", "serial", hardware, "analytical")  # type: ignore[arg-type]
        yield Batch(number, Deadly() if number in deadly else structure, {}, 1, model_version())


def test_a_worker_that_dies_costs_only_its_own_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.explore.workers as module

    monkeypatch.setattr(module, "PATIENCE_S", -1.0)
    outcomes = {outcome.number: outcome for outcome in run_here(batches({3, 6}), 2)}
    assert sorted(outcomes) == list(range(8))
    assert [number for number, outcome in outcomes.items() if outcome.error is not None] in ([3, 6], [6, 3])
    assert f"died {TRIES} times" in str(outcomes[3].error)
    expected = {batch.number: evaluate(batch) for batch in batches(set())}
    for number in set(range(8)) - {3, 6}:
        assert [counts for _, counts in outcomes[number].plans] == [counts for _, counts in expected[number].plans]
        assert outcomes[number].times["serial_time_s"].tolist() == expected[number].times["serial_time_s"].tolist()


def test_other_processes_of_the_host_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.explore.workers as module

    monkeypatch.setattr(module, "PATIENCE_S", -1.0)
    outcomes = run_here(batches(set(), 20), 2)
    next(outcomes), next(outcomes)
    other = get_context("spawn").Process(target=time.sleep, args=(60,))
    other.start()
    outcomes.close()
    assert other.is_alive()
    other.kill()
    other.join()


def test_a_failure_that_may_pass_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.explore.evaluate as module

    def broken(graph: Any, hardware: Any, policy: Any) -> Any:
        raise MemoryError

    module._contest.cache_clear()
    module._first.cache_clear()
    with monkeypatch.context() as context:
        context.setattr(module, "find_plan", broken)
        assert run("sweep", "mobilenet_cifar", "--store", str(tmp_path)).code == 1
    assert lines_of(tmp_path) == []
    assert run("sweep", "mobilenet_cifar", "--store", str(tmp_path)).code == 0
    assert len(lines_of(tmp_path)) == 1


def test_fail_fast_keeps_what_had_finished(tmp_path: Path) -> None:
    points = points_of(read_sweep(Asked(("mobilenet_v1",), sram="1MiB,600B,512KiB")))
    with pytest.raises(Exception, match="conv1"):
        run_sweep(points, columns_for(points, "analytical"), Means("analytical", store=str(tmp_path), fail_fast=True))
    assert [json.loads(line)["error"] is None for line in lines_of(tmp_path)] == [True, False]


def test_a_batch_for_another_model_is_refused() -> None:
    batch = replace(next(batches(set())), version="0.0.0+0")
    with pytest.raises(WorkError, match="has mnsim"):
        evaluate(batch)
