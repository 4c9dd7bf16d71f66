"""Lowering: a layer by hand, the issue order, rings that wrap, and regions that overlap or do not."""

from dataclasses import replace
from itertools import product
from math import ceil
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.analysis.cost import estimate
from mnsim.errors import CapacityError, ProgramError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.lowering.hazards import overlaps
from mnsim.lowering.lower import lower
from mnsim.plan.model import Buffer, Cut, Home, Plan, Segment, Tiling
from mnsim.plan.residency import make_plan
from mnsim.plan.tiling import make_geometry
from mnsim.program.check import check
from mnsim.program.model import Command, Load, Matrix, Program, Region, Store, Vector, engine_of
from mnsim.spec.load import load_hardware, load_network
from mnsim.spec.records import DTYPES, POLICIES, Hardware, Policy
from tests.generators import networks
from tests.helpers import KINDS_OF_NETWORKS, chain, seed_with
from tests.mutations import mutants
from tests.program_oracle import first_fault

Place = tuple[str, int, int, int, int]


def places(regions: tuple[Region, ...]) -> list[Place]:
    return [(each.memory, each.start, each.run_bytes, each.stride_bytes, each.runs) for each in regions]


def test_a_layer_by_hand() -> None:
    """2 x 2 x 2 to 2 x 2 x 4, one tile: the input at 16 behind the output at 0, filters 8 bytes, biases 16."""
    graph = build_graph(chain("{conv: 4, kernel: 1, activation: relu}", shape="[2, 2, 2]"))
    buffers = (Buffer("filters", 40, 8, 0), Buffer("biases", 24, 16, 0))
    cut = Cut(0, make_geometry(graph, graph.operators[0], ()), Tiling(2, 4, 2, "weights"), (0,), (1,))
    plan = Plan("serial", 64, (), (Segment((cut,), buffers),), (Home(16, 0, 0), Home(0, 0, 0)))
    program = lower(graph, plan)
    kinds = [type(command) for command in program.commands]
    assert kinds == [Load, Load, Load, Matrix, Vector, Store]
    found = [(places(command.reads), places(command.writes)) for command in program.commands]
    given_input, filters, biases = ("external", 0, 8, 8, 1), ("external", 8, 8, 8, 1), ("external", 16, 16, 16, 1)
    input_, output = ("sram", 16, 8, 8, 1), ("sram", 0, 16, 16, 1)
    assert found == [
        ([given_input], [input_]),
        ([filters], [("sram", 40, 8, 8, 1)]),
        ([biases], [("sram", 24, 16, 16, 1)]),
        ([input_, ("sram", 40, 8, 8, 1), ("sram", 24, 16, 16, 1)], [output]),
        ([output], [output]),
        ([output], [("external", 32, 16, 16, 1)]),
    ]
    matrix, vector = program.commands[3], program.commands[4]
    assert isinstance(matrix, Matrix)
    assert isinstance(vector, Vector)
    assert (matrix.macs, vector.vector_ops, program.memories["external"]) == (32, 16, 48)
    assert [command.depends_on for command in program.commands] == [(), (), (), (2,), (3,), (4,)]


def test_a_halo_stays_in_a_ring_that_wraps() -> None:
    """A 3 x 3 kernel on 6 rows, 1 row of output at a time, in a ring of 4: rows 4 and 5 lie where 0 and 1 were."""
    graph = build_graph(chain("{max_pool: 3, stride: 1, padding: valid}", shape="[6, 3, 1]"))
    buffers = (Buffer("input strip", 0, 12, 0), Buffer("output strip", 12, 1, 0))
    cut = Cut(0, make_geometry(graph, graph.operators[0], (0, 1)), Tiling(1, 1, 1, "weights"))
    plan = Plan("overlap", 13, (), (Segment((cut,), buffers),), (Home(None, 0, 0), Home(None, 0, 0)))
    program = lower(graph, plan)
    loads = [
        (command.reads[0].start, command.writes[0].start, command.reads[0].size_bytes)
        for command in program.commands
        if isinstance(command, Load)
    ]
    assert loads == [(0, 0, 9), (9, 9, 3), (12, 0, 3), (15, 3, 3)]
    pools = [[region.start for region in command.reads] for command in program.commands if isinstance(command, Vector)]
    assert pools == [[0], [3, 9], [6, 9, 0], [9, 0, 3]]
    check(program, replace(load_hardware("seed"), sram_capacity_bytes=13))


def program_of(graph: Graph, sram_bytes: int, policy: Policy) -> Program | None:
    hardware = replace(load_hardware("seed"), sram_capacity_bytes=sram_bytes)
    try:
        program = lower(graph, make_plan(graph, hardware, policy))
    except CapacityError as error:
        assert error.layer
        return None
    check(program, hardware)
    return program


def touched(regions: tuple[Region, ...]) -> set[tuple[str, int]]:
    return {
        (each.memory, each.start + run * each.stride_bytes + byte)
        for each in regions
        for run in range(each.runs)
        for byte in range(each.run_bytes)
    }


def conflict(one: Command, other: Command) -> bool:
    """Whether one of the two writes a byte that the other touches."""
    reads, writes = touched(one.reads), touched(one.writes)
    return bool(writes & (touched(other.reads) | touched(other.writes))) or bool(reads & touched(other.writes))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(networks(), st.integers(1, 100))
def test_loads_are_hoisted_as_far_as_there_is_room_and_no_further(graph: Graph, percent: int) -> None:
    """Of the loads behind a computation or store, the first could not stand before it: both touch a byte."""
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    program = program_of(graph, ceil(most * percent / 100), "overlap")
    if program is None:
        return
    for before, command in zip(program.commands, program.commands[1:], strict=False):
        if isinstance(command, Load) and not isinstance(before, Load):
            assert conflict(before, command)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(networks(), st.integers(1, 100))
def test_serial_is_one_thing_at_a_time(graph: Graph, percent: int) -> None:
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    program = program_of(graph, ceil(most * percent / 100), "serial")
    for command in program.commands[1:] if program else ():
        before = program.commands[command.id - 1] if program else command
        assert command.depends_on == (() if engine_of(before) == engine_of(command) else (before.id,))


VARIANTS = list(product((1, 0.75, 0.5, 0.25), (1, 6 / 7, 5 / 7, 4 / 7), (64, 256, 1024, 4096), DTYPES, POLICIES))


@pytest.mark.parametrize("network", KINDS_OF_NETWORKS)
def test_every_variant_has_a_checked_program(network: str) -> None:
    """A sample of what the benchmark does in full, another one for each network; programs of many commands are left to it."""
    spec, lowered = load_network(network), 0
    for alpha, rho, kib, dtype, policy in VARIANTS[KINDS_OF_NETWORKS.index(network) :: 31]:
        graph, hardware = build_graph(spec, alpha, rho, dtype), seed_with(f"internal_memory.capacity={kib} KiB")
        transfers = sum(row.traffic.transfers for row in estimate(graph, make_plan(graph, hardware, policy), hardware).layers)
        if transfers < 5_000:
            program_of(graph, kib * 1024, policy)
            lowered += 1
    assert lowered >= 6


@pytest.mark.parametrize(("network", "most"), [("mobilenet_cifar", 585_186), ("mobilenet_v1", 5_250_000), ("squeezenet", 3_850_000)])
@pytest.mark.parametrize("policy", POLICIES)
def test_bytes_that_cross_the_bus(network: str, most: int, policy: Policy) -> None:
    program = program_of(build_graph(load_network(network)), 1 << 20, policy)
    assert program is not None
    moved = sum(region.size_bytes for command in program.commands if isinstance(command, Load | Store) for region in command.reads)
    assert moved <= most
    if network == "mobilenet_cifar":
        assert moved == most


regions = st.builds(
    lambda start, run, gap, runs: Region("sram", start, run, run + gap if runs > 1 else run, runs, 0),
    *(st.integers(0, 40), st.integers(1, 6), st.integers(0, 9), st.integers(1, 7)),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(regions, regions)
def test_overlaps_is_exact(one: Region, other: Region) -> None:
    assert overlaps(one, other) == bool(touched((one,)) & touched((other,)))


def test_a_capacity_error_names_the_layer() -> None:
    graph = build_graph(load_network("squeezenet"))
    with pytest.raises(CapacityError) as caught:
        make_plan(graph, seed_with("internal_memory.capacity=1 kB"))
    assert caught.value.layer == "conv1"


SMALL = {
    "fire": (
        "{conv: 4, kernel: 1, name: s}",
        "{conv: 4, kernel: 1, name: a}",
        "{conv: 4, kernel: 3, input: s, name: b}",
        "{concat: [a, b]}",
    ),
    "separable": ("{conv: 4, kernel: 3, stride: 2, activation: relu}", "{separable: 6, activation: relu, batch_norm: unfolded}"),
    "residual": ("{conv: 3, kernel: 1, name: a}", "{conv: 3, kernel: 3, name: b}", "{add: [a, b]}", "relu", "{dense: 5}"),
}


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("network", SMALL)
def test_no_change_to_a_lowered_program_goes_unseen(network: str, policy: Policy, times: int) -> None:
    """Changes of every kind, many of each: the verifier says of each what a slow, separate one says, byte by byte."""
    graph = build_graph(chain(*SMALL[network], shape="[5, 5, 3]"))
    for seed, sram in enumerate((90, 160, 300)):
        hardware = replace(load_hardware("seed"), sram_capacity_bytes=sram)
        try:
            program = lower(graph, make_plan(graph, hardware, policy))
        except CapacityError:
            continue
        assert first_fault(program, hardware) is None
        for name, mutant in mutants(program, Random(100 * times + seed), times):
            assert fault(mutant, hardware) == first_fault(mutant, hardware), name


def fault(program: Program, hardware: Hardware) -> int | None:
    """The command at which the verifier refuses a program."""
    try:
        check(program, hardware)
    except ProgramError as error:
        return error.command
    return None
