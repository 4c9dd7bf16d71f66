"""A machine's rates, as numbers or as arrays of many settings: all that times depend on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mnsim.operators.quantities import EFFICIENCIES, TIMED, Quantity, kind_column
from mnsim.spec.records import Hardware, OutsideMemory, own_rates

if TYPE_CHECKING:  # numpy costs start-up time that analysis does not pay
    import numpy as np
    from numpy.typing import NDArray

Number = TypeVar("Number", float, "NDArray[np.float64]")


@dataclass(frozen=True, slots=True)
class EngineRates(Generic[Number]):
    """What an engine's commands take: bytes/s or operations/s, and the seconds that each command takes
    besides, in the table's order.

    `efficiency` are shares of the throughput by kind of operation; a kind that is absent reaches all of
    it.
    """

    throughput: Number
    overheads: tuple[Number, ...]
    efficiency: Mapping[str, Number | float]

    def reached(self, kind: str) -> Number:
        """The throughput that a kind of operation reaches."""
        share = self.efficiency.get(kind)
        return self.throughput if share is None else self.throughput * share


@dataclass(frozen=True, slots=True)
class Rates(Generic[Number]):
    """All of a machine that a duration depends on, by engine. Each is a number, or an array with one
    number a setting.

    `columns` are the same by the table's columns, but for those of `further` memories. Make them with
    `make_rates`.
    """

    columns: Mapping[str, Number | float]
    engines: Mapping[str, EngineRates[Number]]
    further: tuple[OutsideMemory, ...] = ()


def make_rates(columns: Mapping[str, Any], further: tuple[OutsideMemory, ...] = ()) -> Rates[Any]:
    """The rates that have these numbers, or arrays of one length, by the table's columns; other columns
    say nothing of times.

    `further` memories have buses, whose rates are numbers.
    """
    names = dict.fromkeys(quantity.part for quantity in TIMED)
    engines = {name: _engine(tuple(quantity for quantity in TIMED if quantity.part == name), columns) for name in names}
    engines |= {each.bus: EngineRates(each.bandwidth_bytes_per_s, (each.latency_s,), {}) for each in further}
    return Rates(columns, engines, further)


def _engine(quantities: tuple[Quantity, ...], columns: Mapping[str, Any]) -> EngineRates[Any]:
    (throughput,) = (columns[quantity.column] for quantity in quantities if quantity.role == "throughput")
    overheads = tuple(columns[quantity.column] for quantity in quantities if quantity.role == "overhead")
    shares = {
        kind: columns[kind_column(quantity, kind)]
        for quantity in quantities
        if quantity in EFFICIENCIES
        for kind in quantity.kinds
        if kind_column(quantity, kind) in columns
    }
    return EngineRates(throughput, overheads, shares)


def rates_of(hardware: Hardware) -> Rates[float]:
    """The rates of a piece of hardware."""
    return make_rates(own_rates(hardware), hardware.further)
