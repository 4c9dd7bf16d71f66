"""Completion: what a real bash has on its line after a TAB, asked in a pseudo-terminal, and the scripts of the other shells."""

import os
import re
import select
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from tests.helpers import run

BASH = shutil.which("bash")
GUARD_S = 120.0  # only so that a hung shell ends the test
pytestmark = pytest.mark.skipif(BASH is None or sys.platform == "win32", reason="there is no bash")


class Terminal:
    """An interactive bash of its own in a pseudo-terminal, in a folder."""

    def __init__(self, folder: Path) -> None:
        import pty

        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(folder), "TERM": "dumb", "PS1": "$ ", "LC_ALL": "C.UTF-8", "INPUTRC": "/dev/null"}
        self.process, self.stream = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.execve(str(BASH), ["bash", "--norc", "--noprofile", "-i"], environment)
        self.seen = ""
        self.send(
            "PS1='$ '; bind 'set bell-style none'; bind 'set completion-query-items 0'; bind 'set page-completions off'; stty cols 1000\n"
        )
        self.send('eval "$(mnsim completion bash)"; shown() { printf "<%q>" "$@"; echo "=done"; }\n')

    def send(self, text: str) -> None:
        os.write(self.stream, text.encode())

    def until(self, pattern: str) -> str:
        """What came up to the pattern, which is taken away."""
        end = monotonic() + GUARD_S
        while (found := re.search(pattern, self.seen)) is None:
            assert select.select([self.stream], [], [], max(0.0, end - monotonic()))[0], f"no {pattern!r} in {self.seen!r}"
            self.seen += os.read(self.stream, 65536).decode("utf-8", "replace")
        before, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return before

    def completed(self, line: str) -> list[str]:
        """The words of the line after a TAB. `mnsim` is taken from it and a function shows the others."""
        self.send(f"{line}\t")
        self.send("\x01shown \x05\n")  # to the line's start, a word there, to its end: done after completion, in order
        shown = re.findall(r"(?:<[^\n]*?>)+(?==done)", self.until(r">=done\r?\n"))
        return [word.replace("\\", "") for word in re.findall(r"<(.*?)>(?=<|$)", shown[-1])]

    def offered(self, line: str) -> set[str]:
        """The words that a second TAB lists."""
        self.send(f"{line}\t\t")
        self.send("\x01shown \x05\n")
        text = self.until(r">=done\r?\n")
        return set(text.split())


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("completion")
    (folder / "squall.yaml").write_text(
        "name: squall\ninput: [8, 8, 3]\nlayers: [{conv: 4, kernel: 3, name: first}, {relu: , name: last}]\n"
    )
    (folder / "two words.yaml").write_text("name: two\ninput: [8, 8, 3]\nlayers: [{conv: 4, kernel: 3, name: begin}]\n")
    (folder / "zfolder").mkdir()
    (folder / "zfolder" / "deep.yaml").touch()
    (folder / "broken.yaml").write_text("name: [\n")
    (folder / "result.csv").touch()
    terminal = Terminal(folder)
    yield terminal
    os.close(terminal.stream)
    os.waitpid(terminal.process, 0)


@pytest.mark.parametrize(
    ("line", "last"),
    [
        ("mnsim ana", "analyze"),
        ("mnsim analyze squee", "squeezenet"),
        ("mnsim analyze squal", "squall.yaml"),
        ("mnsim check squee", "squeezenet"),
        ("mnsim analyze zfol", "zfolder/"),
        ("mnsim analyze zfolder/de", "zfolder/deep.yaml"),
        ("mnsim analyze two", "two words.yaml"),
        ("mnsim analyze 'two wo", "two words.yaml"),
        ("mnsim analyze two\\ wo", "two words.yaml"),
        ("mnsim analyze squeezenet --hw se", "seed"),
        ("mnsim analyze squeezenet --hw=se", "--hw=seed"),
        ("mnsim analyze squeezenet --hw zfolder/d", "zfolder/deep.yaml"),
        ("mnsim analyze squeezenet -o res", "result.csv"),
        ("mnsim analyze squeezenet --pol", "--policy"),
        ("mnsim analyze squeezenet --policy ser", "serial"),
        ("mnsim analyze squall.yaml --layer fi", "first"),
        ("mnsim analyze two\\ words.yaml --layer be", "begin"),
        ("mnsim program squall.yaml --layer=la", "--layer=last"),
        ("mnsim analyze squeezenet --set bus.", "bus.bandwidth="),
        ("mnsim simulate squeezenet --set=int", "--set=internal_memory."),
        ("mnsim sweep squeezenet --set matrix_unit.th", "matrix_unit.throughput="),
        ("mnsim sweep squeezenet --sort sim", "simulated_time_s"),
        ("mnsim sweep squeezenet --sort max:pub", "max:published_accuracy"),
        ("mnsim sweep squeezenet --sort=max:pub", "--sort=max:published_accuracy"),
        ("mnsim sweep squeezenet --sort serial_time_s,max:pub", "serial_time_s,max:published_accuracy"),
        ("mnsim sweep squeezenet --pareto ser", "serial_time_s"),
        ("mnsim sweep squeezenet --where netw", "network"),
        ("mnsim sweep squeezenet --where 'netw", "network"),
        ("mnsim sweep --dtype int8,float3", "int8,float32"),
        ("mnsim sweep squeezenet --hw result.csv,se", "result.csv,seed"),
        ("mnsim sweep squeezenet --spec squ", "squall.yaml"),
        ("mnsim sweep squeezenet --store zf", "zfolder/"),
        ("mnsim simulate squeezenet --trace res", "result.csv"),
        ("mnsim reproduce pard", "pardhi"),
        ("mnsim explain coun", "counting"),
        ("mnsim verify squeezenet --dtype flo", "float32"),
    ],
)
def test_a_tab_completes(terminal: Terminal, line: str, last: str) -> None:
    assert terminal.completed(line)[-1] == last


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("mnsim analyze squ", {"squeezenet", "squall.yaml"}),
        ("mnsim analyze squeezenet --set ", {"bus.bandwidth=", "matrix_unit.efficiency.conv=", "internal_memory.capacity="}),
        ("mnsim analyze squall.yaml --layer ", {"first", "last"}),
        ("mnsim sweep squeezenet --where ", {"network", "simulated_time_s", "error", "fused"}),
        ("mnsim sweep squeezenet --fidelity analytical --sort se", {"serial_time_s"}),
    ],
)
def test_two_tabs_list(terminal: Terminal, line: str, wanted: set[str]) -> None:
    assert wanted <= terminal.offered(line)


@pytest.mark.parametrize("line", ["mnsim analyze broken.yaml --layer ", "mnsim analyze none --layer ", "mnsim analyze - --layer "])
def test_a_network_that_cannot_be_read_completes_nothing_and_says_nothing(terminal: Terminal, line: str) -> None:
    assert "error" not in terminal.offered(line)
    assert terminal.completed(line) == line.split()


def test_columns_are_those_of_the_sweep_on_the_line() -> None:
    import subprocess

    def asked(line: str) -> set[str]:
        environment = {**os.environ, "_MNSIM_COMPLETE": "bash_complete", "COMP_LINE": line, "COMP_PART": ""}
        done = subprocess.run([Path(sys.executable).with_name("mnsim")], env=environment, capture_output=True, text=True, check=True)
        return {each.partition(",")[2] for each in done.stdout.splitlines()}

    assert "simulated_time_s" in asked("mnsim sweep squeezenet --where ")
    assert "simulated_time_s" not in asked("mnsim sweep squeezenet --fidelity analytical --where ")
    assert "pareto" not in asked("mnsim sweep squeezenet --where ")
    assert "pareto" in asked("mnsim sweep squeezenet --pareto simulated_time_s --where ")
    assert "matrix_efficiency_conv" in asked("mnsim sweep squeezenet --set matrix_unit.efficiency.conv=0.5,1 --sort ")
    assert "network" not in asked("mnsim sweep squeezenet --sort ")


def test_the_scripts_of_other_shells_take_names_and_files() -> None:
    zsh, fish = run("completion", "zsh").out, run("completion", "fish").out
    assert zsh.startswith("# ")
    assert "compdef _mnsim_completion mnsim" in zsh
    assert "_path_files -f" in zsh
    assert "compadd -U -V unsorted -a completions" in zsh
    assert 'string split --max 1 "," $completion' in fish
    assert "__fish_complete_path" in fish
    for script in (zsh, fish):
        for left, right in ("()", "{}", "[]"):
            assert script.count(left) - script.count(right) in ((0, -1) if left == "(" else (0,))  # `case` patterns have one bracket
