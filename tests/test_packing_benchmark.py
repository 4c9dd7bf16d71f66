"""benchmarks/placement.py on instances that are written here."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.test_contributing import ROOT
from tests.test_packing import GAPPED, HARD, HARD_BYTES, Instance, cut

SCRIPT = ROOT / "benchmarks" / "placement.py"


def write(path: Path, blocks: Instance) -> None:
    rows = [f"{index},{block.first},{block.last + 1},{block.size_bytes}" for index, block in enumerate(blocks)]
    path.write_text("\n".join(["id,lower,upper,size", *rows, ""]), encoding="utf-8")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)


def words_of(line: str) -> list[str]:
    return line.replace(",", "").split()


def test_a_line_for_each_instance_and_a_total(tmp_path: Path) -> None:
    write(tmp_path / f"hard.{HARD_BYTES}.csv", HARD)
    write(tmp_path / "gapped.7.csv", GAPPED)
    write(tmp_path / "roomy.csv", cut(Random(1), 20, 9, 500))
    (tmp_path / "notes.txt").write_text("no instance", encoding="utf-8")
    done = run(tmp_path, "--capacity", 600)
    assert (done.returncode, done.stderr) == (0, "")
    heading, gapped, hard, roomy, total = map(words_of, done.stdout.splitlines())
    assert heading == ["instance", "blocks", "CPU", "s", "nodes", "peak", "B"]
    assert gapped[:3] == ["gapped.7", str(len(GAPPED)), "none"]  # and it takes 8 bytes, by what the heuristics find
    assert int(gapped[5]) >= 8
    assert hard[:3] == [f"hard.{HARD_BYTES}", str(len(HARD)), "solved"]
    assert hard[5] == str(HARD_BYTES)
    assert int(hard[4]) > 0
    assert roomy[2] == "solved"
    assert roomy[4] == "0"  # by a heuristic
    assert 500 <= int(roomy[5]) <= 600
    assert total[:5] == ["2", "of", "3", "solved", str(len(HARD) + len(GAPPED) + int(roomy[1]))]
    assert int(total[6]) == int(gapped[4]) + int(hard[4])


def test_no_time_is_no_placement(tmp_path: Path) -> None:
    write(tmp_path / f"hard.{HARD_BYTES}.csv", HARD)
    done = run(tmp_path, "--seconds", 0)
    assert done.returncode == 0
    assert words_of(done.stdout.splitlines()[1])[2] == "-"
    assert "0 of 1 solved" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,lower,size\n0,1,2\n", "a.csv:1: no column upper"),
        ("", "a.csv:1: no column lower, upper, size"),
        ("id,lower,upper,size\n0,1,2,3\n1,2,x,3\n", "a.csv:3: lower, upper and size are whole numbers"),
        ("id,lower,upper,size\n0,1\n", "a.csv:2: lower, upper and size are whole numbers"),
        ("id,lower,upper,size\n0,2,2,3\n", "a.csv:2: lower is from 0 up and below upper"),
    ],
)
def test_a_file_that_is_no_instance(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_instances(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    assert "no file *.csv in this folder" in done.stderr


def test_a_wrong_placement_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from placement import is_valid  # type: ignore[import-not-found]

    blocks = HARD[:3]  # 1, 4 and 2 bytes; the first two meet
    assert is_valid(blocks, [0, 1, 0])
    assert not is_valid(blocks, [0, 0, 0])
    assert not is_valid(blocks, [3, 0, 0])
    assert not is_valid(blocks, [0, -4, 0])
