"""A file with hundreds of mistakes: the first 20 and the number of the others, all of them with -v."""

import re
from pathlib import Path

import pytest

from tests.helpers import run

COUNT = 60


@pytest.fixture
def network(tmp_path: Path) -> str:
    path = tmp_path / "many.yaml"
    layers = "".join(f"  - {{relu: , input: nobody{number}}}\n" for number in range(COUNT))
    path.write_text(f"name: many\ninput: [8, 8, 4]\nlayers:\n{layers}")
    return str(path)


@pytest.fixture
def hardware(tmp_path: Path) -> str:
    path = tmp_path / "hw.yaml"
    path.write_text("name: h\nbus: {bandwidth: 1 GB/s}\n" + "".join(f"key{number}: 1\n" for number in range(COUNT)))
    return str(path)


def places(printed: str) -> list[int]:
    """The lines of the errors."""
    return [int(line) for line in re.findall(r":(\d+):\d+: error\[", printed)]


@pytest.mark.parametrize(
    "command", [["check"], ["analyze"], ["simulate"], ["program"], ["verify"], ["weights", "-o", "w.npz"], ["infer"], ["why"]], ids=" ".join
)
@pytest.mark.parametrize("flags", [[], ["-q"], ["-v"], ["--verbose"], ["-qv"]], ids=str)
def test_networks(command: list[str], flags: list[str], network: str) -> None:
    ran = run(command[0], network, *command[1:], *flags)
    printed = ran.out if command[0] == "check" else ran.err
    assert ran.code == 2
    everything = bool({"-v", "--verbose", "-qv"} & set(flags))
    assert places(printed) == list(range(4, 4 + (COUNT if everything else 20)))
    assert printed.count(f"\nand {COUNT - 20} more: -v shows them all\n") == (not everything)


def test_the_sum_counts_all(network: str, hardware: str) -> None:
    found = run("check", network, hardware).out
    errors = COUNT + COUNT + 3  # three missing sections of the hardware
    assert found.endswith(f"\n{errors} errors in 2 of 2 files\n")
    assert found.count("more: -v") == 2


@pytest.mark.parametrize("arguments", [["check", "HW"], ["analyze", "mobilenet_cifar", "--hw", "HW"]], ids=" ".join)
def test_hardware(arguments: list[str], hardware: str) -> None:
    ran = run(*(hardware if word == "HW" else word for word in arguments))
    assert len(places(ran.out + ran.err)) == 20
    assert f"and {COUNT - 17} more" in ran.out + ran.err


def test_twenty_are_all_shown(tmp_path: Path) -> None:
    layers = "".join(f"  - {{relu: , input: nobody{number}}}\n" for number in range(20))
    (tmp_path / "n.yaml").write_text(f"name: n\ninput: [8, 8, 4]\nlayers:\n{layers}")
    ran = run("analyze", str(tmp_path / "n.yaml"))
    assert len(places(ran.err)) == 20
    assert "more" not in ran.err


def test_a_long_cycle_is_named_in_one_line(tmp_path: Path) -> None:
    layers = "".join(f"  - {{relu: , input: a{(number + 1) % 50}, name: a{number}}}\n" for number in range(50))
    (tmp_path / "n.yaml").write_text(f"name: n\ninput: [8, 8, 4]\nlayers:\n{layers}")
    first = run("analyze", str(tmp_path / "n.yaml")).err.splitlines()[0]
    assert first.endswith("a cycle: 'a0' reads 'a1' reads 'a2' reads ... (46 more) ... reads 'a49' reads 'a0'")
