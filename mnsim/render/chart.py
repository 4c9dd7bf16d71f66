"""Charts in characters: tracks over time, and when a row runs."""

from collections.abc import Iterable, Sequence

from mnsim.document.blocks import Bars, Busy, Chart, Column, Interval, Steps

LEVELS = " ▁▂▃▄▅▆▇█"
THIN, THICK = "─", "█"
MOST_COLUMNS, LEAST_BAR, WIDE_BAR = 120, 12, 48


def chart_text(chart: Chart, width: int) -> str:
    """A line a track with its label and note, and the axis below."""
    width = min(MOST_COLUMNS, width)
    label = max(len(track.label) for track in chart.tracks) + 2
    columns = max(10, width - label - max(len(track.note) for track in chart.tracks) - 2)
    lines = [f"{track.label:<{label}}{track_line(track, chart.end_s, columns)}  {track.note}" for track in chart.tracks]
    return "".join(f"{line.rstrip()}\n" for line in [*lines, " " * label + axis(chart, columns)])


def track_line(track: Busy | Steps, end_s: float, columns: int) -> str:
    """A character a slice of time: as high as its busy share, or as the largest amount in it."""
    if isinstance(track, Steps):
        return "".join(_level(most / track.most) for most in _highest(track, end_s, columns))
    slice_s = end_s / columns
    return "".join(_level(amount / slice_s if slice_s else 0.0) for amount in _spread(track.intervals, end_s, columns))


def _spread(intervals: Iterable[Interval], end_s: float, columns: int) -> list[float]:
    """How much of each slice of time lies in the intervals."""
    amounts, slice_s = [0.0] * columns, end_s / columns
    for each in intervals if slice_s else ():
        first, last = (min(int(moment / slice_s), columns - 1) for moment in (each.start_s, each.end_s))
        for place in range(first, last + 1):
            amounts[place] += max(0.0, min(each.end_s, (place + 1) * slice_s) - max(each.start_s, place * slice_s))
    return amounts


def _level(share: float) -> str:
    """A share as a character: empty only for nothing, full only for (nearly) all."""
    if share <= 0:
        return LEVELS[0]
    return LEVELS[min(8, max(1, int(share * 8 + 1e-6)))]


def _highest(track: Steps, end_s: float, columns: int) -> list[int]:
    """The largest amount in each slice of time."""
    most, level, place = [0] * columns, 0, 0
    for column in range(columns):
        start, end = column * end_s / columns, (column + 1) * end_s / columns
        highest = 0
        while place < len(track.times_s) and track.times_s[place] < end:
            if track.times_s[place] > start:
                highest = max(highest, level)  # the amount when the slice began, if it lasted
            level = track.amounts[place]
            highest = max(highest, level)
            place += 1
        most[column] = max(highest, level)
    return most


def bars_column(bars: Bars, room: int) -> tuple[Column, str]:
    """The bars as a column that fills the room, within limits; and the legend if the heading has no room."""
    columns = min(MOST_COLUMNS, max(LEAST_BAR, room))
    legend = f"{THIN} {bars.thin}, {THICK} {bars.thick}"
    heading = f"{bars.heading} ({legend})" if columns > WIDE_BAR else bars.heading
    cells = tuple(bar_line(row, bars.end_s, columns) for row in bars.rows)
    return Column(heading, cells, bars.rank, True), "" if columns > WIDE_BAR else f"({bars.heading}: {legend})"


def bar_line(intervals: Sequence[Interval], end_s: float, columns: int) -> str:
    """A character a slice of time: thick or thin as most of what runs there is, blank where nothing does."""
    thin, thick = (_spread((each for each in intervals if each.is_thick == kind), end_s, columns) for kind in (False, True))
    cells = (" " if not light and not heavy else THIN if light > heavy else THICK for light, heavy in zip(thin, thick, strict=True))
    return "".join(cells).rstrip()


def axis(chart: Chart, columns: int) -> str:
    """The scale under the tracks: start, quarters, end. A mark that would touch the next one is left out."""
    line, free = [" "] * columns, columns + 1
    for quarter in (4, 3, 2, 1, 0):
        text = f"{quarter * chart.end_s / 4 / chart.unit_s:,.0f}" + (f" {chart.unit}" if quarter == 4 else "")
        start = columns - len(text) if quarter == 4 else round(quarter * columns / 4)
        if start >= 0 and start + len(text) < free:
            line[start : start + len(text)] = text
            free = start
    return "".join(line)
