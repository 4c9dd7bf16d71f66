"""The verifier: right programs pass, each broken rule is found at its command, and on random programs it says what a slow oracle says."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.errors import ProgramError
from mnsim.program.check import Checked, check
from mnsim.program.model import Kernel, Load, Matrix, Program, Region, Store, Vector
from mnsim.spec.records import Hardware
from tests.helpers import ROOT
from tests.mutations import MUTATORS, changed, mutants, mutate, needed_waits, reordered, with_region
from tests.program_oracle import first_fault
from tests.programs import GOOD, TOY, Draft, chance, concat, double_buffered, external, halo_ring, plain, spilled, sram

SEEDS = 100


def fault(program: Program, hardware: Hardware = TOY) -> int | None:
    """The command at which the verifier says no."""
    try:
        check(program, hardware)
    except ProgramError as error:
        assert error.message.startswith(f"command {error.command}: " if error.command >= 0 else "the program as a whole: ")
        assert error.exit_code == 1
        return error.command
    return None


# ---- by hand


@pytest.mark.parametrize("name", GOOD)
def test_a_right_program_passes(name: str) -> None:
    assert fault(GOOD[name]()) is None
    assert first_fault(GOOD[name](), TOY) is None


def test_what_a_right_program_amounts_to() -> None:
    assert check(plain(), TOY) == Checked(commands=5, loaded_bytes=24, stored_bytes=8, sram_touched_bytes=32)
    assert check(concat(), TOY) == Checked(commands=5, loaded_bytes=32, stored_bytes=32, sram_touched_bytes=64)
    empty = Program("none", "serial", {"sram": 0, "external": 0}, (), (), (), ())
    assert check(empty, TOY) == Checked(0, 0, 0, 0)


def at(place: tuple[int, str, int], **fields: Any) -> Callable[[Program], Program]:
    """Change a region, named by its command, its side and which of that side it is."""
    identity, side, index = place
    return lambda program: with_region(program, place, replace(getattr(program.commands[identity], side)[index], **fields))


def so(identity: int, **fields: Any) -> Callable[[Program], Program]:
    """Change a command."""

    def change(program: Program) -> Program:
        commands = list(program.commands)
        commands[identity] = replace(commands[identity], **fields)
        return replace(program, commands=tuple(commands))

    return change


def shaped(identity: int, **fields: Any) -> Callable[[Program], Program]:
    """Change a command's kernel."""
    return lambda program: so(identity, kernel=replace(program.commands[identity].kernel, **fields))(program)  # type: ignore[union-attr]


def whole(**fields: Any) -> Callable[[Program], Program]:
    """Change the program itself."""
    return lambda program: replace(program, **fields)


def order(*ids: int) -> Callable[[Program], Program]:
    """These commands only, in this order."""
    return lambda program: reordered(program, [program.commands[identity] for identity in ids])


def one_row_less(program: Program) -> Program:
    matrix = program.commands[5]
    assert isinstance(matrix, Matrix)
    kernel = replace(matrix.kernel, operands=("input", "input", "filters"))
    return changed(program, replace(matrix, reads=(*matrix.reads[:2], matrix.reads[3]), kernel=kernel))


Case = tuple[Callable[[], Program], Callable[[Program], Program], int, str]
FORM: dict[str, Case] = {
    "id": (plain, so(2, id=7), 2, "its id is 7: ids are the commands' places"),
    "waits for a later": (plain, so(2, depends_on=(3,)), 2, "waits for command 3, which is not an earlier one"),
    "waits for itself": (plain, so(2, depends_on=(2,)), 2, "waits for command 2, which is not an earlier one"),
    "waits for none": (plain, so(2, depends_on=(-1,)), 2, "waits for command -1, which"),
    "waits twice": (plain, so(2, depends_on=(1, 0, 1)), 2, "waits for a command twice: [0, 1, 1]"),
    "room is no wait": (plain, so(2, room=(0,)), 2, "room from [0] but depends on [1] only"),
    "no runs": (plain, at((0, "reads", 0), runs=0), 0, "external [0, 0) has 0 runs of 8 bytes: both must be positive"),
    "no bytes": (plain, at((2, "writes", 0), run_bytes=0), 2, "has 1 runs of 0 bytes"),
    "overlapping runs": (concat, at((3, "writes", 0), stride_bytes=5), 3, "has a run of 6 bytes every 5: runs must not overlap"),
    "no stride": (plain, at((0, "writes", 0), stride_bytes=0), 0, "has a run of 8 bytes every 0"),
    "negative start": (plain, at((1, "writes", 0), start=-1), 1, "sram [-1, 15) is outside of the memory's 128 bytes"),
    "beyond the SRAM": (plain, at((1, "writes", 0), start=113), 1, "sram [113, 129) is outside"),
    "beyond external memory": (plain, at((4, "writes", 0), start=505), 4, "external [505, 513) is outside of the memory's 512"),
    "the last run beyond": (concat, at((3, "writes", 0), start=99), 3, "sram [99, 129) (4 runs of 6 every 8) is outside"),
    "no value": (plain, at((0, "reads", 0), data=-1), 0, "has value -1: numbers are 0 to 2147483647"),
    "no such value": (plain, at((0, "reads", 0), data=2**31), 0, "has value 2147483648"),
    "load from SRAM": (plain, at((0, "reads", 0), memory="sram"), 0, "a Load reads external, not sram [0, 8)"),
    "load to external": (plain, at((0, "writes", 0), memory="external"), 0, "a Load writes sram, not external [0, 8)"),
    "store to SRAM": (plain, at((4, "writes", 0), memory="sram"), 4, "a Store writes external, not sram"),
    "compute from external": (plain, at((2, "reads", 1), memory="external"), 2, "a Matrix reads sram, not external"),
    "update external": (plain, at((3, "writes", 0), memory="external"), 3, "a Vector writes sram, not external"),
    "unequal transfer": (plain, at((4, "reads", 0), run_bytes=7), 4, "it reads 7 bytes and writes 8: a transfer has the same"),
    "empty transfer": (plain, so(4, reads=(), writes=()), 4, "it reads 0 bytes and writes 0"),
    "no MACs": (plain, so(2, macs=0), 2, "it has 0 MACs"),
    "no operations": (plain, so(3, vector_ops=0), 3, "it has 0 vector operations"),
    "unnamed operand": (plain, shaped(2, operands=("input",)), 2, "its kernel names 1 operands, but it reads 2 regions"),
    "unknown type": (plain, shaped(2, dtype="int4"), 2, "its elements are 'int4': known are int8, float16, float32"),
    "negative shape": (plain, shaped(2, output_shape=(-1, -1, 8)), 2, "shapes, window and groups must be positive"),
    "no groups": (plain, shaped(2, groups=0), 2, "groups must be positive"),
    "input size": (plain, at((2, "reads", 0), run_bytes=15), 2, "its input has 15 bytes where the kernel's shapes make 16"),
    "no input": (plain, shaped(2, operands=("partial", "filters")), 2, "its input has 0 bytes"),
    "a row missing": (halo_ring, one_row_less, 5, "its input has 16 bytes where the kernel's shapes make 24"),
    "filter size": (plain, at((2, "reads", 1), run_bytes=7), 2, "its filters has 7 bytes where the kernel's shapes make 8"),
    "output size": (plain, at((3, "writes", 0), run_bytes=9), 3, "its output has 9 bytes where the kernel's shapes make 8"),
    "partial sums": (plain, shaped(2, partial=True), 2, "its output has 8 bytes where the kernel's shapes make 32"),
    "biases": (plain, shaped(2, operands=("input", "biases")), 2, "its biases have 8 bytes for 8 channels"),
    "wider type": (plain, shaped(3, dtype="float16"), 3, "its input has 8 bytes where the kernel's shapes make 16"),
    "more SRAM than there is": (
        plain,
        whole(memories={"sram": 513, "external": 512}),
        -1,
        "uses 513 bytes of internal memory, which has 512",
    ),
    "more memory than there is": (
        plain,
        whole(memories={"sram": 128, "external": 4097}),
        -1,
        "uses 4,097 bytes of external memory, which has 4,096",
    ),
    "an output in SRAM": (plain, whole(outputs=(sram(0, 8, 3),)), -1, "lie in external memory, not sram [0, 8)"),
    "weights outside": (plain, whole(weights=(external(510, 8, 3),)), -1, "external [510, 518) is outside"),
}


def two_writes(first: Region, second: Region) -> Callable[[], Program]:
    """A load that writes both."""

    def made() -> Program:
        draft = Draft()
        draft.load(external(0, 8, 1), first)
        load = replace(draft.commands[0], reads=(external(0, first.size_bytes + second.size_bytes, 1),), writes=(first, second))
        return replace(draft.program([external(0, 32, 1)], [], []), commands=(load,))

    return made


def writers_of_one_place(*waits: int) -> Program:
    """A vector and a matrix command that write the same bytes."""
    draft = Draft()
    draft.load(external(0, 8, 1), sram(0, 8, 11))
    draft.vector(sram(0, 8, 11), sram(8, 8, 12), 0)
    draft.matrix([sram(0, 8, 11)], sram(0, 8, 11), sram(12, 8, 13), 0, *waits)
    return draft.program([external(0, 8, 1)], [], [])


def written_again() -> Program:
    """A byte of one value, then of another, then of the first again: its reader could not tell which it gets."""
    draft = Draft()
    for data in (11, 12, 11):
        draft.load(external(0, 8, 1), sram(0, 8, data))
    return draft.program([external(0, 8, 1)], [], [])


def same(program: Program) -> Program:
    return program


INPUTS = (Region("external", 0, 2, 4, 4, 1), Region("external", 2, 2, 4, 4, 2))
RUN: dict[str, Case] = {
    "use before load": (plain, order(1, 2, 3, 4), 1, "sram [0, 8) is read for value 11, but nothing was written at byte 0"),
    "a part not loaded": (plain, at((1, "writes", 0), start=9), 2, "value 12, but nothing was written at byte 8"),
    "too early": (plain, order(0, 2, 1, 3, 4), 1, "sram [8, 24) is read for value 12, but nothing was written"),
    "stale strip": (double_buffered, order(*range(6), *range(7, 18)), 6, "read for value 102, but value 100 lies at byte 0"),
    "stale row": (halo_ring, order(*range(6), *range(7, 16)), 8, "sram [0, 8) is read for value 14, but value 10 lies at byte 0"),
    "overlap of live data": (concat, at((1, "writes", 0), start=0), 2, "read for value 11, but value 12 lies at byte 0"),
    "not updated": (plain, order(0, 1, 2, 4), 3, "read for value 14, but value 13 lies at byte 24"),
    "stored before the update": (plain, order(0, 1, 2, 4, 3), 3, "read for value 14, but value 13 lies at byte 24"),
    "wrong weights": (plain, at((0, "reads", 0), data=2), 0, "is read for value 2, but value 1 lies there"),
    "across two inputs": (plain, at((1, "reads", 0), start=4), 1, "[4, 20) is read for value 2, but value 1 lies at byte 4"),
    "loaded from nowhere": (plain, at((0, "reads", 0), start=40), 0, "nothing was written at byte 40"),
    "half from nowhere": (plain, at((1, "reads", 0), start=10), 1, "[10, 26) is read for value 2, but nothing was written at byte 24"),
    "never spilled": (spilled, at((2, "writes", 0), start=96), 5, "external [32, 48) is read for value 13, but nothing was written"),
    "wrong spill": (spilled, at((5, "reads", 0), data=3), 5, "value 3, but value 13 lies at byte 32"),
    "read too soon": (plain, so(3, depends_on=()), 3, "[24, 32) is read without waiting for command 2, which writes byte 24"),
    "waits for too little": (plain, so(2, depends_on=(0,)), 2, "[8, 24) is read without waiting for command 1, which writes byte 8"),
    "one of two slices": (concat, so(4, depends_on=(3,)), 4, "is read without waiting for command 2, which writes byte 32"),
    "other of two slices": (concat, so(4, depends_on=(2,)), 4, "is read without waiting for command 3, which writes byte 34"),
    "written too soon": (
        halo_ring,
        so(6, depends_on=(), room=()),
        6,
        "[0, 8) is written without waiting for command 5, which reads byte 0",
    ),
    "written at once": (writers_of_one_place, same, 2, "[12, 20) is written without waiting for command 1, which writes byte 12"),
    "two places in one": (two_writes(sram(0, 8, 11), sram(4, 8, 12)), same, 0, "sram [4, 12) overlaps what the same command writes"),
    "twice at once": (two_writes(sram(0, 8, 11), sram(4, 8, 11)), same, 0, "with value 11, a byte of it for the second time"),
    "written again": (written_again, same, 2, "sram [0, 8) is written with value 11, a byte of it for the second time"),
    "overlapping strips": (halo_ring, at((7, "writes", 0), start=43), 7, "with value 30, a byte of it for the second time"),
    "no output": (plain, order(0, 1, 2, 3), -1, "external [64, 72) is to end with value 3, but nothing was written at byte 64"),
    "a strip not stored": (double_buffered, order(*range(17)), -1, "nothing was written at byte 104"),
    "output stored twice": (
        plain,
        order(0, 1, 2, 3, 4, 4),
        5,
        "external [64, 72) is written with value 3, a byte of it for the second time",
    ),
    "output of another value": (plain, at((4, "writes", 0), data=9), 4, "value 9, but byte 64 belongs to the output of value 3"),
    "spill on the output": (spilled, at((2, "writes", 0), start=56), 2, "value 13, but byte 64 belongs to the output of value 3"),
    "store on weights": (plain, at((4, "writes", 0), start=4), 4, "value 3, but byte 4 belongs to an input or weights"),
    "weights stored": (plain, at((4, "writes", 0), start=0, data=1), 4, "value 1, but byte 0 belongs to an input or weights"),
    "inputs overlap": (plain, whole(weights=(external(4, 8, 1),)), -1, "overlap: external [4, 12) and external [8, 24)"),
    "output on an input": (plain, whole(outputs=(external(20, 8, 3),)), -1, "overlap: external [20, 28)"),
    "outputs overlap": (plain, whole(outputs=(external(64, 8, 3), external(71, 8, 4))), -1, "overlap: external [71, 79)"),
    "scattered inputs overlap": (plain, whole(inputs=(*INPUTS, external(15, 9, 2)), weights=()), -1, "overlap: external [15, 24)"),
}


@pytest.mark.parametrize("name", [*FORM, *RUN])
def test_a_broken_rule_is_found_where_it_is_broken(name: str) -> None:
    make, breaking, command, message = {**FORM, **RUN}[name]
    assert (fault(make()) is None) == (breaking is not same)  # it is the breaking that breaks
    with pytest.raises(ProgramError, match=re.escape(message)) as caught:
        check(breaking(make()), TOY)
    assert caught.value.command == command
    assert first_fault(breaking(make()), TOY) == command


KERNELS = {
    "grouped": (Kernel("conv", "int8", ("input", "filters", "biases"), (3, 3, 4), (1, 1, 2), (3, 3), groups=2), (36, 36, 8), 2),
    "dense": (Kernel("dense", "int8", ("input", "filters"), (2, 2, 3), (1, 1, 5)), (12, 60), 5),
    "partial sums": (Kernel("conv", "float16", ("input", "filters", "partial"), (1, 2, 2), (1, 2, 3), partial=True), (8, 12, 24), 24),
}


@pytest.mark.parametrize("name", KERNELS)
def test_operands_have_the_sizes_of_the_shapes(name: str) -> None:
    kernel, sizes, output = KERNELS[name]
    count = len(sizes)
    for longer in range(count + 1):  # each operand a byte longer in its turn, then none
        draft, regions, start = Draft(), [], 0
        for index, size in enumerate(sizes):
            regions.append(sram(start, size + (index == longer), 10 + index))
            draft.load(replace(regions[-1], memory="external", data=1), regions[-1])
            start = regions[-1].end
        matrix = Matrix(count, "", tuple(regions), (sram(start, output, 30),), kernel, 1, (count - 1,))
        program = draft.program([], [external(0, 128, 1)], [])
        program = replace(program, commands=(*program.commands, matrix))
        assert fault(program) == first_fault(program, TOY) == (None if longer == count else count)


def test_form_comes_before_effects() -> None:
    assert fault(so(4, id=9)(so(2, depends_on=())(plain()))) == 4


def test_an_order_through_other_engines_counts() -> None:
    """A wait for a command that waited, or that stood behind one in its queue, is a wait for that one too."""
    assert fault(writers_of_one_place(1)) is None
    assert fault(so(4, depends_on=(2, 3))(concat())) is None
    assert fault(so(6, depends_on=(), room=())(double_buffered())) is None  # the store before it waited for the reader
    assert needed_waits(double_buffered()) == [(wait + 1, wait) for wait in range(17) if wait % 3 < 2]


def test_interleaved_inputs_and_reads_across_them() -> None:
    """Inputs with gaps that others fill; and weights of one value, in two pieces that are loaded as one."""
    draft = Draft()
    draft.load(INPUTS[0], sram(0, 8, 11))
    draft.load(replace(INPUTS[1], runs=2), sram(8, 4, 12))
    draft.load(external(20, 8, 3), sram(16, 8, 13))
    program = draft.program(INPUTS, [external(16, 8, 3), external(24, 8, 3)], [])
    assert fault(program) is first_fault(program, TOY) is None
    assert fault(at((0, "reads", 0), start=1)(program)) == 0
    assert fault(at((2, "reads", 0), start=12)(program)) == 2


def test_enough_external_memory_is_enough() -> None:
    check(plain(), replace(TOY, external_capacity_bytes=None))
    check(plain(), replace(TOY, external_capacity_bytes=512, sram_capacity_bytes=128))
    with pytest.raises(ProgramError):
        check(plain(), replace(TOY, external_capacity_bytes=511))


def test_one_byte_in_a_million_is_found() -> None:
    """Slices of 50,176 runs of odd sizes, and weights of half a gigabyte."""
    pixels, weights = 50_176, 2**29
    kernel = Kernel("relu", "int8", ("input",), (1, pixels, 5), (1, pixels, 5))
    first, second = Region("sram", 3, 5, 12, pixels, 11), Region("sram", 8, 7, 12, pixels, 12)
    commands = (
        Load(0, "", (external(weights // 2, pixels * 5, 1),), (first,)),
        Load(1, "", (external(7, pixels * 7, 1),), (second,)),
        Vector(2, "", (first,), (replace(first, data=13),), kernel, pixels * 5, (0,)),
        Store(3, "", (replace(first, data=13),), (external(weights, pixels * 5, 2),), (2,)),
    )
    program = Program(
        "",
        "",
        {"sram": 2**20, "external": weights + pixels * 5},
        commands,
        (),
        (external(0, weights, 1),),
        (external(weights, pixels * 5, 2),),
    )
    hardware = replace(TOY, sram_capacity_bytes=2**20, external_capacity_bytes=2**30)
    assert check(program, hardware) == Checked(4, pixels * 12, pixels * 5, pixels * 12)
    assert fault(at((2, "writes", 0), start=4)(program), hardware) == 2  # over the other slice, whose load may not have ended
    assert fault(at((3, "reads", 0), start=4)(program), hardware) == 3
    assert fault(at((0, "reads", 0), start=weights - 1)(program), hardware) == 0


# ---- at random, against the oracle


def right_programs() -> list[Program]:
    """Those by hand, and some at random in two and in three memories."""
    return [*(make() for make in GOOD.values()), *map(chance, range(SEEDS // 2)), *(chance(seed, "flash") for seed in range(SEEDS))]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from([(), ("flash",)]))
def test_random_programs_and_their_mutants(seed: int, further: tuple[str, ...]) -> None:
    program = chance(seed, *further)
    assert first_fault(program, TOY) is None
    assert fault(program) is None
    for name, mutant in mutants(program, Random(seed)):
        assert fault(mutant) == first_fault(mutant, TOY), name


@pytest.mark.parametrize("name", MUTATORS)
def test_mutants_are_caught_if_they_do_harm(name: str) -> None:
    """The verifier blames the command that the oracle blames, and most changes of every kind do harm."""
    random, verdicts = Random(name), Counter[bool]()
    for program in right_programs():
        for _ in range(2):
            mutant = mutate(name, program, random)
            if mutant is not None:
                harm = first_fault(mutant, TOY)
                assert fault(mutant) == harm
                verdicts[harm is not None] += 1
    assert verdicts.total() > SEEDS / 2
    assert verdicts[True] > verdicts[False]


def test_a_wait_that_is_needed_is_missed() -> None:
    """Every single one, in every program."""
    for program in right_programs():
        for identity, wait in needed_waits(program):
            command = program.commands[identity]
            waits, room = (tuple(other for other in waits if other != wait) for waits in (command.depends_on, command.room))
            mutant = changed(program, replace(command, depends_on=waits, room=room))
            assert fault(mutant) == first_fault(mutant, TOY)


def test_numpy_is_not_imported_before_a_program_is_checked() -> None:
    code = "import sys, mnsim, mnsim.program.model; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
