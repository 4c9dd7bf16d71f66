"""The hardware file: what its YAML may say."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema, create_model, model_validator

from mnsim.errors import did_you_mean, shown
from mnsim.operators.quantities import ENERGIES, FURTHER, OF_FURTHER, QUANTITIES, TAKEN, Quantity, Role
from mnsim.operators.table import FUSIBLE
from mnsim.spec.fields import (
    EnergyPerByteJ,
    EnergyPerFlopJ,
    EnergyPerOpJ,
    Name,
    RateBytesPerS,
    SizeBytes,
    ThroughputPerS,
    TimeS,
    Word,
    refuse,
    unsaid,
)
from mnsim.spec.records import BUS, MATRIX

LEAST_SHARE = 1e-9  # of a peak: less is no efficiency but a mistake


def _share(value: Any) -> float:
    remedy = "write a share of the peak, such as 0.5"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse("S104", f"an efficiency must be a number, above 0 and at most 1, got {shown(value)}", remedy)
    if not 0 < value <= 1:
        raise refuse("S104", f"an efficiency must be above 0 and at most 1, got {shown(value)}", remedy)
    if value < LEAST_SHARE:
        raise refuse("S104", f"an efficiency must be at least {LEAST_SHARE:g}, got {shown(value)}", remedy)
    return float(value)


def _mapping(value: Any) -> Any:
    if not isinstance(value, dict):
        raise refuse("S103", f"expected a mapping, got {shown(value)}", "write it like {conv: 0.5}")
    return value


def _fusible(value: Any) -> str:
    if value not in FUSIBLE:
        remedy = did_you_mean(value if isinstance(value, str) else "", FUSIBLE)
        raise refuse("S107", f"{shown(value)} cannot be fused", remedy)
    return str(value)


def _list(value: Any) -> Any:
    if not isinstance(value, list):
        raise refuse("S103", f"expected a list, got {shown(value)}", "write it like [relu, relu6]")
    return value


LONGEST_MEMORY_NAME = 32
_MEMORY_NAME = re.compile(r"[a-z][a-z0-9_]*")
_BUS_NAME = f"_{BUS}"  # the end of a bus's name


def _memory_name(value: Any) -> str:
    """The name of a further memory: a word by which columns and tracks can be called, too."""
    name, remedy = shown(value), "write a word of your own, such as flash"
    if not isinstance(value, str) or not _MEMORY_NAME.fullmatch(value):
        raise refuse("S103", f"{name} cannot be a memory's name", "use small letters, digits and '_'; start with a letter")
    if len(value) > LONGEST_MEMORY_NAME:
        raise refuse("S103", f"{name} cannot be a memory's name: it is too long", f"use at most {LONGEST_MEMORY_NAME} letters")
    if value in TAKEN:
        raise refuse("S103", f"{name} is the name of another part of the machine", remedy)
    if value.endswith(_BUS_NAME):
        raise refuse("S103", f"{name} is the name of a bus: that of a memory called {name[1 : -len(_BUS_NAME) - 1]!r}", remedy)
    return value


_NAMES = f"^(?!({'|'.join(TAKEN)})$)(?!.*{_BUS_NAME}$){_MEMORY_NAME.pattern}$"
MemoryName = Annotated[
    str, PlainValidator(_memory_name), WithJsonSchema({"type": "string", "pattern": _NAMES, "maxLength": LONGEST_MEMORY_NAME})
]  # fmt: skip
Share = Annotated[
    float, PlainValidator(_share), WithJsonSchema({"type": "number", "minimum": LEAST_SHARE, "maximum": 1})
]  # fmt: skip
Fused = Annotated[
    list[Annotated[str, PlainValidator(_fusible), WithJsonSchema({"enum": list(FUSIBLE)})]],
    BeforeValidator(_list),
    Field(json_schema_extra={"uniqueItems": True}),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


def _efficiency(name: str, about: str, kinds: Iterable[str]) -> type[BaseModel]:
    """A section with a share of the peak for each kind of operation. `copy` is a method of pydantic's
    models: its field is `copied`.
    """
    fields: dict[str, Any] = {kind: (Share, 1.0) for kind in kinds if kind != "copy"}
    if "copy" in kinds:
        fields["copied"] = (Share, Field(default=1.0, alias="copy"))
    return create_model(name, __base__=_Strict, __doc__=about, __module__=__name__, **fields)


def _field(quantity: Quantity) -> tuple[Any, Any]:
    """A quantity's type, by its unit, and its default."""
    if quantity.kinds:
        what = "kind of layer" if quantity.part == MATRIX else "operation"
        about = f"The share of the {quantity.part} unit's peak that each {what} reaches."
        shares = _efficiency(f"{quantity.part.capitalize()}EfficiencySpec", about, quantity.kinds)
        return Annotated[shares, BeforeValidator(_mapping)], unsaid()
    if quantity.role == "overhead":
        return _TYPES[quantity.unit], Field(default=0.0, json_schema_extra={"default": "0 ns"})
    return _TYPES[quantity.unit], ... if quantity.is_needed else unsaid()


def _fields(section: str, *roles: Role) -> dict[str, Any]:
    """A section's quantities of these roles, or all of them."""
    return {
        quantity.name: _field(quantity) for quantity in QUANTITIES if quantity.section == section and (not roles or quantity.role in roles)
    }


def _section(name: str, about: str, fields: dict[str, Any]) -> type[BaseModel]:
    return create_model(name, __base__=_Strict, __doc__=about, __module__=__name__, **fields)


_TYPES: dict[str, Any] = {
    "B/s": RateBytesPerS,
    "B": SizeBytes,
    "s": TimeS,
    "FLOPS": ThroughputPerS,
    "J/B": EnergyPerByteJ,
    "J/FLOP": EnergyPerFlopJ,
    "J/OP": EnergyPerOpJ,
}
_RUN: tuple[Role, ...] = ("throughput", "overhead", "efficiency")

if TYPE_CHECKING:  # what mypy sees of the sections that the table makes

    class ExternalMemorySpec(_Strict):
        kind: str = "DDR"

    class BusSpec(_Strict): ...

    class InternalMemorySpec(_Strict): ...

    class MatrixUnitSpec(_Strict):
        fused: list[str]

    class VectorUnitSpec(_Strict): ...

    class FurtherMemorySpec(_Strict):
        energy: float | None
else:
    ExternalMemorySpec = _section(
        "ExternalMemorySpec",
        "Memory beyond the bus. Without a capacity it holds any network; the latency is paid once a transfer.",
        {"kind": (Word, "DDR"), **_fields("external_memory")},
    )
    BusSpec = _section("BusSpec", "The one bus between external and internal memory, shared by reads and writes.", _fields("bus"))
    InternalMemorySpec = _section("InternalMemorySpec", "The on-chip SRAM.", _fields("internal_memory"))
    MatrixUnitSpec = _section(
        "MatrixUnitSpec",
        "Runs convolutions and fully connected layers; `fused` operations cost nothing on its way out.",
        {**_fields("matrix_unit", *_RUN), "fused": (Fused, []), **_fields("matrix_unit", "energy")},
    )
    VectorUnitSpec = _section("VectorUnitSpec", "Runs all other operators.", _fields("vector_unit"))
    FurtherMemorySpec = _section(
        "FurtherMemorySpec",
        "Another memory outside of the chip, on a bus of its own. Plans put nothing there yet.",
        {quantity.name: _field(quantity) for quantity in OF_FURTHER},
    )


class HardwareSpec(_Strict):
    """An accelerator: external memory, a bus, internal memory, a matrix unit and a vector unit; further
    memories, by name.

    Energies, a byte read or written in each memory and an operation of either unit, are given all or not at
    all: a sum that left one out would be no energy.
    """

    name: Name
    title: Word = ""
    external_memory: ExternalMemorySpec = ExternalMemorySpec()
    bus: BusSpec
    internal_memory: InternalMemorySpec
    matrix_unit: MatrixUnitSpec
    vector_unit: VectorUnitSpec
    further_memories: Annotated[dict[MemoryName, FurtherMemorySpec], Field(json_schema_extra={"additionalProperties": False})] = {}

    @model_validator(mode="after")
    def _all_energies_or_none(self) -> Self:
        energies = {each.key: getattr(getattr(self, each.section), each.name) for each in ENERGIES}
        energies |= {f"{FURTHER}.{name}.energy": memory.energy for name, memory in self.further_memories.items()}
        given = [key for key, energy in energies.items() if energy is not None]
        if given and len(given) < len(energies):
            missing = [key for key in energies if key not in given]
            message = f"{given[0]} is given, but not {', '.join(missing)}"
            all_of_them = "the energies of all memories and both units" if self.further_memories else "all four energies"
            raise refuse("S108", message, f"give {all_of_them}, or none", tuple(given[0].split(".")))
        return self
