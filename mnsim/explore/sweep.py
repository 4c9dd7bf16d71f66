"""A sweep as a whole: stored points, points to run and their workers, and the rows."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnsim.errors import Location, PointError, SpecError, shown
from mnsim.explore.cluster import run_on_cluster
from mnsim.explore.evaluate import COUNTS, FIDELITIES, NAMED, Batch, Fidelity, Outcome, Structure
from mnsim.explore.keys import point_keys
from mnsim.explore.points import Group, Indices, Points, chosen_data, described, groups, level_values, points_of, rates_at
from mnsim.explore.rows import FLAGS, PUBLISHED, Columns, Rows, Shared, columns_of, done, encoded, json_cell, planned_columns, records
from mnsim.explore.store import Store, append, give_up, open_store, stored, survey
from mnsim.explore.version import model_version
from mnsim.explore.workers import run_here
from mnsim.operators.quantities import ENERGIES
from mnsim.program.model import ENGINES
from mnsim.spec.axes import hardware_at
from mnsim.spec.records import Hardware
from mnsim.spec.sweep import PARTS, Asked, read_sweep

MOST_SETTINGS = 16_384  # of a batch: a fraction of a second's work


@dataclass(frozen=True, slots=True)
class Means:
    """How to run a sweep: the fidelity, the number of processes or the cluster, the store, and whether one
    failure ends it. Raises SpecError U009 for an impossible value.
    """

    fidelity: Fidelity = "simulated"
    jobs: int = 1
    scheduler: str | None = None
    store: str | None = None  # a Path becomes one
    fail_fast: bool = False

    def __post_init__(self) -> None:
        if hasattr(self.store, "__fspath__"):
            object.__setattr__(self, "store", str(self.store))
        is_whole = isinstance(self.jobs, int) and not isinstance(self.jobs, bool)
        rules = (
            ("fidelity", self.fidelity in FIDELITIES, f"one of {', '.join(map(repr, FIDELITIES))}"),
            ("jobs", is_whole and self.jobs >= 1, "a whole number, at least 1"),
            ("scheduler", self.scheduler is None or isinstance(self.scheduler, str), "an address such as 'tcp://host:8786'"),
            ("store", self.store is None or isinstance(self.store, str), "a folder's path"),
            ("fail_fast", isinstance(self.fail_fast, bool), "True or False"),
        )
        for name, is_right, what in rules:
            if not is_right:
                text = repr(getattr(self, name))
                place = Location(name, text=text, length=len(text))
                raise SpecError("U009", f"{name} must be {what}, got {shown(getattr(self, name))}", place, "Means(jobs=8, store='results')")


@dataclass(frozen=True, slots=True)
class Listener:
    """Called as a sweep goes on: with the points that are done (new ones, and stored ones), and with
    sentences.
    """

    done: Callable[[int, bool], None] = lambda count, was_stored: None
    words: Callable[[str], None] = lambda words: None


class _Task(NamedTuple):
    """A batch and the numbers of its rows."""

    batch: Batch
    numbers: Indices
    planned: Shared
    keys: list[str] | None


def columns_for(points: Points, fidelity: Fidelity, has_mark: bool = False) -> Columns:
    """The columns that these points' rows will have."""
    return columns_of(points, fidelity, _machines(points), has_mark)


def sweep(
    *networks: str | Path,
    levels: Mapping[str, object] | None = None,
    zip: bool = False,
    sample: int | None = None,
    seed: int = 0,
    means: Means | None = None,
) -> list[dict[str, Any]]:
    """What `mnsim sweep` computes, a dictionary a point.

    `levels` are by the parts of a point (alpha, rho, dtype, policy, hardware) and by keys of the hardware
    file, each as on the command line (`"log(0.5 GB/s, 8 GB/s, 16)"`) or as a list. A point that fails has
    its `error`. Raises SpecError for levels that cannot be, WorkError for a store or a cluster that cannot
    be used. With `means.jobs` above 1, a script needs `if __name__ == "__main__":`.
    """
    texts = {name: _as_typed(value, name == "hardware") for name, value in (levels or {}).items()}
    parts = {name: text for name, text in texts.items() if name in PARTS[1:]}
    settings = tuple(f"{name}={text}" for name, text in texts.items() if name not in parts)
    asked = Asked(tuple(map(str, networks)), settings=settings, zip=zip or None, sample=sample, seed=seed, **parts)
    how, points = means or Means(), points_of(read_sweep(asked))
    rows = run_sweep(points, columns_for(points, how.fidelity), how)
    return records(rows, done(rows))


def _as_typed(value: object, is_name: bool = False) -> str:
    """A level or several, as on a command line; names in quotes, for they may have commas."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    several = [value] if isinstance(value, Mapping) else list(value)
    return ", ".join(json.dumps(each) if isinstance(each, Mapping | list) else f'"{each}"' if is_name else str(each) for each in several)


def count_stored(points: Points, fidelity: Fidelity, folder: str) -> tuple[int, list[str]]:
    """The number of points that a store has whole, and sentences about its other lines. Raises WorkError as
    `survey` does.
    """
    (there, news), found = survey(folder), 0
    for group in groups(points):
        structure = _structure(points, group, _hardware(points, group), fidelity)
        found += sum(key in there for key in point_keys(structure, rates_at(points, group.numbers), len(group.numbers)))
    return found, news


def unrun(points: Points, columns: Columns) -> Rows:
    """The points alone, as rows."""
    rows = Rows(points, columns._replace(names=(*columns.point_names, *PUBLISHED), time_names=()))
    for group in groups(points):
        rows.shared_of[group.numbers] = rows.share(planned_columns(points, columns, group, _hardware(points, group)))
    return rows


def run_sweep(points: Points, columns: Columns, means: Means, listener: Listener | None = None) -> Rows:
    """Run every point that the store does not have, and return all rows.

    A point that fails is a row with its error. Raises that error where `means.fail_fast` says so,
    WorkError for a store or a cluster that cannot be used. What had finished by then is in the store.
    """
    heard = listener or Listener()
    rows = Rows(points, columns)
    with ExitStack() as stack:
        store = stack.enter_context(open_store(means.store)) if means.store is not None else None
        for sentence in store.news if store is not None else ():
            heard.words(sentence)
        under_way: dict[int, _Task] = {}
        batches = _batches(rows, means, store, under_way, heard)
        outcomes = run_here(batches, means.jobs) if means.scheduler is None else run_on_cluster(batches, means.scheduler, heard.words)
        for outcome in stack.enter_context(closing(outcomes)):
            task = under_way.pop(outcome.number)
            _finish(rows, task, outcome, store)
            heard.done(len(task.numbers), False)
            if outcome.error is not None and means.fail_fast:
                outcome.error.message += f" (at {described(points, int(task.numbers[0]))})"
                raise outcome.error
    return rows


def _batches(rows: Rows, means: Means, store: Store | None, under_way: dict[int, _Task], heard: Listener) -> Iterator[Batch]:
    """The batches to run, each noted in `under_way`; stored rows are filled in on the way."""
    number = 0
    for group in groups(rows.points):
        hardware = _hardware(rows.points, group)
        planned = planned_columns(rows.points, rows.columns, group, hardware)
        structure = _structure(rows.points, group, hardware, means.fidelity)
        for first in range(0, len(group.numbers), MOST_SETTINGS):
            numbers = group.numbers[first : first + MOST_SETTINGS]
            keys = None
            if store is not None:
                keys = point_keys(structure, rates_at(rows.points, numbers), len(numbers))
                there = _fill_in(rows, store, numbers, planned, keys, heard.words)
                _refuse_failed(rows, numbers[there], means.fail_fast)
                heard.done(int(np.count_nonzero(there)), True)
                numbers, keys = numbers[~there], list(compress(keys, ~there))
            if len(numbers):
                batch = Batch(number, structure, rates_at(rows.points, numbers), len(numbers), model_version())
                under_way[number] = _Task(batch, numbers, planned, keys)
                number += 1
                yield batch


def _hardware(points: Points, group: Group) -> Hardware:
    return hardware_at(level_values(points, group)["hardware"], chosen_data(points, group))


def _structure(points: Points, group: Group, hardware: Hardware, fidelity: Fidelity) -> Structure:
    levels = level_values(points, group)
    return Structure(levels["network"], levels["alpha"], levels["rho"], levels["dtype"], levels["policy"], hardware, fidelity)


def _machines(points: Points) -> list[Hardware]:
    """The pieces of hardware, each with all rates, efficiencies and energies that any point has."""
    sizes = [
        len(axis.levels) if axis.name == "hardware" or isinstance(axis.levels[0], dict) else 1 for axis in points.axes[: points.plan_axes]
    ]
    none = np.zeros(0, np.int64)
    return [_hardware(points, Group(tuple(levels), none)) for levels in np.ndindex(*sizes)]


def _finish(rows: Rows, task: _Task, outcome: Outcome, store: Store | None) -> None:
    """Put an outcome into the rows and, unless its failure may pass, into the store."""
    rows.add(task.numbers, task.planned, outcome)
    if store is not None and task.keys is not None and not isinstance(outcome.error, PointError):
        append(store, task.keys, _lines(rows, task.numbers))


def _lines(rows: Rows, numbers: Indices) -> Iterator[str]:
    """The rows as the inner text of JSON objects."""
    columns = [[f'"{name}": {cell}' for cell in encoded(rows, name, numbers, json_cell)] for name in rows.names if name not in FLAGS]
    return map(", ".join, zip(*columns, strict=True))


def _fill_in(
    rows: Rows, store: Store, numbers: Indices, planned: Shared, keys: list[str], words: Callable[[str], None]
) -> NDArray[np.bool_]:
    """Fill in the stored rows; returns the points that they are.

    Published values are read anew: they are no results. A line that is no row of this sweep, in spite of its
    checksum, is moved out.
    """
    there = np.array([key in store for key in keys])
    has_energy = any(column in planned or column in rows.points.rates for column in (quantity.column for quantity in ENERGIES))
    counts = [name for name in rows.names if name in COUNTS]
    times = [name for name in rows.time_names if has_energy or name != "energy_j"]
    refused, shares = [], dict[tuple[object, ...], int]()
    wanted = list(compress(keys, there))
    for number, key, row in zip(numbers[there].tolist(), wanted, stored(store, wanted), strict=True):
        try:
            found = _read(row, counts, times)
        except (KeyError, ValueError, TypeError, OverflowError):
            refused.append(key)
            continue
        shared = (found.error, *found.counts)
        if shared not in shares:
            shares[shared] = rows.share({**planned, **dict(zip(counts, found.counts, strict=False)), "error": found.error})
        rows.shared_of[number] = shares[shared]
        for name, engine in zip(NAMED, found.engines, strict=True):
            rows.named[name][number] = engine
        for name, time in zip(times, found.times, strict=False):
            rows.times[name][number] = time
    if refused:
        for sentence in give_up(store, refused, "its columns are not those of a result"):
            words(sentence)
        there = np.array([key in store for key in keys])
    return there


class _Result(NamedTuple):
    """A stored result; `engines` are the numbers of those that NAMED names. After an error it has no
    counts and no times.
    """

    error: str | None
    counts: list[int]
    engines: list[int]
    times: list[float]


def _read(row: Mapping[str, Any], counts: Iterable[str], times: Iterable[str]) -> _Result:
    """The result in a row of these columns. Raises KeyError, ValueError, TypeError or OverflowError for any
    other line.
    """
    if row["error"] is not None:
        return _Result(str(row["error"]), [], [-1] * len(NAMED), [])
    engines = [ENGINES.index(row[name]) for name in NAMED]
    return _Result(None, [int(row[name]) for name in counts], engines, [float(row[name]) for name in times])


def _refuse_failed(rows: Rows, numbers: Indices, fail_fast: bool) -> None:
    """Raises the error of the first stored point that failed, where one failure ends a sweep."""
    for number in numbers.tolist() if fail_fast else ():
        text = rows.shared[rows.shared_of[number]]["error"]
        if text is not None:
            code, _, message = text.partition(": ")
            raise PointError(f"{message} (at {described(rows.points, number)})", code)
