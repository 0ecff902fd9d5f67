"""Names for parts. Standard library only: importing this is free."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from midms.mistakes import Mistake


class UnknownName(Mistake, LookupError):
    """A name that nothing answers to; the message lists what would have worked."""


class BadArguments(Mistake, TypeError):
    """A part that does not take these arguments; the message shows its signature."""


class BrokenPart(Mistake, ImportError):
    """A row whose module cannot be imported; the cause is chained."""


@dataclass(frozen=True)
class Row:
    """One name.

    Attributes:
        target: a class or factory, or "module:attribute", imported when the row is used.
        summary: a line that says what it is.
        member: which one, if it is a family: the target is called with it and gives the class or factory.
    """

    target: Any
    summary: str
    member: str = ""

    def load(self) -> Callable[..., Any]:
        """The class or factory; whatever importing it raises is passed on."""
        target: Any = self.target
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            target = functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
        return target(self.member) if self.member else target  # type: ignore[no-any-return]


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
        self._families: dict[str, Row] = {}
        self._plugins_read = False

    def row(self, name: str, target: str, summary: str) -> None:
        """Add an inert row.

        Args:
            name: what users type.
            target: "module:attribute".
            summary: one line, with its reference.
        """
        self._add(name, Row(target, summary))

    def family(self, prefix: str, member: str, target: str, summary: str) -> None:
        """Add names that are not listed one by one: `prefix:NAME` is what the target gives when called with NAME.

        Args:
            prefix: what comes before the colon.
            member: what comes after it, as listings call it, such as "<Scheduler>".
            target: "module:attribute"; raises `UnknownName` for names that are none.
            summary: one line, with its reference.
        """
        self._families[prefix] = Row(target, summary, member)

    def families(self) -> dict[str, str]:
        """`prefix:<Member>` to summary of each family."""
        return {f"{prefix}:{row.member}": row.summary for prefix, row in self._families.items()}

    def register(self, name: str) -> Callable[[Any], Any]:
        """Decorate a class or factory to add it under `name`.

        Raises:
            ValueError: something else has the name.
        """

        def add(part: Any) -> Any:
            self._read_plugins()
            self._add(name, Row(part, first_line(part)))
            return part

        return add

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """The class or factory called `name`.

        Raises:
            UnknownName: nothing is.
            BrokenPart: its module cannot be imported.
        """
        row = self._find(name)
        try:
            return row.load()
        except UnknownName:
            raise
        except Exception as error:  # a module may raise anything while it is imported
            reason = f"{type(error).__name__}: {error}"
            raise BrokenPart(f"{self.kind} {name!r} is {row.target!r}, which cannot be imported: {reason}") from error

    def create(self, name: str, /, **arguments: Any) -> Any:
        """Construct a part; its signature is checked before anything runs.

        Raises:
            UnknownName: nothing is called so.
            BrokenPart: its module cannot be imported.
            BadArguments: it does not take these arguments.
        """
        self.check(name, **arguments)
        factory = self[name]
        try:
            return factory(**arguments)
        except TypeError as error:
            raise BadArguments(f"{self.kind} {name!r}: {error}. Signature: {name}{signature(factory)}") from error

    def check(self, name: str, /, **arguments: Any) -> None:
        """Raise as `create` would for the arguments' names, constructing nothing."""
        factory = self[name]
        known = inspect.signature(factory).parameters
        try:
            inspect.signature(factory).bind(**arguments)
        except TypeError as error:
            hints = [f" {hint}" for key in arguments if key not in known and (hint := nearest(key, known))]
            raise BadArguments(
                f"{self.kind} {name!r}: {error}.{''.join(hints)} Signature: {name}{signature(factory)}"
            ) from None

    def summary(self, name: str) -> str:
        """The line that says what it is.

        Raises:
            UnknownName: nothing is called so.
        """
        return self._find(name).summary

    def __iter__(self) -> Iterator[str]:
        self._read_plugins()
        return iter(sorted(self._rows))

    def __contains__(self, name: object) -> bool:
        self._read_plugins()
        return name in self._rows or (isinstance(name, str) and ":" in name and name.split(":")[0] in self._families)

    def _find(self, name: str) -> Row:
        self._read_plugins()
        prefix, _, member = name.partition(":")
        if member and prefix in self._families:
            return dataclasses.replace(self._families[prefix], member=member)
        if name not in self._rows:
            known = [*self, *self.families()]
            raise UnknownName(
                f"{unknown(self.kind, name, known)} To add one: @register({self.kind!r}, {name!r}), "
                f"or an entry point of the group {self.group!r}."
            )
        return self._rows[name]

    def _add(self, name: str, row: Row) -> None:
        known = self._rows.get(name)
        if known is not None and not _same(known.target, row.target):
            raise ValueError(f"{self.kind} {name!r} is already {known.target!r}; refusing {row.target!r}")
        self._rows[name] = row

    def _read_plugins(self) -> None:
        if self._plugins_read:
            return
        self._plugins_read = True
        for point in entry_points(group=self.group):
            owner = point.dist.name if point.dist else "an unknown package"
            try:
                self._add(point.name, Row(f"{point.module}:{point.attr}", f"from the package {owner}"))
            except ValueError as error:
                warnings.warn(f"plug-in of {owner}: {error}", stacklevel=2)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that nothing answers to."""
    names = list(known)
    hint = nearest(name, names)
    return f"no {kind} is called {name!r}.{hint and ' ' + hint} Known: {', '.join(names)}."


def nearest(name: str, known: Iterable[str]) -> str:
    """A question after the names that are nearly this one, or nothing."""
    close = difflib.get_close_matches(str(name), list(known), n=2)
    return f"Did you mean {' or '.join(map(repr, close))}?" if close else ""


def signature(factory: Callable[..., Any]) -> str:
    """What it takes, as one would write it: annotations without quotes."""
    parameters = inspect.signature(factory).parameters.values()
    bare = [
        p.replace(annotation=_Bare(p.annotation) if isinstance(p.annotation, str) else p.annotation) for p in parameters
    ]
    return str(inspect.Signature(bare))


class _Bare(str):
    """A string that is shown without quotes."""

    __repr__ = str.__str__


def first_line(part: Any) -> str:
    """The first line of a docstring, or the part's name."""
    text = inspect.getdoc(part) or getattr(part, "__name__", "") or repr(part)
    return text.splitlines()[0]


def _same(old: Any, new: Any) -> bool:
    """Whether it is the same part, perhaps from a notebook cell that was run again."""
    homes = [(getattr(part, "__module__", None), getattr(part, "__qualname__", None)) for part in (old, new)]
    return bool(old == new) or (homes[0] == homes[1] and None not in homes[0])
