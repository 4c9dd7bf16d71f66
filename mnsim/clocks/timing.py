"""How long a command takes: one function for every clock, with numbers or with arrays of many settings."""

from typing import assert_never

from mnsim.clocks.rates import Number, Rates
from mnsim.program.model import Command, EngineName, Load, Matrix, Store, Vector
from mnsim.spec.records import MATRIX, VECTOR

Work = tuple[EngineName, str, int]  # the engine, the kind of operation, and its amount: bytes, FLOP, vector operations


def duration_s(command: Command, rates: Rates[Number]) -> Number:
    """Seconds from a command's start to its end.

    Its amount of work / what its kind reaches of its engine's throughput, and each of the engine's
    overheads: a transfer takes bytes / bandwidth and the latency of the memory outside, matrix work 2 *
    MACs / throughput (1 MAC = 2 FLOP), vector work operations / throughput.
    """
    name, kind, amount = work_of(command)
    engine = rates.engines[name]
    spent = amount / engine.reached(kind)
    for overhead in engine.overheads:
        spent = spent + overhead
    return spent


def work_of(command: Command) -> Work:
    """What a duration depends on beside the rates: commands with the same work take the same time."""
    match command:
        case Load() | Store():
            return command.bus, "", command.moved_bytes
        case Matrix():
            return MATRIX, command.kernel.operation, 2 * command.macs
        case Vector():
            return VECTOR, command.kernel.operation, command.vector_ops
        case _:
            assert_never(command)
