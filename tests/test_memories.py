"""A second memory outside, on a bus of its own: written by hand, checked, played by both clocks, executed, shown."""

import csv
import io
import json
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from mnsim.analysis.energy import program_energy
from mnsim.analysis.occupancy import occupancy
from mnsim.clocks.rates import make_rates, rates_of
from mnsim.clocks.recurrence import recur, simulated_times_s
from mnsim.clocks.simulate import simulate
from mnsim.clocks.timeline import busy_times_s, layer_schedules
from mnsim.errors import Location, ProgramError
from mnsim.pipeline import Simulated, analyze
from mnsim.program.check import check
from mnsim.program.dump import dump
from mnsim.program.model import Kernel, Load, Matrix, Program, Region, Store, engines_of
from mnsim.reference.execute import execute
from mnsim.render.formats import Screen, render
from mnsim.report.plain import as_dict
from mnsim.report.programs import program_document
from mnsim.report.simulation import simulation_record
from mnsim.report.simulation_table import simulation_document
from mnsim.report.trace import trace_json
from mnsim.spec.records import Energies, Engine, Hardware, Layer, Network, OutsideMemory, own_rates
from tests.mutations import mutate
from tests.program_oracle import first_fault
from tests.programs import TOY, chance
from tests.schedule_oracle import faults
from tests.test_program import read_line, read_row

FLASH = OutsideMemory("flash", "flash_bus", 4.0, 0.5, 64)  # 4 bytes/s, half a second a transfer, 64 bytes
MACHINE = Hardware("two", "", "DRAM", None, 0.0, 16.0, 64, Engine(16.0), Engine(1.0), further=(FLASH,))
WEIGHTS, X, Y = np.arange(8, dtype="<f4").reshape(2, 4), np.array([1, -2, 3, 0.5], "<f4"), 40


def at(memory: str, start: int, size: int, data: int) -> Region:
    return Region(memory, start, size, size, 1, data)


def program() -> Program:
    """A fully connected layer: its input from external memory, its weights from flash; the result goes to both."""
    kernel = Kernel("dense", "float32", ("input", "filters"), (1, 1, 4), (1, 1, 2))
    x, filters, y = at("sram", 0, 16, 1), at("sram", 16, 32, 2), at("sram", 48, 8, 3)
    commands = (
        Load(0, "fc", (at("external", 0, 16, 1),), (x,)),
        Load(1, "fc", (at("flash", 0, 32, 2),), (filters,), bus="flash_bus"),
        Matrix(2, "fc", (x, filters), (y,), kernel, 8, (0, 1)),
        Store(3, "fc", (y,), (at("external", 16, 8, 3),), (2,)),
        Store(4, "fc", (y,), (at("flash", Y, 8, 3),), (2,), bus="flash_bus"),
    )
    memories = {"sram": 56, "external": 24, "flash": 48}
    ends = (at("external", 0, 16, 1),), (at("flash", 0, 32, 2),), (at("external", 16, 8, 3), at("flash", Y, 8, 3))
    return Program("hand", "overlap", memories, commands, *ends)


def test_it_is_right_and_runs_on_engines_of_its_own() -> None:
    checked = check(program(), MACHINE)
    assert (checked.commands, checked.loaded_bytes, checked.stored_bytes, checked.sram_touched_bytes) == (5, 48, 16, 56)
    assert engines_of(program()) == ("bus", "matrix", "vector", "flash_bus")


def test_both_clocks_pay_its_bandwidth_and_its_latency() -> None:
    """0.5 s latency + 32 B / 4 B/s, beside the 1 s of the input; 16 FLOP / 16 FLOPS; 0.5 s + 8 B / 4 B/s."""
    timeline = simulate(program(), MACHINE)
    assert timeline.starts_s == (0, 0, 8.5, 9.5, 9.5)
    assert timeline.ends_s == (1, 8.5, 9.5, 10, 12)
    assert timeline == recur(program(), rates_of(MACHINE))
    settings = {name: np.array([value, 2 * value]) for name, value in own_rates(MACHINE).items()}
    assert simulated_times_s(program(), make_rates(settings, MACHINE.further)).tolist() == [12, 11.5]
    assert busy_times_s(program().commands, rates_of(MACHINE)) == {"bus": 1.5, "matrix": 1, "vector": 0, "flash_bus": 11}
    assert layer_schedules(program(), timeline)["fc"].end_s == 12


def test_it_runs_on_real_bytes() -> None:
    external, flash = np.zeros(24, np.uint8), np.zeros(48, np.uint8)
    external[:16], flash[:32] = X.view(np.uint8), WEIGHTS.reshape(-1).view(np.uint8)
    memories = execute(program(), simulate(program(), MACHINE), {"external": external, "flash": flash})
    for content in (memories["external"][16:24], memories["flash"][Y : Y + 8], memories["sram"][48:56]):
        assert content.view("<f4").tolist() == (WEIGHTS @ X).tolist()


def test_each_memory_has_its_occupancy() -> None:
    timeline = simulate(program(), MACHINE)
    assert occupancy(program(), timeline).peak_bytes == 56
    flash = occupancy(program(), timeline, "flash")  # the weights until they are loaded, the output from when it is stored
    assert (flash.times_s, flash.in_use_bytes) == ((0, 8.5, 9.5, 12), (32, 0, 8, 0))


def test_it_is_shown() -> None:
    lines = "".join(dump(program(), "by hand")).splitlines()
    assert [line.split()[1:] for line in lines if line.startswith("# flash ")] == [["flash", "48", "bytes:"]]
    assert {"#   weights flash[0+32]", "#   outputs flash[40+8]", "#   maps    flash[32+8]"} <= {*lines}
    assert any("flash_bus" in line and "flash[0+32] -> sram[16+32]" in line for line in lines)
    record = recorded(program())
    assert record["memories"] == {"sram": 56, "external": 24, "flash": 48}
    assert [command["engine"] for command in record["commands"]] == ["bus", "flash_bus", "matrix", "bus", "flash_bus"]
    trace = json.loads("".join(trace_json(program(), simulate(program(), MACHINE), "by hand")))
    tracks = {event["args"]["name"]: event["tid"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    on_flash = [event for event in trace["traceEvents"] if event["ph"] == "X" and event["tid"] == tracks["flash_bus"]]
    assert [event["args"]["id"] for event in on_flash] == [1, 4]


ENERGETIC = replace(MACHINE, energies=Energies(20.0, 1.0, 0.5, 3.0), further=(replace(FLASH, j_per_byte=30.0),))


def test_its_energy_is_counted() -> None:
    """16 + 8 bytes of external memory, 32 + 8 of flash; of SRAM 48 loaded, 48 + 8 by the layer, twice 8 stored; 16 FLOP."""
    found = program_energy(program(), ENERGETIC)
    assert found.memory_bytes == {"sram": 48 + 56 + 16, "external": 24, "flash": 40}
    assert found.energy_j == 20 * 24 + 30 * 40 + 1 * 120 + 0.5 * 16
    with pytest.raises(ValueError, match="two says no energy of flash"):
        program_energy(program(), replace(ENERGETIC, further=MACHINE.further))


def through() -> Program:
    """Bytes that go from flash to external memory by way of the SRAM: a load, and then a store."""
    buffer = at("sram", 0, 16, 5)
    commands = (
        Load(0, "move", (at("flash", 0, 16, 5),), (buffer,), bus="flash_bus"),
        Store(1, "move", (buffer,), (at("external", 4, 16, 6),), (0,)),
    )
    moved = (at("flash", 0, 16, 5),), (), (at("external", 4, 16, 6),)
    return Program("hand", "overlap", {"sram": 16, "external": 24, "flash": 16}, commands, *moved)


def test_both_buses_take_their_time_from_memory_to_memory() -> None:
    check(through(), MACHINE)
    timeline = simulate(through(), MACHINE)
    assert timeline.ends_s == (0.5 + 16 / 4, 0.5 + 16 / 4 + 16 / 16)
    content = np.arange(16, dtype=np.uint8)
    memories = execute(through(), timeline, {"external": np.zeros(24, np.uint8), "flash": content})
    assert memories["external"].tolist() == [0] * 4 + content.tolist() + [0] * 4


def test_there_is_no_way_past_the_sram() -> None:
    past = replace(through(), commands=(replace(through().commands[0], writes=(at("external", 4, 16, 6),)),))
    with pytest.raises(ProgramError, match="a Load writes sram, not external"):
        check(past, MACHINE)


def simulated() -> Simulated:
    """The run beside the estimate of a network of the same one layer."""
    network = Network("one", "", "", (1, 1, 4), 8, (Layer("fc", "dense", ("input",), Location(""), channels=2),))
    estimate = analyze(network, MACHINE, dtype="float32")
    return Simulated(program(), simulate(program(), MACHINE), estimate, 1.0)


def test_a_run_tells_of_its_bus() -> None:
    record = simulation_record(simulated())
    assert record["engines"]["flash_bus"] == {"busy_s": 11, "utilization": 11 / 12}
    (layer,) = record["layers"]
    assert layer["busy_s"] == {"bus": 1.5, "matrix": 1, "vector": 0, "flash_bus": 11}
    assert layer["wait_s"] == {"bus": 0, "matrix": 0, "vector": 0, "flash_bus": 0, "room": 0, "data": 8.5 + 9.5 + 9.5}
    text = "".join(map(str, render("table", simulation_document(simulated()), Screen(160, False, "more"))))
    assert "flash_bus s" in text
    assert "91.7 % busy" in text
    assert "Busiest is the flash_bus, 91.7 % of the time" in text
    assert "Nothing lives in" not in text  # for the program puts something there


def test_a_trace_has_its_curve_and_its_arrows() -> None:
    """The output is stored at one address of two memories: what brings it back from one of them comes from the store there."""
    place = at("external", Y, 8, 3)
    stored = replace(program().commands[3], writes=(place,))
    back = Load(5, "fc", (at("flash", Y, 8, 3),), (at("sram", 0, 8, 4),), (2,), (2,), bus="flash_bus")
    longer = replace(
        program(),
        memories={"sram": 56, "external": 48, "flash": 48},
        commands=(*program().commands[:3], stored, program().commands[4], back),
        outputs=(place, at("flash", Y, 8, 3)),
    )
    check(longer, MACHINE)
    trace = json.loads("".join(trace_json(longer, simulate(longer, MACHINE), "by hand")))
    assert trace["otherData"]["flash_bytes"] == 48
    counts = [event for event in trace["traceEvents"] if event["ph"] == "C"]
    assert [event["args"]["bytes"] for event in counts if event["name"] == "flash in use"] == [32, 0, 8, 0]
    begun = {event["id"]: event for event in trace["traceEvents"] if event["ph"] == "s" and event["name"] == "brought back"}
    tracks = {event["args"]["name"]: event["tid"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    assert [event["tid"] for event in begun.values()] == [tracks["flash_bus"]]


def recorded(program: Program) -> dict[str, Any]:
    """The program's JSON, read again."""
    found: dict[str, Any] = json.loads("".join(map(str, render("json", program_document(program, "by hand"), Screen(80, False, "usual")))))
    return found


def test_text_csv_and_json_can_be_read_again() -> None:
    """By readers of their own, which give the same commands; and by these alone a schedule is found right, or wrong."""
    for seed in range(20):
        made = replace(chance(seed, "flash"), network="net")
        made = replace(made, commands=tuple(replace(command, layer="layer") for command in made.commands))
        record = recorded(made)
        assert faults(record) == []
        document = program_document(made, "by hand")
        assert [read_line(line) for line in "".join(dump(made, "by hand", verbosity=-1)).splitlines()] == record["commands"]
        table = "".join(map(str, render("csv", document, Screen(80, False, "usual"))))
        assert [read_row(row) for row in csv.DictReader(io.StringIO(table))] == record["commands"]
        assert as_dict(made) == record


@pytest.mark.parametrize("name", ["drop_wait", "wrong_bus", "outside_memory", "negative_start"])
def test_a_wrong_schedule_shows_in_its_json(name: str) -> None:
    random, harmful = Random(name), 0
    for seed in range(40):
        mutant = mutate(name, chance(seed, "flash"), random)
        if mutant is not None:
            is_wrong = first_fault(mutant, TOY) is not None
            assert bool(faults(recorded(mutant))) == is_wrong
            harmful += is_wrong
    assert harmful > 20


def changed(place: int, **fields: object) -> Program:
    whole = program()
    commands = list(whole.commands)
    commands[place] = replace(commands[place], **fields)  # type: ignore[arg-type]
    return replace(whole, commands=tuple(commands))


WRONG = {
    "a bus that does not lead there": (changed(1, bus="bus"), "a Load reads external, not flash [0, 32)"),
    "a bus that leads nowhere": (changed(1, bus="canal"), "a bus 'canal', behind which the program has no memory"),
    "weights that are overwritten": (changed(4, writes=(at("flash", 24, 8, 3),)), "byte 24 belongs to an input or weights"),
    "a store that does not wait for its data": (changed(4, depends_on=()), "is read without waiting for command 2"),
    "weights that nobody waits for": (changed(2, depends_on=(0,)), "is read without waiting for command 1"),
    "weights that are not there": (changed(1, reads=(at("flash", 4, 32, 2),)), "nothing was written"),
    "an output that is not stored": (replace(program(), commands=program().commands[:4]), "is to end with value 3"),
    "more than there is": (replace(program(), memories={"sram": 56, "external": 24, "flash": 65}), "which has 64"),
    "a memory that there is not": (replace(program(), memories={**program().memories, "disk": 1}), "a memory 'disk'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(name: str) -> None:
    wrong, message = WRONG[name]
    with pytest.raises(ProgramError) as error:
        check(wrong, MACHINE)
    assert message in str(error.value)
