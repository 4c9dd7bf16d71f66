"""A YAML text as plain data in which every value knows its place.

YAML 1.2's core schema: `no` and `on` are words, `1e9` is a number, `0o17` is octal. Duplicate keys are
errors. Aliases are allowed, and so are YAML 1.1's merge keys (`<<: *anchor`), but the values that they
expand to are counted, so that a small text cannot become a large tree.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from mnsim.errors import Location, MnsimError, SpecError, raise_all, shown

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: slower, the same events
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

ValuePath = tuple[str | int, ...]

MAX_TEXT_BYTES = 1_000_000
MAX_VALUES = 50_000
MAX_DEPTH = 32

_PLAIN_TAG = "tag:yaml.org,2002:"  # which is written !!
_WORDS = dict.fromkeys(("", "~", "null", "Null", "NULL"))
_WORDS |= {word: word[0] in "tT" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_WORDS |= {sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")}
_WORDS |= {word: float("nan") for word in (".nan", ".NaN", ".NAN")}
_NUMBER = re.compile(r"(?P<int>[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a specification and the name that messages call it by."""

    name: str
    content: str
    lines: tuple[str, ...]

    def at(self, line: int, column: int, length: int = 1) -> Location:
        """The place at a 0-based line and column."""
        shown = self.lines[line] if line < len(self.lines) else ""
        return Location(self.name, line + 1, column + 1, shown, max(1, min(length, len(shown) - column)))

    def has(self, place: Location) -> bool:
        """Whether a place is in this text; a value from a setting has its place elsewhere."""
        return place.file == self.name and self.lines[place.line - 1 : place.line] == (place.text,)


def make_text(name: str, content: str) -> Text:
    """A text cut into lines where YAML cuts them."""
    lines = content.replace("\r\n", "\n")
    for other in "\r\x85\u2028\u2029":
        lines = lines.replace(other, "\n")
    return Text(name, content, tuple(lines.split("\n")))


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None) and the place of every key and value by its
    path.
    """

    text: Text
    data: Any
    values: Mapping[ValuePath, Location]
    keys: Mapping[ValuePath, Location]

    def locate(self, path: ValuePath) -> Location:
        """The value at the path, or the nearest value around it."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, self.text.at(0, 0))

    def locate_key(self, path: ValuePath) -> Location:
        """The key at the end of the path, or the value there when it has none."""
        return self.keys.get(path) or self.locate(path)


class WrittenFloat(float):
    """A number that no float holds, with its text: `-1e400` becomes an infinity, but is not `-.inf`; `1e-400`
    becomes 0.
    """

    def __new__(cls, text: str) -> "WrittenFloat":
        """The number that the text says."""
        number = super().__new__(cls, text)
        number.written = text
        return number

    written: str


class _Node:
    """One YAML node: a scalar's value, a list's items, a mapping's pairs in the order of the text, or the
    target of an alias.
    """

    __slots__ = ("closed", "is_list", "is_map", "is_plain", "items", "place", "target", "value")

    def __init__(self, place: Location, value: Any = None, is_list: bool = False, is_map: bool = False, is_plain: bool = False) -> None:
        self.place = place
        self.value = value
        self.items: list[_Node] = []
        self.is_list = is_list
        self.is_map = is_map
        self.is_plain = is_plain
        self.closed = not (is_list or is_map)
        self.target: _Node | None = None


_Pair = tuple[_Node, _Node]  # a key and its value


def read_document(text: Text) -> Document:
    """Parse one YAML document. Raises SpecError S003 (not YAML), S004 (empty), S005 (duplicate key), S006
    (too large).
    """
    document = read_value(text)
    if document.data is None:
        raise SpecError("S004", "the file is empty", document.locate(()), "start from a bundled one: `mnsim list` names them")
    return document


def read_value(text: Text) -> Document:
    """The same for a text that may be empty: its data is None then."""
    root = _compose(text)
    builder = _Builder()
    data = builder.build(root, ()) if root else None
    if builder.problems:
        raise_all(builder.problems)
    return Document(text, data, builder.values, builder.keys)


def _compose(text: Text, loader: Any = _Loader) -> _Node | None:
    """The tree of nodes, from the parser's events. Deep texts would overflow a recursion."""
    root: _Node | None = None
    stack: list[_Node] = []
    anchors: dict[str, _Node] = {}
    for event in _events(text, loader):
        place = text.at(event.start_mark.line, event.start_mark.column, _length(event))
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop().closed = True
            continue
        if isinstance(event, yaml.DocumentStartEvent):
            if root is not None:
                raise SpecError("S003", "a second document starts here", place, "keep one document a file")
            continue
        if isinstance(event, yaml.AliasEvent):
            node = _aliased(anchors, event.anchor or "", place)
        elif isinstance(event, yaml.NodeEvent):
            node = _node(event, place)
            if event.anchor:
                anchors[event.anchor] = node
        else:
            continue
        if stack:
            stack[-1].items.append(node)
        else:
            root = node
        if not node.closed:
            stack.append(node)
            if len(stack) > MAX_DEPTH:
                raise SpecError("S006", f"nested deeper than {MAX_DEPTH} levels", place, "a specification is a few levels deep")
    return root


def _events(text: Text, loader: Any) -> Iterator[Any]:
    try:
        yield from yaml.parse(text.content, Loader=loader)
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in (error.problem or ""):  # libyaml's own limit, which it meets while it reads ahead of MAX_DEPTH
            _compose(text, yaml.SafeLoader)
        from mnsim.spec.misread import not_yaml  # composes an error only

        raise not_yaml(text, error) from None
    except UnicodeEncodeError as error:
        raise _not_unicode(text, error.start) from None
    except yaml.reader.ReaderError as error:
        before = text.content.encode()[: error.position].decode(errors="ignore")
        line, column = before.count("\n"), len(before) - (before.rfind("\n") + 1)
        message = f"a control character ({error.character!r}) is not text"
        raise SpecError("S003", message, text.at(line, column), "remove the character") from None


def _not_unicode(text: Text, at: int) -> SpecError:
    """The error for half of a surrogate pair: as a rule a byte of an argument that Python could not decode
    (PEP 383).
    """
    code, before = ord(text.content[at]), text.content[:at]
    what = f"byte 0x{code - 0xDC00:02x} is not UTF-8" if 0xDC80 <= code <= 0xDCFF else f"U+{code:04X} is no character"
    place = text.at(before.count("\n"), len(before) - (before.rfind("\n") + 1))
    return SpecError("S002", f"not text: {what}", place, "write it in UTF-8")


def _length(event: Any) -> int:
    start, end = event.start_mark, event.end_mark
    return int(end.column - start.column) if start.line == end.line else 1


def _aliased(anchors: Mapping[str, _Node], name: str, place: Location) -> _Node:
    target = anchors.get(name)
    if target is None:
        message = f"alias {shown('*' + name)} has no anchor"
        raise SpecError("S003", message, place, f"put {shown('&' + name)} before the value that it repeats")
    if not target.closed:
        raise SpecError("S006", f"alias {shown('*' + name)} contains itself", place, "write the value out")
    node = _Node(place)
    node.target = target
    return node


def _node(event: Any, place: Location) -> _Node:
    is_list, is_map = isinstance(event, yaml.SequenceStartEvent), isinstance(event, yaml.MappingStartEvent)
    tag = event.tag
    if tag is not None and tag not in ("!", _PLAIN_TAG + ("seq" if is_list else "map" if is_map else "str")):
        raise SpecError("S003", f"tags such as {shown(tag.replace(_PLAIN_TAG, '!!'))} mean nothing here", place, "write the plain value")
    if is_list or is_map:
        return _Node(place, None, is_list, is_map)
    plain = event.implicit[0] and tag is None
    return _Node(place, value=_scalar(event.value, place) if plain else event.value, is_plain=plain)


def _scalar(word: str, place: Location) -> Any:
    """A plain scalar by YAML 1.2's core schema (section 10.3.2)."""
    if word in _WORDS:
        return _WORDS[word]
    number = _NUMBER.fullmatch(word)
    if number is None:
        return word
    if number["int"] is None:
        value = float(word)
        is_lost = math.isinf(value) or (value == 0 and set(word.lower().partition("e")[0]) & set("123456789"))
        return WrittenFloat(word) if is_lost else value
    if len(word) > 40:
        raise SpecError("S104", f"a number of {len(word)} digits is too large", place, "write a smaller number")
    return int(word, 0) if word[:2] in ("0o", "0x") else int(word)


class _Builder:
    """Data from nodes, with the places. Counts the values that aliases and merge keys expand to."""

    def __init__(self) -> None:
        self.values: dict[ValuePath, Location] = {}
        self.keys: dict[ValuePath, Location] = {}
        self.problems: list[MnsimError] = []
        self.alias: Location | None = None  # the outermost alias that is being written out
        self.pairs: dict[_Node, dict[str, _Pair]] = {}  # of the mappings that were looked at
        self.merged = 0  # pairs

    def build(self, node: _Node, path: ValuePath) -> Any:
        if node.target is not None:
            outer, self.alias = self.alias, self.alias or node.place
            data = self.build(node.target, path)
            self.alias = outer
            return data
        self.values[path] = node.place
        if len(self.values) > MAX_VALUES or len(path) > MAX_DEPTH:
            raise self._too_large(node.place)
        if node.is_list:
            return [self.build(item, (*path, index)) for index, item in enumerate(node.items)]
        if node.is_map:
            return self._build_map(node, path)
        return node.value

    def _too_large(self, place: Location) -> SpecError:
        message = f"more than {MAX_VALUES} values or {MAX_DEPTH} levels once its aliases are written out"
        return SpecError("S006", message, self.alias or place, "use `repeat` for repeated layers")

    def _build_map(self, node: _Node, path: ValuePath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key, (key_node, value_node) in self._pairs_of(node).items():
            self.keys[(*path, key)] = key_node.place
            data[key] = self.build(value_node, (*path, key))
        return data

    def _pairs_of(self, node: _Node, depth: int = 1) -> dict[str, _Pair]:
        """A mapping's own pairs by key, then those that it merges (YAML 1.1's `<<`); the first of one key
        counts.
        """
        if node in self.pairs:
            return self.pairs[node]
        found: dict[str, _Pair] = {}
        merge: _Pair | None = None
        for key_node, value_node in zip(node.items[::2], node.items[1::2], strict=True):
            named = key_node.target or key_node
            key, is_merge = named.value, named.value == "<<" and named.is_plain
            if not isinstance(key, str):
                message = "a key must be a word" + ("" if named.is_list or named.is_map else f", got {shown(key)}")
                self.problems.append(SpecError("S103", message, key_node.place, "write `key: value`"))
            elif first := merge if is_merge else found.get(key):
                message = f"key {shown(key)} stands twice (first in line {first[0].place.line})"
                remedy = "merge several as `<<: [*a, *b]`" if is_merge else "keep one of the two"
                self.problems.append(SpecError("S005", message, key_node.place, remedy, key))
            elif is_merge:
                merge = key_node, value_node
            else:
                found[key] = key_node, value_node
        if merge:
            for source in self._merged_by(merge[1]):
                if self.merged > MAX_VALUES or depth > MAX_DEPTH:
                    raise self._too_large(merge[0].place)
                pairs = self._pairs_of(source, depth + 1)
                self.merged += len(pairs)
                found = {**pairs, **found}
        self.pairs[node] = found
        return found

    def _merged_by(self, value_node: _Node) -> list[_Node]:
        """The mappings that a `<<` names, in order of precedence."""
        value = value_node.target or value_node
        sources = value.items if value.is_list else [value_node]
        found: dict[_Node, None] = {}
        for source in sources:
            named = source.target or source
            if named.is_map:
                found[named] = None
            else:
                got = "a list" if named.is_list else shown(named.value)
                message = f"'<<' merges a mapping, or a list of them, got {got}"
                self.problems.append(SpecError("S103", message, source.place, "write `<<: *anchor`, or `<<: [*a, *b]`"))
                break  # a list of numbers is one mistake
        return list(found)
