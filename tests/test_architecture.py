"""What no linter knows of the shape of the code; `make lint` checks the rest (imports, arguments, statements: pyproject.toml)."""

import ast

from tests.helpers import ROOT

FILES = [*sorted((ROOT / "mnsim").rglob("*.py")), *sorted((ROOT / "tests").rglob("*.py"))]


def test_files_and_functions_stay_small() -> None:
    for path in FILES:
        text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
        assert text.count("\n") < 400, f"{name} is too long a file"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{name}: {node.name} does not fit a screen"
