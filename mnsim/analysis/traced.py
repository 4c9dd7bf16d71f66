"""Numbers that know how they came about, and functions of the closed form run on them as they stand.

A `Traced` is a number with its formula in words, and the formula with the numbers put in. Arithmetic on it
gives the number that plain arithmetic gives, and both formulas. `Tracer(words)(function, ...)` runs a
function on traced arguments, and gives what it and the functions that it calls return the names in `words`.
They know nothing of this, and plain numbers pay nothing for it.

How to write a function that can be traced:

- Its arithmetic is + - * / //, `ceil` of a quotient, `sum`, `prod`, `min`, `max`, comparisons: no `int`, no
  `round`. The formula is that of the way taken: of the branch, and of what `min` or `max` chose.
- It returns a number or a tuple of numbers. What deserves a name in formulas is a function's result and has
  its words in the table; all else is put in as its formula.
- Methods and properties of records run, too, but what they call is not named.
- A function with a cache sees plain numbers alone, so that its results need words.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from math import ceil
from types import FunctionType
from typing import Any

OPERATIONS: dict[str, tuple[Callable[[Any, Any], Any], ast.operator]] = {
    "+": (operator.add, ast.Add()),
    "-": (operator.sub, ast.Sub()),
    "*": (operator.mul, ast.Mult()),
    "/": (operator.truediv, ast.Div()),
    "//": (operator.floordiv, ast.FloorDiv()),
}


def _arithmetic(sign: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    return (lambda left, right: _joined(left, sign, right)), (lambda right, left: _joined(left, sign, right))


def _comparison(holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda left, right: holds(plain(left), plain(right))


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """A number, the formula that made it, and the formula with the numbers put in."""

    value: Any
    formula: ast.expr
    numbers: ast.expr

    __add__, __radd__ = _arithmetic("+")
    __sub__, __rsub__ = _arithmetic("-")
    __mul__, __rmul__ = _arithmetic("*")
    __truediv__, __rtruediv__ = _arithmetic("/")
    __floordiv__, __rfloordiv__ = _arithmetic("//")
    __eq__, __lt__, __le__, __gt__, __ge__ = map(_comparison, (operator.eq, operator.lt, operator.le, operator.gt, operator.ge))
    __hash__ = None  # type: ignore[assignment]  # no cache keeps it for a plain number

    def __ceil__(self) -> "Traced":
        return Traced(ceil(self.value), _call("ceil", self.formula), _call("ceil", self.numbers))

    def __index__(self) -> int:
        return int(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    @property
    def texts(self) -> tuple[str, str]:
        """The formula, and the formula with the numbers put in."""
        return ast.unparse(self.formula), ast.unparse(self.numbers)


def named(number: Any, name: str) -> Any:
    """The number as a quantity with a name: its formula is the name, in its place stands its value."""
    return Traced(plain(number), ast.Name(name), ast.Name(written(plain(number))))


def noted(number: Any, note: str) -> Any:
    """The number with a word behind its formula, in brackets; one that nothing made stays as it is."""
    return replace(number, formula=_noted(number.formula, note)) if isinstance(number, Traced) and note else number


def _noted(tree: ast.expr, note: str) -> ast.expr:
    if isinstance(tree, ast.BinOp):
        return ast.BinOp(tree.left, tree.op, _noted(tree.right, note))
    return ast.Name(f"{ast.unparse(tree)} ({note})")


def fields_named(record: Any, words: Mapping[str, str]) -> Any:
    """The record with names for its numbers: those in `words`, else their fields'."""
    found = {field.name: getattr(record, field.name) for field in fields(record)}
    return replace(record, **{name: named(value, words.get(name, name)) for name, value in found.items() if type(value) is int})


def plain(number: Any) -> Any:
    """The number alone; of a tuple or a record, those that it holds."""
    if isinstance(number, Traced):
        return number.value
    if is_dataclass(number) and not isinstance(number, type):
        return replace(number, **{field.name: plain(getattr(number, field.name)) for field in fields(number)})
    return tuple(map(plain, number)) if type(number) is tuple else number


def written(number: Any) -> str:
    """A number as Python reads it, large ones short where that loses nothing."""
    short = f"{number:.0e}".replace("e+0", "e").replace("e+", "e") if isinstance(number, float) else ""
    return short if short and number >= 10 and float(short) == number else repr(number)


class Tracer:
    """Runs functions on traced numbers, and names what those in `words` return (by the function's name).

    A function's own code runs, with the globals of its module as they are now; but functions of this package
    among them run traced, too.
    """

    def __init__(self, words: Mapping[str, tuple[str, ...]]) -> None:
        self.words = words
        self._globals: dict[int, dict[str, Any]] = {}

    def __call__(self, function: Any, *arguments: Any, **options: Any) -> Any:
        """What the function returns, traced and named."""
        words = self.words.get(function.__name__)
        if isinstance(function, FunctionType):
            twin = FunctionType(function.__code__, self._globals_of(function), None, function.__defaults__, function.__closure__)
            twin.__kwdefaults__ = function.__kwdefaults__
            found = twin(*arguments, **options)
        else:  # it has a cache
            found = function(*plain(arguments), **{name: plain(value) for name, value in options.items()})
        if words is None:
            return found
        if not isinstance(found, tuple):
            return named(found, *words)
        return tuple(named(number, name) for number, name in zip(found, words, strict=True))

    def _globals_of(self, function: FunctionType) -> dict[str, Any]:
        there = function.__globals__
        if id(there) not in self._globals:
            self._globals[id(there)] = {name: partial(self, value) if _is_ours(value) else value for name, value in there.items()}
        return self._globals[id(there)]


def _is_ours(value: Any) -> bool:
    is_function = isinstance(value, FunctionType) or hasattr(value, "cache_info")
    return is_function and value.__module__.partition(".")[0] == __name__.partition(".")[0]


def _joined(left: Any, sign: str, right: Any) -> Any:
    """What the operation gives. Numbers without a name that change nothing (+ 0, * 1) are left out."""
    work, symbol = OPERATIONS[sign]
    value = work(plain(left), plain(right))
    for one, other in ((left, right), (right, left)):
        if not isinstance(one, Traced) and sign in "+*":
            if sign == "*" and one == 0:
                return value
            if one == (sign == "*"):
                return replace(other, value=value)
    (a, a_numbers), (b, b_numbers) = _trees(left), _trees(right)
    numbers = _tree(a_numbers, symbol, b_numbers)
    if sign != "//":
        return Traced(value, _tree(a, symbol, b), numbers)
    share = _tree(a, ast.Div(), b)  # of one quantity by another, with nothing left
    is_share = isinstance(a, ast.Name) and isinstance(b, ast.Name) and value * plain(right) == plain(left)
    return Traced(value, share if is_share else _call("floor", share), numbers)


def _trees(number: Any) -> tuple[ast.expr, ast.expr]:
    return (number.formula, number.numbers) if isinstance(number, Traced) else (ast.Name(written(number)),) * 2


def _tree(left: ast.expr, symbol: ast.operator, right: ast.expr) -> ast.expr:
    """Both joined, a sum added to a sum and a product times a product without brackets."""
    if isinstance(right, ast.BinOp) and type(right.op) is type(symbol) and isinstance(symbol, ast.Add | ast.Mult):
        return ast.BinOp(_tree(left, symbol, right.left), symbol, right.right)
    return ast.BinOp(left, symbol, right)


def _call(name: str, argument: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name), [argument], [])
