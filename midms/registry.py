"""Names for parts. Standard library only: importing this is free."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import importlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from midms.core.errors import MidmsError
from midms.core.plugins import installed
from midms.core.signatures import first_line, mistyped, parameters, signature
from midms.core.torch_defaults import defaults

_NAME = re.compile(r"\w[\w.+-]*")
"""What a part can be called: where names are written, other characters mean something, as in `cycle(radius=0.1)`."""
_WORDS = frozenset({"none", "true", "false", "nan", "inf", "preset"})
"""What means something else there, as numbers do, in capitals too."""


P = TypeVar("P")
NO_PARTS: Mapping[str, str] = MappingProxyType({})


class UnknownName(MidmsError, LookupError):
    """A name that nothing answers to; the message lists what would have worked."""


class BadArguments(MidmsError, TypeError):
    """A part that does not take these arguments; the message shows its signature."""


class BrokenPart(MidmsError, ImportError):
    """A part that cannot be imported, or one that is not ours, that cannot be made; the cause is chained."""


class BadName(MidmsError, ValueError):
    """A name that another part has, or that no part can have."""


@dataclass(frozen=True)
class Row:
    """One name.

    Attributes:
        target: a class or factory, or "module:attribute", imported when the row is used.
        summary: a line that says what it is.
        member: which one, if it is a family: the target is called with it and gives the class or factory.
        package: that it came with, if it is a plug-in.
    """

    target: Any
    summary: str
    member: str = ""
    package: str = ""

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
        adapter: "module:attribute" of what makes a class or factory of this kind from what was registered, if anything.
        nested: arguments that are parts in every part of this kind which has them, and of which kind.

    Attributes:
        refused: entry points that were left out, and why.
    """

    def __init__(self, kind: str, group: str, adapter: str = "", nested: Mapping[str, str] = NO_PARTS) -> None:
        self.kind, self.group, self.adapter, self.nested = kind, group, adapter, nested
        self._rows: dict[str, Row] = {}
        self._families: dict[str, Row] = {}
        self.refused: list[str] = []
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

    def register(self, name: str) -> Callable[[P], P]:
        """Decorate a class or factory to add it under `name`.

        Raises:
            BadName: something else has the name, or no part can.
        """

        def add(part: P) -> P:
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
        row = self.find(name)
        try:
            part = row.load()
        except UnknownName:
            raise
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(f"while {self._called(name, row)} was imported") from error
        except BaseException as error:  # a module may raise anything while it is imported, SystemExit too
            reason = f"{type(error).__name__}: {error}"
            raise BrokenPart(
                f"{self._called(name, row)} is {row.target!r}, which cannot be imported: {reason}"
            ) from error
        if not callable(part):
            raise BrokenPart(f"{self._called(name, row)} is {row.target!r}, expected a class or function, got {part!r}")
        return Row(self.adapter, "").load()(part) if self.adapter else part  # type: ignore[no-any-return]

    def create(self, name: str, /, **arguments: Any) -> Any:
        """Construct a part, under PyTorch's own defaults; its signature is checked before anything runs.

        Raises:
            UnknownName: nothing is called so.
            BrokenPart: its module cannot be imported.
            BadArguments: it does not take these arguments.
        """
        self.check(name, **arguments)
        row, factory = self.find(name), self[name]
        try:
            with defaults():
                return factory(**arguments)
        except TypeError as error:
            raise BadArguments(f"{self.kind} {name!r}: {error}. Signature: {name}{signature(factory)}") from error
        except (MidmsError, ValueError, KeyboardInterrupt):
            raise
        except BaseException as error:
            if isinstance(row.target, str) and not row.package:  # a bug of ours
                raise
            reason = f"{type(error).__name__}: {error}"
            raise BrokenPart(f"{self._called(name, row)} cannot be made: {reason}") from error

    def check(self, name: str, /, **arguments: Any) -> None:
        """Raise as `create` would for the arguments' names and types, constructing nothing."""
        self.check_given(name, **arguments)
        try:
            parameters(self[name]).bind(**arguments)
        except TypeError as error:
            raise self._unfit(name, f"{error}.") from None

    def check_given(self, name: str, /, **arguments: Any) -> None:
        """The same for some of the arguments, to which a preset may have the others."""
        expected = parameters(self[name])
        try:
            expected.bind_partial(**arguments)
        except TypeError as error:
            strange = [key for key in arguments if key not in expected.parameters]
            said = [f"has no setting {key!r}. {did_you_mean(key, expected.parameters)}".strip() for key in strange]
            raise self._unfit(name, " ".join(said) or f"{error}.") from None
        if wrong := mistyped(expected, arguments):
            raise self._unfit(name, f"{'; '.join(wrong)}.")

    def _unfit(self, name: str, problem: str) -> BadArguments:
        return BadArguments(f"{self.kind} {name!r}: {problem} Signature: {name}{signature(self[name])}")

    def summary(self, name: str) -> str:
        """The line that says what it is.

        Raises:
            UnknownName: nothing is called so.
        """
        return self.find(name).summary

    def __iter__(self) -> Iterator[str]:
        self._read_plugins()
        return iter(sorted(self._rows))

    def __contains__(self, name: object) -> bool:
        self._read_plugins()
        return name in self._rows or (isinstance(name, str) and ":" in name and name.split(":")[0] in self._families)

    def find(self, name: str) -> Row:
        """What was registered under a name.

        Raises:
            UnknownName: nothing was.
        """
        self._read_plugins()
        prefix, _, member = str(name).partition(":")
        if member and prefix in self._families:
            return dataclasses.replace(self._families[prefix], member=member)
        if name not in self._rows:
            raise UnknownName(unknown(self.kind, name, [*self, *self.families()], f"`midms list {self.kind}`"))
        return self._rows[name]

    def _add(self, name: str, row: Row) -> None:
        if not _NAME.fullmatch(name):
            raise BadName(f"{self.kind} {name!r}: expected a name of letters, digits and _ . + - alone")
        if name.lower() in _WORDS or _is_number(name):
            raise BadName(f"{self.kind} {name!r}: means something else where parts are typed, expected another name")
        known = self._rows.get(name)
        if known is not None and not _same(known.target, row.target):
            raise BadName(f"{self.kind} {name!r} is already {known.target!r}; refusing {row.target!r}")
        if known is None or not known.package:  # what an entry point names may register itself while it is imported
            self._rows[name] = row

    def _read_plugins(self) -> None:
        if self._plugins_read:
            return
        self._plugins_read = True
        for one in installed()[0]:
            if one.group == self.group:
                try:
                    self._add(one.name, Row(one.target, f"from the package {one.package}", package=one.package))
                except BadName as error:
                    self.refused.append(f"plug-in of {one.package}: {error}")
                    warnings.warn(self.refused[-1], stacklevel=2)

    def _called(self, name: str, row: Row) -> str:
        return f"{self.kind} {name!r}{row.package and f' of the package {row.package}'}"


def unknown(kind: str, name: str, known: Iterable[str], listing: str = "") -> str:
    """What to say of a name that nothing answers to: the nearest, and what others there are.

    Args:
        kind: of thing, in words.
        name: that was asked for.
        known: all names.
        listing: what shows them, where they are too many to name them all.
    """
    names = [*dict.fromkeys(known)]
    hint = did_you_mean(name, names, 0.0 if listing else 0.6)
    others = f"{listing} shows all {len(names)}" if listing else f"Known: {', '.join(names)}"
    return f"no {kind} is called {name!r}.{hint and ' ' + hint} {others}."


def did_you_mean(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """A question after up to three names like this one, or after one with other capitals, - or _ alone; or nothing."""
    plain = {one.lower().replace("_", "-"): one for one in known}
    asked = str(name).lower().replace("_", "-")
    near = [plain[asked]] if asked in plain else difflib.get_close_matches(str(name), plain.values(), 3, likeness)
    *first, last = [*map(repr, near)] or [""]
    return f"Did you mean {', '.join(first)}{' or ' if first else ''}{last}?" if last else ""


def _is_number(name: str) -> bool:
    try:
        return isinstance(ast.literal_eval(name), int | float | complex)
    except (ValueError, SyntaxError):
        return False


def _same(old: Any, new: Any) -> bool:
    """Whether it is the same part: of a notebook cell that was run again, or what its package's entry point names."""
    module, name = (getattr(new, attribute, None) for attribute in ("__module__", "__qualname__"))
    if isinstance(old, str) and module and name:
        home, _, target = old.partition(":")
        return (home.partition(".")[0], target) == (module.partition(".")[0], name)
    known = getattr(old, "__module__", None), getattr(old, "__qualname__", None)
    return bool(old == new) or (None not in known and known == (module, name))
