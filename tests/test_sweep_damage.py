"""Rows of a store that are not what a sweep wrote: each is named and computed again, and the result is that of an undisturbed run."""

import json
import random
from itertools import cycle
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.explore.lines import key_of, line_of
from mnsim.explore.store import MOST_NAMED
from tests.helpers import Ran, run

SMALL = ["mobilenet_cifar", "--alpha", "0.25,0.5", "--set", "bus.bandwidth=log(1 GB/s, 4 GB/s, 3)", "--sram", "64KiB,30B"]
POINTS = 12  # 6 of which fail: they do not fit 30 bytes


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The lines of a store; the first six are of points that did not fail."""
    folder = tmp_path_factory.mktemp("store")
    assert run("sweep", *SMALL, "--store", str(folder), "-q").code == 1
    lines = lines_of(folder)
    assert len(lines) == POINTS
    return sorted(lines, key=lambda line: b'"error": null' not in line)


@pytest.fixture(scope="module")
def undisturbed() -> str:
    return run("sweep", *SMALL, "--format", "csv").out


def lines_of(folder: Path) -> list[bytes]:
    return (folder / "rows.jsonl").read_bytes().splitlines(keepends=True)


def sweep(folder: Path, *lines: bytes) -> Ran:
    """The sweep, on a store of these lines."""
    (folder / "rows.jsonl").write_bytes(b"".join(lines))
    return run("sweep", *SMALL, "--store", str(folder), "--format", "csv")


def sealed(line: bytes) -> bytes:
    """A changed line with the checksum that it should have had."""
    body = line[: line.rindex(b', "crc32"')]
    return body + b', "crc32": "%08x"}\n' % crc32(body)


def changed(line: bytes, column: str, value: object) -> bytes:
    row = json.loads(line)
    assert row[column] != value
    return json.dumps({**row, column: value}).encode() + b"\n"


def without(line: bytes, column: str) -> bytes:
    row = json.loads(line)
    del row[column]
    return json.dumps(row).encode() + b"\n"


DAMAGE = {
    "edited time": (lambda line: changed(line, "simulated_time_s", 1.0), "its checksum is "),
    "edited count": (lambda line: line.replace(b'"macs": ', b'"macs": 1'), "its checksum is "),
    "edited word": (lambda line: changed(line, "busiest", "vector" if b'"busiest": "bus"' in line else "bus"), "its checksum is "),
    "error made up": (lambda line: changed(line, "error", "C001: no"), "its checksum is "),
    "no time": (lambda line: without(line, "simulated_time_s"), "its checksum is "),
    "no error column": (lambda line: line.replace(b'"error"', b'"errr"'), "its checksum is "),
    "key of another": (lambda line: line[:9] + bytes(reversed(line[9:41])) + line[41:], "its checksum is "),
    "edited checksum": (lambda line: line[:-11] + b"00000000" + line[-3:], "its checksum is 00000000"),
    "no whole checksum": (lambda line: line[:-6] + b'"}\n', "it does not end with its checksum"),
    "short key": (lambda line: line[:20] + line[30:], "it does not start with a key of 32 digits"),
    "cut short": (lambda line: line[:300] + b"\n", "it is cut short"),
    "no JSON": (lambda line: line.replace(b'"alpha": ', b'"alpha" '), "it is not JSON"),
    "deep JSON": (lambda line: line.replace(b'"alpha": ', b'"alpha": ' + b"[" * 100_000), "it is not JSON"),
    "two in one": (lambda line: line[:-200] + line, "it is not JSON"),
    "other bytes": (lambda line: line[:200] + b"\xff" + line[201:], "it is not JSON"),
    "zeros": (lambda line: b"\0" * 300 + line[300:], "it does not start with a key of 32 digits"),
    "empty": (lambda line: b"\n", "it does not start with a key of 32 digits"),
    "other words": (lambda line: b"not json\n", "it does not start with a key of 32 digits"),
}


@pytest.mark.parametrize(("name", "place"), [*zip(DAMAGE, cycle([0, 4, POINTS - 1]), strict=False)])
def test_a_damaged_row_is_named_and_computed_again(name: str, place: int, filled: list[bytes], undisturbed: str, tmp_path: Path) -> None:
    damage, what = DAMAGE[name]
    lines = [*filled[1 : place + 1], filled[0], *filled[place + 1 :]]
    bad = damage(filled[0])
    ran = sweep(tmp_path, *lines[:place], bad, *lines[place + 1 :])
    assert (ran.code, ran.out) == (1, undisturbed)
    named, moved, *_ = ran.err.splitlines()
    assert named.startswith(f"{tmp_path / 'rows.jsonl'}:{place + 1}: damaged row: {what}")
    assert named.endswith("; its point is computed again")
    assert moved == f"{tmp_path}: moved what is damaged to {tmp_path / 'damaged.jsonl'}"
    assert (tmp_path / "damaged.jsonl").read_bytes() == bad
    assert lines_of(tmp_path) == [*lines[:place], *lines[place + 1 :], filled[0]]
    again = sweep(tmp_path, *lines_of(tmp_path))
    assert (again.code, again.out) == (1, undisturbed)
    assert "damaged" not in again.err


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_other_byte_goes_unseen(data: st.DataObject, filled: list[bytes]) -> None:
    """Whichever byte of a line is another: it is no whole row of any key."""
    line = data.draw(st.sampled_from(filled))
    at, byte = data.draw(st.integers(0, len(line) - 1)), data.draw(st.integers(0, 255))
    other = line[:at] + bytes([byte]) + line[at + 1 :]
    assert key_of(line) == bytes.fromhex(json.loads(line)["key"])
    if other != line:
        try:
            found = key_of(other)
        except ValueError:
            found = None
        assert found is None  # where the checksum's own name is hit, it is a line without one


def test_a_line_is_json_with_the_checksum_of_all_before_it() -> None:
    line = line_of("0123456789abcdef" * 2, '"a": 1')
    assert line == b'{"key": "0123456789abcdef0123456789abcdef", "a": 1, "crc32": "%08x"}\n' % crc32(line[: line.index(b', "crc32"')])
    assert json.loads(line)["a"] == 1


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b'"error": null', b'"errr": null'),
        (b'"busiest": "', b'"busiest": "x'),
        (b'"macs": ', b'"macs": [], "x": '),
        (b'"serial_time_s": ', b'"serial_time_s": "x", "y": '),
        (b'"simulated_time_s": ', b'"simulated": '),
        (b'"simulated_time_s": ', b'"simulated_time_s": null, "x": '),
        (b'"alpha": ', b'"alpha" '),
        (b'"commands": ', b'"commands": 1e999, "x": '),
    ],
)
def test_a_row_that_has_a_right_checksum_and_is_no_result(
    good: bytes, bad: bytes, filled: list[bytes], undisturbed: str, tmp_path: Path
) -> None:
    forged = sealed(filled[2].replace(good, bad))
    ran = sweep(tmp_path, *filled[:2], forged, *filled[3:])
    assert (ran.code, ran.out) == (1, undisturbed)
    assert f"{tmp_path / 'rows.jsonl'}:3: damaged row: its columns are not those of a result" in ran.err
    assert (tmp_path / "damaged.jsonl").read_bytes() == forged
    assert lines_of(tmp_path) == [*filled[:2], *filled[3:], filled[2]]


def test_two_rows_of_one_key_that_differ_are_both_computed_again(filled: list[bytes], undisturbed: str, tmp_path: Path) -> None:
    other = sealed(changed(filled[1], "serial_time_s", 2.0))
    ran = sweep(tmp_path, *filled, other, filled[1])
    assert (ran.code, ran.out) == (1, undisturbed)
    for number in (2, POINTS + 1, POINTS + 2):
        assert f"rows.jsonl:{number}: damaged row: another row has its key and differs from it" in ran.err
    assert lines_of(tmp_path) == [filled[0], *filled[2:], filled[1]]
    assert (tmp_path / "damaged.jsonl").read_bytes() == filled[1] + other + filled[1]


def test_two_rows_that_are_the_same_are_one(filled: list[bytes], undisturbed: str, tmp_path: Path) -> None:
    ran = sweep(tmp_path, *filled, *filled)
    assert (ran.code, ran.out) == (1, undisturbed)
    assert "damaged" not in ran.err
    assert len(lines_of(tmp_path)) == 2 * POINTS


@pytest.mark.parametrize("count", [1, 3])
def test_rows_without_a_checksum_are_counted_and_not_used(count: int, filled: list[bytes], undisturbed: str, tmp_path: Path) -> None:
    """As versions before checksums wrote them; even where the key would be right and the values are not."""
    old = [changed(without(line, "crc32"), "simulated_time_s", 3.0) for line in filled[:count]]
    ran = sweep(tmp_path, *old, *filled[count:])
    assert (ran.code, ran.out) == (1, undisturbed)
    rows = "1 row without a checksum is" if count == 1 else "3 rows without a checksum are"
    assert ran.err.splitlines()[0] == (
        f"{tmp_path / 'rows.jsonl'}: {rows} not used: an older mnsim wrote such; their points are computed again"
    )
    assert "damaged" not in ran.err
    assert lines_of(tmp_path)[:POINTS] == [*old, *filled[count:]]
    assert sorted(lines_of(tmp_path)[POINTS:]) == sorted(filled[:count])


def test_many_damaged_rows_are_named_in_few_words(filled: list[bytes], tmp_path: Path) -> None:
    ran = sweep(tmp_path, *filled, *[b"x\n"] * 1000)
    assert ran.err.count("damaged row:") == MOST_NAMED
    assert f"{1000 - MOST_NAMED} more damaged rows" in ran.err
    assert (tmp_path / "damaged.jsonl").read_bytes() == b"x\n" * 1000


def test_a_dry_run_counts_whole_rows_and_changes_nothing(filled: list[bytes], tmp_path: Path) -> None:
    lines = [
        changed(filled[0], "simulated_time_s", 1.0),
        without(filled[1], "crc32"),
        filled[2], sealed(changed(filled[2], "serial_time_s", 2.0)),
        filled[3], filled[3],
        *filled[4:-1], filled[-1][:-100],
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_bytes(b"".join(lines))
    ran = run("sweep", *SMALL, "--store", str(tmp_path), "--dry-run")
    assert ran.code == 0
    assert f", {POINTS - 4} of the points are in the store" in ran.out
    assert [sentence.partition(";")[0].partition("rows.jsonl")[2][:30] for sentence in ran.err.splitlines()] == [
        ":1: damaged row: its checksum ",
        ":3: damaged row: another row h",
        ":4: damaged row: another row h",
        ": 1 row without a checksum is ",
    ]
    assert run("sweep", *SMALL, "--store", str(tmp_path), "--dry-run", "-q").err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
    assert lines_of(tmp_path) == lines


def test_a_damaged_row_and_a_torn_last_line(filled: list[bytes], undisturbed: str, tmp_path: Path) -> None:
    ran = sweep(tmp_path, b"no row\n", *filled[:-1], filled[-1][:-1])
    assert ran.out == undisturbed
    assert f"cut off a torn last line of {len(filled[-1]) - 1} bytes" in ran.err
    assert "rows.jsonl:1: damaged row" in ran.err
    assert lines_of(tmp_path) == filled


def test_a_last_line_of_something_else_is_no_torn_row(filled: list[bytes], undisturbed: str, tmp_path: Path) -> None:
    ran = sweep(tmp_path, *filled, b"no row")
    assert ran.out == undisturbed
    assert f"rows.jsonl:{POINTS + 1}: damaged row" in ran.err
    assert lines_of(tmp_path) == filled
    assert (tmp_path / "damaged.jsonl").read_bytes() == b"no row\n"


def test_the_only_row_may_be_damaged(filled: list[bytes], tmp_path: Path) -> None:
    for bad in (filled[0][:50] + b"\n", filled[0][60:]):
        ran = sweep(tmp_path, bad)
        assert ran.code == 1
        assert "rows.jsonl:1: damaged row" in ran.err
        assert sorted(lines_of(tmp_path)) == sorted(filled)


def test_what_is_moved_is_never_lost(filled: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the rows cannot be written anew: the store is as it was."""

    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(Path, "replace", full)
        ran = sweep(tmp_path, b"no row\n", *filled)
    assert (ran.code, ran.out) == (2, "")
    assert "error[W103]" in ran.err
    assert lines_of(tmp_path) == [b"no row\n", *filled]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.jsonl", "lock", "rows.jsonl"]


def test_a_store_keeps_its_mode_and_its_links(filled: list[bytes], tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere.jsonl", tmp_path / "store"
    folder.mkdir()
    elsewhere.write_bytes(b"no row\n" + b"".join(filled))
    elsewhere.chmod(0o640)
    (folder / "rows.jsonl").symlink_to(elsewhere)
    assert run("sweep", *SMALL, "--store", str(folder)).code == 1
    assert (folder / "rows.jsonl").is_symlink()
    assert elsewhere.read_bytes() == b"".join(filled)
    assert elsewhere.stat().st_mode & 0o777 == 0o640


def test_any_damage_at_all(filled: list[bytes], undisturbed: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bytes overwritten, cut out and put in, many at once: the result is the same, and the store is whole afterwards."""
    chance = random.Random(11)
    for _ in range(25):
        content = bytearray(b"".join(filled))
        for _ in range(chance.randint(1, 6)):
            at, length = chance.randrange(len(content)), chance.randint(0, 400)
            content[at : at + length] = chance.randbytes(chance.choice([0, 1, length]))
        folder = tmp_path_factory.mktemp("damage")
        ran = sweep(folder, bytes(content))
        assert (ran.code, ran.out) == (1, undisturbed), ran.err
        assert {json.loads(line)["key"] for line in lines_of(folder)} == {json.loads(line)["key"] for line in filled}
        assert set(lines_of(folder)) == set(filled)
