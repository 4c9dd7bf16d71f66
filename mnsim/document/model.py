"""A result, ready to be written down: data for programs, rows for tables elsewhere, blocks for people."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mnsim.document.blocks import Block

# How much of a document is shown: the tables alone; on a terminal, usually or with more figures; on a page.
View = Literal["bare", "usual", "more", "page"]
Kind = Literal["text", "flag", "whole", "number"]


@dataclass(frozen=True, slots=True)
class Values:
    """A column of some rows, in which None is no value. `places` has each row's index where rows share."""

    values: Sequence[Any]
    places: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """A table for programs: the names of its columns, and their values in parts of at most so many rows.

    `kinds` has the type of each column, for formats that store types.
    """

    names: tuple[str, ...]
    parts: Callable[[int], Iterator[list[Values]]]
    kinds: Callable[[], tuple[Kind, ...]] = tuple


@dataclass(frozen=True, slots=True)
class Listing:
    """Plain data with one long list: the entries before it, its name and items, the entries behind it.

    An item is a line of its own. In a compact listing brackets stand on the lines of what they hold.
    """

    before: dict[str, Any]
    name: str
    items: Rows | Callable[[], Iterable[dict[str, Any]]]
    after: dict[str, Any]
    is_compact: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A result in three aspects: plain data or a Listing, rows, and blocks by view.

    Each is made when a format asks for it.
    """

    record: Callable[[], Any]
    rows: Callable[[], Rows]
    blocks: "Callable[[View], Sequence[Block]]"
