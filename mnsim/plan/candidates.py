"""The few plans that a clock may choose from, all found without one.

The first is the one that moves the fewest bytes. Others are the same search in other styles, the plan
without fusion, that of policy serial, and those for a little less SRAM. So none of these can be faster
than the choice.
"""

from collections.abc import Iterator
from dataclasses import replace

from mnsim.errors import CapacityError
from mnsim.graph.model import Graph
from mnsim.plan.model import Plan
from mnsim.plan.residency import STYLES, make_plan, planned
from mnsim.plan.search import Search, fresh, make_search, of_policy, of_size
from mnsim.plan.segments import Style
from mnsim.spec.records import Hardware, Policy

RUNGS = 16  # sizes of SRAM on the ladder between one power of two and the next
LESS = 2  # rungs below the SRAM's own size that have candidates of their own


def candidates(graph: Graph, hardware: Hardware, policy: Policy, first: Plan | None = None) -> Iterator[Plan]:
    """The plans for a policy, the first of which `make_plan` gives, unless it is there already. Raises
    CapacityError where there is none.
    """
    found: list[Plan] = []
    for plan in _all(graph, hardware, policy, first):
        own = replace(plan, policy=policy)
        if own not in found:
            found.append(own)
            yield own


def _all(graph: Graph, hardware: Hardware, policy: Policy, first: Plan | None) -> Iterator[Plan]:
    yield first or make_plan(graph, hardware, policy)
    if policy == "serial":
        return
    search = make_search(graph, policy, hardware.sram_capacity_bytes, hardware.fused)
    if policy == "overlap":
        for style in STYLES[1:]:
            yield from _tried(fresh(search), hardware, style)
        yield from _tried(of_policy(search, "layerwise"), hardware)
    yield from _tried(of_policy(search, "serial"), hardware)
    for size in rungs_below(hardware.sram_capacity_bytes):
        yield from _tried(of_size(search, size), hardware)


def _tried(search: Search, hardware: Hardware, style: Style = STYLES[0]) -> Iterator[Plan]:
    """A plan that may not exist."""
    try:
        yield planned(search, hardware, style)
    except CapacityError:
        return


def rungs_below(capacity: int) -> list[int]:
    """The next sizes below a capacity on the ladder, in bytes, the largest first."""
    step = 1 << max(0, capacity.bit_length() - RUNGS.bit_length())
    first = (capacity - 1) // step * step
    return [size for size in range(first, max(0, first - LESS * step), -step) if size > 0]
