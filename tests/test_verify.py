"""Execution on real bytes: identical to inference on every plan, and different as soon as a program is wrong."""

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.clocks.simulate import simulate
from mnsim.errors import CapacityError, ProgramError
from mnsim.graph.model import Graph
from mnsim.lowering.lower import lower
from mnsim.lowering.places import make_places
from mnsim.pipeline import Planned, plan_network
from mnsim.plan.residency import make_plan
from mnsim.program.check import check
from mnsim.program.model import Load, Matrix, Program, Store
from mnsim.proof import external_content, moved_bytes, ulps, verify
from mnsim.reference.calibrate import calibrate, noise_images
from mnsim.reference.execute import execute, read
from mnsim.reference.infer import as_input, infer
from mnsim.reference.weights import random_weights
from mnsim.spec.load import load_hardware
from mnsim.spec.records import POLICIES, Hardware, Policy
from tests.generators import networks
from tests.helpers import NETWORKS, chain, run, seed_with
from tests.mutations import changed, needed_waits, with_region

SEED = load_hardware("seed")


def sized(graph: Graph, percent: int) -> Hardware:
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    return replace(SEED, sram_capacity_bytes=ceil(most * percent / 100))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(networks(), st.integers(1, 110), st.sampled_from(POLICIES), st.sampled_from([(), ("relu", "batch_norm"), ("relu6",)]))
def test_any_plan_of_any_network_gives_the_same_bits(graph: Graph, percent: int, policy: Policy, fused: tuple[str, ...]) -> None:
    """int8 identical; float32 identical too, unless a sum is split."""
    if graph.dtype == "float16":
        return
    hardware = replace(sized(graph, percent), fused=fused)
    try:
        planned = Planned(graph, hardware, make_plan(graph, hardware, policy))
    except CapacityError:
        return
    found = verify(planned, random_weights(graph), noise_images(graph, 1)[0])
    is_split = any(command.kernel.partial for command in found.simulated.program.commands if isinstance(command, Matrix))
    assert found.identical or (graph.dtype == "float32" and is_split and found.is_close)
    assert moved_bytes(found.simulated.program) == found.simulated.estimate.total.traffic_bytes
    assert found.peak_sram_bytes <= found.sram_touched_bytes <= hardware.sram_capacity_bytes


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("network", NETWORKS)
def test_bundled_networks_are_proved(network: str, policy: Policy) -> None:
    for kib in (64, 1024):
        planned = plan_network(network, seed_with(f"internal_memory.capacity={kib} KiB"), policy, 0.25, 0.5)
        found = verify(planned, random_weights(planned.graph), noise_images(planned.graph, 1)[0])
        assert found.identical
        assert found.compared_elements > 10_000


class Case:
    """A small network with everything ready to run its program, or a changed one, under any clock."""

    def __init__(self, layers: tuple[str, ...], sram: int, shape: str = "[7, 6, 3]") -> None:
        self.planned = plan_network(chain(*layers, shape=shape), seed_with(f"internal_memory.capacity={sram} B"))
        graph, weights, image = self.planned.graph, None, None
        weights, image = random_weights(graph), noise_images(graph, 1)[0]
        numbers = calibrate(graph, weights)
        self.wanted = infer(graph, weights, image, numbers)
        self.layers = {operator.name: layer for operator, layer in zip(graph.operators, numbers.layers, strict=True)}
        places = make_places(graph, self.planned.plan)
        self.external = external_content(graph, places, weights, numbers, as_input(graph, image, numbers))
        self.program = lower(graph, self.planned.plan)

    def is_right(self, program: Program, bus: float = 1.0) -> bool:
        """Whether a program gives the network's outputs, with the bus so many times as fast."""
        hardware = self.planned.hardware
        clock = replace(hardware, bus_bandwidth_bytes_per_s=hardware.bus_bandwidth_bytes_per_s * bus)
        try:
            memories = execute(program, simulate(program, clock), {"external": self.external.copy()}, self.layers)
        except (IndexError, ValueError):
            return False
        stored = (
            read(memories, region).view(np.int8).reshape(each.shape) for region, each in zip(program.outputs, self.wanted, strict=True)
        )
        return all(np.array_equal(found, wanted) for found, wanted in zip(stored, self.wanted, strict=True))

    def is_checked(self, program: Program) -> bool:
        try:
            check(program, self.planned.hardware)
        except ProgramError:
            return False
        return True


CASES = {
    "strips": (("{conv: 4, kernel: 3, activation: relu}", "{conv: 6, kernel: 3, stride: 2}", "{dense: 5}"), 240),
    "blocks": (("{conv: 12, kernel: 1, activation: relu}", "{separable: 10, activation: relu6}", "global_avg_pool"), 500),
    "branches": (("{conv: 4, kernel: 1, name: a}", "{conv: 4, kernel: 3}", "{add: [a, conv1]}", "{concat: [add1, a]}", "{dense: 4}"), 420),
}
ALL_CASES = [pytest.param(name, marks=pytest.mark.slow) if name == "blocks" else name for name in CASES]  # it has the most commands


@cache
def case_of(name: str) -> Case:
    return Case(*CASES[name])


@pytest.mark.parametrize("name", ALL_CASES)
def test_every_shift_of_a_compute_command_by_one_byte_shows(name: str) -> None:
    """Reads or writes one byte off: nearly always other bits (a few bytes may be equal by chance, or under no window)."""
    case = case_of(name)
    assert all(case.is_right(case.program, bus) for bus in (1.0, 1000.0, 0.001))
    shifted = wrong = 0
    for command in case.program.commands:
        if isinstance(command, Load | Store):
            continue
        for side in ("reads", "writes"):
            for index, region in enumerate(getattr(command, side)):
                mutant = with_region(case.program, (command.id, side, index), replace(region, start=region.start + 1))
                shifted, wrong = shifted + 1, wrong + (not case.is_right(mutant))
    assert shifted > 20
    assert wrong >= 0.6 * shifted


def test_a_halo_row_that_is_missed_shows() -> None:
    case = case_of("strips")
    halo = [command for command in case.program.commands if isinstance(command, Matrix) and command.kernel.operands.count("input") > 1]
    assert halo
    for command in halo[:3]:
        first = command.reads[0]
        stale = replace(first, start=command.reads[1].start, run_bytes=first.run_bytes)
        assert not case.is_right(with_region(case.program, (command.id, "reads", 0), stale))


@pytest.mark.parametrize("name", CASES)
def test_two_buffers_swapped_show(name: str) -> None:
    case = case_of(name)
    loads = [command for command in case.program.commands if isinstance(command, Load)]
    swapped = seen = 0
    for one, other in pairwise(loads):
        if one.writes[0].size_bytes != other.writes[0].size_bytes or one.writes[0].start == other.writes[0].start:
            continue
        mutant = with_region(case.program, (one.id, "writes", 0), replace(other.writes[0], data=one.writes[0].data))
        mutant = with_region(mutant, (other.id, "writes", 0), replace(one.writes[0], data=other.writes[0].data))
        swapped, seen = swapped + 1, seen + (not case.is_right(mutant))
    assert seen >= 0.9 * swapped


@pytest.mark.parametrize("name", ALL_CASES)
def test_a_dropped_wait_is_seen(name: str) -> None:
    """By the verifier always; by execution under one of three clocks, the bus as it is and 1000 times faster and slower, mostly."""
    case = case_of(name)
    needed = needed_waits(case.program)
    seen = 0
    for number, wait in needed:
        command = case.program.commands[number]
        waits, room = (tuple(other for other in each if other != wait) for each in (command.depends_on, command.room))
        mutant = changed(case.program, replace(command, depends_on=waits, room=room))
        assert not case.is_checked(mutant)
        seen += not all(case.is_right(mutant, bus) for bus in (1.0, 1000.0, 0.001))
    assert needed
    assert seen >= 0.25 * len(needed)  # the others would show with other durations of tiles only


def test_a_buffer_freed_too_early_shows() -> None:
    """A load that takes the place of a block which later tiles still read."""
    case = case_of("blocks")
    seen = tried = 0
    loads = [command for command in case.program.commands if isinstance(command, Load)]
    for one, later in zip(loads, loads[2:], strict=False):
        user = next((other for other in case.program.commands if one.writes[0] in other.reads), None)
        if user is None or user.id < later.id or later.writes[0].size_bytes > one.writes[0].size_bytes:
            continue
        early = replace(later.writes[0], start=one.writes[0].start)
        tried, seen = tried + 1, seen + (not case.is_right(with_region(case.program, (later.id, "writes", 0), early)))
    assert tried
    assert seen == tried


def test_distances_in_units_of_the_last_place() -> None:
    ones = np.ones(1, np.float32)
    assert ulps(np.nextafter(ones, np.float32(2)), ones) == 1
    assert ulps(np.nextafter(np.zeros(1, np.float32), np.float32(-1)), np.nextafter(np.zeros(1, np.float32), np.float32(1))) == 2
    assert ulps(np.array([-128], np.int8), np.array([127], np.int8)) == 255


def test_the_command_says_what_was_proved() -> None:
    text = run("verify", "mobilenet_cifar", "--alpha", "0.25")
    assert (text.code, text.err) == (0, "")
    assert "Identical" in text.out
    record = json.loads(run("verify", "mobilenet_cifar", "--alpha", "0.25", "--format", "json").out)
    assert record["identical"] is True
    assert (record["differing_elements"], record["max_ulp"]) == (0, 0)
    assert record["traffic_bytes"] == record["analysed_traffic_bytes"]
    assert record["commands"] > 100


def test_weights_and_images_from_files(tmp_path: Path) -> None:
    weights, images = tmp_path / "w.npz", tmp_path / "i.npy"
    assert run("weights", "mobilenet_cifar", "--alpha", "0.25", "-o", str(weights), "--seed", "3").code == 0
    np.save(images, np.random.default_rng(0).integers(0, 256, (3, 28, 28, 3), np.uint8))
    options = ("mobilenet_cifar", "--alpha", "0.25", "--weights", str(weights), "--data", str(images))
    assert run("verify", *options).code == 0
    found = run("infer", *options, "--format", "json")
    assert (found.code, found.err) == (0, "")
    assert len(json.loads(found.out)["images"]) == 3
    assert run("infer", *options, "--limit", "2", "--format", "csv").out.count("\n") == 3


def test_labels_give_the_share_that_is_right(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    records = np.concatenate([random.integers(0, 10, (4, 1), np.uint8), random.integers(0, 256, (4, 3072), np.uint8)], axis=1)
    (tmp_path / "data_batch_1.bin").write_bytes(records.tobytes())
    found = run("infer", "mobilenet_cifar", "--alpha", "0.25", "--data", str(tmp_path), "--dtype", "float32")
    assert found.code == 0
    assert "top-1: " in found.out
    assert "of 4" in found.out


@pytest.mark.parametrize("command", ["verify", "infer"])
def test_what_cannot_be_computed_is_refused(command: str, tmp_path: Path) -> None:
    assert run(command, "mobilenet_cifar", "--dtype", "float16").code == 2
    assert run(command, "mobilenet_cifar", "--format", "markdown").code == 2
    assert run(command, "mobilenet_cifar", "--weights", str(tmp_path / "none.npz")).code == 2
    assert run(command, "mobilenet_cifar", "--data", str(tmp_path / "none.png")).code == 2


def test_weights_beyond_every_scale_are_refused(tmp_path: Path) -> None:
    graph = plan_network("mobilenet_cifar", alpha=0.25).graph
    huge = {
        f"{layer}/{name}": array * np.float32(1e30)
        for layer, arrays in random_weights(graph).layers.items()
        for name, array in arrays.items()
    }
    np.savez(tmp_path / "w.npz", allow_pickle=False, **huge)
    for command in ("verify", "infer"):
        ran = run(command, "mobilenet_cifar", "--alpha", "0.25", "--weights", str(tmp_path / "w.npz"))
        assert ran.code == 2
        assert "S403" in ran.err
