"""The whole way in one call: specifications to a plan, and to its estimate."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mnsim.analysis.cost import Estimate, estimate
from mnsim.clocks.rates import rates_of
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.plan.model import Plan
from mnsim.plan.residency import make_plan
from mnsim.spec.load import load_hardware, load_network
from mnsim.spec.records import Dtype, Hardware, Network, Policy

if TYPE_CHECKING:
    from mnsim.choice import Choice
    from mnsim.clocks.timeline import Timeline
    from mnsim.program.model import Program
    from mnsim.program.progress import Progress


class Planned(NamedTuple):
    """A network's graph, the hardware that it runs on, and the plan: what every interpreter starts from.

    `program` is the plan's, where it has been made and verified already, `choice` what the clock chose
    it from.
    """

    graph: Graph
    hardware: Hardware
    plan: Plan
    program: "Program | None" = None
    choice: "Choice | None" = None


def plan_network(
    network: str | Path | Network,
    hardware: str | Path | Hardware = "seed",
    policy: Policy = "overlap",
    alpha: Fraction | float = 1,
    rho: Fraction | float = 1,
    dtype: Dtype = "int8",
) -> Planned:
    """The network at these multipliers, planned for the hardware. Raises as `analyze` does."""
    loaded = network if isinstance(network, Network) else load_network(network)
    machine = hardware if isinstance(hardware, Hardware) else load_hardware(hardware)
    graph = build_graph(loaded, alpha, rho, dtype)
    return Planned(graph, machine, make_plan(graph, machine, policy))


def choose_plan(planned: Planned, progress: "Progress | None" = None) -> Planned:
    """The plan that the clock takes at the hardware's rates, with its program; `planned` has the first
    candidate, or has been chosen already.

    `progress` is told now and then how much of lowering is done, of how much. Raises LengthError where
    every candidate's program is too long.
    """
    from mnsim.choice import Contest, choose_one
    from mnsim.program.progress import untold

    if planned.program is not None:
        return planned
    contest = Contest(planned.graph, planned.hardware, planned.plan, progress or untold)
    choice = choose_one(contest, rates_of(planned.hardware))
    return planned._replace(plan=contest.plan(choice.taken), program=contest.program(choice.taken), choice=choice)


def analyze(
    network: str | Path | Network,
    hardware: str | Path | Hardware = "seed",
    policy: Policy = "overlap",
    alpha: Fraction | float = 1,
    rho: Fraction | float = 1,
    dtype: Dtype = "int8",
) -> Estimate:
    """What `mnsim analyze` computes: the network's cost on the hardware, layer by layer.

    Network and hardware are files, bundled names or loaded records (`load_hardware` overrides values of a
    file). Raises SpecError, ShapeError or CapacityError.
    """
    return estimate_plan(plan_network(network, hardware, policy, alpha, rho, dtype))


def estimate_plan(planned: Planned) -> Estimate:
    """The plan's cost, with energies where the hardware file says them."""
    found = estimate(planned.graph, planned.plan, planned.hardware)
    if planned.hardware.energies is None:
        return found
    from mnsim.analysis.energy import layer_energies

    return replace(found, energies=layer_energies(planned.graph, planned.plan, planned.hardware.energies))


class Simulated(NamedTuple):
    """A run: the program, the times of its commands, and the analytical model's estimate of the same plan.

    `serial_policy_time_s` is the time of policy serial's plan: fewer and larger commands, one at a time.
    `choice` says what else could have run, where the clock has chosen.
    """

    program: "Program"
    timeline: "Timeline"
    estimate: Estimate
    serial_policy_time_s: float
    choice: "Choice | None" = None


def run(planned: Planned, progress: "Progress | None" = None) -> Simulated:
    """Lower a plan, verify the program, play it, and estimate the same plan. Raises ProgramError where
    lowering went wrong.

    `progress` is called with the work of lowering and verifying that is done, and all of it.
    """
    from mnsim.clocks.simulate import simulate  # simpy and numpy cost start-up time, which analysis does not pay
    from mnsim.lowering.lower import lower
    from mnsim.program.check import check
    from mnsim.program.progress import part, untold

    tell = progress or untold
    program = planned.program or lower(planned.graph, planned.plan, part(tell, 0, 2))
    if planned.program is None:
        check(program, planned.hardware, part(tell, 1, 2))
    timeline = simulate(program, planned.hardware)
    return Simulated(program, timeline, estimate_plan(planned), serial_policy_time_s(planned), planned.choice)


def serial_policy_time_s(planned: Planned) -> float:
    """Seconds that the plan of policy serial takes on the same machine."""
    graph, hardware, plan = planned[:3]
    serial = plan if plan.policy == "serial" else make_plan(graph, hardware, "serial")
    return estimate(graph, serial, hardware).total.serial_time_s
