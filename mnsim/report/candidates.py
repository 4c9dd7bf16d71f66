"""The candidates for a plan, and why the clock took the one that ran."""

from mnsim.choice import Choice, Tried
from mnsim.document.blocks import Column, Table
from mnsim.lowering.lower import MOST_COMMANDS
from mnsim.plan.model import Plan
from mnsim.report.records import Record
from mnsim.units import format_scaled

_NOTICEABLE = 0.0005  # a share that prints as 0.1 %


def candidate_records(choice: Choice) -> list[Record]:
    """A record a candidate, in their order. `simulated_time_s` is null where it was not played: its program
    is too long, or `least_time_s`, what its busiest engine needs, rules it out.
    """
    return [
        {
            "taken": number == choice.taken,
            "segments": len(each.plan.segments),
            "fused_layers": _fused_layers(each.plan),
            "commands": each.commands,
            "traffic_bytes": each.moved_bytes,
            "least_time_s": each.least_time_s,
            "simulated_time_s": each.simulated_time_s,
        }
        for number, each in enumerate(choice.tried)
    ]


def _fused_layers(plan: Plan) -> int:
    return sum(len(segment.cuts) for segment in plan.segments if segment.kind != "single")


def candidate_table(choice: Choice) -> Table:
    """The candidates, one a row."""
    tried = choice.tried
    return Table(
        (
            Column("candidate", [str(number) for number in range(1, len(tried) + 1)]),
            Column("segments", [f"{len(each.plan.segments):,}" for each in tried]),
            Column("fused layers", [f"{_fused_layers(each.plan):,}" for each in tried]),
            Column("commands", [f"{each.commands:,}" for each in tried]),
            Column("moved B", [f"{each.moved_bytes:,}" for each in tried]),
            Column("time", [_time(each) for each in tried]),
            Column("", ["runs" if number == choice.taken else "" for number in range(len(tried))], is_text=True),
        )
    )


def _time(each: Tried) -> str:
    if each.simulated_time_s is not None:
        return format_scaled(each.simulated_time_s, "s")
    return "too long" if each.commands > MOST_COMMANDS else f"at least {format_scaled(each.least_time_s, 's')}"


def choice_words(choice: Choice | None) -> tuple[str, ...]:
    """The sentence about the candidate that runs, where there were several."""
    if choice is None or (choice.is_over and len(choice.tried) == 1):
        return ()
    first, taken = choice.tried[0], choice.tried[choice.taken]
    others = [each for number, each in enumerate(choice.tried) if number not in (0, choice.taken)]
    runs = "the first" if choice.taken == 0 else f"number {choice.taken + 1}"
    told = [f"The plan is {runs} of {len(choice.tried)} candidates" if choice.is_over else f"The plan is {runs} of the candidates"]
    told[0] += f", {_beside(taken, first)}" if choice.taken else ""
    told += _others(taken, others)
    told += [] if choice.is_over else ["no more were made: it is within 0.5 % of what no schedule beats"]
    return (f"{'; '.join(told)}.",)


def _beside(taken: Tried, first: Tried) -> str:
    """The candidate that runs beside the first."""
    if first.simulated_time_s is None:
        return "for the first has too many commands"
    assert taken.simulated_time_s is not None
    saved = 1 - taken.simulated_time_s / first.simulated_time_s
    fewer = f"with {taken.commands:,} commands, not {first.commands:,}"
    if saved >= _NOTICEABLE:
        return f"{_percent(saved)} faster than the first"
    return f"as fast as the first {fewer}" if saved > -_NOTICEABLE else f"{_percent(-saved)} slower than the first, but {fewer}"


def _others(taken: Tried, others: list[Tried]) -> list[str]:
    """What there is to say of the candidates that did not run."""
    assert taken.simulated_time_s is not None
    more = sorted(each.simulated_time_s / taken.simulated_time_s - 1 for each in others if each.simulated_time_s is not None)
    long = sum(each.commands > MOST_COMMANDS for each in others)
    unplayed = len(others) - len(more) - long
    groups, words = [more, unplayed, long], []
    counted = _all_of if sum(map(bool, groups)) == 1 else _counted
    if more:
        words.append(f"{counted(len(more))} {'takes' if len(more) == 1 else 'take'} {_span(more[0], more[-1])}")
    if unplayed:
        words.append(f"{counted(unplayed)} could not be worth it, by what the busiest engine needs")
    if long:
        words.append(f"{counted(long)} {'has' if long == 1 else 'have'} too many commands")
    return words


def _span(low: float, high: float) -> str:
    """How much longer than another candidate some take, as shares of its time; little less is possible."""
    if low <= -_NOTICEABLE:
        return f"{_percent(-low)} less" + (f" to {_percent(high)} longer" if high >= _NOTICEABLE else "")
    low, high = abs(low), abs(high)
    return f"{_percent(high)} longer" if _percent(low) == _percent(high) else f"{low * 100:.1f} to {_percent(high)} longer"


def _counted(count: int) -> str:
    return "1 other" if count == 1 else f"{count} others"


def _all_of(count: int) -> str:
    return "the other" if count == 1 else f"the {count} others"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
