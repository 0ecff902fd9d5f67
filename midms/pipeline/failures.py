"""Which part it was that raised something that is not meant for people."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from traceback import walk_tb
from types import FrameType
from typing import Any, Concatenate, ParamSpec, TypeVar

from midms.compose.slots import SLOTS
from midms.core.errors import MidmsError, OutOfMemory

P = ParamSpec("P")
T = TypeVar("T")

HOPELESS = 3
"""Jobs, the first of many, with which a part fails before the others are not tried."""
_ALLOCATOR = "DefaultCPUAllocator"
"""Names itself in the plain RuntimeError with which torch says that there is no memory."""


class PartFailed(MidmsError, RuntimeError):
    """A part raised an error; the message names the part, the error and the line, and the error is the cause."""


def named_parts(pipe: Any) -> dict[str, Any]:
    """The parts of a pipeline by what errors call them: "matcher: nearest"; of ready objects, by their class."""
    specs = getattr(getattr(pipe, "recipe", None), "slots", {})
    parts = {slot: part for slot in SLOTS if (part := getattr(pipe, slot, None)) is not None}
    return {
        f"{slot}: {specs[slot].name if slot in specs else type(part).__name__}": part for slot, part in parts.items()
    }


@contextmanager
def blamed(parts: Mapping[str, Any]) -> Iterator[None]:
    """Within the block, what a part raises is a `PartFailed`, but for errors that are made for people.

    Args:
        parts: what errors call a part, to the part.

    Raises:
        OutOfMemory: a part asked for more than there is.
        PartFailed: a part raised something else.
    """
    try:
        yield
    except MidmsError:
        raise
    except Exception as error:
        if text := _blame(error, parts):
            raise (OutOfMemory if _is_of_memory(error) else PartFailed)(text) from error
        raise


def naming_parts(function: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """The same function of a pipeline, in which what the pipeline's parts raise is `blamed`."""

    @functools.wraps(function)
    def named(pipe: Any, /, *args: P.args, **options: P.kwargs) -> T:
        with blamed(named_parts(pipe)):
            return function(pipe, *args, **options)

    return named


def _is_of_memory(error: Exception) -> bool:
    from torch import OutOfMemoryError

    return isinstance(error, MemoryError | OutOfMemoryError) or _ALLOCATOR in str(error)


def _blame(error: BaseException | None, parts: Mapping[str, Any]) -> str:
    """What to say of an error, or nothing where no part was at work: of several, the innermost that is not ours."""
    while error is not None:
        trace = [*walk_tb(error.__traceback__)]
        found = [(*working, frame) for frame, _ in reversed(trace) if (working := _at_work(frame, parts))]
        if found:
            name, _, frame = next((one for one in found if not one[1].__module__.startswith("midms.")), found[0])
            file = frame.f_code.co_filename
            line = [line for inner, line in trace if inner.f_code.co_filename == file][-1]
            what = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
            return f"{name} raised {what} ({file}, line {line})"
        error = error.__cause__
    return ""


def _at_work(frame: FrameType, parts: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The part whose code a frame runs, or that is its first argument; what a matcher gave counts as the matcher."""
    code = frame.f_code
    own = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
    for name, part in parts.items():
        if getattr(part, "__code__", None) is code or (
            own is not None and any(own is one for one in (part, getattr(part, "levels", part)))
        ):
            return name, part
    is_match = all(callable(getattr(type(own), verb, None)) for verb in ("apply", "transpose", "similarity"))
    return next(((name, own) for name in parts if is_match and name.startswith("matcher:")), None)
