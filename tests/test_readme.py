"""Every command and every example of the README runs, and its picture is what the program prints."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mnsim import analyze
from mnsim.report.analysis import analysis_document
from tests.helpers import ROOT, as_text, run

README = (ROOT / "README.md").read_text(encoding="utf-8")
MNSIM = str(Path(sys.executable).with_name("mnsim"))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


COMMANDS = [line.partition("  #")[0].strip() for block in blocks("sh") for line in block.splitlines() if line.strip()]


MNSIM_COMMANDS = [command for command in COMMANDS if command.startswith("mnsim")]
AS_PROCESSES = [next(each for each in MNSIM_COMMANDS if each.startswith(f"mnsim {word}")) for word in ("analyze", "simulate", "sweep")]


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as the README makes them, made once."""
    path = tmp_path_factory.mktemp("weights") / "weights.npz"
    assert run("weights", "mobilenet_cifar", "-o", str(path), "-q").code == 0
    return path


@pytest.fixture
def folder(tmp_path: Path, weights: Path) -> Path:
    """A folder with the README's own files, weights, and the repository's arch/."""
    sweep, tiny, mine = blocks("yaml")
    (tmp_path / "sweep.yaml").write_text(sweep, encoding="utf-8")
    (tmp_path / "tiny.yaml").write_text(tiny, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(mine, encoding="utf-8")
    (tmp_path / "arch").symlink_to(ROOT / "arch")
    (tmp_path / "weights.npz").symlink_to(weights)
    return tmp_path


@pytest.mark.parametrize("command", MNSIM_COMMANDS)
def test_command_runs(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    done = run(*shlex.split(command)[1:])
    assert done.code == 0, done.err
    written = re.search(r"-o (\S+)", command)
    if written:
        assert done.out == ""
        assert (folder / written[1]).stat().st_size > 1000
    else:
        assert len(done.out) > 30


@pytest.mark.parametrize("command", AS_PROCESSES)
def test_command_runs_in_a_shell(command: str, folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(MNSIM).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = re.search(r"-o (\S+)", command)
    assert (done.stdout == "") == (written is not None)  # the result goes to one place, whole
    if written:
        assert (folder / written[1]).stat().st_size > 1000


def test_the_other_commands_are_make_targets() -> None:
    others = [command for command in COMMANDS if not command.startswith("mnsim")]
    assert others == ["make demo", "make test"]
    for command in others:
        planned = subprocess.run(["make", "-n", command.split()[1]], cwd=ROOT, capture_output=True, text=True)
        assert planned.returncode == 0, planned.stderr
    assert (
        "mnsim analyze arch/mobilenet_cifar.yaml" in subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True).stdout
    )


def test_the_picture_is_what_the_program_prints() -> None:
    (picture,) = blocks("console")
    command, _, shown = picture.partition("\n")
    assert command == "$ mnsim analyze mobilenet_cifar"
    assert shown == as_text(analysis_document(analyze("mobilenet_cifar")), 100)


def test_the_python_example_runs() -> None:
    (example,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "conv1 " in done.stdout
    assert done.stdout.endswith("\n0.5\n")


def test_the_first_line_tells_this_project_from_its_namesakes() -> None:
    first = README.splitlines()[0]
    assert "MNSIM-2.0" in first
    assert "processing-in-memory" in first


def test_inline_commands_exist() -> None:
    from mnsim.cli.main import COMMANDS as KNOWN

    for word in re.findall(r"`(?:eval \"\$\()?mnsim ([a-z]+)", README):
        assert word in KNOWN


def test_all_operators_are_named() -> None:
    from mnsim.spec.network import OPERATORS

    for operator in OPERATORS:
        assert f"`{operator}`" in README
