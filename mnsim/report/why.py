"""What to buy next: as plain data, as a table, in words."""

import re
from textwrap import fill
from typing import NamedTuple

from mnsim.explore.why import COSTS, RESOURCES, Gain, Resource, Sensitivity
from mnsim.report.columns import time_unit
from mnsim.report.records import Record, hardware_record, network_record
from mnsim.report.text import to_aligned, to_markdown
from mnsim.report.words import headline, sentence_case
from mnsim.units import format_binary, format_peak, format_scaled

_LEAST = 0.0005  # a share that prints as 0.1 %


class _Words(NamedTuple):
    """A resource's key in the hardware file, its unit, its name in a table, its name, and what to do to have more of it."""

    key: str
    unit: str
    short: str
    name: str
    advice: str


_WORDS: dict[Resource, _Words] = {
    "bandwidth": _Words("bus.bandwidth", "B/s", "bandwidth", "bandwidth", "buy bandwidth"),
    "sram": _Words("internal_memory.capacity", "B", "SRAM", "SRAM", "buy SRAM"),
    "matrix": _Words("matrix_unit.throughput", "FLOPS", "matrix unit", "the matrix unit", "buy a faster matrix unit"),
    "vector": _Words("vector_unit.throughput", "FLOPS", "vector unit", "the vector unit", "buy a faster vector unit"),
    "latency": _Words("external_memory.latency", "s", "latency", "external latency", "cut the external latency"),
    "matrix_launch": _Words(
        "matrix_unit.launch_overhead", "s", "matrix launch", "the matrix unit's launch overhead", "cut the matrix unit's launch overhead"
    ),
    "vector_launch": _Words(
        "vector_unit.launch_overhead", "s", "vector launch", "the vector unit's launch overhead", "cut the vector unit's launch overhead"
    ),
}


def why_record(found: Sensitivity) -> Record:
    """Network, hardware, policy, the simulated time, and the resources, the first to buy first. The names are a public contract."""
    return {
        "network": network_record(found.estimate),
        "hardware": hardware_record(found.estimate),
        "policy": found.estimate.plan.policy,
        "simulated_time_s": found.simulated_time_s,
        "resources": [_gain_record(gain, found.simulated_time_s) for gain in found.gains],
        "then": found.then,
        "sentences": list(why_sentences(found)),
    }


def _gain_record(gain: Gain, total_s: float) -> Record:
    """`key` is what `--set` takes; `at_most_amount` null is without limit, `worth_up_to_factor` null beyond a million."""
    return {
        "resource": gain.resource,
        "key": _WORDS[gain.resource].key,
        "now": gain.now,
        "unit": _WORDS[gain.resource].unit,
        "saved_by_10_percent_s": gain.saved_by_10_percent_s,
        "saved_by_2x_s": gain.saved_by_2x_s,
        "saved_at_most_s": gain.saved_at_most_s,
        "share_saved_by_10_percent": gain.saved_by_10_percent_s / total_s,
        "share_saved_by_2x": gain.saved_by_2x_s / total_s,
        "share_saved_at_most": gain.saved_at_most_s / total_s,
        "at_most_amount": gain.at_most_amount,
        "worth_up_to_factor": gain.worth_up_to_factor,
        "elasticity": gain.elasticity,
    }


def why_table(found: Sensitivity, width: int, verbosity: int = 0) -> str:
    """The network and the machine, the table of resources, and the sentences; verbosity -1 gives the table alone."""
    headings, rows, is_text = _cells(found)
    table = to_aligned(headings, rows, is_text)
    if verbosity < 0:
        return table
    words = "".join(f"{_wrapped(sentence, width)}\n" for sentence in why_sentences(found))
    lines = "".join(f"{_wrapped(line, width)}\n" for line in headline(found.estimate).splitlines())
    return f"{lines}\nSimulated time {format_scaled(found.simulated_time_s, 's')}, and what is saved of it:\n\n{table}\n{words}"


def why_markdown(found: Sensitivity) -> str:
    """The table of resources and the sentences."""
    words = "".join(f"- {sentence}\n" for sentence in why_sentences(found))
    total = format_scaled(found.simulated_time_s, "s")
    return f"{headline(found.estimate).replace(chr(10), ' ')}; simulated time {total}\n\n{to_markdown(*_cells(found))}\n{words}"


def _wrapped(text: str, width: int) -> str:
    """Lines of at most this width, in which a number and its unit stay together."""
    whole = re.sub(r"(?<=[0-9]) ", "\u00a0", text)
    return fill(whole, width, break_long_words=False, break_on_hyphens=False).replace("\u00a0", " ")


def _cells(found: Sensitivity) -> tuple[list[str], list[list[str]], list[bool]]:
    """Headings, rows, and which columns are text."""
    unit, scale = time_unit(found.simulated_time_s)
    headings = ["resource", "now", f"by 10 % {unit}", "%", f"by 2x {unit}", "%", "at most %", "worth"]
    rows = [
        [
            _WORDS[gain.resource].short,
            _amount(gain.resource, gain.now),
            _number(gain.saved_by_10_percent_s / scale),
            _number(100 * gain.saved_by_10_percent_s / found.simulated_time_s),
            _number(gain.saved_by_2x_s / scale),
            _number(100 * gain.saved_by_2x_s / found.simulated_time_s),
            _number(100 * gain.saved_at_most_s / found.simulated_time_s),
            ">1e6x" if gain.worth_up_to_factor is None else f"{gain.worth_up_to_factor:.0f}x",
        ]
        for gain in found.gains
    ]
    return headings, rows, [True, *[False] * 7]


def _number(value: float) -> str:
    return f"{round(value, 1) + 0.0:,.1f}"  # rounding leaves no -0.0


def _amount(resource: Resource, amount: float) -> str:
    return format_binary(round(amount)) if resource == "sram" else format_peak(amount, _WORDS[resource].unit)


def why_sentences(found: Sensitivity) -> tuple[str, ...]:
    """The verdict, which is the first resource's sentence; what doubles better, if anything; the others; what there is none of."""
    first, *others = found.gains
    if first.saved_by_10_percent_s < _LEAST * found.simulated_time_s:
        verdict, others = "A tenth of any one resource saves less than 0.1 %: several set the time together.", list(found.gains)
    else:
        verdict = _verdict(found, first)
    return (verdict, *_better_doubled(found), *(_sentence(found, gain) for gain in others), *_absent(found))


def _verdict(found: Sensitivity, first: Gain) -> str:
    worth, advice = first.worth_up_to_factor, _WORDS[first.resource].advice
    if worth == 1:
        after = "No doubling of it saves 5 %"
    elif worth is None:
        after = "Every doubling pays, a millionfold and beyond"
    else:
        after = f"{'Halving' if first.resource in COSTS else 'Doubling'} it pays up to {worth:.0f}x (beyond, less than 5 % a time)"
        after += f"; then {_WORDS[found.then].advice}" if found.then else ""
    return f"{sentence_case(advice)} next: {_figures(found, first)}. {after}."


def _better_doubled(found: Sensitivity) -> tuple[str, ...]:
    """The resource of which twice as much saves more than twice as much of the first does."""
    first, best = found.gains[0], max(found.gains, key=lambda gain: gain.saved_by_2x_s)
    if best.saved_by_2x_s - first.saved_by_2x_s < _LEAST * found.simulated_time_s:
        return ()
    name, (_, twice, _) = _WORDS[best.resource].name, _more(best)
    return (f"In a large step {name} gives more: {twice} {_saves(best.saved_by_2x_s, found.simulated_time_s)}.",)


def _sentence(found: Sensitivity, gain: Gain) -> str:
    name = _WORDS[gain.resource].name
    return f"{sentence_case(name)} ({_amount(gain.resource, gain.now)}): {_figures(found, gain)}."


def _more(gain: Gain) -> tuple[str, str, str]:
    """What 10 %, twice and all of a resource are called."""
    if gain.resource in COSTS:
        return "less", "half of it", "none of it"
    return "more", "twice as much", "any amount"


def _figures(found: Sensitivity, gain: Gain) -> str:
    total_s = found.simulated_time_s
    figures = (gain.saved_by_10_percent_s, gain.saved_by_2x_s, gain.saved_at_most_s)
    if all(abs(saved) < _LEAST * total_s for saved in figures):
        return f"{'cutting it' if gain.resource in COSTS else 'no amount'} saves {_nearly(figures, total_s)}"
    tenth, twice, _ = _more(gain)
    parts = [
        f"10 % {tenth} {_saves(gain.saved_by_10_percent_s, total_s)}",
        f"{twice} {_saves(gain.saved_by_2x_s, total_s)}",
        _at_most(gain, total_s),
    ]
    slower = min(figures[:2]) <= -_LEAST * total_s  # the planner promises the fewest bytes, not the shortest time
    return f"{', '.join(parts)}{' (a plan for more SRAM can be slower, and the one for less still runs)' if slower else ''}"


def _nearly(figures: tuple[float, float, float], total_s: float) -> str:
    return "0.1 %" if max(map(abs, figures)) > 1e-9 * total_s else "anything"


def _saves(saved_s: float, total_s: float) -> str:
    """In words, with the share and the time."""
    if abs(saved_s) < _LEAST * total_s:
        return "saves less than 0.1 %" if abs(saved_s) > 1e-9 * total_s else "saves nothing"
    share, time = f"{100 * abs(saved_s) / total_s:.1f} %", format_scaled(abs(saved_s), "s")
    return f"saves {share} ({time})" if saved_s > 0 else f"makes it {share} slower ({time})"


def _at_most(gain: Gain, total_s: float) -> str:
    most = gain.saved_at_most_s
    if gain.resource in COSTS:
        return f"none of it {_saves(most, total_s)}"
    if most < _LEAST * total_s:
        return f"no amount saves {_nearly((0, 0, most), total_s)}"
    if most - gain.saved_by_2x_s < _LEAST * total_s:
        return "no amount saves more"
    where = f", reached at {format_binary(round(gain.at_most_amount))}" if gain.at_most_amount is not None else ""
    return f"no amount saves more than {100 * most / total_s:.1f} %{where}"


def _absent(found: Sensitivity) -> tuple[str, ...]:
    """The latency and overheads that are 0, and so no resources."""
    there = {gain.resource for gain in found.gains}
    names = [_WORDS[resource].name for resource in RESOURCES if resource not in there]
    if not names:
        return ()
    *others, last = names
    listed = f"{', '.join(others)} and {last} are" if others else f"{last} is"
    return (f"{sentence_case(listed)} 0 on this hardware: nothing to cut there.",)
