"""Tables that must agree: each operator has its kernels and its efficiency, each quantity of the hardware file its rate."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from mnsim.explore.evaluate import rates_with
from mnsim.explore.rows import KEYS, own_rates
from mnsim.operators.table import RULES
from mnsim.program.rates import Rates, rates_of
from mnsim.spec.axes import EFFICIENCIES, ENERGIES, RATES, WORDS, rate_column
from mnsim.spec.hardware import HardwareSpec, MatrixEfficiencySpec, VectorEfficiencySpec
from mnsim.spec.network import OPERATORS, Defaults
from mnsim.spec.records import Energies
from mnsim.spec.settings import fields_of
from tests.helpers import run, seed_with

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
    assert {*fields_of(VectorEfficiencySpec)} == vector | {"copy"}
    assert {*fields_of(MatrixEfficiencySpec)} == {kind for kind, rule in RULES.items() if rule.matrix} | {"pointwise"}
    assert {*ACTIVATIONS} - {"none"} <= vector


# ---- hardware


def leaves(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Every key of a file, dotted."""
    for name, field in model.model_fields.items():
        key = f"{above}{field.alias or name}"
        is_section = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        yield from leaves(field.annotation, f"{key}.") if is_section else [key]


QUANTITIES = [key for key in leaves(HardwareSpec) if rate_column(key)]
TIMED = [key for key in QUANTITIES if key not in ENERGIES]


def test_every_key_of_the_hardware_file_is_a_rate_or_planned_with_or_a_word() -> None:
    """And no table has a key that the file does not have."""
    assert {*leaves(HardwareSpec)} == {*QUANTITIES, *KEYS, *WORDS, "name"}
    assert {*RATES, *ENERGIES} <= {*QUANTITIES}
    assert not {*QUANTITIES} & {*KEYS, *WORDS}


def test_the_tables_name_what_the_records_have() -> None:
    assert {*RATES.values(), *(prefix.rstrip("_") for prefix in EFFICIENCIES.values())} == {field.name for field in fields(Rates)}
    assert {*ENERGIES.values()} == {field.name for field in fields(Energies)}


def flat(rates: Rates[Any]) -> dict[str, float]:
    """All numbers, by their columns in a sweep; each array has one. An efficiency that is not said is 1."""
    found = {field.name: getattr(rates, field.name) for field in fields(Rates)}
    shares = {prefix: found.pop(prefix.rstrip("_")) for prefix in EFFICIENCIES.values()}
    kinds = {"matrix_efficiency_": MatrixEfficiencySpec, "vector_efficiency_": VectorEfficiencySpec}
    found |= {f"{prefix}{kind}": shares[prefix].get(kind, 1.0) for prefix in shares for kind in fields_of(kinds[prefix])}
    return {name: float(np.asarray(value).reshape(-1)[0]) for name, value in found.items()}


@pytest.mark.parametrize("key", TIMED)
def test_a_key_sets_its_rate_and_no_other(key: str) -> None:
    """In a single run, in a row of a sweep, and where a sweep varies it: the same number, under the same name."""
    parts, column = key.split("."), rate_column(key)
    assert column is not None
    before, after = seed_with(), seed_with(f"{key}={VALUES[parts[1]]}")
    plain, changed = flat(rates_of(before)), flat(rates_of(after))
    assert {name for name in plain if plain[name] != changed[name]} == {column}
    assert own_rates(after)[column] == changed[column]
    varied = flat(rates_with(before, {column: np.array([changed[column]])}, 1))
    assert varied == changed
