"""What the specifications become: frozen records, with defaults applied, repeats written out and units gone."""

from dataclasses import dataclass, replace

from mnsim.errors import Location
from mnsim.operators.shapes import Padding, Pair

DTYPES = ("int8", "float16", "float32")
POLICIES = ("overlap", "serial")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer as the file gives it, before multipliers: `kind` is a key of the operator table, None means not applicable.

    `channels` are output channels, `scaled` says whether alpha applies to them (None: to all but the classifier), `padding` is
    same, valid or (top, bottom, left, right), `batch_norm` is none, folded or unfolded. `turn` counts the turns of the repeats that
    the layer stands in: 1 in the first turn of all of them.
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
    """The network without what no result depends on: where it was written, and what it is called beside its name."""
    nowhere = Location("")
    layers = tuple(replace(layer, location=nowhere) for layer in network.layers)
    return replace(network, title="", source="", layers=layers, taken_out=())


@dataclass(frozen=True, slots=True)
class Engine:
    """A compute unit: peak operations per second, seconds to launch a command, share of the peak by kind of operation."""

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


@dataclass(frozen=True, slots=True)
class Hardware:
    """An accelerator; `external_capacity_bytes` None means enough. `fused` operations are free in the matrix unit's output stage.

    `energies` are None where the file does not say them.
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
