"""Names for parts. Standard library only: importing this is free."""

from __future__ import annotations

import difflib
import importlib
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any


class UnknownName(LookupError):
    """A name that nothing answers to; the message lists what would have worked."""


class BadArguments(TypeError):
    """A part that does not take these arguments; the message shows its signature."""


class BrokenPart(ImportError):
    """A row whose module cannot be imported; the cause is chained."""


@dataclass(frozen=True)
class Row:
    """One name: a class, or "module:attribute" imported when the row is used, and a line that says what it is."""

    target: Any
    summary: str


class Registry:
    """Parts of one kind by name.

    Three ways in: our tables (`row`), a decorator in somebody's notebook (`register`), and entry points of installed
    packages, which can neither break the others nor take their names.

    Args:
        kind: the slot, such as "matcher".
        group: the entry-point group, such as "midms.matchers".
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind, self.group = kind, group
        self._rows: dict[str, Row] = {}
        self._plugins_read = False

    def row(self, name: str, target: str, summary: str) -> None:
        """Add an inert row.

        Args:
            name: what users type.
            target: "module:attribute".
            summary: one line, with its reference.
        """
        self._add(name, Row(target, summary))

    def register(self, name: str) -> Callable[[Any], Any]:
        """Decorate a class or factory to add it under `name`.

        Raises:
            ValueError: something else has the name.
        """

        def add(part: Any) -> Any:
            self._add(name, Row(part, first_line(part)))
            return part

        return add

    def _add(self, name: str, row: Row) -> None:
        known = self._rows.get(name)
        if known is not None and known.target is not row.target and not _redefined(known.target, row.target):
            raise ValueError(f"{self.kind} {name!r} is already {known.target!r}; refusing {row.target!r}")
        self._rows[name] = row

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """The class or factory called `name`.

        Raises:
            UnknownName: nothing is.
            BrokenPart: its module cannot be imported.
        """
        self._read_plugins()
        if name not in self._rows:
            raise UnknownName(self._unknown(name))
        target = self._rows[name].target
        if not isinstance(target, str):
            return target  # type: ignore[no-any-return]
        module, _, attribute = target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]
        except (ImportError, AttributeError) as error:
            raise BrokenPart(f"{self.kind} {name!r} is {target!r}, which cannot be imported: {error}") from error

    def create(self, name: str, /, **arguments: Any) -> Any:
        """Construct a part; its signature is checked before anything runs.

        Raises:
            UnknownName: nothing is called so.
            BrokenPart: its module cannot be imported.
            BadArguments: it does not take these arguments.
        """
        factory = self[name]
        self.check(name, **arguments)
        return factory(**arguments)

    def check(self, name: str, /, **arguments: Any) -> None:
        """Raise as `create` would for the arguments' names, constructing nothing."""
        factory = self[name]
        signature = inspect.signature(factory)
        try:
            signature.bind(**arguments)
        except TypeError as error:
            near = [_near(key, signature.parameters) for key in arguments if key not in signature.parameters]
            hint = " ".join(n for n in near if n)
            raise BadArguments(f"{self.kind} {name!r}: {error}.{hint and ' ' + hint} Signature: {name}{signature}") from None

    def summary(self, name: str) -> str:
        """The line that says what it is."""
        self._read_plugins()
        if name not in self._rows:
            raise UnknownName(self._unknown(name))
        return self._rows[name].summary

    def __iter__(self) -> Iterator[str]:
        self._read_plugins()
        return iter(sorted(self._rows))

    def __contains__(self, name: object) -> bool:
        self._read_plugins()
        return name in self._rows

    def _read_plugins(self) -> None:
        if self._plugins_read:
            return
        self._plugins_read = True
        for point in entry_points(group=self.group):
            owner = point.dist.name if point.dist else "an unknown package"
            try:
                self._add(point.name, Row(point.value, f"from the package {owner}"))
            except ValueError as error:
                warnings.warn(f"plug-in of {owner}: {error}", stacklevel=3)

    def _unknown(self, name: str) -> str:
        return f"{unknown(self.kind, name, self)} To add one: @register({self.kind!r}, {name!r}), or entry point group {self.group!r}."


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that nothing answers to."""
    names = list(known)
    hint = _near(name, names)
    return f"no {kind} is called {name!r}.{hint and ' ' + hint} Known: {', '.join(names)}."


def first_line(part: Any) -> str:
    """The first line of a docstring, or the part's name."""
    return (inspect.getdoc(part) or getattr(part, "__name__", repr(part))).splitlines()[0]


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=2)
    return f"Did you mean {' or '.join(map(repr, close))}?" if close else ""


def _redefined(old: Any, new: Any) -> bool:
    """Whether a notebook cell was run again: the same name in the same module."""
    names = [(getattr(x, "__module__", None), getattr(x, "__qualname__", None)) for x in (old, new)]
    return names[0] == names[1] and None not in names[0]
