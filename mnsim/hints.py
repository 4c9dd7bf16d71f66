"""The words that a mistyped one may have been: only such as are truly near, for a wrong hint is worse than
none.
"""

import re
from collections.abc import Sequence

LONGEST = 100  # letters of a word that is compared


def near_words(word: str, known: Sequence[str]) -> list[str]:
    """The known words that a word may stand for.

    The one that differs in case, hyphens and underscores alone; else those that it is the beginning of, or
    whole parts of (`pool` of `max_pool`); else the one that takes the fewest slips (a letter too many, too
    few, another, two swapped): one slip in a word of three letters, two in six, three in ten.
    """
    folded = fold(word[:LONGEST])
    if not folded:
        return []
    names = {name: fold(name) for name in known}
    same = [name for name, letters in names.items() if letters == folded]
    if same:
        return same[:1]
    parts = set(re.split(r"[-_. ]+", word.casefold())) - {""}
    within = [name for name, letters in names.items() if len(folded) > 1 and letters.startswith(folded)]
    within = within or [name for name in names if len(folded) > 2 and parts < set(re.split(r"[-_. ]+", name.casefold()))]
    if within:
        return within
    most = min(3, (len(folded) + 2) // 4) if len(folded) > 2 else 0
    slips = {name: slips_between(folded, letters, most) for name, letters in names.items() if abs(len(letters) - len(folded)) <= most}
    near = [name for name, count in slips.items() if count <= most]
    return [min(near, key=lambda name: (slips[name], -_in_common(folded, names[name])))] if near else []


def fold(word: str) -> str:
    """The word without case, hyphens, underscores and spaces."""
    return re.sub(r"[-_ ]", "", word.casefold())


def slips_between(one: str, other: str, most: int) -> int:
    """Letters added, left out or replaced, and neighbours swapped, that make one word of the other; `most` +
    1 for more than that.

    The optimal string alignment distance.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        above, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and wanted == one[i - 2]:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)


def _in_common(one: str, other: str) -> int:
    """Letters that both begin with."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
