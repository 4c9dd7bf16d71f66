"""Every sentence against the figures: parsed, and held against the JSON of the same run, over generated networks and machines."""

import json
import re
from collections import Counter
from dataclasses import replace
from math import ceil, isclose
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mnsim.analysis.cost import Estimate, estimate
from mnsim.analysis.derive import derive
from mnsim.errors import CapacityError
from mnsim.graph.model import Graph
from mnsim.pipeline import Planned
from mnsim.pipeline import run as play
from mnsim.plan.model import cuts_of
from mnsim.plan.residency import make_plan
from mnsim.plan.tiling import tile_counts
from mnsim.report.columns import layer_columns
from mnsim.report.records import as_dict
from mnsim.report.simulation import simulation_record
from mnsim.report.simulation_table import simulation_sentences
from mnsim.report.words import headline, sentences
from mnsim.spec.load import load_hardware
from mnsim.spec.records import POLICIES, Energies, Engine, Hardware
from mnsim.units import format_scaled
from tests.generators import networks
from tests.helpers import run
from tests.sentences import AMOUNT, ENGINE, ENGINES, PERCENT, TIMES, is_amount, is_share, largest, matched, swept
from tests.test_tiling_oracle import walk

SEED = load_hardware("seed")
LAYERWISE = ("--policy", "layerwise")


@st.composite
def machines(draw: st.DrawFn, graph: Graph) -> Hardware:
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    rates = st.sampled_from([1e3, 2e4, 1e6, 1e9])
    overheads, shares = st.sampled_from([0.0, 0.0, 1e-6, 1e-3]), st.sampled_from([(), (("conv", 0.5), ("relu", 0.5), ("add", 0.1))])
    return replace(
        SEED,
        external_latency_s=draw(overheads),
        bus_bandwidth_bytes_per_s=draw(rates),
        sram_capacity_bytes=ceil(most * draw(st.integers(5, 120)) / 100),
        matrix=Engine(draw(rates), draw(overheads), draw(shares)),
        vector=Engine(draw(rates), draw(overheads), draw(shares)),
        fused=draw(st.sampled_from([(), (), ("relu",), ("batch_norm", "relu6")])),
        energies=draw(st.sampled_from([None, Energies(2e-11, 1e-12, 4e-13, 1e-12)])),
    )


@st.composite
def planned_cases(draw: st.DrawFn) -> Planned:
    graph = draw(networks())
    hardware = draw(machines(graph))
    try:
        return Planned(graph, hardware, make_plan(graph, hardware, draw(st.sampled_from(POLICIES))))
    except CapacityError:
        reject()


def bounds_of(record: dict[str, Any], found: Estimate) -> tuple[int, dict[str, float]]:
    """Compulsory bytes, and seconds of each engine at the least, counted from the layers' own figures."""
    graph, hardware = found.graph, found.hardware
    shares = {engine: dict(getattr(hardware, engine).efficiency) for engine in ("matrix", "vector")}
    outputs = [graph.maps[index].size_bytes for index in graph.outputs]
    needed = graph.maps[0].size_bytes + sum(outputs) + sum(layer["weight_bytes"] for layer in record["layers"])
    flops = {layer["index"]: 2 * layer["macs"] / shares["matrix"].get(layer["type"], 1.0) for layer in record["layers"]}
    ops = 0.0
    for operator in graph.operators:
        free = hardware.fused if operator.macs else ()
        work = () if operator.kind in ("concat", "flatten") else operator.vector_ops  # copies are the plan's own
        kept = next(
            (place for place, (name, _) in enumerate(work) if name not in free), len(work)
        )  # the stage ends at the first that is not free
        ops += sum(count / shares["vector"].get(name, 1.0) for name, count in work[kept:])
    times = (needed / hardware.bus_bandwidth_bytes_per_s, sum(flops.values()) / hardware.matrix.throughput_per_s)
    return needed, dict(zip(TIMES, (*times, ops / hardware.vector.throughput_per_s), strict=True))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(planned_cases())
def test_what_analyze_says(case: Planned) -> None:
    found = estimate(case.graph, case.plan, case.hardware)
    record = as_dict(found)
    total, layers = record["total"], record["layers"]
    spent = {engine: total[key] for engine, key in TIMES.items()}
    assert total["busiest"] == largest(spent)
    assert all(layer["busiest"] == largest({engine: layer[key] for engine, key in TIMES.items()}) for layer in layers)
    where, bound, *sram, costly = sentences(found)

    match = matched(
        rf"One thing at a time it takes {AMOUNT}: {ENGINE} is busy for {PERCENT} of it, {ENGINE} {PERCENT} and {ENGINE} {PERCENT}\.", where
    )
    assert is_amount(match[1], total["serial_time_s"])
    assert ENGINES[match[2]] == total["busiest"]
    for engine, share in ((match[2], match[3]), (match[4], match[5]), (match[6], match[7])):
        assert is_share(share, spent[ENGINES[engine]], sum(spent.values()))
    assert len({match[2], match[4], match[6]}) == 3

    check_bound(bound, record, found)
    for sentence in sram:
        match = matched(
            rf"With .* of SRAM, this plan's (layers|segments of fused layers), one after another, take at least {AMOUNT}\.", sentence
        )
        assert match[1].startswith("segments") == (len(case.plan.segments) < len(case.graph.operators))
        assert is_amount(match[2], total["capacity_bound_time_s"])
    assert len(sram) == (total["capacity_bound_time_s"] >= 1.001 * total["any_schedule_bound_time_s"])
    check_costly(costly, record)
    reserved = f"SRAM reserved {total['reserved_sram_bytes']:,} of {case.hardware.sram_capacity_bytes:,} B"
    assert headline(found)[-1].endswith(reserved)


def check_bound(sentence: str, record: dict[str, Any], found: Estimate) -> None:
    """What no schedule beats, what sets it, and what crosses the bus beyond that."""
    total = record["total"]
    needed, bounds = bounds_of(record, found)
    beyond = r"(?:; beyond weights, input and output, (.*) cross the bus)?"
    largest_s = total["any_schedule_bound_time_s"]
    waits = rf", and what must wait for the last element of a layer, or be loaded twice, adds {AMOUNT}"
    needs = rf"(?:, which {ENGINE} sets|: {ENGINE} needs {AMOUNT}) \({AMOUNT} [^)]*\)(?:{waits})?[:;]"
    match = matched(rf"No schedule beats {AMOUNT}{needs} one thing at a time is ([\d.]+)x that{beyond}\.", sentence)
    beats, sets, needed_by, simple, amount, more, ratio, across = match.groups()
    assert is_amount(beats, largest_s)
    assert bool(sets) == (beats == format_scaled(total["bound_time_s"], "s")) == (more is None)
    if more:
        assert is_amount(simple, total["bound_time_s"])
        assert is_amount(more, largest_s - total["bound_time_s"])
    engine = ENGINES[sets or needed_by]
    assert engine == total["bound_by"]
    assert isclose(total["bound_time_s"], max(bounds.values()), rel_tol=1e-9)
    assert isclose(bounds[engine], max(bounds.values()), rel_tol=1e-9)
    rates = {"bus": found.hardware.bus_bandwidth_bytes_per_s, "matrix": found.hardware.matrix.throughput_per_s / 2}
    rate = rates.get(engine, found.hardware.vector.throughput_per_s)
    if engine == "bus" or not getattr(found.hardware, engine).efficiency:
        assert is_amount(amount, total["bound_time_s"] * rate)
    assert abs(float(ratio) - total["serial_time_s"] / largest_s) <= 0.005 + 1e-9
    again = sum(layer["weight_traffic_bytes"] - layer["weight_bytes"] for layer in record["layers"])
    parts = dict.fromkeys(("of feature maps that do not stay in SRAM", "of weights read again"), "0 B")
    for part in across.split(" and ") if across else ():
        size, prefixed, what = part.split(" ", 2)
        assert what in parts
        parts[what] = f"{size} {prefixed}"
    assert is_amount(parts["of weights read again"], again)
    assert is_amount(parts["of feature maps that do not stay in SRAM"], total["traffic_bytes"] - needed - again)


def check_costly(sentence: str, record: dict[str, Any]) -> None:
    """The groups of layers that are named cost what is said, and no other costs more."""
    layers, total_s = {layer["name"]: layer for layer in record["layers"]}, record["total"]["serial_time_s"]
    kinds = {name: (layer["type"], layer["time_s"], layer["busiest"]) for name, layer in layers.items()}
    sizes = Counter(kinds.values())
    listed, together = matched(rf"Most costly: (.*); together {PERCENT} of the time\.", sentence).groups()
    named = re.findall(rf"(?:(\d+) like )?(\S+) {AMOUNT}( each)? \({PERCENT}, (bus|matrix unit|vector unit)\)(?:, |$)", listed)
    least, all_s = float("inf"), 0.0
    for count, name, time, each, share, engine in named:
        layer = layers[name]
        assert is_amount(time, layer["time_s"])
        assert layer["busiest"] == engine.removesuffix(" unit")
        assert sizes.pop(kinds[name]) == int(count or 1)
        assert bool(each) == bool(count)
        whole_s = int(count or 1) * layer["time_s"]
        assert is_share(share, whole_s, total_s)
        least, all_s = min(least, whole_s), all_s + whole_s
    assert is_share(together, all_s, total_s)
    assert all(kind[1] * count <= least * (1 + 1e-12) for kind, count in sizes.items())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(planned_cases())
def test_what_a_layer_says(case: Planned) -> None:
    """Formulas give their figures; what is said of memory, of engines and of what stays is so."""
    found = estimate(case.graph, case.plan, case.hardware)
    record = as_dict(found)
    cuts = next(column for column in layer_columns(found, record, "more") if column.heading == "cut")
    segments = record["plan"]["segments"]
    for row, layer in zip(found.layers, record["layers"], strict=True):
        segment = segments[layer["segment"]]
        (cut,) = (each for each in segment["cuts"] if each["layer"] == layer["name"])
        derivation = derive(found, row.index)
        steps = {step.figure: step for step in derivation.steps}
        for step in derivation.steps:
            value = eval(step.numbers, {"__builtins__": {}, "max": max, "min": min, "ceil": ceil})
            assert isclose(value, step.value, rel_tol=1e-12, abs_tol=1e-18), (row.index, step)
        if "runs on the vector unit" in steps["macs"].formula:
            assert layer["vector_ops"] > 0
        if "all that it reads is in SRAM" in steps["input_traffic_bytes"].formula:
            loaded = {stream["map"] for each in segment["cuts"] if each != cut for stream in each["streams"]}
            made = set(segment["layers"][: segment["layers"].index(layer["name"])])
            assert all(each["address"] is not None or each["name"] in loaded | made for each in layer["inputs"])
            assert ("ring" in steps["input_traffic_bytes"].formula) == any(each["address"] is None for each in layer["inputs"])
        if "all that it copies is in SRAM" in steps["input_traffic_bytes"].formula:
            copied = [case.graph.maps[source].name for source in case.graph.operators[row.index].copied]
            assert all(each["address"] is not None for each in layer["inputs"] if each["name"] in copied)
        if "the output stays in SRAM" in steps["output_traffic_bytes"].formula:
            assert layer["output"]["address"] is not None
        if "the output passes to the next layers" in steps["output_traffic_bytes"].formula:
            assert layer["output"]["place"] == "ring"
        facts = "\n".join(derivation.facts)
        if "moves and computes nothing" in facts:
            assert layer["traffic_bytes"] == layer["vector_ops"] == layer["macs"] == 0
        if "computes nothing" in facts:
            assert layer["vector_ops"] == layer["macs"] == 0
            assert layer["busiest"] in (None, "bus")
        assert len(re.findall(r"^runs in segment", facts, re.MULTILINE)) == (segment["kind"] != "single")
        for name, rows in re.findall(r"^ring of (\S+) \(at \d+\), (\d+) row", facts, re.MULTILINE):
            (ring,) = (each for each in segment["buffers"] if each["name"] == "ring" and name in each["maps"])
            assert ring["rows"] == int(rows)
        stays = cut["tiling"]["stays"]
        assert re.findall(r"what stays: (\w+)", facts) == ([] if stays is None else [stays])
        if segment["kind"] == "single":
            assert re.findall(r"(\w+) stay", cuts.cells[row.index]) == ([] if stays is None else [stays])
        assert stays == held_between_two_tiles(found, row.index)


def held_between_two_tiles(found: Estimate, index: int) -> str | None:
    """Which operand the first two tiles have in common, by the loops of the plan."""
    cut = cuts_of(found.plan)[index]
    geometry, tiling = cut.geometry, cut.tiling
    tiles = list(walk(tiling.stays, *tile_counts(geometry, tiling)))
    if len(tiles) == 1:
        return None
    (s, o, i), (next_s, next_o, next_i) = tiles[:2]
    if (o, i) == (next_o, next_i):
        return "weights" if geometry.filter_bytes or geometry.bias_bytes else None
    if (s, o) == (next_s, next_o):
        return "output"
    channels = [block * tiling.out_channels // geometry.group_out for block in (o, next_o)]
    assert (s, i) == (next_s, next_i)
    return "input" if tiling.stays == "input" or channels[0] == channels[1] else None


@settings(max_examples=120, deadline=None, derandomize=True)
@given(planned_cases())
def test_what_simulate_says(case: Planned) -> None:
    simulated = play(case)
    record = simulation_record(simulated)
    total, engines, end_s = record["total"], record["engines"], record["total"]["simulated_time_s"]
    takes, serial, busiest, *energy = simulation_sentences(record)
    assert len(energy) == ("energy_j" in total)
    for sentence in energy:
        match = matched(rf"It takes {AMOUNT}, {AMOUNT} on average\.", sentence)
        assert is_amount(match[1], total["energy_j"])
        assert is_amount(match[2], total["energy_j"] / end_s)
    rest = rf"(?:, ([\d.]+)x the one for this plan's segments in their order \({AMOUNT}\))?"
    match = matched(rf"It takes {AMOUNT}, policy (\w+): ([\d.]+)x the bound for any schedule \({AMOUNT}\){rest}\.", takes)
    assert is_amount(match[1], end_s)
    assert match[2] == case.plan.policy
    assert abs(float(match[3]) - end_s / total["any_schedule_bound_time_s"]) <= 0.0005 + 1e-9
    assert is_amount(match[4], total["any_schedule_bound_time_s"])
    assert bool(match[5]) == (total["capacity_bound_time_s"] > 1.001 * total["any_schedule_bound_time_s"])
    if match[5]:
        assert abs(float(match[5]) - end_s / total["capacity_bound_time_s"]) <= 0.0005 + 1e-9
        assert is_amount(match[6], total["capacity_bound_time_s"])
    check_against_serial(serial, record, case)
    match = matched(rf"Busiest is {ENGINE}, {PERCENT} of the time; {ENGINE} {PERCENT} and {ENGINE} {PERCENT}\.", busiest)
    assert ENGINES[match[1]] == total["busiest"]
    for engine, share in ((match[1], match[2]), (match[3], match[4]), (match[5], match[6])):
        assert is_share(share, engines[ENGINES[engine]]["busy_s"], end_s)
        assert engines[ENGINES[engine]]["busy_s"] <= engines[total["busiest"]]["busy_s"] * (1 + 1e-9)
    peak = headline(simulated.estimate, total["peak_sram_bytes"])[-1]
    assert peak.endswith(f"SRAM peak {total['peak_sram_bytes']:,} of {case.hardware.sram_capacity_bytes:,} B")
    assert (total["busiest"], total["bound_by"]) == (simulated.estimate.total.busiest, simulated.estimate.total.bound_by)


def check_against_serial(sentence: str, record: dict[str, Any], case: Planned) -> None:
    total = record["total"]
    if record["policy"] == "serial":
        assert sentence == "Nothing overlaps; with --policy overlap, transfers run beside computation."
        assert isclose(total["simulated_time_s"], total["serial_time_s"], rel_tol=1e-9)
        return
    match = matched(
        rf"With --policy serial it takes {AMOUNT}(?:: ([\d.]+)x that|, which is less(: .*)?\. Use --policy serial)\.",
        sentence,
    )
    serial_s = estimate(case.graph, make_plan(case.graph, case.hardware, "serial"), case.hardware).total.serial_time_s
    assert is_amount(match[1], serial_s)
    assert bool(match[2]) == (serial_s >= total["simulated_time_s"] * (1 - 1e-9))
    if match[2]:
        assert abs(float(match[2]) - serial_s / total["simulated_time_s"]) <= 0.005 + 1e-9
    if match[3]:
        machine = case.hardware
        bare = replace(
            machine,
            external_latency_s=0.0,
            matrix=replace(machine.matrix, launch_overhead_s=0.0),
            vector=replace(machine.vector, launch_overhead_s=0.0),
        )
        assert bare != machine
        without = play(case._replace(hardware=bare))
        assert without.timeline.end_s <= without.serial_policy_time_s * (1 + 1e-9)


def test_busiest_and_bound_by_are_two_things() -> None:
    """squeezenet moves maps out and in again: the bus is busiest, and still it is the matrix unit that no schedule beats."""
    found = json.loads(run("analyze", "squeezenet", *LAYERWISE, "--format", "json").out)["total"]
    played = json.loads(run("simulate", "squeezenet", *LAYERWISE, "--format", "json").out)["total"]
    (row,) = swept(["squeezenet", *LAYERWISE], "json")["rows"]
    for record in (found, played, row):
        assert (record["busiest"], record["bound_by"]) == ("bus", "matrix")
    assert "The bus is busiest; the matrix unit sets the lower bound." in swept(["squeezenet", *LAYERWISE], "markdown")


def test_reserved_and_peak_are_two_things() -> None:
    """mobilenet_v1: 1,005,824 bytes are reserved for one layer, and 864,320 at most in use; each command that has both says both alike."""
    found = json.loads(run("analyze", "mobilenet_v1", *LAYERWISE, "--format", "json").out)
    played = json.loads(run("simulate", "mobilenet_v1", *LAYERWISE, "--format", "json").out)["total"]
    (row,) = swept(["mobilenet_v1", *LAYERWISE], "json")["rows"]
    reserved = found["total"]["reserved_sram_bytes"]
    assert reserved == played["reserved_sram_bytes"] == row["reserved_sram_bytes"] == max(layer["sram_bytes"] for layer in found["layers"])
    assert (reserved, played["peak_sram_bytes"]) == (1_005_824, 864_320)
    assert "peak_sram_bytes" not in {**found["total"], **row}


@settings(max_examples=80, deadline=None, derandomize=True)
@given(planned_cases())
def test_what_is_reserved_is_what_the_plan_lists(case: Planned) -> None:
    """Maps that live while a layer runs and its buffers, byte by byte from the JSON's addresses; a concat's parts lie within it."""
    record = as_dict(estimate(case.graph, case.plan, case.hardware))
    order = {layer["name"]: layer["index"] for layer in record["layers"]}
    sizes = {each["name"]: each["bytes"] for layer in record["layers"] for each in (*layer["inputs"], layer["output"])}
    if any(layer["type"] == "concat" for layer in record["layers"]):
        return
    for layer in record["layers"]:
        segment = record["plan"]["segments"][layer["segment"]]
        used = {
            home["address"] + place
            for home in record["plan"]["homes"]
            if home["address"] is not None and order[home["first_layer"]] <= layer["index"] <= order[home["last_layer"]]
            for place in range(sizes[home["name"]])
        }
        used |= {buffer["address"] + place for buffer in segment["buffers"] for place in range(buffer["size_bytes"])}
        assert layer["sram_bytes"] == len(used)


def test_what_verify_says() -> None:
    """Every element of every map is compared when it is written; the outputs, which are written to SRAM and then stored, twice."""
    layers = json.loads(run("analyze", "mobilenet_cifar", *LAYERWISE, "--format", "json").out)["layers"]
    elements = sum(layer["output"]["bytes"] for layer in layers)
    said = run("verify", "mobilenet_cifar", *LAYERWISE).out.splitlines()[-1]
    assert said == f"Identical: {elements + 10:,} elements when they were written, and at the end 10 of outputs."


@pytest.mark.parametrize("written", ["-1e400", "1e400", "1e-400", "-.inf"])
def test_a_number_is_shown_as_it_was_written(written: str, tmp_path: Any) -> None:
    path = tmp_path / "network.yaml"
    path.write_text(f"name: a\ninput: [8, 8, 3]\nlayers:\n  - {{conv: {written}, kernel: 1}}\n")
    assert f"channels must be a whole number, got {written}\n" in run("analyze", str(path)).err


def test_a_layer_without_weights_keeps_none(tmp_path: Any) -> None:
    path = tmp_path / "network.yaml"
    layers = ("{max_pool: 2, name: left}", "{max_pool: 2, input: input, name: right}", "{add: [left, right], name: sum}")
    path.write_text("name: a\ninput: [64, 64, 8]\nlayers:\n" + "".join(f"  - {layer}\n" for layer in layers))
    found = json.loads(run("analyze", str(path), "--sram", "10 KiB", *LAYERWISE, "--format", "json").out)
    name = found["layers"][-1]["name"]
    facts = run("analyze", str(path), "--sram", "10 KiB", *LAYERWISE, "--layer", name).out
    assert "cut: " in facts and "strips" in facts  # noqa: PT018
    assert "stays" not in facts
    assert found["plan"]["segments"][-1]["tiling"]["stays"] is None
