"""A paper's file: how the paper counts, where it leaves its own rule (its slips), and which printed cells
that must give.

A convention is data: these models say what it may hold, `mnsim.papers` applies it and knows no paper by
name.
"""

import csv
import io
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

from mnsim.errors import Location, SpecError, did_you_mean
from mnsim.spec.fields import Name, RateBytesPerS, ThroughputPerS, refuse
from mnsim.spec.load import read_validated

Words = Annotated[str, PlainValidator(lambda value: " ".join(str(value).split()))]
Count = Annotated[int, Field(ge=0, le=2**40)]
Change = dict[str, Any]  # the fields of a Rule that differ
Quantity = Literal["input", "output", "memory", "moved", "moved_time", "macs", "compute_time", "time"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Rule(_Strict):
    """How one row is counted. Bits are what the paper takes them for: 1 where it counts elements under a
    heading of bits.
    """

    feature_map_bits: Count
    filter_bits: Count
    memory_holds_filters: bool
    maps_are_freed: bool
    input_is: Literal["previous output", "own"]
    filters_moved: Count
    input_moved: Literal["no", "in bits", "in elements"]
    moved_unit_bits: Count
    macs_at: Literal["input", "output"]
    depthwise_as: Literal["depthwise", "dense"]
    printed: Literal["rounded", "truncated"]


class ShapeChange(_Strict):
    """Another shape for one row: the extents that differ; the output is ceil(size / stride)."""

    size: Count | None = None
    in_channels: Count | None = None
    out_channels: Count | None = None
    stride: Count | None = None


class Memory(_Strict):
    """The internal memory, and what the paper does when a row's sum exceeds it."""

    capacity_bits: Count
    when_full: Literal["write everything out", "nothing"]


class Slip(_Strict):
    """A place where the paper leaves its rule: which rows, why (in words), and exactly one kind of change."""

    rows: list[Count] = []
    because: Words
    memory_shape: ShapeChange | None = None
    compute_shape: ShapeChange | None = None
    rule: Change | None = None
    set: dict[Quantity, Count] | None = None
    declared_full: Literal[True] | None = None
    add_row_to_total: Count | None = None

    @model_validator(mode="after")
    def _one_change(self) -> "Slip":
        kinds = sorted(self.model_fields_set - {"rows", "because"})
        if len(kinds) != 1:
            raise refuse("S103", f"a slip is one change, got {', '.join(kinds) or 'none'}", "make it a slip for each change")
        return self


class Claim(_Strict):
    """A sentence of the paper that its own tables contradict."""

    says: Words
    but: Words


class Accuracies(_Strict):
    """Where a paper prints accuracies: the table, its column of width multipliers, and its column of
    accuracies.
    """

    table: str
    alpha: str
    column: str


class Convention(_Strict):
    """A paper: its network, its rule, its slips, and where its cells are printed (quantity: table.column)."""

    name: Name
    title: Words
    network: Name
    rows: list[Literal["conv", "dense"]]
    repeats: Literal["once", "each"]
    rule: Rule
    first_row: Change = {}
    memory: Memory | None = None
    bandwidth: RateBytesPerS
    throughput: ThroughputPerS
    flop_per_mac: Count
    cells: dict[Quantity, str]
    total: str | None = None
    accuracy: Accuracies
    slips: list[Slip]
    claims: list[Claim]

    @model_validator(mode="after")
    def _changes_are_rules(self) -> "Convention":
        for change in (self.first_row, *(slip.rule for slip in self.slips if slip.rule)):
            Rule.model_validate({**self.rule.model_dump(), **change})
        return self


class Variant(_Strict):
    """A network of the published tables, and which columns are computed from it."""

    network: Name
    alpha: str = "1"
    rho: str = "1"
    computes: list[Literal["million_mult_adds", "million_parameters"]] = ["million_mult_adds", "million_parameters"]


class Erratum(_Strict):
    """What makes a published cell come out: another variant than the row's name says, or operators left
    out of a column.
    """

    table: str
    row: Count
    because: Words
    variant: Variant | None = None
    leave_out: Literal["dense"] | None = None
    column: str


class Share(_Strict):
    """A share that the text prints: of all, what 1 x 1 convolutions have."""

    network: Name
    of: Literal["macs", "filters"]
    printed_percent: Count
    because: Words


class Publication(_Strict):
    """Published tables of mult-adds and parameters: a variant for each row (null: nothing is computed for
    it).

    All other columns (accuracies) are carried as published.
    """

    name: Name
    title: Words
    network: Name
    tables: dict[str, list[Variant | None]]
    accuracy: str  # the column of accuracies
    shares: list[Share]
    errata: list[Erratum]
    claims: list[Claim]


def paper_names() -> list[str]:
    """The papers, in the order of their names."""
    folder = files("mnsim.papers")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_paper(name: str) -> Convention | Publication:
    """The paper of this name. Raises SpecError S001 for an unknown one."""
    if name not in paper_names():
        place = Location(name or "''", text=name or "''", length=len(name))
        raise SpecError("S001", f"no paper is called '{name}'", place, did_you_mean(name, paper_names()))
    path = files("mnsim.papers").joinpath(f"{name}.yaml")
    text = path.read_text(encoding="utf-8")
    model: Any = Publication if "\ntables:" in text else Convention
    found: Convention | Publication = read_validated(model, str(path), text)
    return found


def printed_table(paper: str, table: str) -> list[dict[str, str]]:
    """The rows of a table as printed, each value as its characters."""
    text = files("mnsim.papers").joinpath(paper, f"{table}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))
