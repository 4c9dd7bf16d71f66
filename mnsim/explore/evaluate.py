"""A worker's task: a plan is made once, and all its rates are one pass of the recurrence."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from socket import gethostname
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnsim.analysis.bounds import plain_sum
from mnsim.analysis.cost import Estimate, estimate, total_times
from mnsim.analysis.energy import joules, layer_amounts
from mnsim.clocks.rates import Rates, make_rates
from mnsim.clocks.recurrence import Array, simulated_times_s
from mnsim.errors import MnsimError, PointError, WorkError
from mnsim.explore.version import model_version
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.lowering.lower import lower
from mnsim.operators.quantities import ENERGIES, TIMED
from mnsim.plan.residency import find_plan
from mnsim.program.check import check
from mnsim.program.model import Program
from mnsim.spec.records import Dtype, Energies, Hardware, Network, Policy, own_rates, with_amount

Fidelity = Literal["simulated", "analytical"]
FIDELITIES: tuple[Fidelity, ...] = ("simulated", "analytical")
KEPT = 4  # structures that a worker remembers: batches of one come one after another

COUNTS = ("macs", "vector_ops", "parameters", "weight_bytes", "traffic_bytes", "reserved_sram_bytes", "commands")
TIMES = (
    "transfer_time_s",
    "matrix_time_s",
    "vector_time_s",
    "serial_time_s",
    "simulated_time_s",
    "bound_time_s",
    "capacity_bound_time_s",
    "energy_j",
)
_SAYS_NOTHING = {"throughput": 1.0, "overhead": 0.0, "efficiency": ()}
NAMED = ("busiest", "bound_by")  # columns that name an engine, each a number in ENGINES


@dataclass(frozen=True, slots=True)
class Structure:
    """All settings that a plan depends on, and whether a program is made of it; the hardware's own rates hold
    where no others are given.
    """

    network: Network
    alpha: Fraction
    rho: Fraction
    dtype: Dtype
    policy: Policy
    hardware: Hardware
    fidelity: Fidelity


@dataclass(frozen=True, slots=True)
class Batch:
    """Settings of one structure: `rates` are those that vary, by column, `count` of each. `version` is the
    model that they are for.
    """

    number: int
    structure: Structure
    rates: Mapping[str, Array]
    count: int
    version: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a batch: counts that all its settings share, times and energy of each, and for each NAMED
    column the engines' numbers.

    An error is that of all settings, and the rest is empty then.
    """

    number: int
    counts: Mapping[str, int]
    times: Mapping[str, Array]
    named: Mapping[str, NDArray[np.int8]]
    error: MnsimError | None = None


class _Prepared(NamedTuple):
    estimate: Estimate
    program: Program | None


def evaluate(batch: Batch) -> Outcome:
    """Run every setting of a batch. Errors become a part of the outcome. Raises WorkError W002 for a batch of
    another model.
    """
    if batch.version != model_version():
        message = f"a worker on {gethostname()} has mnsim {model_version()}, and the sweep is for {batch.version}"
        raise WorkError("W002", message, remedy="install the same everywhere")
    try:
        return _evaluate(batch)
    except MnsimError as error:
        found = error
    except Exception as error:  # one point's defect must not end the other points
        found = PointError(f"{type(error).__name__}: {error}")
    return Outcome(batch.number, {}, {}, {}, found)


def _evaluate(batch: Batch) -> Outcome:
    found, program = _prepare(_without_rates(batch.structure))
    hardware = batch.structure.hardware
    rates = rates_with(hardware, batch.rates, batch.count)
    graph, plan, total = found.graph, found.plan, found.total
    times = total_times(graph, plan, hardware, rates)
    columns = {name: getattr(times, name) for name in TIMES if hasattr(times, name)}
    counts = {name: getattr(total, name) for name in COUNTS if hasattr(total, name)}
    if program is not None:
        counts["commands"] = len(program.commands)
        columns["simulated_time_s"] = simulated_times_s(program, rates)
        if hardware.energies is not None:
            columns["energy_j"] = _energies_j(found, hardware.energies, batch)
    busy = (times.transfer_time_s, times.matrix_time_s, times.vector_time_s)
    return Outcome(batch.number, counts, columns, {"busiest": _first_largest(*busy), "bound_by": _first_largest(*times.bounds)})


def _first_largest(*engines: Array) -> NDArray[np.int8]:
    """The number of the engine with the largest value, for each setting; the first of equal ones."""
    found: NDArray[np.int8] = np.argmax(np.stack(engines), axis=0).astype(np.int8)
    return found


def _without_rates(structure: Structure) -> Structure:
    """The structure with neutral rates, so that a plan is found again for any rates."""
    hardware = structure.hardware
    plain = replace(hardware, name="", title="", external_kind="", energies=None)
    for quantity in TIMED:
        plain = with_amount(plain, quantity, _SAYS_NOTHING[quantity.role])
    return replace(structure, hardware=plain)


@lru_cache(maxsize=KEPT)
def _prepare(structure: Structure) -> _Prepared:
    """Graph, plan, program. Raises as planning and lowering do."""
    graph = _graph(structure.network, structure.alpha, structure.rho, structure.dtype)
    plan = find_plan(graph, structure.hardware, structure.policy)
    found = estimate(graph, plan, structure.hardware)
    if structure.fidelity == "analytical":
        return _Prepared(found, None)
    program = lower(graph, plan)
    check(program, structure.hardware)
    return _Prepared(found, program)


@lru_cache(maxsize=KEPT)
def _graph(network: Network, alpha: Fraction, rho: Fraction, dtype: Dtype) -> Graph:
    return build_graph(network, alpha, rho, dtype)


def rates_with(hardware: Hardware, columns: Mapping[str, Array], count: int) -> Rates[Array]:
    """The hardware's rates as arrays, with the given columns put in."""

    return make_rates({**{name: np.full(count, value) for name, value in own_rates(hardware).items()}, **columns}, hardware.further)


def _energies_j(found: Estimate, energies: Energies, batch: Batch) -> Array:
    """Joules of the whole run, added up layer by layer as an estimate's are."""

    own = {quantity.column: getattr(energies, quantity.column) for quantity in ENERGIES}
    each_j = [batch.rates[name] if name in batch.rates else np.full(batch.count, value) for name, value in own.items()]
    layers = (joules(amounts, each_j) for amounts in layer_amounts(found.graph, found.plan))
    return plain_sum(layers, np.zeros(batch.count))
