"""The form of a program: each command by itself, without the effects of the others."""

from collections.abc import Mapping
from math import prod
from typing import assert_never

from mnsim.errors import ProgramError
from mnsim.graph.model import BIAS_BYTES, ELEMENT_BYTES, PARTIAL_SUM_BYTES
from mnsim.program.atoms import Runs, runs_of
from mnsim.program.model import Command, EngineName, Kernel, Load, Matrix, Memory, Program, Region, Store, Vector
from mnsim.spec.records import SRAM, Hardware, memories_of

_WORDS = {SRAM: "internal"}  # memories that messages call otherwise
MOST_VALUES = 2**31  # value numbers stand in arrays of 4-byte integers


def check_form(program: Program, hardware: Hardware) -> dict[Memory, set[Runs]]:
    """Check the sizes of the memories and the form of every command. Returns the runs that lie in
    each memory. Raises ProgramError.
    """
    machine, sizes = memories_of(hardware), program.memories
    for name, size in sizes.items():
        if name not in machine:
            raise ProgramError(-1, f"it uses a memory '{name}': the hardware has {', '.join(machine)}")
        capacity = machine[name].capacity_bytes
        if capacity is not None and size > capacity:
            raise ProgramError(-1, f"it uses {size:,} bytes of {_WORDS.get(name, name)} memory, which has {capacity:,}")
    known: dict[Memory, set[Runs]] = {name: set() for name in (*machine, *sizes)}
    for region in (*program.inputs, *program.weights, *program.outputs):
        if region.memory == SRAM or region.memory not in sizes:
            raise ProgramError(-1, f"inputs, weights and outputs lie in external memory, not {shown(region)}")
        _check_region(-1, region, sizes, known)
    outside = {spec.bus: name for name, spec in machine.items() if name in sizes}
    for place, command in enumerate(program.commands):
        _check_waits(place, command)
        source, target = _sides(place, command, outside)
        for region in command.reads:
            if region.memory != source:
                raise ProgramError(place, f"a {type(command).__name__} reads {source}, not {shown(region)}")
            _check_region(place, region, sizes, known)
        for region in command.writes:
            if region.memory != target:
                raise ProgramError(place, f"a {type(command).__name__} writes {target}, not {shown(region)}")
            _check_region(place, region, sizes, known)
        _check_work(place, command)
    return known


def shown(region: Region) -> str:
    """A region in a message: its memory and interval, and its runs where there are several."""
    strided = f" ({region.runs} runs of {region.run_bytes} every {region.stride_bytes})" if region.runs > 1 else ""
    return f"{region.memory} [{region.start}, {region.end}){strided}"


def _sides(place: int, command: Command, outside: Mapping[EngineName | None, Memory]) -> tuple[Memory, Memory]:
    """The memories that a command reads and writes; `outside` has the memory at the other end of each bus."""
    match command:
        case Load() | Store():
            if command.bus not in outside:
                raise ProgramError(place, f"it uses a bus '{command.bus}', behind which the program has no memory")
            there = outside[command.bus]
            return (there, SRAM) if isinstance(command, Load) else (SRAM, there)
        case Matrix() | Vector():
            return SRAM, SRAM
        case _:
            assert_never(command)


def _check_waits(place: int, command: Command) -> None:
    """Ids are places, and waits point back: then the list is an order that can run, and in-order queues
    never lock up.
    """
    if command.id != place:
        raise ProgramError(place, f"its id is {command.id}: ids are the commands' places")
    waits = command.depends_on
    if waits:
        if min(waits) < 0 or max(waits) >= place:
            wrong = next(other for other in waits if not 0 <= other < place)
            raise ProgramError(place, f"it waits for command {wrong}, which is not an earlier one")
        if len(set(waits)) < len(waits):
            raise ProgramError(place, f"it waits for a command twice: {sorted(waits)}")
    if command.room and not set(command.room) <= set(waits):
        raise ProgramError(place, f"it waits for room from {sorted(command.room)} but depends on {sorted(waits)} only")


def _check_region(command: int, region: Region, sizes: Mapping[Memory, int], known: dict[Memory, set[Runs]]) -> None:
    """Check that a region lies inside its memory. Its runs are remembered: most regions repeat some."""
    if not 0 <= region.data < MOST_VALUES:
        raise ProgramError(command, f"{shown(region)} has value {region.data}: numbers are 0 to {MOST_VALUES - 1}")
    place = runs_of(region)
    if place in known[region.memory]:
        return
    start, run_bytes, stride_bytes, runs = place
    if runs < 1 or run_bytes < 1:
        raise ProgramError(command, f"{shown(region)} has {runs} runs of {run_bytes} bytes: both must be positive")
    if stride_bytes < 1 or (runs > 1 and stride_bytes < run_bytes):
        raise ProgramError(command, f"{shown(region)} has a run of {run_bytes} bytes every {stride_bytes}: runs must not overlap")
    if start < 0 or region.end > sizes[region.memory]:
        raise ProgramError(command, f"{shown(region)} is outside of the memory's {sizes[region.memory]:,} bytes")
    known[region.memory].add(place)


def _check_work(place: int, command: Command) -> None:
    """Check that a command does something, and that its regions have the sizes of its work."""
    match command:
        case Load() | Store():
            read, written = (sum([region.size_bytes for region in regions]) for regions in (command.reads, command.writes))
            if read != written or not read:
                raise ProgramError(place, f"it reads {read:,} bytes and writes {written:,}: a transfer has the same of both, and some")
        case Matrix():
            if command.macs < 1:
                raise ProgramError(place, f"it has {command.macs} MACs: there must be some")
            _check_kernel(place, command)
        case Vector():
            if command.vector_ops < 1:
                raise ProgramError(place, f"it has {command.vector_ops} vector operations: there must be some")
            _check_kernel(place, command)
        case _:
            assert_never(command)


def _check_kernel(place: int, command: Matrix | Vector) -> None:
    """Check that the operands have the sizes that the kernel's shapes make."""
    kernel = command.kernel
    if len(kernel.operands) != len(command.reads):
        raise ProgramError(place, f"its kernel names {len(kernel.operands)} operands, but it reads {len(command.reads)} regions")
    if kernel.dtype not in ELEMENT_BYTES:
        raise ProgramError(place, f"its elements are {kernel.dtype!r}: known are {', '.join(ELEMENT_BYTES)}")
    rows = kernel.input_shape[0] or sum(kernel.padding[:2]) // kernel.window[0]  # none where the windows see padding alone
    if min(rows, *kernel.input_shape[1:], *kernel.output_shape, *kernel.window, kernel.groups) < 1:
        raise ProgramError(place, "its shapes, window and groups must be positive")
    sizes = {"input": 0, "output": sum([region.size_bytes for region in command.writes])}
    for name, region in zip(kernel.operands, command.reads, strict=True):
        sizes[name] = sizes.get(name, 0) + region.run_bytes * region.runs
    for name, size_bytes in sizes.items():
        right = _operand_bytes(kernel, name, on_matrix=isinstance(command, Matrix))
        if right is not None and size_bytes != right:
            raise ProgramError(place, f"its {name} has {size_bytes:,} bytes where the kernel's shapes make {right:,}")
        if name in ("biases", "norm") and size_bytes != (1 + (name == "norm")) * kernel.output_shape[2] * BIAS_BYTES:
            raise ProgramError(place, f"its {name} have {size_bytes:,} bytes for {kernel.output_shape[2]:,} channels")


def _operand_bytes(kernel: Kernel, name: str, on_matrix: bool) -> int | None:
    """An operand's bytes by the kernel's shapes; None where those do not say."""
    element_bytes = ELEMENT_BYTES[kernel.dtype]
    if name == "output":
        return prod(kernel.output_shape) * (PARTIAL_SUM_BYTES if kernel.partial else element_bytes)
    if name.startswith("input"):
        return prod(kernel.input_shape) * element_bytes
    if name.startswith("partial"):
        return prod(kernel.output_shape) * PARTIAL_SUM_BYTES
    if name == "filters" and on_matrix:
        dense = kernel.operation == "dense"
        one_channel = prod(kernel.input_shape) if dense else prod(kernel.window) * (kernel.input_shape[2] // kernel.groups)
        return one_channel * kernel.output_shape[2] * element_bytes
    return None
