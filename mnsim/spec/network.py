"""The network file: what its YAML may say. One class an operator; those that need no value come from the
operator table.

A layer is a mapping with one operator's key, whose value is what the operator needs most (the channels of
a convolution, the window of a pooling), and options beside it: `{conv: 32, kernel: 3, stride: 2}`. An
operator that needs nothing is a word.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, create_model

from mnsim.errors import did_you_mean, shown
from mnsim.operators.table import RULES
from mnsim.spec.fields import Activation, BatchNorm, Count, Extents, Flag, Name, Names, PaddingField, Rate, Shape, Word, refuse, unsaid


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class LayerSpec(_Strict):
    """What every layer may say: its name, the layer whose output it reads (default: the one above), how
    often it stands.
    """

    kind: ClassVar[str]
    name: Name = unsaid()
    input: Name = unsaid()
    repeat: Count = 1


class _Window(LayerSpec):
    stride: Extents = (1, 1)
    padding: PaddingField = "same"


class _Trained(_Window):
    bias: Flag = unsaid()
    batch_norm: BatchNorm = unsaid()
    activation: Activation = unsaid()


class ConvSpec(_Trained):
    """A convolution with this many filters; bias by default unless batch norm follows."""

    kind = "conv"
    channels: Count = Field(alias="conv")
    kernel: Extents
    groups: Count = 1
    scaled: Flag = unsaid()


class DepthwiseSpec(_Trained):
    """A depthwise convolution: this kernel on each channel by itself, `multiplier` outputs a channel."""

    kind = "depthwise"
    kernel: Extents = Field(alias="depthwise")
    multiplier: Count = 1


class SeparableSpec(_Trained):
    """A depthwise-separable block: a depthwise convolution, then a pointwise one with this many filters."""

    kind = "separable"
    channels: Count = Field(alias="separable")
    kernel: Extents = (3, 3)
    scaled: Flag = unsaid()


class DenseSpec(LayerSpec):
    """A fully connected layer with this many outputs; a feature map is flattened first. The defaults do
    not apply to it.
    """

    kind = "dense"
    channels: Count = Field(alias="dense")
    bias: Flag = True
    batch_norm: BatchNorm = False
    activation: Activation = "none"
    scaled: Flag = unsaid()


class _Pool(LayerSpec):
    stride: Extents = unsaid()
    padding: PaddingField = "valid"


class MaxPoolSpec(_Pool):
    """Max pooling over this window; the stride is the window unless said."""

    kind = "max_pool"
    kernel: Extents = Field(alias="max_pool")


class AvgPoolSpec(_Pool):
    """Average pooling over this window; the stride is the window unless said."""

    kind = "avg_pool"
    kernel: Extents = Field(alias="avg_pool")


class DropoutSpec(LayerSpec):
    """Nothing at inference: taken out when the network is read. The value is the rate in training, which
    may be left out.
    """

    kind = "dropout"
    nothing: Rate = Field(alias="dropout")


class IdentitySpec(LayerSpec):
    """Nothing: taken out when the network is read."""

    kind = "identity"
    nothing: None = Field(alias="identity")


class _Join(_Strict):
    kind: ClassVar[str]
    name: Name = unsaid()
    repeat: Count = 1


class AddSpec(_Join):
    """The sum of two or more layers of one shape."""

    kind = "add"
    inputs: Names = Field(alias="add")
    activation: Activation = "none"


class ConcatSpec(_Join):
    """The channels of two or more layers one after another."""

    kind = "concat"
    inputs: Names = Field(alias="concat")


def _word_spec(kind: str, about: str) -> type[LayerSpec]:
    """The class of an operator that needs no value."""
    name = "".join(part.title() for part in kind.split("_")) + "Spec"
    spec = create_model(name, __base__=LayerSpec, __doc__=about, __module__=__name__, nothing=(type(None), Field(alias=kind)))
    spec.kind = kind
    return spec


_SPECS: tuple[type[LayerSpec] | type[_Join], ...] = (
    ConvSpec, DepthwiseSpec, SeparableSpec, DenseSpec, MaxPoolSpec, AvgPoolSpec,
    *(_word_spec(kind, rule.about) for kind, rule in RULES.items() if rule.is_word),
    AddSpec, ConcatSpec, DropoutSpec, IdentitySpec,
)  # fmt: skip
OPERATORS = {spec.kind: spec for spec in _SPECS}
TAKEN_OUT = ("dropout", "identity")  # operators that do nothing at inference
WORDS = tuple(kind for kind, spec in OPERATORS.items() if "nothing" in spec.model_fields)
GROUP = "layers"


def _tag(value: Any) -> str:
    """The union's tag; in angle brackets, so that it cannot be taken for a key of the file."""
    kinds = value if isinstance(value, dict) else (value.kind,)
    return next(f"<{kind}>" for kind in kinds if kind in OPERATORS or kind == GROUP)


def _recognise(item: Any) -> Any:
    """A layer's mapping, with the one operator that it has; a lone word is an operator that needs nothing."""
    if isinstance(item, str) and item in WORDS:
        return {item: None}
    if isinstance(item, str):
        remedy = f"write {{{item}: ...}} with its value" if item in OPERATORS else _instead(item, OPERATORS)
        fault = "needs a value" if item in OPERATORS else "is not an operator"
        raise refuse("S106", f"{shown(item)} {fault}", remedy)
    if not isinstance(item, dict):
        raise refuse("S103", f"a layer must be a mapping or a word, got {shown(item)}", "write it like {conv: 32, kernel: 3} or softmax")
    if GROUP in item:
        return item
    found = [key for key in item if key in OPERATORS and key != "batch_norm"]
    found = found or [key for key in item if key == "batch_norm"]  # beside another operator it is that one's option
    if len(found) == 1:
        return item if next(iter(item)) == found[0] else {found[0]: item[found[0]], **item}
    if found:
        raise refuse("S106", f"two operators in one layer: {' and '.join(found)}", "make them two layers", found[1])
    unknown = [key for key in item if key not in ConvSpec.model_fields]
    word = unknown[0] if unknown else ""
    message = f"{shown(word)} is not an operator" if word else "this layer has no operator"
    raise refuse("S106", message, _instead(word, (*OPERATORS, GROUP)), word)


def _instead(word: str, known: Iterable[str]) -> str:
    """What to write for an unknown operator."""
    from mnsim.spec.foreign import operator_instead  # a table that only errors need

    return operator_instead(word) or did_you_mean(word, known)


class GroupSpec(_Strict):
    """Layers that stand together `repeat` times."""

    kind: ClassVar[str] = GROUP
    repeat: Count
    layers: list["LayerItem"] = Field(min_length=1)


if TYPE_CHECKING:
    LayerItem = Any
else:
    LayerItem = Annotated[
        Union[tuple(Annotated[spec, Tag(f"<{spec.kind}>")] for spec in (*OPERATORS.values(), GroupSpec))],  # noqa: UP007
        Discriminator(_tag),
        BeforeValidator(_recognise, json_schema_input_type=Union[(Literal[WORDS], *OPERATORS.values(), GroupSpec)]),
    ]


class Defaults(_Strict):
    """What convolutions get unless they say otherwise (fully connected layers do not)."""

    batch_norm: BatchNorm = False
    activation: Activation = "none"


class NetworkSpec(_Strict):
    """A convolutional network: its input and its layers, in the order in which they run."""

    name: Name
    title: Word = ""
    source: Word = ""
    input: Shape
    min_depth: Count = 8
    defaults: Defaults = Defaults()
    layers: list[LayerItem] = Field(min_length=1)
