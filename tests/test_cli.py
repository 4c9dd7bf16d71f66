"""The command line: every command, what it writes where, and how it answers mistakes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mnsim import __version__
from mnsim.cli.main import COMMANDS, cli
from tests.helpers import NETWORKS, ROOT, run

MNSIM = str(Path(sys.executable).with_name("mnsim"))


def test_help_lists_every_command_with_its_own_words() -> None:
    out = run("--help").out
    for name, help_text in COMMANDS.items():
        assert name in out
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        assert command.name == name
        assert run(name, "--help").out.startswith(f"Usage: mnsim {name}")
        assert help_text.endswith(".")


def test_version() -> None:
    assert run("--version").out == f"mnsim {__version__}\n"


def test_nothing_to_do_is_not_success() -> None:
    ran = run()
    assert ran.code == 2
    assert "Usage: mnsim" in ran.err


@pytest.mark.parametrize(
    ("arguments", "column", "phrases"),
    [
        (["analyse", "x"], 7, ["no such command 'analyse'", "did you mean 'analyze'?"]),
        (["analyze", "mobilenet_v1", "--alhpa", "1"], 28, ["no such option '--alhpa'", "did you mean '--alpha'?"]),
        (["analyze", "mobilenet_v2"], 1, ["cannot read 'mobilenet_v2'", "did you mean 'mobilenet_v1'?"]),
        (["analyze", "mobilenet_v1", "--hw", "sed"], 1, ["cannot read 'sed'", "did you mean 'seed'?"]),
        (["analyze", "mobilenet_v1", "--alpha", "wide"], 36, ["'wide' is not a number", "0.75 or 6/7"]),
        (["analyze", "mobilenet_v1", "--alpha=0"], 36, ["'0' is not above 0", "0.75 or 6/7"]),
        (["analyze", "mobilenet_v1", "--rho", "1/0"], 34, ["'1/0' is not a number"]),
        (["analyze", "mobilenet_cifar", "--rho", "0.0001"], 1, ["0 x 0 out of 28 x 28; it must be above 1/56", "such as 0.018"]),
        (["why", "mobilenet_cifar", "--rho=1/56"], 1, ["0 x 0 out of 28 x 28; it must be above 1/56", "such as 0.018"]),
        (["verify", "mobilenet_v1", "--dtype", "float16"], 35, ["--dtype cannot be 'float16'", "float32"]),
        (["infer", "mobilenet_v1", "--dtype", "float16"], 34, ["--dtype cannot be 'float16'", "float32"]),
        (["infer", "mobilenet_v1", "--policy", "serial"], 26, ["no such option '--policy'"]),
        (["infer", "mobilenet_v1", "--limit", "3"], 1, ["--limit is of images", "--data"]),
        (["verify", "mobilenet_v1", "--format", "csv"], 36, ["--format cannot be 'csv'", "table, json"]),
        (["verify", "mobilenet_v1", "-o", "x.csv"], 30, ["no suffix that names a format", "end it in one of .txt, .json"]),
        (["infer", "mobilenet_v1", "-o", "x.md"], 29, ["no suffix that names a format", ".txt, .csv, .json"]),
        (["weights", "mobilenet_v1"], 1, ["missing -o FILE", "usage: mnsim weights [OPTIONS] NETWORK -o FILE", ".npz"]),
        (["reproduce", "mobilenet-notes", "--sram", "1MiB"], 1, ["no hardware changes", "leave --hw, --set and --sram out"]),
        (["analyze", "mobilenet_v1", "--dtype", "int4"], 36, ["--dtype cannot be 'int4'", "int8"]),
        (["analyze", "mobilenet_v1", "--format", "cvs"], 37, ["--format cannot be 'cvs'", "did you mean 'csv'?"]),
        (["analyze", "mobilenet_v1", "-o", "x.xlsx"], 31, ["no suffix that names a format", ".csv"]),
        (["analyze", "mobilenet_v1", "--layer", "pw14"], 9, ["no layer 'pw14'", "did you mean 'pw"]),
        (["analyze", "mobilenet_v1", "--set", "bus.bandwith=1 GB/s"], 5, ["unknown key 'bandwith'", "did you mean 'bus.bandwidth'?"]),
        (["analyze", "mobilenet_v1", "--set", "bus"], 1, ["'bus' is not KEY=VALUE"]),
        (["analyze", "mobilenet_v1", "--set", "bus.bandwidth=2"], 15, ["2 has no unit", "2 GB/s"]),
        (["analyze", "mobilenet_v1", "--sram", "256"], 1, ["256", "KiB"]),
        (["analyze"], 1, ["missing", "NETWORK"]),
        (["schema", "net"], 14, ["cannot be 'net'", "did you mean 'network'?"]),
        (["explain", "S999"], 15, ["no topic 'S999'"]),
        (["completion", "tcsh"], 18, ["cannot be 'tcsh'"]),
        (["check"], 1, ["missing", "FILE"]),
    ],
)
def test_mistakes_are_pointed_at(arguments: list[str], column: int, phrases: list[str]) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    where = re.match(r"([^:\n]+):(\d+):(\d+): error\[([SU]\d{3})\]: ", ran.err)
    assert where, ran.err
    assert int(where[3]) == column, ran.err
    assert "help: " in ran.err
    for phrase in phrases:
        assert phrase in ran.err
    lines = ran.err.splitlines()
    caret = lines[2].index("^") - lines[1].index("| ") - 2
    assert caret == column - 1


def test_what_help_says_of_a_trace_is_what_is_taken(tmp_path: Path) -> None:
    assert re.search(r"--trace FILE +Write the run as a trace", run("simulate", "--help").out)
    for name in ("t.txt", "t.json", "t"):
        assert run("simulate", "mobilenet_cifar", "--trace", str(tmp_path / name), "-q").code == 0
        assert json.loads((tmp_path / name).read_text())["traceEvents"]


def test_a_choice_that_is_offered_is_taken(tmp_path: Path) -> None:
    """Every data type, policy and format that a command offers, on a network that is quick."""
    import click

    path = tmp_path / "n.yaml"
    path.write_text("name: n\ninput: [4, 4, 3]\nlayers: [{conv: 4, kernel: 3}, relu]\n")
    for name in ("analyze", "program", "simulate", "why", "verify", "infer"):
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        for param in command.params:
            if param.name in ("dtype", "policy", "format") and isinstance(param.type, click.Choice):
                for choice in param.type.choices:
                    assert run(name, str(path), param.opts[0], choice).code == 0, (name, choice)


def test_capacity_is_exit_one() -> None:
    ran = run("analyze", "mobilenet_v1", "--sram", "100 B")
    assert ran.code == 1
    assert ran.out == ""
    assert "layer 'conv1', cut as small as it can be, needs 1," in ran.err
    assert "of internal memory, which has 100" in ran.err
    assert "help: give it at least" in ran.err
    needed = re.search(r"--sram='(\d+ B)'", ran.err)
    assert needed
    assert run("analyze", "mobilenet_v1", "--sram", needed[1]).err != ran.err


def test_list() -> None:
    out = run("list").out
    assert [line.split()[1] for line in out.splitlines()[2:]] == [*NETWORKS, "seed"]
    rows = json.loads(run("list", "--format", "json").out)
    assert rows[3]["macs"] == 568_740_352
    assert run("list", "--format", "csv").out.startswith("kind,name,layers,macs,parameters,title\n")
    assert run("list", "--format", "markdown").out.count("|") == 7 * 10


def test_check_says_fine_or_lists_everything(tmp_path: Path) -> None:
    good, bad = ROOT / "arch" / "mobilenet_v1.yaml", tmp_path / "bad.yaml"
    ran = run("check", str(good), "seed")
    assert ran.code == 0
    assert "mobilenet_v1.yaml: fine (network mobilenet_v1, 30 layers, 568,740,352 MACs)" in ran.out
    assert "seed: fine (hardware seed)" in ran.out
    bad.write_text("name: x\ninput: [8, 8]\nlayers:\n  - {conv: -1, kernel: 3}\n  - {cnov: 3}\nextra: 1\n")
    ran = run("check", str(good), str(bad))
    assert ran.code == 2
    places = re.findall(r"bad\.yaml:(\d+):(\d+): error\[(\w+)\]", ran.out)
    assert places == [("2", "8", "S103"), ("4", "12", "S104"), ("5", "6", "S106"), ("6", "1", "S102")]
    assert ran.out.endswith("4 errors in 1 of 2 files\n")
    assert run("check", "-q", str(good)).out == ""


def test_check_finds_shapes_that_do_not_fit(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\ninput: [8, 8, 3]\nlayers:\n  - {conv: 4, kernel: 1, stride: 2}\n  - {add: [conv1, input]}\n  - {pool: 2}\n")
    bad.write_text(bad.read_text().replace("  - {pool: 2}\n", "  - {max_pool: 9, input: input}\n").replace("conv1", "pw1"))
    ran = run("check", str(bad))
    assert re.findall(r":(\d+):(\d+): error\[S301\]", ran.out) == [("5", "5"), ("6", "5")]


def test_explain_knows_every_code() -> None:
    topics = run("explain").out
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "mnsim").rglob("*.py"))
    codes = set(re.findall(r'"([SUCPW]\d{3})"', sources))
    assert codes >= {"S001", "S301", "C001", "P001", "U001"}
    for code in codes:
        assert re.search(rf"^{code} ", topics, re.MULTILINE), f"{code} is not explained"
        ran = run("explain", code.lower())
        assert ran.code == 0
        assert ran.out.startswith(f"{code}: ")
    assert {line.split()[0] for line in topics.splitlines()} == codes | {
        "counting",
        "hardware",
        "plan",
        "program",
        "simulate",
        "sweep",
        "verify",
        "why",
    }
    assert "k_h * k_w * (C_in / groups) * C_out * H_out * W_out" in run("explain", "counting").out


def test_explain_names_every_operator() -> None:
    from mnsim.spec.network import OPERATORS

    text = " ".join(run("explain", "S106").out.split())
    for operator in OPERATORS:
        assert operator in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    out = run("completion", shell).out
    assert out.startswith("# ")
    assert "_MNSIM_COMPLETE" in out


def test_results_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "x.csv"
    target.write_text("old")
    target.chmod(0o640)
    assert run("analyze", "nothing_of_this_name", "-o", str(target)).code == 2
    assert target.read_text() == "old"
    ran = run("analyze", "mobilenet_cifar", "-o", str(target))
    assert (ran.out, ran.err) == ("", f"wrote {target}\n")
    assert target.read_text() == run("analyze", "mobilenet_cifar", "--format", "csv").out
    assert target.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [target]
    assert run("analyze", "mobilenet_cifar", "-q", "-o", str(target)).err == ""


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 251 + ".csv")
    assert run("analyze", "mobilenet_cifar", "-o", str(target)).code == 0
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_may_not_be_written_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x.csv"
    target.write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK and Path(path) == target))  # root may write anything
    ran = run("analyze", "mobilenet_cifar", "-o", str(target))
    assert (ran.code, ran.out, target.read_text()) == (2, "", "old")
    assert "error[U003]" in ran.err
    assert "Permission denied" in ran.err


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    assert run("analyze", "mobilenet_cifar", "-o", str(tmp_path / "link.json")).code == 0
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["total"]["macs"] == 91_799_552


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    ran = run("analyze", "mobilenet_cifar", "-o", str(tmp_path / "no" / "x.csv"))
    assert ran.code == 2
    assert "error[U003]" in ran.err
    assert "make the folder first" in ran.err


@pytest.mark.parametrize(("name", "reason"), [("folder.csv/", "Is a directory"), ("file/x.csv", "Not a directory")])
def test_what_cannot_be_a_file_is_said(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = run("analyze", "mobilenet_cifar", "-o", f"{tmp_path}/{name}")
    assert ran.code == 2
    assert "error[U003]" in ran.err
    assert reason in ran.err
    assert "make the folder" not in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("suffix", "start"), [(".csv", "index,"), (".json", "{"), (".md", "mobilenet_cifar, "), (".txt", "mobilenet_cifar, ")]
)
def test_the_suffix_chooses_the_format(tmp_path: Path, suffix: str, start: str) -> None:
    target = tmp_path / f"x{suffix}"
    assert run("analyze", "mobilenet_cifar", "-o", str(target)).code == 0
    assert target.read_text(encoding="utf-8").startswith(start)
    assert "\x1b" not in target.read_text(encoding="utf-8")


def test_standard_input() -> None:
    text = (ROOT / "arch" / "mobilenet_cifar.yaml").read_text(encoding="utf-8")
    done = subprocess.run([MNSIM, "analyze", "-", "--format", "csv"], input=text, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout == run("analyze", "mobilenet_cifar", "--format", "csv").out
    done = subprocess.run([MNSIM, "check", "-"], input="name: [\n", capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout.startswith("<stdin>:1:7: error[S003]")


def test_a_closed_pipe_is_no_traceback() -> None:
    done = subprocess.run(f"{MNSIM} analyze mobilenet_v1 | head -1", shell=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("mobilenet_v1, ")


@pytest.mark.parametrize("output", ["/dev/stdout", "-"])
def test_a_closed_pipe_given_as_a_file_is_no_error(output: str) -> None:
    """Its reader has gone before the command starts: nothing is said, and the code is not 0."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [MNSIM, "analyze", "mobilenet_v1", "--format", "csv", *(["-o", output] if output != "-" else [])]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_rules_of_a_table_in_ascii() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([MNSIM, "analyze", "mobilenet_cifar"], env=environment, capture_output=True, text=True)
    assert "?" not in done.stdout
    assert "-----" in done.stdout


def test_talk_options_may_stand_before_the_command() -> None:
    assert run("-q", "analyze", "mobilenet_cifar").out == run("analyze", "mobilenet_cifar", "-q").out
    assert run("-v", "analyze", "mobilenet_cifar").out == run("analyze", "mobilenet_cifar", "-v").out
    for before, after, colored in (("always", [], True), ("always", ["--color", "never"], False), ("never", ["--color=always"], True)):
        for network in ("mobilenet_cifar", "nothing"):
            ran = run("--color", before, "analyze", network, *after)
            assert ("\x1b[" in ran.out + ran.err) == colored


def test_check_separates_the_errors_of_files(tmp_path: Path) -> None:
    single = tmp_path / "single.yaml"
    single.write_text("name: x\ninput: [8, 8, 3]\nlayers: [relu]\n")
    out = run("check", str(single), "nope", "nope", "seed").out
    assert "single.yaml: fine (network x, 1 layer, 0 MACs)\n\nnope:1:1: error" in out
    assert out.count("\n\nnope:1:1: error") == 2
    assert "\n\nseed: fine (hardware seed)\n\n2 errors in 2 of 4 files\n" in out
    assert run("check", str(single), "seed").out.count("\n") == 2


def test_a_mistyped_layer_of_many_gets_a_short_answer(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("name: x\ninput: [8, 8, 3]\nlayers: [{relu: , repeat: 3000}]\n")
    ran = run("analyze", str(path), "--layer", "zzz")
    assert ran.code == 2
    assert max(map(len, ran.err.splitlines())) < 200


@pytest.mark.parametrize(
    ("choice", "environment", "colored"),
    [("auto", {}, False), ("always", {}, True), ("always", {"NO_COLOR": "1"}, True), ("never", {}, False)],
)
def test_color(choice: str, environment: dict[str, str], colored: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in run("analyze", "mobilenet_cifar", "--color", choice).out) == colored
    assert ("\x1b[" in run("analyze", "nothing", "--color", choice).err) == colored


def test_hardware_options_add_up() -> None:
    def total(*arguments: str) -> dict[str, float]:
        found: dict[str, float] = json.loads(run("analyze", "mobilenet_v1", "--format", "json", *arguments).out)["total"]
        return found

    plain = total()
    assert total("--set", "bus.bandwidth=2 GB/s")["transfer_time_s"] == pytest.approx(plain["transfer_time_s"] / 2)
    assert total("--sram", "256KiB") == total("--set", "internal_memory.capacity=256KiB")
    assert total("--sram", "256KiB")["traffic_bytes"] > plain["traffic_bytes"]
    assert total("--set", "vector_unit.efficiency.relu=0.5")["vector_time_s"] > plain["vector_time_s"]
    assert total("--set", "matrix_unit.fused=[relu]")["vector_time_s"] < plain["vector_time_s"]
