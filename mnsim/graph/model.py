"""The graph: feature maps and the operators between them, with every shape known and every operation
counted.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import prod

from mnsim.operators.shapes import Shape, Window

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
class WeightParts:
    """The weights of an operator, part by part.

    `filter_shape` is the filters' layout in memory: (C_out, k_h, k_w, C_in / groups), depthwise (k_h, k_w,
    C_out), fully connected (C_out, K); empty where there are none. `trained` names the parameters that
    each of the `channels` has beside filters: bias, gamma, beta. `planes` names the 4-byte numbers of a
    channel that inference reads, plane by plane in this order: bias (the operator's own, or what folding a
    batch norm leaves), scale and shift of a batch norm that is not folded.
    """

    filter_shape: tuple[int, ...] = ()
    element_bytes: int = 1
    channels: int = 0
    trained: tuple[str, ...] = ()
    planes: tuple[str, ...] = ()

    @property
    def filter_elements(self) -> int:
        return prod(self.filter_shape) if self.filter_shape else 0

    @property
    def filter_bytes(self) -> int:
        return self.filter_elements * self.element_bytes

    @property
    def bias_bytes(self) -> int:
        return len(self.planes) * BIAS_BYTES * self.channels

    @property
    def parameters(self) -> int:
        return self.filter_elements + len(self.trained) * self.channels

    @property
    def has_norm(self) -> bool:
        return "gamma" in self.trained

    @property
    def is_folded(self) -> bool:
        """Whether there is a batch norm that is folded into the filters and the bias."""
        return self.has_norm and "scale" not in self.planes


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator with what runs in place on its output (batch norm, activation): a row of every report.

    `kind` is its key in the operator table, `label` what people call it (a 1 x 1 convolution is
    pointwise). `inputs` and `output` index the graph's feature maps. `groups` is C for operators that
    treat channels one by one, 1 for those that need all of them. `vector_ops` counts operations by name.
    `copied` are those inputs of a concat or flatten that could not be given their place in the output.
    `spelled` are a concat's inputs as the network has them, where `inputs` are fewer and the same bytes.
    `base_channels` are the file's output channels, before alpha; `turn` is 1 in the first turn of a
    repeat.
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
    weights: WeightParts = WeightParts()
    activation: str = "none"
    copied: tuple[int, ...] = ()
    spelled: tuple[int, ...] = ()
    base_channels: int | None = None
    turn: int = 1

    @property
    def sources(self) -> tuple[int, ...]:
        """The inputs that the network names."""
        return self.spelled or self.inputs

    @property
    def parameters(self) -> int:
        """The trainable parameters."""
        return self.weights.parameters

    @property
    def filter_bytes(self) -> int:
        return self.weights.filter_bytes

    @property
    def bias_bytes(self) -> int:
        """Bytes of all numbers that each channel has beside its filters."""
        return self.weights.bias_bytes

    @property
    def weight_bytes(self) -> int:
        return self.weights.filter_bytes + self.weights.bias_bytes


@dataclass(frozen=True, slots=True)
class Storage:
    """Bytes with a lifetime: `root` is the map that fills it, `first` and `last` the operators that use it
    first and last.
    """

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
    """A network at one alpha, rho and dtype. Map 0 is the network's input; operators are in an order that
    can run.
    """

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
