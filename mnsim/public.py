"""The Python interface: the kinds of each argument of a public function, and errors in terms of arguments.

The functions themselves serve the command line, and their errors name its options; here such an error is
made to name the argument.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from importlib import import_module
from inspect import Parameter, Signature, signature
from numbers import Integral, Real
from os import PathLike
from typing import Any, NamedTuple

from mnsim.errors import Location, MnsimError, SpecError, did_you_mean, shown

Function = Callable[..., Any]


class _Kind(NamedTuple):
    """The values that an argument may have: in words, and as a test."""

    what: str
    fits: Callable[[Any], bool]


def _record(name: str, home: str, maker: str) -> _Kind:
    """A record that another public function makes."""
    return _Kind(f"a {name}, which {maker} makes", lambda value: isinstance(value, getattr(import_module(home), name)))


def _is_path(value: object) -> bool:
    return isinstance(value, str | PathLike)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_texts(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes) and all(isinstance(each, str) for each in value)


def _one_of(name: str) -> _Kind:
    words: tuple[str, ...] = getattr(import_module("mnsim.spec.records"), name)
    return _Kind(f"one of {', '.join(map(repr, words))}", lambda value: isinstance(value, str) and value in words)


def _loadable(name: str) -> _Kind:
    record = _record(name, "mnsim.spec.records", "")
    return _Kind(f"a file's path, a bundled name or a {name}", lambda value: _is_path(value) or record.fits(value))


def _kinds() -> dict[str, _Kind]:
    """By the names of arguments, which mean the same in every function."""
    number = _Kind("a number such as 0.75, or Fraction(6, 7)", _is_number)
    whole = _Kind("a whole number", lambda value: isinstance(value, Integral) and not isinstance(value, bool))
    return {
        "source": _Kind("a file's path or a bundled name", _is_path),
        "networks": _Kind("a file's path or a bundled name", _is_path),
        "network": _loadable("Network"),
        "hardware": _loadable("Hardware"),
        "graph": _record("Graph", "mnsim.graph.model", "build_graph(network)"),
        "plan": _record("Plan", "mnsim.plan.model", "make_plan(graph, hardware)"),
        "program": _record("Program", "mnsim.program.model", "lower(graph, plan)"),
        "settings": _Kind("a list of texts such as ['bus.bandwidth=2 GB/s']", _is_texts),
        "sram": _Kind("a size such as '256 KiB'", lambda value: value is None or isinstance(value, str)),
        "alpha": number,
        "rho": number,
        "dtype": _one_of("DTYPES"),
        "policy": _one_of("POLICIES"),
        "levels": _Kind("a dictionary of levels by name, such as {'alpha': [0.5, 1]}", lambda value: value is None or _is_levels(value)),
        "zip": _Kind("True or False", lambda value: isinstance(value, bool)),
        "sample": whole._replace(fits=lambda value: value is None or whole.fits(value)),
        "seed": whole,
        "means": _Kind("a Means such as Means(jobs=8)", lambda value: value is None or type(value).__name__ == "Means"),
    }


def _is_levels(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def public(function: Function) -> Function:
    """The function as the package offers it: it checks its arguments by name, loads names and files where it
    needs records, and its errors name arguments.

    Raises SpecError U009 for an argument that is missing, unknown or of another kind, else as the function
    does.
    """
    form = signature(function)

    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        arguments = _bound(function.__name__, form, given, named)
        try:
            for name in arguments:
                if name in ("network", "hardware") and _is_path(arguments[name]) and function.__name__ != "analyze":
                    arguments[name] = _load(name, arguments[name])
            spread = [name for name, parameter in form.parameters.items() if parameter.kind is Parameter.VAR_POSITIONAL]
            several = arguments.pop(spread[0], ()) if spread else ()
            return function(*several, **arguments)
        except MnsimError as error:
            for problem in error.problems:
                _rename(problem, arguments, function.__name__)
            raise

    call.__module__ = "mnsim"  # where pickle finds it
    return call


def _load(name: str, source: Any) -> Any:
    from mnsim.spec.load import load_hardware, load_network

    return load_network(source) if name == "network" else load_hardware(source)


def _bound(function: str, form: Signature, given: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name. Raises SpecError U009 for a name or a value that cannot be."""
    kinds = _kinds()
    for name in named:
        if name not in form.parameters:
            _refuse(name, f"{function} has no argument {shown(name)}", did_you_mean(name, form.parameters))
    try:
        arguments = form.bind_partial(*given, **named).arguments
    except TypeError as error:
        _refuse(function, f"{function}: {error}", f"it is {function}{_short(form)}")
    for name, value in arguments.items():
        several = form.parameters[name].kind is Parameter.VAR_POSITIONAL
        for place, each in enumerate(value if several else (value,)):
            if name in kinds and not kinds[name].fits(each):
                label = f"{name}[{place}]" if several else name
                _refuse(label, f"{label} must be {kinds[name].what}, got {_said(each)}", f"{function}{_short(form)}", shown(each))
    for name, parameter in form.parameters.items():
        if name not in arguments and parameter.default is Parameter.empty and parameter.kind is not Parameter.VAR_POSITIONAL:
            _refuse(name, f"{function} needs {name}: {kinds[name].what if name in kinds else 'a value'}", f"{function}{_short(form)}")
    return dict(arguments)


def _refuse(name: str, message: str, remedy: str, text: str = "") -> None:
    raise SpecError("U009", message, Location(name, text=text, length=max(1, len(text))), remedy)


def _short(form: Signature) -> str:
    return f"({', '.join(str(parameter).partition(':')[0] for parameter in form.parameters.values())})"


def _said(value: object) -> str:
    """A value in a message: texts and numbers themselves, the type of anything else."""
    if value is None or isinstance(value, bool):
        return str(value)
    return shown(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"


_TEXTS = (
    (re.compile(r"--set external_memory\.capacity='([^']*)'"), r"load_hardware(..., settings=['external_memory.capacity=\1'])"),
    (re.compile(r"--sram='([^']*)'"), r"load_hardware(..., sram='\1')"),
    (re.compile(r", or (say --max-points|give --spec FILE)"), ""),
    (re.compile(r": mnsim analyze NETWORK"), ""),
    (re.compile(r"--sample N"), "sample=N"),
    (re.compile(r"give hardware with --hw"), "give it as hardware"),
    (re.compile(r"--hw\b"), "hardware"),
    (re.compile(r"--(alpha|rho|dtype|policy|zip|sample|seed|sram)\b"), r"\1"),
)
_MEANS = {"--store": "means.store", "--scheduler": "means.scheduler"}


def _rename(problem: MnsimError, arguments: Mapping[str, Any], function: str) -> None:
    """Make an error that names options of the command line name arguments."""
    for pattern, words in _TEXTS:
        problem.message, problem.remedy = pattern.sub(words, problem.message), pattern.sub(words, problem.remedy)
    if problem.location is None:
        return
    problem.location = place = _place(problem.location, arguments, function)
    if isinstance(problem, SpecError):
        problem.file, problem.line, problem.column = place.file, place.line, place.column
        problem.args = (problem.code, problem.message, place, problem.remedy, problem.key)


def _place(place: Location, arguments: Mapping[str, Any], function: str) -> Location:
    option = place.file
    if option in _MEANS:
        start = len(option) + 1
        return Location(_MEANS[option], 1, max(1, place.column - start), place.text[start:], place.length)
    if option == "command line":
        return replace(place, file=f"mnsim.{function}", column=1, text=f"mnsim.{function}", length=len(f"mnsim.{function}"))
    if option == "NETWORK":
        return replace(place, file="networks")
    if option == "--set" and "levels" in arguments:
        key, equals, levels = place.text.partition("=")
        if equals and place.column > len(key) + 1:
            return replace(place, file=f"levels['{key}']", column=place.column - len(key) - 1, text=levels)
        return replace(place, file="levels", text=key)
    if option == "--set":
        lines = [setting.partition("\n")[0] for setting in arguments.get("settings") or ()]
        return replace(place, file=f"settings[{lines.index(place.text)}]" if place.text in lines else "settings")
    if not option.startswith("--"):
        return place
    name = "hardware" if option == "--hw" else option.removeprefix("--")
    return replace(place, file=f"levels['{name}']" if name in (arguments.get("levels") or {}) else name)
