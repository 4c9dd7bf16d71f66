"""What to buy next: as plain data, as a table, in words."""

import re
from collections.abc import Sequence

from mnsim.document.blocks import Block, Column, Headline, Table, Words
from mnsim.document.model import Document, View
from mnsim.operators import quantities
from mnsim.operators.quantities import RESOURCES
from mnsim.report.columns import time_unit
from mnsim.report.records import Record, hardware_record, network_record, rows_of
from mnsim.report.simulation import ratio_to
from mnsim.report.words import headline, idle_memories, sentence_case
from mnsim.units import format_binary, format_peak, format_scaled
from mnsim.why import COSTS, SIZES, Gain, ResourceName, Sensitivity

_LEAST = 0.0005  # a share that prints as 0.1 %


def _words(resource: ResourceName) -> quantities.Resource:
    """The table's row of a resource."""
    found = RESOURCES[resource].resource
    assert found is not None
    return found


def why_record(found: Sensitivity) -> Record:
    """Network, hardware, policy, the simulated time, and the resources, the first to buy first. The names
    are a public contract.
    """
    return {
        "network": network_record(found.estimate),
        "hardware": hardware_record(found.estimate),
        "policy": found.estimate.plan.policy,
        "simulated_time_s": found.simulated_time_s,
        "any_schedule_bound_time_s": found.estimate.total.any_schedule_bound_time_s,
        "serial_policy_time_s": found.serial_policy_time_s,
        "resources": [_gain_record(gain, found.simulated_time_s) for gain in found.gains],
        "then": found.then,
        "sentences": list(why_sentences(found)),
    }


def _gain_record(gain: Gain, total_s: float) -> Record:
    """`key` is what `--set` takes; `worth_up_to_factor` is null beyond a million; all but SRAM have no
    `enough`.
    """
    enough_s = gain.saved_by_enough_s
    return {
        "resource": gain.resource,
        "key": RESOURCES[gain.resource].key,
        "now": gain.now,
        "unit": RESOURCES[gain.resource].unit,
        "saved_by_25_percent_s": gain.saved_by_25_percent_s,
        "saved_by_2x_s": gain.saved_by_2x_s,
        "saved_at_most_s": gain.saved_at_most_s,
        "share_saved_by_25_percent": gain.saved_by_25_percent_s / total_s,
        "share_saved_by_2x": gain.saved_by_2x_s / total_s,
        "share_saved_at_most": gain.saved_at_most_s / total_s,
        "worth_up_to_factor": gain.worth_up_to_factor,
        "elasticity": gain.elasticity,
        "enough_amount": gain.enough_amount,
        "saved_by_enough_s": enough_s,
        "share_saved_by_enough": None if enough_s is None else enough_s / total_s,
    }


def why_document(found: Sensitivity) -> Document:
    """The network and the machine, the table of resources, and the sentences."""
    return Document(lambda: why_record(found), lambda: rows_of(why_record(found)["resources"]), lambda view: _blocks(found, view))


def _blocks(found: Sensitivity, view: View) -> Sequence[Block]:
    lines, total, columns = headline(found.estimate), _total(found), _columns(found)
    if view == "bare":
        return [Table(columns)]
    sentences = why_sentences(found)
    if view == "page":
        return [Words((f"{' '.join(lines)}; simulated time {total}",)), Table(columns), Words(sentences, are_items=True)]
    title = f"Simulated time {total}: what is saved of it"
    return [Headline(tuple(map(_unbroken, lines))), Table(columns, title), Words(tuple(map(_unbroken, sentences)))]


def _total(found: Sensitivity) -> str:
    """The simulated time beside the largest bound for any schedule."""
    bound_s = found.estimate.total.any_schedule_bound_time_s
    beside = f"{ratio_to(found.simulated_time_s, bound_s):.3f}x the bound ({format_scaled(bound_s, 's')})"
    return f"{format_scaled(found.simulated_time_s, 's')}, {beside}"


def _unbroken(text: str) -> str:
    """The text with its numbers bound to their units."""
    return re.sub(r"(?<=[0-9]) ", "\u00a0", text)


def _columns(found: Sensitivity) -> tuple[Column, ...]:
    unit, scale = time_unit(found.simulated_time_s)
    headings = ("resource", "now", f"by 25 % {unit}", "%", "by 2x %", "most %", "worth", "enough")
    rows = [
        (
            _words(gain.resource).short,
            _amount(gain.resource, gain.now),
            _number(gain.saved_by_25_percent_s / scale),
            _number(100 * gain.saved_by_25_percent_s / found.simulated_time_s),
            _number(100 * gain.saved_by_2x_s / found.simulated_time_s),
            _number(100 * gain.saved_at_most_s / found.simulated_time_s),
            ">1e6x" if gain.worth_up_to_factor is None else f"{gain.worth_up_to_factor:.0f}x",
            "" if gain.enough_amount is None else _size(gain.enough_amount),
        )
        for gain in found.gains
    ]
    columns = zip(headings, zip(*rows, strict=True), strict=True)
    return tuple(Column(heading, cells, is_text=heading == "resource") for heading, cells in columns)


def _number(value: float) -> str:
    return f"{round(value, 1) + 0.0:,.1f}"  # rounding leaves no -0.0


def _amount(resource: ResourceName, amount: float) -> str:
    return format_binary(round(amount)) if resource in SIZES else format_peak(amount, RESOURCES[resource].unit)


def _size(size_bytes: float) -> str:
    """A size that simulates as it is written: in the largest unit of which it is a whole number."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes % factor == 0:
            return f"{size_bytes / factor:.0f} {unit}"
    return f"{size_bytes:.0f} B"


def why_sentences(found: Sensitivity) -> tuple[str, ...]:
    """The verdict, which is the first resource's sentence; a resource that doubles better; the others; those
    that the machine lacks.
    """
    first, *others = found.gains
    if first.saved_by_25_percent_s >= _LEAST * found.simulated_time_s:
        verdict = _verdict(found, first)
    else:
        verdict, others = _no_verdict(found), list(found.gains)
    return (
        *_for_nothing(found),
        verdict,
        *_better_doubled(found),
        *(_sentence(found, gain) for gain in others),
        *_absent(found),
        *idle_memories(found.estimate.hardware),
    )


def _for_nothing(found: Sensitivity) -> tuple[str, ...]:
    """The time that policy serial saves without buying anything, where it is large enough."""
    saved_s = found.simulated_time_s - found.serial_policy_time_s
    if saved_s < _LEAST * found.simulated_time_s:
        return ()
    return (f"Buy nothing before trying --policy serial: on this hardware it {_saves(saved_s, found.simulated_time_s)}.",)


def _no_verdict(found: Sensitivity) -> str:
    """The sentence where 25 % more of no resource saves anything: another one takes as long."""
    if max(gain.saved_at_most_s for gain in found.gains) < _LEAST * found.simulated_time_s:
        return "Nothing to buy next: no amount tried of any one resource saves 0.1 %, as several set the time together."
    fifth = " (a fifth less of a latency or an overhead)" if any(gain.resource in COSTS for gain in found.gains) else ""
    return f"25 % more of any one resource{fifth} saves less than 0.1 %: several set the time together."


def _verdict(found: Sensitivity, first: Gain) -> str:
    worth, advice = first.worth_up_to_factor, _words(first.resource).advice
    then = f"; then {_words(found.then).advice}" if found.then else ""
    if first.resource in SIZES:
        after = f"{_enough(found, first)}{then}" if _enough(found, first) else "No size tried saves more than 0.5 %"
    elif worth == 1:
        after = "No doubling of it saves 5 %"
    elif worth is None:
        after = "Every doubling pays, a millionfold and beyond"
    else:
        after = f"{'Halving' if first.resource in COSTS else 'Doubling'} it pays up to {worth:.0f}x (beyond, less than 5 % a time){then}"
    return f"{sentence_case(advice)} next: {_figures(found, first)}. {after}."


def _enough(found: Sensitivity, gain: Gain) -> str:
    """The size of the SRAM that is enough, and its saving; empty for the present size, and for other
    resources.
    """
    if gain.enough_amount in (None, gain.now) or gain.saved_by_enough_s is None:
        return ""
    saves = _saves(gain.saved_by_enough_s, found.simulated_time_s)
    return f"{_size(gain.enough_amount)} is enough: simulated, it {saves}, and no smaller size tried comes within 0.5 % of the best"


def _better_doubled(found: Sensitivity) -> tuple[str, ...]:
    """The resource of which twice as much saves more than twice as much of the first does."""
    first, best = found.gains[0], max(found.gains, key=lambda gain: gain.saved_by_2x_s)
    if best.saved_by_2x_s - first.saved_by_2x_s < _LEAST * found.simulated_time_s:
        return ()
    name, (_, twice, _) = _words(best.resource).words, _amounts(best)
    return (f"In a large step {name} gives more: {twice} {_saves(best.saved_by_2x_s, found.simulated_time_s)}.",)


def _sentence(found: Sensitivity, gain: Gain) -> str:
    name, enough = _words(gain.resource).words, _enough(found, gain)
    figures = f"{_figures(found, gain)}. {enough}" if enough else _figures(found, gain)
    return f"{sentence_case(name)} ({_amount(gain.resource, gain.now)}): {figures}."


def _amounts(gain: Gain) -> tuple[str, str, str]:
    """The words for 25 % more, twice as much, and the amount beyond which nothing is saved."""
    if gain.resource in COSTS:
        return "a fifth less", "half of it", "none of it"
    return "25 % more", "twice as much", "no size tried" if gain.resource in SIZES else "no amount"


def _figures(found: Sensitivity, gain: Gain) -> str:
    total_s = found.simulated_time_s
    figures = (gain.saved_by_25_percent_s, gain.saved_by_2x_s, gain.saved_at_most_s)
    more, twice, none = _amounts(gain)
    if all(abs(saved) < _LEAST * total_s for saved in figures):
        most = max(figures, key=abs)
        return f"cutting it {_saves(most, total_s)}" if gain.resource in COSTS else f"{none} saves {_nearly(most, total_s)}"
    parts = [
        f"{more} {_saves(gain.saved_by_25_percent_s, total_s)}",
        f"{twice} {_saves(gain.saved_by_2x_s, total_s)}",
        _at_most(gain, total_s),
    ]
    if min(figures[:2]) > -_LEAST * total_s:
        return ", ".join(parts)
    is_size = gain.resource in SIZES  # the planner promises the fewest bytes, not the shortest time
    why = (
        "a plan for more SRAM can be slower, and the one for less still runs"
        if is_size
        else "of plans about as fast, that of fewer commands is taken"
    )
    return f"{', '.join(parts)} ({why})"


def _nearly(most_s: float, total_s: float) -> str:
    return "0.1 %" if abs(most_s) > 1e-9 * total_s else "anything"


def _saves(saved_s: float, total_s: float) -> str:
    """A saving in words, with the share and the time."""
    if abs(saved_s) < _LEAST * total_s:
        return "saves less than 0.1 %" if abs(saved_s) > 1e-9 * total_s else "saves nothing"
    share, time = f"{100 * abs(saved_s) / total_s:.1f} %", format_scaled(abs(saved_s), "s")
    return f"saves {share} ({time})" if saved_s > 0 else f"makes it {share} slower ({time})"


def _at_most(gain: Gain, total_s: float) -> str:
    most, (_, _, none) = gain.saved_at_most_s, _amounts(gain)
    if gain.resource in COSTS:
        return f"{none} {_saves(most, total_s)}"
    if most < _LEAST * total_s:
        return f"{none} saves {_nearly(most, total_s)}"
    if most - gain.saved_by_2x_s < _LEAST * total_s:
        return f"{none} saves {'0.1 % more' if most - gain.saved_by_2x_s > 1e-9 * total_s else 'more'}"
    return f"{none} saves more than {100 * most / total_s:.1f} %"


def _absent(found: Sensitivity) -> tuple[str, ...]:
    """The latency and overheads that are 0, and so are no resources."""
    there = {gain.resource for gain in found.gains}
    names = [_words(resource).words for resource in RESOURCES if resource not in there]
    if not names:
        return ()
    *others, last = names
    listed = f"{', '.join(others)} and {last} are" if others else f"{last} is"
    return (f"{sentence_case(listed)} 0 on this hardware: nothing to cut there.",)
