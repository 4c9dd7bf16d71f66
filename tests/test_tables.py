"""Tables that must agree: each operator has its kernels and its efficiency, each quantity of the hardware file its rate."""

import ast
import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from mnsim.analysis.energy import Amounts
from mnsim.clocks.rates import rates_of
from mnsim.explore.evaluate import rates_with
from mnsim.operators.quantities import EFFICIENCIES, ENERGIES, FURTHER, OF_FURTHER, QUANTITIES, TAKEN, Quantity, rate_column
from mnsim.operators.table import RULES
from mnsim.spec.axes import KEYS, WORDS
from mnsim.spec.hardware import HardwareSpec
from mnsim.spec.network import OPERATORS, Defaults
from mnsim.spec.records import Energies, OutsideMemory, amount_of, own_rates, with_amount
from mnsim.spec.settings import entry_of, fields_of
from tests.helpers import ROOT, run, seed_with

ACTIVATIONS = Defaults.model_json_schema()["properties"]["activation"]["enum"]
DTYPES = ("int8", "float32")
VALUES = {"bandwidth": "3 GB/s", "latency": "7 ns", "throughput": "3 GFLOPS", "launch_overhead": "7 ns", "efficiency": "0.5"}


# ---- operators


def example(kind: str) -> str:
    """A layer of this kind, written from what its specification needs."""
    own = OPERATORS[kind].model_fields
    value = {"nothing": None, "inputs": "[first, second]", "channels": 4, "kernel": 3}
    needed = {field.alias or name: value[name] for name, field in own.items() if field.is_required()}
    return kind if needed[kind] is None else "{" + ", ".join(f"{key}: {given}" for key, given in needed.items()) + "}"


def proved(layer: str, dtype: str, folder: Path) -> None:
    """The layer runs on whole tensors and as a program on bytes, with the same result."""
    path = folder / "network.yaml"
    stem = "{conv: 4, kernel: 3, name: first}\n  - {conv: 4, kernel: 1, name: second}"
    path.write_text(f"name: test\ninput: [6, 6, 3]\nlayers:\n  - {stem}\n  - {layer}\n")
    ran = run("verify", str(path), "--dtype", dtype)
    assert (ran.code, ran.err) == (0, ""), ran
    assert "dentical" in ran.out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", RULES)
def test_every_operator_has_its_kernels(kind: str, dtype: str, tmp_path: Path) -> None:
    proved(example(kind), dtype, tmp_path)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("word", ACTIVATIONS)
def test_every_activation_has_its_kernels(word: str, dtype: str, tmp_path: Path) -> None:
    proved(f"{{conv: 4, kernel: 3, activation: {word}}}", dtype, tmp_path)


def test_every_operator_that_computes_has_an_efficiency() -> None:
    vector = {kind for kind, rule in RULES.items() if not rule.matrix and rule.memory != "renames"}
    matrix = {kind for kind, rule in RULES.items() if rule.matrix} | {"pointwise"}
    for unit, kinds in (("matrix_unit", matrix), ("vector_unit", vector | {"copy"})):
        assert {*fields_of(fields_of(fields_of(HardwareSpec)[unit].annotation)["efficiency"].annotation)} == kinds
    assert {*ACTIVATIONS} - {"none"} <= vector


# ---- hardware


def leaves(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Every key of a file, dotted."""
    for name, field in fields_of(model).items():
        key = f"{above}{name}"
        yield from leaves(field.annotation, f"{key}.") if fields_of(field.annotation) else [key]


LEAVES = [
    *(quantity.key for quantity in QUANTITIES if not quantity.kinds),
    *(f"{quantity.key}.{kind}" for quantity in EFFICIENCIES for kind in quantity.kinds),
]
TIMED_KEYS = [key for key in leaves(HardwareSpec) if rate_column(key) and not key.endswith(".energy")]


def test_every_key_of_the_hardware_file_is_a_quantity_or_a_word() -> None:
    """And the table has no key that the file does not have."""
    assert sorted(leaves(HardwareSpec)) == sorted([*LEAVES, *WORDS, "name", "matrix_unit.fused", FURTHER])
    assert {*KEYS} == {quantity.key for quantity in QUANTITIES if quantity.role == "capacity"} | {"matrix_unit.fused"}


def test_every_key_of_a_further_memory_is_a_quantity() -> None:
    """And each has its place in the record."""
    entry = entry_of(fields_of(HardwareSpec)[FURTHER].annotation)
    assert sorted(leaves(entry)) == sorted(quantity.key for quantity in OF_FURTHER)
    assert {field.name for field in fields(OutsideMemory)} == {"name", "bus", *(quantity.column for quantity in OF_FURTHER)}
    assert {quantity.part for quantity in QUANTITIES} < {*TAKEN}


def test_no_quantity_is_another() -> None:
    for names in zip(*((quantity.key, quantity.column, quantity.field) for quantity in QUANTITIES), strict=True):
        assert len({*names}) == len(names)
    assert {quantity.column for quantity in ENERGIES} == {field.name for field in fields(Energies)}
    assert [quantity.part for quantity in ENERGIES] == [name.split("_")[0] for name in Amounts._fields]  # what `joules` pairs


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.key)
def test_an_amount_that_is_put_in_is_there_and_nothing_else_changes(quantity: Quantity) -> None:
    machine = seed_with(*(f"{energy.key}=1 {energy.unit.replace('J', 'pJ')}" for energy in ENERGIES))
    amount = (("relu", 0.5),) if quantity.kinds else 12345
    changed = with_amount(machine, quantity, amount)
    assert amount_of(changed, quantity) == amount
    assert changed == with_amount(machine, quantity, amount) != machine
    for other in QUANTITIES:
        if other != quantity:
            assert amount_of(changed, other) == amount_of(machine, other)


@pytest.mark.parametrize("key", TIMED_KEYS)
def test_a_key_sets_its_rate_and_no_other(key: str) -> None:
    """In a single run, in a row of a sweep, and where a sweep varies it: the same number, under the same name."""
    name, column = key.split(".")[1], rate_column(key)
    assert column is not None
    before, after = seed_with(), seed_with(f"{key}={VALUES[name]}")
    plain, changed = rates_of(before).columns, rates_of(after).columns
    assert {each for each in changed if plain.get(each, 1.0) != changed[each]} == {column}
    assert own_rates(after)[column] == changed[column]
    varied = rates_with(before, {column: np.array([changed[column]])}, 1)
    assert {each: float(values[0]) for each, values in varied.columns.items()} == changed


@pytest.mark.parametrize("key", TIMED_KEYS)
def test_a_rate_is_its_engines(key: str) -> None:
    """What a command of each engine takes changes with that engine's rates alone."""
    (quantity,) = (each for each in QUANTITIES if key == each.key or (each.kinds and key.startswith(f"{each.key}.")))
    kind = key.removeprefix(quantity.key).strip(".")
    before, after = (rates_of(seed_with(*settings)) for settings in ((), (f"{key}={VALUES[key.split('.')[1]]}",)))
    changed = {name for name in before.engines if before.engines[name] != after.engines[name]}
    assert changed == {quantity.part}
    engine, then = before.engines[quantity.part], after.engines[quantity.part]
    assert (then.reached(kind) != engine.reached(kind)) == (quantity.role != "overhead")


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The string literals of a file, without its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def test_no_quantity_is_named_outside_the_table() -> None:
    """Neither a key nor a column, nor a field: every list of them is read off the table."""
    names = {name for quantity in QUANTITIES for name in (quantity.key, quantity.column, quantity.field)} - {""}
    for path in sorted((ROOT / "mnsim").rglob("*.py")):
        if path.name != "quantities.py":
            assert not [(path.name, line, text) for line, text in strings(path) if text in names]


ROW = r"""
import sys
from mnsim.operators import quantities
row = quantities.Quantity("bus.launch_overhead", "bus_launch_overhead_s", "overhead", "bus", "s", "bus launch",
    resource=quantities.Resource("bus_launch", "bus launch", "the bus's launch overhead", "cut the bus's launch overhead"))
source = open(quantities.__file__, encoding="utf-8").read()
start = source.index("QUANTITIES: tuple[Quantity, ...] = (") + len("QUANTITIES: tuple[Quantity, ...] = (")
end = source.index("\n)  # fmt: skip", start)
exec(compile(source[:end] + "\n    " + repr(row) + "," + source[end:], "table", "exec"), quantities.__dict__)
from mnsim.cli.main import main
sys.exit(main(sys.argv[1:]))
"""  # the table as it is with one row more, before anything reads it


def with_row(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", ROW, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


SLOW = ("--set", "bus.launch_overhead=3 us")


def test_a_row_of_the_table_is_all_that_a_new_overhead_takes(tmp_path: Path) -> None:
    """It is in the file and its schema, in `--set`, the clocks and the closed form, results, sweeps, derivations and `why`."""
    schema = json.loads(with_row("schema", "hardware"))
    assert "launch_overhead" in schema["$defs"]["BusSpec"]["properties"]
    network = "mobilenet_cifar"
    plain, slow = (json.loads(with_row("simulate", network, "--format", "json", *given)) for given in ((), SLOW))
    assert (plain["hardware"]["bus_launch_overhead_s"], slow["hardware"]["bus_launch_overhead_s"]) == (0, 3e-6)
    # a transfer takes as long as with as much latency more, which the code knows: the sums are the same
    known = json.loads(run("simulate", network, "--format", "json", "--set", "external_memory.latency=3 us").out)
    assert slow["total"] == known["total"] != plain["total"]
    assert slow["layers"] == known["layers"]
    path = tmp_path / "rows.csv"
    with_row("sweep", network, "--set", "bus.launch_overhead=0 ns,3 us", "--jobs", "1", "--format", "csv", "-o", str(path))
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [row["bus_launch_overhead_s"] for row in rows] == ["0.0", "3e-06"]
    assert [float(row["simulated_time_s"]) for row in rows] == [each["total"]["simulated_time_s"] for each in (plain, slow)]
    assert "transfers * launch overhead" in with_row("analyze", network, "--layer", "conv1", *SLOW)
    gains = {gain["resource"]: gain for gain in json.loads(with_row("why", network, "--format", "json", *SLOW))["resources"]}
    assert (gains["bus_launch"]["now"], gains["bus_launch"]["key"]) == (3e-6, "bus.launch_overhead")
    assert gains["bus_launch"]["saved_at_most_s"] > 0
