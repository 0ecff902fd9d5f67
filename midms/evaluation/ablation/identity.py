"""What tells runs apart: by digests of all that their figures depend on."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from midms.compose.catalog import KINDS
from midms.core import files
from midms.registry import BrokenPart, UnknownName

_KEPT = (".safetensors", ".bin", ".json")
"""Endings of what a folder of weights is read from."""
LIBRARIES = {*sys.stdlib_module_names, "midms", "numpy", "torch"}
"""Packages whose code goes by its name."""
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def fingerprint(weights: str | Path | None) -> str | None:
    """Tells weights apart: a digest of a folder's files of settings and weights; what is no folder is its own name."""
    if weights is None or not Path(weights).is_dir():
        return None if weights is None else str(weights)
    return _files(Path(weights), _KEPT)


@functools.cache
def package() -> str:
    """A digest of midms: its code and the weights it ships."""
    return _files(Path(__file__).parents[2], (*_KEPT, ".py"))


def _files(folder: Path, endings: tuple[str, ...]) -> str:
    found = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.suffix in endings and file.is_file()):
        found.update(f"{file.relative_to(folder)} {files.file_digest(file)}".encode())
    return found.hexdigest()[:16]


def digest_value(value: Any) -> str:
    """Tells values apart, in every process alike: parts by their code and state, names also by what they stand for."""
    found = hashlib.sha256()
    for piece in _pieces(value, {}):
        found.update(f"{len(piece)} ".encode() + piece)
    return found.hexdigest()[:16]


def _pieces(value: Any, seen: dict[int, tuple[int, Any]]) -> Iterator[bytes]:
    """What a value consists of, each object once; `seen` keeps them, so that none takes another's address."""
    yield type(value).__qualname__.encode()
    if isinstance(value, str):
        yield value.encode()
        for registry in KINDS.values():
            if value in registry:
                with contextlib.suppress(BrokenPart, UnknownName):
                    yield from _pieces(registry[value], seen)
    elif isinstance(value, int | float | complex | bytes | None):
        yield repr(value).encode()
    elif id(value) in seen:
        yield str(seen[id(value)][0]).encode()
    else:
        if not isinstance(value, tuple | types.CodeType):  # Python may or may not share equal ones
            seen[id(value)] = (len(seen), value)
        for inner in _inside(value):
            yield from _pieces(inner, seen)


def _inside(value: Any) -> Iterator[Any]:
    """What an object is made of."""
    if isinstance(value, torch.Tensor):
        array = value.detach().cpu().contiguous()
        yield f"{array.dtype} {tuple(array.shape)}".encode()
        yield array.view(-1).view(torch.uint8).numpy().tobytes() if array.numel() else b""
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield value.tobytes()
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from pair
    elif isinstance(value, set | frozenset):
        yield from sorted(map(digest_value, value))
    elif isinstance(value, tuple | list):
        yield from value
    elif isinstance(value, types.CodeType):
        yield from (value.co_code, " ".join(value.co_names), value.co_consts)
    elif isinstance(value, types.FunctionType | type):
        yield f"{value.__module__}.{value.__qualname__}".encode()
        if _home(value) not in LIBRARIES:
            yield from _of_function(value) if isinstance(value, types.FunctionType) else _of_class(value)
    elif isinstance(value, types.MethodType | staticmethod | classmethod):
        yield from (value.__func__, getattr(value, "__self__", None))
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, property):
        yield value.fget
    elif isinstance(value, types.ModuleType):
        yield value.__name__
    else:
        yield type(value)
        state = dict(getattr(value, "__dict__", {})) | {name: getattr(value, name, None) for name in _slots(value)}
        yield state or ADDRESS.sub("", repr(value))


def _of_function(function: types.FunctionType) -> Iterator[Any]:
    """Its code, and the values that it takes from around it; what other packages have goes by its name."""
    yield from (function.__code__, function.__defaults__, function.__kwdefaults__, function.__dict__)
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # nothing is in it yet
            yield cell.cell_contents
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        yield value if _home(value) in (_home(function), "") else name


def _of_class(kind: type) -> Iterator[Any]:
    """Its bases, its methods and constants."""
    yield kind.__bases__
    for name, value in vars(kind).items():
        method = callable(value) or isinstance(value, property | staticmethod | classmethod)
        if method or not name.startswith(("__", "_abc_")):
            yield from (name, value)


def _home(value: Any) -> str:
    """The package that a function, a class or an object's class is from; nothing if it is plain data."""
    home = getattr(value, "__module__", None) or ""
    return "" if type(value).__module__ == "builtins" and not callable(value) else home.partition(".")[0]


def _slots(value: Any) -> list[str]:
    found = [vars(kind).get("__slots__", ()) for kind in type(value).__mro__]
    return [name for names in found for name in ([names] if isinstance(names, str) else names)]
