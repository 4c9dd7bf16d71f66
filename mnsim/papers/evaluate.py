"""Applying a paper's convention to a network: the numbers that the paper's rule gives, with its slips or
without.

All values are exact (integers and fractions), so that a cell can be compared at the precision with which
it is printed.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, prod

from mnsim.graph.model import Graph, Operator
from mnsim.spec.paper import Convention, Quantity, Rule, ShapeChange, Slip

Value = int | Fraction
Values = Mapping[Quantity, Value]


@dataclass(frozen=True, slots=True)
class RowShape:
    """A row of table 1: input extents and channels in, output extents and channels out, elements of one
    kernel.
    """

    height: int
    width: int
    in_channels: int
    out_height: int
    out_width: int
    out_channels: int
    kernel: int
    groups: int
    depthwise: bool

    @property
    def filters(self) -> int:
        """Elements of all filters: k * k * N for depthwise, k * k * M / groups * N otherwise."""
        return self.kernel * self.out_channels * (1 if self.depthwise else self.in_channels // self.groups)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the paper's tables: the layer's name, its shape."""

    name: str
    shape: RowShape


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a convention gives: the values of every row, the rule that each was printed by, and the total."""

    rows: tuple[Values, ...]
    printed: tuple[str, ...]
    total: Fraction


def rows_of(graph: Graph, convention: Convention) -> tuple[Row, ...]:
    """The rows that the paper prints of a network: its convolutions (and fully connected layers), repeats
    once or each.
    """
    rows = []
    for operator in graph.operators:
        kind = "dense" if operator.kind == "dense" else "conv" if operator.macs else ""
        if kind in convention.rows and (operator.turn == 1 or convention.repeats == "each"):
            rows.append(Row(operator.name, _shape(graph, operator)))
    return tuple(rows)


def _shape(graph: Graph, operator: Operator) -> RowShape:
    x, y = graph.maps[operator.inputs[0]].shape, graph.maps[operator.output].shape
    x = (1, 1, prod(x)) if operator.kind == "dense" else x
    kernel = prod(operator.window.kernel) if operator.window else 1
    return RowShape(*x, *y, kernel, operator.groups, operator.kind == "depthwise")


def evaluate(convention: Convention, rows: tuple[Row, ...], slips: Collection[int]) -> Sheet:
    """The convention's values for the rows; `slips` are the indices of the slips that apply."""
    applied = [slip for index, slip in enumerate(convention.slips) if index in slips]
    values: list[dict[Quantity, Value]] = []
    printed = []
    starts_afresh = True
    for number, row in enumerate(rows, 1):
        here = [slip for slip in applied if number in slip.rows]
        rule = _rule_for(convention, number, here)
        afresh = starts_afresh or rule.maps_are_freed
        found, starts_afresh = _evaluate_row(convention, rule, row.shape, here, None if not values else values[-1], afresh)
        values.append(found)
        printed.append(rule.printed)
    added = [values[slip.add_row_to_total - 1]["time"] for slip in applied if slip.add_row_to_total]
    return Sheet(tuple(values), tuple(printed), Fraction(sum(row["time"] for row in values) + sum(added)))


def _rule_for(convention: Convention, number: int, slips: list[Slip]) -> Rule:
    changes = [convention.first_row] if number == 1 else []
    changes += [slip.rule for slip in slips if slip.rule]
    update = {field: value for change in changes for field, value in change.items()}
    return convention.rule.model_copy(update=update) if update else convention.rule


def _reshaped(shape: RowShape, changes: Iterator[ShapeChange | None]) -> RowShape:
    for change in changes:
        if change is None:
            continue
        size, stride = change.size or shape.height, change.stride or ceil(shape.height / shape.out_height)
        shape = replace(
            shape,
            height=size,
            width=change.size or shape.width,
            out_height=ceil(size / stride),
            out_width=ceil((change.size or shape.width) / stride),
            in_channels=change.in_channels or shape.in_channels,
            out_channels=change.out_channels or shape.out_channels,
        )
    return shape


def _evaluate_row(
    convention: Convention, rule: Rule, shape: RowShape, slips: list[Slip], before: Mapping[Quantity, Value] | None, afresh: bool
) -> tuple[dict[Quantity, Value], bool]:
    """One row's values, and whether the next row starts with an empty memory."""
    fixed: dict[Quantity, int] = {}
    for slip in slips:
        fixed |= slip.set or {}
    memory = _reshaped(shape, (slip.memory_shape for slip in slips))
    filters = memory.filters * rule.filter_bits
    own_input = memory.height * memory.width * memory.in_channels
    found: dict[Quantity, Value] = {"input": own_input * rule.feature_map_bits}
    if before and rule.input_is == "previous output":
        found["input"] = before["output"]
    found["output"] = fixed.get("output", memory.out_height * memory.out_width * memory.out_channels * rule.feature_map_bits)
    held = filters if rule.memory_holds_filters else 0
    carried = found["input"] if afresh or before is None else before["memory"]
    found["memory"] = carried + found["output"] + held
    full = any(slip.declared_full for slip in slips)
    if convention.memory and convention.memory.when_full == "write everything out":
        full = full or found["memory"] > convention.memory.capacity_bits
    else:
        full = False
    entering = {"no": 0, "in bits": found["input"], "in elements": own_input}[rule.input_moved]
    moved = found["memory"] + filters if full else rule.filters_moved * filters + entering
    found["moved"] = fixed.get("moved", moved)
    found["moved_time"] = Fraction(found["moved"] * rule.moved_unit_bits) / (8 * Fraction(convention.bandwidth))
    compute = _reshaped(shape, (slip.compute_shape for slip in slips))
    found["macs"] = _macs(compute, rule)
    found["compute_time"] = Fraction(convention.flop_per_mac * found["macs"]) / Fraction(convention.throughput)
    found["time"] = found["moved_time"] + found["compute_time"]
    return found, full


def _macs(shape: RowShape, rule: Rule) -> int:
    area = shape.height * shape.width if rule.macs_at == "input" else shape.out_height * shape.out_width
    if shape.depthwise and rule.depthwise_as == "dense":
        return shape.kernel * shape.in_channels * shape.out_channels * area
    return shape.filters * area


def agrees(value: Value, printed: str, how: str) -> bool:
    """Whether a value, rounded (halves either way) or truncated to the digits that are printed, is the
    printed one.

    `how` is rounded, truncated, or either.
    """
    mantissa, _, exponent = printed.lower().partition("e")
    quantum = Fraction(10) ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    above = (value - Fraction(printed)) / quantum
    rounded, truncated = abs(above) <= Fraction(1, 2), 0 <= above < 1
    return {"rounded": rounded, "truncated": truncated, "either": rounded or truncated}[how]
