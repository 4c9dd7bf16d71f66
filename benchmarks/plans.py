"""Whether more is ever slower: every bundled network on a grid of SRAM sizes, with several latencies.

    python benchmarks/plans.py [--step KIB] [--generated COUNT] [NETWORK ...]

For each network the time of policy overlap at each size of the SRAM stands against those of serial and layerwise there, and against its
own at the size before. `--generated` does the same to networks made at random, at sizes of their own. Prints a line a network, with the
worst of each ratio and how often the first candidate is taken, and exits with 1 where overlap is more than 1 % slower than any of them.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from hypothesis import HealthCheck, given, settings

from mnsim.choice import Contest, arrays_of, choose
from mnsim.clocks.rates import rates_of
from mnsim.errors import CapacityError, LengthError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.plan.residency import make_plan
from mnsim.spec.load import bundled, load_hardware, load_network
from mnsim.spec.records import Engine, Hardware, Policy
from tests.generators import networks

LATENCIES_S = (0.0, 1e-7, 1e-6)
KIB = 1024
GENERATED_KIB = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
MOST_SLOWER = 1.01


class Point(NamedTuple):
    """A network at one size of the SRAM: seconds under each policy, one a latency, and whether the first candidate is taken."""

    kib: int
    serial: np.ndarray
    layerwise: np.ndarray
    overlap: np.ndarray
    first: np.ndarray


def machine(kib: int, latency_s: float) -> Hardware:
    """The seeds' machine with another SRAM, and a latency of each transfer that is each unit's launch overhead, too."""
    seed = load_hardware("seed")
    matrix, vector = (Engine(engine.throughput_per_s, latency_s) for engine in (seed.matrix, seed.vector))
    return replace(seed, sram_capacity_bytes=kib * KIB, external_latency_s=latency_s, matrix=matrix, vector=vector)


def times_s(graph: Graph, kib: int, policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    """Simulated seconds at each latency, and which candidates are taken."""
    machines = [machine(kib, latency_s) for latency_s in LATENCIES_S]
    found = choose(Contest(graph, machines[0], make_plan(graph, machines[0], policy)), arrays_of([rates_of(each) for each in machines]))
    return found.times_s, found.numbers


def point(graph: Graph, kib: int) -> Point | None:
    """All policies at one size; None where there is no plan, or its program is too long."""
    try:
        serial, layerwise = times_s(graph, kib, "serial")[0], times_s(graph, kib, "layerwise")[0]
        overlap, numbers = times_s(graph, kib, "overlap")
    except (CapacityError, LengthError):
        return None
    return Point(kib, serial, layerwise, overlap, numbers == 0)


def generated(count: int) -> list[Graph]:
    """Networks made at random, the same ones each time."""
    found: list[Graph] = []
    if not count:
        return found

    @settings(max_examples=count, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(networks(("int8",)))
    def gather(graph: Graph) -> None:
        found.append(graph)

    gather()
    return found


def judged(job: tuple[str, Graph, tuple[int, ...]]) -> tuple[str, bool]:
    """A line on a network, and whether more was never slower."""
    name, graph, sizes = job
    points = [found for kib in sizes if (found := point(graph, kib))]
    if not points:
        return f"{name:24} no plan at any size", True
    against = {
        "serial": max((float((each.overlap / each.serial).max()), each.kib) for each in points),
        "layerwise": max((float((each.overlap / each.layerwise).max()), each.kib) for each in points),
        "less SRAM": max(((float((b.overlap / a.overlap).max()), b.kib) for a, b in pairwise(points)), default=(0.0, 0)),
    }
    words = ", ".join(f"{worst:.3f} of {name} at {kib} KiB" for name, (worst, kib) in against.items())
    first = np.concatenate([each.first[:1] for each in points]).mean()
    return f"{name:24} {words}; first candidate {first:.0%}", max(worst for worst, _ in against.values()) <= MOST_SLOWER


def main() -> int:
    """Judge all networks; 1 if more was slower anywhere."""
    parser = argparse.ArgumentParser(description="Whether more is ever slower.")
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--step", type=int, default=16, metavar="KIB")
    parser.add_argument("--generated", type=int, default=0, metavar="COUNT")
    asked = parser.parse_args()
    names = asked.networks or ([] if asked.generated else list(bundled("network")))
    jobs = [(name, build_graph(load_network(name), 1, 1, "int8"), tuple(range(64, 1025, asked.step))) for name in names]
    jobs += [(f"generated {number}", graph, GENERATED_KIB) for number, graph in enumerate(generated(asked.generated))]
    good = 0
    with ProcessPoolExecutor() as pool:
        for (name, *_), (line, is_good) in zip(jobs, pool.map(judged, jobs), strict=True):
            good += is_good
            if not is_good or not name.startswith("generated"):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
    sys.stdout.write(f"{good} of {len(jobs)} networks are never more than {MOST_SLOWER - 1:.0%} slower with more\n")
    return 0 if good == len(jobs) else 1


if __name__ == "__main__":
    sys.exit(main())
