"""A machine's rates, as numbers or as arrays of many settings: all that times depend on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from mnsim.spec.records import Hardware

if TYPE_CHECKING:  # numpy costs start-up time that analysis does not pay
    import numpy as np
    from numpy.typing import NDArray

Number = TypeVar("Number", float, "NDArray[np.float64]")


@dataclass(frozen=True, slots=True)
class Rates(Generic[Number]):
    """All of a machine that a duration depends on. Each is a number, or an array with one number a setting.

    Units: bytes/s, operations/s, seconds. Efficiencies are shares of the peak by kind of operation; a kind that is absent has all of it.
    """

    bus_bandwidth_bytes_per_s: Number
    external_latency_s: Number
    matrix_throughput_per_s: Number
    matrix_launch_overhead_s: Number
    vector_throughput_per_s: Number
    vector_launch_overhead_s: Number
    matrix_efficiency: Mapping[str, Number | float] = field(default_factory=dict)
    vector_efficiency: Mapping[str, Number | float] = field(default_factory=dict)


def rates_of(hardware: Hardware) -> Rates[float]:
    """The rates of a piece of hardware."""
    return Rates(
        hardware.bus_bandwidth_bytes_per_s,
        hardware.external_latency_s,
        hardware.matrix.throughput_per_s,
        hardware.matrix.launch_overhead_s,
        hardware.vector.throughput_per_s,
        hardware.vector.launch_overhead_s,
        dict(hardware.matrix.efficiency),
        dict(hardware.vector.efficiency),
    )
