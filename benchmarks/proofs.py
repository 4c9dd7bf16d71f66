"""Every bundled network at three alphas and three rhos, in two sizes of SRAM and under both policies: identical bits in int8.

    python benchmarks/proofs.py [NETWORK ...]

Prints one line a network; exits with 1 when a bit differs, or bytes moved are not the same in cost, simulation and execution.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from itertools import product
from time import process_time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the processes share the cores; before NumPy is imported

from mnsim.errors import CapacityError, ShapeError
from mnsim.pipeline import plan_network
from mnsim.proof import moved_bytes, verify
from mnsim.reference.calibrate import noise_images
from mnsim.reference.weights import random_weights
from mnsim.spec.load import bundled, load_hardware
from mnsim.spec.records import POLICIES

Variant = tuple[str, Fraction, Fraction, str, str]
ALPHAS = (Fraction(1), Fraction(1, 2), Fraction(1, 4))
RHOS = (Fraction(1), Fraction(5, 7), Fraction(4, 7))
SRAMS = ("128 KiB", "1 MiB")


def outcome(variant: Variant) -> tuple[str, int, int]:
    """What became of a variant: its verdict, its commands and the bytes that were compared."""
    network, alpha, rho, sram, policy = variant
    hardware = load_hardware("seed", [f"internal_memory.capacity={sram}"])
    try:
        planned = plan_network(network, hardware, policy, alpha, rho)  # type: ignore[arg-type]
    except (CapacityError, ShapeError) as error:
        return type(error).__name__, 0, 0
    found = verify(planned, random_weights(planned.graph), noise_images(planned.graph, 1)[0])
    moved = moved_bytes(found.simulated.program) == found.simulated.estimate.total.traffic_bytes
    verdict = "identical" if found.identical and moved else "DIFFERENT"
    return verdict, len(found.simulated.program.commands), found.compared_elements


def main() -> int:
    wrong = 0
    with ProcessPoolExecutor() as pool:
        for network in sys.argv[1:] or list(bundled("network")):
            variants = [(network, *rest) for rest in product(ALPHAS, RHOS, SRAMS, POLICIES)]
            outcomes = list(pool.map(outcome, variants))
            verdicts = {verdict: sum(each[0] == verdict for each in outcomes) for verdict in sorted({each[0] for each in outcomes})}
            counted = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
            commands, elements = (sum(each[place] for each in outcomes) for place in (1, 2))
            print(f"{network:24}{counted}; {commands:,} commands, {elements:,} elements compared", flush=True)
            wrong += verdicts.get("DIFFERENT", 0)
    start = process_time()
    planned = plan_network("mobilenet_cifar")
    verify(planned, random_weights(planned.graph), noise_images(planned.graph, 1)[0])
    print(f"mobilenet_cifar verified in {process_time() - start:.2f} s of CPU (limit 3)")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
