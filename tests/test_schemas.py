"""JSON Schemas: the committed ones are the current ones, and they judge files as the program does."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from mnsim.spec.load import bundled, json_schema
from tests.helpers import ROOT

COMMITTED = {"network": ROOT / "arch" / "network.schema.json", "hardware": ROOT / "hw" / "hardware.schema.json"}
FILES = [(kind, path) for kind in ("network", "hardware") for path in bundled(kind).values()]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["network", "hardware"])
def test_the_committed_schema_has_not_drifted(kind: Any) -> None:
    assert COMMITTED[kind].read_text(encoding="utf-8") == json_schema(kind), "run `make schemas`"


@pytest.mark.parametrize(("kind", "path"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_bundled_files_name_their_schema_and_satisfy_it(kind: str, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    schema = json.loads((path.parent / first.partition("=")[2]).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert not list(Draft202012Validator(schema).iter_errors(yaml.safe_load(text)))
    assert yaml.safe_load(text)["name"] == path.stem


@pytest.mark.parametrize(
    ("memories", "good"),
    [
        ({}, True),
        ({"flash": {"bandwidth": "1 GB/s"}, "nvram_2": {"bandwidth": "1 GB/s", "capacity": "1 MiB", "latency": "5 ns"}}, True),
        ({"flash": {"capacity": "1 MiB"}}, False),
        ({"flash": {"bandwidth": "1 GB/s", "width": 1}}, False),
        (["flash"], False),
        *(
            ({name: {"bandwidth": "1 GB/s"}}, False)
            for name in ("sram", "external", "bus", "matrix", "flash_bus", "Flash", "2nd", "a" * 33)
        ),
    ],
)
def test_schema_and_program_agree_on_memories(memories: object, good: bool) -> None:
    from pydantic import ValidationError

    from mnsim.spec.hardware import HardwareSpec

    sections = {"bus": "bandwidth: 1 GB/s", "internal_memory": "capacity: 1 MiB"}
    units = dict.fromkeys(("matrix_unit", "vector_unit"), "throughput: 1 TFLOPS")
    data = {"name": "n", **{name: yaml.safe_load(text) for name, text in (sections | units).items()}, "further_memories": memories}
    assert Draft202012Validator(json.loads(json_schema("hardware"))).is_valid(data) == good
    try:
        HardwareSpec.model_validate(data)
        accepted = True
    except ValidationError:
        accepted = False
    assert accepted == good


@pytest.mark.parametrize(
    ("layer", "good"),
    [
        ("softmax", True),
        ({"conv": 3, "kernel": [3, 1], "padding": [1, 1, 0, 0], "batch_norm": "unfolded"}, True),
        ({"repeat": 2, "layers": [{"separable": 4}, "relu"]}, True),
        ({"batch_norm": None, "name": "bn"}, True),
        ({"conv": 3}, False),
        ({"conv": 0, "kernel": 3}, False),
        ({"conv": 3, "kernel": 3, "strid": 1}, False),
        ({"name": "nothing"}, False),
        ("convolution", False),
        ({"conv": 3, "kernel": 3, "dense": 3}, False),
        ({"add": ["a"]}, False),
    ],
)
def test_schema_and_program_agree(layer: object, good: bool) -> None:
    from pydantic import ValidationError

    from mnsim.spec.network import NetworkSpec

    data = {"name": "n", "input": [8, 8, 3], "layers": [layer]}
    validator = Draft202012Validator(json.loads(json_schema("network")))
    assert validator.is_valid(data) == good
    try:
        NetworkSpec.model_validate(data)
        accepted = True
    except ValidationError:
        accepted = False
    assert accepted == good
