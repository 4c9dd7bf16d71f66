"""The shape of the code: imports point down, files and functions stay small, heavy libraries stay in their places."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import ROOT

LAYERS = (
    ("units", "errors", "hints"),
    ("spec",),
    ("graph",),
    ("plan",),
    ("program",),
    ("reference",),
    ("interpreters",),
    ("pipeline", "papers"),
    ("proof",),
    ("explore",),
    ("report",),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
HOMES = {
    "pydantic": ("spec",),
    "pydantic_core": ("spec",),
    "yaml": ("spec",),
    "click": ("cli",),
    "rich": ("report",),
    "simpy": ("interpreters",),
    "numpy": ("program", "reference", "interpreters", "explore", "proof"),
}
FILES = sorted((ROOT / "mnsim").rglob("*.py"))


def _part(path: Path) -> str:
    """The layer that a file belongs to: its folder, or its own name at the top."""
    relative = path.relative_to(ROOT / "mnsim")
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            yield node.module or ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    part = _part(path)
    for module in _imports(path):
        top, _, rest = module.partition(".")
        if top == "mnsim" and rest and part not in ("__init__", "__main__"):
            assert RANK[rest.split(".")[0]] <= RANK[part], f"{path.name} ({part}) imports {module}, which lies above it"
        if top in HOMES:
            assert part in HOMES[top], f"{path.name} imports {top}, which lives in {HOMES[top]} only"


def test_interpreters_never_import_each_other() -> None:
    for path in (ROOT / "mnsim" / "interpreters").glob("*.py"):
        assert not [module for module in _imports(path) if module.startswith("mnsim.interpreters")]


@pytest.mark.parametrize("path", [*FILES, *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} does not fit a screen"
            decorated = any("option" in ast.dump(decorator) for decorator in node.decorator_list)
            count = len(node.args.args) + len(node.args.kwonlyargs) + len(node.args.posonlyargs)
            assert count <= 6 + (node.args.args[:1] != [] and node.args.args[0].arg == "self") or decorated, f"{node.name} takes {count}"


def test_only_the_command_line_prints_and_exits() -> None:
    for path in FILES:
        if _part(path) in ("cli", "__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            assert name not in ("print", "exit", "input"), f"{path.name} calls {name}"
