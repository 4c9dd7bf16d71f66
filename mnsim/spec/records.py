"""What the specifications become: frozen records, with defaults applied, repeats written out and units
gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from mnsim.errors import Location
from mnsim.operators.quantities import ENERGIES, TIMED, Quantity, kind_column
from mnsim.operators.shapes import Padding, Pair

Dtype = Literal["int8", "float16", "float32"]
Policy = Literal["serial", "layerwise", "overlap"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer as the file gives it, before multipliers: `kind` is a key of the operator table, None
    means not applicable.

    `channels` are output channels, `scaled` says whether alpha applies to them (None: to all but the
    classifier), `padding` is same, valid or (top, bottom, left, right), `batch_norm` is none, folded or
    unfolded. `turn` counts the turns of the repeats that the layer stands in: 1 in the first turn of all
    of them.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    location: Location
    channels: int | None = None
    scaled: bool | None = None
    kernel: Pair | None = None
    stride: Pair | None = None
    padding: Padding = "valid"
    groups: int = 1
    multiplier: int = 1
    bias: bool = False
    batch_norm: str = "none"
    activation: str = "none"
    turn: int = 1


@dataclass(frozen=True, slots=True)
class Network:
    """A network: `input` is (height, width, channels), the layers are in the order in which they run.

    `taken_out` are the names of layers that do nothing at inference: they are not among the layers.
    """

    name: str
    title: str
    source: str
    input: tuple[int, int, int]
    min_depth: int
    layers: tuple[Layer, ...]
    taken_out: tuple[str, ...] = ()


def contents(network: Network) -> Network:
    """The network without what no result depends on: where it was written, and what it is called beside
    its name.
    """
    nowhere = Location("")
    layers = tuple(replace(layer, location=nowhere) for layer in network.layers)
    return replace(network, title="", source="", layers=layers, taken_out=())


@dataclass(frozen=True, slots=True)
class Engine:
    """A compute unit: peak operations per second, seconds to launch a command, share of the peak by kind
    of operation.
    """

    throughput_per_s: float
    launch_overhead_s: float = 0.0
    efficiency: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Energies:
    """Joules for a byte read or written in each memory, and for an operation of each unit (2 a MAC)."""

    external_j_per_byte: float
    sram_j_per_byte: float
    matrix_j_per_op: float
    vector_j_per_op: float


SRAM, EXTERNAL = "sram", "external"  # the memories that every machine has, and where planning puts everything
BUS, MATRIX, VECTOR = "bus", "matrix", "vector"  # the engines: the bus between the two memories, and the units


@dataclass(frozen=True, slots=True)
class OutsideMemory:
    """A further memory outside of the chip, on a bus of its own between it and the SRAM; a capacity of
    None means enough.

    `j_per_byte` is None where the file does not say it.
    """

    name: str
    bus: str
    bandwidth_bytes_per_s: float
    latency_s: float = 0.0
    capacity_bytes: int | None = None
    j_per_byte: float | None = None


@dataclass(frozen=True, slots=True)
class MemorySpec:
    """A memory's size (None: enough) and the bus between it and the SRAM; the SRAM itself has none."""

    capacity_bytes: int | None
    bus: str | None


@dataclass(frozen=True, slots=True)
class Hardware:
    """An accelerator; `external_capacity_bytes` None means enough. `fused` operations are free in the
    matrix unit's output stage.

    `energies` are None where the file does not say them. `more` are the quantities of the table that have
    no field here, by column, `further` memories beside the two that every machine has.
    """

    name: str
    title: str
    external_kind: str
    external_capacity_bytes: int | None
    external_latency_s: float
    bus_bandwidth_bytes_per_s: float
    sram_capacity_bytes: int
    matrix: Engine
    vector: Engine
    fused: tuple[str, ...] = ()
    energies: Energies | None = None
    more: tuple[tuple[str, float], ...] = ()
    further: tuple[OutsideMemory, ...] = ()


def memories_of(hardware: Hardware) -> dict[str, MemorySpec]:
    """All memories of a piece of hardware, by name, the SRAM first."""
    return {
        SRAM: MemorySpec(hardware.sram_capacity_bytes, None),
        EXTERNAL: MemorySpec(hardware.external_capacity_bytes, BUS),
        **{each.name: MemorySpec(each.capacity_bytes, each.bus) for each in hardware.further},
    }


def energies_of(hardware: Hardware) -> dict[str, float]:
    """Joules for a byte read or written in each memory, by name; none where the file does not say them."""
    if hardware.energies is None:
        return {}
    own = {SRAM: hardware.energies.sram_j_per_byte, EXTERNAL: hardware.energies.external_j_per_byte}
    return own | {each.name: each.j_per_byte for each in hardware.further if each.j_per_byte is not None}


def bus_of(memory: str) -> str:
    """What the bus of a further memory is called."""
    return f"{memory}_{BUS}"


def make_hardware(amounts: Mapping[Quantity, Any], **words: Any) -> Hardware:
    """The hardware with these amounts, each in its field, and these words. Energies are given all or not
    at all.
    """
    fields: dict[str, dict[str, Any]] = {"": {}, "matrix": {}, "vector": {}, "energies": {}}
    more = []
    for quantity, amount in amounts.items():
        record, _, name = quantity.field.rpartition(".")
        if name:
            fields[record][name] = amount
        else:
            more.append((quantity.column, amount))
    energies = None if None in fields["energies"].values() else Energies(**fields["energies"])
    matrix, vector = Engine(**fields["matrix"]), Engine(**fields["vector"])
    return Hardware(**words, **fields[""], matrix=matrix, vector=vector, energies=energies, more=tuple(more))


def amount_of(hardware: Hardware, quantity: Quantity) -> Any:
    """How much the hardware has of a quantity; None where it does not say. An efficiency is pairs of a
    kind and its share.
    """
    if not quantity.field:
        return dict(hardware.more).get(quantity.column, 0.0 if quantity.role == "overhead" else None)
    found: Any = hardware
    for name in quantity.field.split("."):
        found = None if found is None else getattr(found, name)
    return found


def with_amount(hardware: Hardware, quantity: Quantity, amount: Any) -> Hardware:
    """The hardware with another amount of a quantity."""
    record, _, name = quantity.field.rpartition(".")
    if not name:
        return replace(hardware, more=tuple({**dict(hardware.more), quantity.column: amount}.items()))
    if record:
        return replace(hardware, **{record: replace(getattr(hardware, record), **{name: amount})})
    return replace(hardware, **{name: amount})


def own_rates(hardware: Hardware) -> dict[str, float]:
    """The hardware's rates, efficiencies and energies, by column; of efficiencies and energies those that
    it says.
    """
    rates: dict[str, float] = {}
    for quantity in (*TIMED, *ENERGIES):
        amount = amount_of(hardware, quantity)
        if quantity.kinds:
            rates |= {kind_column(quantity, kind): share for kind, share in amount}
        elif amount is not None:
            rates[quantity.column] = amount
    return rates
