"""The benchmarks that matter, measured a few times; their medians are appended to benchmarks/record.jsonl.

    python benchmarks/record.py [--rounds N] [--dry-run]

All figures are ratios of CPU times, of two things that are measured beside each other: start-up to what Python
needs to import the libraries, everything else to a fixed loop of plain Python. So a machine that is slower for a
while changes little. Each is printed beside the last entry of the same kind of machine. Exits with 1 when one is
more than 10 % above it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

ROUNDS, MOST_RISE = 7, 0.1
RECORD = Path(__file__).with_name("record.jsonl")
ROOT = RECORD.parent.parent
Entry = dict[str, Any]


# ---- what is compared


def last_entry(lines: Sequence[str], machine: str) -> Entry | None:
    """The newest entry of this kind of machine; None if there is none."""
    found = [entry for entry in map(json.loads, filter(str.strip, lines)) if entry["machine"] == machine]
    return found[-1] if found else None


def slower(now: Mapping[str, float], before: Mapping[str, float]) -> list[str]:
    """The names of the figures that both have and that rose by more than 10 %."""
    return [name for name, figure in now.items() if name in before and figure > before[name] * (1 + MOST_RISE)]


def machine_kind() -> str:
    """Processor and Python: figures are compared between equal ones only."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.partition(":")[2].strip() for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        cpu = models[0] if models else cpu
    return f"{platform.system()} {platform.machine()}, {cpu}, Python {'.'.join(platform.python_version_tuple()[:2])}"


# ---- what is measured


def cpu_of(command: Sequence[str]) -> float:
    """CPU seconds of a process with its children."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def cpu_in(work: Callable[[], object]) -> float:
    """CPU seconds of a call in this process: the mean of as many as take 0.1 s together."""
    start, calls = process_time(), 0
    while calls == 0 or process_time() - start < 0.1:
        work()
        calls += 1
    return (process_time() - start) / calls


def yardstick() -> int:
    """A fixed loop of what planning and lowering do most: tuples, dictionaries, integers. About 0.1 s."""
    seen: dict[tuple[int, int], int] = {}
    for number in range(200_000):
        key = number % 977, number % 13
        seen[key] = seen.get(key, 0) + number
    return len(seen)


def start_up() -> Iterator[tuple[str, Callable[[], float]]]:
    """Each case of benchmarks/startup.py: its name, and one measurement of its ratio."""
    from startup import CASES, shown  # type: ignore[import-not-found]

    for command, beside, _ in CASES:
        yield f"start-up of {shown(command)}", lambda pair=(command, beside): cpu_of(pair[0]) / cpu_of(pair[1])


def in_process() -> Iterator[tuple[str, int, Callable[[], object]]]:
    """Each verb on mobilenet_v1: its name, the commands that it goes through (0: it is not about commands), and the call."""
    import numpy as np

    from mnsim.clocks.rates import make_rates, rates_of
    from mnsim.clocks.recurrence import recur, simulated_times_s
    from mnsim.clocks.simulate import simulate
    from mnsim.graph.build import build_graph
    from mnsim.lowering.lower import lower
    from mnsim.operators.quantities import RATES
    from mnsim.plan.residency import make_plan
    from mnsim.program.check import check
    from mnsim.spec.load import load_hardware, load_network

    graph, hardware = build_graph(load_network("mobilenet_v1")), load_hardware("seed")
    plan = make_plan(graph, hardware)
    program, rates = lower(graph, plan), rates_of(hardware)
    count = len(program.commands)
    random = np.random.default_rng(1)
    scales = {"B/s": 1e9, "s": 1e-9, "FLOPS": 1e11}
    columns = {rate.column: scales[rate.unit] * 10 ** random.uniform(-1, 1, 10_000) for rate in RATES}
    yield "plan mobilenet_v1", 0, lambda: make_plan(graph, hardware)
    yield "lower mobilenet_v1", count, lambda: lower(graph, plan)
    yield "check mobilenet_v1", count, lambda: check(program, hardware)
    yield "simulate mobilenet_v1", count, lambda: simulate(program, hardware)
    yield "recurrence of mobilenet_v1", count, lambda: recur(program, rates)
    yield "10,000 settings by the recurrence", 0, lambda: simulated_times_s(program, make_rates(columns))


def sweep() -> float:
    """CPU seconds of 16 variants of mobilenet_v1 in one process."""
    variants = ["--alpha", "0.25,0.5,0.75,1", "--rho", "4/7,5/7,6/7,1", "--jobs", "1"]
    return cpu_of([sys.executable, "-m", "mnsim", "sweep", "mobilenet_v1", *variants])


def measure(rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """The median of each ratio; and CPU microseconds a command for what goes through a program, which nothing compares."""
    figures: dict[str, float] = {}
    per_command: dict[str, float] = {}
    for name, ratio in start_up():
        figures[name] = median(ratio() for _ in range(rounds))
    for name, commands, work in in_process():
        pairs = [(cpu_in(work), cpu_in(yardstick)) for _ in range(rounds)]
        figures[name] = median(spent / unit for spent, unit in pairs)
        if commands:
            per_command[name] = median(spent for spent, _ in pairs) / commands * 1e6
    figures["sweep of 16 variants of mobilenet_v1"] = median(sweep() / cpu_in(yardstick) for _ in range(rounds))
    return figures, per_command


def main() -> int:
    """Measure, compare, print, append."""
    parser = argparse.ArgumentParser(description="Measure the benchmarks that matter, compare them with the record, append them to it.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is measured (default %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="compare only; leave the record as it is")
    options = parser.parse_args()
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    lines = RECORD.read_text(encoding="utf-8").splitlines() if RECORD.exists() else []
    machine = machine_kind()
    before = last_entry(lines, machine)
    figures, per_command = measure(options.rounds)
    earlier: dict[str, float] = before["figures"] if before else {}
    late = slower(figures, earlier)
    print(f"{commit} on {machine}; beside {before['commit'] if before else 'nothing: the first entry of this kind of machine'}")
    for name, figure in figures.items():
        change = f"{figure / earlier[name] - 1:+7.1%}" if name in earlier else "    new"
        print(f"{figure:9.3f}  {change}  {name}{'   <- slower' if name in late else ''}")
    for name, figure in per_command.items():
        print(f"{figure:9.2f}           us of CPU a command: {name}")
    if not options.dry_run:
        date = datetime.now(UTC).date().isoformat()
        rounded = [{name: float(f"{figure:.4g}") for name, figure in each.items()} for each in (figures, per_command)]
        entry = {"commit": commit, "date": date, "machine": machine, "figures": rounded[0], "cpu_us_a_command": rounded[1]}
        with RECORD.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main())
