"""Is a program right? The slow answer: every byte by itself, the closure of the order written out, every pair of uses compared.

It shares nothing with `mnsim.program.check` but the rules: sets and lists of Python, no compression, no clocks.
"""

from collections.abc import Iterator
from math import prod

from mnsim.program.model import Command, Kernel, Load, Matrix, Program, Region, Store, Vector
from mnsim.spec.records import Hardware

SIZES = {"int8": 1, "float16": 2, "float32": 4}
Byte = tuple[str, int]
Use = tuple[int, bool, int]  # command, whether it writes, value


def first_fault(program: Program, hardware: Hardware) -> int | None:
    """The first command that breaks a rule, by its form or else by its effects; -1: the program as a whole; None: it is right."""
    sizes = {"sram": hardware.sram_capacity_bytes, "external": hardware.external_capacity_bytes}
    sizes |= {further.name: further.capacity_bytes for further in hardware.further}
    for memory, used in program.memories.items():
        if memory not in sizes or used > (used if sizes[memory] is None else sizes[memory] or 0):
            return -1
    ends = (*program.inputs, *program.weights, *program.outputs)
    if not all(region.memory != "sram" and region.memory in program.memories and _inside(region, program) for region in ends):
        return -1
    ways = {"bus": "external", **{further.bus: further.name for further in hardware.further}}
    ways = {bus: memory for bus, memory in ways.items() if memory in program.memories}
    for place, command in enumerate(program.commands):
        if not _well_formed(place, command, program, ways):
            return place
    owned = [byte for region in ends for byte in _bytes(region)]
    if len(set(owned)) < len(owned):
        return -1
    return _fault_in_run(program)


def _bytes(region: Region) -> list[Byte]:
    return [(region.memory, region.start + run * region.stride_bytes + at) for run in range(region.runs) for at in range(region.run_bytes)]


def _inside(region: Region, program: Program) -> bool:
    size = program.memories[region.memory]
    lying = [byte for _, byte in _bytes(region)]
    return lying != [] and region.stride_bytes > 0 and lying == sorted(set(lying)) and lying[0] >= 0 and lying[-1] < size


def _well_formed(place: int, command: Command, program: Program, ways: dict[str, str]) -> bool:
    """`ways` says to which memory each bus leads."""
    waits, room = set(command.depends_on), set(command.room)
    if command.id != place or len(waits) < len(command.depends_on) or not room <= waits or not waits <= set(range(place)):
        return False
    source = target = "sram"
    if isinstance(command, Load | Store):
        if command.bus not in ways:
            return False
        source, target = (ways[command.bus], "sram") if isinstance(command, Load) else ("sram", ways[command.bus])
    if {region.memory for region in command.reads} - {source} or {region.memory for region in command.writes} - {target}:
        return False
    if not all(_inside(region, program) for region in (*command.reads, *command.writes)):
        return False
    if isinstance(command, Matrix | Vector):
        return (command.macs if isinstance(command, Matrix) else command.vector_ops) > 0 and _sizes_agree(command)
    return 0 < sum(len(_bytes(region)) for region in command.reads) == sum(len(_bytes(region)) for region in command.writes)


def _sizes_agree(command: Matrix | Vector) -> bool:
    kernel: Kernel = command.kernel
    if kernel.dtype not in SIZES or any(
        extent < 1 for extent in (*kernel.input_shape, *kernel.output_shape, *kernel.window, kernel.groups)
    ):
        return False
    inputs, outputs, element = prod(kernel.input_shape), prod(kernel.output_shape), SIZES[kernel.dtype]
    if len(kernel.operands) != len(command.reads):
        return False
    sizes = dict.fromkeys((*kernel.operands, "input"), 0)
    for name, region in zip(kernel.operands, command.reads, strict=True):
        sizes[name] += len(_bytes(region))
    depth = kernel.input_shape[2] // kernel.groups
    one_filter = inputs if kernel.operation == "dense" else depth * prod(kernel.window)
    right = {
        "input": inputs * element,
        "input 2": inputs * element,
        "partial": outputs * 4,
        "filters": one_filter * kernel.output_shape[2] * element if isinstance(command, Matrix) else sizes.get("filters"),
        "biases": 4 * kernel.output_shape[2],
        "norm": 8 * kernel.output_shape[2],
    }
    written = sum(len(_bytes(region)) for region in command.writes)
    return written == outputs * (4 if kernel.partial else element) and all(sizes[name] == right[name] for name in sizes)


def _queue(command: Command) -> object:
    """What stands for the queue that a command stands in: its bus's name, or its class."""
    return command.bus if isinstance(command, Load | Store) else type(command)


def _before(program: Program) -> list[set[int]]:
    """For each command all those that have ended before it starts, whatever time each takes."""
    before: list[set[int]] = []
    for command in program.commands:
        queue = [other.id for other in program.commands[: command.id] if _queue(other) == _queue(command)]
        before.append(set().union(*({other} | before[other] for other in (*command.depends_on, *queue))))
    return before


def _fault_in_run(program: Program) -> int | None:
    before = _before(program)
    history: dict[Byte, list[Use]] = {}
    given = {byte: region.data for region in (*program.inputs, *program.weights) for byte in _bytes(region)}
    wanted = {byte: region.data for region in program.outputs for byte in _bytes(region)}
    for command in program.commands:
        for fault in _faults(command, before[command.id], history, (given, wanted)):
            if fault:
                return command.id
        for region in command.reads:
            for byte in _bytes(region):
                history.setdefault(byte, []).append((command.id, False, region.data))
        for region in command.writes:
            for byte in _bytes(region):
                history.setdefault(byte, []).append((command.id, True, region.data))
    for byte, data in wanted.items():
        if [value for _, writes, value in history.get(byte, []) if writes] != [data]:
            return -1
    return None


def _faults(
    command: Command, before: set[int], history: dict[Byte, list[Use]], ends: tuple[dict[Byte, int], dict[Byte, int]]
) -> Iterator[bool]:
    """For every byte of a command whether something is wrong with it."""
    given, wanted = ends
    for region in command.reads:
        for byte in _bytes(region):
            writes = [(other, value) for other, is_write, value in history.get(byte, []) if is_write]
            yield (writes[-1][1] if writes else given.get(byte)) != region.data
            yield any(other not in before for other, _ in writes)
    for region in command.writes:
        for byte in _bytes(region):
            uses = history.get(byte, [])
            yield any(other not in before for other, _, _ in uses)
            yield any(is_write and value == region.data for _, is_write, value in uses)
            yield byte in given or wanted.get(byte, region.data) != region.data
    written = [byte for region in command.writes for byte in _bytes(region)]
    yield len(set(written)) < len(written)
