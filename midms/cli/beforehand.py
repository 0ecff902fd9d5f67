"""What translating commands say before the work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from midms.cli.messages import complain
from midms.core.limits import side

if TYPE_CHECKING:
    from midms.pipeline.jobs.plan import Job
    from midms.pipeline.pipeline import Pipeline

_LARGE, _SMALL = 3 * 2**29, 2**28
"""Bytes of translations from which they are noted, and bytes of weights, times pictures of their own size, that take no
such memory."""


def announced(pipe: Pipeline, size: int | None, batch: int, jobs: Sequence[Job] = ()) -> tuple[str, ...]:
    """Warn of a size that the weights were not trained for and of idle hints, and note what takes much memory.

    Args:
        pipe: a composed method.
        size: as `translate` takes it; of one that is none nothing is said.
        batch: how many translations are computed at once.
        jobs: whose drawings may take much to be finished, and which have hints.

    Returns:
        The warnings, which results will have too.
    """
    from midms.pipeline.failures import blamed, named_parts
    from midms.pipeline.hints import HINT_KINDS, hint_warnings, read_hints

    size = pipe.size if size is None else size
    if side(pipe.autoencoder.stride, size):
        return ()
    hinted = [kind for job in jobs for kind, file in job.hints.items() if read_hints(HINT_KINDS[kind], file, kind)]
    warnings = (*hint_warnings(pipe, hinted), *pipe.domain.warnings(size, ()))
    for warning in warnings:
        complain(f"warning: {warning}")
    with blamed(named_parts(pipe)):
        _note_memory(pipe, size, batch, jobs)
    return warnings


def _note_memory(pipe: Pipeline, size: int, batch: int, jobs: Sequence[Job]) -> None:
    """Say what large translations will take, or a large drawing to be finished."""
    which = f"{size} x {size} pixels" if batch == 1 else f"{batch:,} at once of {size} x {size} pixels"
    needs = {f"{which} take": _computing(pipe, size, batch), **_finishing(pipe, size, jobs)}
    what, needed = max(needs.items(), key=lambda need: need[1])
    if needed > _LARGE:
        import torch

        from midms.pipeline.memory import free_memory

        free = free_memory(next((p.device for one in pipe.modules() for p in one.parameters()), torch.device("cpu")))
        known = "" if free is None else f", {free / 2**30:.1f} GB are free"
        complain(f"note: {what} about {needed / 2**30:.1f} GB of memory{known}")


def _computing(pipe: Pipeline, size: int, batch: int) -> int:
    """Bytes of translations; 0 where they are few, or a part does not tell."""
    weights = [weight for module in pipe.modules() for weight in module.parameters()]
    if sum(weight.nbytes for weight in weights) * batch * size**2 <= _SMALL * pipe.size**2:
        return 0
    from midms.pipeline.memory import translation_memory

    return translation_memory(pipe, size, batch) or 0


def _finishing(pipe: Pipeline, size: int, jobs: Sequence[Job]) -> dict[str, int]:
    """Bytes that the finisher takes for the largest drawing, by what is said of it; nothing where it does not tell."""
    from midms.core.protocols import MemoryEstimator
    from midms.images.headers import size_of
    from midms.images.reading import native_size

    shapes = {shape for job in jobs if (shape := size_of(job.condition))}
    if not isinstance(pipe.finisher, MemoryEstimator) or not shapes:
        return {}
    height, width = max(shapes, key=lambda shape: shape[0] * shape[1])
    needed = pipe.finisher.memory(native_size((height, width), size, pipe.autoencoder.stride), (height, width))
    return {f"to finish a drawing of {width} x {height} pixels takes": needed}
