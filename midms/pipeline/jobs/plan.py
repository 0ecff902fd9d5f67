"""Translations of files: which are read for each, and which are written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from midms.core.files import check_folder
from midms.core.protocols import AnnotationReader, ConditionExtractor
from midms.data.files import TarMember
from midms.images import PictureError, Pixels, check_target, native_size, read_pixels
from midms.pipeline.failures import blamed
from midms.pipeline.finishing import RESULT_LAYERS
from midms.pipeline.hints import HINT_KINDS, read_hints
from midms.pipeline.jobs.partners import conditions_of, paired_by_name
from midms.pipeline.save import check_saved

_SIDE = 256
"""Pixels of the shorter side at which annotations are tried."""


@dataclass(frozen=True)
class Job:
    """One translation: files to read and to write.

    Attributes:
        condition: what is drawn.
        exemplars: one, or several.
        out: the result.
        figure: how it came about.
        exemplar_conditions: one for each exemplar, or none.
        regions: one for each exemplar, or none.
        exemplar_regions: of the exemplars in their order, or the first of them.
        alike: whether pictures that were paired have the same name; if not, it was the order that paired them.
        layers: folder of the result's layers.
        saved: folder of all of the result, see `Translation.save`.
        hints: files by the argument of `translate` that takes them, "anchors" and "colours".
        inputs: of a pair of a table, what its files were before they were read, for the manifest.
    """

    condition: Path
    exemplars: tuple[Path, ...]
    out: Path
    figure: Path | None = None
    exemplar_conditions: tuple[Path, ...] = ()
    regions: tuple[Path, ...] = ()
    alike: bool = True
    layers: Path | None = None
    saved: Path | None = None
    hints: Mapping[str, Path] = field(default_factory=dict)
    exemplar_regions: tuple[Path, ...] = ()
    key: str = ""
    members: Mapping[Path, TarMember] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def layer_files(self) -> dict[str, Path]:
        """Where each layer is written."""
        return {} if self.layers is None else {name: self.layers / f"{name}.png" for name in RESULT_LAYERS}


def plan_jobs(
    condition: Path,
    exemplars: Sequence[Path],
    out: Path,
    figure: Path | None,
    exemplar_condition: Path | None = None,
    regions: Sequence[Path] = (),
    layers: Path | None = None,
    hints: Mapping[str, Path] = MappingProxyType({}),
    exemplar_regions: Sequence[Path] = (),
    saved: Path | None = None,
) -> list[Job]:
    """The translations that two files or folders, or more where there are several exemplars, ask for.

    Two files give one job. A folder and a file give one job for each picture of the folder. Folders are paired by
    names without suffix; if they share none but hold equally many pictures, in the order of names. In names, numbers
    count as numbers, and capitals, leading zeros and the way that Unicode spells a letter make no difference. With a
    folder among the inputs, `out` and `figure` are folders, and a result is called like the picture of the folder it
    came from, the condition's where that is one; in `layers` and `saved` each then has a folder called so. Where
    `exemplar_condition` is a folder, each exemplar's has the exemplar's name. A folder without pictures is one of
    keypoint files; folders in a folder are not read. Several exemplars are each paired with the condition so; regions
    of drawings and exemplars are files, as are hints, which go with no folder.

    Raises:
        PictureError: an input does not exist, an output cannot be written or would overwrite an input, pictures
            cannot be paired.
    """
    for path in (condition, *exemplars, exemplar_condition, *regions, *exemplar_regions, *hints.values()):
        if path is not None and not path.exists():
            raise PictureError(f"{path}: no such file or folder")
    if regions and len(exemplars) == 1:
        raise PictureError("region: changes nothing with one exemplar, expected several")
    if regions and len(regions) != len(exemplars):
        raise PictureError(f"region: got {len(regions)}, expected one for each of {len(exemplars)} exemplars")
    if len(exemplar_regions) > len(exemplars):
        got = f"got {len(exemplar_regions)}, expected at most one for each of {len(exemplars)} exemplars"
        raise PictureError(f"exemplar_region: {got}")
    if layers is not None:
        _check_folder(layers, "layers")
    condition_of = conditions_of(exemplar_condition)
    if not any(path.is_dir() for path in (condition, *exemplars)):
        own = condition_of(exemplars)
        jobs = [Job(condition, tuple(exemplars), out, figure, own, tuple(regions), True, layers, saved, hints)]
        for target in (out, figure):
            if target is not None:
                check_target(target)
    else:
        for name, path in hints.items():
            raise PictureError(f"{name}: {path} is of one drawing and its exemplars, expected no folders")
        for folder in (out, figure):
            if folder is not None:
                _check_folder(folder, "results")
        jobs = [
            Job(
                one,
                others,
                out / f"{name}.png",
                figure and figure / f"{name}.png",
                condition_of(others),
                tuple(regions),
                alike,
                layers and layers / name,
                saved and saved / name,
            )
            for name, one, others, alike in paired_by_name(condition, exemplars)
        ]
    jobs = [replace(job, exemplar_regions=tuple(exemplar_regions)) for job in jobs]
    for job in jobs:
        if job.saved is not None:
            check_saved(job.saved)
    _check_overlap(jobs)
    return jobs


def _check_folder(folder: Path, several: str) -> None:
    try:
        check_folder(folder)
    except OSError as error:
        raise PictureError(f"{folder}: {error.strerror}; there are several {several}") from None


def _check_overlap(jobs: list[Job]) -> None:
    inputs = [
        (j.condition, *j.exemplars, *j.exemplar_conditions, *j.regions, *j.exemplar_regions, *j.hints.values())
        for j in jobs
    ]
    read_image = {os.path.realpath(path) for paths in inputs for path in paths}
    written: set[str] = set()
    for target in (path for job in jobs for path in (job.out, job.figure, *job.layer_files.values()) if path):
        place = os.path.realpath(target)  # of links that lead round to themselves too
        if place in read_image:
            raise PictureError(f"{target}: is also an input, which would be overwritten")
        if place in written:
            raise PictureError(f"{target}: is to be written twice: result, figure and layers need places of their own")
        written.add(place)


def examine(job: Job, reader: ConditionExtractor | None) -> dict[Path, Pixels]:
    """Read the files of a job, so that what cannot be read is reported before a model is loaded.

    Args:
        job: from `plan_jobs`.
        reader: of conditions; without one they are not read.

    Returns:
        Pictures by path; annotations, which are read at the size of the result, are not kept.

    Raises:
        PictureError: one cannot be read.
    """
    for name, path in job.hints.items():
        read_hints(HINT_KINDS[name], path, name)
    pictures, conditions = (
        (*job.exemplars, *job.regions, *job.exemplar_regions),
        (job.condition, *job.exemplar_conditions),
    )
    if isinstance(reader, AnnotationReader):
        with blamed({f"condition: {type(reader).__name__}": reader}):
            for path in conditions:
                reader.read(path, str(path), lambda shape: native_size(shape, _SIDE, 8))
    elif reader is not None:
        pictures += conditions
    return {path: read_pixels(path) for path in pictures}
