"""Colours, by rich: loaded only where they are wanted."""

from collections.abc import Callable
from functools import cache

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style


def painter() -> Callable[[str, str], str]:
    """A function that gives a text in a style of rich (bold cyan); without hues where NO_COLOR is set."""
    has_hues = not Console().no_color

    @cache
    def styled(words: str) -> Style:
        return Style.parse(words) if has_hues else Style.parse(words).without_color

    return lambda text, words: styled(words.strip()).render(text, color_system=ColorSystem.STANDARD) if words.strip() else text
