"""Field types of the specifications: each reads one kind of value, and says what would be right when it cannot."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from mnsim.units import RATE, SIZE, THROUGHPUT, TIME, Dimension, UnitError, parse_quantity

MAX_SIZE = 1_000_000  # of any extent, channel count or repeat: far above any network, far below trouble

Pair = tuple[int, int]
Padding = Literal["same", "valid"] | tuple[int, int, int, int]


def refuse(code: str, message: str, remedy: str, key: str = "") -> PydanticCustomError:
    """The error that a field raises; code, remedy and the key to blame (where it is not the whole value) travel in it."""
    context = {"message": message, "remedy": remedy, "key": key}
    return PydanticCustomError(code, "{message}", context)


def whole(value: Any, what: str, least: int = 1) -> int:
    """A whole number in [least, MAX_SIZE]."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse("S103", f"{what} must be a whole number, got {value!r}", f"write a whole number of at least {least}")
    if not least <= value <= MAX_SIZE:
        shown = str(value) if abs(value) < 10**15 else f"a number of {len(str(abs(value)))} digits"
        raise refuse("S104", f"{what} must be from {least} to {MAX_SIZE:,}, got {shown}", f"write a whole number of at least {least}")
    return value


def _pair(what: str) -> Callable[[Any], Pair]:
    def read(value: Any) -> Pair:
        if isinstance(value, list):
            if len(value) != 2:
                raise refuse("S103", f"{what} must be one number or two, got {len(value)}", "write 3, or [height, width]")
            return whole(value[0], what), whole(value[1], what)
        return whole(value, what), whole(value, what)

    return read


def _padding(value: Any) -> Padding:
    if value in ("same", "valid"):
        return value  # type: ignore[no-any-return]
    if isinstance(value, str) or value is None:
        raise refuse("S107", f"padding must be same, valid or numbers, got {value!r}", "write same, valid, 1 or [top, bottom, left, right]")
    sides = value if isinstance(value, list) else [value]
    if len(sides) not in (1, 2, 4):
        message = f"padding takes one number, two or four, got {len(sides)}"
        raise refuse("S103", message, "write 1, [height, width] or [top, bottom, left, right]")
    numbers = [whole(side, "padding", least=0) for side in sides]
    if len(numbers) == 2:
        numbers = [numbers[0], numbers[0], numbers[1], numbers[1]]
    top, bottom, left, right = numbers * 4 if len(numbers) == 1 else numbers
    return top, bottom, left, right


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)*")


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise refuse("S103", f"a name must be a word, got {value!r}", "write a word such as conv1")
    if not _NAME.fullmatch(value) or len(value) > 100:
        message = f"{value[:40]!r} cannot be a name"
        raise refuse("S103", message, "use letters, digits, '_', '-', '.', and '/' between words; start with a letter")
    return value


def _shape(value: Any) -> tuple[int, int, int]:
    if not isinstance(value, list) or len(value) != 3:
        raise refuse("S103", f"the input must be [height, width, channels], got {value!r}", "write it like [224, 224, 3]")
    height, width, channels = (whole(extent, what) for extent, what in zip(value, ("height", "width", "channels"), strict=True))
    return height, width, channels


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
    if not 1 <= amount < 2**62:
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


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise refuse("S103", f"expected words, got {value!r}", "put quotes around it")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise refuse("S103", f"expected true or false, got {value!r}", "YAML 1.2 writes true and false (yes, no, on, off are words)")
    return value


def _one_of(*words: str, also: tuple[bool, ...] = ()) -> Any:
    """The validator of a field that takes one of a few words."""

    def read(value: Any) -> Any:
        if (isinstance(value, str) and value in words) or (isinstance(value, bool) and value in also):
            return value
        choices = [str(flag).lower() for flag in also] + list(words)
        raise refuse("S107", f"{value!r} is not one of {', '.join(choices)}", f"write one of {', '.join(choices)}")

    return (PlainValidator(read), WithJsonSchema({"enum": [*also, *words]}))


_POSITIVE = {"type": "integer", "minimum": 1, "maximum": MAX_SIZE}
_SIDE = {"type": "integer", "minimum": 0, "maximum": MAX_SIZE}


def _several(item: dict[str, Any], *lengths: int) -> list[dict[str, Any]]:
    return [{"type": "array", "items": item, "minItems": length, "maxItems": length} for length in lengths]


def _count(what: str) -> Any:
    return (PlainValidator(lambda value: whole(value, what)), WithJsonSchema(_POSITIVE))


def _extents(what: str) -> Any:
    return (PlainValidator(_pair(what)), WithJsonSchema({"anyOf": [_POSITIVE, *_several(_POSITIVE, 2)]}))


Word = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
Flag = Annotated[bool, PlainValidator(_flag), WithJsonSchema({"type": "boolean"})]
Name = Annotated[str, PlainValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"})]
Channels = Annotated[int, *_count("channels")]
Count = Annotated[int, *_count("the number")]
Kernel = Annotated[Pair, *_extents("kernel")]
Stride = Annotated[Pair, *_extents("stride")]
PaddingField = Annotated[
    Padding, PlainValidator(_padding), WithJsonSchema({"anyOf": [{"enum": ["same", "valid"]}, _SIDE, *_several(_SIDE, 2, 4)]})
]  # fmt: skip
Shape = Annotated[tuple[int, int, int], PlainValidator(_shape), WithJsonSchema(_several(_POSITIVE, 3)[0])]
BatchNorm = Annotated[bool | Literal["unfolded"], *_one_of("unfolded", also=(True, False))]
Activation = Annotated[str, *_one_of("relu", "relu6", "none")]
Names = Annotated[list[Name], Field(min_length=2)]
SizeBytes = Annotated[int, *_quantity(SIZE, _size_bytes)]
RateBytesPerS = Annotated[float, *_quantity(RATE, _positive_rate)]
ThroughputPerS = Annotated[float, *_quantity(THROUGHPUT, _positive_rate)]
TimeS = Annotated[float, *_quantity(TIME, _time_s)]
