"""Every bundled network, multiplier, SRAM size, dtype and policy: a checked program, or a CapacityError that names the layer.

    python benchmarks/programs.py [NETWORK ...]

Prints one line a network and SRAM size, and at last the CPU time of planning, lowering and checking mobilenet_v1, and that of lowering
and checking one layer in many tiles. Exits with 1 when a program is refused, its commands do not add up to the analytical model's
figures, or a command costs more among many than among few.
"""

import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import product
from time import process_time

from mnsim.analysis.cost import Estimate, estimate
from mnsim.errors import CapacityError, Location, ShapeError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.lowering.lower import lower
from mnsim.plan.model import Buffer, Home, Plan, Segment, Tiling
from mnsim.plan.residency import make_plan
from mnsim.plan.tiling import make_geometry, working_bytes
from mnsim.program.check import check
from mnsim.program.model import Load, Matrix, Program, Store, Vector
from mnsim.spec.load import bundled, load_hardware, load_network
from mnsim.spec.records import DTYPES, POLICIES, Hardware, Layer, Network

ALPHAS = tuple(Fraction(quarters, 4) for quarters in (4, 3, 2, 1))
RHOS = tuple(Fraction(sevenths, 7) for sevenths in (7, 6, 5, 4))
SRAMS = ("64 KiB", "256 KiB", "1 MiB", "4 MiB")
TILES = (1_000, 100_000)
MOST_GROWTH, MOST_US = 1.3, 80.0  # of a command among many, to one among few; for a command of mobilenet_v1
TURNS = 5


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
    spent = cost_us(graph, make_plan(graph, hardware), hardware)
    print(f"mobilenet_v1: {shown(spent)} a command (limit {MOST_US:.0f} together)")
    grown = [growth(cut) for cut in ("strips", "channels")]
    return int(wrong > 0 or sum(spent) > MOST_US or max(grown) > MOST_GROWTH)


def cost_us(graph: Graph, plan: Plan, hardware: Hardware) -> tuple[float, float]:
    """Microseconds of CPU for a command, lowered and checked: the least of several runs."""
    found = []
    for _ in range(TURNS):
        start = process_time()
        program = lower(graph, plan)
        middle = process_time()
        check(program, hardware)
        scale = 1e6 / len(program.commands)
        found.append((scale * (middle - start), scale * (process_time() - middle)))
    return min(lowered for lowered, _ in found), min(checked for _, checked in found)


def shown(spent: tuple[float, float]) -> str:
    return f"lower {spent[0]:.1f} us, check {spent[1]:.1f} us"


def growth(cut: str) -> float:
    """What a command of one layer in many tiles costs more than in few; the layer is as large as its tiles are many."""
    few, many = (cost_us(*in_tiles(cut, count)) for count in TILES)
    ratios = [after / before for before, after in zip(few, many, strict=True)]
    print(f"one layer in {TILES[0]:,} {cut}: {shown(few)} a command; in {TILES[1]:,}: {shown(many)}")
    print(f"one layer in {cut}: lower {ratios[0]:.2f}, check {ratios[1]:.2f} times as much among many (limit {MOST_GROWTH})")
    return max(ratios)


def in_tiles(cut: str, count: int) -> tuple[Graph, Plan, Hardware]:
    """A convolution with its ReLU, both maps in SRAM, in strips of one row or blocks of one channel."""
    rows, channels = (count, 4) if cut == "strips" else (2, count)
    layer = Layer("a", "conv", ("input",), Location("none"), channels=channels, kernel=(1, 1), activation="relu")
    graph = build_graph(Network("one layer", "", "", (rows, 2, 4), 1, (layer,)))
    tiling = Tiling(1, 4, 4, "weights") if cut == "strips" else Tiling(rows, 1, 4, "weights")
    homes = (Home(0, 0, 0), Home(graph.maps[0].size_bytes, 0, 0))
    cursor, buffers = sum(each.size_bytes for each in graph.maps), []
    for name, size in working_bytes(make_geometry(graph, graph.operators[0], ()), tiling):
        buffers.append(Buffer(name, cursor, size))
        cursor += size
    plan = Plan("overlap", cursor, (), (Segment((0,), tiling, tuple(buffers)),), homes)
    return graph, plan, replace(load_hardware("seed"), sram_capacity_bytes=cursor)


if __name__ == "__main__":
    sys.exit(main())
