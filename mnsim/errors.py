"""What can go wrong, and where it is.

    MnsimError
    ├── SpecError       a file, an option or a value that cannot be used      exit 2
    ├── ShapeError      layers that do not fit together                       exit 2
    └── CapacityError   a memory too small for the smallest tile              exit 1

`mnsim explain CODE` tells more about each code.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a text: 1-based line and column, the line itself, and how many characters the caret underlines."""

    file: str
    line: int = 1
    column: int = 1
    text: str = ""
    length: int = 1


class MnsimError(Exception):
    """The base of all errors that mnsim raises on purpose.

    `code` names the entry of `mnsim explain`, `location` is where it is (None where no text is to blame), `remedy` says what
    would be right, and `problems` are all the errors found together with this one, itself included.
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
    """A specification that cannot be used: `file`, `line`, `column`, and the `key` (dotted path) where there is one."""

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
    """A memory that is too small: not even the smallest tile of `layer` fits ('' where the whole network is to blame)."""

    exit_code = 1

    def __init__(self, memory: str, needed_bytes: int, available_bytes: int, layer: str = "") -> None:
        whose = f"layer '{layer}', cut as small as it can be," if layer else "the network"
        message = f"{whose} needs {needed_bytes:,} bytes of {memory}, which has {available_bytes:,}"
        option = "--sram" if memory == "internal memory" else "--set external_memory.capacity"
        super().__init__("C001", message, None, f"give it at least {needed_bytes} bytes: {option}='{needed_bytes} B'")
        self.args = (memory, needed_bytes, available_bytes, layer)
        self.memory = memory
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes
        self.layer = layer


def raise_all(problems: Sequence[MnsimError]) -> NoReturn:
    """Raise the first of the problems, carrying all of them, in the order of their places."""
    ordered = sorted(problems, key=lambda problem: (problem.location.line, problem.location.column) if problem.location else (0, 0))
    first = ordered[0]
    first.problems = tuple(ordered)
    raise first


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A remedy that names the nearest valid word, or all of them when few and none is near."""
    import difflib  # only for an error message: not worth a millisecond of every start

    known = list(choices)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6) or [
        name for name in known if name.casefold().replace("-", "_") == word.casefold().replace("-", "_")
    ]
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known)}" if known else ""
