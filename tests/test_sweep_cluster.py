"""A sweep on a real Dask cluster over loopback TCP: workers that die, that join, that have another version; the README's cluster."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnsim.explore.version import model_version
from tests.helpers import HANG_S, ROOT, run, wait_until

SCHEDULER = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
WORKER = [sys.executable, "-m", "distributed.cli.dask_worker"]
SWEEP = ["mobilenet_cifar", "--alpha", "linear(0.25, 1, 8)", "--rho", "linear(0.5, 1, 5)", "--sram", "64KiB,40B",
         "--set", "bus.bandwidth=log(0.5 GB/s, 8 GB/s, 25)"]  # fmt: skip
pytestmark = pytest.mark.slow  # every cluster takes seconds to start


def background(command: list[str], log: Path, **environment: str) -> "subprocess.Popen[bytes]":
    with log.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, cwd=log.parent, env={**os.environ, **environment})


def wait_for(path: Path, pattern: str) -> str:
    """The first match in a growing file."""

    def found() -> "re.Match[str] | None":
        return re.search(pattern, path.read_text()) if path.exists() else None

    wait_until(lambda: found() is not None, f"{pattern} is not in {path}")
    match = found()
    assert match is not None
    return match[0]


def wait_for_rows(path: Path, count: int) -> None:
    """Until a store's file has so many."""
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count, f"{path} has too few rows")


class Cluster:
    """A scheduler and its workers, each a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "s.json"
        self.processes = [
            background(
                [*SCHEDULER, "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-jupyter", "--scheduler-file", str(self.file)],
                folder / "scheduler.log",
            )
        ]
        self.address = json.loads(wait_for(self.file, r"(?s)\{.*\n\}"))["address"]

    def worker(self, **environment: str) -> "subprocess.Popen[bytes]":
        log = self.folder / f"worker{len(self.processes)}.log"
        command = [*WORKER, self.address, "--nthreads", "1", "--no-dashboard", "--no-nanny", "--local-directory", str(self.folder)]
        self.processes.append(background(command, log, **environment))
        wait_for(log, "Registered to")
        return self.processes[-1]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def test_a_worker_killed_in_mid_run(cluster: Cluster, tmp_path: Path) -> None:
    """Every row arrives exactly once, equal to the local run."""
    first, _ = cluster.worker(), cluster.worker()
    store = tmp_path / "store"
    command = [sys.executable, "-m", "mnsim", "sweep", *SWEEP, "--scheduler", cluster.address, "--store", str(store), "-o", "far.csv"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    wait_for_rows(store / "rows.jsonl", 200)
    first.send_signal(signal.SIGKILL)
    assert process.poll() is None, "it ended before the worker was killed"
    _, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 1  # 40 bytes are too little
    assert "wrote far.csv\n1,000 of 2,000 points failed, the first with C001" in err.decode()
    local = run("sweep", *SWEEP, "--format", "csv")
    assert (tmp_path / "far.csv").read_text() == local.out
    rows = [json.loads(line) for line in (store / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == len({row["key"] for row in rows}) == 2000


def test_a_scheduler_that_dies_in_mid_run(cluster: Cluster, tmp_path: Path) -> None:
    """What has finished is in the store, and the next cluster goes on from there."""
    cluster.worker()
    command = [sys.executable, "-m", "mnsim", "sweep", *SWEEP, "--scheduler", cluster.address, "--store", "store", "-o", "far.csv"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    lines = tmp_path / "store" / "rows.jsonl"
    wait_for_rows(lines, 100)
    cluster.processes[0].kill()
    _, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 2
    assert f"--scheduler:1:13: error[W001]: the scheduler at '{cluster.address}' is gone" in err.decode()
    assert "Traceback" not in err.decode()
    assert err.decode().count("\n") == 4
    assert not (tmp_path / "far.csv").exists()
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert 100 <= len(rows) == len({row["key"] for row in rows}) < 2000
    assert run("sweep", *SWEEP, "--store", str(tmp_path / "store"), "--format", "csv").out == run("sweep", *SWEEP, "--format", "csv").out


def test_by_scheduler_file_and_worker_that_comes_later(cluster: Cluster, tmp_path: Path) -> None:
    arguments = ["mobilenet_cifar", "--alpha", "0.25,0.5", "--format", "csv"]
    command = [sys.executable, "-m", "mnsim", "sweep", *arguments, "--scheduler", "file:s.json"]
    with (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=err)
    wait_for(tmp_path / "err", "no workers are there yet; waiting for the first\n")
    cluster.worker()
    out, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 0
    assert out.decode() == run("sweep", *arguments).out


def test_a_worker_of_another_version_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(ROOT / "mnsim", other / "mnsim", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "arch", other / "arch")
    with (other / "mnsim" / "plan" / "tiles.py").open("a") as file:
        file.write("# another model\n")
    cluster.worker(PYTHONPATH=str(other))
    ran = run("sweep", "mobilenet_cifar", "--scheduler", cluster.address)
    assert (ran.code, ran.out) == (2, "")
    assert "--scheduler:1:13: error[W002]: worker tcp://127.0.0.1:" in ran.err
    assert f"and here is {model_version()}" in ran.err


def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.explore.cluster as module

    monkeypatch.setattr(module, "CONNECT_S", 0.5)
    (tmp_path / "bad.json").write_text("{}")
    for scheduler, phrase in (
        ("tcp://127.0.0.1:9", "no Dask scheduler can be reached at 'tcp://127.0.0.1:9'"),
        (f"file:{tmp_path}/none.json", "No such file"),
        (f"file:{tmp_path}/bad.json", "is no scheduler file"),
        ("nonsense://x", "no Dask scheduler can be reached"),
    ):
        ran = run("sweep", "mobilenet_cifar", "--scheduler", scheduler)
        assert (ran.code, ran.out) == (2, "")
        assert "--scheduler:1:13: error[W001]: " in ran.err
        assert phrase in ran.err


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    ran = run("sweep", "mobilenet_cifar", "--scheduler", "tcp://127.0.0.1:9")
    assert (ran.code, ran.out) == (2, "")
    assert "error[S404]: Dask is not installed" in ran.err
    assert "pip install 'mnsim[dask]'" in ran.err


FAKE = """#!/bin/sh
# what a batch system does, as far as we need it: find the command behind its own options, and run it several times
while [ $# -gt 0 ]; do case "$1" in dask) break;; *) shift;; esac; done
for number in 1 2; do "$@" > "worker$number.log" 2>&1 & done
"""


@pytest.mark.parametrize("system", ["srun", "bsub"])
def test_the_readme_starts_workers(system: str, tmp_path: Path) -> None:
    """The README's lines for SLURM and LSF, with a stand-in for the batch system that starts two of the workers."""
    (block,) = re.findall(r"^```bash\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    lines = [line.partition("  #")[0].strip() for line in block.splitlines() if line.strip()]
    scheduler = next(line for line in lines if line.startswith("dask scheduler"))
    workers = next(line for line in lines if line.startswith(system))
    sweep = next(line for line in lines if line.startswith("mnsim sweep"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / system).write_text(FAKE)
    (tmp_path / "bin" / system).chmod(stat.S_IRWXU)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = f"{scheduler.replace('dask scheduler', 'dask scheduler --port 0 --no-dashboard')}\n{workers}\n{sweep}\n"
    process = subprocess.Popen(["bash", "-c", script], cwd=tmp_path, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=HANG_S)
        assert process.returncode == 0
        written = re.search(r"-o (\S+)", sweep)
        assert written
        assert (tmp_path / written[1]).stat().st_size > 5_000
    finally:
        os.killpg(process.pid, signal.SIGKILL)
