"""`mnsim sweep`."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGTERM, default_int_handler, signal
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mnsim.cli.options import Output, Talk, gather, output_with, talk_options
from mnsim.cli.places import FileCommand, FileName, SchedulerName, SpecName, SpecNames, StoreName, refuse_overwriting
from mnsim.cli.show import rendered, show
from mnsim.cli.words import Condition, Objectives, OneOf, Setting
from mnsim.render.formats import FORMATS
from mnsim.spec.records import DTYPES, POLICIES

if TYPE_CHECKING:
    from mnsim.document.model import Document
    from mnsim.explore.points import Points
    from mnsim.explore.rows import Columns, Rows
    from mnsim.explore.select import Selection
    from mnsim.explore.sweep import Listener
    from mnsim.spec.sweep import Asked


class Levels(NamedTuple):
    """The levels of each part of a point."""

    hardware: str | None
    alpha: str | None
    rho: str | None
    dtype: str | None
    policy: str | None
    sram: str | None
    settings: tuple[str, ...]
    zip: bool | None
    sample: int | None
    seed: int | None
    spec: str | None
    max_points: int | None


class Run(NamedTuple):
    """How the points are run."""

    fidelity: Any
    dry_run: bool
    jobs: int | None
    scheduler: str | None
    store: str | None
    fail_fast: bool


class Choice(NamedTuple):
    """Which rows are shown."""

    where: tuple[str, ...]
    pareto: str | None
    sort: str | None
    top: int | None


levels_options = gather(
    "levels",
    Levels,
    click.option("--alpha", metavar="LEVELS", help="Width multipliers: 0.25,0.5,1 or linear(0.25, 1, 4)."),
    click.option("--rho", metavar="LEVELS", help="Resolution multipliers: 4/7,5/7,6/7,1."),
    click.option("--dtype", type=OneOf(DTYPES), metavar="LEVELS", help="Elements: int8,float16,float32."),
    click.option("--policy", type=OneOf(POLICIES), metavar="LEVELS", help="What runs at the same time: overlap,layerwise,serial."),
    click.option("--hw", "hardware", metavar="LEVELS", type=SpecNames("hardware"), help="Hardware: YAML files or bundled names."),
    click.option(
        "--set",
        "settings",
        type=Setting(),
        multiple=True,
        metavar="KEY=LEVELS",
        help="A hardware value: bus.bandwidth='log(0.5 GB/s, 8 GB/s, 16)'.",
    ),
    click.option("--sram", metavar="LEVELS", help="Short for --set internal_memory.capacity=LEVELS."),
    click.option("--spec", metavar="FILE", type=FileName(), help="A sweep file; what is said here counts before it."),
    click.option("--zip/--no-zip", default=None, help="Levels side by side, not every combination."),
    click.option("--sample", type=click.IntRange(1), metavar="N", help="So many points of a Latin hypercube."),
    click.option("--seed", type=click.IntRange(0, 2**63 - 1), metavar="N", help="Of the sample; 0 unless said."),
    click.option("--max-points", type=click.IntRange(1), metavar="N", help="Refuse more points; 10 million unless said."),
)
run_options = gather(
    "how",
    Run,
    click.option("--dry-run", is_flag=True, help="List the points; run nothing."),
    click.option(
        "--fidelity",
        type=click.Choice(["simulated", "analytical"]),
        default="simulated",
        show_default=True,
        help="Play each program, or add up its times.",
    ),
    click.option("--jobs", type=click.IntRange(1, 1024), metavar="N", help="Processes; as many as processors unless said."),
    click.option("--scheduler", type=SchedulerName(), metavar="ADDRESS", help="A Dask cluster: tcp://host:port, or file:scheduler.json."),
    click.option("--store", metavar="DIR", type=StoreName(), help="Keep results there, and run only what is missing."),
    click.option("--fail-fast", is_flag=True, help="End at the first point that fails."),
)
choice_options = gather(
    "choice",
    Choice,
    click.option("--where", type=Condition(), multiple=True, metavar="CONDITION", help="Only these rows: 'simulated_time_s < 1 ms'."),
    click.option("--pareto", type=Objectives(), metavar="COLUMNS", help="Mark the front: simulated_time_s,max:published_accuracy."),
    click.option("--sort", type=Objectives(), metavar="COLUMNS", help="Order the rows, the least first (max:COLUMN: the most)."),
    click.option("--top", type=click.IntRange(1), metavar="N", help="The first N rows, by simulated time unless --sort says."),
)


@click.command("sweep", cls=FileCommand)
@click.argument("networks", nargs=-1, type=SpecName("network"), metavar="NETWORK...")
@levels_options
@run_options
@choice_options
@output_with(*FORMATS)
@talk_options
def command(networks: tuple[str, ...], levels: Levels, how: Run, choice: Choice, output: Output, talk: Talk) -> int:
    """Run many points: networks, multipliers, data types, policies and hardware, in every combination.

    LEVELS are values with commas between, and ranges: linear(a, b, n) and log(a, b, n) with both ends. A
    point that fails is a row with its error, and the exit code is 1 then. `mnsim explain sweep` has the
    columns.
    """
    output.check()
    if how.dry_run and any((choice.where, choice.pareto, choice.sort, choice.top)):
        raise click.UsageError("--dry-run lists points; --where, --pareto, --sort and --top are of results")
    if how.scheduler is not None and how.jobs is not None:
        raise click.UsageError("--jobs is for this machine, --scheduler for a cluster; give one of them")
    gc.enable()  # this can take long
    from mnsim.explore.points import points_of
    from mnsim.explore.sweep import columns_for
    from mnsim.spec.sweep import read_sweep, sources

    sweep = read_sweep(_asked(networks, levels), levels.spec, levels.max_points)
    refuse_overwriting(click.get_current_context(), sources(sweep))
    points = points_of(sweep)
    columns = columns_for(points, how.fidelity, choice.pareto is not None)
    selection = _selection(choice, columns)
    if how.dry_run:
        show(_points_document(points, columns, how, sweep.mode, talk), output, talk)
        return 0
    if sys.stderr.isatty() and not talk.quiet:
        announced = rendered(_points_document(points, columns, how._replace(store=None), sweep.mode, talk), Output(None, None), talk)
        sys.stderr.write(f"{''.join(map(str, announced))}\n")
    rows = _run(points, columns, how, talk)
    from mnsim.explore.rows import failures
    from mnsim.explore.select import select
    from mnsim.report.sweep import sweep_document

    selected = select(rows, selection)
    show(sweep_document(rows, selected, sweep.mode, not output.to_screen), output, talk)
    failed = failures(rows)
    if not talk.quiet:
        from mnsim.report.sweep_words import failed_sentence, not_compared_sentences

        apart = [] if output.aspect == "blocks" else not_compared_sentences(rows, selected)  # blocks have the sentences themselves
        for sentence in [*apart, *([failed_sentence(rows)] if len(failed) else [])]:
            sys.stderr.write(f"{sentence}\n")
    return int(len(failed) > 0)


def _asked(networks: tuple[str, ...], levels: Levels) -> "Asked":
    from mnsim.spec.sweep import Asked

    given = {name: value for name, value in levels._asdict().items() if name in Asked._fields}
    return Asked(networks, **given)


def _selection(choice: Choice, columns: "Columns") -> "Selection":
    from mnsim.explore.select import Objective, Selection, read_condition, read_objectives

    conditions = tuple(read_condition(text, columns) for text in choice.where)
    objectives = read_objectives("--pareto", choice.pareto, columns) if choice.pareto is not None else ()
    sort = read_objectives("--sort", choice.sort, columns) if choice.sort is not None else ()
    if not sort and choice.top is not None:
        sort = (Objective("simulated_time_s" if "simulated_time_s" in columns.names else "serial_time_s", "min"),)
    return Selection(conditions, objectives, sort, choice.top)


def _points_document(points: "Points", columns: "Columns", how: Run, mode: str, talk: Talk) -> "Document":
    from mnsim.explore.select import Selection, select
    from mnsim.explore.sweep import count_stored, unrun
    from mnsim.report.sweep import points_document, sweep_document

    def each() -> "Document":
        rows = unrun(points, columns)
        return sweep_document(rows, select(rows, Selection()), mode, True)

    def stored() -> int | None:
        there, news = (None, []) if how.store is None else count_stored(points, how.fidelity, how.store)
        sys.stderr.writelines(f"{sentence}\n" for sentence in news if not talk.quiet)
        return there

    return points_document(points, mode, each, stored)


def _run(points: "Points", columns: "Columns", how: Run, talk: Talk) -> "Rows":
    from mnsim.explore.sweep import Means, run_sweep
    from mnsim.explore.workers import cores

    means = Means(how.fidelity, how.jobs or cores(), how.scheduler, how.store, how.fail_fast)
    before = signal(SIGTERM, default_int_handler)  # a batch system's signal that time is up: end as on Ctrl-C
    try:
        with _listening(points.count, talk) as listener:
            return run_sweep(points, columns, means, listener)
    except KeyboardInterrupt:
        if how.store is not None and not talk.quiet:
            sys.stderr.write(f"what has finished is in {how.store}; the same command goes on from there\n")
        raise
    finally:
        signal(SIGTERM, before)


@contextmanager
def _listening(count: int, talk: Talk) -> "Iterator[Listener]":
    """A bar with rate and time left, where stderr is a terminal."""
    from mnsim.explore.sweep import Listener

    ran, start = 0, monotonic()

    def rate(_: Any) -> str:
        return f"{ran / max(1e-9, monotonic() - start):,.0f} points/s"

    hidden = not sys.stderr.isatty()
    with click.progressbar(
        length=count, label="sweeping", file=sys.stderr, hidden=hidden, show_eta=True, show_pos=True, item_show_func=rate
    ) as bar:

        def done(points: int, was_stored: bool) -> None:
            nonlocal ran
            ran += 0 if was_stored else points
            bar.update(points)

        def words(text: str) -> None:
            if not talk.quiet:
                sys.stderr.write(f"{text}\n" if hidden else f"\n{text}\n")

        yield Listener(done, words)
