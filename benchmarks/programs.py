"""Every bundled network, multiplier, SRAM size, dtype and policy: a checked program, or a CapacityError that names the layer.

    python benchmarks/programs.py [NETWORK ...]

Prints one line a network and SRAM size, and at last the CPU time of planning, lowering and checking mobilenet_v1. Exits with 1 when
a program is refused, or its commands do not add up to the analytical model's figures.
"""

import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from itertools import product
from time import process_time

from mnsim.errors import CapacityError, ShapeError
from mnsim.graph.build import Dtype, build_graph
from mnsim.interpreters.cost import Estimate, estimate
from mnsim.plan.model import POLICIES
from mnsim.plan.residency import make_plan
from mnsim.program.check import check
from mnsim.program.lower import lower
from mnsim.program.model import Load, Matrix, Program, Store, Vector
from mnsim.spec.load import bundled, load_hardware, load_network

ALPHAS = tuple(Fraction(quarters, 4) for quarters in (4, 3, 2, 1))
RHOS = tuple(Fraction(sevenths, 7) for sevenths in (7, 6, 5, 4))
DTYPES: tuple[Dtype, ...] = ("int8", "float16", "float32")
SRAMS = ("64 KiB", "256 KiB", "1 MiB", "4 MiB")


def agrees(program: Program, found: Estimate) -> bool:
    """Whether each layer's commands add up to its row of the analytical model."""
    sums: dict[str, Counter[str]] = {}
    for command in program.commands:
        layer = sums.setdefault(command.layer, Counter())
        match command:
            case Load() | Store():
                layer.update(bytes=sum(region.size_bytes for region in command.reads), transfers=1)
            case Matrix():
                layer.update(macs=command.macs)
            case Vector():
                layer.update(ops=command.vector_ops)
    for row, operator in zip(found.layers, found.graph.operators, strict=True):
        expected = Counter(bytes=row.traffic_bytes, transfers=row.traffic.transfers, macs=row.macs, ops=row.vector_ops)
        if sums.get(operator.name, Counter()) != expected:
            return False
    return True


def outcomes(network: str, sram: str) -> Counter[str]:
    """What became of each variant of a network on one SRAM."""
    spec, hardware = load_network(network), load_hardware("seed", [f"internal_memory.capacity={sram}"])
    counted: Counter[str] = Counter()
    for alpha, rho, dtype, policy in product(ALPHAS, RHOS, DTYPES, POLICIES):
        try:
            graph = build_graph(spec, alpha, rho, dtype)
            plan = make_plan(graph, hardware, policy)
        except ShapeError:
            counted["does not exist"] += 1
        except CapacityError as error:
            counted["no room, layer named" if error.layer else "no room, layer not named"] += 1
        else:
            program = lower(graph, plan)
            check(program, hardware)
            counted["checked" if agrees(program, estimate(graph, plan, hardware)) else "differs"] += 1
            counted["commands"] += len(program.commands)
    return counted


def main() -> int:
    networks = sys.argv[1:] or list(bundled("network"))
    wrong = 0
    with ProcessPoolExecutor() as pool:
        for network in networks:
            for sram, counted in zip(SRAMS, pool.map(partial(outcomes, network), SRAMS), strict=True):
                print(f"{network:24}{sram:>8}  {', '.join(f'{count:,} {what}' for what, count in sorted(counted.items()))}", flush=True)
                wrong += counted["differs"] + counted["no room, layer not named"]
    graph, hardware = build_graph(load_network("mobilenet_v1")), load_hardware("seed")
    start = process_time()
    check(lower(graph, make_plan(graph, hardware)), hardware)
    print(f"mobilenet_v1: plan, place, lower and check in {process_time() - start:.3f} s of CPU (limit 0.5)")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
