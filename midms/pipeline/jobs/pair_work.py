"""What is done with rows of a table, wherever it is: files in, files and lines of the manifest out."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midms.data.files import TarMember, file_state, member_at
from midms.data.pair_rows import PairRow
from midms.images import PictureError
from midms.pipeline.finishing import RESULT_LAYERS
from midms.pipeline.jobs.batches import Outcome, a_thread_less, run_jobs
from midms.pipeline.jobs.plan import Job
from midms.pipeline.translator import Translator


@dataclass(frozen=True)
class PairWork:
    """How rows are translated.

    Attributes:
        root: folder that their places are relative to.
        out: of the results.
        figure: folder of pictures of how results came about, or none.
        layers: folder of folders of the results' layers, or none.
        seed: of the noise.
        size: as `translate` takes it.
        batch: how many are computed at once.
    """

    root: Path
    out: Path
    figure: Path | None
    layers: Path | None
    seed: int
    size: int | None
    batch: int

    @property
    def written(self) -> tuple[Path, ...]:
        """Folders that are written to."""
        return tuple(one for one in (self.out, self.figure, self.layers) if one is not None)

    def check_apart(self) -> None:
        """Find out whether each kind of what is written has a folder of its own.

        Raises:
            PictureError: two have one.
        """
        found: set[str] = set()
        for folder in self.written:
            if (place := os.path.realpath(folder)) in found:
                raise PictureError(f"{folder}: is given twice; results, figures and layers need folders of their own")
            found.add(place)

    def targets(self, row: PairRow) -> Iterator[tuple[Path, Path]]:
        """Each file that is written for a row, after the folder of its kind."""
        for folder in (self.out, self.figure):
            if folder is not None:
                yield folder, folder / f"{row.key}.png"
        if self.layers is not None:
            for name in RESULT_LAYERS:
                yield self.layers, self.layers / row.key / f"{name}.png"

    def outcomes(self, pipe: Translator, rows: Iterable[PairRow]) -> Generator[Outcome, None, None]:
        """Translate rows, see `run_jobs`."""
        jobs = map(self.job, rows)
        with a_thread_less(), closing(run_jobs(pipe, jobs, seed=self.seed, size=self.size, batch=self.batch)) as made:
            yield from made

    def inputs(self, row: PairRow) -> dict[str, list[list[str | int | None]]]:
        """What the files of a row are now, by column, see `file_state`."""
        columns = {
            "condition": [row.condition],
            "exemplar": row.exemplars,
            "exemplar_condition": row.exemplar_conditions,
        }
        return {name: [file_state(self.root, place) for place in places] for name, places in columns.items()}

    def job(self, row: PairRow) -> Job:
        """The files of a row."""
        members: dict[Path, TarMember] = {}

        def path(place: str) -> Path:
            if (member := member_at(self.root, place)) is None:
                return self.root / place
            inside = Path(member.archive) / member.name
            members[inside] = member
            return inside

        return Job(
            path(row.condition),
            tuple(map(path, row.exemplars)),
            self.out / f"{row.key}.png",
            self.figure and self.figure / f"{row.key}.png",
            tuple(map(path, row.exemplar_conditions)),
            layers=self.layers and self.layers / row.key,
            key=row.key,
            members=members,
            inputs=self.inputs(row),
        )

    def record(self, outcome: Outcome) -> dict[str, Any]:
        """The manifest's line of a row."""
        job, result = outcome.job, outcome.result
        if result is None:
            return {"key": job.key, "error": outcome.reason}
        made = {"file": f"{job.key}.png", "bytes": job.out.stat().st_size, "warnings": [*result.warnings]}
        return {"key": job.key, **made, "inputs": job.inputs}
