"""A second memory outside, on a bus of its own: written by hand, checked, played by both clocks, executed, shown."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mnsim.analysis.occupancy import occupancy
from mnsim.clocks.rates import make_rates, rates_of
from mnsim.clocks.recurrence import recur, simulated_times_s
from mnsim.clocks.simulate import simulate
from mnsim.clocks.timeline import busy_times_s, layer_schedules
from mnsim.errors import ProgramError
from mnsim.program.check import check
from mnsim.program.dump import dump
from mnsim.program.model import Kernel, Load, Matrix, Program, Region, Store, engines_of
from mnsim.reference.execute import execute
from mnsim.render.formats import Screen, render
from mnsim.report.programs import program_document
from mnsim.report.trace import trace_json
from mnsim.spec.records import Engine, Hardware, OutsideMemory, own_rates

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
    record = json.loads("".join(map(str, render("json", program_document(program(), "by hand"), Screen(80, False, "usual")))))
    assert record["memories"] == {"sram": 56, "external": 24, "flash": 48}
    assert [command["engine"] for command in record["commands"]] == ["bus", "flash_bus", "matrix", "bus", "flash_bus"]
    trace = json.loads("".join(trace_json(program(), simulate(program(), MACHINE), "by hand")))
    tracks = {event["args"]["name"]: event["tid"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    on_flash = [event for event in trace["traceEvents"] if event["ph"] == "X" and event["tid"] == tracks["flash_bus"]]
    assert [event["args"]["id"] for event in on_flash] == [1, 4]


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
