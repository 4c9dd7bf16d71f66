"""Files on a command line: what a command reads it does not write to, whatever the option and however the file is called."""

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mnsim.cli.main import COMMANDS, cli, main
from mnsim.cli.places import FileCommand, OutputName
from tests.helpers import ROOT, run

MNSIM = str(Path(sys.executable).with_name("mnsim"))
NETWORK = "name: n\ninput: [8, 8, 3]\nlayers: [{conv: 4, kernel: 3}, relu]\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network, two links to it, hardware, a sweep file, weights, images and a store's place."""
    monkeypatch.chdir(tmp_path)
    Path("n.yaml").write_text(NETWORK)
    Path("soft.yaml").symlink_to("n.yaml")
    os.link("n.yaml", "hard.yaml")
    Path("h.yaml").write_bytes((ROOT / "hw" / "seed.yaml").read_bytes())
    Path("sweep.yaml").write_text("networks: [n.yaml]\nhardware: h.yaml\n")
    assert run("weights", "n.yaml", "-o", "w.npz").code == 0
    Path("images").mkdir()
    Path("images/a.bin").write_bytes(bytes(3073))
    Path("scheduler.json").write_text("{}")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


OVER_AN_INPUT = [
    *(f"{command} n.yaml --format csv -o {name}" for command in ("analyze", "program", "simulate", "why", "infer", "sweep")
      for name in ("n.yaml", "./n.yaml", "soft.yaml", "hard.yaml")),
    *(f"{command} n.yaml --hw h.yaml --format json -o h.yaml" for command in ("analyze", "program", "simulate", "why", "verify", "sweep")),
    "analyze soft.yaml --format csv -o n.yaml",
    "analyze n.yaml --format csv -on.yaml",
    "analyze n.yaml --format csv --output=hard.yaml",
    "verify n.yaml --format json -o soft.yaml",
    "verify n.yaml --weights w.npz --format json -o w.npz",
    "verify n.yaml --data images --format json -o images/a.bin",
    "infer n.yaml --weights w.npz --format csv -o w.npz",
    "infer n.yaml --data images/a.bin --format csv -o images/a.bin",
    "simulate n.yaml --trace n.yaml",
    "simulate n.yaml --hw h.yaml --trace h.yaml",
    "simulate n.yaml --trace soft.yaml -o x.csv",
    "reproduce pardhi --hw h.yaml --format csv -o h.yaml",
    "reproduce pardhi --network n.yaml --format csv -o n.yaml",
    "sweep --spec sweep.yaml --format csv -o sweep.yaml",
    "sweep --spec sweep.yaml --format csv -o n.yaml",
    "sweep --spec sweep.yaml --format csv -o h.yaml",
    "sweep n.yaml --hw seed,h.yaml --format csv -o h.yaml",
    "sweep n.yaml --hw 'seed, \"h.yaml\"' --format csv -o h.yaml",
    "sweep n.yaml --scheduler file:scheduler.json --format json -o scheduler.json",
]  # fmt: skip
TWO_INTO_ONE = [
    "simulate n.yaml --trace x.json -o x.json",
    "simulate n.yaml --trace x.json -o ./x.json",
    "sweep n.yaml --store s --format csv -o s/rows.jsonl",
    "sweep n.yaml --store s.csv -o s.csv",
]


@pytest.mark.parametrize("line", OVER_AN_INPUT + TWO_INTO_ONE)
def test_nothing_is_written_over_an_input_or_twice(here: Path, line: str) -> None:
    before = contents(here)
    ran = run(*shlex.split(line))
    assert ran.code == 2, ran.out
    assert ran.out == ""
    assert "would be lost" in ran.err or "would overwrite the other" in ran.err
    assert "^" in ran.err
    assert contents(here) == before
    assert not Path("s").exists()


def test_standard_input_is_an_input_too(here: Path) -> None:
    before = contents(here)
    with Path("n.yaml").open("rb") as file:
        done = subprocess.run([MNSIM, "analyze", "-", "--format", "csv", "-o", "n.yaml"], stdin=file, capture_output=True, text=True)
    assert done.returncode == 2
    assert "would be lost" in done.stderr
    assert contents(here) == before


def test_a_bundled_file_is_an_input_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for arguments in (["analyze", "squeezenet"], ["analyze", "mobilenet_cifar", "--hw", "seed"]):
        name = "hw/seed.yaml" if "--hw" in arguments else "arch/squeezenet.yaml"
        before = Path(name).read_bytes()
        assert run(*arguments, "--format", "csv", "-o", name).code == 2
        assert Path(name).read_bytes() == before


def test_a_row_store_that_is_also_read_is_left_alone(here: Path) -> None:
    Path("s").mkdir()
    Path("s/rows.jsonl").write_text(NETWORK)
    before = contents(here)
    assert run("sweep", "s/rows.jsonl", "--store", "s").code == 2
    assert contents(here) == before
    for store in ("n.yaml", "n.yaml/s"):
        assert run("sweep", "n.yaml", "--store", store, "--jobs", "1").code == 2
    assert contents(here) == before


def test_other_files_devices_and_standard_output_may_be_written(here: Path) -> None:
    assert run("analyze", "n.yaml", "-o", "x.csv").code == 0
    assert run("analyze", "n.yaml", "-o", "x.csv").code == 0  # over an old result
    assert run("simulate", "n.yaml", "--trace", "/dev/null", "--format", "csv", "-o", "/dev/null").code == 0
    assert run("analyze", "n.yaml", "--format", "csv", "-o", "-").out.startswith("index,")
    assert run("infer", "n.yaml", "--weights", "w.npz", "-o", "x.csv").code == 0
    assert run("sweep", "n.yaml", "--store", "s", "--jobs", "1", "-o", "rows.csv").code == 0


def test_no_command_writes_without_that_care() -> None:
    for name in COMMANDS:
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert isinstance(command, FileCommand)
        for param in command.params:
            if set(param.opts) & {"--output", "--trace"}:
                assert isinstance(param.type, OutputName)


def test_a_place_that_cannot_be_written_is_said_before_the_other_file_is(here: Path) -> None:
    ran = run("simulate", "n.yaml", "--trace", "t.json", "-o", "none/x.csv")
    assert ran.code == 2
    assert ran.err.startswith("--output:1:1: error[U003]")
    assert not Path("t.json").exists()
    assert run("simulate", "n.yaml", "--trace", "none/t.json").err.startswith("--trace:1:1: error[U003]")


NO_UTF8 = "\udcff"  # as Python has the byte 0xff of an argument


@pytest.mark.parametrize(
    ("arguments", "place", "column"),
    [
        (["--sram", NO_UTF8], "--sram", 1),
        (["--sram", f"1 MiB{NO_UTF8}"], "--sram", 6),
        (["--set", f"bus.bandwidth={NO_UTF8}"], "--set", 15),
        (["--set", f"bus.bandwidth='1 GB/s{NO_UTF8}'"], "--set", 22),
    ],
)
@pytest.mark.parametrize("command", ["analyze", "simulate", "sweep"])
def test_settings_that_are_not_utf8_are_pointed_at(command: str, arguments: list[str], place: str, column: int) -> None:
    ran = run(command, "mobilenet_cifar", *arguments)
    assert ran.code == 2
    assert f"{place}:1:{column}: error[S002]: not text: byte 0xff is not UTF-8\n" in ran.err
    source, caret = ran.err.splitlines()[1:3]
    assert caret.index("^") - caret.index("|") == source.index("?") - source.index("|")


def parameters() -> list[tuple[str, str]]:
    """Every option and argument of every command that takes a value."""
    found = []
    for name in COMMANDS:
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        found += [(name, max(param.opts, key=len)) for param in command.params if not getattr(param, "is_flag", False)]
    return found


@pytest.mark.parametrize(("command", "parameter"), parameters())
def test_bytes_that_are_not_utf8_end_in_an_answer_also_in_ascii(
    command: str, parameter: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, io.TextIOWrapper(io.BytesIO(), "ascii"))
    needed = {"explain": [], "list": [], "schema": ["network"], "completion": ["bash"], "reproduce": ["pardhi"]}.get(command, ["n.yaml"])
    needed = [*needed, "-o", "weights.npz"] if command == "weights" else needed
    for value in (NO_UTF8, f"x{NO_UTF8}.csv", f"bus.bandwidth={NO_UTF8}", f"log({NO_UTF8}, 1, 2)", f"commands < {NO_UTF8}"):
        arguments = [*needed, parameter, value] if parameter.startswith("--") else [*needed[:-1], value]
        assert main([command, *arguments]) in (0, 1, 2)
        sys.stderr.flush()


def test_files_whose_names_are_not_utf8_are_read_and_written(here: Path) -> None:
    for name in ("n.yaml", "h.yaml", "w.npz"):
        Path(f"{NO_UTF8}{name}").write_bytes(Path(name).read_bytes())
    odd = f"{NO_UTF8}n.yaml"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for arguments, written in (
        (["simulate", odd, "--hw", f"{NO_UTF8}h.yaml", "--trace", f"t{NO_UTF8}.json", "-o", f"x{NO_UTF8}.csv"], ("t", "x")),
        (["infer", odd, "--weights", f"{NO_UTF8}w.npz", "-o", f"i{NO_UTF8}.json"], ("i",)),
        (["sweep", f"{odd}", "--hw", f"{NO_UTF8}h.yaml", "--store", f"s{NO_UTF8}", "--jobs", "1"], ("s",)),
        (["check", odd, f"{NO_UTF8}h.yaml"], ()),
    ):
        done = subprocess.run([MNSIM, *arguments], env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
        for start in written:
            assert [name for name in os.listdir(here) if name.startswith(f"{start}{NO_UTF8}")]  # noqa: PTH208
    before = contents(here)
    assert run("analyze", odd, "--format", "csv", "-o", odd).code == 2
    assert contents(here) == before
