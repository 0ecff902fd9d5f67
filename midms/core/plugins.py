"""Entry points of installed packages. A package that is damaged is named and left out. Standard library only."""

from __future__ import annotations

import configparser
import functools
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from midms.core.files import check_regular

_OURS = "midms."
"""What the names of our groups begin with."""
METADATA = ("METADATA", "PKG-INFO")
"""Files that may have a package's name."""
TARGET = re.compile(r"([\w.]+)\s*:\s*([\w.]+)\s*(\[.*\])?")
"""module:attribute, and extras that are of no use here."""


@dataclass(frozen=True)
class Plugin:
    """An entry point.

    Attributes:
        group: such as "midms.matchers".
        name: what users type.
        target: "module:attribute".
        package: that it came with.
    """

    group: str
    name: str
    target: str
    package: str


@functools.cache
def installed() -> tuple[tuple[Plugin, ...], tuple[str, ...]]:
    """The plug-ins of all packages in the order of the packages' names, and what is wrong with those left out.

    What is wrong is warned of once, a line each. Only entry points are read; nothing of a package is imported.
    """
    found: dict[str, Distribution] = {}
    plugins, faults = [], []
    for one in distributions():
        try:
            if _OURS in _text(one, "entry_points.txt"):
                found.setdefault(re.sub(r"[-_.]+", "-", _name(one)).lower(), one)  # the first on the path is imported
        except Exception as error:  # whatever a damaged package, or the importer that found it, raises
            faults.append(f"plug-in of {_name(one)}: its entry points cannot be read ({error})")
    for _, one in sorted(found.items()):
        for entry in _entries(one):
            if isinstance(entry, Plugin):
                plugins.append(entry)
            else:
                faults.append(f"plug-in of {_name(one)}: {entry}")
    for fault in faults:
        warnings.warn(fault, stacklevel=2)
    return tuple(plugins), tuple(faults)


def unreadable() -> tuple[str, ...]:
    """Packages whose entry points, of whatever group, Python cannot read; asking it for any entry point then raises."""
    found = []
    for one in distributions():
        try:
            one.entry_points  # noqa: B018
        except Exception:  # whatever a damaged package raises
            found.append(_name(one))
    return tuple(found)


def _entries(package: Distribution) -> Iterator[Plugin | str]:
    """The entry points in our groups; of one that is none, what is wrong with it."""
    parser = configparser.ConfigParser(
        delimiters=("=",), comment_prefixes=("#",), strict=False, allow_no_value=True, interpolation=None
    )
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(_text(package, "entry_points.txt"))
    except configparser.Error as error:
        yield f"its entry points cannot be read ({' '.join(str(error).split())})"
        return
    for group in (section for section in parser.sections() if section.startswith(_OURS)):
        for name, value in parser.items(group):
            if (match := TARGET.fullmatch(value or "")) is None:
                yield f"{group} {name!r} is {value!r}, expected module:attribute"
            else:
                yield Plugin(group, name, f"{match[1]}:{match[2]}", _name(package))


def _text(package: Distribution, file: str) -> str:
    """What a file of a package's metadata says; nothing if there is none."""
    _check(package, file)
    return package.read_text(file) or ""


def _check(package: Distribution, file: str) -> None:
    """Find out before it is opened whether a file of a package's metadata has an end.

    Raises:
        OSError: it is no regular file, or too large.
    """
    folder = getattr(package, "_path", None)  # of a package in a folder; other importers have their own ways
    if isinstance(folder, Path) and (folder / file).exists():
        check_regular(folder / file)


def _name(package: Distribution) -> str:
    """What a package calls itself, or its folder if that cannot be read."""
    try:
        for file in METADATA:
            _check(package, file)
        if name := " ".join(package.metadata["Name"].split()):
            return name
    except Exception:  # see `installed`
        pass
    folder = Path(str(getattr(package, "_path", "a package without a name")))
    return folder.name.partition("-")[0]
