"""`midms translate`: files and folders in, files and folders out."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tqdm import tqdm

from midms.core.protocols import AnnotationReader, ConditionExtractor
from midms.images import PictureError, Pixels, check_target, native_size, one_line, read_pixels, save_images
from midms.images.names import natural_key, picture_suffixes
from midms.pipeline.finishing import RESULT_LAYERS
from midms.pipeline.hints import HINT_KINDS, read_hints
from midms.pipeline.translate import Translator, translate
from midms.pipeline.translation import Translation

_SIDE = 256
"""Pixels of the shorter side at which annotations are tried."""
NOTHING_READ: Mapping[Path, Pixels] = MappingProxyType({})


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
        alike: whether pictures that were paired have the same name; if not, it was the order that paired them.
        layers: folder of the result's layers.
        hints: files by the argument of `translate` that takes them, "anchors" and "colours".
    """

    condition: Path
    exemplars: tuple[Path, ...]
    out: Path
    figure: Path | None = None
    exemplar_conditions: tuple[Path, ...] = ()
    regions: tuple[Path, ...] = ()
    alike: bool = True
    layers: Path | None = None
    hints: Mapping[str, Path] = field(default_factory=dict)

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
) -> list[Job]:
    """The translations that two files or folders, or more where there are several exemplars, ask for.

    Two files give one job. A folder and a file give one job for each picture of the folder. Folders are paired by
    names without suffix; if they share none but hold equally many pictures, in the order of names. In names, numbers
    count as numbers, and capitals, leading zeros and the way that Unicode spells a letter make no difference. With a
    folder among the inputs, `out` and `figure` are folders, and a result is called like the picture of the folder it
    came from, the condition's where that is one; in `layers` each then has a folder called so. Where
    `exemplar_condition` is a folder, each exemplar's has the exemplar's name. A folder without pictures is one of
    keypoint files; folders in a folder are not read. Several exemplars are each paired with the condition so; regions,
    one for each of them, are files, as are hints, which go with no folder.

    Raises:
        PictureError: an input does not exist, an output cannot be written or would overwrite an input, pictures
            cannot be paired.
    """
    for path in (condition, *exemplars, exemplar_condition, *regions, *hints.values()):
        if path is not None and not path.exists():
            raise PictureError(f"{path}: no such file or folder")
    if regions and len(exemplars) == 1:
        raise PictureError("region: changes nothing with one exemplar, expected several")
    if regions and len(regions) != len(exemplars):
        raise PictureError(f"region: got {len(regions)}, expected one for each of {len(exemplars)} exemplars")
    if layers is not None and layers.exists() and not layers.is_dir():
        raise PictureError(f"{layers}: is a file, expected a folder, for there are several layers")
    conditions_of = _conditions_of(exemplar_condition)
    if not any(path.is_dir() for path in (condition, *exemplars)):
        own = conditions_of(exemplars)
        jobs = [Job(condition, tuple(exemplars), out, figure, own, tuple(regions), layers=layers, hints=hints)]
        for target in (out, figure):
            if target is not None:
                check_target(target)
    else:
        for name, path in hints.items():
            raise PictureError(f"{name}: {path} is of one drawing and its exemplars, expected no folders")
        for folder in (out, figure):
            if folder is not None and folder.exists() and not folder.is_dir():
                raise PictureError(f"{folder}: is a file, expected a folder, for there are several results")
        jobs = [
            Job(
                one,
                others,
                out / f"{name}.png",
                figure and figure / f"{name}.png",
                conditions_of(others),
                tuple(regions),
                alike,
                layers and layers / name,
            )
            for name, one, others, alike in _groups(condition, exemplars)
        ]
    _check_overlap(jobs)
    return jobs


def _conditions_of(conditions: Path | None) -> Callable[[Sequence[Path]], tuple[Path, ...]]:
    """From exemplars to their conditions: a file is that of all, in a folder it has the exemplar's name."""
    if conditions is None:
        return lambda exemplars: ()
    if not conditions.is_dir():
        return lambda exemplars: (conditions,) * len(exemplars)
    known = _pictures(conditions)

    def find(exemplars: Sequence[Path]) -> tuple[Path, ...]:
        found = tuple(path for path in _partners(exemplars, known) if path)
        if len(found) < len(exemplars):
            named = ", ".join(path.name for path in exemplars)
            raise PictureError(f"{conditions}: no condition of the exemplar {named}")
        return found

    return find


def _groups(condition: Path, exemplars: Sequence[Path]) -> list[tuple[str, Path, tuple[Path, ...], bool]]:
    """Name, condition and exemplars of each job, and whether their names are alike."""
    inputs = [condition, *exemplars]
    named = _pictures(next(path for path in inputs if path.is_dir()))
    columns = [_paired(named, _pictures(path)) if path.is_dir() else [path] * len(named) for path in inputs]
    folders = [column for path, column in zip(inputs, columns, strict=True) if path.is_dir()]
    return [
        (one.stem, first, tuple(others), len({_natural(column[i]) for column in folders}) == 1)
        for i, (one, first, *others) in enumerate(zip(named, *columns, strict=True))
    ]


def _paired(ones: list[Path], others: list[Path]) -> list[Path]:
    """The other of each one: of the same name, or if there is no such pair at all, the next in order.

    Raises:
        PictureError: some have a partner, others have not.
    """
    partners = _partners(ones, others)
    if not any(partners) and len(ones) == len(others):
        return others
    alone = [one for one, partner in zip(ones, partners, strict=True) if partner is None]
    alone += [other for other in others if other not in partners]
    if alone:
        named = ", ".join(map(str, alone[:3])) + (f" and {len(alone) - 3} more" if len(alone) > 3 else "")
        raise PictureError(f"no partner of the same name for {named}")
    return [partner for partner in partners if partner]


def _partners(ones: Sequence[Path], others: Sequence[Path]) -> list[Path | None]:
    """The other of the same name of each, or None: as it is written, or else one whose name reads the same."""
    written = {_written(other): other for other in others}
    alike = {key: list(group) for key, group in itertools.groupby(sorted(others, key=_natural), _natural)}
    return [
        written.get(_written(one)) or (near[0] if len(near := alike.get(_natural(one), [])) == 1 else None)
        for one in ones
    ]


def _written(path: Path) -> str:
    """A file's name without suffix. Systems differ in whether an accent is part of its letter."""
    return unicodedata.normalize("NFC", path.stem)


def _natural(path: Path) -> tuple[str | int, ...]:
    """A file's name without suffix, as one reads it."""
    return natural_key(path.stem)


def _pictures(folder: Path) -> list[Path]:
    """Pictures of a folder in the order of names; where it has none, its keypoint files."""
    files = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]
    pictures = [path for path in files if path.suffix.lower() in picture_suffixes()]
    found = pictures or [path for path in files if path.suffix.lower() == ".json"]
    if not found:
        raise PictureError(f"{folder}: no pictures in this folder")
    names: dict[str, Path] = {}
    for path in sorted(found):
        if (other := names.setdefault(_written(path), path)) != path:
            raise PictureError(f"{path}: there is also {other.name}, and their results would be called alike")
    return sorted(found, key=lambda path: (_natural(path), path.name))


def _check_overlap(jobs: list[Job]) -> None:
    inputs = [(j.condition, *j.exemplars, *j.exemplar_conditions, *j.regions, *j.hints.values()) for j in jobs]
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
    pictures, conditions = (*job.exemplars, *job.regions), (job.condition, *job.exemplar_conditions)
    if isinstance(reader, AnnotationReader):
        for path in conditions:
            reader.read(path, str(path), lambda shape: native_size(shape, _SIDE, 8))
    elif reader is not None:
        pictures += conditions
    return {path: read_pixels(path) for path in pictures}


def run_jobs(
    pipe: Translator,
    jobs: list[Job],
    seed: int,
    size: int | None,
    written: Callable[[Job, Translation], object] = lambda job, result: None,
    known: Mapping[Path, Pixels] = NOTHING_READ,
) -> list[str]:
    """Translate and save; a job that fails, for whatever reason, does not stop the others.

    Args:
        pipe: a composed method.
        jobs: from `plan_jobs`.
        seed: of the noise, the same for each.
        size: as `translate` takes it, by default the method's own.
        written: called with each job whose result was saved, and the result.
        known: pictures that `examine` has read, by path; the rest is read here.

    Returns:
        What went wrong, a line for each job that failed.
    """
    failures = []
    for job in tqdm(jobs, "translating", disable=None if len(jobs) > 1 else True):
        try:
            written(job, _perform(pipe, job, seed, size, known))
        except PictureError as error:
            failures.append(str(error))
        except Exception as error:
            if len(jobs) == 1:
                raise
            failures.append(f"{job.out}: failed ({type(error).__name__}: {one_line(error)})")
    return failures


def _perform(pipe: Translator, job: Job, seed: int, size: int | None, known: Mapping[Path, Pixels]) -> Translation:
    def read(paths: Sequence[Path]) -> list[Path | Pixels] | None:
        return [known.get(path, path) for path in paths] or None

    result = translate(
        pipe,
        known.get(job.condition, job.condition),
        read(job.exemplars),
        exemplar_condition=read(job.exemplar_conditions),
        regions=read(job.regions),
        seed=seed,
        size=size,
        **job.hints,  # type: ignore[arg-type]
    )
    pictures = {job.out: result.image} | ({} if job.figure is None else {job.figure: result.figure()})
    if job.layers is not None:
        if not (layers := result.layers()):
            raise PictureError(f"{job.layers}: the result has no layers, which the finisher composite gives")
        pictures |= {path: layers[name] for name, path in job.layer_files.items()}
    for path in pictures:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PictureError(f"{path}: its folder cannot be made ({error.strerror or error})") from None
    save_images(pictures)
    return result
