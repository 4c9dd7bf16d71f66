"""What a command imports: help must not cost what analysis costs, nor CSV what a table costs.

`HELP`, `CSV`, `JSON`, `TABLE` and `COLOURED` below are all that may be imported. To add a name is to make every start slower:
measure it first (`make bench`).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HELP = {
    "mnsim": ["", "__main__", "cli", "cli.main", "errors"],
    "packages": ["click"],
}
ANALYSIS = {
    "mnsim": [
        *HELP["mnsim"],
        "cli.analyze", "cli.options", "cli.places", "cli.terminal", "cli.words",
        "units", "spec", "spec.document", "spec.expand", "spec.fields", "spec.hardware", "spec.load", "spec.network", "spec.records",
        "operators", "operators.quantities", "operators.shapes", "operators.table",
        "graph", "graph.build", "graph.concats", "graph.model", "graph.operators", "graph.storage",
        "plan", "plan.ahead", "plan.fusing", "plan.growing", "plan.homes",
        "plan.least", "plan.model", "plan.options", "plan.packing", "plan.passes", "plan.pieces",
        "plan.prefetch", "plan.residency", "plan.search", "plan.segments", "plan.tiles", "plan.tiling", "plan.words",
        "pipeline", "clocks", "clocks.rates",
        "analysis", "analysis.any_schedule", "analysis.bounds", "analysis.cones", "analysis.cost", "analysis.rings",
        "cli.show", "report", "report.analysis", "report.records", "report.segments",
        "document", "document.model", "render", "render.formats",
    ],
    "packages": [
        *HELP["packages"],
        "yaml", "cython_runtime",  # yaml's parser is compiled with Cython
        "pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection",
    ],
}  # fmt: skip
CSV, JSON = ({**ANALYSIS, "mnsim": [*ANALYSIS["mnsim"], f"render.{name}"]} for name in ("csv", "json"))
TABLE = {**ANALYSIS, "mnsim": [*ANALYSIS["mnsim"], "document.blocks", "render.text", "report.columns", "report.words"]}
COLOURED = {"mnsim": [*TABLE["mnsim"], "render.colors"], "packages": [*TABLE["packages"], "rich"]}
ANALYZE = ["analyze", "mobilenet_cifar"]
PROGRAM = """
import io, sys
before = {*sys.modules}
from mnsim.__main__ import run
sys.argv[1:], real, sys.stdout = %r, sys.stdout, io.TextIOWrapper(io.BytesIO())
try:
    run()
except SystemExit as end:
    assert end.code == 0, end
sys.stdout = real
print(*{*sys.modules} - before, sep="\\n")
"""


def imported(*arguments: str) -> set[str]:
    """The modules that a command has loaded when it ends, beyond those that Python has at its start."""
    done = subprocess.run([sys.executable, "-c", PROGRAM % (list(arguments),)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--help"], HELP),
        (["--version"], HELP),
        ([*ANALYZE, "--format", "csv"], CSV),
        ([*ANALYZE, "--format", "json"], JSON),
        (ANALYZE, TABLE),
        ([*ANALYZE, "--color", "always"], COLOURED),
    ],
    ids=" ".join,
)
def test_a_command_imports_what_it_needs_and_no_more(arguments: list[str], allowed: dict[str, list[str]]) -> None:
    modules = imported(*arguments)
    own = {module for module in modules if module.partition(".")[0] == "mnsim"}
    assert own == {f"mnsim.{name}".rstrip(".") for name in allowed["mnsim"]}
    others = {module.partition(".")[0] for module in modules - own} - sys.stdlib_module_names
    assert {name for name in others if not name.startswith("_")} <= {*allowed["packages"]}


@pytest.mark.parametrize("arguments", [["--help"], [*ANALYZE, "--format", "csv"]], ids=" ".join)
def test_nothing_is_imported_that_only_an_error_needs(arguments: list[str]) -> None:
    assert not imported(*arguments) & {"difflib", "traceback", "logging", "unittest", "asyncio", "multiprocessing", "subprocess"}


def test_plugins_of_pydantic_are_left_out(tmp_path: Path) -> None:
    """They are any installed package's: a broken one must not break a command, nor a slow one slow it down."""
    folder = tmp_path / "broken-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[pydantic]\nbroken = broken:plugin\n")
    (tmp_path / "broken.py").write_text("raise RuntimeError('a plugin was loaded')\n")
    command = [sys.executable, "-m", "mnsim", *ANALYZE, "--format", "csv"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_collector_is_off_in_the_command_only() -> None:
    code = "import gc, mnsim\nmnsim.analyze('mobilenet_cifar')\nprint(gc.isenabled())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"
