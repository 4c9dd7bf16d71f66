"""Charts in characters: how busy each engine is over the run, and when each layer runs."""

from collections.abc import Sequence

from mnsim.program.model import EngineName, Program, engine_of, engines_of
from mnsim.program.occupancy import Occupancy
from mnsim.program.timeline import Timeline

LEVELS = " ▁▂▃▄▅▆▇█"


def engine_rows(program: Program, timeline: Timeline, columns: int) -> dict[EngineName, str]:
    """For every engine a line of so many characters, each as high as the share of its slice of time that the engine works."""
    busy = {engine: [0.0] * columns for engine in engines_of(program)}
    slice_s = timeline.end_s / columns
    for command in program.commands if slice_s else ():
        _spread(busy[engine_of(command)], timeline.starts_s[command.id], timeline.ends_s[command.id], slice_s)
    return {engine: "".join(_level(amount / slice_s if slice_s else 0.0) for amount in amounts) for engine, amounts in busy.items()}


def _spread(amounts: list[float], start: float, end: float, slice_s: float) -> None:
    """Add the interval's time to the slices that it covers."""
    first, last = (min(int(moment / slice_s), len(amounts) - 1) for moment in (start, end))
    for place in range(first, last + 1):
        amounts[place] += max(0.0, min(end, (place + 1) * slice_s) - max(start, place * slice_s))


def _level(share: float) -> str:
    """A share as a character: empty only for nothing, full only for (nearly) all."""
    if share <= 0:
        return LEVELS[0]
    return LEVELS[min(8, max(1, int(share * 8 + 1e-6)))]


def sram_row(sram: Occupancy, capacity: int, columns: int, end_s: float) -> str:
    """A line of so many characters, each as high as the most of the SRAM that is in use in its slice of time."""
    most, level, place = [0] * columns, 0, 0
    for column in range(columns):
        start, end = column * end_s / columns, (column + 1) * end_s / columns
        highest = 0
        while place < len(sram.times_s) and sram.times_s[place] < end:
            if sram.times_s[place] > start:
                highest = max(highest, level)  # what was in use when the slice began, if it lasted
            level = sram.in_use_bytes[place]
            highest = max(highest, level)
            place += 1
        most[column] = max(highest, level)
    return "".join(_level(level / capacity) for level in most)


def layer_bar(intervals: Sequence[tuple[float, float, EngineName]], end_s: float, columns: int) -> str:
    """When a layer runs: in each slice of time `█` if it mostly computes, `─` if it is mostly on the bus, blank for neither."""
    on_bus, computing = [0.0] * columns, [0.0] * columns
    for start, end, engine in intervals if end_s else ():
        _spread(on_bus if engine == "bus" else computing, start, end, end_s / columns)
    cells = (" " if not bus and not work else "─" if bus > work else "█" for bus, work in zip(on_bus, computing, strict=True))
    return "".join(cells).rstrip()


def axis(end_s: float, columns: int, unit: str, scale: float) -> str:
    """The scale under the charts: the start, each quarter and the end; a mark that would touch the next one is left out."""
    line, free = [" "] * columns, columns + 1
    for quarter in (4, 3, 2, 1, 0):
        text = f"{quarter * end_s / 4 / scale:,.0f}" + (f" {unit}" if quarter == 4 else "")
        start = columns - len(text) if quarter == 4 else round(quarter * columns / 4)
        if start >= 0 and start + len(text) < free:
            line[start : start + len(text)] = text
            free = start
    return "".join(line)
