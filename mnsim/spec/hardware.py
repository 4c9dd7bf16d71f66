"""The hardware file: what its YAML may say."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from mnsim.errors import did_you_mean
from mnsim.spec.fields import Name, RateBytesPerS, SizeBytes, ThroughputPerS, TimeS, Word, refuse

MATRIX_OPERATIONS = ("conv", "depthwise", "pointwise", "dense")
VECTOR_OPERATIONS = (
    "relu", "relu6", "batch_norm", "max_pool", "avg_pool", "global_max_pool", "global_avg_pool", "add", "softmax", "copy",
)  # fmt: skip
FUSIBLE = ("batch_norm", "relu", "relu6")


def _efficiency(kind: str, value: Any) -> tuple[str, float]:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        message = f"the efficiency of {kind} must be above 0 and at most 1, got {value!r}"
        raise refuse("S104", message, "write a share of the peak, such as 0.5", kind)
    return kind, float(value)


def _efficiencies(kinds: tuple[str, ...]) -> Any:
    """The annotations of a mapping from kinds of operation to the share of the peak that each reaches (default 1)."""

    def read(value: Any) -> tuple[tuple[str, float], ...]:
        if not isinstance(value, dict):
            raise refuse("S103", f"expected a mapping, got {value!r}", f"write it like {{{kinds[0]}: 0.5}}")
        for kind in value:
            if kind not in kinds:
                raise refuse("S102", f"unknown kind of operation '{kind}'", did_you_mean(kind, kinds), kind)
        return tuple(_efficiency(kind, share) for kind, share in value.items())

    share = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    schema = {"type": "object", "properties": dict.fromkeys(kinds, share), "additionalProperties": False}
    return (PlainValidator(read), WithJsonSchema(schema))


def _fused(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise refuse("S103", f"expected a list, got {value!r}", "write it like [relu, relu6]")
    for operation in value:
        if operation not in FUSIBLE:
            raise refuse("S107", f"{operation!r} cannot be fused", did_you_mean(str(operation), FUSIBLE))
    return tuple(dict.fromkeys(value))


MatrixEfficiencies = Annotated[tuple[tuple[str, float], ...], *_efficiencies(MATRIX_OPERATIONS)]
VectorEfficiencies = Annotated[tuple[tuple[str, float], ...], *_efficiencies(VECTOR_OPERATIONS)]
Fused = Annotated[
    tuple[str, ...], PlainValidator(_fused), WithJsonSchema({"type": "array", "items": {"enum": list(FUSIBLE)}, "uniqueItems": True})
]  # fmt: skip


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class ExternalMemorySpec(_Strict):
    """Memory beyond the bus. Without a capacity it holds any network; the latency is paid once a transfer."""

    kind: Word = "DDR"
    capacity: SizeBytes | None = None
    latency: TimeS = Field(default=0.0, json_schema_extra={"default": "0 ns"})


class BusSpec(_Strict):
    """The one bus between external and internal memory, shared by reads and writes."""

    bandwidth: RateBytesPerS


class InternalMemorySpec(_Strict):
    """The on-chip SRAM."""

    capacity: SizeBytes


class MatrixUnitSpec(_Strict):
    """Runs convolutions and fully connected layers; `fused` operations cost nothing on its way out."""

    throughput: ThroughputPerS
    launch_overhead: TimeS = Field(default=0.0, json_schema_extra={"default": "0 ns"})
    efficiency: MatrixEfficiencies = ()
    fused: Fused = ()


class VectorUnitSpec(_Strict):
    """Runs all other operators."""

    throughput: ThroughputPerS
    launch_overhead: TimeS = Field(default=0.0, json_schema_extra={"default": "0 ns"})
    efficiency: VectorEfficiencies = ()


class HardwareSpec(_Strict):
    """An accelerator: external memory, a bus, internal memory, a matrix unit and a vector unit."""

    name: Name
    title: Word = ""
    external_memory: ExternalMemorySpec = ExternalMemorySpec()
    bus: BusSpec
    internal_memory: InternalMemorySpec
    matrix_unit: MatrixUnitSpec
    vector_unit: VectorUnitSpec
