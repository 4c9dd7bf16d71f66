"""Further memories of the hardware file: read, set, shown; and that nothing depends on one in which nothing lives."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.report.plain import as_dict
from mnsim.spec.hardware import LONGEST_MEMORY_NAME
from mnsim.spec.load import load_hardware
from mnsim.spec.records import OutsideMemory
from tests.helpers import run
from tests.test_bad_specs import parse

SEED = {
    "name": "name: mine",
    "bus": "bus: {bandwidth: 1 GB/s}",
    "internal_memory": "internal_memory: {capacity: 1 MiB}",
    "matrix_unit": "matrix_unit: {throughput: 1 TFLOPS}",
    "vector_unit": "vector_unit: {throughput: 10 GFLOPS}",
}
FLASH = "  flash: {bandwidth: 400 MB/s, capacity: 16 MiB, latency: 100 ns}"
PLAIN = "\n".join(SEED.values()) + "\n"
IDLE = re.compile(r"Nothing lives in (.*) yet: plans put maps and weights into SRAM and external memory alone\.")


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The papers' machine without and with a flash."""
    monkeypatch.chdir(tmp_path)
    Path("plain.yaml").write_text(PLAIN, encoding="utf-8")
    Path("flash.yaml").write_text(f"{PLAIN}further_memories:\n{FLASH}\n", encoding="utf-8")
    return "plain.yaml", "flash.yaml"


def test_it_is_read(machines: tuple[str, str]) -> None:
    (flash,) = load_hardware(machines[1]).further
    assert flash == OutsideMemory("flash", "flash_bus", 4e8, 1e-7, 2**24)
    assert replace(load_hardware(machines[1]), further=()) == load_hardware(machines[0])
    assert "further" not in as_dict(load_hardware(machines[0]))
    assert as_dict(load_hardware(machines[1]))["further"] == [
        {"name": "flash", "bus": "flash_bus", "bandwidth_bytes_per_s": 4e8, "latency_s": 1e-7, "capacity_bytes": 2**24}
    ]


def test_several_keep_their_order_and_have_energies(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    memories = "{nvram: {bandwidth: 2 GB/s, energy: 5 pJ/B}, flash: {bandwidth: 1 GB/s, energy: 30 pJ/B}}"
    units = "matrix_unit: {throughput: 1 TFLOPS, energy: 1 pJ/MAC}\nvector_unit: {throughput: 1 GFLOPS, energy: 1 pJ/OP}\n"
    both = "external_memory: {energy: 20 pJ/B}\ninternal_memory: {capacity: 1 MiB, energy: 1 pJ/B}\n"
    path.write_text(f"name: mine\nbus: {{bandwidth: 1 GB/s}}\n{both}{units}further_memories: {memories}\n")
    found = load_hardware(path)
    assert found.further == (
        OutsideMemory("nvram", "nvram_bus", 2e9, j_per_byte=5e-12),
        OutsideMemory("flash", "flash_bus", 1e9, j_per_byte=30e-12),
    )
    assert [each["j_per_byte"] for each in as_dict(found)["further"]] == [5e-12, 30e-12]
    path.write_text(path.read_text().replace(", energy: 30 pJ/B", ""))
    (problem,) = parse(run("check", str(path)).out)
    assert (problem.code, problem.under) == ("S108", "energy")
    assert "but not further_memories.flash.energy" in problem.message


def test_it_can_be_set(machines: tuple[str, str]) -> None:
    (flash,) = load_hardware(machines[1], ["further_memories.flash.latency=2 us"]).further
    assert (flash.latency_s, flash.bandwidth_bytes_per_s) == (2e-6, 4e8)
    added = ["further_memories.nv={bandwidth: 3 GB/s}"]
    assert [each.name for each in load_hardware(machines[1], added).further] == ["flash", "nv"]
    assert load_hardware("seed", added).further == (OutsideMemory("nv", "nv_bus", 3e9),)
    assert load_hardware(machines[1], ["further_memories={}"]) == load_hardware(machines[0])


def test_a_mistyped_memory_is_not_a_new_one(machines: tuple[str, str]) -> None:
    (problem,) = parse(run("analyze", "mobilenet_cifar", "--hw", machines[1], "--set", "further_memories.flsh.bandwidth=1 GB/s").err)
    assert (problem.code, problem.under, problem.remedy) == ("S102", "flsh", "did you mean 'further_memories.flash'?")
    (problem,) = parse(run("sweep", "mobilenet_cifar", "--hw", machines[1], "--set", "further_memories.flsh.bandwidth=1 GB/s").err)
    assert (problem.code, problem.under) == ("S102", "flsh")


WORDY = (
    ("analyze", "mobilenet_cifar"),
    ("simulate", "mobilenet_cifar"),
    ("simulate", "mobilenet_cifar", "--compare-policies"),
    ("simulate", "mobilenet_cifar", "--format", "markdown"),
    ("verify", "mobilenet_cifar", "--alpha", "0.25"),
    ("why", "mobilenet_cifar"),
    ("sweep", "mobilenet_cifar", "--sram", "512KiB,1MiB"),
)


@pytest.mark.parametrize("command", WORDY, ids=" ".join)
def test_that_nothing_lives_there_is_said_and_true(command: tuple[str, ...], machines: tuple[str, str]) -> None:
    """But for that sentence, and the machine's own line, all is as without the memory."""
    plain, flash = (run(*command, "--hw", machine).out for machine in machines)
    sentence = IDLE.search(flash)
    assert sentence
    assert sentence[1] == "flash"
    assert not IDLE.search(plain)
    assert "flash" not in plain
    without = re.sub(r"\n?(- )?Nothing lives in flash yet.*depend on it\.\n", "", flash).replace(", flash 16 MiB over 400 MB/s", "")
    assert without.strip() == re.sub(r"\n$", "", plain).strip()


@pytest.mark.parametrize("command", [("analyze",), ("simulate",), ("program",)], ids=" ".join)
def test_data_is_the_same_but_for_the_machine(command: tuple[str, ...], machines: tuple[str, str]) -> None:
    plain, flash = (json.loads(run(*command, "mobilenet_cifar", "--hw", machine, "--format", "json").out) for machine in machines)
    if "hardware" in flash:
        assert [memory["name"] for memory in flash["hardware"].pop("further")] == ["flash"]
    if command == ("simulate",):
        assert flash["engines"].pop("flash_bus", None) in (None, {"busy_s": 0.0, "utilization": 0.0})
        for layer in flash["layers"]:
            layer["busy_s"].pop("flash_bus", None)
    assert flash == plain


def test_check_says_so_too(machines: tuple[str, str]) -> None:
    assert run("check", *machines).out == (
        "plain.yaml: fine (hardware mine)\nflash.yaml: fine (hardware mine; nothing lives in flash yet)\n"
    )


def test_a_sweep_does_not_vary_what_changes_nothing(machines: tuple[str, str]) -> None:
    key = "further_memories.flash.bandwidth"
    (problem,) = parse(run("sweep", "mobilenet_cifar", "--hw", machines[1], "--set", f"{key}=1 GB/s,2 GB/s").err)
    assert (problem.code, problem.message) == ("U005", f"no figure depends on '{key}': plans put nothing into further memories yet")
    ran = run("sweep", "mobilenet_cifar", "--set", "further_memories.nv={bandwidth: 1 GB/s}")
    assert (ran.code, "Nothing lives in nv yet" in ran.out) == (0, True)


PARTS = {"sram", "external", "internal", "bus", "matrix", "vector", "external_memory", "internal_memory", "matrix_unit", "vector_unit"}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.one_of(st.from_regex(r"\A[a-z][a-z0-9_]{0,40}\Z"), st.sampled_from(sorted(PARTS))))
def test_names_are_taken_or_refused(name: str) -> None:
    """Any word of small letters is a name, unless it is a part of the machine, ends as a bus does, or is too long."""
    fine = len(name) <= LONGEST_MEMORY_NAME and not name.endswith("_bus") and name not in PARTS
    ran = run(
        "analyze", "mobilenet_cifar", "--alpha", "0.25", "--format", "json", "--set", f"further_memories.{name}={{bandwidth: 1 GB/s}}"
    )
    assert ran.code == (0 if fine else 2), ran.err
    if fine:
        assert [(each["name"], each["bus"]) for each in json.loads(ran.out)["hardware"]["further"]] == [(name, f"{name}_bus")]
