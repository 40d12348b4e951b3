"""What a public function accepts is what its annotations say, checked where users call it.

Functions inside call each other directly and pay nothing. Values of the right type that mean nothing (a negative
standard error, a level of 5) are refused where they are used.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from bayesmeta.errors import DataError, ModelError

__all__ = ["guarded"]

Test = Callable[[Any], bool]
_PLAIN: dict[Any, tuple[Test, str]] = {
    float: (lambda x: isinstance(x, Real) and not isinstance(x, bool), "a number"),
    int: (lambda x: isinstance(x, Integral) and not isinstance(x, bool), "a whole number"),
    str: (lambda x: isinstance(x, str), "a text"),
    type(None): (lambda x: x is None, "None"),
}


def guarded[T](function: T) -> T:
    """Give a function that checks its arguments before it runs; anything else as it is.

    Raises
    ------
    ModelError
        By the function that is given, for an argument that its annotation does not allow.

    Examples
    --------
    >>> def half(x: float) -> float:
    ...     return x / 2
    >>> guarded(half)(3.0)
    1.5
    >>> guarded(half)("three")
    Traceback (most recent call last):
    bayesmeta.errors.ModelError: half: x = 'three'; give a number.
    """
    if not inspect.isfunction(function):
        return function
    # made at the first call: annotations name classes of rooms that are not loaded before
    tests = functools.cache(lambda: _tests(function))

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        asked = tests()
        for name, value in (*zip(asked, args, strict=False), *kwargs.items()):
            if name in asked and not asked[name][0](value):
                raise ModelError(f"{function.__name__}: {name} = {_short(value)}; give {asked[name][1]}.")
        return function(*args, **kwargs)

    return checked  # type: ignore[return-value]


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        # a value whose text cannot be made is still to be refused
        text = f"an object of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _tests(function: Callable[..., Any]) -> dict[str, tuple[Test, str]]:
    """The test of every parameter, and what it asks for in words."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            break
        kind = _resolved(parameter.annotation, inspect.unwrap(function).__globals__)
        # a function of effects may be decorated to take what carries them
        carried = hasattr(function, "__wrapped__") and getattr(kind, "__name__", "") == "Effects"
        found[name] = _carrier(kind) if carried else _test(kind)
    return found


@functools.cache
def _for_type_checkers(module: str) -> dict[str, tuple[str, str]]:
    """Names that a module imports under TYPE_CHECKING: where from, and what they are called there."""
    blocks = [node for node in ast.parse(inspect.getsource(sys.modules[module])).body if isinstance(node, ast.If)]
    statements = [item for block in blocks if ast.unparse(block.test) == "TYPE_CHECKING" for item in block.body]
    return {
        alias.asname or alias.name: (str(item.module), alias.name)
        if isinstance(item, ast.ImportFrom)
        else (alias.name, "")
        for item in statements
        if isinstance(item, (ast.Import, ast.ImportFrom))
        for alias in item.names
    }


class _Names(dict[str, Any]):
    """Names of a module, and those that it imports for type checkers only, which are imported when they are met."""

    def __missing__(self, name: str) -> Any:
        module, original = _for_type_checkers(self["__name__"])[name]
        found = importlib.import_module(module)
        return getattr(found, original) if original else found


def _resolved(annotation: Any, names: Mapping[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    return eval(annotation, {"__builtins__": __builtins__}, _Names(names))


def _test(kind: Any) -> tuple[Test, str]:
    """A test of values, and what passes it in words; everything passes where nothing is known."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind in (Any, inspect.Parameter.empty):
        return (lambda x: True), "anything"
    if getattr(kind, "__name__", "") == "ArrayLike":
        return _is_array, "numbers"
    if getattr(origin, "__name__", "") == "NDArray":
        if "bool" in str(inner[0]):
            return (
                lambda x: getattr(getattr(x, "dtype", None), "kind", "") == "b" and not _is_masked(x)
            ), "an array of truth values"
        return (lambda x: getattr(x, "ndim", 0) > 0 and _is_array(x)), "an array of numbers"
    if isinstance(kind, typing.TypeAliasType):
        return _test(kind.__value__)
    if kind in _PLAIN or kind is None:
        return _PLAIN[type(None) if kind is None else kind]
    if origin in (typing.Union, types.UnionType):
        parts = [_test(part) for part in inner]
        return (lambda x: any(test(x) for test, _ in parts)), " or ".join(dict.fromkeys(words for _, words in parts))
    if origin is typing.Literal:
        # the function itself says which name comes nearest
        named = all(isinstance(part, str) for part in inner)
        return (
            lambda x: isinstance(x, str) if named else isinstance(x, (str, int)) and x in inner
        ), f"one of {', '.join(map(str, inner))}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, value = (_test(part) for part in inner)
        return (
            lambda x: isinstance(x, Mapping) and all(key[0](k) and value[0](v) for k, v in x.items())
        ), f"a mapping of {key[1]} to {value[1]}"
    if isinstance(origin, type) and issubclass(origin, Iterable) and origin.__module__ != "numpy":
        one = _test(inner[0] if inner else Any)
        if origin is tuple and inner[-1] is not Ellipsis:
            each = [_test(part) for part in inner]
            return (
                lambda x: (
                    _is_list(x, inner) and len(x) == len(each) and all(t(v) for (t, _), v in zip(each, x, strict=True))
                )
            ), f"a pair ({', '.join(words for _, words in each)})"
        return (lambda x: _is_list(x, inner) and all(map(one[0], x))), f"a list of which each is {one[1]}"
    if origin is not None and isinstance(origin, type) and issubclass(origin, Callable):  # type: ignore[arg-type]
        return callable, "a function"
    cls = origin or kind
    if isinstance(cls, type) and cls is not object and not getattr(cls, "_is_protocol", False):
        word = cls.__name__
        return (lambda x: isinstance(x, cls)), f"{'an' if word[0] in 'AEIOU' else 'a'} {word}"
    return (lambda x: True), "anything"


def _carrier(kind: type) -> tuple[Test, str]:
    return (
        lambda x: isinstance(x, kind) or isinstance(getattr(x, "effects", None), kind)
    ), f"{kind.__name__}, or what has them"


def _is_list(x: object, inner: tuple[Any, ...]) -> bool:
    # of an array nobody can ask whether it is empty as of a list; names come as lists
    wrong = hasattr(x, "dtype") if str in inner else isinstance(x, (str, bytes))
    return isinstance(x, Iterable) and not isinstance(x, Mapping) and not wrong


def _is_array(x: object) -> bool:
    from bayesmeta.boundary.values import as_numbers

    if x is None or _is_masked(x):
        return False
    try:
        as_numbers("", x)
    except DataError:
        return False
    return True


def _is_masked(x: object) -> bool:
    """Whether cells are masked, which the functions would take for numbers."""
    import numpy as np

    return isinstance(x, np.ma.MaskedArray) and bool(np.ma.is_masked(x))
