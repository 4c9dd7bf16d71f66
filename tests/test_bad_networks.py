"""Bad networks: see tests/test_bad_specs.py for the marks and the common check."""

import re
from pathlib import Path

import pytest

from tests.helpers import run
from tests.test_bad_specs import Case, corpus, parse, refused, unmark

HEAD = "name: t\ninput: [8, 8, 4]\nlayers:\n"


@corpus(
    ("channels-word", "- {conv: «many», kernel: 3}", "S103", "whole number, got 'many'", "whole number"),
    ("channels-none", "- {conv: «», kernel: 3}", "S103", "whole number", "whole number"),
    ("channels-mapping", "- {conv: «{»a: 1}, kernel: 3}", "S103", "whole number", "whole number"),
    ("channels-bool", "- {conv: «true», kernel: 3}", "S103", "whole number", "whole number"),
    ("channels-quoted", "- {conv: «'8'», kernel: 3}", "S103", "whole number, got '8'", "whole number"),
    ("channels-negative", "- {conv: «-8», kernel: 3}", "S104", "from 1 to 1,000,000, got -8", "at least 1"),
    ("channels-zero", "- {dense: «0»}", "S104", "got 0", "at least 1"),
    ("channels-nan", "- {conv: «.nan», kernel: 3}", "S103", "whole number", "whole number"),
    ("channels-inf", "- {conv: «.inf», kernel: 3}", "S103", "whole number", "whole number"),
    ("channels-1e30", "- {conv: «1e30», kernel: 3}", "S103", "whole number", "whole number"),
    ("channels-30-digits", f"- {{conv: «{'9' * 30}», kernel: 3}}", "S104", "30 digits", "whole number"),
    ("channels-5000-digits", f"- {{conv: «{'9' * 20}»{'9' * 4980}, kernel: 3}}", "S104", "5000 digits", "smaller"),
    ("channels-long-word", f"- {{conv: «{'x' * 20}»{'x' * 5000}, kernel: 3}}", "S103", "whole number", "whole number"),
    ("channels-hex-float", "- {conv: «0x1.8», kernel: 3}", "S103", "whole number", "whole number"),
    ("channels-too-large", "- {conv: «1000001», kernel: 3}", "S104", "from 1 to 1,000,000, got 1000001", "at most"),
    ("multiplier-word", "- {depthwise: 3, multiplier: «two»}", "S103", "multiplier must be a whole number", "whole number"),
    ("groups-zero", "- {conv: 8, kernel: 3, groups: «0»}", "S104", "groups must be from 1", "at least 1"),
    ("kernel-missing", "- «{»conv: 8}", "S101", "missing key 'kernel'", "kernel: "),
    ("kernel-missing-block", "- «c»onv: 8\n    name: x", "S101", "missing key 'kernel'", "kernel: "),
    ("kernel-float", "- {conv: 8, kernel: «3.0»}", "S103", "whole number, got 3.0", "whole number"),
    ("kernel-three", "- {conv: 8, kernel: «[»3, 3, 3]}", "S103", "one number or two, got 3", "[height, width]"),
    ("kernel-part-negative", "- {conv: 8, kernel: [3, «-1»]}", "S104", "got -1", "at least 1"),
    ("kernel-part-word", "- {max_pool: [«a», 2]}", "S103", "got 'a'", "whole number"),
    ("stride-zero", "- {conv: 8, kernel: 3, stride: «0»}", "S104", "stride must be", "at least 1"),
    ("padding-three", "- {conv: 8, kernel: 3, padding: «[»1, 1, 1]}", "S103", "got 3", "[top, bottom, left, right]"),
    ("padding-word", "- {conv: 8, kernel: 3, padding: «full»}", "S107", "'full'", "same, valid"),
    ("padding-part-negative", "- {conv: 8, kernel: 3, padding: [0, «-1»]}", "S104", "padding", "at least 0"),
    ("padding-float", "- {conv: 8, kernel: 3, padding: «0.5»}", "S103", "padding must be a whole number", "whole number"),
    ("bias-yes", "- {conv: 8, kernel: 3, bias: «yes»}", "S103", "true or false, got 'yes'", "true and false"),
    ("bias-number", "- {conv: 8, kernel: 3, bias: «1»}", "S103", "true or false, got 1", "true"),
    ("activation-unknown", "- {conv: 8, kernel: 3, activation: «gelu»}", "S107", "'gelu' is not one of", "sigmoid, hard_swish, none"),
    ("activation-case", "- {conv: 8, kernel: 3, activation: «ReLU»}", "S107", "'ReLU'", "relu"),
    ("batch-norm-word", "- {conv: 8, kernel: 3, batch_norm: «folded»}", "S107", "'folded'", "true, false, unfolded"),
    ("stride-empty", "- {max_pool: 2, stride: «»}", "S103", "stride must be a whole number, got an empty value", "whole number"),
    ("name-empty", "- {relu: , name: «»}", "S103", "a name must be a word, got an empty value", "word"),
    ("input-empty", "- {relu: , input: «»}", "S103", "a name must be a word, got an empty value", "word"),
    ("bias-empty", "- {conv: 8, kernel: 3, bias: «»}", "S103", "true or false, got an empty value", "true"),
    ("activation-empty", "- {conv: 8, kernel: 3, activation: «»}", "S107", "an empty value is not one of", "sigmoid, hard_swish, none"),
    ("batch-norm-empty", "- {conv: 8, kernel: 3, batch_norm: «»}", "S107", "an empty value is not one of", "unfolded"),
    ("name-twice-separable", "- {separable: 8, name: a}\n  - {separable: 8, name: «a»}", "S201", "is taken", "another name"),
    ("kernel-missing-aliased", "- «&a {»conv: 8}\n  - *a", "S101", "missing key 'kernel'", "kernel: "),
    ("operator-mistyped", "- {«cnv»: 8, kernel: 3}", "S106", "'cnv' is not an operator", "did you mean 'conv'"),
    ("operator-upper", "- {«Conv»: 8, kernel: 3}", "S106", "'Conv'", "did you mean 'conv'"),
    ("operator-keras", "- {«conv2d»: 8, kernel: 3}", "S106", "'conv2d'", "did you mean 'conv'"),
    ("operator-dash", "- {«max-pool»: 2}", "S106", "'max-pool'", "did you mean 'max_pool'"),
    ("operator-after-name", "- {name: a, «cnv»: 8, kernel: 3}", "S106", "'cnv'", "did you mean 'conv'"),
    ("operator-word", "- «sofmax»", "S106", "'sofmax' is not an operator", "did you mean 'softmax'"),
    ("operator-without-value", "- «conv»", "S106", "'conv' needs a value", "conv: "),
    ("operator-none", "- «{»name: x}", "S106", "no operator", "conv"),
    ("operator-empty", "- «{»}", "S106", "no operator", "conv"),
    ("operator-two", "- {conv: 8, «max_pool»: 2, kernel: 3}", "S106", "conv and max_pool", "two layers"),
    ("operator-value-unwanted", "- {softmax: «1»}", "S103", "takes no value, got 1", "softmax"),
    ("layer-null", "-«»\n  - softmax", "S103", "a layer must be", "conv"),
    ("layer-number", "- «8»", "S103", "a layer must be", "conv"),
    ("layer-list", "- «[»conv, 8]", "S103", "a layer must be", "conv"),
    ("key-unknown", "- {conv: 8, kernel: 3, «strides»: 2}", "S102", "'strides'", "did you mean 'stride'"),
    ("key-of-another", "- {dense: 10, «kernel»: 3}", "S102", "'kernel'", "dense, bias"),
    ("key-number", "- {conv: 8, kernel: 3, «1»: 2}", "S103", "key must be a word, got 1", "key: value"),
    ("key-list", "- {conv: 8, kernel: 3, «[»a]: 2}", "S103", "key must be a word", "key: value"),
    ("key-twice", "- {conv: 8, kernel: 3, «conv»: 9}", "S005", "'conv' stands twice", "keep one"),
    ("repeat-zero", "- {relu: , repeat: «0»}", "S104", "got 0", "at least 1"),
    ("repeat-billion", "- {relu: , repeat: «1000000000»}", "S104", "repeat must be from 1 to 1,000,000", "at most"),
    ("repeat-too-many", "- {relu: , repeat: «999999»}", "S006", "more than 10,000 layers", "repeat fewer"),
    ("repeat-nested", "- {repeat: 3000, layers: [{repeat: 3000, layers: [«relu»]}]}", "S006", "10,000 layers", "fewer"),
    ("repeat-missing", "- «{»layers: [relu]}", "S101", "missing key 'repeat'", "repeat: "),
    ("group-empty", "- {repeat: 2, layers: «[»]}", "S103", "'layers' ha", "at least 1"),
    ("group-mistyped", "- {repeat: 2, «layer»: [relu]}", "S106", "'layer'", "'layers'"),
    ("group-named", "- {repeat: 2, «name»: g, layers: [relu]}", "S102", "'name'", "known: repeat, layers"),
    ("group-inner", "- {repeat: 2, layers: [{conv: 8, «krenel»: 3, kernel: 3}]}", "S102", "'krenel'", "did you mean 'kernel'"),
    ("name-space", "- {relu: , name: «my layer»}", "S103", "'my layer' cannot be a name", "letters, digits"),
    ("name-comma", "- {relu: , name: «'a,b'»}", "S103", "'a,b' cannot be a name", "letters, digits"),
    ("name-number", "- {relu: , name: «7»}", "S103", "a name must be a word, got 7", "word"),
    ("name-digit-first", "- {relu: , name: «3x3»}", "S103", "'3x3' cannot be a name", "start with a letter"),
    ("name-newline", '- {relu: , name: «"a\\nb"»}', "S103", "cannot be a name", "letters, digits"),
    ("name-long", f"- {{relu: , name: «{'a' * 101}»}}", "S103", "cannot be a name", "100"),
    ("name-twice", "- {relu: , name: a}\n  - {relu: , name: «a»}", "S201", "'a' is taken by the layer in line 4", "another name"),
    ("name-of-a-turn", "- {relu: , name: a, repeat: 2}\n  - {relu: , name: «a_2»}", "S201", "'a_2' is taken", "another name"),
    ("name-input", "- {relu: , name: «input»}", "S201", "'input' is taken by the network's input", "another name"),
    ("input-unknown", "- {relu: , name: stem}\n  - {relu: , input: «stemm»}", "S202", "no layer is called 'stemm'", "did you mean 'stem'"),
    ("input-itself", "- {relu: , name: x, input: «x»}", "S203", "a cycle: 'x' reads 'x'", "earlier"),
    ("input-below", "- {add: [input, «z»]}\n  - {relu: , name: z, input: input}", "S203", "'z' stands below", "move 'z' above"),
    ("input-cycle", "- {relu: , name: a, input: «b»}\n  - {relu: , name: b}", "S203", "'a' reads 'b' reads 'a'", "feed back"),
    ("input-from-a-group", "- {repeat: 2, layers: [{relu: , name: g}]}\n  - {relu: , input: «g»}", "S202", "'g'", "g_2"),
    ("wrong-in-each-turn", "- {repeat: 3, layers: [{relu: , input: «zz»}]}", "S202", "no layer is called 'zz'", "input"),
    ("misshapen-in-each-turn", "- {repeat: 3, layers: [«{»conv: 8, kernel: 9, padding: valid, input: input}]}", "S301", "9 x 9", "same"),
    ("wrong-and-aliased", "- &a {conv: «-1», kernel: 3}\n  - *a\n  - *a", "S104", "got -1", "at least 1"),
    ("input-list", "- {relu: , input: «[»input]}", "S103", "a name must be a word", "word"),
    ("add-one", "- {add: «[»input]}", "S103", "'add' ha", "at least 2"),
    ("add-word", "- {add: «input»}", "S103", "'add' must be a list", "[a, b]"),
    ("add-number", "- {add: [input, «3»]}", "S103", "a name must be a word, got 3", "word"),
    ("add-shapes", "- {conv: 8, kernel: 1, name: a}\n  - «{»add: [a, input]}", "S301", "8 x 8 x 8", "one shape"),
    ("concat-heights", "- {max_pool: 2, name: a}\n  - «{»concat: [input, a]}", "S301", "4 x 4 x 4", "height and width"),
    ("kernel-too-large", "- «{»conv: 8, kernel: 9, padding: valid}", "S301", "9 x 9 kernel does not fit", "padding: same"),
    ("input-of-300-layers", "- {relu: , repeat: 300}\n  - {relu: , input: «zzz»}", "S202", "no layer is called 'zzz'", "known: "),
    ("padding-too-wide", "- «{»max_pool: 3, stride: 1, padding: 3}", "S301", "padding", "at most 2"),
    ("groups-uneven", "- «{»conv: 8, kernel: 3, groups: 3}", "S301", "3 groups", "multiples of `groups`"),
    ("deep-mapping", f"- {'{a: ' * 30}«{{»{'a: {' * 1000}", "S006", "deeper than 32", "few levels"),
)  # fmt: skip
def test_layers(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose list of layers has these lines."""
    check_file(f"{HEAD}  {case.marked}\n", case, tmp_path, monkeypatch)


def check_file(marked: str, case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bad.yaml").write_text(unmark(marked)[0], encoding="utf-8", newline="")
    monkeypatch.chdir(folder)
    for command in (("analyze", "bad.yaml"), ("check", "bad.yaml")):
        refused("bad.yaml", marked, case.code, case.message, case.remedy, *command)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 4))
LAST = "layers:\n  - softmax\n"


@corpus(
    ("empty", "«»", "S004", "empty", "mnsim list"),
    ("only-a-comment", "«#» nothing\n\n", "S004", "empty", "mnsim list"),
    ("only-a-separator", "---\n«»", "S004", "empty", "mnsim list"),
    ("a-word", "«hello»\n", "S004", "`key: value`", "mnsim list"),
    ("a-list", "«-» {conv: 8, kernel: 3}\n", "S004", "`key: value` lines, got a list", "mnsim list"),
    ("not-closed-quote", f"name: «\"»t\ninput: [8, 8, 4]\n{LAST}", "S003", "quote", "quote"),
    ("not-closed-bracket", f"name: t\ninput: «[»8, 8, 4\n{LAST}", "S003", "']'", "bracket"),
    ("not-closed-brace", f"{HEAD}  - «{{»conv: 8, kernel: 3\n  - softmax\n", "S003", "'}'", "bracket"),
    ("not-opened-bracket", f"name: t\ninput: «8, 8, 4]»\n{LAST}", "S103", "[height, width, channels]", "[224, 224, 3]"),
    ("tab", f"{HEAD}«\t»- softmax\n", "S003", "not YAML", "tab"),
    ("no-space-after-colon", f"name:«t»\ninput: [8, 8, 4]\n{LAST}", "S003", "':'", "colon"),
    ("wrong-indentation", "name: t\ninput: [8, 8, 4]\nlayers:\n    - relu\n  «-» relu\n", "S003", "not YAML", "indentation"),
    ("second-document", f"name: t\ninput: [8, 8, 4]\n{LAST}«---»\nname: u\n", "S003", "second document", "one document"),
    ("python-tag", f"name: «!!python/object/apply:os.system» [id]\ninput: [8, 8, 4]\n{LAST}", "S003", "python/object", "plain value"),
    ("tag-on-a-list", "name: t\ninput: [8, 8, 4]\nlayers: «!!set» [softmax]\n", "S003", "set", "plain value"),
    ("own-tag", f"name: «!mine» t\ninput: [8, 8, 4]\n{LAST}", "S003", "'!mine'", "plain value"),
    ("nul", f"name: t\ntitle: é «\0»\ninput: [8, 8, 4]\n{LAST}", "S003", "control character", "remove"),
    ("escape-character", f"name: t\ntitle: red «\x1b»[31m\ninput: [8, 8, 4]\n{LAST}", "S003", "control character", "remove"),
    ("utf-16-without-mark", f"n«\0»{chr(0).join('ame: t')}", "S003", "control character", "remove"),
    ("deep", f"x: {'[' * 31}«[»{'[' * 9968}", "S006", "deeper than 32", "few levels"),
    ("alias-bomb", f"{BOMB}a4: [*a3, *a3, *a3, *a3, *a3, «*a3», *a3, *a3, *a3]\n", "S006", "aliases", "repeat"),
    ("alias-of-itself", "name: t\ninput: [8, 8, 4]\nlayers: &l [relu, «*l»]\n", "S006", "contains itself", "write the value out"),
    ("alias-without-anchor", "name: t\ninput: «*size»\nlayers: [relu]\n", "S003", "'*size' has no anchor", "&size"),
    ("key-twice", f"name: t\ninput: [8, 8, 4]\n«name»: u\n{LAST}", "S005", "'name' stands twice (first in line 1)", "keep one"),
    ("key-null", f"name: t\n«~»: 1\ninput: [8, 8, 4]\n{LAST}", "S103", "key must be a word", "key: value"),
    ("key-merge", f"name: t\n<<: [«8», 8, 4]\ninput: [8, 8, 4]\n{LAST}", "S103", "'<<' merges a mapping", "<<: *anchor"),
    ("layers-null", "name: t\ninput: [8, 8, 4]\nlayers:«»\n", "S103", "'layers' must be a list", "- item"),
    ("layers-empty", "name: t\ninput: [8, 8, 4]\nlayers: «[»]\n", "S103", "'layers' ha", "at least 1"),
    ("layers-mapping", "name: t\ninput: [8, 8, 4]\nlayers:\n  «c»onv: 8\n", "S103", "'layers' must be a list, got a mapping", "- item"),
    ("layers-absent", "«n»ame: t\ninput: [8, 8, 4]\n", "S101", "missing key 'layers'", "layers: "),
    ("name-absent", f"«i»nput: [8, 8, 4]\n{LAST}", "S101", "missing key 'name'", "name: "),
    ("name-float", f"name: «2.0»\ninput: [8, 8, 4]\n{LAST}", "S103", "a name must be a word, got 2.0", "word"),
    ("name-markup", f"name: «'[red]t'»\ninput: [8, 8, 4]\n{LAST}", "S103", "cannot be a name", "letters"),
    ("title-escape", f'name: t\ntitle: «"\\e[31mred"»\ninput: [8, 8, 4]\n{LAST}', "S103", "control character", "remove"),
    ("title-list", f"name: t\ntitle: «[»a, b]\ninput: [8, 8, 4]\n{LAST}", "S103", "words", "quotes"),
    ("input-two", f"name: t\ninput: «[»8, 8]\n{LAST}", "S103", "[height, width, channels]", "[224, 224, 3]"),
    ("input-word", f"name: t\ninput: «8x8x4»\n{LAST}", "S103", "[height, width, channels], got '8x8x4'", "[224, 224, 3]"),
    ("input-zero", f"name: t\ninput: [8, «0», 4]\n{LAST}", "S104", "width must be", "at least 1"),
    ("input-float", f"name: t\ninput: [8, 8, «4.5»]\n{LAST}", "S103", "channels must be a whole number", "whole number"),
    ("input-long", f"name: t\ninput: «[»{'8, ' * 5000}]\n{LAST}", "S103", "[height, width, channels]", "[224, 224, 3]"),
    ("defaults-mistyped", f"name: t\ninput: [8, 8, 4]\ndefaults: {{«batchnorm»: true}}\n{LAST}", "S102", "'batchnorm'", "'batch_norm'"),
    ("defaults-list", f"name: t\ninput: [8, 8, 4]\ndefaults: «[»relu]\n{LAST}", "S103", "'defaults' must be a mapping", "{key: value}"),
    ("min-depth-word", f"name: t\ninput: [8, 8, 4]\nmin_depth: «few»\n{LAST}", "S103", "min_depth", "whole number"),
    ("key-unknown", f"name: t\ninput: [8, 8, 4]\n«titel»: x\n{LAST}", "S102", "'titel'", "did you mean 'title'"),
    ("key-with-newline", f'name: t\n«"a\\nb"»: 1\ninput: [8, 8, 4]\n{LAST}', "S102", "unknown key", "known: name"),
    ("key-with-escape", f'name: t\n«"\\e[31ma"»: 1\ninput: [8, 8, 4]\n{LAST}', "S102", "unknown key", "known: name"),
    ("key-far-right", f"{{name: t, title: {'x' * 99_999}, «layer»: 1, input: [8, 8, 4], layers: [relu]}}", "S102", "'layer'", "'layers'"),
    ("windows-lines", "name: t\r\ninput: [8, 8, 4]\r\nlayers:\r\n  - {«cnov»: 8, kernel: 3}\r\n", "S106", "'cnov'", "'conv'"),
    ("byte-order-mark", f"\ufeffname: «7»\ninput: [8, 8, 4]\n{LAST}", "S103", "got 7", "word"),
)  # fmt: skip
def test_networks(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole file; a byte-order mark is not counted as a column."""
    check_file(case.marked, case, tmp_path, monkeypatch)


MANY = f"""{HEAD}  - {{conv: -1, kernel: 3}}
  - {{cnv: 8, kernel: 3}}
  - {{conv: 8}}
  - {{conv: 8, kernel: 3, stried: 2, bias: 1}}
"""
PLACES = [(4, 12, "S104"), (5, 6, "S106"), (6, 5, "S101"), (7, 26, "S102"), (7, 43, "S103")]


@pytest.mark.parametrize("command", ["check", "analyze"])
def test_all_errors_are_listed_in_order(command: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(MANY)
    ran = run(command, str(path))
    assert ran.code == 2
    assert [(problem.line, problem.column, problem.code) for problem in parse(ran.out + ran.err)] == PLACES


def test_a_file_beside_a_bad_one_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(MANY)
    for order in (["seed", str(tmp_path / "bad.yaml")], [str(tmp_path / "bad.yaml"), "seed"]):
        ran = run("check", *order)
        assert ran.code == 2
        assert "seed: fine" in ran.out
        assert "5 errors in 1 of 2 files" in ran.out


@pytest.mark.parametrize(
    "text", ["- {conv: , kernel: true}", "- {relu: , name: }", "- {conv: 8, kernel: 3, bias: .inf}", "- ~", "- {~: 1}"]
)
def test_messages_speak_yaml_not_python(text: str, tmp_path: Path) -> None:
    """What was not written is not called None, and what was written as true or .inf is quoted so."""
    path = tmp_path / "bad.yaml"
    path.write_text(f"{HEAD}  {text}\n")
    for problem in parse(run("check", str(path)).out):
        assert not re.search(r"\b(None|True|False)\b|got (inf|nan)", problem.message)
