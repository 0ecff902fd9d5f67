"""What a class or function takes, and whether it is given that. Standard library only."""

from __future__ import annotations

import inspect
import reprlib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin


def parameters(factory: Callable[..., Any]) -> inspect.Signature:
    """What it takes, with types where they can be had; anything by name, if it does not tell."""
    for evaluated in (True, False):
        try:
            return inspect.signature(factory, eval_str=evaluated)
        except Exception:  # a name in an annotation may mean anything, or nothing
            continue
    return inspect.signature(lambda **arguments: None)


def signature(factory: Callable[..., Any]) -> str:
    """What it takes, as one would write it: annotations without quotes."""
    try:
        found = inspect.signature(factory)
    except (ValueError, TypeError):
        found = parameters(factory)
    bare = [
        p.replace(annotation=_Bare(p.annotation) if isinstance(p.annotation, str) else p.annotation)
        for p in found.parameters.values()
    ]
    return str(inspect.Signature(bare))


def takes_also(factory: Callable[..., Any], others: Mapping[str, inspect.Parameter]) -> None:
    """Show what a function passes on as `**options`: its own parameters come first, these by name after them."""
    own, more = parameters(factory).parameters.values(), others.values()
    named = [[p for p in some if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)] for some in (own, more)]
    shown = [*named[0], *(p.replace(kind=p.KEYWORD_ONLY) for p in named[1])]
    factory.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]


def mistyped(expected: inspect.Signature, arguments: Mapping[str, Any]) -> list[str]:
    """What is wrong with the types of arguments, a line each: of numbers, texts, Booleans, None and tuples of them.

    Of any other type it is the part's own business what it takes.
    """
    return [*_mistyped(expected, arguments)]


def _mistyped(expected: inspect.Signature, arguments: Mapping[str, Any]) -> Iterator[str]:
    for name, value in arguments.items():
        hint = expected.parameters[name].annotation if name in expected.parameters else Any
        if not _fits(value, hint):
            yield f"{name}: expected {_shown(hint)}, got {reprlib.repr(value)}"


def _fits(value: Any, hint: Any) -> bool:
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inside)
    if origin is Literal:
        return value in inside
    if hint in (int, float):
        if isinstance(value, bool):
            return False
        return isinstance(value, Integral if hint is int else Real) or getattr(value, "ndim", None) == 0
    if hint in (bool, str):
        return isinstance(value, hint)
    if hint in (None, types.NoneType):
        return value is None
    if origin is tuple:
        return not isinstance(value, str | bytes | Mapping | Real | None) and _all_fit(value, inside)
    return True


def _all_fit(values: Any, inside: tuple[Any, ...]) -> bool:
    if not isinstance(values, Sequence):
        return hasattr(values, "__iter__")
    if inside[-1] is Ellipsis or len(inside) == 1:  # as many others mean tuple[int]
        return all(_fits(value, inside[0]) for value in values)
    return len(values) == len(inside) and all(map(_fits, values, inside))


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


class _Bare(str):
    """A string that is shown without quotes."""

    __repr__ = str.__str__


def first_line(part: Any) -> str:
    """The first line of a docstring, or the part's name."""
    text = inspect.getdoc(part) or getattr(part, "__name__", "") or repr(part)
    return text.splitlines()[0]
