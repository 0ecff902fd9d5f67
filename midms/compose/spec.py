"""A part by name with arguments, and how people type it."""

from __future__ import annotations

import ast
import itertools
import math
from dataclasses import dataclass
from typing import Any

from midms.core.errors import MidmsError

_WORDS = {"none": None, "true": True, "false": False, "nan": math.nan, "inf": math.inf}
"""Values that are no names, besides Python's own."""


@dataclass(frozen=True, init=False)
class Spec:
    """A part by name with arguments: `build(..., matcher=Spec("optimal-transport", epsilon=0.02))`.

    Attributes:
        name: as it is registered.
        arguments: for its constructor; what is not given keeps the part's own defaults.
    """

    name: str
    arguments: dict[str, Any]

    def __init__(self, name: str, /, **arguments: Any) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", arguments)

    def __repr__(self) -> str:
        return f"Spec({', '.join([repr(self.name), *(f'{k}={v!r}' for k, v in self.arguments.items())])})"

    def typed(self) -> str:
        """As people type it, such as `cycle(radius=0.1)`."""
        inside = ", ".join(f"{name}={argument!r}" for name, argument in self.arguments.items())
        return f"{self.name}({inside})" if inside else self.name


class SpecError(MidmsError, ValueError):
    """A value that is not written as values are; the message says how they are."""


def parse_value(text: str) -> Any:
    """A value as people type it; nothing is run.

    A number, a tuple, True, False or None (true, false and none too) is itself, and `cycle(radius=0.1)` is
    `Spec("cycle", radius=0.1)`, whose settings are such values, or parts again. Anything else is a name, and stays
    text.

    Raises:
        SpecError: settings are not written so.
    """
    name, bracket, settings = (piece.strip() for piece in text.partition("("))
    try:
        if name and bracket:
            return _part(ast.parse(f"part({settings}", mode="eval").body, name)
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        if name and bracket:
            raise SpecError(f"cannot read {text!r}, expected a name, or settings as in cycle(radius=0.1)") from None
        return text.strip()


def parse_values(text: str) -> list[Any]:
    """Values between commas that are in no bracket, such as "nearest,cycle(radius=0.1)".

    Raises:
        SpecError: one is not written as values are.
    """
    depth, cuts = 0, [-1]
    for i, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        cuts += [i] if letter == "," and depth == 0 else []
    return [parse_value(text[a + 1 : b]) for a, b in itertools.pairwise([*cuts, len(text)])]


def _part(call: ast.expr, name: str = "") -> Spec:
    """The part that a call stands for.

    Raises:
        ValueError: it is no call with settings by name, each once.
    """
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)) or call.args:
        raise ValueError("no part")
    settings = {word.arg: _value(word.value) for word in call.keywords if word.arg}
    if len(settings) < len(call.keywords):
        raise ValueError("a setting twice, or without a name")
    return Spec(name or call.func.id, **settings)


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        return _part(node)
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(map(_value, node.elts))
    if isinstance(node, ast.Name):
        return _WORDS.get(node.id, node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Name):
        return -float(_value(node.operand))  # -inf
    return ast.literal_eval(node)
