"""`mnsim program`: what it prints, the contract of its JSON, and that every schedule is right by the JSON alone."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from math import ceil
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.analysis.cost import estimate
from mnsim.cli.main import main
from mnsim.cli.terminal import progress
from mnsim.errors import CapacityError, ProgramError
from mnsim.graph.model import Graph
from mnsim.lowering.lower import lower
from mnsim.pipeline import plan_network
from mnsim.plan.model import Buffer, Cut, Home, Plan, Segment, Tiling
from mnsim.plan.residency import make_plan
from mnsim.plan.tiles import is_legal
from mnsim.plan.tiling import crossing_whole, input_strips, is_ring, make_geometry, working_bytes
from mnsim.program.check import check
from mnsim.report.plain import as_dict
from mnsim.spec.records import POLICIES, Dtype, Hardware, Policy
from tests.generators import KINDS, RENAMES, networks
from tests.helpers import KINDS_OF_NETWORKS, run, seed_with
from tests.schedule_oracle import Record, dead_bytes, faults, needless_waits
from tests.test_tiling_oracle import Case, cases, legal_tilings

MNSIM = str(Path(sys.executable).with_name("mnsim"))
TOGETHER = ("mobilenet_cifar", "--alpha", "0.25", "--sram", "16KiB")  # maps pass through rings here
SMALL = (*TOGETHER, "--policy", "layerwise")  # and through external memory here
LINE = re.compile(r" *(\d+)  (\w*bus|matrix|vector) +(\S.*?) +(\S+) +(\d+) (B|MACs|ops)  (\S.*?) -> (\S.*?)(?: +((?:after|room) .*))?")
FUSED = ((), ("relu", "relu6", "batch_norm"), ("batch_norm",))
WHOLE = {"type": "integer", "minimum": 0}
IDS = {"type": "array", "items": WHOLE, "uniqueItems": True}


def strict(**properties: Any) -> Record:
    """A schema of an object with exactly these keys."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


NUMBERS = {"start": WHOLE, "run_bytes": WHOLE, "stride_bytes": WHOLE, "runs": WHOLE}
REGIONS = {"type": "array", "items": strict(memory={"enum": ["sram", "external"]}, **NUMBERS)}
KINDS_OF = {"kind": {"enum": ["load", "store", "matrix", "vector"]}, "engine": {"enum": ["bus", "matrix", "vector"]}}
AMOUNTS = dict.fromkeys(("bytes", "macs", "vector_ops"), WHOLE)
COMMAND = strict(**KINDS_OF, **AMOUNTS, id=WHOLE, layer={"type": "string"}, reads=REGIONS, writes=REGIONS, depends_on=IDS, room=IDS)
LAYERS = {"type": "array", "items": {"type": "string"}, "minItems": 2}
SEGMENT = strict(layers=LAYERS, kind={"enum": ["rows", "channels"]}, order={"enum": ["demand", "pipelined", None]})
CONTRACT = strict(
    memories=strict(sram=WHOLE, external=WHOLE),
    segments={"type": "array", "items": SEGMENT},
    commands={"type": "array", "items": COMMAND},
    external=strict(inputs=REGIONS, weights=REGIONS, outputs=REGIONS),
)


# ---- the command line


def schedule_of(*arguments: str) -> Record:
    ran = run("program", *arguments, "--format", "json")
    assert ran.code == 0, ran.err
    found: Record = json.loads(ran.out)
    return found


@pytest.mark.parametrize("arguments", [SMALL, TOGETHER, ("squeezenet", "--policy", "serial"), ("mobilenet_v1", "--dtype", "float32")])
def test_the_json_keeps_its_contract(arguments: tuple[str, ...]) -> None:
    schedule = schedule_of(*arguments)
    jsonschema.validate(schedule, CONTRACT)
    assert list(schedule) == ["memories", "segments", "commands", "external"]
    assert list(schedule["commands"][0]) == [
        "id", "kind", "engine", "layer", "reads", "writes", "depends_on", "room", "bytes", "macs", "vector_ops",
    ]  # fmt: skip
    assert faults(schedule) == []


def test_each_command_is_a_line_of_the_json() -> None:
    lines = run("program", *SMALL, "--format", "json").out.splitlines()
    commands = [json.loads(line.rstrip(",]")) if line.endswith("},") else None for line in lines[3:-2]]
    assert [command["id"] for command in commands if command] == [*range(len(lines) - 5)]


def regions_of(text: str) -> list[Record]:
    """Regions from the notation that the text and the CSV share."""
    found = []
    for memory, inside in re.findall(r"(sram|external|flash)\[(.*?)\]", text):
        for start, size, runs, stride in re.findall(r"(\d+)\+(\d+)(?:\*(\d+)/(\d+))?", inside):
            numbers = {"start": int(start), "run_bytes": int(size), "stride_bytes": int(stride or size), "runs": int(runs or 1)}
            found.append({"memory": memory, **numbers})
    return found


def read_line(line: str) -> Record:
    """A line of the text, as much as it says."""
    match = LINE.fullmatch(line)
    assert match, line
    waits: dict[str, list[int]] = {"after": [], "room": []}
    for name, ids in re.findall(r"(after|room)((?: \d+)+)", match[9] or ""):
        waits[name] = [int(each) for each in ids.split()]
    amounts = {"B": "bytes", "MACs": "macs", "ops": "vector_ops"}
    return {
        **dict.fromkeys(amounts.values(), 0),
        amounts[match[6]]: int(match[5]),
        "id": int(match[1]),
        "kind": match[3].split()[0] if match[2].endswith("bus") else match[2],
        "engine": match[2],
        "layer": match[4],
        "reads": regions_of(match[7]),
        "writes": regions_of(match[8]),
        "depends_on": sorted([*waits["after"], *waits["room"]]),
        "room": waits["room"],
    }


def read_row(row: dict[str, str]) -> Record:
    whole = {key: int(row[key]) for key in ("id", "bytes", "macs", "vector_ops")}
    ids = {key: [int(each) for each in row[key].split(";") if each] for key in ("depends_on", "room")}
    row = {key: cell for key, cell in row.items() if key != "segment"}
    return {**row, **whole, **ids, "reads": regions_of(row["reads"]), "writes": regions_of(row["writes"])}


@pytest.mark.parametrize(
    "arguments", [SMALL, TOGETHER, ("squeezenet", "--policy", "serial"), ("squeezenet", "--alpha", "0.25", "--dtype", "float16")]
)
def test_text_csv_and_json_say_the_same(arguments: tuple[str, ...]) -> None:
    commands = schedule_of(*arguments)["commands"]
    text = run("program", *arguments).out.splitlines()
    bare = run("program", *arguments, "-q").out.splitlines()
    assert [line.strip() for line in text if not line.startswith("#")] == [line.strip() for line in bare]
    assert [read_line(line) for line in bare] == commands
    rows = list(csv.DictReader(io.StringIO(run("program", *arguments, "--format", "csv").out)))
    assert [read_row(row) for row in rows] == commands
    assert run("program", *arguments, "--format", "markdown").out.count("\n") == len(commands) + 2


def test_the_header_says_what_lies_where_and_adds_up() -> None:
    schedule, text = schedule_of(*SMALL), run("program", *SMALL).out
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert max(map(len, header[:-1])) <= 80
    assert header[0] == "# mobilenet_cifar, alpha 0.25, rho 1, input 28 x 28 x 3, int8, on seed"
    assert "# sram      16,384 bytes" in header
    assert "#   inputs  external[0+2352]" in header
    assert regions_of(next(line for line in header if "outputs" in line)) == schedule["external"]["outputs"]
    weights = sum(region["run_bytes"] for region in schedule["external"]["weights"])
    assert f"#   weights external[2352+{weights}]" in header
    for kind, unit, key in (("load", "bytes", "bytes"), ("store", "bytes", "bytes"), ("matrix", "MACs", "macs")):
        amounts = [command[key] for command in schedule["commands"] if command["kind"] == kind]
        assert re.search(rf"^#   {kind} +{len(amounts):,} +{sum(amounts):,} {unit}$", text, re.MULTILINE)


def test_one_layer_alone() -> None:
    commands = [command for command in schedule_of(*SMALL)["commands"] if command["layer"] == "pw3"]
    ran = run("program", *SMALL, "--layer", "pw3")
    assert [read_line(line) for line in ran.out.splitlines() if line[0] == " "] == commands
    assert re.search(rf"^# {len(commands)} commands of [\d,]+, those of layer pw3$", ran.out, re.MULTILINE)
    assert run("program", *SMALL, "--layer", "pw3", "--format", "csv").out.count("\n") == len(commands) + 1
    assert "(3x3 / 2x2, pad 0,1,0,1)" in run("program", "mobilenet_cifar", "--layer", "dw2", "-v").out
    idle = run("program", "squeezenet", "--layer", "fire2")  # a concat that moves nothing
    assert idle.code == 0
    assert "# 0 commands of " in idle.out
    assert run("program", "squeezenet", "--layer", "fire2", "--format", "csv").out.startswith("id,kind,engine,layer,bytes,")


@pytest.mark.parametrize(
    ("arguments", "code", "phrases"),
    [
        (["mobilenet_v1", "--layer", "pw14"], 2, ["error[U004]", "no layer 'pw14'", "did you mean 'pw"]),
        (["mobilenet_v1", "--layer", "pw1", "--format", "json"], 2, ["error[U001]", "--layer cannot be part of json"]),
        (["mobilenet_v1", "--layer", "pw1", "-o", "x.json"], 2, ["error[U001]", "--layer cannot be part of json"]),
        (["mobilenet_v1", "-o", "x.xlsx"], 2, ["error[U001]", "no suffix that names a format"]),
        (["mobilenet_v1", "--policy", "greedy"], 2, ["error[U001]", "--policy cannot be 'greedy'"]),
        (["-", "--hw", "-"], 2, ["error[U001]", "standard input can be one file only"]),
        (["mobilenet_v1", "--sram", "100 B"], 1, ["error[C001]", "of internal memory, which has 100"]),
    ],
)
def test_mistakes(arguments: list[str], code: int, phrases: list[str]) -> None:
    ran = run("program", *arguments)
    assert (ran.code, ran.out) == (code, "")
    for phrase in phrases:
        assert phrase in ran.err


def test_no_program_is_shown_that_breaks_a_rule(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise ProgramError(3, "it reads what nobody wrote")

    monkeypatch.setattr("mnsim.choice.check", refuse)
    ran = run("program", "mobilenet_cifar", "-o", str(tmp_path / "x.json"))
    assert (ran.code, ran.out) == (1, "")
    assert "error[P001]: command 3: it reads what nobody wrote" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_written_to_a_file(tmp_path: Path) -> None:
    for suffix, chosen in ((".json", "json"), (".csv", "csv"), (".md", "markdown"), (".txt", "table")):
        ran = run("program", *SMALL, "-o", str(tmp_path / f"x{suffix}"))
        assert (ran.code, ran.out, ran.err) == (0, "", f"wrote {tmp_path}/x{suffix}\n")
        assert (tmp_path / f"x{suffix}").read_text(encoding="utf-8") == run("program", *SMALL, "--format", chosen).out


@pytest.mark.parametrize("chosen", ["table", "json"])
def test_the_same_bytes_in_every_interpreter(chosen: str) -> None:
    command = [MNSIM, "program", "squeezenet", "--alpha", "0.5", "--sram", "128KiB", "--format", chosen]
    outputs = {
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_for_long_work_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, is_long, shows in ((Terminal(), True, True), (Terminal(), False, False), (io.StringIO(), True, False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress("working", 2, is_long) as bar:
            bar.update(2)
        assert ("working" in stream.getvalue()) == shows == bool(stream.getvalue())


@pytest.mark.parametrize("command", ["program", "simulate", "verify"])
def test_long_lowering_moves_a_bar(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(f"mnsim.cli.{command}.LONG", 1000)
    arguments = (command, "mobilenet_cifar", "--sram", "16KiB", "-o", str(tmp_path / "x.json"))
    for stream, more in ((Terminal(), ()), (Terminal(), ("-q",)), (io.StringIO(), ("-q",))):
        monkeypatch.setattr(sys, "stderr", stream)
        assert main([*arguments, *more]) == 0
        shown = [int(share) for share in re.findall(r"([0-9]+)%", stream.getvalue())]
        assert shown == sorted(shown)
        assert (len(shown) > 4 and shown[-1] == 100) if not more else not stream.getvalue()


# ---- every schedule is right


def judge(graph: Graph, plan: Plan, hardware: Hardware) -> Record:
    """Lower a plan, and hold its schedule against the rules and against the closed forms. The schedule."""
    program = lower(graph, plan)
    check(program, hardware)
    schedule: Record = as_dict(program)
    assert faults(schedule) == []
    if plan.policy == "overlap":
        assert needless_waits(schedule) == []
    sums: Counter[tuple[str, str]] = Counter()
    for command in schedule["commands"]:
        sums[command["layer"], "transfers"] += command["engine"] == "bus"
        for key in ("bytes", "macs", "vector_ops"):
            sums[command["layer"], key] += command[key]
    for row in estimate(graph, plan, hardware).layers:
        name = graph.operators[row.index].name
        found = {key: sums[name, key] for key in ("bytes", "transfers", "macs", "vector_ops")}
        counts = {"transfers": row.traffic.transfers, "macs": row.macs, "vector_ops": row.vector_ops}
        assert found == {"bytes": row.traffic_bytes, **counts}, name
    return schedule


def reads_everything(graph: Graph) -> bool:
    """Whether every row of every map is under some window: what lies between windows is loaded and never read."""
    for operator in graph.operators:
        if operator.window is not None:
            (kernel, _), (stride, _), (top, *_) = operator.window.kernel, operator.window.stride, operator.window.padding
            rows = range(graph.maps[operator.output].shape[0])
            if not {*range(graph.maps[operator.inputs[0]].shape[0])} <= {row * stride - top + tap for row in rows for tap in range(kernel)}:
                return False
    return True


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("network", KINDS_OF_NETWORKS)
def test_schedules_of_bundled_networks(network: str, policy: Policy) -> None:
    variants: list[tuple[str, float, Dtype]] = [("64 KiB", 0.25, "int8"), ("256 KiB", 0.5, "float32"), ("1 MiB", 0.25, "float16")]
    for sram, alpha, dtype in variants:
        graph, hardware, plan = plan_network(network, seed_with(f"internal_memory.capacity={sram}"), policy, alpha, dtype=dtype)[:3]
        assert dead_bytes(judge(graph, plan, hardware)) == {}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(networks(), st.integers(1, 100), st.sampled_from(POLICIES), st.sampled_from(FUSED))
def test_schedules_of_any_network(graph: Graph, percent: int, policy: Policy, fused: tuple[str, ...]) -> None:
    most = sum(each.size_bytes for each in graph.maps) + max(each.weight_bytes for each in graph.operators)
    hardware = replace(seed_with(), sram_capacity_bytes=ceil(most * percent / 100), fused=fused)
    try:
        plan = make_plan(graph, hardware, policy)
    except CapacityError:
        return
    schedule = judge(graph, plan, hardware)
    assert not reads_everything(graph) or dead_bytes(schedule) == {}


def plan_by_hand(graph: Graph, external: Collection[int], random: Random) -> Plan:
    """Any legal tiling of each operator, any number of buffers, one behind the other: what a planner might choose some day."""
    addresses, cursor = dict[int, int](), 0
    for storage in graph.storages:
        if storage.index not in external:
            addresses[storage.index] = cursor
            cursor += storage.size_bytes
    homes, segments, capacity = [], [], cursor
    for slot in graph.slots:
        storage, address = graph.storages[slot.storage], addresses.get(slot.storage)
        homes.append(Home(None if address is None else address + slot.offset_bytes, storage.first, storage.last))
    for operator in graph.operators:
        geometry = make_geometry(graph, operator, external)
        tiling = Tiling(geometry.rows_out, geometry.out_channels, geometry.group_in, "weights")
        if operator.kind not in RENAMES:
            tiling = random.choice([each for each in legal_tilings(graph, operator) if is_legal(geometry, each)])
        buffers: list[Buffer] = []
        for name, size in working_bytes(geometry, tiling):
            ring = name.startswith("input strip") and is_ring(geometry, tiling)
            rows = input_strips(geometry, tiling)[2] if ring else 1
            held = random.randint(rows, max(rows, geometry.rows_in)) if ring else 1
            for _ in range(1 if ring or name == "partial sums" else random.randint(1, 3)):
                buffers.append(Buffer(name, cursor + sum(each.size_bytes for each in buffers), size // rows * held, operator.index))
        capacity = max(capacity, cursor + sum(each.size_bytes for each in buffers))
        cut = Cut(operator.index, geometry, tiling, *crossing_whole(graph, operator, external))
        segments.append(Segment((cut,), tuple(buffers)))
    return Plan(random.choice(POLICIES), capacity, random.choice(FUSED), tuple(segments), tuple(homes))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(cases([*KINDS, *RENAMES], most_rows=9), st.integers(0, 99))
def test_schedules_of_any_legal_cut(case: Case, seed: int) -> None:
    graph, _, external = case.parts
    random = Random(seed)
    for _ in range(3):
        plan = plan_by_hand(graph, external, random)
        judge(graph, plan, replace(seed_with(), sram_capacity_bytes=plan.sram_capacity_bytes, fused=plan.fused))


# ---- the oracle is no fool


def altered(schedule: Record, place: int, **fields: Any) -> Record:
    commands = schedule["commands"]
    return {**schedule, "commands": [*commands[:place], {**commands[place], **fields}, *commands[place + 1 :]]}


def test_every_single_wait_is_needed_and_missed() -> None:
    """Policy overlap waits for nothing in vain: without any one of its waits, two commands race."""
    graph, _, plan = plan_network("mobilenet_cifar", seed_with("internal_memory.capacity=16 KiB"), "overlap", 0.25)[:3]
    schedule = as_dict(lower(graph, plan))
    commands = schedule["commands"]
    waits = [(command["id"], other) for command in commands for other in command["depends_on"]]
    for place, other in Random(1).sample(waits, 25):
        fewer = {key: [each for each in commands[place][key] if each != other] for key in ("depends_on", "room")}
        assert faults(altered(schedule, place, **fewer)), (place, other)


def test_the_oracle_finds_what_is_planted() -> None:
    schedule = schedule_of(*SMALL)
    store = next(command for command in schedule["commands"] if command["kind"] == "store")
    load = schedule["commands"][0]
    target, source = load["writes"][0], load["reads"][0]
    planted = {
        "id": altered(schedule, 1, id=2),
        "engine": altered(schedule, 1, engine="vector"),
        "later": altered(schedule, 1, depends_on=[2]),
        "room": altered(schedule, 1, room=[0]),
        "amount": altered(schedule, 0, bytes=load["bytes"] + 1),
        "range": altered(schedule, 0, writes=[{**target, "start": schedule["memories"]["sram"] - 1}]),
        "elsewhere": altered(schedule, 0, writes=[{**target, "start": target["start"] + 1}]),
        "side": altered(schedule, 0, reads=[{**source, "memory": "sram"}]),
        "weights": altered(schedule, store["id"], writes=[{**store["writes"][0], "start": 0}]),
    }
    planted["outputs"] = {**schedule, "commands": schedule["commands"][:-1]}
    planted["key"] = {**schedule, "name": "x"}
    for name, wrong in planted.items():
        assert faults(wrong), name
