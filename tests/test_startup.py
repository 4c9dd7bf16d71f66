"""What a command imports: help must not cost what analysis costs, nor CSV what a table costs."""

import subprocess
import sys

import pytest

HEAVY = ("pydantic", "yaml", "rich", "numpy", "simpy", "difflib", "tempfile")


def imported(*arguments: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    code = (
        "import sys, io\nfrom mnsim.cli.main import main\nreal, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO())\n"
        f"assert main({list(arguments)!r}) == 0\nsys.stdout = real\nprint('\\n'.join(sys.modules))"
    )
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_imports_click_alone(arguments: tuple[str, ...]) -> None:
    modules = imported(*arguments)
    assert "click" in modules
    assert not modules & set(HEAVY)
    own = {module for module in modules if module.startswith("mnsim")}
    assert own == {"mnsim", "mnsim.cli", "mnsim.cli.main", "mnsim.errors"}


def test_csv_needs_no_table() -> None:
    modules = imported("analyze", "mobilenet_cifar", "--format", "csv")
    assert {"click", "pydantic", "yaml"} <= modules
    assert not modules & {"rich", "numpy", "simpy", "difflib"}  # pydantic itself imports tempfile
    own = {module for module in modules if module.startswith("mnsim.")}
    assert not own & {"mnsim.report.table", "mnsim.report.columns", "mnsim.report.words", "mnsim.spec.diagnose", "mnsim.cli.faults"}


def test_the_collector_is_off_in_the_command_only() -> None:
    code = "import gc, mnsim\nmnsim.analyze('mobilenet_cifar')\nprint(gc.isenabled())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"
