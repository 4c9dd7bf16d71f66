"""A sweep against one simulation, and a million settings of rates in CPU seconds and bytes.

    python benchmarks/sweeps.py

Prints each figure with its limit; exits with 1 when one is over it. The ratio is the median of pairs run in turn, so that a busy machine
slows both alike; CPU time and memory are the operating system's own, of the whole command and its processes.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 7
MOST_RATIO, MOST_S, MOST_BYTES = 8.0, 60.0, 2 << 30
MNSIM = [sys.executable, "-m", "mnsim"]
VARIANTS = ["sweep", "mobilenet_v1", "--alpha", "0.25,0.5,0.75,1", "--rho", "4/7,5/7,6/7,1"]
MILLION = [
    "sweep", "mobilenet_cifar",
    "--set", "bus.bandwidth=log(0.5 GB/s, 8 GB/s, 100)",
    "--set", "matrix_unit.throughput=log(0.1 TFLOPS, 10 TFLOPS, 100)",
    "--set", "vector_unit.throughput=log(1 GFLOPS, 100 GFLOPS, 100)",
]  # fmt: skip


def wall_s(arguments: list[str]) -> float:
    """Wall time of one run."""
    start = time.perf_counter()
    subprocess.run([*MNSIM, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def cost_of(arguments: list[str]) -> tuple[float, int]:
    """CPU seconds of a command with its processes, and the most memory that one of them had, in bytes."""
    process = subprocess.Popen([*MNSIM, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> int:
    """Measure, and print each figure with its limit."""
    wall_s(VARIANTS), wall_s(["simulate", "mobilenet_v1"])
    ratios = [wall_s(VARIANTS) / wall_s(["simulate", "mobilenet_v1"]) for _ in range(ROUNDS)]
    low, median, high = statistics.quantiles(ratios, n=4)
    print(f"16 variants of mobilenet_v1 take {median:.2f} times one simulation (quartiles {low:.2f} to {high:.2f}, limit {MOST_RATIO:.0f})")
    late = median > MOST_RATIO
    with tempfile.TemporaryDirectory() as folder:
        for name in ("sweep.csv", "sweep.parquet"):
            path = Path(folder) / name
            cpu_s, memory = cost_of([*MILLION, "-q", "-o", str(path)])
            size = path.stat().st_size
            print(
                f"1,000,000 settings on mobilenet_cifar to {path.suffix[1:]}: {cpu_s:.1f} s of CPU (limit {MOST_S:.0f}), "
                f"{memory / 2**20:,.0f} MiB (limit {MOST_BYTES >> 20:,}), a file of {size / 1e6:,.0f} MB"
            )
            late |= cpu_s > MOST_S or memory > MOST_BYTES
    return int(late)


if __name__ == "__main__":
    sys.exit(main())
