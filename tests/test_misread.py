"""Slips of the pen in YAML: each is shown at the line where it is, in words that say what to do. `«»` marks the place."""

import re
from pathlib import Path

import pytest

from tests.helpers import ROOT, run
from tests.test_bad_specs import parse, unmark

PARSERS = "block|scanning|token|mapping values|expected key|could not find"  # words of parsers
HEAD = "name: t\ninput: [8, 8, 4]\nlayers:\n"
BLOCK = """name: t
title: A net
input: [8, 8, 4]
defaults:
  activation: relu
layers:
  - conv: 8
    kernel: 3
    stride: 2
  - repeat: 2
    layers:
      - depthwise: 3
        padding: same
      - relu
  - global_avg_pool
  - dense: 10
    name: last
"""

SLIPS = {
    "colon-first-line": ("name«» tiny\ninput: [8, 8, 3]\nlayers: [relu]\n", "`:` is missing after `name`"),
    "colon-before-a-list": ("name: tiny\ninput«» [8, 8, 3]\nlayers: [relu]\n", "`:` is missing after `input`"),
    "colon-before-a-block": (
        "name: tiny\ninput: [8, 8, 3]\nlayers«»\n  - relu\n  - {dense: 4}\n",
        "`:` is missing after `layers`",
    ),
    "colon-last-line": ("layers: [relu]\nname: t\ninput«» [8, 8, 4]\n", "`:` is missing after `input`"),
    "colon-in-a-layer": (f"{HEAD}  - conv: 8\n    kernel«» 3\n    stride: 2\n", "`:` is missing after `kernel`"),
    "colon-after-an-operator": (f"{HEAD}  - conv«» 8\n    kernel: 3\n", "`:` is missing after `conv`"),
    "colon-after-a-lonely-operator": (f"{HEAD}  - dense«» 8\n", "`:` is missing after `dense`"),
    "colon-in-braces": (f"{HEAD}  - {{dense: 8, bias«» false}}\n", "`:` is missing after `bias`"),
    "colon-as-semicolon": ("name«»; t\ninput: [8, 8, 4]\nlayers: [relu]\n", "`:` is missing after `name`"),
    "colon-as-equals": ("name«» = t\ninput: [8, 8, 4]\nlayers: [relu]\n", "`:` is missing after `name`"),
    "colon-glued": ("name:«»t\ninput: [8, 8, 4]\nlayers: [relu]\n", "no space after ':'"),
    "colon-glued-to-a-list": ("name: t\ninput:«»[8, 8, 4]\nlayers: [relu]\n", "no space after ':'"),
    "colon-glued-in-a-layer": (f"{HEAD}  - conv:«»8\n    kernel: 3\n", "no space after ':'"),
    "colon-glued-in-braces": (f"{HEAD}  - {{conv:«»8, kernel: 3}}\n", "no space after ':'"),
    "colon-twice": ("name: t\ntitle: MobileNet«»: a net\ninput: [8, 8, 4]\nlayers: [relu]\n", "a second `:` in one line"),
    "comma": (f"{HEAD}  - {{conv: 8 «»kernel: 3}}\n", "`,` is missing before `kernel`"),
    "bracket-open": ("name: t\ninput: «»[8, 8, 4\nlayers: [relu]\n", "'[' opens here, and no ']' closes it"),
    "bracket-open-at-the-end": (f"{HEAD}  - «»{{conv: 8, kernel: 3\n", "'{' opens here, and no '}' closes it"),
    "bracket-of-another-kind": ("name: t\ninput: [8, 8, 4«»}\nlayers: [relu]\n", "'[' was opened, and '}' does not close it"),
    "bracket-too-many": ("name: t\ninput: [8, 8, 4]«»]\nlayers: [relu]\n", "']' closes nothing: no '[' is open"),
    "bracket-too-many-in-a-list": (f"{HEAD}  - {{conv: 8, kernel: 3}}«»}}\n  - relu\n", "'}' closes nothing: no '{' is open"),
    "quote-open": ('name: t\ntitle: «»"abc\ninput: [8, 8, 4]\nlayers: [relu]\n', "a quote opens here, and none closes it"),
    "quote-open-before-another": ("name: t\ntitle: «»'abc\nsource: 'x'\ninput: [8, 8, 4]\nlayers: [relu]\n", "a quote opens here"),
    "quote-within": ("name: t\ntitle: 'it'«»s'\ninput: [8, 8, 4]\nlayers: [relu]\n", "behind the quote that closes the value"),
    "tab": (f"{HEAD}«»\t- softmax\n", "a tab indents this line"),
    "tab-after-spaces": (f"{HEAD}  - conv: 8\n  «»\tkernel: 3\n", "a tab indents this line"),
    "dash": (f"{HEAD}  - relu\n  «»softmax\n  - relu\n", "`- ` is missing at the start of the line"),
    "dash-of-the-first": (f"{HEAD}  «»{{conv: 8, kernel: 3}}\n  - relu\n", "`- ` is missing at the start of the line"),
    "dash-before-braces": (f"{HEAD}  - relu\n  «»{{conv: 8, kernel: 3}}\n", "`- ` is missing at the start of the line"),
    "dash-before-a-key": (f"{HEAD}  - relu\n  «»conv: 3\n", "`- ` is missing at the start of the line"),
    "dash-glued": (f"{HEAD}  - {{conv: 8, kernel: 3}}\n  «»-relu\n  - relu\n", "no space after '-'"),
    "dash-glued-to-braces": (f"{HEAD}  - relu\n  «»-{{conv: 8, kernel: 3}}\n", "no space after '-'"),
    "dash-glued-everywhere": (f"{HEAD}  «»-relu\n  -relu\n", "no space after '-'"),
    "indented-less": (f"{HEAD}    - relu\n  «»- relu\n", "this line begins in column 3, the one above in 5"),
    "indented-more": (f"{HEAD}  - relu\n    «»- relu\n", "goes on with the value of line 4: its dash stands elsewhere"),
    "indented-key": ("name: t\n «»input: [8, 8, 4]\nlayers: [relu]\n", "this line begins in column 2, the one above in 1"),
    "indented-key-after-a-list": ("name: t\ninput: [8, 8, 4]\n «»layers:\n  - relu\n", "this line begins in column 2, the one above in 1"),
    "indented-first-line": ("  name: t\n«»input: [8, 8, 4]\nlayers: [relu]\n", "this line begins in column 1, the one above in 3"),
    "indented-option": (f"{HEAD}  - conv: 8\n     «»kernel: 3\n", "this line begins in column 6, the one above in 5"),
    "indented-option-less": (f"{HEAD}  - conv: 8\n   «»kernel: 3\n", "this line begins in column 4, the one above in 5"),
    "forbidden": ("name: t\ntitle: «»@home\ninput: [8, 8, 4]\nlayers: [relu]\n", "a value cannot start with '@'"),
}


@pytest.mark.parametrize("name", SLIPS)
def test_slips(name: str, tmp_path: Path) -> None:
    marked, message = SLIPS[name]
    text, line, column, _ = unmark(marked)
    (tmp_path / "n.yaml").write_text(text)
    ran = run("check", str(tmp_path / "n.yaml"))
    assert ran.code == 2
    found = [problem for problem in parse(ran.out) if message in problem.message]
    assert [(problem.line, problem.column) for problem in found] == [(line, column)], ran.out
    assert "missing key" in ran.out or ran.out.count("error[") == 1
    assert not re.search(PARSERS, ran.out), ran.out


@pytest.mark.parametrize("file", [None, "arch/mobilenet_v1.yaml", "arch/squeezenet.yaml", "hw/seed.yaml"])
def test_each_colon_that_is_left_out_is_missed_in_its_line(file: str | None, tmp_path: Path) -> None:
    text = BLOCK if file is None else (ROOT / file).read_text(encoding="utf-8")
    lines = text.splitlines()
    for number, content in enumerate(lines):
        key = re.match(r"[ -]*([a-z]\w*):( |$)", content)
        if key is None:
            continue
        without = [*lines[:number], content[: key.end(1)] + content[key.end(1) + 1 :], *lines[number + 1 :]]
        (tmp_path / "n.yaml").write_text("\n".join(without) + "\n")
        found = [problem for problem in parse(run("check", str(tmp_path / "n.yaml")).out) if problem.line == number + 1]
        assert [f"`:` is missing after `{key[1]}`" in problem.message for problem in found] == [True], (content, found)


@pytest.mark.parametrize("slip", [("- ", ""), ("- ", "-"), (": ", ":"), ("  ", "\t"), ("  ", "   "), ("  ", " ")], ids=repr)
def test_each_slip_is_shown_in_its_line(slip: tuple[str, str], tmp_path: Path) -> None:
    """Or in the next one, where only that shows it: a list that has lost its first dash, or that goes on elsewhere."""
    lines = BLOCK.splitlines()
    for number, content in enumerate(lines):
        written = content.replace(slip[0], slip[1], 1)
        if written == content:
            continue
        (tmp_path / "n.yaml").write_text("\n".join([*lines[:number], written, *lines[number + 1 :]]) + "\n")
        ran = run("check", str(tmp_path / "n.yaml"))
        if ran.code == 0:
            continue  # still YAML, and a network
        assert {problem.line for problem in parse(ran.out)} & {number + 1, number + 2}, (written, ran.out)
        assert not re.search(PARSERS, ran.out), (written, ran.out)


def test_hardware(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text("name: h\nbus:\n  bandwidth 1 GB/s\ninternal_memory:\n  capacity: 1 MiB\n")
    assert ":3:12: error[S103]: `:` is missing after `bandwidth`" in run("check", str(tmp_path / "h.yaml")).out


@pytest.mark.parametrize("text", ["title: conv 8 and\n  kernel 3", "title: 'conv 8'", "name: a\n# conv 8"])
def test_text_is_text(text: str, tmp_path: Path) -> None:
    name = "" if text.startswith("name") else "name: t\n"
    (tmp_path / "n.yaml").write_text(f"{name}{text}\ninput: [8, 8, 4]\nlayers: [relu]\n")
    assert run("check", str(tmp_path / "n.yaml")).code == 0


def test_a_wrong_name_is_no_missing_colon(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text(f"{HEAD}  - {{relu: , name: conv 1}}\n")
    assert "'conv 1' cannot be a name" in run("check", str(tmp_path / "n.yaml")).out
