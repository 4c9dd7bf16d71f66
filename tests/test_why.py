"""`mnsim why`: against simulations of the changed hardware, one by one; what always holds; and as its users see it."""

import csv
import io
import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.choice import SAME, Contest
from mnsim.clocks.rates import rates_of
from mnsim.clocks.recurrence import recur
from mnsim.graph.model import Graph
from mnsim.lowering.lower import lower
from mnsim.pipeline import Planned, choose_plan, estimate_plan, plan_network
from mnsim.plan.model import Plan
from mnsim.report.why import why_document, why_sentences
from mnsim.spec.records import Engine, Hardware
from mnsim.why import (
    COSTS,
    RESOURCES,
    Gain,
    Sensitivity,
    amount_of,
    most_sizes_of_sram,
    resources_of,
    sensitivity,
    with_amount,
)
from tests.helpers import KINDS_OF_NETWORKS, as_text, chain, run, seed_with

LATENCIES = (
    "external_memory.latency=100 ns",
    "matrix_unit.launch_overhead=200 ns",
    "vector_unit.launch_overhead=50 ns",
    "matrix_unit.efficiency.depthwise=0.25",
)
SMALL = chain(
    "{conv: 8, kernel: 3}", "{max_pool: 2}", "{conv: 12, kernel: 1, activation: relu}", "{dense: 5}", "softmax", shape="[12, 12, 4]"
)
SMALL_PROGRAM = {sram: lower(*plan_network(SMALL, seed_with(f"internal_memory.capacity={sram} B"))[0:3:2]) for sram in (700, 8192)}


def why(*arguments: str) -> dict[str, Any]:
    ran = run("why", *arguments, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    found: dict[str, Any] = json.loads(ran.out)
    return found


def simulated(*arguments: str) -> float:
    ran = run("simulate", *arguments, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    return float(json.loads(ran.out)["total"]["simulated_time_s"])


def of(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {gain["resource"]: gain for gain in found["resources"]}


def by_resource(found: Sensitivity) -> dict[str, Gain]:
    return {gain.resource: gain for gain in found.gains}


@pytest.mark.parametrize(
    ("network", "options", "given"),
    [
        ("mobilenet_cifar", [], []),
        ("squeezenet", [], []),
        ("mobilenet_v1", ["--alpha", "0.5", "--policy", "serial"], LATENCIES),
        ("mobilenet_cifar", ["--dtype", "float16", "--alpha", "0.5"], LATENCIES),
    ],
)
def test_savings_are_those_of_simulating_the_changed_machine(network: str, options: list[str], given: list[str]) -> None:
    arguments = [network, *options]
    found = why(*arguments, *(part for setting in given for part in ("--set", setting)))
    base = simulated(*arguments, *(part for setting in given for part in ("--set", setting)))
    assert found["simulated_time_s"] == base
    saved = {}
    for gain in found["resources"]:
        kept = [part for setting in given if not setting.startswith(gain["key"]) for part in ("--set", setting)]
        cost = gain["unit"] == "s"
        for key, share in (("25_percent", Fraction(4, 5) if cost else Fraction(5, 4)), ("2x", Fraction(1, 2) if cost else Fraction(2))):
            amount: float | int = float(Fraction(gain["now"]) * share)
            amount = round(amount) if gain["unit"] == "B" else amount
            changed = simulated(*arguments, *kept, "--set", f"{gain['key']}={amount!r} {gain['unit']}")
            assert gain[f"saved_by_{key}_s"] == pytest.approx(base - changed, rel=0, abs=1e-12 * base)
            assert gain[f"share_saved_by_{key}"] == gain[f"saved_by_{key}_s"] / base
            saved[gain["resource"], key] = base - changed
    assert len(found["resources"]) == 4 + 3 * bool(given)
    ranked = [saved[gain["resource"], "25_percent"] for gain in found["resources"]]
    assert all(earlier >= later - 1e-12 * base for earlier, later in pairwise(ranked))


def test_the_most_is_that_of_a_machine_without_the_limit() -> None:
    settings = [part for setting in LATENCIES for part in ("--set", setting)]
    found = why("mobilenet_cifar", *settings)
    for resource, gain in of(found).items():
        if resource in COSTS:
            amount = "0 s"
        elif resource == "sram":
            amount = "2 MiB"  # holds all weights and maps
        else:
            amount = f"1e24 {gain['unit']}"
        kept = [part for setting in LATENCIES if not setting.startswith(gain["key"]) for part in ("--set", setting)]
        changed = simulated("mobilenet_cifar", *kept, "--set", f"{gain['key']}={amount}")
        assert gain["saved_at_most_s"] == pytest.approx(found["simulated_time_s"] - changed, rel=1e-9)
        assert gain["saved_at_most_s"] >= max(gain["saved_by_25_percent_s"], gain["saved_by_2x_s"], 0)


@pytest.mark.parametrize(
    ("settings", "winner"),
    [
        (["bus.bandwidth=1 MB/s"], "bandwidth"),
        (["matrix_unit.throughput=1 GFLOPS"], "matrix"),
        (["vector_unit.throughput=1 MFLOPS"], "vector"),
        (["external_memory.latency=1 ms", "internal_memory.capacity=2 MiB"], "latency"),
        (["matrix_unit.launch_overhead=1 ms"], "matrix_launch"),
        (["vector_unit.launch_overhead=1 ms"], "vector_launch"),
        (["bus.bandwidth=1 MB/s", "internal_memory.capacity=900 KiB"], "bandwidth"),
    ],
)
def test_what_is_scarce_comes_first(settings: list[str], winner: str) -> None:
    found = sensitivity(plan_network("mobilenet_cifar", seed_with(*settings)))
    first = found.gains[0]
    assert first.resource == winner
    assert first.elasticity == pytest.approx(1, abs=0.12)
    assert first.saved_by_25_percent_s <= found.simulated_time_s * 0.2 * (1 + 1e-12)
    assert first.worth_up_to_factor
    assert first.worth_up_to_factor > 8
    assert found.then != winner
    order = [(gain.saved_by_25_percent_s, gain.saved_by_2x_s) for gain in found.gains]
    assert order == sorted(order, reverse=True)


def test_scarce_sram_comes_first() -> None:
    """A map of 8192 bytes does not fit into 8000: 25 % more keeps one on chip, so that it does not cross the bus twice; 17 KiB two."""
    network = chain("{conv: 8, kernel: 1}", "{conv: 8, kernel: 1}", "{conv: 8, kernel: 1}", shape="[32, 32, 8]")
    found = sensitivity(plan_network(network, seed_with("internal_memory.capacity=8000 B"), "layerwise"))
    first = found.gains[0]
    assert (first.resource, first.enough_amount, first.worth_up_to_factor, found.then) == ("sram", 17408, 4, "bandwidth")
    assert first.saved_by_25_percent_s == pytest.approx(2 * 8192 / 1e9, rel=0.01)
    assert first.elasticity > 1.5
    words = why_sentences(found)[0]
    assert words.startswith("Buy SRAM next: 25 % more saves 33.1 % (16.38 us), ")
    expected = "17 KiB is enough: simulated, it saves 66.2 % (32.72 us), and no smaller size tried comes within 0.5 % of the best"
    assert words.endswith(f"no size tried saves more than 66.2 %. {expected}; then buy bandwidth.")


def test_fewer_transfers_are_a_reason_for_sram() -> None:
    """Where each transfer waits long, 25 % more SRAM saves more than a fifth less latency: it has a plan with fewer transfers."""
    network = chain("{conv: 8, kernel: 1}", "{conv: 8, kernel: 1}", "{conv: 8, kernel: 1}", shape="[32, 32, 8]")
    found = sensitivity(plan_network(network, seed_with("internal_memory.capacity=2000 B", "external_memory.latency=1 ms")))
    assert [gain.resource for gain in found.gains][:2] == ["sram", "latency"]
    assert found.gains[0].saved_by_25_percent_s > 15 * 1e-3  # that of so many transfers
    assert why_sentences(found)[1].startswith("In a large step external latency gives more: half of it saves 50.0 %")


def test_more_sram_can_be_slower_and_is_said_to_be() -> None:
    found = why("mobilenet_cifar", "--sram", "512KiB")
    sram = of(found)["sram"]
    slower = simulated("mobilenet_cifar", "--sram", "1MiB") - simulated("mobilenet_cifar", "--sram", "512KiB")
    assert slower > 0
    assert sram["saved_by_2x_s"] == pytest.approx(-slower, rel=1e-9)
    assert (sram["saved_at_most_s"], sram["enough_amount"], sram["saved_by_enough_s"], sram["worth_up_to_factor"]) == (0, 524288, 0, 1)
    assert sram["elasticity"] < 0
    assert "slower" in found["sentences"][-2]
    assert found["sentences"][-2].startswith("SRAM (512 KiB): 25 % more makes it 0.3 % slower (1.561 us)")


def test_what_doubles_better_is_said() -> None:
    """9 KiB keep one map on chip, and no more does twice as much; bandwidth goes on."""
    network = chain("{conv: 8, kernel: 1}", "{conv: 8, kernel: 1}", "{conv: 8, kernel: 1}", shape="[32, 32, 8]")
    found = sensitivity(plan_network(network, seed_with("internal_memory.capacity=8000 B"), "layerwise"))
    assert [gain.resource for gain in found.gains][:2] == ["sram", "bandwidth"]
    assert why_sentences(found)[1] == "In a large step bandwidth gives more: twice as much saves 50.0 % (24.72 us)."


def test_what_comes_next_is_first_on_the_improved_machine() -> None:
    found = why("mobilenet_v1")
    first = found["resources"][0]
    assert (first["resource"], first["worth_up_to_factor"]) == ("bandwidth", 16)
    improved = why("mobilenet_v1", "--set", f"bus.bandwidth={16 * first['now']!r} B/s")
    assert found["then"] == improved["resources"][0]["resource"] == "matrix"
    assert of(improved)["bandwidth"]["worth_up_to_factor"] == 1


@given(st.sampled_from([resource for resource in RESOURCES if resource != "sram"]), st.sampled_from([700, 8192]), st.data())
@settings(deadline=None, max_examples=40)
def test_more_never_takes_longer_and_each_doubling_saves_less(resource: Any, sram: int, data: st.DataObject) -> None:
    """The time is the largest of many sums, each linear in 1 / rate: rising and convex, and above 0 without limit."""
    rate, seconds = st.floats(1e3, 1e15), st.one_of(st.just(0.0), st.floats(1e-12, 1e-3))
    matrix, vector = (Engine(data.draw(rate), data.draw(seconds)) for _ in "mv")
    machine = Hardware("random", "", "DDR", None, data.draw(seconds), data.draw(rate), sram, matrix, vector)
    times = []
    for power in range(8):
        amount = amount_of(machine, resource) * (2**-power if resource in COSTS else 2**power)
        times.append(recur(SMALL_PROGRAM[sram], rates_of(with_amount(machine, resource, amount))).end_s)
    shares = [(before - after) / before for before, after in pairwise(times)]
    assert all(-1e-12 <= later <= earlier + 1e-9 for earlier, later in pairwise([0.5 + 1e-12, *shares]))
    assert times[0] <= 2 * times[1] * (1 + 1e-12)


@given(st.data())
@settings(deadline=None, max_examples=15)
def test_gains_keep_their_promises(data: st.DataObject) -> None:
    rate = st.floats(1e6, 1e12)
    matrix, vector = (Engine(data.draw(rate), data.draw(st.sampled_from([0.0, 1e-7]))) for _ in "mv")
    machine = Hardware("random", "", "DDR", None, 0.0, data.draw(rate), data.draw(st.integers(600, 6000)), matrix, vector)
    ticks: list[None] = []
    planned = plan_network(SMALL, machine, data.draw(st.sampled_from(["overlap", "serial"])))
    found = sensitivity(planned, lambda: ticks.append(None))
    assert 3 <= len(ticks) <= most_sizes_of_sram(planned) + 2  # the first purchase, and that with more SRAM
    assert {gain.resource for gain in found.gains} == set(resources_of(machine))
    total, about = found.simulated_time_s, 2.1 * SAME
    for gain in found.gains:
        assert gain.saved_at_most_s >= max(gain.saved_by_25_percent_s, gain.saved_by_2x_s, 0)
        assert gain.elasticity == pytest.approx(log(total / (total - gain.saved_by_25_percent_s)) / _step(gain))
        if gain.resource != "sram":  # of plans that are about as fast, the one with fewer commands is taken
            assert -about * total <= gain.saved_by_25_percent_s <= gain.saved_by_2x_s + about * total
            assert gain.saved_by_2x_s <= total / 2 * (1 + about)
            assert gain.elasticity <= 1 + about / log(1.25)
            assert gain.worth_up_to_factor != 1 or gain.saved_by_2x_s < 0.05 * total
    assert all("  " not in sentence and sentence.endswith(".") for sentence in why_sentences(found))


def _step(gain: Gain) -> float:
    return log(round(1.25 * gain.now) / gain.now if gain.resource == "sram" else 1.25)


def test_a_resource_without_end_and_a_tie_are_said() -> None:
    """Made by hand: doubling pays for ever; two resources set the time together."""
    found = sensitivity(plan_network(SMALL, seed_with("bus.bandwidth=1 B/s", "vector_unit.throughput=1e18 FLOPS")))
    assert found.gains[0].resource == "bandwidth"
    assert (found.gains[0].worth_up_to_factor, found.then) == (None, None)
    assert "a millionfold and beyond" in why_sentences(found)[0]
    assert ">1e6x" in as_text(why_document(found), 80)
    alone = replace(found, gains=tuple(replace(gain, saved_by_25_percent_s=0.0) for gain in found.gains))
    assert why_sentences(alone)[0] == "25 % more of any one resource saves less than 0.1 %: several set the time together."
    assert why_sentences(alone)[1].startswith("Bandwidth (1 B/s): 25 % more saves nothing, twice as much saves 50.0 %")


def test_nothing_to_buy_is_said() -> None:
    """Made by hand, as are those with little to gain."""
    found = sensitivity(plan_network(SMALL, seed_with("external_memory.latency=1 ns")))
    none = {"saved_by_25_percent_s": 0.0, "saved_by_2x_s": 0.0, "saved_at_most_s": 0.0}
    idle = replace(found, gains=tuple(replace(gain, **none) for gain in found.gains))
    expected = "Nothing to buy next: no amount tried of any one resource saves 0.1 %, as several set the time together."
    assert why_sentences(idle)[0] == expected
    assert all(sentence.endswith(("saves anything.", "saves nothing.", "to cut there.")) for sentence in why_sentences(idle)[1:])
    later = replace(idle, gains=(replace(idle.gains[0], saved_at_most_s=found.simulated_time_s / 2), *idle.gains[1:]))
    assert why_sentences(later)[0].startswith(
        "25 % more of any one resource (a fifth less of a latency or an overhead) saves less than 0.1 %"
    )
    little = dict.fromkeys(none, 0.003 * found.simulated_time_s)
    sram = replace(by_resource(found)["sram"], **little, enough_amount=1 << 20, saved_by_enough_s=0.0)
    words = why_sentences(replace(idle, gains=(sram, *(gain for gain in idle.gains if gain.resource != "sram")), then=None))[0]
    assert words.startswith("Buy SRAM next: 25 % more saves 0.3 % (")
    assert words.endswith("no size tried saves more. No size tried saves more than 0.5 %.")


def test_a_latency_of_zero_is_no_resource() -> None:
    absent = why("mobilenet_cifar")
    assert set(of(absent)) == {"bandwidth", "sram", "matrix", "vector"}
    expected = "External latency, the matrix unit's launch overhead and the vector unit's launch overhead are 0 on this hardware"
    assert absent["sentences"][-1].startswith(expected)
    some = why("mobilenet_cifar", "--set", "external_memory.latency=20 us", "--policy", "serial")
    expected = "The matrix unit's launch overhead and the vector unit's launch overhead are 0 on this hardware: nothing to cut there."
    assert some["sentences"][-1] == expected
    assert some["sentences"][0].startswith("Cut the external latency next: a fifth less saves ")
    assert "half of it saves" in some["sentences"][0]
    assert "none of it saves" in some["sentences"][0]


@pytest.mark.parametrize("network", KINDS_OF_NETWORKS)
@pytest.mark.parametrize("policy", ["overlap", "serial"])
def test_every_network_has_a_verdict_in_80_columns(network: str, policy: Any) -> None:
    found = sensitivity(plan_network(network, seed_with(), policy))
    squeezed = {"overlap": "a faster matrix unit", "serial": "SRAM"}  # fused, squeezenet's maps cross the bus no more
    first = squeezed[policy] if network == "squeezenet" else "bandwidth"
    assert why_sentences(found)[0].startswith(f"Buy {first} next: 25 % more saves ")
    text = as_text(why_document(found), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "-0.0" not in text
    assert not [line for line in text.splitlines() if line.startswith("%")]


def test_all_seven_rows_fit_80_columns() -> None:
    found = sensitivity(plan_network("mobilenet_v1", seed_with(*LATENCIES, "vector_unit.throughput=123.4 GFLOPS")))
    assert len(found.gains) == 7
    assert max(map(len, as_text(why_document(found), 80).splitlines())) <= 80


def test_formats_say_the_same() -> None:
    record = why("mobilenet_cifar")
    times = ["simulated_time_s", "any_schedule_bound_time_s", "serial_policy_time_s"]
    assert list(record) == ["network", "hardware", "policy", *times, "resources", "then", "sentences"]
    assert 0 < record["any_schedule_bound_time_s"] <= record["simulated_time_s"]
    rows = list(csv.DictReader(io.StringIO(run("why", "mobilenet_cifar", "--format", "csv").out)))
    assert rows == [{key: "" if value is None else str(value) for key, value in gain.items()} for gain in record["resources"]]
    table, markdown = run("why", "mobilenet_cifar").out, run("why", "mobilenet_cifar", "--format", "markdown").out
    for sentence in record["sentences"]:
        assert f"\n{sentence}\n" in table
        assert f"\n- {sentence}\n" in markdown
    assert "587.3 us" in markdown
    assert "\n| bandwidth   |" in markdown
    bare = run("why", "mobilenet_cifar", "-q").out
    assert bare.startswith("resource ")
    assert bare in table
    assert len(bare.splitlines()) == 6


@pytest.mark.parametrize(
    ("arguments", "code", "phrase"),
    [
        (["mobilenet_v2"], 2, "did you mean 'mobilenet_v1'?"),
        ([], 2, "NETWORK"),
        (["mobilenet_v1", "--trace", "x.json"], 2, "no such option '--trace'"),
        (["mobilenet_v1", "--sram", "16"], 2, "KiB"),
        (["mobilenet_v1", "--sram", "64B"], 1, "C001"),
        (["mobilenet_v1", "-o", "/nowhere/x.csv"], 2, "U003"),
    ],
)
def test_mistakes(arguments: list[str], code: int, phrase: str) -> None:
    ran = run("why", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert phrase in ran.err
    assert "Traceback" not in ran.err


def test_amounts_are_read_and_changed_in_one_place() -> None:
    machine = seed_with(*LATENCIES)
    for resource in RESOURCES:
        changed = with_amount(machine, resource, 12345.0)
        assert amount_of(changed, resource) == 12345
        assert all(amount_of(changed, other) == amount_of(machine, other) for other in RESOURCES if other != resource)
        assert with_amount(changed, resource, amount_of(machine, resource)) == machine
    assert isinstance(with_amount(machine, "sram", 12.6).sram_capacity_bytes, int)


def test_candidates_are_planned_once_for_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    import mnsim.why as module

    made: list[int] = []

    class Counted(Contest):
        def __init__(self, graph: Graph, hardware: Hardware, first: Plan) -> None:
            made.append(hardware.sram_capacity_bytes)
            super().__init__(graph, hardware, first)

    monkeypatch.setattr(module, "Contest", Counted)
    planned: Planned = plan_network(SMALL, seed_with("internal_memory.capacity=1000 B"))
    sensitivity(planned)
    assert len(made) == len(set(made))
    assert made[:4] == [1000, 1250, 2000, 4000]


def test_the_estimate_is_that_of_the_plan_that_is_timed() -> None:
    """Whether it starts from the first candidate, or from the one that the clock takes, which here is another."""
    hardware = seed_with("internal_memory.capacity=256 KiB", "external_memory.latency=1 us", "matrix_unit.launch_overhead=1 us")
    planned = plan_network("mobilenet_cifar", hardware)
    chosen = choose_plan(planned)
    assert chosen.plan != planned.plan
    found = sensitivity(planned)
    assert found.estimate == estimate_plan(chosen)
    assert found == sensitivity(chosen)


def test_policy_serial_is_told_before_anything_is_bought(tmp_path: Path) -> None:
    """Overlap takes serial's plan where it is the fastest: nothing is said of it unless it saves something all the same."""
    path = tmp_path / "net.yaml"
    path.write_text("name: net\ninput: [16, 16, 8]\nlayers:\n" + "  - {conv: 16, kernel: 3, activation: relu}\n" * 4)
    slow = ["--sram", "4KiB", "--set", "external_memory.latency=2us", "--set", "matrix_unit.launch_overhead=1us"]
    record = json.loads(run("why", str(path), *slow, "--format", "json").out)
    serial, now = (
        json.loads(run("simulate", str(path), *slow, "--policy", policy, "--format", "json").out)["total"]["simulated_time_s"]
        for policy in ("serial", "overlap")
    )
    assert now <= 1.01 * serial
    assert record["serial_policy_time_s"] == pytest.approx(serial, rel=1e-12)
    found = sensitivity(plan_network(str(path), seed_with("internal_memory.capacity=4 KiB")))
    better = replace(found, serial_policy_time_s=0.99 * found.simulated_time_s)  # made by hand
    assert why_sentences(better)[0].startswith("Buy nothing before trying --policy serial: on this hardware it saves 1.0 %")
    assert why_sentences(better)[1:] == why_sentences(replace(found, serial_policy_time_s=found.simulated_time_s))
    assert "--policy serial" not in run("why", "mobilenet_cifar").out
    assert "--policy serial" not in run("why", str(path), *slow, "--policy", "serial").out
