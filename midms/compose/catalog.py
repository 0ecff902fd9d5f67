"""Every kind of part and its registry; making, listing and adding parts. Loads no torch until a part is made."""

from __future__ import annotations

import fnmatch
import reprlib
from collections.abc import Callable
from numbers import Number
from typing import Any, TypeVar, overload

from midms.compose.metrics import METRICS
from midms.compose.spec import Spec
from midms.conditions import CONDITIONS
from midms.confidence import CONFIDENCES
from midms.core.signatures import parameters
from midms.data import DATASETS
from midms.diffusion import AUTOENCODERS, DENOISERS, INJECTIONS, SAMPLERS
from midms.features import FEATURES
from midms.images.finishers import FINISHERS
from midms.matching import MATCHERS
from midms.registry import BadArguments, Registry, UnknownName, unknown

P = TypeVar("P")

KINDS: dict[str, Registry] = {
    registry.kind: registry
    for registry in (
        CONDITIONS,
        FEATURES,
        MATCHERS,
        CONFIDENCES,
        DENOISERS,
        INJECTIONS,
        SAMPLERS,
        AUTOENCODERS,
        FINISHERS,
        DATASETS,
        METRICS,
    )
}


def registry(kind: str) -> Registry:
    """The registry of a kind.

    Raises:
        UnknownName: there is no such kind.
    """
    if kind not in KINDS:
        raise UnknownName(unknown("kind of part", kind, KINDS))
    return KINDS[kind]


def create(kind: str, name: str, /, **arguments: Any) -> Any:
    """One part: `create("matcher", "correlation", temperature=0.005)`.

    Parts of which it is made are made first: a class that has some says which of its arguments they are, and their
    kind, in `nested`; its registry says it of arguments that mean the same in every part of the kind. Such an argument
    is an object, a name, a `Spec`, or a tuple of them.

    Raises:
        UnknownName: there is no such kind or part.
        BadArguments: the part does not take these arguments.
        BrokenPart: the part's module cannot be imported.
    """
    rows = registry(kind)
    factory_of(kind, name)
    rows.check(name, **arguments)
    taken = parameters(rows[name]).parameters
    for argument, inner in nested_kinds(kind, name).items():
        usual = taken[argument].default
        choice = arguments.get(argument, usual)
        if choice is None and usual is None:
            continue
        many = isinstance(choice, tuple | list)
        made = tuple(_inner(inner, one, f"{kind} {name!r}: {argument}") for one in (choice if many else [choice]))
        arguments[argument] = made if many else made[0]
    return rows.create(name, **arguments)


def nested_kinds(kind: str, name: str) -> dict[str, str]:
    """The arguments of a part that are parts, and of which kind.

    Raises:
        UnknownName: there is no such kind or part.
        BrokenPart: the part's module cannot be imported.
    """
    factory = factory_of(kind, name)
    taken = parameters(factory).parameters
    inner = {**registry(kind).nested, **getattr(factory, "nested", {})}
    return {argument: kind for argument, kind in inner.items() if argument in taken}


def factory_of(kind: str, name: str) -> Callable[..., Any]:
    """The class or factory of a part.

    Raises:
        UnknownName: there is no such kind or part; the message says of which other kinds there is one.
        BrokenPart: its module cannot be imported.
    """
    rows = registry(kind)
    others = [other for other in KINDS if name in KINDS[other]]
    if name in rows or not others:
        return rows[name]
    listing = f"`midms list {kind}` shows all {len([*rows])}"
    raise UnknownName(f"no {kind} is called {name!r}, which goes with {' and '.join(others)}; {listing}.")


def _inner(kind: str, choice: Any, argument: str) -> Any:
    """The part that a name or a Spec stands for; any other object is a part already."""
    if choice is None or isinstance(choice, Number | bytes | list | tuple | dict):
        raise BadArguments(f"{argument}: expected {kind} as an object, a name or a Spec, got {reprlib.repr(choice)}")
    spec = Spec(choice) if isinstance(choice, str) else choice
    return create(kind, spec.name, **spec.arguments) if isinstance(spec, Spec) else spec


@overload
def available(kind: None = None, pattern: str = "*") -> dict[str, list[str]]: ...
@overload
def available(kind: str, pattern: str = "*") -> list[str]: ...
def available(kind: str | None = None, pattern: str = "*") -> dict[str, list[str]] | list[str]:
    """Names of parts: of every kind as a dictionary, or of one kind as a list.

    Args:
        kind: such as "matcher"; None for all.
        pattern: with wildcards, such as "opt*".

    Raises:
        UnknownName: there is no such kind.
    """
    if kind is None:
        return {kind: fnmatch.filter(names, pattern) for kind, names in KINDS.items()}
    return fnmatch.filter(registry(kind), pattern)


def register(kind: str, name: str) -> Callable[[P], P]:
    """Decorate a class to make it a part: `@register("matcher", "mine")`.

    Raises:
        UnknownName: there is no such kind.
        ValueError: another part has the name.
    """
    return registry(kind).register(name)
