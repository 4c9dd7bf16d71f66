"""What the door for contributors says is there: files, targets, and a record of benchmarks that names what became slower."""

import json
import re
import subprocess
import sys
from types import ModuleType

import pytest

from mnsim.cli.main import COMMANDS
from tests.helpers import ROOT

GUIDE, README, MAKEFILE = ((ROOT / name).read_text(encoding="utf-8") for name in ("CONTRIBUTING.md", "README.md", "Makefile"))
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
FOLDERS = ("mnsim", "tests", "benchmarks", "arch", "hw", ".ci", ".github")


def words(text: str) -> list[str]:
    """What stands in code, in blocks or between backquotes."""
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", text))


def paths(text: str) -> list[str]:
    """What looks like a file or folder of the repository."""
    found = [word.strip("`,;:()") for line in words(text) for word in line.split()]
    rooted = [each for each in found if each.split("/")[0] in FOLDERS and "/" in each]
    return rooted + [each for each in found if re.fullmatch(r"[\w.-]+\.(md|toml|py|yaml|jsonl)", each) and (ROOT / each).suffix]


def test_every_file_of_the_guide_exists() -> None:
    listed = paths(GUIDE)
    assert len(listed) > 60
    for path in listed:
        places = (ROOT / path, ROOT / "benchmarks" / path)  # the scripts of benchmarks/ stand without their folder
        assert any(place.exists() for place in places), f"CONTRIBUTING.md names {path}, which is not there"


def test_every_layer_of_the_linter_is_in_the_guide() -> None:
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (layers,) = re.findall(r"^layers = \[\n(.*?)^\]", settings, re.DOTALL | re.MULTILINE)
    names = re.findall(r"\w+", layers)
    table = GUIDE.partition("| layer | what it does |")[2].partition("\n\n")[0]
    assert re.findall(r"`mnsim/(\w+)", table) == names


@pytest.mark.parametrize(("name", "text"), [("README.md", README), ("CONTRIBUTING.md", GUIDE), ("Makefile", MAKEFILE)])
def test_every_target_exists(name: str, text: str) -> None:
    said = words(text) if name != "Makefile" else re.findall(r"`make [^`]+`", text)
    named = {target for line in said for target in re.findall(r"\bmake ([a-z][a-z-]*)", line)}
    assert named - TARGETS == set(), f"{name} names targets that the Makefile lacks"
    assert named


def test_the_names_that_the_guide_gives_are_in_the_code() -> None:
    """Words in capitals and functions: each stands in some file of the package, the tests or the configuration."""
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("mnsim", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "test_contributing.py"
    )
    code += (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = [word for word in words(GUIDE) if re.fullmatch(r"[A-Z][A-Za-z0-9]+|[A-Z]{3,}|[a-z]+(_[a-z]+)+|mnsim [a-z]+", word)]
    assert len(named) > 15
    for word in named:
        assert word.removeprefix("mnsim ") in COMMANDS if word.startswith("mnsim ") else re.search(rf"\b{word}\b", code), word


def test_ci_and_hooks_call_what_exists() -> None:
    steps = re.findall(r"^make ([a-z-]+)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"lint", "types", "coverage"} <= set(steps) <= TARGETS
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    hooks = re.findall(r"entry: \.venv/bin/(\S+)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    for hook in hooks:
        assert f"$(BIN)/{hook}" in MAKEFILE


# ---- the record of benchmarks


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import record  # type: ignore[import-not-found]

    assert isinstance(record, ModuleType)
    return record


def test_only_what_rose_by_more_than_a_tenth_is_slower(record: ModuleType) -> None:
    before = {"a": 1.0, "b": 1.0, "c": 1.0, "gone": 1.0}
    assert record.slower({"a": 1.11, "b": 1.09, "c": 0.5, "new": 9.0}, before) == ["a"]


def test_machines_are_not_compared_with_others(record: ModuleType) -> None:
    lines = [json.dumps({"machine": machine, "commit": commit}) for machine, commit in (("x", "1"), ("y", "2"), ("x", "3"), ("y", "4"))]
    assert record.last_entry([*lines, ""], "x")["commit"] == "3"
    assert record.last_entry(lines, "z") is None


def test_the_record_can_be_read(record: ModuleType) -> None:
    entries = [json.loads(line) for line in record.RECORD.read_text(encoding="utf-8").splitlines()]
    assert entries
    for entry in entries:
        assert set(entry) == {"commit", "date", "machine", "figures", "cpu_us_a_command"}
        assert all(figure > 0 for figure in entry["figures"].values())
        assert any(name.startswith("start-up") for name in entry["figures"])


def test_cpu_time_of_children_counts(record: ModuleType) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    assert record.cpu_of([sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"]) > 0.25
    with pytest.raises(SystemExit):
        record.cpu_of([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_record_explains_itself() -> None:
    ran = subprocess.run([sys.executable, "benchmarks/record.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0
    assert "--dry-run" in ran.stdout
