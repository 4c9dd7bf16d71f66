"""The blocks of a document that people read. Widths, letters and colours are a renderer's matter."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Headline:
    """What the document is about, in a few lines."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """The start of a section: its name and what it is about."""

    name: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """Sentences, one a line. A non-breaking space keeps a number and its unit on one line.

    Items are points of a list, hanging lines are indented from the second row on, prose breaks at hyphens.
    """

    lines: tuple[str, ...]
    are_items: bool = False
    are_hanging: bool = False
    are_prose: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """Text that is shown as it is; the pieces have their line ends."""

    pieces: Sequence[str]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, a cell a row, and its total.

    Where room is short the columns of the highest rank are left out first; a column of rank None never is.
    """

    heading: str
    cells: Sequence[str]
    rank: int | None = None
    is_text: bool = False
    total: str = ""
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Interval:
    """When something runs, in seconds from the start; it is drawn thick or thin."""

    start_s: float
    end_s: float
    is_thick: bool = True


@dataclass(frozen=True, slots=True)
class Bars:
    """A column that draws when each row runs; `thin` and `thick` name the two kinds of intervals."""

    heading: str
    rows: Sequence[Sequence[Interval]]
    end_s: float
    rank: int
    thin: str
    thick: str


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of equally many cells.

    `narrower` is the table for a width that does not hold this one; one without columns is left out.
    `elsewhere` says where left out columns are, `remark` is a further sentence under the table.
    """

    columns: tuple[Column, ...]
    title: str = ""
    has_totals: bool = False
    bars: Bars | None = None
    narrower: "Table | None" = None
    elsewhere: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Busy:
    """A track of a chart: the share of each moment that lies in the intervals."""

    label: str
    intervals: Sequence[Interval]
    note: str


@dataclass(frozen=True, slots=True)
class Steps:
    """A track of a chart: an amount that changes at these times, as a share of the most that it can be."""

    label: str
    times_s: Sequence[float]
    amounts: Sequence[int]
    most: int
    note: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Tracks over one axis of time from 0 to `end_s`, which is labelled in a unit of so many seconds."""

    tracks: tuple[Busy | Steps, ...]
    end_s: float
    unit: str
    unit_s: float


Block = Headline | Section | Words | Lines | Table | Chart
