"""The progress of a long piece of work."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Progress = Callable[[int, int], None]  # called with the work that is done, and all work
EVERY = 1000  # commands between two calls

Item = TypeVar("Item")


def untold(done: int, of: int) -> None:
    """Show no progress."""


def telling(items: Sequence[Item], progress: Progress) -> Iterator[Item]:
    """The items one by one; `progress` is called after every EVERY of them."""
    for number, item in enumerate(items):
        if number % EVERY == 0:
            progress(number, len(items))
        yield item
    progress(len(items), len(items))


def part(progress: Progress, number: int, parts: int) -> Progress:
    """Progress in one of several parts of equal length, as progress in the whole."""
    return lambda done, of: progress(number * of + done, parts * of)
