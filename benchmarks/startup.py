"""Start-up of the command line as ratios to what Python itself needs to import libraries.

`--help` is held against `import numpy`; an analysis as CSV against the import of all libraries that mnsim uses and one pydantic model;
`reproduce`, which is 508 cells of seven papers, against an analysis as a table.

Times are of the processor (user and system, as the operating system counts them for a process), so that other programs do not count.
Each command is run in turn with its yardstick, many times; the printed ratio is the median of the pairs, with the quartiles.
"""

import os
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS = 21
_LIBRARIES = "import numpy, simpy, rich.table, click, yaml, pydantic; pydantic.create_model('A', x=(int, 1))"


def mnsim_command() -> str:
    """The installed `mnsim` beside this Python, or on the PATH."""
    beside = Path(sys.executable).with_name("mnsim")
    found = str(beside) if beside.exists() else shutil.which("mnsim")
    if found is None:
        raise SystemExit("mnsim is not installed: run `make bench`")
    return found


MNSIM, PYTHON = mnsim_command(), sys.executable
CASES = (
    ([MNSIM, "--help"], [PYTHON, "-c", "import numpy"], 0.5),
    ([MNSIM, "analyze", "mobilenet_cifar", "--format", "csv"], [PYTHON, "-c", _LIBRARIES], 0.85),
    ([MNSIM, "reproduce"], [MNSIM, "analyze", "mobilenet_cifar"], 1.1),
)


def cpu_s(command: list[str]) -> float:
    """CPU time of one run, user and system."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{shown(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def shown(command: list[str]) -> str:
    """The command as one would type it."""
    return shlex.join([Path(command[0]).name, *command[1:]])


def main() -> int:
    """Print each case's ratio; exit 1 when one is above its limit."""
    late = False
    for command, yardstick, limit in CASES:
        cpu_s(command), cpu_s(yardstick)
        ratios = [cpu_s(command) / cpu_s(yardstick) for _ in range(ROUNDS)]
        low, median, high = statistics.quantiles(ratios, n=4)
        late |= median > limit
        print(f"{median:.3f} (quartiles {low:.3f} to {high:.3f}, limit {limit})  {shown(command)}  /  {shown(yardstick)}")
    return int(late)


if __name__ == "__main__":
    sys.exit(main())
