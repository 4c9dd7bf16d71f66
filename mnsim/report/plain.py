"""Any result as plain data."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any

from mnsim.analysis.cost import Estimate
from mnsim.errors import Location, SpecError, shown
from mnsim.program.model import Program
from mnsim.report import records
from mnsim.report.programs import command_record, program_listing
from mnsim.report.records import Record
from mnsim.spec.records import Hardware


def as_dict(result: object) -> Record:
    """A result of the library as dictionaries, lists, numbers and strings, ready for JSON.

    Of an Estimate and a Program that is the JSON of `mnsim analyze` and `mnsim program`; of a Hardware its
    part of them; of a Network, Graph, Plan, Timeline (times in seconds, by the commands' ids) or what `check`
    finds, the fields by their names. Shapes are [height, width, channels]; address null is external; alpha
    and rho are numbers. Raises SpecError U009 for what is no result.
    """
    if isinstance(result, Estimate):
        return records.as_dict(result)
    if isinstance(result, Program):
        listing = program_listing(result)
        return {**listing.before, listing.name: [command_record(command) for command in result.commands], **listing.after}
    if isinstance(result, Hardware):
        return records.hardware_fields(result)
    if not type(result).__module__.startswith("mnsim.") or not (is_dataclass(result) or hasattr(result, "_fields")):
        what = shown(result) if isinstance(result, str | int | float) else f"a {type(result).__name__}"
        message = f"result must be what a function of mnsim gives, such as an Estimate or a Timeline, got {what}"
        raise SpecError("U009", message, Location("result", text=what, length=len(what)), "as_dict(mnsim.analyze('mobilenet_v1'))")
    plain: Record = _plain(result)
    return plain


def _plain(value: Any) -> Any:
    """Records by their fields, tuples as lists, fractions as numbers, without places in files."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value) if each.name != "location"}
    if hasattr(value, "_fields"):
        return {name: _plain(getattr(value, name)) for name in value._fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return float(value) if isinstance(value, Fraction) else value
