"""The points of a sweep, by number: the levels of each one, and the points that share a plan."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnsim.clocks.recurrence import Array
from mnsim.operators.quantities import rate_column
from mnsim.spec.axes import Axis, drawn
from mnsim.spec.sweep import Sweep

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Points:
    """`count` points of these axes. Plans depend on the first `plan_axes` of them, and the others are rates.

    `rates` are the levels of the rates, by their columns. `places` has for each axis the level of every
    point; None for a grid, whose levels follow from the number of the point.
    """

    axes: tuple[Axis, ...]
    count: int
    plan_axes: int
    rates: Mapping[str, Array]
    places: tuple[Indices, ...] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Points that share a plan: the levels of the plan's axes, and the points' numbers in ascending order."""

    levels: tuple[int, ...]
    numbers: Indices


def points_of(sweep: Sweep) -> Points:
    """All points of a sweep; a sample is drawn here."""
    lengths = [len(axis.levels) for axis in sweep.axes]
    if sweep.mode == "grid":
        return _points(sweep.axes, prod(lengths))
    if sweep.mode == "zip":
        count = max(lengths)
        stays = np.zeros(count, np.int64)
        return _points(sweep.axes, count, tuple(np.arange(count) if length > 1 else stays for length in lengths))
    sampled = [_sampled(axis, sweep.samples, (sweep.seed, number)) for number, axis in enumerate(sweep.axes)]
    return _points(tuple(axis for axis, _ in sampled), sweep.samples, tuple(places for _, places in sampled))


def _points(axes: tuple[Axis, ...], count: int, places: tuple[Indices, ...] | None = None) -> Points:
    columns = {rate_column(axis.name): np.array(axis.levels, np.float64) for axis in axes if rate_column(axis.name) is not None}
    return Points(axes, count, len(axes) - len(columns), {str(column): levels for column, levels in columns.items()}, places)


def _sampled(axis: Axis, count: int, seed: tuple[int, int]) -> tuple[Axis, Indices]:
    """The axis and every point's level on it, drawn as in a Latin hypercube.

    One value falls into each of `count` equal slices of the axis, in random order (McKay, Beckman and
    Conover, Technometrics 21, 1979): so each of k levels is drawn count / k times, rounded up or down.
    """
    random = np.random.default_rng(seed)
    slices = random.permutation(count)
    if axis.between is not None:
        return drawn(axis, ((slices + random.random(count)) / count).tolist()), np.arange(count)
    return axis, slices * len(axis.levels) // count


def places_of(points: Points, axis: int, numbers: Indices) -> Indices:
    """The level of each of these points on an axis."""
    if points.places is not None:
        return points.places[axis][numbers]
    inner = prod(len(each.levels) for each in points.axes[axis + 1 :])
    return (numbers // inner) % len(points.axes[axis].levels)


def rates_at(points: Points, numbers: Indices) -> dict[str, Array]:
    """The swept rates of these points, by their columns."""
    return {
        column: levels[places_of(points, axis, numbers)] for axis, (column, levels) in enumerate(points.rates.items(), points.plan_axes)
    }


def groups(points: Points) -> Iterator[Group]:
    """The points that share a plan, group by group."""
    if points.places is None:
        inner = prod(len(axis.levels) for axis in points.axes[points.plan_axes :])
        for first in range(0, points.count, inner):
            at = np.array([first])
            levels = tuple(int(places_of(points, axis, at)[0]) for axis in range(points.plan_axes))
            yield Group(levels, np.arange(first, first + inner))
        return
    keys = np.stack(points.places[: points.plan_axes], axis=1)
    distinct, group_of = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(group_of.reshape(-1), kind="stable")
    ends = np.cumsum(np.bincount(group_of.reshape(-1), minlength=len(distinct)))
    for levels, numbers in zip(distinct.tolist(), np.split(order, ends[:-1]), strict=True):
        yield Group(tuple(levels), numbers)


def count_groups(points: Points) -> int:
    """The number of plans to make."""
    if points.places is None:
        return prod(len(axis.levels) for axis in points.axes[: points.plan_axes])
    return len(np.unique(np.stack(points.places[: points.plan_axes], axis=1), axis=0))


def may_share_plans(points: Points) -> bool:
    """Whether groups may have one plan: those that differ in the hardware's file, or in a section of
    rates.
    """
    return any(axis.is_shared for axis in points.axes[: points.plan_axes] if len(axis.levels) > 1)


def level_values(points: Points, group: Group) -> Mapping[str, Any]:
    """The levels of the plan's axes in a group, by the axes' names."""
    return {axis.name: axis.levels[place] for axis, place in zip(points.axes, group.levels, strict=False)}


def described(points: Points, number: int) -> str:
    """A point by the levels that tell it from others."""
    at = np.array([number])
    levels = [(axis, int(places_of(points, place, at)[0])) for place, axis in enumerate(points.axes) if len(axis.levels) > 1]
    return ", ".join(f"{axis.name} {_shown_level(axis, place)}" for axis, place in levels) or "the only point"


def _shown_level(axis: Axis, place: int) -> str:
    if axis.name in ("network", "hardware"):
        return axis.words[place]  # names, one a level
    level = axis.levels[place]
    return f"{float(level):.6g}" if isinstance(level, float | Fraction) else str(level)


def chosen_data(points: Points, group: Group) -> dict[str, Any]:
    """The hardware file's values of a group, by key; of rates those of their first level, for the file must
    be whole.
    """
    places = [*group.levels, *[0] * (len(points.axes) - points.plan_axes)]
    return {axis.name: axis.data[place] for axis, place in zip(points.axes, places, strict=True) if axis.data}
