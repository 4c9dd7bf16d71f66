"""The energy of a plan, where the hardware file says what a byte and an operation take: in closed form, from
its classes of tiles; and the energy of any program, counted command by command.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

from mnsim.analysis.cost import layer_traffic
from mnsim.clocks.rates import Number
from mnsim.graph.model import BIAS_BYTES, Graph, Operator
from mnsim.graph.operators import output_stage, vector_work
from mnsim.operators.quantities import ENERGIES
from mnsim.plan.model import Cut, Plan
from mnsim.plan.pieces import TileClass, tile_classes
from mnsim.program.model import Matrix, Memory, Program, Vector
from mnsim.spec.records import Energies, Hardware, energies_of


class Amounts(NamedTuple):
    """What takes energy: bytes read and written in each memory, and operations of each unit (2 a MAC)."""

    external_bytes: int
    sram_bytes: int
    matrix_ops: int
    vector_ops: int


@dataclass(frozen=True, slots=True)
class LayerEnergy:
    """Bytes that a layer's commands read and write in each memory, their operations (2 a MAC), and the joules
    of all that.

    assumption: a tile reads each byte of its operands from SRAM once, and registers inside the units are a
    part of the energy of an operation; time costs nothing (no leakage), for no file says what it would.
    """

    external_bytes: int
    sram_bytes: int
    matrix_ops: int
    vector_ops: int
    energy_j: float


def layer_energies(graph: Graph, plan: Plan, energies: Energies) -> tuple[LayerEnergy, ...]:
    """The energy of every layer, in the order of the graph's operators."""
    each_j = [getattr(energies, quantity.column) for quantity in ENERGIES]
    return tuple(LayerEnergy(*amounts, joules(amounts, each_j)) for amounts in layer_amounts(graph, plan))


def layer_amounts(graph: Graph, plan: Plan) -> tuple[Amounts, ...]:
    """What takes energy in every layer, in the order of the graph's operators."""
    found = {cut.operator: _amounts(graph, plan, cut) for cut in plan.cuts}
    return tuple(found[operator.index] for operator in graph.operators)


def joules(amounts: Amounts, each_j: Sequence[Number]) -> Number:
    """The amounts times the joules of each byte and operation, which are numbers, or arrays of many settings.

    Both are in the order of `Amounts`, which is the table's.
    """
    first, *others = (amount * each for amount, each in zip(amounts, each_j, strict=True))
    return reduce(add, others, first)


@dataclass(frozen=True, slots=True)
class ProgramEnergy:
    """Bytes that a program's commands read and write in each of its memories, their operations (2 a MAC), and
    the joules of all that.
    """

    memory_bytes: Mapping[Memory, int]
    matrix_ops: int
    vector_ops: int
    energy_j: float


def program_energy(program: Program, hardware: Hardware) -> ProgramEnergy:
    """The energy of a program, whatever made it, counted command by command, in every memory that it uses.

    Raises ValueError where the hardware says no energies, or none of a memory that the program uses.
    """
    used, each_j = dict.fromkeys(program.memories, 0), energies_of(hardware)
    macs = vector_ops = 0
    for command in program.commands:
        for region in (*command.reads, *command.writes):
            used[region.memory] += region.size_bytes
        macs += command.macs if isinstance(command, Matrix) else 0
        vector_ops += command.vector_ops if isinstance(command, Vector) else 0
    unknown = [memory for memory in used if memory not in each_j]
    if hardware.energies is None or unknown:
        raise ValueError(f"{hardware.name} says no energy of {' and '.join(unknown)}")
    moved_j = sum(size * each_j[memory] for memory, size in used.items())
    worked_j = 2 * macs * hardware.energies.matrix_j_per_op + vector_ops * hardware.energies.vector_j_per_op
    return ProgramEnergy(used, 2 * macs, vector_ops, moved_j + worked_j)


def _amounts(graph: Graph, plan: Plan, cut: Cut) -> Amounts:
    """A layer's amounts: a transfer reads its bytes in one memory and writes them in the other, a tile reads
    and writes SRAM.
    """
    operator = graph.operators[cut.operator]
    moved = layer_traffic(graph, cut).total_bytes
    worked = sum(each.steps * _tile_bytes(plan, operator, cut, each) for each in tile_classes(cut.geometry, cut.tiling))
    return Amounts(moved, moved + worked, 2 * operator.macs, sum(ops for _, ops in vector_work(operator, plan.fused)))


def _tile_bytes(plan: Plan, operator: Operator, cut: Cut, tile: TileClass) -> int:
    """Bytes of SRAM that the computations of one step read and write."""
    geometry, planes = cut.geometry, operator.weights.planes
    written = tile.rows * geometry.out_row_bytes * tile.out_channels
    if operator.copied:
        return 2 * written
    inputs = len(operator.inputs) * tile.covered_rows * geometry.in_row_bytes * tile.in_channels
    number_bytes, partial_bytes = BIAS_BYTES * tile.out_channels, tile.rows * geometry.partial_row_bytes * tile.out_channels
    norm_bytes = sum(name != "bias" for name in planes) * number_bytes
    stages = vector_work(operator, plan.fused)
    worked = inputs
    if operator.macs:
        worked += geometry.kernel_bytes * tile.in_channels // tile.groups * tile.out_channels
        worked += planes.count("bias") * number_bytes if tile.is_first else partial_bytes
        worked += written if tile.is_last else partial_bytes
        worked += norm_bytes if tile.is_last and "batch_norm" in output_stage(operator, plan.fused) else 0
    else:
        worked += written + (norm_bytes if operator.kind == "batch_norm" else 0)
        stages = stages[1:]
    if tile.is_last:
        worked += sum(2 * written + (norm_bytes if name == "batch_norm" else 0) for name, _ in stages)
    return worked
