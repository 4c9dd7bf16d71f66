"""The whole way in one call: specifications to a plan, and to its estimate."""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mnsim.analysis.cost import Estimate, estimate, total_times
from mnsim.clocks.rates import rates_of
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.plan.model import Plan
from mnsim.plan.residency import make_plan
from mnsim.spec.load import load_hardware, load_network
from mnsim.spec.records import Dtype, Hardware, Network, Policy

if TYPE_CHECKING:
    from mnsim.clocks.timeline import Timeline
    from mnsim.program.model import Program
    from mnsim.program.progress import Progress


SAME = 0.005  # share of the time by which two plans are as good as each other: then fewer commands are better


class Planned(NamedTuple):
    """A network's graph, the hardware that it runs on, and the plan: what every interpreter starts from.

    `program` is the plan's, where somebody has made it already.
    """

    graph: Graph
    hardware: Hardware
    plan: Plan
    program: "Program | None" = None


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


def choose(planned: Planned, progress: "Progress | None" = None) -> Planned:
    """The plan that the clock takes at the hardware's rates, among all candidates for the network; `planned` has
    the first.

    It is the fastest, or one within 0.5 % of it that has fewer commands (`Choice`). `progress` is told now and then
    how much of lowering is done, of how much. Raises LengthError where every program is too long.
    """
    from mnsim.clocks.recurrence import recur
    from mnsim.lowering.lower import MOST_COMMANDS, count_commands, lower
    from mnsim.plan.candidates import candidates
    from mnsim.program.progress import untold

    graph, hardware, first = planned[:3]
    rates = rates_of(hardware)
    choice = Choice()
    chosen = planned
    for plan in candidates(graph, hardware, first.policy):
        count = count_commands(graph, plan)
        times = total_times(graph, plan, hardware, rates)
        least_s = max(times.transfer_time_s, times.matrix_time_s, times.vector_time_s)
        if count > MOST_COMMANDS or not choice.may_take(least_s, count):
            continue
        program = lower(graph, plan, progress or untold)
        if choice.takes(recur(program, rates).end_s, count):
            chosen = Planned(graph, hardware, plan, program)
    return chosen


@dataclass(slots=True)
class Choice:
    """Which of the plans that are shown one after another is the best so far: `time_s` and `commands` are its.

    A plan takes the place of another that is more than 0.5 % slower, or that has more commands, unless it is more
    than 0.5 % slower than `fastest_s`, the fastest so far. What a plan's busiest engine needs can tell that it
    will not.
    """

    time_s: float = inf
    commands: int = 0
    fastest_s: float = inf

    def may_take(self, least_s: float, commands: int) -> bool:
        """Whether a plan can be better, which takes at least so long."""
        if least_s > self.fastest_s * (1 + SAME):
            return False
        return least_s < self.time_s * (1 - SAME) or commands < self.commands

    def takes(self, time_s: float, commands: int) -> bool:
        """Whether a plan is better, which now is the best so far."""
        self.fastest_s = min(self.fastest_s, time_s)
        is_faster = time_s < self.time_s * (1 - SAME)
        if is_faster or (commands < self.commands and time_s <= self.fastest_s * (1 + SAME)):
            self.time_s, self.commands = time_s, commands
            return True
        return False


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
    """

    program: "Program"
    timeline: "Timeline"
    estimate: Estimate
    serial_policy_time_s: float


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
    check(program, planned.hardware, part(tell, 1, 2))
    timeline = simulate(program, planned.hardware)
    return Simulated(program, timeline, estimate_plan(planned), serial_policy_time_s(planned))


def serial_policy_time_s(planned: Planned) -> float:
    """Seconds that the plan of policy serial takes on the same machine."""
    graph, hardware, plan = planned[:3]
    serial = plan if plan.policy == "serial" else make_plan(graph, hardware, "serial")
    return estimate(graph, serial, hardware).total.serial_time_s
