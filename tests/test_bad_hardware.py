"""Bad hardware and bad settings: see tests/test_bad_specs.py for the marks and the common check."""

from pathlib import Path

import pytest

from tests.helpers import run
from tests.test_bad_specs import Case, corpus, parse, refused, unmark

MACHINE = {
    "name": "name: h",
    "external_memory": "external_memory: {kind: DDR, latency: 5 ns}",
    "bus": "bus: {bandwidth: 1 GB/s}",
    "internal_memory": "internal_memory: {capacity: 1 MiB}",
    "matrix_unit": "matrix_unit: {throughput: 1 TFLOPS}",
    "vector_unit": "vector_unit: {throughput: 10 GFLOPS}",
}


@corpus(
    ("rate-bare", "bus: {bandwidth: «1000000000»}", "S105", "1000000000 has no unit", "1000000000 B/s"),
    ("rate-bare-float", "bus: {bandwidth: «1e9»}", "S105", "1e9 has no unit", "1e9 B/s"),
    ("rate-size", "bus: {bandwidth: «1 GB»}", "S105", "'GB' is a unit of size, not of bandwidth", "GB/s"),
    ("rate-bits", "bus: {bandwidth: «8 Gb/s»}", "S105", "bits or bytes", "8 Gbit/s (bits) or 8 GB/s (bytes)"),
    ("rate-bits-ps", "bus: {bandwidth: «8 Gbps»}", "S105", "bits or bytes", "8 Gbit/s (bits) or 8 GB/s (bytes)"),
    ("rate-ps", "bus: {bandwidth: «1 GiBps»}", "S105", "unknown unit 'GiBps'", "did you mean 1 GiB/s?"),
    ("rate-lower", "bus: {bandwidth: «2 gb/s»}", "S105", "unknown unit 'gb/s'", "2 GB/s"),
    ("rate-long-unit", "bus: {bandwidth: «1 GByte/s»}", "S105", "unknown unit 'GByte/s'", "1 GB/s"),
    ("rate-words", "bus: {bandwidth: «2 bytes/s»}", "S105", "unknown unit 'bytes/s'", "2 B/s"),
    ("rate-hertz", "bus: {bandwidth: «10 GHz»}", "S105", "unknown unit 'GHz'", "like 1 GB/s"),
    ("rate-comma", "bus: {bandwidth: «'1,000 MB/s'»}", "S105", "1,000 MB/s", "1000 MB/s"),
    ("rate-underscore", "bus: {bandwidth: «1_000 MB/s»}", "S105", "1_000 MB/s", "1000 MB/s"),
    ("rate-hex", "bus: {bandwidth: «0x10 GB/s»}", "S105", "0x10 GB/s", "write"),
    ("rate-arabic-digit", "bus: {bandwidth: «٣ GB/s»}", "S105", "is not a bandwidth", "like 1 GB/s"),
    ("rate-wide-digit", "bus: {bandwidth: «１ GB/s»}", "S105", "is not a bandwidth", "like 1 GB/s"),
    ("capacity-empty", "external_memory: {capacity: «»}", "S105", "got an empty value", "like 1 MiB"),
    ("rate-negative", "bus: {bandwidth: «-1 GB/s»}", "S105", "must not be negative, got -1 GB/s", "like 1 GB/s"),
    ("rate-zero", "bus: {bandwidth: «0 GB/s»}", "S105", "got 0", "like 1 GB/s"),
    ("rate-1e400", "bus: {bandwidth: «1e400 GB/s»}", "S105", "1e400 GB/s", "like 1 GB/s"),
    ("rate-1e999999", "bus: {bandwidth: «1e999999999 GB/s»}", "S105", "out of range", "like 1 GB/s"),
    ("rate-5000-digits", f"bus: {{bandwidth: «{'9' * 50}»{'9' * 4950} GB/s}}", "S105", "9999", "like 1 GB/s"),
    ("rate-word", "bus: {bandwidth: «fast»}", "S105", "'fast' is not a bandwidth", "a number and a unit, like 1 GB/s"),
    ("rate-nan", "bus: {bandwidth: «.nan»}", "S105", "is not a bandwidth", "a number and a unit"),
    ("rate-infinite", "bus: {bandwidth: «.inf»}", "S105", "is not a bandwidth", "a number and a unit"),
    ("rate-empty", "bus: {bandwidth: «''»}", "S105", "is not a bandwidth", "a number and a unit"),
    ("rate-absent", "bus: {bandwidth: «»}", "S105", "a bandwidth with its unit", "like 1 GB/s"),
    ("rate-bool", "bus: {bandwidth: «true»}", "S105", "a bandwidth with its unit", "like 1 GB/s"),
    ("rate-list", "bus: {bandwidth: «[»1, GB/s]}", "S105", "a bandwidth with its unit", "like 1 GB/s"),
    ("size-kb", "internal_memory: {capacity: «256 KB»}", "S105", "unknown unit 'KB'", "256 kB (1000 bytes) or 256 KiB (1024 bytes)"),
    ("size-mb", "internal_memory: {capacity: «1 mb»}", "S105", "unknown unit 'mb'", "1 MB"),
    ("size-bits", "internal_memory: {capacity: «8 Mb»}", "S105", "bits or bytes", "8 Mbit (bits) or 8 MB (bytes)"),
    ("size-rate", "internal_memory: {capacity: «1 GB/s»}", "S105", "'GB/s' is a unit of bandwidth, not of size", "like 1 MiB"),
    ("size-prefix-only", "internal_memory: {capacity: «256k»}", "S105", "unknown unit 'k'", "256 kB"),
    ("size-fraction", "internal_memory: {capacity: «1.5 B»}", "S105", "whole number of bytes", "whole number of bytes"),
    ("size-huge", "internal_memory: {capacity: «1e30 GB»}", "S105", "a size must be from 1 B to ", "like 1 MiB"),
    ("size-zero", "internal_memory: {capacity: «0 MiB»}", "S105", "got 0 B", "like 1 MiB"),
    ("time-bare", "external_memory: {latency: «5»}", "S105", "5 has no unit", "5 ns"),
    ("time-hours", "external_memory: {latency: «2 h»}", "S105", "unknown unit 'h'", "like 5 ns"),
    ("time-long", "external_memory: {latency: «4000 s»}", "S105", "4000 s", "like 5 ns"),
    ("time-1e400", "external_memory: {latency: «1e400 s»}", "S105", "1e400 s", "like 5 ns"),
    ("time-negative", "matrix_unit: {throughput: 1 TFLOPS, launch_overhead: «-1 ns»}", "S105", "must not be negative", "like 5 ns"),
    ("throughput-hertz", "matrix_unit: {throughput: «1 THz»}", "S105", "unknown unit 'THz'", "like 1 TFLOPS"),
    ("throughput-lower", "vector_unit: {throughput: «10 gflops»}", "S105", "unknown unit 'gflops'", "10 GFLOPS"),
    ("throughput-time", "vector_unit: {throughput: «5 ns»}", "S105", "'ns' is a unit of time, not of throughput", "TFLOPS"),
    ("share-above-one", "matrix_unit: {throughput: 1 TFLOPS, efficiency: {conv: «1.5»}}", "S104", "must be above 0 and at most 1", "0.5"),
    ("share-zero", "vector_unit: {throughput: 1 GFLOPS, efficiency: {add: «0»}}", "S104", "above 0", "0.5"),
    ("share-nan", "vector_unit: {throughput: 1 GFLOPS, efficiency: {add: «.nan»}}", "S104", "above 0", "0.5"),
    ("share-percent", "vector_unit: {throughput: 1 GFLOPS, efficiency: {add: «50%»}}", "S104", "'50%'", "0.5"),
    ("share-bool", "vector_unit: {throughput: 1 GFLOPS, efficiency: {add: «true»}}", "S104", "above 0", "0.5"),
    ("share-of-unknown", "matrix_unit: {throughput: 1 TFLOPS, efficiency: {«depthwize»: 0.5}}", "S102", "'depthwize'", "'depthwise'"),
    ("share-of-nothing", "matrix_unit: {throughput: 1 TFLOPS, efficiency: «0.5»}", "S103", "expected a mapping, got 0.5", "{conv: 0.5}"),
    ("fused-unknown", "matrix_unit: {throughput: 1 TFLOPS, fused: [relu, «gelu»]}", "S107", "'gelu' cannot be fused", "'relu'"),
    ("fused-word", "matrix_unit: {throughput: 1 TFLOPS, fused: «relu»}", "S103", "expected a list, got 'relu'", "[relu"),
    ("fused-mapping", "matrix_unit: {throughput: 1 TFLOPS, fused: [«{»relu: 1}]}", "S107", "cannot be fused", "relu"),
    ("section-scalar", "bus: «1 GB/s»", "S103", "'bus' must be a mapping, got '1 GB/s'", "{key: value}"),
    ("section-null", "bus:«»", "S103", "'bus' must be a mapping", "{key: value}"),
    ("section-empty", "bus: «{»}", "S101", "missing key 'bandwidth' in 'bus'", "bandwidth: "),
    ("key-unknown", "bus: {bandwidth: 1 GB/s, «width»: 64}", "S102", "unknown key 'width' in 'bus'", "bandwidth"),
    ("key-twice", "bus: {bandwidth: 1 GB/s, «bandwidth»: 2 GB/s}", "S005", "'bandwidth' stands twice", "keep one"),
    ("memories-absent", "further_memories:«»", "S103", "must be a mapping, got an empty value", "{key: value}"),
    ("memories-listed", "further_memories: «[»flash]", "S103", "must be a mapping, got a list", "{key: value}"),
    ("memory-scalar", "further_memories: {flash: «4»}", "S103", "'flash' must be a mapping, got 4", "{key: value}"),
    ("memory-sram", "further_memories: {«sram»: {bandwidth: 1 GB/s}}", "S103", "'sram' is the name of another part", "flash"),
    ("memory-external", "further_memories: {«external»: {bandwidth: 1 GB/s}}", "S103", "is the name of another part", "flash"),
    ("memory-internal", "further_memories: {«internal»: {bandwidth: 1 GB/s}}", "S103", "is the name of another part", "flash"),
    ("memory-bus", "further_memories: {«bus»: {bandwidth: 1 GB/s}}", "S103", "is the name of another part", "flash"),
    ("memory-matrix", "further_memories: {«matrix»: {bandwidth: 1 GB/s}}", "S103", "is the name of another part", "flash"),
    ("memory-vector-unit", "further_memories: {«vector_unit»: {bandwidth: 1 GB/s}}", "S103", "is the name of another", "flash"),
    ("memory-a-bus", "further_memories: {«flash_bus»: {bandwidth: 1 GB/s}}", "S103", "a bus: that of a memory called 'flash'", "word"),
    ("memory-capital", "further_memories: {«Flash»: {bandwidth: 1 GB/s}}", "S103", "cannot be a memory's name", "small letters"),
    ("memory-dotted", "further_memories: {«a.b»: {bandwidth: 1 GB/s}}", "S103", "cannot be a memory's name", "small letters"),
    ("memory-long", f"further_memories: {{«{'a' * 33}»: {{bandwidth: 1 GB/s}}}}", "S103", "too long", "at most 32 letters"),
    ("memory-number", "further_memories: {«1»: {bandwidth: 1 GB/s}}", "S103", "a key must be a word, got 1", "key: value"),
    ("memory-twice", "further_memories: {a: {bandwidth: 1 GB/s}, «a»: {bandwidth: 2 GB/s}}", "S005", "'a' stands twice", "keep one"),
    ("memory-empty", "further_memories: {flash: «{»}}", "S101", "missing key 'bandwidth' in 'flash'", "bandwidth: "),
    ("memory-key", "further_memories: {flash: {bandwidth: 1 GB/s, «latensy»: 1 ns}}", "S102", "'latensy' in 'flash'", "'latency'"),
    ("memory-rate-bare", "further_memories: {flash: {bandwidth: «1»}}", "S105", "1 has no unit", "1 B/s"),
    ("memory-size", "further_memories: {flash: {bandwidth: 1 GB/s, capacity: «0 B»}}", "S105", "got 0 B", "like 1 MiB"),
    ("memory-time", "further_memories: {flash: {bandwidth: 1 GB/s, latency: «-1 ns»}}", "S105", "must not be negative", "5 ns"),
    ("memory-energy", "further_memories: {flash: {bandwidth: 1 GB/s, energy: «4 J»}}", "S105", "not of energy a byte", "20 pJ/B"),
    ("memory-energy-alone", "further_memories: {flash: {bandwidth: 1 GB/s, «energy»: 4 pJ/B}}", "S108", "but not external_memory.energy",
     "give the energies of all memories and both units, or none"),
    ("memories-mistyped", "«further_memory»: {}", "S102", "unknown key 'further_memory'", "'further_memories'"),
    ("kind-number", "external_memory: {kind: «4»}", "S103", "words, got 4", "quotes"),
    ("name-absent", "name:«»", "S103", "a name must be a word", "word"),
)  # fmt: skip
def test_hardware(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of which one line is wrong."""
    lines = MACHINE | {unmark(case.marked)[0].partition(":")[0]: case.marked}
    marked = "\n".join(lines.values()) + "\n"
    (tmp_path / "bad.yaml").write_text(unmark(marked)[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for command in (("analyze", "mobilenet_cifar", "--hw", "bad.yaml"), ("check", "bad.yaml")):
        refused("bad.yaml", marked, case.code, case.message, case.remedy, *command)


@corpus(
    ("no-equals", "«bus.bandwidth»", "U002", "not KEY=VALUE", "internal_memory.capacity=256KiB"),
    ("no-key", "«=1 GB/s»", "U002", "not KEY=VALUE", "internal_memory.capacity=256KiB"),
    ("key-mistyped", "bus.«bandwith»=1 GB/s", "S102", "unknown key 'bandwith'", "did you mean 'bus.bandwidth'?"),
    ("section-mistyped", "«buss».bandwidth=1 GB/s", "S102", "unknown key 'buss'", "did you mean 'bus'?"),
    ("key-below-a-value", "bus.bandwidth.«x»=1 GB/s", "S102", "unknown key 'x'", "bus.bandwidth"),
    ("key-below-a-share", "matrix_unit.efficiency.conv.«x»=1", "S102", "unknown key 'x'", "matrix_unit.efficiency.conv"),
    ("dot-too-many", "bus.«».bandwidth=1 GB/s", "S102", "unknown key", "bus.bandwidth"),
    ("value-bare", "bus.bandwidth=«1»", "S105", "1 has no unit", "1 B/s"),
    ("value-of-another-unit", "internal_memory.capacity=«1 GB/s»", "S105", "not of size", "like 1 MiB"),
    ("value-absent", "bus.bandwidth=«»", "S105", "a bandwidth with its unit", "like 1 GB/s"),
    ("value-not-closed", "bus.bandwidth=«[»1", "S003", "']'", "bracket"),
    ("value-twice", "bus.bandwidth=1 GB/s\n«---»\n2 GB/s", "S003", "second document", "one document"),
    ("section-scalar", "bus=«1»", "S103", "'bus' must be a mapping, got 1", "{key: value}"),
    ("section-key", "bus={bandwidth: 1 GB/s, «x»: 1}", "S102", "unknown key 'x'", "known: bandwidth"),
    ("memory-unknown", "further_memories.«flash».latency=1 ns", "S102", "has no 'flash' in further_memories", "add a memory as a whole"),
    ("memory-named-badly", "«further_memories.sram»={bandwidth: 1 GB/s}", "S103", "'sram' is the name of another part", "flash"),
    ("memory-scalar", "further_memories.flash=«4»", "S103", "'flash' must be a mapping, got 4", "{key: value}"),
    ("memory-key", "further_memories.flash={bandwidth: 1 GB/s, «x»: 1}", "S102", "unknown key 'x' in 'flash'", "known: bandwidth"),
    ("memory-deep", "further_memories.flash.capacity.«x»=1", "S102", "unknown key 'x'", "further_memories.flash.capacity=VALUE"),
    ("share-above-one", "matrix_unit.efficiency.conv=«2»", "S104", "at most 1, got 2", "0.5"),
    ("share-of-unknown", "matrix_unit.efficiency.«cnv»=0.5", "S102", "'cnv'", "conv'?"),
)  # fmt: skip
def test_settings(case: Case) -> None:
    """A --set that is wrong is shown itself, not the file that it was put into."""
    setting = unmark(case.marked)[0]
    refused("--set", case.marked, case.code, case.message, case.remedy, "analyze", "mobilenet_cifar", "--set", setting)


@pytest.mark.parametrize(
    ("arguments", "under"),
    [
        (["--set", "bus.bandwidth=1 GB/s", "--set", "bus.bandwidth=2 GB/s"], "bus.bandwidth=2 GB/s"),
        (["--set", "bus={bandwidth: 1 GB/s}", "--set", "bus.bandwidth=2 GB/s"], "bus.bandwidth=2 GB/s"),
        (["--sram", "2 MiB", "--set", "internal_memory.capacity=1 MiB"], "2 MiB"),
    ],
)
def test_a_value_cannot_be_set_twice(arguments: list[str], under: str) -> None:
    ran = run("analyze", "mobilenet_cifar", *arguments)
    (problem,) = parse(ran.err)
    assert (ran.code, ran.out, problem.code, problem.under) == (2, "", "U002", under)
    assert "is set twice" in problem.message


def test_a_wrong_sram_is_called_what_was_typed() -> None:
    ran = run("analyze", "mobilenet_cifar", "--sram", "lots")
    (problem,) = parse(ran.err)
    assert (ran.code, ran.out, problem.code, problem.under) == (2, "", "S105", "lots")
    assert "'lots' is not a size" in problem.message
    assert "--set" not in ran.err
    assert "--sram" in ran.err


def test_all_wrong_shares_and_parts_are_listed(tmp_path: Path) -> None:
    """Also within one list or mapping: nobody wants to correct a file one run at a time."""
    path = tmp_path / "bad.yaml"
    wrong = {"matrix_unit": "matrix_unit: {throughput: 1, efficiency: {conv: 2, dense: 0}, fused: [a, b]}"}
    path.write_text("\n".join((MACHINE | wrong).values()))
    assert [problem.column for problem in parse(run("check", str(path)).out)] == [27, 49, 59, 71, 74]


@pytest.mark.parametrize("key", ["kind", "title"])
def test_words_of_a_file_cannot_command_the_terminal(key: str, tmp_path: Path) -> None:
    """Words with escape sequences in them are refused or shown harmless."""
    path = tmp_path / "machine.yaml"
    red = {"kind": {"external_memory": 'external_memory: {kind: "\\e[31mDDR"}'}, "title": {"title": 'title: "\\e[31mred"'}}
    path.write_text("\n".join((MACHINE | red[key]).values()))
    for command in (["check", str(path)], ["analyze", "mobilenet_cifar", "--hw", str(path)]):
        ran = run(*command)
        assert "\x1b" not in ran.out + ran.err
