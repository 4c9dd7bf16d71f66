"""The energy of a program's commands, where the hardware file says what a byte and an operation take."""

from dataclasses import dataclass
from typing import NamedTuple, assert_never

from mnsim.program.model import Command, Load, Matrix, Program, Store, Vector
from mnsim.program.rates import Number
from mnsim.spec.records import Energies


class Amounts(NamedTuple):
    """What takes energy: bytes read and written in each memory, and operations of each unit (2 a MAC)."""

    external_bytes: int
    sram_bytes: int
    matrix_ops: int
    vector_ops: int


@dataclass(frozen=True, slots=True)
class LayerEnergy:
    """Bytes that a layer's commands read and write in each memory, their operations (2 a MAC), and the joules of all that.

    assumption: a tile reads each byte of its operands from SRAM once, and registers inside the units are a part of the energy of
    an operation; time costs nothing (no leakage), for no file says what it would.
    """

    external_bytes: int
    sram_bytes: int
    matrix_ops: int
    vector_ops: int
    energy_j: float


NO_ENERGY = LayerEnergy(0, 0, 0, 0, 0.0)


def layer_energies(program: Program, energies: Energies) -> dict[str, LayerEnergy]:
    """The energy of every layer that has commands, by name."""
    each_j = (energies.external_j_per_byte, energies.sram_j_per_byte, energies.matrix_j_per_op, energies.vector_j_per_op)
    return {layer: LayerEnergy(*amounts, joules(amounts, each_j)) for layer, amounts in layer_amounts(program).items()}


def layer_amounts(program: Program) -> dict[str, Amounts]:
    """What takes energy in every layer that has commands, by name."""
    counted: dict[str, list[int]] = {}
    for command in program.commands:
        sums = counted.setdefault(command.layer, [0, 0, 0, 0])
        for place, amount in enumerate(_amounts(command)):
            sums[place] += amount
    return {layer: Amounts(*sums) for layer, sums in counted.items()}


def joules(amounts: Amounts, each_j: tuple[Number, Number, Number, Number]) -> Number:
    """The energy of the amounts at so much for each, in the order of `Amounts`: numbers, or arrays of many settings."""
    external, sram, matrix, vector = each_j
    moved = amounts.external_bytes * external + amounts.sram_bytes * sram
    return moved + amounts.matrix_ops * matrix + amounts.vector_ops * vector


def _amounts(command: Command) -> tuple[int, int, int, int]:
    """A command's amounts, in the order of `Amounts`."""
    external = sram = 0
    for region in (*command.reads, *command.writes):
        if region.memory == "sram":
            sram += region.size_bytes
        else:
            external += region.size_bytes
    match command:
        case Load() | Store():
            return external, sram, 0, 0
        case Matrix():
            return external, sram, 2 * command.macs, 0
        case Vector():
            return external, sram, 0, command.vector_ops
        case _:
            assert_never(command)
