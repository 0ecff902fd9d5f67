"""What is done with rows of a table, wherever it is: files in, files and lines of the manifest out."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midms.data.files import TarMember, member_at
from midms.data.pair_rows import PairRow
from midms.pipeline.batches import Outcome, run_jobs
from midms.pipeline.jobs import Job
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

    def outcomes(self, pipe: Translator, rows: Iterable[PairRow]) -> Generator[Outcome, None, None]:
        """Translate rows, see `run_jobs`."""
        return run_jobs(pipe, map(self.job, rows), seed=self.seed, size=self.size, batch=self.batch)

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
        )

    def record(self, outcome: Outcome) -> dict[str, Any]:
        """The manifest's line of a row."""
        job, result = outcome.job, outcome.result
        if result is None:
            return {"key": job.key, "error": outcome.reason}
        file = job.out.relative_to(self.out).as_posix()
        return {"key": job.key, "file": file, "bytes": job.out.stat().st_size, "warnings": [*result.warnings]}
