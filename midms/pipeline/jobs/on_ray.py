"""Rows of a table translated by actors of Ray Data, which moves the rows, tries again and scales."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from midms.core.errors import MidmsError
from midms.data.pair_rows import PairRow
from midms.pipeline.jobs.pair_work import PairWork
from midms.pipeline.pipeline import Pipeline

_BATCHES = 8
"""That an actor translates at a time; what it was at is done again where it dies."""


class RayError(MidmsError, RuntimeError):
    """Ray cannot be used; the message says why."""


class Translating:
    """An actor: it has the pipeline once, and translates the rows that it is given.

    Args:
        pipe: reference of the pipeline.
        work: how rows are translated.
        device: where.
    """

    def __init__(self, pipe: Any, work: PairWork, device: str) -> None:
        import ray

        self.pipe, self.work = ray.get(pipe).to(device), work

    def __call__(self, batch: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """From rows to lines of the manifest, both as JSON."""
        rows = [PairRow(key, one, tuple(some), tuple(own)) for key, one, some, own in map(json.loads, batch["row"])]
        return {"record": [json.dumps(self.work.record(one)) for one in self.work.outcomes(self.pipe, rows)]}


def ray_records(
    pipe: Pipeline, work: PairWork, rows: Sequence[PairRow], address: str
) -> Generator[dict[str, Any], None, None]:
    """Lines of the manifest of rows that actors translate, as many as the cluster has processors or GPUs for.

    Args:
        pipe: on a GPU if actors are to have one each; it is sent to them.
        work: how rows are translated; folders are the same on all machines.
        rows: of the table.
        address: of the cluster, or "local".

    Yields:
        A line once its files are written.

    Raises:
        RayError: it is not installed, there is no such cluster, or it gives up.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise RayError("ray: is not installed, pip install 'midms[ray]'") from None
    if not rows:
        return
    device = next((one.device.type for module in pipe.modules() for one in module.parameters()), "cpu")
    try:
        ray.init(address, ignore_reinit_error=True, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        there = ray.cluster_resources().get("GPU" if device == "cuda" else "CPU", 1)
        at_once = _BATCHES * work.batch
        table = ray.data.from_items(
            [{"row": json.dumps(row)} for row in rows], override_num_blocks=-(-len(rows) // at_once)
        )
        found = table.map_batches(
            Translating,
            fn_constructor_args=(ray.put(pipe), work, device),
            batch_size=at_once,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, int(there))),
            num_cpus=1,
            num_gpus=int(device == "cuda"),
        )
        for row in found.iter_rows():
            yield json.loads(row["record"])
    except (ray.exceptions.RayError, ConnectionError, ValueError) as error:
        raise RayError(f"ray: {address}: {' '.join(str(error).split()) or type(error).__name__}") from error
