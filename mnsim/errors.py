"""What can go wrong, and where it is.

    MnsimError
    ├── SpecError       a file, an option or a value that cannot be used      exit 2
    ├── ShapeError      layers that do not fit together                       exit 2
    ├── CapacityError   a memory too small for the smallest tile              exit 1
    ├── LengthError     a program of too many commands to be worth making     exit 1
    ├── ProgramError    a program that breaks a rule of `mnsim explain program` exit 1
    ├── WorkError       work that workers or a store cannot do                 exit 2
    └── PointError      a point of a sweep that failed for no reason of the model's exit 1

`mnsim explain CODE` tells more about each code.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a text: 1-based line and column, the line itself, and how many characters the caret
    underlines.
    """

    file: str
    line: int = 1
    column: int = 1
    text: str = ""
    length: int = 1


class MnsimError(Exception):
    """The base of all errors that mnsim raises on purpose.

    `code` names the entry of `mnsim explain`, `location` is where it is (None where no text is to blame),
    `remedy` says what would be right, and `problems` are all the errors found together with this one,
    itself included.
    """

    exit_code = 2

    def __init__(self, code: str, message: str, location: Location | None = None, remedy: str = "") -> None:
        super().__init__(code, message, location, remedy)
        self.code = code
        self.message = message
        self.location = location
        self.remedy = remedy
        self.problems: tuple[MnsimError, ...] = (self,)

    def __str__(self) -> str:
        if self.location is None:
            return self.message
        return f"{self.location.file}:{self.location.line}:{self.location.column}: {self.message}"


class SpecError(MnsimError):
    """A specification that cannot be used: `file`, `line`, `column`, and the `key` (dotted path) where
    there is one.
    """

    def __init__(self, code: str, message: str, location: Location, remedy: str = "", key: str = "") -> None:
        super().__init__(code, message, location, remedy)
        self.args = (code, message, location, remedy, key)
        self.file = location.file
        self.line = location.line
        self.column = location.column
        self.key = key


class ShapeError(MnsimError):
    """A layer whose inputs do not fit it."""

    def __init__(self, layer: str, message: str, location: Location | None = None, remedy: str = "") -> None:
        super().__init__("S301", message, location, remedy)
        self.args = (layer, message, location, remedy)
        self.layer = layer


class CapacityError(MnsimError):
    """A memory that is too small: not even the smallest tile of `layer` fits ('' where the whole network
    is to blame).

    `beside` says that the layer would fit alone, but no plan was found with the maps that must lie beside
    it.
    """

    exit_code = 1

    def __init__(
        self, memory: str, needed_bytes: int, available_bytes: int, layer: str = "", beside: bool = False, remedy: str = ""
    ) -> None:
        whose = f"layer '{layer}', cut as small as it can be," if layer else "the network"
        message = f"{whose} needs {needed_bytes:,} bytes of {memory}, which has {available_bytes:,}"
        if beside:
            message = f"no plan was found in which layer '{layer}' and the maps beside it fit the {available_bytes:,} bytes of {memory}"
        option = "--sram" if memory == "internal memory" else "--set external_memory.capacity"
        super().__init__("C001", message, None, remedy or f"give it at least {needed_bytes} bytes: {option}='{needed_bytes} B'")
        self.args = (memory, needed_bytes, available_bytes, layer, beside, remedy)
        self.memory = memory
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes
        self.layer = layer
        self.beside = beside


class ProgramError(MnsimError):
    """A program that would not compute what it should.

    `command` is the id of the first command at which it shows, -1 where no single one is to blame.
    """

    exit_code = 1

    def __init__(self, command: int, message: str) -> None:
        where = f"command {command}" if command >= 0 else "the program as a whole"
        super().__init__("P001", f"{where}: {message}", None, "whatever made the program is wrong; `mnsim explain P001` has the rules")
        self.args = (command, message)
        self.command = command


class LengthError(MnsimError):
    """A program that would have too many commands to be made in reasonable time and memory."""

    exit_code = 1

    def __init__(self, commands: int, most: int) -> None:
        message = f"the program would have about {commands:,} commands, which is more than {most:,}"
        super().__init__("P002", message, None, "give it more SRAM (--sram), so that tiles are larger; `mnsim analyze` needs no program")
        self.args = (commands, most)
        self.commands = commands


class WorkError(MnsimError):
    """Workers or a store that cannot do a sweep's work: unreachable, of another version, in use, damaged."""


class PointError(MnsimError):
    """A point of a sweep that failed for a reason that is not the model's (W003: its worker died, or has a
    defect), or that had failed.
    """

    exit_code = 1

    def __init__(self, message: str, code: str = "W003") -> None:
        super().__init__(code, message, None, "this is a defect of mnsim, or of the machine that it ran on" if code == "W003" else "")
        self.args = (message, code)


def raise_all(problems: Sequence[MnsimError]) -> NoReturn:
    """Raise the first of the problems, carrying all of them, in the order of their places."""
    ordered = sorted(problems, key=lambda problem: (problem.location.line, problem.location.column) if problem.location else (0, 0))
    distinct: dict[object, MnsimError] = {}
    for problem in ordered:
        distinct.setdefault(_identity(problem), problem)
    first = ordered[0]
    first.problems = tuple(distinct.values())
    raise first


def _identity(problem: MnsimError) -> tuple[str, Location | None, str]:
    """What makes two problems one: a line that a repeat or an alias uses several times is wrong once.

    Missing keys are told apart by their message, for several can be missing at one place.
    """
    in_a_text = problem.location is not None and problem.location.text
    return problem.code, problem.location, "" if in_a_text and problem.code != "S101" else problem.message


def shown(value: object, most: int = 40) -> str:
    """A value in a message: in YAML's words, text in quotes, without control characters, and never long."""
    if value is None:
        return "an empty value"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, float):
        return _shown_float(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**15 else f"a number of {len(str(abs(value)))} digits"
    text = str(value)
    return repr(text if len(text) <= most else f"{text[: most - 3]}...")


def _shown_float(value: float) -> str:
    """As a person writes it: 1e9, not 1000000000.0; one that no float holds, as it was written."""
    written = getattr(value, "written", "")
    if written:
        return str(written) if len(written) <= 40 else f"{written[:37]}..."
    if value != value or value in (float("inf"), float("-inf")):
        return str(value).replace("inf", ".inf").replace("nan", ".nan")
    short = f"{value:g}"
    if "e" not in short or float(short) != value:
        return repr(value)
    digits, _, exponent = short.partition("e")
    return f"{digits}e{int(exponent)}"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A remedy that names the valid words that are near, or as many of all as a line holds."""
    from mnsim.hints import near_words  # only for an error message: not worth a millisecond of every start

    known = list(choices)
    near = near_words(word, known)
    if len(near) > 1:
        return f"did you mean one of {_listed(near)}?"
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {_listed(known)}" if known else ""


def _listed(words: Sequence[str]) -> str:
    listed = words[0]
    for place, word in enumerate(words[1:], 1):
        if len(listed) + len(word) > 150:
            return f"{listed} and {len(words) - place} more"
        listed += f", {word}"
    return listed
