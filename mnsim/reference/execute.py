"""The program's commands on real bytes, in the order in which a clock runs them.

A command reads at its start and writes at its end; at equal times ends come before starts. So a wrong
address, a buffer that is freed too early or a missing wait shows as a wrong result.
"""

from collections.abc import Callable, Mapping
from typing import Any, assert_never

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from mnsim.clocks.timeline import Timeline
from mnsim.program.model import Command, Kernel, Load, Matrix, Memory, Program, Region, Store, Vector
from mnsim.reference.kernels import Array
from mnsim.reference.numbers import LayerNumbers
from mnsim.reference.stages import accumulate, add_start, apply_vector, finish, partial
from mnsim.spec.records import SRAM

Bytes = NDArray[np.uint8]
Memories = dict[Memory, Bytes]  # all bytes of each, in the program's sizes
Watch = Callable[[Command, Memories], None]


def execute(
    program: Program, timeline: Timeline, outside: Memories, numbers: Mapping[str, LayerNumbers] | None = None, watch: Watch | None = None
) -> Memories:
    """Run the commands in simulated time order; returns all memories as they are at the end.

    `outside` are the memories beyond the SRAM, with the inputs and weights where the program says: stores
    go into them. The SRAM starts as 0x55 everywhere, which no result should depend on. `numbers` are those
    of the layers of an int8 network, by name; None is float32. `watch` is called after each command's
    writes.
    """
    memories = {SRAM: np.full(program.memories[SRAM], 0x55, np.uint8), **outside}
    events = [(timeline.starts_s[command.id], 1, command.id) for command in program.commands]
    events += [(timeline.ends_s[command.id], 0, command.id) for command in program.commands]
    pending: dict[int, list[Bytes]] = {}
    for _, is_start, number in sorted(events):
        command = program.commands[number]
        if is_start:
            with np.errstate(over="ignore", invalid="ignore"):  # an infinity is a result like any other
                pending[number] = _results(command, [read(memories, region) for region in command.reads], numbers)
            continue
        for region, content in zip(command.writes, pending.pop(number), strict=True):
            write(memories, region, content)
        if watch:
            watch(command, memories)
    return memories


def read(memories: Memories, region: Region) -> Bytes:
    """A copy of the region's bytes, run after run."""
    return _view(memories[region.memory], region).reshape(-1).copy()


def write(memories: Memories, region: Region, content: Bytes) -> None:
    """Put the bytes into the region, run after run."""
    view = _view(memories[region.memory], region)
    view[...] = content.reshape(view.shape)


def _view(memory: Bytes, region: Region) -> Bytes:
    if region.start < 0 or region.end > memory.size:
        raise IndexError(f"bytes {region.start} to {region.end} of a memory of {memory.size}")  # as_strided would not notice
    return as_strided(memory[region.start :], (region.runs, region.run_bytes), (region.stride_bytes, 1))


def _results(command: Command, reads: list[Bytes], numbers: Mapping[str, LayerNumbers] | None) -> list[Bytes]:
    """The command's results, one array of bytes for each region that it writes."""
    match command:
        case Load() | Store():
            return _dealt(np.concatenate(reads), command.writes)
        case Matrix():
            layer = numbers[command.layer] if numbers else None
            return _dealt(_matrix(command.kernel, reads, layer), command.writes)
        case Vector():
            if command.kernel.operation == "copy":
                return reads  # one to one
            layer = numbers[command.layer] if numbers else None
            return _dealt(_vector(command.kernel, reads, layer), command.writes)
        case _:
            assert_never(command)


def _dealt(content: Bytes, regions: tuple[Region, ...]) -> list[Bytes]:
    """The bytes cut into the sizes of the regions."""
    ends = np.cumsum([region.size_bytes for region in regions])
    return np.split(content, ends[:-1])


def _operands(kernel: Kernel, reads: list[Bytes]) -> dict[str, Bytes]:
    """The bytes of each operand: those of its regions one after another."""
    found: dict[str, list[Bytes]] = {}
    for name, content in zip(kernel.operands, reads, strict=True):
        found.setdefault(name, []).append(content)
    return {name: parts[0] if len(parts) == 1 else np.concatenate(parts) for name, parts in found.items()}


def _element(kernel: Kernel) -> np.dtype[Any]:
    return np.dtype(np.int8 if kernel.dtype == "int8" else "<f4")


def _start_type(kernel: Kernel) -> np.dtype[Any]:
    """The type of a bias and of a partial sum."""
    return np.dtype("<i4" if kernel.dtype == "int8" else "<f4")


def _matrix(kernel: Kernel, reads: list[Bytes], layer: LayerNumbers | None) -> Bytes:
    operands, element = _operands(kernel, reads), _element(kernel)
    numbers = layer.stage(kernel.operation) if layer else None
    nothing: Bytes = np.empty(0, np.uint8)
    x = operands.get("input", nothing).view(element).reshape(kernel.input_shape)
    sums = accumulate(kernel, x, operands["filters"].view(element).reshape(_filter_shape(kernel)), numbers)
    sums = sums.reshape(kernel.output_shape)
    if "partial" in operands:
        sums = add_start(sums, operands["partial"].view(_start_type(kernel)).reshape(kernel.output_shape))
    elif "biases" in operands:
        sums = add_start(sums, operands["biases"].view(_start_type(kernel)))
    if kernel.partial:
        return _as_bytes(partial(sums))
    channels = kernel.first_channel, kernel.first_channel + kernel.output_shape[2]
    stored: Array = finish(sums, numbers, channels)
    for operation in kernel.fused:
        stage = Kernel(operation, kernel.dtype, (), kernel.output_shape, kernel.output_shape)
        stored = apply_vector(stage, [stored], layer.stage(operation) if layer else None, _norm(operands))
    return _as_bytes(stored)


def _filter_shape(kernel: Kernel) -> tuple[int, ...]:
    channels, inputs = kernel.output_shape[2], kernel.input_shape[2]
    if kernel.operation == "dense":
        return channels, inputs
    if kernel.operation == "depthwise":
        return *kernel.window, channels
    return channels, *kernel.window, inputs // kernel.groups


def _vector(kernel: Kernel, reads: list[Bytes], layer: LayerNumbers | None) -> Bytes:
    operands = _operands(kernel, reads)
    shape = kernel.input_shape
    terms = [content.view(_element(kernel)).reshape(shape) for name, content in operands.items() if name.startswith("input")]
    return _as_bytes(apply_vector(kernel, terms, layer.stage(kernel.operation) if layer else None, _norm(operands)))


def _norm(operands: Mapping[str, Bytes]) -> Array | None:
    return operands["norm"].view("<f4").reshape(2, -1) if "norm" in operands else None


def _as_bytes(values: Array) -> Bytes:
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).reshape(-1).view(np.uint8)
