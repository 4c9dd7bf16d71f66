"""The energy of a program's commands, where the hardware file says what a byte and an operation take."""

from typing import assert_never

from mnsim.program.model import Command, Load, Matrix, Program, Store, Vector
from mnsim.spec.records import Energies


def layer_energies_j(program: Program, energies: Energies) -> dict[str, float]:
    """Joules by layer: the sum over its commands."""
    found: dict[str, float] = {}
    for command in program.commands:
        found[command.layer] = found.get(command.layer, 0.0) + energy_j(command, energies)
    return found


def energy_j(command: Command, energies: Energies) -> float:
    """Joules of one command: every byte that it reads or writes, in whichever memory, and every operation (2 a MAC).

    assumption: a tile reads each byte of its operands from SRAM once, and registers inside the units are a part of the energy of
    an operation; time costs nothing (no leakage), for no file says what it would.
    """
    sizes = {"sram": 0, "external": 0}
    for region in (*command.reads, *command.writes):
        sizes[region.memory] += region.size_bytes
    moved = sizes["external"] * energies.external_j_per_byte + sizes["sram"] * energies.sram_j_per_byte
    match command:
        case Load() | Store():
            return moved
        case Matrix():
            return moved + 2 * command.macs * energies.matrix_j_per_op
        case Vector():
            return moved + command.vector_ops * energies.vector_j_per_op
        case _:
            assert_never(command)
