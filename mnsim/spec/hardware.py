"""The hardware file: what its YAML may say."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema, create_model, model_validator

from mnsim.errors import did_you_mean, shown
from mnsim.operators.table import FUSIBLE, MATRIX_KINDS, VECTOR_KINDS
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

LEAST_SHARE = 1e-9  # of a peak: less is no efficiency but a mistake


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise refuse("S104", f"an efficiency must be above 0 and at most 1, got {shown(value)}", "write a share of the peak, such as 0.5")
    if value < LEAST_SHARE:
        raise refuse(
            "S104", f"an efficiency must be at least {LEAST_SHARE:g}, got {shown(value)}", "write a share of the peak, such as 0.5"
        )
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
    """A section with a share of the peak for each kind of operation. `copy` is a method of pydantic's models: its field is `copied`."""
    fields: dict[str, Any] = {kind: (Share, 1.0) for kind in kinds if kind != "copy"}
    if "copy" in kinds:
        fields["copied"] = (Share, Field(default=1.0, alias="copy"))
    return create_model(name, __base__=_Strict, __doc__=about, __module__=__name__, **fields)


if TYPE_CHECKING:

    class MatrixEfficiencySpec(BaseModel): ...

    class VectorEfficiencySpec(BaseModel): ...
else:
    MatrixEfficiencySpec = _efficiency(
        "MatrixEfficiencySpec", "The share of the matrix unit's peak that each kind of layer reaches.", MATRIX_KINDS
    )
    VectorEfficiencySpec = _efficiency(
        "VectorEfficiencySpec", "The share of the vector unit's peak that each operation reaches.", VECTOR_KINDS
    )


class ExternalMemorySpec(_Strict):
    """Memory beyond the bus. Without a capacity it holds any network; the latency is paid once a transfer."""

    kind: Word = "DDR"
    capacity: SizeBytes = unsaid()
    latency: TimeS = Field(default=0.0, json_schema_extra={"default": "0 ns"})
    energy: EnergyPerByteJ = unsaid()


class BusSpec(_Strict):
    """The one bus between external and internal memory, shared by reads and writes."""

    bandwidth: RateBytesPerS


class InternalMemorySpec(_Strict):
    """The on-chip SRAM."""

    capacity: SizeBytes
    energy: EnergyPerByteJ = unsaid()


class MatrixUnitSpec(_Strict):
    """Runs convolutions and fully connected layers; `fused` operations cost nothing on its way out."""

    throughput: ThroughputPerS
    launch_overhead: TimeS = Field(default=0.0, json_schema_extra={"default": "0 ns"})
    efficiency: Annotated[MatrixEfficiencySpec, BeforeValidator(_mapping)] = unsaid()
    fused: Fused = []
    energy: EnergyPerFlopJ = unsaid()


class VectorUnitSpec(_Strict):
    """Runs all other operators."""

    throughput: ThroughputPerS
    launch_overhead: TimeS = Field(default=0.0, json_schema_extra={"default": "0 ns"})
    efficiency: Annotated[VectorEfficiencySpec, BeforeValidator(_mapping)] = unsaid()
    energy: EnergyPerOpJ = unsaid()


class HardwareSpec(_Strict):
    """An accelerator: external memory, a bus, internal memory, a matrix unit and a vector unit.

    Energies, a byte read or written in either memory and an operation of either unit, are given all four or not at all: a sum
    that left one out would be no energy.
    """

    name: Name
    title: Word = ""
    external_memory: ExternalMemorySpec = ExternalMemorySpec()
    bus: BusSpec
    internal_memory: InternalMemorySpec
    matrix_unit: MatrixUnitSpec
    vector_unit: VectorUnitSpec

    @model_validator(mode="after")
    def _all_energies_or_none(self) -> Self:
        parts = ("external_memory", "internal_memory", "matrix_unit", "vector_unit")
        given = [part for part in parts if getattr(self, part).energy is not None]
        if given and len(given) < len(parts):
            missing = [f"{part}.energy" for part in parts if part not in given]
            message = f"{given[0]}.energy is given, but not {', '.join(missing)}"
            raise refuse("S108", message, "give all four energies, or none", (given[0], "energy"))
        return self
