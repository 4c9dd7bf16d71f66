"""The candidates for a plan in words and as records, and the layers that run together in what runs."""

import csv
import io
import json
import re

import pytest

from mnsim.choice import Choice, Tried
from mnsim.lowering.lower import MOST_COMMANDS
from mnsim.pipeline import choose_plan, plan_network
from mnsim.report.candidates import choice_words
from mnsim.report.segments import segment_words
from tests.helpers import chain, run, seed_with
from tests.test_program import SMALL, TOGETHER, schedule_of

PLAN = plan_network(chain("{conv: 4, kernel: 3}", "relu")).plan
OTHERS = ("could not be worth it, by what the busiest engine needs", "too many commands")
LONG = "1 other has too many commands."
ENOUGH = "no more were made: it is within 0.5 % of what no schedule beats."


def tried(time_s: float | None, commands: int = 100) -> Tried:
    return Tried(PLAN, commands, 1000, 0.5, time_s)


CASES = [
    (Choice(0, (tried(1.0),), True), ""),
    (Choice(0, (tried(1.0),), False), f"the first of the candidates; {ENOUGH}"),
    (Choice(0, (tried(1.0), tried(None)), True), f"the first of 2 candidates; the other {OTHERS[0]}."),
    (Choice(0, (tried(1.0), tried(1.25), tried(1.5)), True), "the first of 3 candidates; the 2 others take 25.0 to 50.0 % longer."),
    (Choice(0, (tried(1.0), tried(1.2)), True), "the first of 2 candidates; the other takes 20.0 % longer."),
    (Choice(1, (tried(1.25), tried(1.0)), True), "number 2 of 2 candidates, 20.0 % faster than the first."),
    (Choice(1, (tried(1.0), tried(1.0, 9)), True), "number 2 of 2 candidates, as fast as the first with 9 commands, not 100."),
    (
        Choice(1, (tried(1.0), tried(1.004, 9), tried(1.003)), True),
        "number 2 of 3 candidates, 0.4 % slower than the first, but with 9 commands, not 100; the other takes 0.1 % less.",
    ),
    (
        Choice(1, (tried(None, MOST_COMMANDS + 1), tried(1.0), tried(None), tried(1.5), tried(None, MOST_COMMANDS + 1)), True),
        f"number 2 of 5 candidates, for the first has {OTHERS[1]}; 1 other takes 50.0 % longer; 1 other {OTHERS[0]}; {LONG}",
    ),
    (
        Choice(1, (tried(1.25), tried(1.0)), False),
        f"number 2 of the candidates, 20.0 % faster than the first; {ENOUGH}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("choice", "said"), CASES)
def test_why_a_candidate_runs(choice: Choice, said: str) -> None:
    assert choice_words(choice) == ((f"The plan is {said}",) if said else ())


@pytest.mark.parametrize("network", ["squeezenet", "mobilenet_cifar"])
def test_the_candidate_that_runs_is_the_one_that_is_told(network: str) -> None:
    """The record of the one that is taken has the run's own figures, and no other that was played is 0.5 % faster."""
    record = json.loads(run("simulate", network, "--sram", "256KiB", "--format", "json").out)
    candidates, total = record["candidates"], record["total"]
    (taken,) = (each for each in candidates if each["taken"])
    for key in ("simulated_time_s", "commands", "traffic_bytes"):
        assert taken[key] == pytest.approx(total[key], rel=1e-12)
    segments = [layer["segment"] for layer in record["layers"]]
    assert taken["segments"] == len(set(segments))
    assert taken["fused_layers"] == sum(segments.count(number) for number in set(segments) if segments.count(number) > 1)
    for each in candidates:
        assert each["simulated_time_s"] is None or each["least_time_s"] <= each["simulated_time_s"] * (1 + 1e-9)
        assert each["simulated_time_s"] is None or taken["simulated_time_s"] <= each["simulated_time_s"] * 1.0051
    text = run("simulate", network, "--sram", "256KiB", "-v").out
    assert re.search(rf"^ +{candidates.index(taken) + 1} .*  runs$", text, re.MULTILINE) or len(candidates) == 1
    assert "candidate  segments" not in run("simulate", network, "--sram", "256KiB").out


def test_policy_serial_has_one_candidate() -> None:
    chosen = choose_plan(plan_network("mobilenet_cifar", policy="serial"))
    assert chosen.choice is not None
    assert (len(chosen.choice.tried), choice_words(chosen.choice)) == (1, ())


def test_segments_in_a_sentence() -> None:
    one = plan_network(chain("{conv: 6, kernel: 5}", "{avg_pool: 2}", "{dense: 10}", shape="[28, 28, 1]")).plan
    said = "2 of 3 layers run in 1 segment (x), which passes rows (r). What it passes on never crosses the bus."
    assert segment_words(one, "x") == (said,)
    serial = plan_network("mobilenet_cifar", seed_with(), "serial").plan
    assert segment_words(serial, "x") == ()


def test_layers_that_run_together_are_named() -> None:
    """In the header, of all or of one layer, in the JSON, and beside each command in CSV."""
    schedule, text = schedule_of(*TOGETHER), run("program", *TOGETHER).out
    together = {layer: segment for segment in schedule["segments"] for layer in segment["layers"]}
    assert together["dw1"]["layers"][:2] == ["conv1", "dw1"]
    assert re.search("^# layers that run together\n#   conv1..dw3 +rows pass, pipelined$", text, re.MULTILINE)
    names = {layer: f"{segment['layers'][0]}..{segment['layers'][-1]}" for layer, segment in together.items()}
    assert len(re.findall("^#.* pass", text, re.MULTILINE)) == len(schedule["segments"])
    rows = list(csv.DictReader(io.StringIO(run("program", *TOGETHER, "--format", "csv").out)))
    assert {(row["layer"], row["segment"]) for row in rows if row["segment"]} <= set(names.items())
    assert {row["layer"] for row in rows if not row["segment"]}.isdisjoint(names)
    alone = run("program", *TOGETHER, "--layer", "dw1").out
    assert "#   conv1..dw3  rows pass, pipelined\n" in alone
    assert alone.count(" pass") == 1
    assert schedule_of(*SMALL)["segments"] == []
    assert "run together" not in run("program", *SMALL).out
