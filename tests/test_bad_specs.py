"""A corpus of bad specifications: each is refused with its code, at the word that is wrong, and with what would be right.

`«` and `»` enclose the word that a person would want the caret under; they are taken out before mnsim sees the text. `«»` alone is
a place where something is absent. Every place and phrase was written by hand from the YAML, not copied from the program's output.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers import HANG_S, ROOT, run

MNSIM = Path(sys.executable).with_name("mnsim")
MOST_CPU_S = 5  # of a refusal: the slowest takes a fiftieth of it
PROBLEM = re.compile(
    r"(?P<file>\S[^\n]*?):(?P<line>\d+):(?P<column>\d+): error\[(?P<code>\w+)\]: (?P<message>[^\n]+)\n"
    r" *(?P=line) \| (?P<source>[^\n]*)\n +\| (?P<gap> *)(?P<carets>\^+)\n +help: (?P<remedy>[^\n]+)\n"
)


class Problem(NamedTuple):
    """A problem as it was printed; `under` is what the carets stand under."""

    file: str
    line: int
    column: int
    code: str
    message: str
    under: str
    remedy: str


def parse(printed: str) -> list[Problem]:
    """Every problem in what was printed; all four lines of each must be there."""
    found = list(PROBLEM.finditer(printed))
    assert len(found) == len(re.findall(r"error\[", printed)), f"not all problems have place, line, carets and help:\n{printed}"
    return [
        Problem(
            each["file"],
            int(each["line"]),
            int(each["column"]),
            each["code"],
            each["message"],
            each["source"][len(each["gap"]) : len(each["gap"] + each["carets"])],
            each["remedy"],
        )
        for each in found
    ]


def unmark(marked: str) -> tuple[str, int, int, str]:
    """The text without its marks, the line and column of the first, and the word between the marks as an excerpt shows it."""
    before, _, rest = marked.partition("«")
    word = rest.partition("»")[0]
    before = before.removeprefix("\ufeff")  # a byte-order mark is no column
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    shown = "".join(" " if letter == "\t" else letter if letter.isprintable() else "?" for letter in word)
    return marked.replace("«", "").replace("»", ""), line, column, shown


def refused(file: str, marked: str, code: str, message: str, remedy: str, *command: str) -> None:
    """The common check: exit code 2, after little work, one problem, at the marked word, in so many words."""
    _, line, column, word = unmark(marked)
    start_s = time.process_time()
    ran = run(*command)
    assert time.process_time() - start_s < MOST_CPU_S
    assert ran.code == 2, ran
    assert "Traceback" not in ran.out + ran.err
    assert command[0] == "check" or ran.out == ""
    problems = parse(ran.out or ran.err)
    assert [problem.code for problem in problems] == [code]
    (problem,) = problems
    assert (problem.file, problem.line, problem.column) == (file, line, column)
    assert problem.under.startswith(word)
    assert message in problem.message
    assert remedy in problem.remedy
    assert (problem.message + problem.remedy).isprintable(), "a control character reaches the terminal"
    assert max(map(len, (problem.message, problem.remedy))) < 200, "a message repeats what may be the whole file"


class Case(NamedTuple):
    """A bad text, its code, and a phrase of the message and of the help."""

    id: str
    marked: str
    code: str
    message: str
    remedy: str


def corpus(*cases: tuple[str, str, str, str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(Case(*case), id=case[0]) for case in cases])


@corpus(
    ("command", "mnsim «analize» mobilenet_cifar", "U001", "no such command 'analize'", "did you mean 'analyze'?"),
    ("option", "mnsim analyze mobilenet_cifar «--alhpa» 1", "U001", "no such option '--alhpa'", "did you mean '--alpha'?"),
    ("short-option", "mnsim analyze mobilenet_cifar «-x»", "U001", "no such option '-x'", "mnsim analyze --help"),
    ("no-network", "«mnsim analyze»", "U001", "missing NETWORK", "usage: mnsim analyze"),
    ("two-networks", "mnsim analyze mobilenet_cifar «mobilenet_v1»", "U001", "unexpected extra argument", "mnsim analyze --help"),
    ("no-value", "mnsim analyze mobilenet_cifar «--alpha»", "U001", "--alpha", "mnsim analyze --help"),
    ("alpha-zero", "mnsim analyze mobilenet_cifar --alpha «0»", "U001", "'0' is not above 0", "0.75"),
    ("alpha-negative", "mnsim analyze mobilenet_cifar --alpha=«-1»", "U001", "'-1' is not above 0", "0.75"),
    ("alpha-nan", "mnsim analyze mobilenet_cifar --alpha «nan»", "U001", "'nan' is not a number", "0.75"),
    ("alpha-huge", "mnsim analyze mobilenet_cifar --alpha «99999999999»", "U001", "at most 16", "0.75"),
    ("rho-divided-by-zero", "mnsim analyze mobilenet_cifar --rho «1/0»", "U001", "'1/0' is not a number", "6/7"),
    ("alpha-underscore", "mnsim analyze mobilenet_cifar --alpha «1_0»", "U001", "'1_0' is not a number", "0.75"),
    ("alpha-other-digit", "mnsim analyze mobilenet_cifar --alpha '«٣»'", "U001", "is not a number", "0.75"),
    ("color-empty", "mnsim analyze mobilenet_cifar «--color=»", "U001", "--color cannot be ''", "auto, always, never"),
    ("color-of-all", "mnsim --color «red» list", "U001", "--color cannot be 'red'", "auto, always, never"),
    ("output-empty", "mnsim analyze mobilenet_cifar -o «''»", "U001", "no suffix", ".csv"),
    ("same-network-twice", "mnsim analyze a «a»", "U001", "unexpected extra argument 'a'", "mnsim analyze --help"),
    ("flag-value", "mnsim analyze mobilenet_cifar «--quiet»=1", "U001", "--quiet takes no value", "mnsim analyze --help"),
    ("no-command", "«mnsim -q»", "U001", "missing command", "known: analyze"),
    ("dash-command", "mnsim «-»", "U001", "no such command '-'", "known: analyze"),
    ("many-topics", "mnsim explain «S10»", "U001", "no topic 'S10'", "one of S101, S102"),
    ("dtype", "mnsim analyze mobilenet_cifar --dtype «int4»", "U001", "--dtype cannot be 'int4'", "int8"),
    ("format", "mnsim analyze mobilenet_cifar --format «yaml»", "U001", "--format cannot be 'yaml'", "table, csv, json, markdown"),
    ("suffix", "mnsim analyze mobilenet_cifar --output «x.xlsx»", "U001", "'x.xlsx' has no suffix", ".csv"),
    ("suffix-short", "mnsim analyze mobilenet_cifar -o «x.xlsx»", "U001", "'x.xlsx' has no suffix", ".csv"),
    ("topic", "mnsim explain «S999»", "U001", "no topic 'S999'", "S"),
    ("topic-named-like-a-command", "mnsim explain «explain»", "U001", "no topic 'explain'", "plan"),
    ("kind", "mnsim schema «networks»", "U001", "cannot be 'networks'", "network"),
    ("shell", "mnsim completion «tcsh»", "U001", "cannot be 'tcsh'", "zsh"),
    ("no-files", "«mnsim check»", "U001", "missing FILE", "usage: mnsim check"),
)  # fmt: skip
def test_command_lines(case: Case) -> None:
    text = unmark(case.marked)[0]
    refused("command line", case.marked, case.code, case.message, case.remedy, *shlex.split(text)[1:])


@pytest.mark.parametrize(
    ("content", "code", "place", "under"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "S002", (1, 1), "\\x89"),
        (b"name: t\ntitle: caf\xe9 noir\n", "S002", (2, 11), "\\xe9"),
        (b"name: t\ntitle: \xc3\xa9\xc3\xa9 " + b"x" * 300 + b"\xff\n", "S002", (2, 311), "\\xff"),
        ("name: t\n".encode("utf-16"), "S002", (1, 1), "\\xff"),
        (b"name: t\ntitle: cut \xe2\x82", "S002", (2, 12), "\\xe2"),
        (b"#" * 1_000_001, "S006", (1, 1), ""),
    ],
    ids=["png", "latin-1", "far-right", "utf-16", "cut", "too-large"],
)
def test_bytes(content: bytes, code: str, place: tuple[int, int], under: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no text: the byte is shown as an escape, and the caret is under it."""
    (tmp_path / "bad.yaml").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    ran = run("analyze", "bad.yaml")
    (problem,) = parse(ran.err)
    assert (ran.code, ran.out, problem.code, (problem.line, problem.column)) == (2, "", code, place)
    assert problem.under[:1] == under[:1]


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("mobilenet_cfar", "no such file, and nothing bundled has that name", "did you mean 'mobilenet_cifar'?"),
        ("folder", "Is a directory", "give a YAML file"),
        ("a\0b", "cannot read", "give a YAML file"),
        ("", "cannot read", "give a YAML file"),
        ("seed", "hardware", "--hw"),
        pytest.param("locked.yaml", "Permission denied", "", marks=pytest.mark.skipif(os.geteuid() == 0, reason="root reads all")),
    ],
)
def test_files_that_cannot_be_read(name: str, message: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "locked.yaml").touch(0)
    monkeypatch.chdir(tmp_path)
    ran = run("analyze", name)
    (problem,) = parse(ran.err)
    assert (ran.code, ran.out, problem.code) == (2, "", "S001")
    assert message in problem.message
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("arguments", "message", "remedy"),
    [
        (["analyze", str(ROOT / "hw/seed.yaml")], "hardware", "--hw"),
        (["analyze", "mobilenet_cifar", "--hw", str(ROOT / "arch/mobilenet_cifar.yaml")], "network", "analyze"),
    ],
    ids=["hardware-as-network", "network-as-hardware"],
)
def test_files_in_the_wrong_place(arguments: list[str], message: str, remedy: str) -> None:
    """One sentence says so; a list of all keys that the other kind has does not help."""
    ran = run(*arguments)
    (problem,) = parse(ran.err)
    assert (ran.code, ran.out) == (2, "")
    assert message in problem.message
    assert remedy in problem.remedy


def test_standard_input_cannot_be_two_files() -> None:
    network = (ROOT / "arch/mobilenet_cifar.yaml").read_bytes()
    ran = subprocess.run([MNSIM, "analyze", "-", "--hw", "-"], input=network, capture_output=True, timeout=HANG_S)
    (problem,) = parse(ran.stderr.decode())
    assert (ran.returncode, ran.stdout, problem.code) == (2, b"", "U001")
    assert "standard input" in problem.message


@pytest.mark.parametrize("name", ["a\nb.yaml", "a\x1b[31mb.yaml"])
def test_file_names_cannot_command_the_terminal(name: str) -> None:
    ran = run("analyze", name)
    assert ran.code == 2
    assert all(line.isprintable() for line in ran.err.splitlines())
    assert len(ran.err.splitlines()) == 4


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("analyze - <&-", 2),
        ("analyze nope 2>&-", 2),
        ("analyze nope >&-", 2),
        ("analyze mobilenet_cifar >&-", None),
        ("analyze mobilenet_cifar > /dev/full", None),
        ("check nope >&-", 2),
        ("list > /dev/full", None),
        ("--help >&-", None),
    ],
)
def test_closed_and_full_streams(command: str, code: int | None) -> None:
    """No traceback, and never 0 when the result was not written (None: any other); bad input is 2 even when nobody can be told."""
    if "/dev/full" in command and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    ran = subprocess.run(f"{MNSIM} {command}", shell=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANG_S)
    assert "Traceback" not in ran.stderr
    assert ran.returncode == code if code else ran.returncode > 0


def test_an_output_that_is_a_loop_of_links(tmp_path: Path) -> None:
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    ran = run("analyze", "mobilenet_cifar", "-o", str(loop))
    assert (ran.code, ran.out) == (2, "")
    assert [problem.code for problem in parse(ran.err)] == ["U003"]


@pytest.mark.parametrize("arguments", [["analyze", "-"], ["analyze", "mobilenet_cifar", "--hw", "-"], ["check", "-"]])
def test_standard_input_in_a_process(arguments: list[str]) -> None:
    ran = subprocess.run([MNSIM, *arguments], input=b"name: [\n", capture_output=True, timeout=HANG_S)
    printed = (ran.stdout if arguments[0] == "check" else ran.stderr).decode()
    assert ran.returncode == 2
    assert [(problem.file, problem.line, problem.column) for problem in parse(printed)] == [("<stdin>", 1, 7)]
    assert arguments[0] == "check" or ran.stdout == b""


@pytest.mark.parametrize("environment", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}, {"COLUMNS": "20"}])
def test_a_process_reports_what_a_call_does(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bäd 1.yaml").write_text("name: t\ntitle: ü\ninput: [8, 8, 4]\nlayers: [ünknown]\n", encoding="utf-8")
    command = [MNSIM, "analyze", "bäd 1.yaml"]
    ran = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=HANG_S, env={**os.environ, **environment})
    (problem,) = parse(ran.stderr.decode())
    assert (ran.returncode, ran.stdout, problem.code, problem.line, problem.column) == (2, b"", "S106", 4, 10)


def test_a_memory_too_small_exits_with_1() -> None:
    ran = subprocess.run([MNSIM, "analyze", "mobilenet_cifar", "--sram", "8 B"], capture_output=True, text=True, timeout=HANG_S)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error[C001]: layer 'conv1'")
    assert "help: " in ran.stderr
