"""The graph: feature maps and the operators between them, with every shape known and every operation counted."""

from dataclasses import dataclass
from fractions import Fraction

Shape = tuple[int, int, int]  # height, width, channels
Pair = tuple[int, int]

ELEMENT_BYTES = {"int8": 1, "float16": 2, "float32": 4}
BIAS_BYTES = 4  # one channel's bias, in every dtype; also one number of an unfolded batch norm
PARTIAL_SUM_BYTES = 4  # one element of an output whose input channels are split


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """The tensor between layers, height x width x channels (HWC), `element_bytes` bytes an element."""

    index: int
    name: str
    shape: Shape
    element_bytes: int

    @property
    def size_bytes(self) -> int:
        height, width, channels = self.shape
        return height * width * channels * self.element_bytes


@dataclass(frozen=True, slots=True)
class Window:
    """The kernel's extent, its stride, and the padding in rows and columns: (top, bottom, left, right)."""

    kernel: Pair
    stride: Pair
    padding: tuple[int, int, int, int]
    rule: str = "explicit"  # same, valid or explicit: how the padding came about


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator with what runs in place on its output (batch norm, activation): a row of every report.

    `kind` is its key in the operator table, `label` what people call it (a 1 x 1 convolution is pointwise). `inputs` and
    `output` index the graph's feature maps. `groups` is C for operators that treat channels one by one, 1 for those that need
    all of them. `vector_ops` counts operations by name; `parameters` are the trainable ones; `filter_bytes` and `bias_bytes` are
    the store that inference reads, with batch norm folded where it is. `copied` are those inputs of a concat or flatten that
    could not be given their place in the output. `base_channels` are the file's output channels, before alpha;
    `turn` is 1 in the first turn of a repeat.
    """

    index: int
    name: str
    kind: str
    label: str
    inputs: tuple[int, ...]
    output: int
    window: Window | None
    groups: int
    macs: int
    vector_ops: tuple[tuple[str, int], ...]
    parameters: int
    filter_bytes: int
    bias_bytes: int
    copied: tuple[int, ...] = ()
    base_channels: int | None = None
    turn: int = 1

    @property
    def weight_bytes(self) -> int:
        return self.filter_bytes + self.bias_bytes


@dataclass(frozen=True, slots=True)
class Storage:
    """Bytes with a lifetime: `root` is the map that fills it, `first` and `last` the operators that use it first and last."""

    index: int
    root: int
    size_bytes: int
    members: tuple[int, ...]
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a map lies: in which storage, from which byte of each of its pixels on."""

    storage: int
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class Graph:
    """A network at one alpha, rho and dtype. Map 0 is the network's input; operators are in an order that can run."""

    name: str
    alpha: Fraction
    rho: Fraction
    min_depth: int
    dtype: str
    maps: tuple[FeatureMap, ...]
    operators: tuple[Operator, ...]
    outputs: tuple[int, ...]  # the maps that no operator reads
    storages: tuple[Storage, ...]
    slots: tuple[Slot, ...]  # one for each map
    taken_out: tuple[str, ...] = ()  # layers that do nothing at inference
