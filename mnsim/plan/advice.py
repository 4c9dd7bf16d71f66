"""The remedy of a memory that is too small: amounts for which the whole network was planned, so that
following it works.
"""

from dataclasses import replace

from mnsim.errors import CapacityError
from mnsim.graph.model import Graph
from mnsim.plan.least import needed_bytes, streamed_bytes
from mnsim.plan.model import Plan
from mnsim.plan.residency import INTERNAL, external_bytes, external_storages, find_plan
from mnsim.spec.records import Hardware, Policy

PRECISION = 128  # the search for less SRAM ends within this part of what it found


def advised(error: CapacityError, graph: Graph, hardware: Hardware, policy: Policy) -> CapacityError:
    """The error that `find_plan` raised, with its remedy."""
    if error.memory != INTERNAL:
        return error  # the plan is the same for any external memory: what it needs is enough
    roomy = replace(hardware, external_capacity_bytes=None)
    least = max(needed_bytes(graph, operator) for operator in graph.operators)
    plan = _try(graph, roomy, policy, least)
    how = f"give it at least {least} bytes"
    if plan is None:
        plan = _smallest(graph, roomy, policy, least)
        how = f"{plan.sram_capacity_bytes} bytes are enough"
    remedy = f"{how}: --sram='{plan.sram_capacity_bytes} B'"
    beyond = external_bytes(graph, external_storages(graph, plan))
    if hardware.external_capacity_bytes is not None and beyond > hardware.external_capacity_bytes:
        remedy += f", and external memory at least {beyond}: --set external_memory.capacity='{beyond} B'"
    return CapacityError(error.memory, error.needed_bytes, error.available_bytes, error.layer, error.beside, remedy)


def _try(graph: Graph, hardware: Hardware, policy: Policy, capacity: int) -> Plan | None:
    try:
        return find_plan(graph, replace(hardware, sram_capacity_bytes=capacity), policy)
    except CapacityError:
        return None


def _smallest(graph: Graph, hardware: Hardware, policy: Policy, low: int) -> Plan:
    """A plan for little SRAM, by bisection between too little and what every layer needs with all its maps in
    external memory.
    """
    high = max(streamed_bytes(graph, operator) for operator in graph.operators)
    found = find_plan(graph, replace(hardware, sram_capacity_bytes=high), policy)
    while found.sram_capacity_bytes - low > max(1, found.sram_capacity_bytes // PRECISION):
        middle = (low + found.sram_capacity_bytes) // 2
        plan = _try(graph, hardware, policy, middle)
        low, found = (middle, found) if plan is None else (low, plan)
    return found
