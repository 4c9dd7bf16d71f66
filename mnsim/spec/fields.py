"""Field types of the specifications. Each reads one kind of value, and its errors say what would be right."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from mnsim.errors import shown
from mnsim.operators.table import ACTIVATIONS
from mnsim.units import ENERGY_PER_BYTE, ENERGY_PER_FLOP, ENERGY_PER_OP, RATE, SIZE, THROUGHPUT, TIME, Dimension, UnitError, parse_quantity

MAX_SIZE = 1_000_000  # of any extent, channel count or repeat: far above any network, far below trouble
MAX_WINDOW = 1024  # of a kernel or a stride; a window as large as its map is a global pooling
_POSITIVE = {"type": "integer", "minimum": 1, "maximum": MAX_SIZE}

Padding = Literal["same", "valid"] | tuple[int, int, int, int]


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def unsaid() -> Any:
    """The default of a field that may be left out: None. An empty value in the file is still wrong."""
    return Field(default=None, json_schema_extra=_without_default)


def refuse(code: str, message: str, remedy: str, key: str | tuple[str, ...] = "") -> PydanticCustomError:
    """The error that a field raises. It carries code, remedy and the key (or path) to blame, where that is
    not the whole value.
    """
    context = {"message": message, "remedy": remedy, "key": key}
    return PydanticCustomError(code, "{message}", context)


def _whole(value: Any, what: str, least: int, most: int) -> int:
    """A whole number in [least, most]."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse("S103", f"{what} must be a whole number, got {shown(value)}", f"write a whole number of at least {least}")
    if not least <= value <= most:
        limit = f"at least {least}" if value < least else f"at most {most:,}"
        raise refuse("S104", f"{what} must be from {least} to {most:,}, got {shown(value)}", f"write a whole number of {limit}")
    return value


def _count(what: str = "", least: int = 1, most: int = MAX_SIZE) -> Any:
    """The annotations of a whole number. Messages call it `what`, or by the field's name."""

    def read(value: Any, info: ValidationInfo) -> int:
        return _whole(value, what or str(info.field_name), least, most)

    return (PlainValidator(read), WithJsonSchema({**_POSITIVE, "minimum": least, "maximum": most}))


def _two(value: Any, info: ValidationInfo) -> tuple[Any, Any]:
    if not isinstance(value, list):
        return value, value
    if len(value) != 2:
        raise refuse("S103", f"{info.field_name} must be one number or two, got {len(value)}", "write 3, or [height, width]")
    return value[0], value[1]


def _padding(value: Any, read: ValidatorFunctionWrapHandler) -> Padding:
    """A word, or the numbers as (top, bottom, left, right)."""
    if value in ("same", "valid"):
        return value  # type: ignore[no-any-return]
    if isinstance(value, str) or value is None:
        message = f"padding must be same, valid or numbers, got {shown(value)}"
        raise refuse("S107", message, "write same, valid, 1 or [top, bottom, left, right]")
    sides = value if isinstance(value, list) else [value]
    if len(sides) not in (1, 2, 4):
        message = f"padding takes one number, two or four, got {len(sides)}"
        raise refuse("S103", message, "write 1, [height, width] or [top, bottom, left, right]")
    numbers = read(sides)
    top, bottom, left, right = (side for side in numbers for _ in range(4 // len(numbers)))
    return top, bottom, left, right


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)*")
_LONGEST_NAME = 100


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise refuse("S103", f"a name must be a word, got {shown(value)}", "write a word such as conv1")
    if len(value) > _LONGEST_NAME:
        raise refuse("S103", f"{shown(value)} cannot be a name: it is too long", f"use at most {_LONGEST_NAME} letters")
    if not _NAME.fullmatch(value):
        remedy = "use letters, digits, '_', '-', '.', and '/' between words; start with a letter"
        raise refuse("S103", f"{shown(value)} cannot be a name", remedy)
    return value


def _three(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) != 3:
        raise refuse("S103", f"the input must be [height, width, channels], got {shown(value)}", "write it like [224, 224, 3]")
    return tuple(value)


def _quantity(dimension: Dimension, read: Callable[[Fraction], Any]) -> Any:
    """The annotated type of a quantity: text with a unit in, a plain number in base units out."""

    def validate(value: Any) -> Any:
        try:
            return read(parse_quantity(value, dimension))
        except UnitError as error:
            raise refuse("S105", error.message, error.remedy) from None

    example = {"type": "string", "description": f"A {dimension.name} with its unit", "examples": [dimension.example]}
    return (PlainValidator(validate), WithJsonSchema(example))


def _size_bytes(amount: Fraction) -> int:
    if amount.denominator != 1:
        raise UnitError(f"{float(amount):g} bytes is not a whole number of bytes", "write a whole number of bytes")
    if not 1 <= amount <= 2**62:
        raise UnitError(f"a size must be from 1 B to 4 EiB, got {float(amount):g} B", "write it like 1 MiB")
    return int(amount)


def _positive_rate(amount: Fraction) -> float:
    if not 1 <= amount <= 10**24:
        raise UnitError(f"a rate must be from 1 to 1e24 per second, got {float(amount):g}", "write it like 1 GB/s or 1 TFLOPS")
    return float(amount)


def _time_s(amount: Fraction) -> float:
    if amount > 3600:
        raise UnitError(f"a time of {float(amount):g} s is over an hour", "write it like 5 ns")
    return float(amount)


def _energy_j(amount: Fraction) -> float:
    if amount > 1:
        raise UnitError(f"{float(amount):g} J is no energy of one byte or operation", "write it like 20 pJ/B or 0.5 pJ/FLOP")
    return float(amount)


def _text(value: Any) -> str:
    """Words on one line, without control characters."""
    if not isinstance(value, str):
        raise refuse("S103", f"expected words, got {shown(value)}", "put quotes around it")
    line = " ".join(value.split())
    if not line.isprintable():
        raise refuse("S103", f"a control character in {shown(value)}", "remove the character")
    return line


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise refuse("S103", f"expected true or false, got {shown(value)}", "YAML 1.2 writes true and false (yes, no, on, off are words)")
    return value


def _one_of(*words: str, also: tuple[bool, ...] = ()) -> Any:
    """The validator of a field that takes one of a few words."""

    def read(value: Any) -> Any:
        if (isinstance(value, str) and value in words) or (isinstance(value, bool) and value in also):
            return value
        choices = [str(flag).lower() for flag in also] + list(words)
        raise refuse("S107", f"{shown(value)} is not one of {', '.join(choices)}", f"write one of {', '.join(choices)}")

    return (PlainValidator(read), WithJsonSchema({"enum": [*also, *words]}))


def _several(item: dict[str, Any], *lengths: int) -> list[dict[str, Any]]:
    return [{"type": "array", "items": item, "minItems": length, "maxItems": length} for length in lengths]


def _rate(value: Any) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise refuse("S103", f"a rate must be a number, got {shown(value)}", "write it alone: dropout")
    if value is not None and not 0 <= value < 1:
        raise refuse("S104", f"a rate must be at least 0 and below 1, got {shown(value)}", "write it alone: dropout")
    return value


_SIDE = {**_POSITIVE, "minimum": 0}

Word = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
Flag = Annotated[bool, PlainValidator(_flag), WithJsonSchema({"type": "boolean"})]
Name = Annotated[
    str, PlainValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$", "maxLength": _LONGEST_NAME})
]  # fmt: skip
Count = Annotated[int, *_count()]
Samples = Annotated[int, *_count(most=10**9)]
Seed = Annotated[int, *_count(least=0, most=2**63 - 1)]
_EXTENT = {**_POSITIVE, "maximum": MAX_WINDOW}
Extents = Annotated[
    tuple[Annotated[int, *_count(most=MAX_WINDOW)], Annotated[int, *_count(most=MAX_WINDOW)]],
    BeforeValidator(_two),
    WithJsonSchema({"anyOf": [_EXTENT, *_several(_EXTENT, 2)]}),
]
if TYPE_CHECKING:
    PaddingField = Padding
else:  # the type of the numbers; `_padding` returns words itself
    PaddingField = Annotated[
        list[Annotated[int, *_count(least=0)]],
        WrapValidator(_padding),
        WithJsonSchema({"anyOf": [{"enum": ["same", "valid"]}, _SIDE, *_several(_SIDE, 2, 4)]}),
    ]
Shape = Annotated[
    tuple[Annotated[int, *_count("height")], Annotated[int, *_count("width")], Annotated[int, *_count("channels")]],
    BeforeValidator(_three),
    WithJsonSchema(_several(_POSITIVE, 3)[0]),
]
BatchNorm = Annotated[bool | Literal["unfolded"], *_one_of("unfolded", also=(True, False))]
Activation = Annotated[str, *_one_of(*ACTIVATIONS, "none")]
_RATE = {"anyOf": [{"type": "number", "minimum": 0, "exclusiveMaximum": 1}, {"type": "null"}]}
Rate = Annotated[float | None, PlainValidator(_rate), WithJsonSchema(_RATE)]
Names = Annotated[list[Name], Field(min_length=2)]
SizeBytes = Annotated[int, *_quantity(SIZE, _size_bytes)]
RateBytesPerS = Annotated[float, *_quantity(RATE, _positive_rate)]
ThroughputPerS = Annotated[float, *_quantity(THROUGHPUT, _positive_rate)]
TimeS = Annotated[float, *_quantity(TIME, _time_s)]
EnergyPerByteJ = Annotated[float, *_quantity(ENERGY_PER_BYTE, _energy_j)]
EnergyPerOpJ = Annotated[float, *_quantity(ENERGY_PER_OP, _energy_j)]
EnergyPerFlopJ = Annotated[float, *_quantity(ENERGY_PER_FLOP, _energy_j)]
