"""A part by name with arguments, and how people type it."""

from __future__ import annotations

import ast
import itertools
import math
import re
from dataclasses import dataclass
from typing import Any

from midms.core.errors import MidmsError

_WORDS = {"none": None, "true": True, "false": False, "nan": math.nan, "inf": math.inf}
"""Values that are no names, besides Python's own."""
_NAME = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|(?<![\w.])[^\W\d][\w.+:-]*[\w]""")
"""A text in quotes, or a name, which may have signs that Python's names have not, as in `optimal-transport`."""


@dataclass(frozen=True, init=False)
class Spec:
    """A part by name with arguments: `build(..., matcher=Spec("optimal-transport", epsilon=0.02))`.

    Attributes:
        name: as it is registered.
        arguments: for its constructor; what is not given is as in the preset, where that has a part of this name, and
            otherwise the part's own default.
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
        inside = ", ".join(f"{name}={_typed(argument)}" for name, argument in self.arguments.items())
        return f"{self.name}({inside})" if inside else self.name


def names_in(choice: Any) -> set[str]:
    """All names in a choice of parts, those of parts of which parts are made too; and what else is text in it."""
    if isinstance(choice, tuple | list):
        return set().union(*map(names_in, choice))
    if isinstance(choice, Spec):
        return {choice.name}.union(*map(names_in, choice.arguments.values()))
    return {choice} if isinstance(choice, str) else set()


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
            return _part(ast.parse(f"part({_NAME.sub(_quoted, settings)}", mode="eval").body, name)
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
    if not isinstance(call, ast.Call) or call.args:
        raise ValueError("no part")
    settings = {word.arg: _value(word.value) for word in call.keywords if word.arg}
    if len(settings) < len(call.keywords):
        raise ValueError("a setting twice, or without a name")
    inner = _value(call.func)
    if not isinstance(inner, str):
        raise ValueError("no name")
    return Spec(name or inner, **settings)


def _quoted(found: re.Match[str]) -> str:
    """A name in quotes, where Python would not take it for one."""
    return found[0] if found[0].isidentifier() or found[0][0] in "'\"" else repr(found[0])


def _typed(value: Any) -> str:
    """An argument as people type it."""
    if isinstance(value, Spec):
        return value.typed()
    if isinstance(value, tuple | list):
        return f"({''.join(f'{_typed(one)}, ' for one in value).removesuffix(' ' if len(value) == 1 else ', ')})"
    return repr(value)


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
