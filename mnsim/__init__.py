"""mnsim: how fast a convolutional network runs on an accelerator that does not exist yet.

The public names, loaded when they are first used, so that a command pays only for what it needs.
"""

from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnsim.analysis.cost import Estimate, estimate
    from mnsim.clocks.simulate import simulate
    from mnsim.clocks.timeline import Timeline
    from mnsim.errors import CapacityError, MnsimError, ProgramError, ShapeError, SpecError
    from mnsim.explore.sweep import Means, sweep
    from mnsim.graph.build import build_graph
    from mnsim.graph.model import Graph
    from mnsim.lowering.lower import lower
    from mnsim.pipeline import analyze
    from mnsim.plan.model import Plan
    from mnsim.plan.residency import make_plan
    from mnsim.program.check import check
    from mnsim.program.model import Program
    from mnsim.report.plain import as_dict
    from mnsim.spec.load import load_hardware, load_network
    from mnsim.spec.records import Hardware, Network

__version__ = "0.1.0"

_HOMES = {
    "analyze": "mnsim.pipeline",
    "load_network": "mnsim.spec.load",
    "load_hardware": "mnsim.spec.load",
    "build_graph": "mnsim.graph.build",
    "make_plan": "mnsim.plan.residency",
    "lower": "mnsim.lowering.lower",
    "check": "mnsim.program.check",
    "estimate": "mnsim.analysis.cost",
    "simulate": "mnsim.clocks.simulate",
    "sweep": "mnsim.explore.sweep",
    "Means": "mnsim.explore.sweep",
    "as_dict": "mnsim.report.plain",
    "Network": "mnsim.spec.records",
    "Hardware": "mnsim.spec.records",
    "Graph": "mnsim.graph.model",
    "Plan": "mnsim.plan.model",
    "Program": "mnsim.program.model",
    "Timeline": "mnsim.clocks.timeline",
    "Estimate": "mnsim.analysis.cost",
    "MnsimError": "mnsim.errors",
    "SpecError": "mnsim.errors",
    "ShapeError": "mnsim.errors",
    "CapacityError": "mnsim.errors",
    "ProgramError": "mnsim.errors",
}

__all__ = [
    "CapacityError", "Estimate", "Graph", "Hardware", "Means", "MnsimError", "Network", "Plan", "Program", "ProgramError",
    "ShapeError", "SpecError", "Timeline", "analyze", "as_dict", "build_graph", "check", "estimate", "load_hardware", "load_network",
    "lower", "make_plan", "simulate", "sweep",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        found = getattr(import_module(_HOMES[name]), name)
        if isinstance(found, FunctionType):
            from mnsim.public import public

            found = public(found)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'mnsim' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
