"""How long a command takes: one function for every clock, with numbers or with arrays of many settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar, assert_never

import numpy as np
from numpy.typing import NDArray

from mnsim.program.model import Command, Load, Matrix, Store, Vector
from mnsim.spec.records import Hardware

Number = TypeVar("Number", float, NDArray[np.float64])


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
    matrix_efficiency: Mapping[str, float] = field(default_factory=dict)
    vector_efficiency: Mapping[str, float] = field(default_factory=dict)


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


def duration_s(command: Command, rates: Rates[Number]) -> Number:
    """Seconds from a command's start to its end.

    A transfer takes bytes / bandwidth and the external memory's latency, matrix work 2 * MACs / throughput (1 MAC = 2 FLOP), vector
    work operations / throughput, each at its kind's efficiency and with its unit's launch overhead.
    """
    match command:
        case Load() | Store():
            return command.moved_bytes / rates.bus_bandwidth_bytes_per_s + rates.external_latency_s
        case Matrix():
            reached = rates.matrix_throughput_per_s * rates.matrix_efficiency.get(command.kernel.operation, 1.0)
            return 2 * command.macs / reached + rates.matrix_launch_overhead_s
        case Vector():
            reached = rates.vector_throughput_per_s * rates.vector_efficiency.get(command.kernel.operation, 1.0)
            return command.vector_ops / reached + rates.vector_launch_overhead_s
        case _:
            assert_never(command)


def work_of(command: Command) -> tuple[str, str, int]:
    """What a duration depends on beside the rates: commands with the same work take the same time."""
    match command:
        case Load() | Store():
            return "bus", "", command.moved_bytes
        case Matrix():
            return "matrix", command.kernel.operation, command.macs
        case Vector():
            return "vector", command.kernel.operation, command.vector_ops
        case _:
            assert_never(command)
