"""A network file's entries become its layers: defaults applied, blocks and repeats written out, names
given.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from mnsim.errors import Location, MnsimError, SpecError, did_you_mean, raise_all, shown
from mnsim.spec.document import Document, ValuePath
from mnsim.spec.network import TAKEN_OUT, Defaults, GroupSpec, NetworkSpec
from mnsim.spec.records import Layer, Network

INPUT = "input"  # the name of the network's input
MAX_LAYERS = 10_000
MOST_HINTS = 100  # unknown names for which similar ones are looked for
MOST_NAMED = 6  # layers of a cycle in a message
_PREFIXES = {
    "depthwise": "dw", "dense": "fc", "max_pool": "pool", "avg_pool": "pool", "global_avg_pool": "pool", "global_max_pool": "pool",
}  # fmt: skip
_COPIED = ("channels", "scaled", "kernel", "stride", "padding", "groups", "multiplier")

Scope = tuple[tuple[ValuePath, int], ...]  # the repeats around a layer: which one, which turn of it


class _Draft(NamedTuple):
    """A layer before names: `written` is the file's name for it ('' for none), `reads` the names of its
    inputs as written.
    """

    layer: Layer
    path: ValuePath
    scope: Scope
    written: str
    reads: tuple[tuple[ValuePath, str], ...]


def expand(spec: NetworkSpec, document: Document) -> Network:
    """The network's layers in order. Raises SpecError S201 (duplicate name), S202 (unknown input), S203
    (cycle or order).
    """
    drafts = []
    for draft in _drafts(spec.layers, ("layers",), (), spec.defaults, document):
        drafts.append(draft)
        if len(drafts) > MAX_LAYERS:
            place = document.locate((*draft.path, "repeat"))
            raise SpecError("S006", f"more than {MAX_LAYERS:,} layers", place, "repeat fewer layers")
    names = _names(drafts)
    problems = _duplicates(drafts, names, document)
    layers = _connect(drafts, names, document, problems)
    if problems:
        raise_all(problems)
    kept, taken_out = _take_out(layers)
    if not kept:
        message = f"nothing is left of the layers: {' and '.join(TAKEN_OUT)} do nothing at inference"
        raise SpecError("S106", message, document.locate(("layers",)), "add a layer that computes something")
    return Network(spec.name, spec.title, spec.source, spec.input, spec.min_depth, kept, taken_out)


def _take_out(layers: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """The layers that do something at inference, and the names of the others, whose readers read their inputs
    instead.
    """
    stands_for: dict[str, str] = {}
    kept = []
    for layer in layers:
        inputs = tuple(stands_for.get(name, name) for name in layer.inputs)
        if layer.kind in TAKEN_OUT:
            stands_for[layer.name] = inputs[0]
        else:
            kept.append(layer if inputs == layer.inputs else replace(layer, inputs=inputs))
    return tuple(kept), tuple(stands_for)


def _drafts(items: list[Any], path: ValuePath, scope: Scope, defaults: Defaults, document: Document) -> Iterator[_Draft]:
    """The layers of a list of entries, blocks and repeats written out."""
    for index, item in enumerate(items):
        here = (*path, index)
        for turn in range(1, item.repeat + 1):
            inner = (*scope, (here, turn)) if item.repeat > 1 else scope
            if isinstance(item, GroupSpec):
                yield from _drafts(item.layers, (*here, "layers"), inner, defaults, document)
            else:
                yield from _layers_of(item, here, inner, defaults, document.locate(here))


def _layers_of(item: Any, path: ValuePath, scope: Scope, defaults: Defaults, location: Location) -> Iterator[_Draft]:
    """The layer that an entry stands for, or the two of a separable block (its name is that of the
    second).
    """
    fields = {name: value for name in _COPIED if (value := getattr(item, name, None)) is not None}
    layer = Layer("", item.kind, (), location, **(fields | _finish(item, defaults)))
    if layer.kernel is not None and layer.stride is None:
        layer = replace(layer, stride=layer.kernel)  # a pooling's
    name = item.name or ""
    if hasattr(item, "inputs"):
        reads: tuple[tuple[ValuePath, str], ...] = tuple(((*path, item.kind, place), word) for place, word in enumerate(item.inputs))
    else:
        reads = (((*path, "input"), item.input),) if item.input else ()
    if item.kind == "separable":
        depthwise = replace(layer, kind="depthwise", channels=None, scaled=None)
        yield _Draft(depthwise, path, scope, name and f"{name}_dw", reads)
        layer, reads = replace(layer, kind="conv", kernel=(1, 1), stride=(1, 1), padding="same"), ()
    yield _Draft(layer, path, scope, name, reads)


def _finish(item: Any, defaults: Defaults) -> dict[str, Any]:
    """Bias, batch norm and activation: what the layer says, else the defaults; a batch norm makes the bias
    needless.
    """
    if not hasattr(item, "activation"):
        return {}
    if not hasattr(item, "batch_norm"):
        return {"activation": item.activation}
    batch_norm = defaults.batch_norm if item.batch_norm is None else item.batch_norm
    activation = defaults.activation if item.activation is None else item.activation
    word = "unfolded" if batch_norm == "unfolded" else "folded" if batch_norm else "none"
    bias = word == "none" if item.bias is None else item.bias
    return {"bias": bias, "batch_norm": word, "activation": activation}


def _names(drafts: list[_Draft]) -> list[str]:
    """Every layer's name: as written, with the turns of its repeats; else a prefix and the first free
    number.
    """
    names = ["_".join([draft.written, *(str(turn) for _, turn in draft.scope)]) if draft.written else "" for draft in drafts]
    taken, counts = set(names), dict[str, int]()
    for index, draft in enumerate(drafts):
        kind = draft.layer.kind
        prefix = "pw" if kind == "conv" and draft.layer.kernel == (1, 1) else _PREFIXES.get(kind, kind)
        while not names[index]:
            counts[prefix] = counts.get(prefix, 0) + 1
            automatic = f"{prefix}{counts[prefix]}"
            names[index] = automatic if automatic not in taken else ""
    return names


def _duplicates(drafts: list[_Draft], names: list[str], document: Document) -> list[MnsimError]:
    first: dict[str, str] = {INPUT: "the network's input"}
    problems: list[MnsimError] = []
    for draft, name in zip(drafts, names, strict=True):
        if name in first:
            place = document.locate((*draft.path, "name"))
            problems.append(SpecError("S201", f"the name '{name}' is taken by {first[name]}", place, "give this layer another name"))
        first.setdefault(name, f"the layer in line {draft.layer.location.line}")
    return problems


def _connect(drafts: list[_Draft], names: list[str], document: Document, problems: list[MnsimError]) -> tuple[Layer, ...]:
    """The layers with their names and the names of their inputs. Problems are added for inputs that are not
    there.
    """
    order = {name: index for index, name in reversed(list(enumerate(names)))}
    scoped = {(draft.written, draft.scope): name for draft, name in zip(drafts, names, strict=True) if draft.written}
    wanted = [tuple(_resolve(word, draft.scope, scoped, order) for _, word in draft.reads) for draft in drafts]
    edges = {
        name: tuple(found for found in reads if found) or (tuple(names[index - 1:index]) if index and not drafts[index].reads else ())
        for index, (name, reads) in enumerate(zip(names, wanted, strict=True))
    }  # fmt: skip
    layers = []
    for index, (draft, found) in enumerate(zip(drafts, wanted, strict=True)):
        for (path, word), name in zip(draft.reads, found, strict=True):
            if name is None:
                near = did_you_mean(word, [*names[:index], INPUT]) if len(problems) < MOST_HINTS else ""
                remedy = near or "name a layer above this one"
                problems.append(SpecError("S202", f"no layer is called {shown(word)}", document.locate(path), remedy))
            elif name != INPUT and order[name] >= index:
                problems.append(_out_of_order(names[index], name, edges, document.locate(path)))
        inputs = tuple(name for name in found if name) or (names[index - 1] if index else INPUT,)
        layers.append(replace(draft.layer, name=names[index], inputs=inputs, turn=max((turn for _, turn in draft.scope), default=1)))
    return tuple(layers)


def _resolve(word: str, scope: Scope, scoped: Mapping[tuple[str, Scope], str], order: Mapping[str, int]) -> str | None:
    """The full name behind a word: the layer of that name in the same turn of the nearest repeat, else a full
    name.
    """
    for depth in range(len(scope), -1, -1):
        if (word, scope[:depth]) in scoped:
            return scoped[word, scope[:depth]]
    return word if word in order or word == INPUT else None


def _out_of_order(reader: str, read: str, edges: Mapping[str, tuple[str, ...]], place: Location) -> SpecError:
    """The error for a layer that reads a later one (or itself): a cycle if the later one depends on it,
    else a matter of order.
    """
    trail = _trail(read, reader, edges)
    if trail:
        named = [f"'{name}'" for name in (reader, *trail)]
        if len(named) > MOST_NAMED:
            named[MOST_NAMED // 2 : 1 - MOST_NAMED // 2] = [f"... ({len(named) - MOST_NAMED + 1} more) ..."]
        message = "a cycle: " + " reads ".join(named)
        return SpecError("S203", message, place, "a network must not feed back: read an earlier layer")
    return SpecError("S203", f"'{read}' stands below '{reader}', which reads it", place, f"move '{read}' above '{reader}'")


def _trail(start: str, goal: str, edges: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The layers from start to goal, each a reader of the next, both ends included; empty without a way."""
    came_from = {start: ""}
    queue = [start]
    for name in queue:
        if name == goal:
            trail = [name]
            while came_from[trail[-1]]:
                trail.append(came_from[trail[-1]])
            return trail[::-1]
        for read in edges.get(name, ()):
            if read not in came_from:
                came_from[read] = name
                queue.append(read)
    return []
