"""All pairs of a table or of tar files, in any number of processes, whenever they are stopped.

from midms import build, translate_pairs

done = translate_pairs(build("midm-faces"), "pairs.csv", "results", batch=16)
print(done.written, *done.failures)
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from midms.core.files import check_folder
from midms.core.limits import SEEDS, int_range, side
from midms.data.files import member_at
from midms.data.pair_rows import PairRow, RowFailure, read_pair_rows
from midms.images import PictureError
from midms.pipeline.failures import HOPELESS, PartFailed
from midms.pipeline.jobs.manifest import Manifest, Share
from midms.pipeline.jobs.on_ray import ray_records
from midms.pipeline.jobs.packing import packing, unpackable
from midms.pipeline.jobs.pair_work import PairWork
from midms.pipeline.pipeline import Pipeline
from midms.pipeline.retrieval import weights_digest

LARGEST_BATCH = 1024
LARGEST_SHARD = 1_000_000
_NAMED = 20
"""Failures that are kept to be said; the manifest has all."""


@dataclass
class Translated:
    """What became of the pairs of this process.

    Attributes:
        total: of pairs, those included that cannot be used.
        skipped: that were there before.
        changed: that were there before, made of other inputs, and are made again.
        written: that were translated.
        failed: that could not be.
        failures: a line each of the first of these.
        warnings: what is to be known of results, and of how many.
    """

    total: int = 0
    skipped: int = 0
    changed: int = 0
    written: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)

    def count(self, record: dict[str, Any]) -> dict[str, Any]:
        """Count a line of the manifest, which is returned."""
        if "error" in record:
            self.failed += 1
            self.failures += [record["error"]] * (len(self.failures) < _NAMED)
        else:
            self.written += 1
            self.warnings.update(record["warnings"])
        return record


def translate_pairs(
    pipe: Pipeline,
    pairs: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    batch: int = 1,
    seed: int = 0,
    size: int | None = None,
    figure: str | os.PathLike[str] | None = None,
    layers: str | os.PathLike[str] | None = None,
    shards: int | None = None,
    resume: bool = False,
    share: Share | None = None,
    ray: str | None = None,
    progress: bool = True,
) -> Translated:
    """Translate the pairs of a table, each into a file of its key's name.

    A result follows from the pair, its key and the seed, whatever else is translated, in whichever order and by however
    many processes; see `midms.pipeline.jobs.batches.run_jobs` for how far, and for memory. What fails is recorded in
    the manifest, see `midms.pipeline.jobs.manifest`, and the rest is done.

    Args:
        pipe: a composed method.
        pairs: a table or tar files, see `midms.data.pair_rows.read_pair_rows`.
        out: folder of the results, and of the manifest.
        batch: how many are computed at once.
        seed: of the noise.
        size: as `translate` takes it.
        figure: folder of pictures of how results came about.
        layers: folder of folders of the results' layers.
        shards: of how many pairs tar files are, in which results then are, see `midms.pipeline.jobs.packing`.
        resume: whether to go on where an earlier run was stopped; what failed is tried again.
        share: which pairs are this process's, by default as torchrun says it.
        ray: address of a Ray cluster whose actors translate, such as "auto", or "local" to start one here; needs
            `midms[ray]`.
        progress: whether to show a bar.

    Raises:
        DatasetError: the table cannot be used.
        ManifestError: there is a manifest of an earlier run, and it is not to be resumed, or had other settings.
        HeldError: another process has this share.
        OSError: the manifest or a tar file cannot be written.
        OutOfLimits: seed, batch or shards is no such number.
        PictureError: the size is none, results, figures or layers have one folder, or figures or layers are to go into
            tar files.
        PartFailed: a part fails with each of the first pairs.
        RayError: there is no Ray, no such cluster, or it gives up.
    """
    int_range(0, SEEDS, seed=seed)
    int_range(1, LARGEST_BATCH, batch=batch)
    if shards is not None:
        int_range(1, LARGEST_SHARD, shards=shards)
        if figure is not None or layers is not None:
            raise PictureError("shards: results alone go into tar files, expected neither figure nor layers")
    share = Share.of_environment() if share is None else share
    if wrong := side(pipe.autoencoder.stride, pipe.size if size is None else size):
        raise PictureError(f"size: {wrong}")
    found = read_pair_rows(Path(pairs), share.has)
    done = Translated(len(found.rows) + len(found.failures))
    folder = Path(out)
    drawn, layered = (None if one is None else Path(one) for one in (figure, layers))
    work = PairWork(found.root, folder, drawn, layered, seed, size, batch)
    for one in work.written:
        check_folder(one)
    work.check_apart()
    manifest, misplaced = Manifest(folder, share), _misplaced(work)
    settings = _settings(pipe, seed, size) | {"results": "files" if shards is None else "tar files"}
    with manifest.held(settings, resume) as there, contextlib.ExitStack() as packed:
        rows, note = list[PairRow](), manifest.add
        if shards is not None:
            packer = packed.enter_context(packing(manifest, shards))
            work, note = dataclasses.replace(work, out=packer.staged), packer.add
        for row in found.rows:
            changed = row.key in there and there[row.key] != json.dumps(work.inputs(row))
            if wrong := misplaced(row) or ("" if shards is None else unpackable(row.key, changed)):
                found.failures.append(RowFailure(row.key, wrong))
            elif changed or row.key not in there:
                rows.append(row)
                done.changed += changed
        for failure in found.failures:
            manifest.add(done.count({"key": failure.key, "error": failure.reason}))
        done.skipped = done.total - len(rows) - done.failed
        records = _here(pipe, work, rows) if ray is None else ray_records(pipe, work, rows, ray)
        of = f" {share.number + 1} of {share.count}" if share.count > 1 else ""
        shown = None if progress else True
        with (
            tqdm(total=len(rows), desc=f"translating{of}", unit="pair", smoothing=0.1, disable=shown) as bar,
            contextlib.closing(records),
        ):
            for record in records:
                note(done.count(record))
                bar.update()
                if "error" in record:
                    bar.set_postfix(failed=done.failed)
    return done


def _here(pipe: Pipeline, work: PairWork, rows: Iterable[PairRow]) -> Generator[dict[str, Any], None, None]:
    """Lines of rows that this process translates.

    Yields:
        A line once its files are written.

    Raises:
        PartFailed: it was with each of the first, and would be with the others.
    """
    broken, made = 0, False
    with contextlib.closing(work.outcomes(pipe, rows)) as outcomes:
        for outcome in outcomes:
            yield work.record(outcome)
            broken, made = broken + isinstance(outcome.error, PartFailed), made or outcome.result is not None
            if broken == HOPELESS and not made and outcome.error is not None:
                raise outcome.error


def _settings(pipe: Pipeline, seed: int, size: int | None) -> dict[str, Any]:
    """What results depend on, beside their pairs."""
    settings = {
        "seed": seed,
        "size": pipe.size if size is None else size,
        "preset": pipe.name,
        "parts": {slot: spec.typed() for slot, spec in pipe.recipe.slots.items()},
        "policy": dataclasses.asdict(pipe.policy),
        "weights": weights_digest(*pipe.modules()),
    }
    return dict(json.loads(json.dumps(settings, default=str)))


def _misplaced(work: PairWork) -> Callable[[PairRow], str]:
    """From a row to what is wrong with where its files lie, links followed, or nothing: a result may replace no input.

    What a row may do does not depend on others, for these may be those of other processes.
    """
    folders = {one: os.path.join(os.path.realpath(one), "") for one in work.written}
    real_folder = functools.lru_cache(2**12)(os.path.realpath)

    def real(path: str) -> str:
        folder, name = os.path.split(path)
        place = os.path.join(real_folder(folder), name)
        return os.path.realpath(place) if os.path.islink(place) else place

    def wrong(row: PairRow) -> str:
        for place in (row.condition, *row.exemplars, *row.exemplar_conditions):
            member = member_at(work.root, place)
            path = os.path.join(work.root, place) if member is None else member.archive
            if real(path).startswith(tuple(folders.values())):
                return f"{path}: is in a folder of results, expected another place"
        for folder, target in work.targets(row):
            own, place = folders[folder], real(str(target))
            if place != os.path.join(own, target.relative_to(folder)):
                return f"{target}: leads by a link to {place}, which would be overwritten"
            if inner := [one for one, other in folders.items() if len(other) > len(own) and place.startswith(other)]:
                return f"{target}: is in {inner[0]} too; result, figure and layers need places of their own"
        return ""

    return wrong
