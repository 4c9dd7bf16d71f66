"""How long a command takes: one function for every clock, with numbers or with arrays of many settings."""

from typing import assert_never

from mnsim.program.model import Command, Load, Matrix, Store, Vector
from mnsim.program.rates import Number, Rates


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
