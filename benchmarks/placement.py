"""Addresses for the blocks of MiniMalloc's files, which are harder to place than those of any plan here.

    python benchmarks/placement.py FOLDER [--seconds N] [--capacity BYTES]

A file is an instance: CSV with the columns lower, upper (the first step, and the one after the last) and size. The capacity is
the number in its name, as in `A.1048576.csv`, or else the option's. The files are at github.com/google/minimalloc, in
benchmarks/asplos2024.

Prints a line for each, and a total: what came of it ("solved"; "none" where there is proof that no placement exists; "-" where
the time was up), CPU seconds, nodes of the search, and the height of the lowest placement found. Every placement is judged pair
by pair. Exits with 1 when one is wrong, and with 2 when there is no instance or it cannot be read.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from time import process_time

from mnsim.errors import CapacityError
from mnsim.plan.packing import Block, apart, place_blocks
from mnsim.plan.placement_search import Search

SECONDS, CAPACITY = 60.0, 1 << 20
SLICE = 1000  # nodes between two looks at the clock; they change nothing of what is found
COLUMNS = ("lower", "upper", "size")


@dataclass(frozen=True, slots=True)
class Outcome:
    verdict: str
    cpu_s: float
    nodes: int
    peak_bytes: int


def read_blocks(path: Path) -> list[Block]:
    """The blocks of a file. Raises ValueError with the line that is wrong."""
    blocks = []
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}:1: no column {', '.join(missing)}")
        for row in rows:
            try:
                lower, upper, size = (int(row[name]) for name in COLUMNS)
            except (TypeError, ValueError):
                raise ValueError(f"{path}:{rows.line_num}: lower, upper and size are whole numbers") from None
            if not (0 <= lower < upper and size >= 0):
                raise ValueError(f"{path}:{rows.line_num}: lower is from 0 up and below upper, and size from 0 up")
            blocks.append(Block(size, lower, upper - 1))
    return blocks


def capacity_of(path: Path, capacity: int) -> int:
    """The number in the name, or else the one given."""
    number = path.stem.rpartition(".")[2]
    return int(number) if number.isdecimal() else capacity


def solve(blocks: Sequence[Block], capacity: int, seconds: float) -> tuple[Outcome, list[int]]:
    """What comes of an instance, and the addresses of its blocks: by the heuristics where the time was up."""
    start = process_time()
    steps = [""] * (max((block.last for block in blocks), default=-1) + 1)
    try:
        lowest = place_blocks(blocks, capacity, steps, node_limit=0)
    except CapacityError as error:
        lowest = place_blocks(blocks, error.needed_bytes, steps, node_limit=0)
    verdict, nodes, addresses = "solved", 0, list(lowest)
    births = sorted((index for index, block in enumerate(blocks) if block.size_bytes), key=lambda index: blocks[index].first)
    for members in apart(blocks, births) if peak(blocks, lowest) > capacity else ():
        search = Search([blocks[member] for member in members], capacity)
        while not search.ended and process_time() - start < seconds:
            search.run(search.nodes + SLICE)
        nodes += search.nodes
        if search.addresses is None:
            verdict = "none" if search.ended else "-"
            break
        for member, address in zip(members, search.addresses, strict=True):
            addresses[member] = address
    if verdict != "solved":
        addresses = list(lowest)
    return Outcome(verdict, process_time() - start, nodes, peak(blocks, addresses)), addresses


def peak(blocks: Sequence[Block], addresses: Sequence[int]) -> int:
    """The bytes that a placement takes."""
    return max((address + block.size_bytes for block, address in zip(blocks, addresses, strict=True)), default=0)


def is_valid(blocks: Sequence[Block], addresses: Sequence[int]) -> bool:
    """Whether no two blocks share a byte at a step, each pair judged by itself."""
    for (one, low), (other, high) in combinations(zip(blocks, addresses, strict=True), 2):
        at_once = one.first <= other.last and other.first <= one.last
        if at_once and low < high + other.size_bytes and high < low + one.size_bytes and one.size_bytes and other.size_bytes:
            return False
    return all(address >= 0 for address in addresses)


def line(name: str, blocks: int, outcome: Outcome) -> str:
    return f"{name:<24}{blocks:>8,}  {outcome.verdict:<8}{outcome.cpu_s:>8.2f}{outcome.nodes:>11,}{outcome.peak_bytes:>12,}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Find addresses for the blocks of MiniMalloc's files.")
    parser.add_argument("folder", type=Path, help="where the CSV files are")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="CPU seconds for each file (default %(default)s)")
    parser.add_argument("--capacity", type=int, default=CAPACITY, help="bytes, where the file's name has none (default %(default)s)")
    options = parser.parse_args(arguments)
    paths = sorted(options.folder.glob("*.csv"))
    if not paths:
        parser.error(f"{options.folder}: no file *.csv in this folder")
    outcomes: list[Outcome] = []
    total, wrong = 0, 0
    print(f"{'instance':<24}{'blocks':>8}  {'':<8}{'CPU s':>8}{'nodes':>11}{'peak, B':>12}")
    for path in paths:
        try:
            blocks = read_blocks(path)
        except ValueError as error:
            parser.error(str(error))
        outcome, addresses = solve(blocks, capacity_of(path, options.capacity), options.seconds)
        if not is_valid(blocks, addresses):
            outcome, wrong = Outcome("WRONG", outcome.cpu_s, outcome.nodes, outcome.peak_bytes), wrong + 1
        outcomes.append(outcome)
        total += len(blocks)
        print(line(path.stem, len(blocks), outcome), flush=True)
    solved = sum(outcome.verdict == "solved" for outcome in outcomes)
    cpu_s, nodes = sum(outcome.cpu_s for outcome in outcomes), sum(outcome.nodes for outcome in outcomes)
    print(f"{f'{solved} of {len(paths)} solved':<24}{total:>8,}  {'':<8}{cpu_s:>8.2f}{nodes:>11,}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
