"""Energy in closed form, held against the bytes and operations of the program's commands, counted one by one."""

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.analysis.energy import Amounts, layer_amounts, program_energy
from mnsim.errors import CapacityError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.lowering.lower import lower
from mnsim.pipeline import estimate_plan, plan_network
from mnsim.plan.model import Plan
from mnsim.plan.residency import make_plan
from mnsim.program.model import Matrix, Vector
from mnsim.spec.load import load_network
from mnsim.spec.records import POLICIES, Policy
from tests.generators import networks
from tests.helpers import NETWORKS, seed_with

FUSED = ((), ("relu",), ("batch_norm", "relu6"))


def counted(graph: Graph, plan: Plan) -> list[Amounts]:
    """The amounts of every layer, command by command."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for command in lower(graph, plan).commands:
        own = sums[command.layer]
        for region in (*command.reads, *command.writes):
            own[region.memory == "sram"] += region.size_bytes
        own[2] += 2 * command.macs if isinstance(command, Matrix) else 0
        own[3] += command.vector_ops if isinstance(command, Vector) else 0
    return [Amounts(*sums[operator.name]) for operator in graph.operators]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(networks(), st.integers(2, 120), st.sampled_from(POLICIES), st.sampled_from(FUSED))
def test_amounts_are_those_of_the_commands(graph: Graph, percent: int, policy: Policy, fused: tuple[str, ...]) -> None:
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    hardware = replace(seed_with(), sram_capacity_bytes=max(16, most * percent // 100), fused=fused)
    try:
        plan = make_plan(graph, hardware, policy)
    except CapacityError:
        return
    assert list(layer_amounts(graph, plan)) == counted(graph, plan)


ENERGIES = ("external_memory.energy=20 pJ/B", "internal_memory.energy=1 pJ/B", "matrix_unit.energy=1 pJ/MAC", "vector_unit.energy=3 pJ/OP")


@pytest.mark.parametrize("policy", POLICIES)
def test_the_energy_of_a_program_is_that_of_its_plan(policy: Policy) -> None:
    hardware = seed_with(*ENERGIES, "internal_memory.capacity=64 KiB")
    planned = plan_network("mobilenet_cifar", hardware, policy)
    found = program_energy(lower(planned.graph, planned.plan), hardware)
    amounts = [sum(column) for column in zip(*layer_amounts(planned.graph, planned.plan), strict=True)]
    assert [found.memory_bytes["external"], found.memory_bytes["sram"], found.matrix_ops, found.vector_ops] == amounts
    assert found.energy_j == pytest.approx(estimate_plan(planned).energy_j, rel=1e-12)


def test_a_program_without_energies_is_not_priced() -> None:
    planned = plan_network("mobilenet_cifar", "seed")
    with pytest.raises(ValueError, match="seed says no energy of sram and external"):
        program_energy(lower(planned.graph, planned.plan), planned.hardware)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("sram", ["96 KiB", "1 MiB"])
def test_amounts_of_bundled_networks(name: str, sram: str) -> None:
    graph = build_graph(load_network(name), 0.5, dtype="float32")
    plan = make_plan(graph, seed_with(f"internal_memory.capacity={sram}"))
    assert list(layer_amounts(graph, plan)) == counted(graph, plan)
