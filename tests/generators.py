"""Random layers and networks for hypothesis."""

from collections.abc import Sequence
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from mnsim.errors import ShapeError
from mnsim.graph.build import build_graph
from mnsim.graph.model import Graph
from mnsim.operators import table
from mnsim.operators.shapes import Shape
from mnsim.spec.records import DTYPES, Dtype, Layer, Network
from tests.helpers import layer

FILTERED, RENAMES, IN_PLACE = ("conv", "depthwise", "dense"), ("concat", "flatten"), (*table.ACTIVATIONS, "batch_norm", "softmax")
ACTIVATIONS = ("none", "none", *table.ACTIVATIONS)
KINDS = ("conv", "conv", "conv", "depthwise", "dense", "max_pool", "avg_pool", "global_avg_pool", "global_max_pool", "add", *IN_PLACE)


@st.composite
def windows(draw: st.DrawFn, beyond: int) -> dict[str, Any]:
    """Windows with padding of up to `beyond` - 1 rows and columns more than their extent."""
    kernel, stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 3))), draw(st.tuples(st.integers(1, 3), st.integers(1, 2)))
    pads = tuple(draw(st.integers(0, extent - 1 + beyond)) for extent in (kernel[0], kernel[0], kernel[1], kernel[1]))
    return {"kernel": kernel, "stride": stride, "padding": draw(st.sampled_from(["same", "valid", pads]))}


@st.composite
def small_layers(draw: st.DrawFn, name: str, kind: str, inputs: Sequence[str], shape: Shape) -> Layer:
    """A layer on inputs of this shape: an addition or concat takes all of them, the others the first."""
    fields: dict[str, Any] = {}
    if kind in FILTERED:
        fields |= {"bias": draw(st.booleans()), "batch_norm": draw(st.sampled_from(["none", "folded", "unfolded"]))}
    if kind in (*FILTERED, "add"):
        fields |= {"activation": draw(st.sampled_from(ACTIVATIONS))}
    if kind in ("conv", "depthwise", "max_pool", "avg_pool"):
        fields |= draw(windows(beyond=0 if kind.endswith("pool") else draw(st.sampled_from([0, 0, 3]))))
    if kind == "conv":
        groups = draw(st.sampled_from([size for size in range(1, shape[2] + 1) if shape[2] % size == 0]))
        fields |= {"groups": groups, "channels": groups * draw(st.integers(1, max(1, 6 // groups)))}
    if kind in ("dense", "depthwise"):
        fields |= {"channels": draw(st.integers(1, 6))} if kind == "dense" else {"multiplier": draw(st.integers(1, 2))}
    return layer(name, kind, *(inputs if kind in ("add", "concat") else inputs[:1]), **fields)


@st.composite
def networks(draw: st.DrawFn, dtypes: Sequence[Dtype] = DTYPES) -> Graph:
    """Up to 7 layers in a chain with branches."""
    shape, dtype = draw(st.tuples(st.integers(1, 7), st.integers(1, 4), st.integers(1, 6))), draw(st.sampled_from(dtypes))
    graph, shapes = None, {"input": shape}
    layers: tuple[Layer, ...] = ()
    for number in range(draw(st.integers(1, 7))):
        kind, source = draw(st.sampled_from([*KINDS, *RENAMES, "concat"])), draw(st.sampled_from([*shapes][-3:] if layers else ["input"]))
        same = slice(2 if kind == "concat" else 3)
        peers = [name for name in shapes if shapes[name][same] == shapes[source][same]]
        inputs = [source, *draw(st.lists(st.sampled_from(peers), min_size=1, max_size=2))]
        added = (*layers, draw(small_layers(f"{kind}{number}", kind, inputs, shapes[source])))
        try:
            graph, layers = build_graph(Network("test", "", "", shape, 1, added), dtype=dtype), added
        except ShapeError:
            continue  # a kernel that does not fit
        shapes = {each.name: each.shape for each in graph.maps}
    return graph or reject()
