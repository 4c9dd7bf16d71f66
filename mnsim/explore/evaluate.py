"""A worker's task: a plan is made once, and all its rates are one pass of the recurrence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from socket import gethostname
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnsim.analysis.bounds import plain_sum
from mnsim.analysis.cost import estimate, total_times
from mnsim.analysis.energy import joules, layer_amounts
from mnsim.choice import Contest, choose, part_of_rates
from mnsim.clocks.rates import Rates, make_rates
from mnsim.clocks.recurrence import Array
from mnsim.errors import MnsimError, PointError, WorkError
from mnsim.explore.version import model_version
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.operators.quantities import ENERGIES, TIMED
from mnsim.plan.model import Plan
from mnsim.plan.residency import find_plan
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
    "any_schedule_bound_time_s",
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
    plans: tuple[tuple[NDArray[np.int64], Mapping[str, int]], ...]
    times: Mapping[str, Array]
    named: Mapping[str, NDArray[np.int8]]
    error: MnsimError | None = None


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
    return Outcome(batch.number, (), {}, {}, found)


def _evaluate(batch: Batch) -> Outcome:
    structure = batch.structure
    rates = rates_with(structure.hardware, batch.rates, batch.count)
    if structure.fidelity == "analytical":
        graph, plan = _first(_without_rates(structure))
        whole = _Part(np.arange(batch.count), graph, plan)
        return _outcome(batch, [(whole.settings, *_figures(batch, whole, rates, batch.rates))])
    contest = _contest(_without_rates(structure))
    chosen = choose(contest, rates)
    found = []
    for number in sorted(set(chosen.numbers.tolist())):
        part = _Part(np.flatnonzero(chosen.numbers == number), contest.graph, contest.plan(number))
        own = {name: values[part.settings] for name, values in batch.rates.items()}
        counts, columns = _figures(batch, part, part_of_rates(rates, part.settings), own)
        counts["commands"] = len(contest.program(number).commands)
        columns["simulated_time_s"] = chosen.times_s[part.settings]
        found.append((part.settings, counts, columns))
    return _outcome(batch, found)


class _Part(NamedTuple):
    """The settings of a batch at which one plan is taken."""

    settings: NDArray[np.int64]
    graph: Graph
    plan: Plan


def _figures(batch: Batch, part: _Part, rates: Rates[Array], varied: Mapping[str, Array]) -> tuple[dict[str, int], dict[str, NDArray[Any]]]:
    """The counts that the settings of a part share, and their columns; `varied` are those of the rates
    that vary.
    """
    hardware = batch.structure.hardware
    total, times = estimate(part.graph, part.plan, hardware).total, total_times(part.graph, part.plan, hardware, rates)
    counts = {name: getattr(total, name) for name in COUNTS if hasattr(total, name)}
    columns: dict[str, NDArray[Any]] = {name: getattr(times, name) for name in TIMES if hasattr(times, name)}
    busy = (times.transfer_time_s, times.matrix_time_s, times.vector_time_s)
    columns |= {"busiest": _first_largest(*busy), "bound_by": _first_largest(*times.bounds)}
    if hardware.energies is not None and batch.structure.fidelity == "simulated":
        columns["energy_j"] = _energies_j(part, hardware.energies, varied)
    return counts, columns


def _outcome(batch: Batch, parts: Sequence[tuple[NDArray[np.int64], dict[str, int], dict[str, NDArray[Any]]]]) -> Outcome:
    """The outcome of all settings, from those that each plan is taken at."""
    whole: dict[str, NDArray[Any]] = {}
    for settings, _, columns in parts:
        for name, values in columns.items():
            whole.setdefault(name, np.empty(batch.count, values.dtype))[settings] = values
    times, named = ({name: whole[name] for name in names if name in whole} for names in (TIMES, NAMED))
    return Outcome(batch.number, tuple((settings, counts) for settings, counts, _ in parts), times, named)


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
def _first(structure: Structure) -> tuple[Graph, Plan]:
    """The graph, and the first candidate. Raises as planning does."""
    graph = _graph(structure.network, structure.alpha, structure.rho, structure.dtype)
    return graph, find_plan(graph, structure.hardware, structure.policy)


@lru_cache(maxsize=KEPT)
def _contest(structure: Structure) -> Contest:
    """The candidates, with their programs once they are made."""
    graph, plan = _first(structure)
    return Contest(graph, structure.hardware, plan)


@lru_cache(maxsize=KEPT)
def _graph(network: Network, alpha: Fraction, rho: Fraction, dtype: Dtype) -> Graph:
    return build_graph(network, alpha, rho, dtype)


def rates_with(hardware: Hardware, columns: Mapping[str, Array], count: int) -> Rates[Array]:
    """The hardware's rates as arrays, with the given columns put in."""

    return make_rates({**{name: np.full(count, value) for name, value in own_rates(hardware).items()}, **columns}, hardware.further)


def _energies_j(part: _Part, energies: Energies, varied: Mapping[str, Array]) -> Array:
    """Joules of the whole run, layer by layer added up as an estimate's are."""

    own = {quantity.column: getattr(energies, quantity.column) for quantity in ENERGIES}
    count = part.settings.size
    each_j = [varied[name] if name in varied else np.full(count, value) for name, value in own.items()]
    layers = (joules(amounts, each_j) for amounts in layer_amounts(part.graph, part.plan))
    return plain_sum(layers, np.zeros(count))
