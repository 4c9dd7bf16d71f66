"""Start-up time of the command line as ratios to what Python itself needs to import its libraries.

Each command is run in turn with its yardstick, many times; the printed ratio is the median of the pairs, with the quartiles. Ratios
in one run hold on a shared and noisy machine; absolute times do not.
"""

import shlex
import shutil
import statistics
import subprocess
import sys
import time
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
    ([MNSIM, "--help"], [PYTHON, "-c", "import numpy"], 0.75),
    ([MNSIM, "analyze", "mobilenet_cifar", "--format", "csv"], [PYTHON, "-c", _LIBRARIES], 0.9),
    ([MNSIM, "reproduce"], [MNSIM, "analyze", "mobilenet_cifar"], 1.5),
)


def wall_s(command: list[str]) -> float:
    """Wall time of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def shown(command: list[str]) -> str:
    """The command as one would type it."""
    return shlex.join([Path(command[0]).name, *command[1:]])


def main() -> int:
    """Print each case's ratio; exit 1 when one is above its limit."""
    late = False
    for command, yardstick, limit in CASES:
        wall_s(command), wall_s(yardstick)
        ratios = [wall_s(command) / wall_s(yardstick) for _ in range(ROUNDS)]
        low, median, high = statistics.quantiles(ratios, n=4)
        late |= median > limit
        print(f"{median:.3f} (quartiles {low:.3f} to {high:.3f}, limit {limit})  {shown(command)}  /  {shown(yardstick)}")
    return int(late)


if __name__ == "__main__":
    sys.exit(main())
