"""The whole way in one call: specifications to estimate."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from mnsim.errors import Location, SpecError
from mnsim.graph.build import Dtype, build_graph
from mnsim.interpreters.cost import Estimate, estimate
from mnsim.plan.residency import make_plan
from mnsim.spec.load import load_hardware, load_network
from mnsim.spec.records import Hardware, Network


def analyze(
    network: str | Path | Network,
    hardware: str | Path | Hardware = "seed",
    alpha: Fraction | float = 1,
    rho: Fraction | float = 1,
    dtype: Dtype = "int8",
    settings: Sequence[str] = (),
) -> Estimate:
    """What `mnsim analyze` computes: the network's cost on the hardware, layer by layer.

    Network and hardware are files, bundled names or loaded records; `settings` override values of a hardware file, like
    `internal_memory.capacity=256KiB`. Raises SpecError, ShapeError or CapacityError.
    """
    if isinstance(hardware, Hardware) and settings:
        place = Location("settings", text=settings[0], length=len(settings[0]))
        raise SpecError("U002", "settings apply to a hardware file, not to loaded hardware", place, "give them to load_hardware")
    loaded = network if isinstance(network, Network) else load_network(network)
    machine = hardware if isinstance(hardware, Hardware) else load_hardware(hardware, settings)
    graph = build_graph(loaded, alpha, rho, dtype)
    return estimate(graph, make_plan(graph, machine), machine)
