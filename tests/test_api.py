"""The library: its public names, that it gives what the command gives, and that its errors travel."""

import contextlib
import json
import pickle
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnsim
from mnsim.errors import CapacityError, Location, PointError, ProgramError, ShapeError, SpecError, WorkError

NAMES = {
    "CapacityError", "Estimate", "Graph", "Hardware", "Means", "MnsimError", "Network", "Plan", "Program", "ProgramError",
    "ShapeError", "SpecError", "Timeline", "analyze", "as_dict", "build_graph", "check", "estimate", "load_hardware", "load_network",
    "lower", "make_plan", "simulate", "sweep",
}  # fmt: skip


def test_the_public_names() -> None:
    assert set(mnsim.__all__) == NAMES
    assert set(dir(mnsim)) == NAMES | {"__version__"}
    for name in NAMES:
        assert getattr(mnsim, name).__doc__, name
    with pytest.raises(AttributeError):
        _ = mnsim.nothing


def test_the_steps_give_what_analyze_gives() -> None:
    hardware = mnsim.load_hardware("seed", ["internal_memory.capacity=256 KiB"])
    graph = mnsim.build_graph(mnsim.load_network("mobilenet_v1"), alpha=0.5, dtype="float16")
    by_hand = mnsim.estimate(graph, mnsim.make_plan(graph, hardware), hardware)
    assert by_hand == mnsim.analyze("mobilenet_v1", hardware, alpha=0.5, dtype="float16")


@pytest.mark.parametrize(
    "arguments",
    [{"alpha": 0}, {"alpha": -1}, {"rho": 0}, {"rho": 17}, {"alpha": float("nan")}, {"alpha": float("inf")}, {"dtype": "int4"}],
    ids=str,
)
def test_nonsense_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(mnsim.SpecError):
        mnsim.analyze("mobilenet_cifar", **arguments)  # type: ignore[arg-type]


def test_the_policy_is_overlap_unless_said() -> None:
    assert mnsim.analyze("mobilenet_cifar").plan.policy == "overlap"
    assert mnsim.analyze("mobilenet_cifar", "seed", "serial").plan.policy == "serial"


def test_files_are_read_from_paths(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text("name: n\ninput: [4, 4, 1]\nlayers: [relu]\n")
    assert mnsim.analyze(tmp_path / "n.yaml").graph.name == "n"


@pytest.mark.parametrize(
    "error",
    [
        SpecError("S101", "message", Location("f", 1, 2, "text"), "remedy", "a.b"),
        ShapeError("conv1", "message", Location("f"), "remedy"),
        CapacityError("internal memory", 10, 5, "conv1"),
        ProgramError(3, "message"),
        WorkError("W002", "message", Location("--scheduler"), "remedy"),
        PointError("message", "C001"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_a_process_pool(error: mnsim.MnsimError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert {key: value for key, value in vars(again).items() if key != "problems"} == {
        key: value for key, value in vars(error).items() if key != "problems"
    }


def test_a_spec_error_says_where(tmp_path: Path) -> None:
    path = tmp_path / "n.yaml"
    path.write_text("name: n\ninput: [4, 4, 1]\nlayers: [relu]\nlayres: 3\n")
    with pytest.raises(mnsim.SpecError) as caught:
        mnsim.load_network(path)
    assert (caught.value.file, caught.value.line, caught.value.column, caught.value.key) == (str(path), 4, 1, "layres")


def test_results_are_frozen_and_can_be_sent_elsewhere() -> None:
    estimate = mnsim.analyze("mobilenet_cifar")
    assert pickle.loads(pickle.dumps(estimate)) == estimate
    with pytest.raises(AttributeError):
        estimate.graph.name = "other"  # type: ignore[misc]


def pieces() -> dict[str, Any]:
    """One of every public result, by its name as an argument."""
    network, hardware = mnsim.load_network("mobilenet_cifar"), mnsim.load_hardware("seed")
    graph = mnsim.build_graph(network, rho=0.5)
    plan = mnsim.make_plan(graph, hardware)
    program = mnsim.lower(graph, plan)
    found = {"network": network, "hardware": hardware, "graph": graph, "plan": plan, "program": program}
    return {**found, "timeline": mnsim.simulate(program, hardware), "estimate": mnsim.estimate(graph, plan, hardware)}


def test_every_result_is_plain_data_and_says_what_it_said() -> None:
    made = pieces()
    plain = {name: json.loads(json.dumps(mnsim.as_dict(result))) for name, result in made.items()}
    assert plain["timeline"] == {"starts_s": list(made["timeline"].starts_s), "ends_s": list(made["timeline"].ends_s)}
    assert len(plain["timeline"]["ends_s"]) == len(plain["program"]["commands"])
    assert plain["hardware"] == plain["estimate"]["hardware"]
    assert plain["graph"]["rho"] == 0.5
    assert plain["graph"]["maps"][0]["shape"] == plain["estimate"]["network"]["input_shape"] == [14, 14, 3]
    assert [layer["name"] for layer in plain["network"]["layers"]] == [layer["name"] for layer in plain["estimate"]["layers"]]
    assert plain["plan"]["policy"] == "overlap"
    assert sum(each["bytes"] for each in plain["program"]["commands"]) == plain["estimate"]["total"]["traffic_bytes"]
    checked = mnsim.as_dict(mnsim.check(made["program"], made["hardware"]))
    assert checked["commands"] == len(made["program"].commands)


def test_names_stand_for_what_they_load() -> None:
    made = pieces()
    assert mnsim.simulate(made["program"], "seed") == made["timeline"]
    assert mnsim.make_plan(made["graph"], "seed") == made["plan"]
    assert mnsim.build_graph("mobilenet_cifar", rho=0.5) == made["graph"]


@pytest.mark.parametrize("number", [0.5, np.float64(0.5), np.float32(0.5), Fraction(1, 2)], ids=lambda number: type(number).__name__)
def test_numbers_of_every_kind_are_multipliers(number: Any) -> None:
    assert mnsim.analyze("mobilenet_cifar", alpha=number).graph.alpha == Fraction(1, 2)
    assert mnsim.analyze("mobilenet_cifar", alpha=np.float32(0.1)).graph.alpha == Fraction(1, 10)  # type: ignore[arg-type]


NETWORK = "mobilenet_cifar"
WRONG: list[tuple[str, Callable[[], object], str, str]] = [
    ("a Program, which lower(graph, plan) makes, got 'mobilenet_v1'", lambda: mnsim.simulate("mobilenet_v1"), "program", ""),
    ("simulate needs hardware", lambda: mnsim.simulate(pieces()["program"]), "hardware", "simulate(program, hardware)"),
    ("a Plan, which make_plan(graph, hardware) makes, got a Graph", lambda: mnsim.lower(*[pieces()["graph"]] * 2), "plan", ""),
    ("a Graph, which build_graph(network) makes, got a Network", lambda: mnsim.make_plan(pieces()["network"], "seed"), "graph", ""),
    ("alpha must be a number such as 0.75, or Fraction(6, 7), got '0.5'", lambda: mnsim.analyze(NETWORK, alpha="0.5"), "alpha", ""),
    ("got True", lambda: mnsim.analyze(NETWORK, rho=True), "rho", ""),
    ("rho must be above 0 and at most 16, got 17", lambda: mnsim.analyze(NETWORK, rho=17), "rho", "0.75"),
    ("it must be above 1/56", lambda: mnsim.analyze(NETWORK, rho=0.001), "rho", "0.018"),
    ("one of 'serial', 'layerwise', 'overlap', got 'fast'", lambda: mnsim.analyze(NETWORK, policy="fast"), "policy", ""),
    ("one of 'int8', 'float16', 'float32', got 'int4'", lambda: mnsim.build_graph(NETWORK, dtype="int4"), "dtype", ""),
    ("analyze has no argument 'alhpa'", lambda: mnsim.analyze(NETWORK, alhpa=1), "alhpa", "did you mean 'alpha'?"),
    ("a Network, got a Hardware", lambda: mnsim.analyze(pieces()["hardware"]), "network", ""),
    ("is hardware, not a network", lambda: mnsim.analyze("seed"), "seed", "give it as hardware"),
    ("a list of texts", lambda: mnsim.load_hardware("seed", "bus.bandwidth=2 GB/s"), "settings", ""),
    ("2 has no unit", lambda: mnsim.load_hardware("seed", ["name=x", "bus.bandwidth=2"]), "settings[1]", "2 GB/s"),
    ("a size such as '256 KiB', got 5", lambda: mnsim.load_hardware("seed", sram=5), "sram", ""),
    ("5 has no unit", lambda: mnsim.load_hardware("seed", sram="5"), "sram", "5 KiB"),
    ("byte 0xff is not UTF-8", lambda: mnsim.load_hardware("seed", sram="\udcff"), "sram", ""),
    ("there is no network to run", mnsim.sweep, "mnsim.sweep", "name one"),
    ("got a list", lambda: mnsim.sweep([NETWORK]), "networks[0]", ""),
    ("a dictionary", lambda: mnsim.sweep(NETWORK, levels=[1]), "levels", ""),
    ("'0' is not above 0", lambda: mnsim.sweep(NETWORK, levels={"alpha": [1, 0]}), "levels['alpha']", "0.75"),
    ("'x' is not a bandwidth", lambda: mnsim.sweep(NETWORK, levels={"bus.bandwidth": "1 GB/s, x"}), "levels['bus.bandwidth']", ""),
    ("unknown key 'bandwith'", lambda: mnsim.sweep(NETWORK, levels={"bus.bandwith": 1}), "levels", "'bus.bandwidth'"),
    ("cannot read 'sed'", lambda: mnsim.sweep(NETWORK, levels={"hardware": ["sed"]}), "levels['hardware']", "seed"),
    ("are more than", lambda: mnsim.sweep(NETWORK, levels={"alpha": "linear(0.5, 1, 99999999)"}), "levels['alpha']", "fewer levels"),
    ("a whole number, got '3'", lambda: mnsim.sweep(NETWORK, sample="3"), "sample", ""),
    ("there is none", lambda: mnsim.sweep(NETWORK, seed=3), "seed", "sample=N"),
    ("cannot be sampled", lambda: mnsim.sweep(NETWORK, zip=True, sample=2), "mnsim.sweep", "leave out zip or sample"),
    ("jobs must be a whole number", lambda: mnsim.Means(jobs="3"), "jobs", "Means("),
    ("as a store", lambda: mnsim.sweep(NETWORK, means=mnsim.Means(store=Path("/dev/null"))), "means.store", ""),
    ("result must be what a function of mnsim gives", lambda: mnsim.as_dict("mobilenet_v1"), "result", "as_dict("),
]  # fmt: skip


@pytest.mark.parametrize(("message", "call", "where", "remedy"), WRONG, ids=[message for message, *_ in WRONG])
def test_errors_name_the_argument(message: str, call: Callable[[], object], where: str, remedy: str) -> None:
    with pytest.raises(mnsim.MnsimError) as caught:
        call()
    error = caught.value
    assert message in error.message
    assert error.location is not None
    assert str(error) == f"{where}:{error.location.line}:{error.location.column}: {error.message}"
    assert remedy in error.remedy
    assert "--" not in f"{error}{error.remedy}"
    assert error.remedy
    place = error.location
    assert place.column - 1 + place.length <= max(1, len(place.text))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.remedy) == (str(error), error.remedy)


def test_a_capacity_error_says_how_in_python() -> None:
    with pytest.raises(mnsim.CapacityError) as caught:
        mnsim.analyze(NETWORK, mnsim.load_hardware("seed", sram="100 B"))
    size = re.fullmatch(r"give it at least \d+ bytes: load_hardware\(\.\.\., sram='(\d+ B)'\)", caught.value.remedy)
    assert size
    with contextlib.suppress(mnsim.CapacityError):  # another layer may need more
        mnsim.analyze(NETWORK, mnsim.load_hardware("seed", sram=size[1]))


def test_public_functions_travel() -> None:
    for name in NAMES:
        assert pickle.loads(pickle.dumps(getattr(mnsim, name))) is getattr(mnsim, name)


def test_a_plan_of_another_graph_is_refused() -> None:
    other, hardware = mnsim.build_graph("squeezenet"), mnsim.load_hardware("seed")
    with pytest.raises(mnsim.ProgramError, match="of another network than mobilenet_cifar"):
        mnsim.lower(mnsim.build_graph("mobilenet_cifar"), mnsim.make_plan(other, hardware))
