"""The library: its public names, that it gives what the command gives, and that its errors travel."""

import pickle
from pathlib import Path

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
