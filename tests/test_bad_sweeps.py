"""Bad sweeps: see tests/test_bad_specs.py for the marks and the common check. Nothing may run, and nothing may be written."""

from pathlib import Path
from typing import Any

import pytest

from tests.helpers import run
from tests.test_bad_specs import Case, corpus, parse, refused, unmark


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.explore.workers as module

    def never(batch: Any) -> Any:
        raise AssertionError("it ran")

    monkeypatch.setattr(module, "evaluate", never)


@corpus(
    ("key-unknown", "bus.«bandwith»=1 GB/s, 2 GB/s", "S102", "unknown key 'bandwith'", "bus.bandwidth"),
    ("section-unknown", "«buss».bandwidth=log(1 GB/s, 2 GB/s, 3)", "S102", "unknown key 'buss'", "bus'?"),
    ("no-levels", "bus.bandwidth=«»", "U005", "there are no levels", "commas between"),
    ("empty-level", "bus.bandwidth=1 GB/s,«»,2 GB/s", "U005", "a level is empty", "commas between"),
    ("last-level-empty", "bus.bandwidth=1 GB/s,«»", "U005", "a level is empty", "commas between"),
    ("unit-slip-later", "bus.bandwidth=1 GB/s, «2 GB»", "S105", "'GB' is a unit of size, not of bandwidth", "GB/s"),
    ("unit-slip-first", "bus.bandwidth=«1», 2 GB/s", "S105", "1 has no unit", "1 GB/s"),
    ("unit-slip-in-a-range", "bus.bandwidth=log(1 GB/s, «8 Gb/s», 16)", "S105", "bits or bytes", "8 Gbit/s"),
    ("unit-slip-of-the-first-end", "bus.bandwidth=log(«0.5», 8 GB/s, 16)", "S105", "0.5 has no unit", "0.5 GB/s"),
    ("unit-of-a-size", "internal_memory.capacity=256KiB,«1 mb»,1MiB", "S105", "unknown unit 'mb'", "1 MB"),
    ("range-of-nothing", "bus.bandwidth=log(1 GB/s, 2 GB/s, «0»)", "U005", "an empty range", "2 or more"),
    ("range-of-one", "bus.bandwidth=linear(1 GB/s, 2 GB/s, «1»)", "U005", "only one end", "2 or more"),
    ("range-of-minus", "bus.bandwidth=linear(1 GB/s, 2 GB/s, «-3»)", "U005", "'-3' is no number of levels", "whole number"),
    ("range-of-halves", "bus.bandwidth=linear(1 GB/s, 2 GB/s, «2.5»)", "U005", "'2.5' is no number of levels", "whole number"),
    ("range-of-arabic", "bus.bandwidth=linear(1 GB/s, 2 GB/s, «٣»)", "U005", "no number of levels", "whole number"),
    ("range-between-equals", "bus.bandwidth=linear(1 GB/s, «1000 MB/s», 3)", "U005", "both ends are equal", "two different ends"),
    ("range-without-arguments", "bus.bandwidth=«log()»", "U005", "got 0 of the three", "log(a, b, 16)"),
    ("range-of-four", "bus.bandwidth=«log(1 GB/s, 2 GB/s, 3, 4)»", "U005", "got 4 of the three", "log(a, b, 16)"),
    ("range-empty-end", "bus.bandwidth=log(1 GB/s,«», 3)", "U005", "a level is empty", "commas"),
    ("range-open", "bus.bandwidth=log«(»1 GB/s, 2 GB/s, 3", "U005", "'(' is not closed", "close it with )"),
    ("range-mistyped", "bus.bandwidth=«lgo»(1 GB/s, 2 GB/s, 3)", "U005", "no range is called 'lgo'", "did you mean 'log'?"),
    ("range-geometric", "bus.bandwidth=«geom»(1 GB/s, 2 GB/s, 3)", "U005", "no range is called 'geom'", "linear, log"),
    ("range-from-zero", "external_memory.latency=log(«0 ns», 1 us, 3)", "U005", "no zero", "linear(a, b, n)"),
    ("range-of-words", "matrix_unit.fused=«log([relu], [], 3)»", "U005", "words, not a range", "commas between"),
    ("range-without-count", "bus.bandwidth=«log(1 GB/s, 2 GB/s)»", "U005", "no number of levels", "log(1 GB/s, 2 GB/s, 16)"),
    ("too-fine", "internal_memory.capacity=linear(1 B, 3 B, «10»)", "U005", "do not fit", "fewer levels"),
    ("too-many", "bus.bandwidth=log(1 GB/s, 2 GB/s, «1000000000000»)", "U007", "1,000,000,000,000 points are more than", "fewer"),
    ("level-twice", "bus.bandwidth=1 GB/s, «1000 MB/s»", "U005", "has a level twice: '1000 MB/s'", "keep one"),
    ("no-value", "«bus.bandwidth»", "U002", "is not KEY=VALUE", "internal_memory.capacity"),
    ("title", "«title»=a, b", "U005", "no figure depends on 'title'", "one value"),
    ("name", "«name»=x", "U005", "by the names in its files", "change `name:`"),
    ("kind", "«external_memory.kind»=DDR, HBM", "U005", "no figure depends on", "one value"),
    ("share", "matrix_unit.efficiency.conv=linear(0.5, «1.5», 3)", "S104", "at most 1, got 1.5", "0.5"),
    ("energy-alone", "«external_memory.energy»=1 pJ/B, 2 pJ/B", "S108", "but not internal_memory.energy", "all four"),
    ("fused-word", "matrix_unit.fused=[relu],[«rely»]", "S107", "'rely' cannot be fused", "did you mean 'relu'?"),
    ("quote-open", "title=«\"»a, b", "U005", "is not closed", "close it with \""),
)  # fmt: skip
def test_settings(case: Case) -> None:
    setting = unmark(case.marked)[0]
    refused("--set", case.marked, case.code, case.message, case.remedy, "sweep", "mobilenet_cifar", "--set", setting)


@corpus(
    ("alpha", "0.25,«x»,1", "S104", "alpha: 'x' is not a number", "0.75 or 6/7"),
    ("alpha", "0.25, «17»", "S104", "at most 16", "0.75"),
    ("alpha", "linear(«0», 1, 3)", "S104", "'0' is not above 0", "0.75"),
    ("alpha", "1,0.5,«2/2»", "U005", "alpha has a level twice: '2/2'", "keep one"),
    ("rho", "linear(0.5, 1, «100000000»)", "U007", "100,000,000 points are more", "--max-points"),
    ("rho", "«»", "U005", "there are no levels", "commas between"),
    ("dtype", "int8,«float3»", "S107", "dtype cannot be 'float3'", "did you mean 'float32'?"),
    ("dtype", "«log(1, 2, 3)»", "U005", "dtype takes words, not a range", "commas"),
    ("policy", "«greedy»", "S107", "policy cannot be 'greedy'", "serial, layerwise, overlap"),
    ("sram", "256KiB,«256»", "S105", "256 has no unit", "256 KiB"),
    ("where", "«simulated_tme_s» < 1 ms", "U006", "no column 'simulated_tme_s'", "simulated_time_s"),
    ("where", "«simulated_time_s»", "U008", "is no condition", "simulated_time_s < 1 ms"),
    ("where", "simulated_time_s < «1 MB»", "S105", "'MB' is a unit of size, not of time", "5 ns"),
    ("where", "macs < «many»", "S105", "'many' is no number", "numbers without a unit"),
    ("where", "network < «mobilenet_cifar»", "U008", "compares what has no order", "use = or !="),
    ("where", "network = «squeezenet»", "U008", "no row has the network 'squeezenet'", "mobilenet_cifar"),
    ("where", "bound_by = «Bus»", "U008", "no row has the bound_by 'Bus'", "did you mean 'bus'?"),
    ("where", "macs < «1e999999999»", "S105", "is no number", "without a unit"),
    ("where", "macs < «1_000»", "S105", "is no number", "without a unit"),
    ("where", "«energy_j» > none", "U006", "no column 'energy_j'", ""),
    ("where", "alpha < 1 «and» rho < 1", "U008", "a condition is of one column", "--where once for each"),
    ("pareto", "simulated_time_s,«speed»", "U006", "no column 'speed'", ""),
    ("pareto", "simulated_time_s,«network»", "U008", "no column of numbers", "traffic_bytes"),
    ("pareto", "«best:macs»", "U008", "'best' is neither min nor max", "max:published_accuracy"),
    ("sort", "«»", "U005", "there are no levels", ""),
)
def test_options(case: Case) -> None:
    text = unmark(case.marked)[0]
    refused(f"--{case.id}", case.marked, case.code, case.message, case.remedy, "sweep", "mobilenet_cifar", f"--{case.id}", text)


HEAD = "networks: mobilenet_cifar\n"


@corpus(
    ("empty", "«»", "S004", "empty", "mnsim explain sweep"),
    ("not-yaml", f"{HEAD}alpha: «[»1\n", "S003", "']'", "bracket"),
    ("unknown-key", f"{HEAD}«alhpa»: 1\n", "S102", "unknown key 'alhpa'", "did you mean 'alpha'?"),
    ("unknown-hardware-key", f"{HEAD}set:\n  bus.«bandwith»: 1 GB/s\n", "S102", "unknown key 'bandwith'", "bus.bandwidth"),
    ("unit-slip", f"{HEAD}set:\n  bus.bandwidth: [1 GB/s, «2 GB»]\n", "S105", "not of bandwidth", "GB/s"),
    ("unit-slip-quoted", f"{HEAD}set:\n  bus.bandwidth: ['1 GB/s', '«2»']\n", "S105", "2 has no unit", "2 GB/s"),
    ("unit-slip-in-a-range", f"{HEAD}set:\n  bus.bandwidth: log(1 GB/s, «2 Gb/s», 3)\n", "S105", "bits or bytes", "2 Gbit/s"),
    ("unit-slip-in-a-quoted-range", f'{HEAD}set:\n  bus.bandwidth: "log(1 GB/s, «2 Gb/s», 3)"\n', "S105", "bits or bytes", "2 Gbit/s"),
    ("range-in-a-list", f"{HEAD}alpha: [«linear(0.25», 1, 3)]\n", "U005", "a bracket is not closed", "quotes around a range"),
    ("range-empty", f"{HEAD}rho: linear(0.25, 1, «0»)\n", "U005", "an empty range", "2 or more"),
    ("list-empty", f"{HEAD}alpha: «[»]\n", "U005", "there are no levels", "[a, b]"),
    ("too-many", f"{HEAD}rho: linear(0.25, 1, «1000000000000»)\n", "U007", "more than 10,000,000", "fewer"),
    ("alpha-word", f"{HEAD}alpha: [1, «wide»]\n", "S104", "'wide' is not a number", "0.75"),
    ("alpha-null", f"{HEAD}alpha:«»\n", "U005", "a level is empty", "leave the key out"),
    ("alpha-list", f"{HEAD}alpha: [«[»1, 2]]\n", "S103", "expected a level, got a list", "[a, b]"),
    ("alpha-block", f"{HEAD}alpha: «|»\n  0.5,\n  -1\n", "S104", "'-1' is not above 0", "0.75"),
    ("alpha-escape", f'{HEAD}alpha: «"0.5»,\\n-1"\n', "S104", "'-1' is not above 0", "0.75"),
    ("network-mapping", "networks: «{»a: 1}\n", "S103", "expected a name, got a mapping", "bundled"),
    ("network-null", "networks: [«~»]\n", "U005", "a level is empty", "leave the key out"),
    ("hardware-list", f"{HEAD}hardware: [«[»seed]]\n", "S103", "expected a name, got a list", "bundled"),
    ("hardware-unknown", f"{HEAD}hardware: «sed»\n", "S001", "cannot read 'sed'", "did you mean 'seed'?"),
    ("dtype", f"{HEAD}dtype: «int4»\n", "S107", "dtype cannot be 'int4'", "int8"),
    ("zip-word", f"{HEAD}zip: «yes»\n", "S103", "expected true or false", "true and false"),
    ("zip-and-sample", f"{HEAD}«zip»: true\nsample: 4\n", "U005", "cannot be sampled too", "leave out"),
    ("sample-many", f"{HEAD}sample: «99999999»\n", "U007", "99,999,999 points", "draw fewer"),
    ("sample-zero", f"{HEAD}sample: «0»\n", "S104", "sample must be", "at least 1"),
    ("set-list", f"{HEAD}set: «[»1]\n", "S103", "'set' must be a mapping, got a list", "{key: value}"),
    ("fused", f"{HEAD}set: {{matrix_unit.fused: [[relu], [«rely»]]}}\n", "S107", "'rely' cannot be fused", "did you mean 'relu'?"),
    ("fused-flat", f"{HEAD}set: {{matrix_unit.fused: [«relu»]}}\n", "S103", "expected a list, got 'relu'", "[[relu], []]"),
    ("network-missing", "«a»lpha: 1\n", "S101", "missing key 'networks'", "networks"),
    ("network-unknown", "networks: [mobilenet_cifar, «mobilenet_v9»]\n", "S001", "cannot read 'mobilenet_v9'", "did you mean"),
)
def test_files(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.yaml").write_text(unmark(case.marked)[0], encoding="utf-8")
    refused("sweep.yaml", case.marked, case.code, case.message, case.remedy, "sweep", "--spec", "sweep.yaml")


@pytest.mark.parametrize(
    ("arguments", "code", "under", "message"),
    [
        ([], "U001", "mnsim sweep", "there is no network to run"),
        (["mobilenet_cifar", "mobilenet_cifar"], "U005", "mobilenet_cifar", "'mobilenet_cifar' stands twice"),
        (["mobilenet_cifar", "mobilenet_v9"], "S001", "mobilenet_v9", "no such file"),
        (["mobilenet_cifar", "--hw", "seed,sead"], "S001", "sead", "no such file"),
        (["mobilenet_cifar", "--hw", "mobilenet_v1"], "S001", "mobilenet_v1", "is a network, not hardware"),
        (["-", "--hw", "-"], "U001", "-", "standard input can be one file only"),
        (["mobilenet_cifar", "--zip", "--alpha", "1,0.5", "--rho", "1,0.5,0.25"], "U005", "1,0.5", "alpha has 2 levels and rho has 3"),
        (["mobilenet_cifar", "--zip", "--sample", "3"], "U005", "--zip", "cannot be sampled too"),
        (["mobilenet_cifar", "--sample", "99999999"], "U007", "99999999", "99,999,999 points are more than 10,000,000"),
        (["mobilenet_cifar", "--seed", "3"], "U005", "3", "a seed is of a sample"),
        (["mobilenet_cifar", "--sample", "0"], "U001", "0", "--sample"),
        (["mobilenet_cifar", "--max-points", "3", "--alpha", "1,0.5", "--rho", "1,0.5"], "U007", "1,0.5", "4 points are more than 3"),
        (["mobilenet_cifar", "--sram", "1MiB", "--set", "internal_memory.capacity=1MiB,2MiB"], "U002", "1MiB", "is set twice"),
        (["mobilenet_cifar", "--format", "parquet"], "U001", "mnsim sweep", "Parquet needs a file"),
        (["mobilenet_cifar", "--jobs", "2", "--scheduler", "tcp://x:1"], "U001", "mnsim sweep", "give one of them"),
        (["mobilenet_cifar", "--spec", "none.yaml"], "S001", "none.yaml", "cannot read 'none.yaml'"),
        (["mobilenet_cifar", "-o", "nowhere/x.csv"], "U003", "nowhere/x.csv", "No such file or directory"),
        (["mobilenet_cifar", "--store", ""], "W103", "", "it has no name"),
        (["mobilenet_cifar", "--dry-run", "--top", "3"], "U001", "mnsim sweep", "--dry-run lists points"),
        (["mobilenet_cifar", "-o", "x.xlsx"], "U001", "x.xlsx", ".parquet"),
    ],
)
def test_command_lines(arguments: list[str], code: str, under: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("sweep", *arguments, *([] if {"-o", "parquet", "--store"} & {*arguments} else ["-o", "out.csv", "--store", "store"]))
    assert (ran.code, ran.out) == (2, "")
    problem, *_ = parse(ran.err)
    assert (problem.code, problem.under[: len(under)]) == (code, under)
    assert message in problem.message + problem.remedy
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_wrong_is_said_at_once() -> None:
    ran = run("sweep", "mobilenet_v9", "--alpha", "x,0.5,y", "--dtype", "int4", "--set", "bus.bandwidth=1 GB/s,2,3", "--hw", "seed")
    assert ran.code == 2
    assert sorted(problem.under for problem in parse(ran.err)) == ["2", "3", "int4", "mobilenet_v9", "x", "y"]


def test_two_networks_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("name: mobilenet_cifar\ninput: [4, 4, 1]\nlayers: [relu]\n")
    ran = run("sweep", "mobilenet_cifar", "mine.yaml")
    (problem,) = parse(ran.err)
    assert (ran.code, problem.code, problem.under) == (2, "U005", "mine.yaml")
    assert problem.message == "a second network is called 'mobilenet_cifar'"


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    ran = run("sweep", "mobilenet_cifar", "-o", str(tmp_path / "x.parquet"))
    assert (ran.code, ran.out) == (2, "")
    assert "error[S404]: pyarrow is not installed" in ran.err
    assert "pip install 'mnsim[parquet]'" in ran.err
