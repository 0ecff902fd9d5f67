"""Every kind of part and its registry; making, listing and adding parts. Loads no torch until a part is made."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from typing import Any, overload

from midms.conditions import CONDITIONS
from midms.confidence import CONFIDENCES
from midms.data import DATASETS
from midms.diffusion import AUTOENCODERS, DENOISERS, SAMPLERS
from midms.features import FEATURES
from midms.matching import MATCHERS
from midms.registry import Registry, UnknownName, unknown

KINDS: dict[str, Registry] = {
    registry.kind: registry
    for registry in (CONDITIONS, FEATURES, MATCHERS, CONFIDENCES, DENOISERS, SAMPLERS, AUTOENCODERS, DATASETS)
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
    """One part alone: `create("matcher", "correlation", temperature=0.005)`.

    Raises:
        UnknownName: there is no such kind or part.
        BadArguments: the part does not take these arguments.
        BrokenPart: the part's module cannot be imported.
    """
    return registry(kind).create(name, **arguments)


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


def register(kind: str, name: str) -> Callable[[Any], Any]:
    """Decorate a class to make it a part: `@register("matcher", "mine")`.

    Raises:
        UnknownName: there is no such kind.
        ValueError: another part has the name.
    """
    return registry(kind).register(name)
