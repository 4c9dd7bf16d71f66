"""The two clocks against their yardsticks: simpy with nothing to do, and a hundred thousand hardware settings in CPU seconds.

    python benchmarks/clocks.py [NETWORK]

Prints each figure with its limit; exits with 1 when one is over it. Ratios are medians of runs taken in turn, so that a busy
machine slows both alike.
"""

import sys
from collections.abc import Generator
from statistics import median
from time import process_time
from typing import Any

import numpy as np
from simpy import Environment, Event

from mnsim.clocks.rates import make_rates, rates_of
from mnsim.clocks.recurrence import recur, simulated_times_s
from mnsim.clocks.simulate import simulate
from mnsim.lowering.lower import lower
from mnsim.operators.quantities import RATES
from mnsim.pipeline import plan_network

TURNS, SETTINGS = 15, 100_000
LEAST_SPEED, MOST_S = 0.2, 10.0


def bare_loop_s(count: int) -> float:
    """CPU seconds of a simpy process that waits for as many timeouts."""
    environment = Environment()

    def wait() -> Generator[Event, Any, None]:
        for _ in range(count):
            yield environment.timeout(1.0)

    environment.process(wait())
    start = process_time()
    environment.run()
    return process_time() - start


def main() -> int:
    network = (sys.argv[1:] or ["mobilenet_v1"])[0]
    planned = plan_network(network)
    program = lower(planned.graph, planned.plan)
    count, ratios = len(program.commands), []
    for _ in range(TURNS):
        bare_s = bare_loop_s(count)
        start = process_time()
        timeline = simulate(program, planned.hardware)
        ratios.append(bare_s / (process_time() - start))
    speed = median(ratios)
    print(f"{network}: {count} commands on simpy at {speed:.2f} of the speed of a bare loop of timeouts (limit {LEAST_SPEED})")
    same = timeline == recur(program, rates_of(planned.hardware))
    print(f"{network}: both clocks give the same times to the last bit: {same}")
    random = np.random.default_rng(1)
    scales = {"B/s": 1e9, "s": 1e-9, "FLOPS": 1e11}
    columns = {rate.column: scales[rate.unit] * 10 ** random.uniform(-1, 1, SETTINGS) for rate in RATES}
    start = process_time()
    simulated_times_s(program, make_rates(columns))
    spent_s = process_time() - start
    print(f"{network}: {SETTINGS:,} hardware settings by the recurrence in {spent_s:.2f} s of CPU (limit {MOST_S:.0f})")
    return int(speed < LEAST_SPEED or spent_s > MOST_S or not same)


if __name__ == "__main__":
    sys.exit(main())
