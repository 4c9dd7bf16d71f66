"""The mistake behind a text that is not YAML, or YAML of another meaning: its line, in plain words.

A parser stops where it cannot go on, often a line or more behind the mistake, and speaks of tokens. Each
function here knows one kind of mistake by the lines around that place, and gives None for any other.
"""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from mnsim.errors import Location, SpecError, shown
from mnsim.spec.document import Text
from mnsim.spec.network import OPERATORS, WORDS, Defaults, GroupSpec, NetworkSpec

_BRACKETS = {"[": "]", "{": "}"}
_GLUED = re.compile(r"[\s-]*[\w-]+:(?=\w|\[|\{)")
_KEY_AND_BRACKET = re.compile(r" *(?:- +)*(?P<word>[A-Za-z_][\w.-]*) *[\[{]")
_KEY = re.compile(r"(?:- +)*(?P<word>[A-Za-z_][\w.-]*)")


def not_yaml(text: Text, error: Any) -> SpecError:
    """The error for a text that PyYAML could not parse (a MarkedYAMLError)."""
    mark, context = error.problem_mark or error.context_mark, error.context_mark
    if mark is None:
        return SpecError("S003", f"not YAML: {error.problem}", text.at(0, 0), "check indentation, quotes, brackets and colons")
    about, what = error.context or "", error.problem or ""
    guesses = (
        _tab(text, mark.line),
        _open_quote(text, context, about),
        _open_bracket(text, mark, context, about),
        _glued_colon(text, mark.line),
        _no_colon(text, mark, context, what),
        _second_colon(text, mark, what),
        _behind_the_end(text, mark, what),
        _no_dash(text, mark, context, what),
        _indentation(text, mark, what),
        _forbidden(text, mark, what),
    )
    found = next((guess for guess in guesses if guess), None)
    return found or _plainly(text, mark, context, " ".join(part for part in (what, about) if part))


def _wrong(place: Location, message: str, remedy: str) -> SpecError:
    return SpecError("S003", f"not YAML: {message}", place, remedy)


def _line(text: Text, number: int) -> str:
    return text.lines[number] if 0 <= number < len(text.lines) else ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _above(text: Text, number: int) -> int:
    """The nearest line above that says something, -1 if there is none."""
    lines = (index for index in range(number - 1, -1, -1) if text.lines[index].strip() and text.lines[index].lstrip()[0] != "#")
    return next(lines, -1)


def _tab(text: Text, number: int) -> SpecError | None:
    for line in (number, number - 1):
        blank = re.match(r" *\t", _line(text, line))
        if blank:
            return _wrong(text.at(line, blank.end() - 1), "a tab indents this line", "indent with spaces, not with a tab")
    return None


def _open_quote(text: Text, context: Any, about: str) -> SpecError | None:
    if "quoted" not in about:
        return None
    return _wrong(text.at(context.line, context.column), "a quote opens here, and none closes it", "close the quote")


def _open_bracket(text: Text, mark: Any, context: Any, about: str) -> SpecError | None:
    """A bracket that is not closed in its line; within the line, another bracket that closes it, or a comma
    that is missing.
    """
    opening = _line(text, context.line)[context.column : context.column + 1] if context else ""
    if "flow" not in about or opening not in _BRACKETS:
        return None
    closing, stop = _BRACKETS[opening], _line(text, mark.line)[mark.column : mark.column + 1]
    if stop and stop in "]}":
        place = text.at(mark.line, mark.column)
        return _wrong(place, f"'{opening}' was opened, and '{stop}' does not close it", f"write `{closing}` here")
    before = _line(text, mark.line)[: mark.column]
    if mark.line > context.line or not stop:
        message = f"'{opening}' opens here, and no '{closing}' closes it"
        return _wrong(text.at(context.line, context.column), message, "close the bracket")
    word = re.search(r"([A-Za-z_][\w.]*)\s*$", before)
    if word is None or stop != ":":
        return None
    return _wrong(text.at(mark.line, word.start(), len(word[1])), f"`,` is missing before `{word[1]}`", f"write `, {word[1]}: ...`")


def _glued_colon(text: Text, number: int) -> SpecError | None:
    for line in (number, _above(text, number)):
        glued = _GLUED.match(_line(text, line))
        if glued:
            place = text.at(line, glued.end(), len(_line(text, line)) - glued.end())
            return _wrong(place, "no space after ':'", "write a space after the colon")
    return None


def _no_colon(text: Text, mark: Any, context: Any, what: str) -> SpecError | None:
    """A line that was to be a key, and has no colon: the parser names it, or takes it for the start of the
    next line's key.
    """
    if "could not find expected ':'" in what and context:
        line = context.line
    elif "mapping values are not allowed" in what and (word := _KEY_AND_BRACKET.match(_line(text, mark.line))):
        return _colon_after(text, mark.line, word)
    elif "mapping values are not allowed" in what and ": " not in _line(text, mark.line)[: mark.column]:
        line = _above(text, mark.line)
    else:
        return None
    content = _line(text, line)
    word = _KEY.match(content, _indent(content))
    if _in_list(text, line):
        return _glued_dash(text, line) or _missing_dash(text, line)
    if word is None or re.search(r":(\s|$)", content) or content.lstrip(" -") in WORDS:
        return None
    return _colon_after(text, line, word)


def _colon_after(text: Text, line: int, word: re.Match[str]) -> SpecError:
    return _wrong(text.at(line, word.end("word")), f"`:` is missing after `{word['word']}`", f"write `{word['word']}: ...`")


def _in_list(text: Text, number: int) -> bool:
    """Whether a line stands where the items of the list above it do, without being an item."""
    indent = _indent(text.lines[number])
    if text.lines[number][indent : indent + 2] in ("- ", "-"):
        return False
    for line in range(number - 1, -1, -1):
        content = text.lines[line]
        if content.strip() and _indent(content) <= indent:
            return _indent(content) == indent and content[indent : indent + 2] in ("- ", "-")
    return False


def _glued_dash(text: Text, number: int) -> SpecError | None:
    content = _line(text, number)
    glued = re.match(r" *-(?=[A-Za-z{\[])", content)
    return _wrong(text.at(number, glued.end() - 1), "no space after '-'", "write a space after the dash") if glued else None


def _missing_dash(text: Text, number: int) -> SpecError:
    content = _line(text, number)
    word = content.split()[0]
    return _wrong(text.at(number, _indent(content), len(word)), "`- ` is missing at the start of the line", "write `- ` before each item")


def _second_colon(text: Text, mark: Any, what: str) -> SpecError | None:
    before = _line(text, mark.line)[: mark.column]
    if "mapping values are not allowed" not in what or ": " not in before:
        return None
    return _wrong(text.at(mark.line, mark.column), "a second `:` in one line", "put quotes around a value with a colon in it")


def _behind_the_end(text: Text, mark: Any, what: str) -> SpecError | None:
    """A bracket that closes nothing, or text after a closing quote; an earlier quote that is not closed may
    have opened it.
    """
    line = _line(text, mark.line)
    stop, before = line[mark.column : mark.column + 1], line[: mark.column].rstrip()
    if "did not find expected" not in what and "expected <block end>" not in what:
        return None
    if stop and stop in "]}":
        opening = next(key for key, value in _BRACKETS.items() if value == stop)
        return _wrong(text.at(mark.line, mark.column), f"'{stop}' closes nothing: no '{opening}' is open", "remove the bracket")
    if before[-1:] not in ("'", '"') or not stop:
        return None
    quote = before[-1]
    above = _above(text, mark.line)
    opened = re.search(rf"(?<=[:\[,-] ){quote}", _line(text, above))
    if opened and _line(text, above).count(quote) % 2:
        return _wrong(text.at(above, opened.start()), "a quote opens here, and none closes it in its line", "close the quote")
    return _wrong(text.at(mark.line, mark.column), "this stands behind the quote that closes the value", "write it in the other quotes")


def _no_dash(text: Text, mark: Any, context: Any, what: str) -> SpecError | None:
    line = _line(text, mark.line)
    if _indent(line) != mark.column:
        return None
    if "'-' indicator" in what or (context and "block sequence" in what):
        return _glued_dash(text, mark.line) or (_missing_dash(text, mark.line) if _in_list(text, mark.line) else None)
    above = _above(text, mark.line)
    if line.lstrip().startswith("- ") and _indent(_line(text, above)) == mark.column and _line(text, above).lstrip()[:1] in _BRACKETS:
        return _missing_dash(text, above)
    return None


def _indentation(text: Text, mark: Any, what: str) -> SpecError | None:
    """A line that is indented more or less than those that it belongs to."""
    line, above = _line(text, mark.line), _above(text, mark.line)
    wanted, found = _indent(_line(text, above)), _indent(line)
    if not line[found:].startswith("-"):
        wanted = len(re.match(r" *(?:- +)*", _line(text, above))[0])  # type: ignore[index]
    aligned = "did not find expected" in what or "expected <block end>" in what or "mapping values" in what
    if not aligned or above < 0 or found == wanted:
        return None
    message = f"this line begins in column {found + 1}, the one above in {wanted + 1}"
    place = text.at(mark.line, found)
    return _wrong(place, message, "lines that belong together have the same indentation")


def _forbidden(text: Text, mark: Any, what: str) -> SpecError | None:
    character = _line(text, mark.line)[mark.column : mark.column + 1]
    if "cannot start any token" not in what or not character.strip():
        return None
    return _wrong(text.at(mark.line, mark.column), f"a value cannot start with {shown(character)}", "put quotes around it")


def _plainly(text: Text, mark: Any, context: Any, what: str) -> SpecError:
    """The parser's own words, at its place. Without text there, they stand where the unfinished part began,
    else at the last character.
    """
    remedy = "check indentation, quotes, brackets and colons here"
    for each in (mark, context):
        if each and "".join(text.lines[each.line :])[each.column :].strip():
            return _wrong(text.at(each.line, each.column), what, remedy)
    last = max((index for index, line in enumerate(text.lines) if line.strip()), default=0)
    return _wrong(text.at(last, max(0, len(text.lines[last].rstrip()) - 1)), what, remedy)


def slip(text: Text, place: Location, written: str, alone: bool) -> tuple[Location, str, str] | None:
    """The colon, space or dash that is missing in a wrong value or key: place, message and remedy, or None.

    YAML takes `- conv 8` for one word, and lines that follow a value without a colon or a dash for more of
    that value. `alone` says that the value cannot be a text, so that its first line is looked at, too.
    """
    known, start = _words_of_files(), place.line - 1
    if _line(text, start)[place.column - 1 : place.column] in tuple("'\"|>&*!"):
        return None
    for line, column, body in _lines_of(text, place, written):
        if line == start and not alone:
            continue
        if line > start and body.startswith("- "):
            message = f"this line goes on with the value of line {place.line}: its dash stands elsewhere"
            return text.at(line, column), message, "a list's dashes stand in one column"
        if re.match(r"-[A-Za-z{\[]", body):
            return text.at(line, column), "no space after '-'", "write a space after the dash"
        word = re.match(r"([A-Za-z_][\w.]*)(:(?=\S)|\s*[=;]|\s+(?=\S)|$)", body)
        if word is None or word[1] not in known or (line == start and not word[2]):
            continue
        if word[2] == ":":
            return text.at(line, column + word.end()), "no space after ':'", "write a space after the colon"
        return text.at(line, column + len(word[1])), f"`:` is missing after `{word[1]}`", f"write `{word[1]}: ...`"
    return None


def _lines_of(text: Text, place: Location, written: str) -> Iterator[tuple[int, int, str]]:
    """The lines of a plain value: number, column, and content."""
    rest, column = " ".join(written.split()), place.column - 1
    for line in range(place.line - 1, len(text.lines)):
        content = text.lines[line][column:].strip()
        if content:
            yield line, column, content if rest.startswith(content) else rest
        if not rest.startswith(content):
            return  # it ends in this line
        rest = rest[len(content) :].lstrip()
        if not rest:
            return
        column = _indent(_line(text, line + 1))


def _words_of_files() -> set[str]:
    """The keys of networks and hardware, and the operators."""
    from mnsim.spec.hardware import HardwareSpec

    words = set(OPERATORS)
    models: list[type[BaseModel]] = [NetworkSpec, HardwareSpec, Defaults, GroupSpec, *OPERATORS.values()]
    for model in models:
        for name, each in model.model_fields.items():
            words.add(each.alias or name)
            if isinstance(each.annotation, type) and issubclass(each.annotation, BaseModel):
                models.append(each.annotation)
    return words
