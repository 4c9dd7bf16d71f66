"""How far a long piece of work is, told to whoever wants to know."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Progress = Callable[[int, int], None]  # how much is done, of how much
EVERY = 1000  # commands from one telling to the next

Item = TypeVar("Item")


def untold(done: int, of: int) -> None:
    """Tell nobody."""


def telling(items: Sequence[Item], progress: Progress) -> Iterator[Item]:
    """The items one by one, now and then telling how many are behind."""
    for number, item in enumerate(items):
        if number % EVERY == 0:
            progress(number, len(items))
        yield item
    progress(len(items), len(items))


def part(progress: Progress, number: int, parts: int) -> Progress:
    """Progress in one of several parts of equal length, as progress in the whole."""
    return lambda done, of: progress(number * of + done, parts * of)
