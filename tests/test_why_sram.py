"""How much SRAM `mnsim why` calls enough: against a simulation of every size around it, and against made-up times."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st

from mnsim import pipeline
from mnsim.errors import CapacityError, ShapeError
from mnsim.pipeline import plan_network
from mnsim.spec.records import Hardware, Network, Policy
from mnsim.why import Gain, Sensitivity, sensitivity, sizes_between
from tests.helpers import chain, seed_with


def gain_of(found: Sensitivity) -> Gain:
    """What more SRAM saves."""
    return next(gain for gain in found.gains if gain.resource == "sram")


def simulated_by_size(network: Any, hardware: Hardware, sizes: Iterable[int], policy: Policy = "overlap") -> dict[int, float]:
    """The time by simpy of the plan that the clock takes, for each size of the SRAM."""
    plans = {size: plan_network(network, replace(hardware, sram_capacity_bytes=size), policy) for size in sizes}
    return {size: float(pipeline.run(pipeline.choose_plan(planned)).timeline.end_s) for size, planned in plans.items()}


@pytest.mark.parametrize(("network", "first"), [("squeezenet", "sram"), ("mobilenet_v1", "bandwidth")])
def test_the_smallest_size_that_is_enough_is_that_of_trying_all_around_it(network: str, first: str) -> None:
    """Without fusion, as these networks need more than 1 MiB then."""
    found = sensitivity(plan_network(network, policy="layerwise"))
    assert found.gains[0].resource == first
    gain, now_s, seed = gain_of(found), found.simulated_time_s, seed_with()
    assert gain.enough_amount is not None
    assert gain.enough_amount % 1024 == 0
    enough = int(gain.enough_amount)
    around = simulated_by_size(network, seed, range(enough - 5 * 1024, enough + 6 * 1024, 1024), "layerwise")
    (best_s,) = simulated_by_size(network, seed, [2 << 20], "layerwise").values()
    assert gain.saved_at_most_s == pytest.approx(now_s - best_s, rel=1e-9)
    assert gain.saved_by_enough_s == pytest.approx(now_s - around[enough], rel=1e-9)
    assert min(size for size, time in around.items() if time <= best_s + 0.005 * now_s) == enough


@st.composite
def chains(draw: st.DrawFn) -> Network:
    """A few convolutions, the maps of which are some KiB."""
    kinds = ("{{conv: {}, kernel: 3, activation: relu}}", "{{conv: {}, kernel: 1}}", "{{depthwise: 3}}", "{{max_pool: 2}}")
    drawn = draw(st.lists(st.tuples(st.sampled_from(kinds), st.sampled_from([4, 8, 16, 24])), min_size=2, max_size=5))
    extent = draw(st.sampled_from([12, 16, 20]))
    return chain(*(kind.format(channels) for kind, channels in drawn), shape=f"[{extent}, {extent}, {draw(st.sampled_from([3, 8]))}]")


@given(chains(), st.sampled_from([4096, 5000, 8192]), st.sampled_from(["0.5 GB/s", "4 GB/s"]))
@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.too_slow])
def test_enough_sram_keeps_its_promise_on_any_network(network: Network, sram: int, bandwidth: str) -> None:
    """Wherever more SRAM never takes longer, it is the smallest of all sizes; elsewhere the next smaller one is not enough."""
    hardware = seed_with(f"internal_memory.capacity={sram} B", f"bus.bandwidth={bandwidth}", "matrix_unit.throughput=50 GFLOPS")
    try:
        planned = plan_network(network, hardware)
    except (CapacityError, ShapeError):
        reject()
    found = sensitivity(planned)
    gain, now_s = gain_of(found), found.simulated_time_s
    assert gain.enough_amount is not None
    enough = int(gain.enough_amount)
    step = range((sram // 1024 + 1) * 1024, enough + 4096, 1024)
    times = simulated_by_size(network, hardware, sorted({sram, enough, *step}))
    best_s = now_s - gain.saved_at_most_s
    is_enough = {size: time <= best_s + 0.005 * now_s * (1 + 1e-9) for size, time in times.items()}
    assert is_enough[enough]
    assert gain.saved_by_enough_s == pytest.approx(now_s - times[enough], abs=1e-9 * now_s)
    smaller = [size for size in times if size < enough]
    assert not smaller or not is_enough[smaller[-1]]
    assert sorted(times.values(), reverse=True) != [*times.values()] or not any(is_enough[size] for size in smaller)
    event("more SRAM saves" if smaller else "what there is is enough")


class _Timed:
    """A bench on which each size of the SRAM takes a time made up, in steps."""

    def __init__(self, steps: list[tuple[int, float]]) -> None:
        self.steps = steps
        self.tried: list[int] = []

    def time_s(self, size: int) -> float:
        return next((time for first, time in reversed(self.steps) if size >= first), 10.0)

    def times_s(self, machines: Sequence[Hardware]) -> list[float]:
        self.tried += [machine.sram_capacity_bytes for machine in machines]
        return [self.time_s(machine.sram_capacity_bytes) for machine in machines]


@given(
    st.lists(st.tuples(st.integers(0, 1 << 20), st.floats(1, 10)), min_size=1, max_size=8).map(sorted),
    st.booleans(),
    st.integers(1000, 1 << 18),
)
def test_the_bisection_ends_at_a_size_that_is_enough_above_one_that_is_not(steps: Any, is_falling: bool, now: int) -> None:
    if is_falling:
        steps = list(zip([first for first, _ in steps], sorted((time for _, time in steps), reverse=True), strict=True))
    bench: Any = _Timed(steps)
    ladder = [now, now * 5 // 4, *(now << power for power in range(1, 12))]
    tried = sizes_between(bench, seed_with(), {size: bench.time_s(size) for size in ladder})
    longest_s = min(tried.values()) + 0.005 * bench.time_s(now)
    enough = min(size for size, time in tried.items() if time <= longest_s)
    assert all(tried[size] == bench.time_s(size) for size in tried)
    assert len(set(bench.tried)) == len(bench.tried) <= 21
    assert all(size % 1024 == 0 for size in bench.tried)
    if enough > now:
        below = max(now, (enough - 1) // 1024 * 1024)
        assert bench.time_s(max(size for size in tried if size < enough)) > longest_s
        assert max(size for size in tried if size < enough) >= below
    if is_falling:
        sizes = [now, *range((now // 1024 + 1) * 1024, enough, 1024)]
        assert not any(bench.time_s(size) <= longest_s for size in sizes if size < enough)
