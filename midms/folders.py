"""`midms translate`: files and folders in, files and folders out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from midms.pictures import PictureError, check_target, save
from midms.translation import Translator, translate


@dataclass(frozen=True)
class Job:
    """One translation: files to read and one or two to write."""

    condition: Path
    exemplars: tuple[Path, ...]
    out: Path
    figure: Path | None = None
    exemplar_conditions: tuple[Path, ...] = ()
    regions: tuple[Path, ...] = ()


def plan(
    condition: Path,
    exemplars: Sequence[Path],
    out: Path,
    figure: Path | None,
    exemplar_condition: Path | None = None,
    regions: Sequence[Path] = (),
) -> list[Job]:
    """The translations that two files or folders, or more where there are several exemplars, ask for.

    Two files give one job. A folder and a file give one job for each picture of the folder. Two folders are paired by
    names without suffix; if they share none but hold equally many pictures, in the order of names. With a folder among
    the inputs, `out` and `figure` are folders, and a result is called like the picture of the folder it came from.
    Where `exemplar_condition` is a folder, each exemplar's has the exemplar's name. A folder without pictures is one
    of keypoint files. Several exemplars are each paired with the condition so; regions, one for each of them, are
    files.

    Raises:
        PictureError: an input does not exist, an output cannot be written or would overwrite an input, pictures
            cannot be paired.
    """
    for path in (condition, *exemplars, exemplar_condition, *regions):
        if path is not None and not path.exists():
            raise PictureError(f"{path}: no such file or folder")
    if regions and len(regions) != len(exemplars):
        raise PictureError(f"got {len(regions)} regions, expected one for each of {len(exemplars)} exemplars")
    told = _told(exemplar_condition)
    if not any(path.is_dir() for path in (condition, *exemplars)):
        jobs = [Job(condition, tuple(exemplars), out, figure, told(exemplars), tuple(regions))]
        for target in (out, figure):
            if target is not None:
                check_target(target)
    else:
        for folder in (out, figure):
            if folder is not None and folder.exists() and not folder.is_dir():
                raise PictureError(f"{folder}: is a file, expected a folder, for there are several results")
        jobs = [
            Job(one, others, out / f"{name}.png", figure and figure / f"{name}.png", told(others), tuple(regions))
            for name, one, others in _groups(condition, exemplars)
        ]
    _check_overlap(jobs)
    return jobs


def _told(conditions: Path | None) -> Callable[[Sequence[Path]], tuple[Path, ...]]:
    """From exemplars to their conditions: a file is that of all, in a folder it has the exemplar's name."""
    if conditions is None:
        return lambda exemplars: ()
    if not conditions.is_dir():
        return lambda exemplars: (conditions,) * len(exemplars)
    known = _pictures(conditions)

    def find(exemplars: Sequence[Path]) -> tuple[Path, ...]:
        for exemplar in exemplars:
            if exemplar.stem not in known:
                raise PictureError(f"{conditions}: no condition of the exemplar {exemplar.name}")
        return tuple(known[exemplar.stem] for exemplar in exemplars)

    return find


def _groups(condition: Path, exemplars: Sequence[Path]) -> list[tuple[str, Path, tuple[Path, ...]]]:
    """Name, condition and exemplars of each job; where each exemplar is paired by itself, the names must agree."""
    folders = [path for path in exemplars if condition.is_dir() or path.is_dir()]
    paired = {path: {name: (one, other) for name, one, other in _pairs(condition, path)} for path in folders}
    first = paired[folders[0]]
    for path, pairs in paired.items():
        if list(pairs) != list(first):
            raise PictureError(f"{path}: holds other pictures than {folders[0]}")
    return [
        (name, one, tuple(paired[path][name][1] if path in paired else path for path in exemplars))
        for name, (one, _) in first.items()
    ]


def _pairs(condition: Path, exemplar: Path) -> list[tuple[str, Path, Path]]:
    if not exemplar.is_dir():
        return [(name, path, exemplar) for name, path in _pictures(condition).items()]
    if not condition.is_dir():
        return [(name, condition, path) for name, path in _pictures(exemplar).items()]
    ones, others = _pictures(condition), _pictures(exemplar)
    shared = ones.keys() & others.keys()
    if not shared and len(ones) == len(others):
        return [(name, path, other) for (name, path), other in zip(ones.items(), others.values(), strict=True)]
    alone = [
        *(ones[name] for name in ones if name not in shared),
        *(others[name] for name in others if name not in shared),
    ]
    if alone:
        named = ", ".join(map(str, alone[:3])) + (f" and {len(alone) - 3} more" if len(alone) > 3 else "")
        raise PictureError(f"no partner of the same name for {named}")
    return [(name, ones[name], others[name]) for name in ones]


def _pictures(folder: Path) -> dict[str, Path]:
    """Pictures of a folder by name without suffix, in the order of names; where it has none, its keypoint files."""
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and path.is_file()]
    pictures = [path for path in files if path.suffix.lower() in Image.registered_extensions()]
    found: dict[str, Path] = {}
    for path in pictures or [path for path in files if path.suffix.lower() == ".json"]:
        if path.stem in found:
            raise PictureError(
                f"{path}: there is also {found[path.stem].name}, and their results would be called alike"
            )
        found[path.stem] = path
    if not found:
        raise PictureError(f"{folder}: no pictures in this folder")
    return found


def _check_overlap(jobs: list[Job]) -> None:
    inputs = [(job.condition, *job.exemplars, *job.exemplar_conditions, *job.regions) for job in jobs]
    read = {path.resolve() for paths in inputs for path in paths}
    written: set[Path] = set()
    for target in (path for job in jobs for path in (job.out, job.figure) if path is not None):
        if target.resolve() in read:
            raise PictureError(f"{target}: is also an input, which would be overwritten")
        if target.resolve() in written:
            raise PictureError(f"{target}: is both the result and the figure")
        written.add(target.resolve())


def perform(run: Translator, jobs: list[Job], seed: int, size: int | None) -> list[str]:
    """Translate and save; a job that fails does not stop the others.

    Args:
        run: a composed method.
        jobs: from `plan`.
        seed: of the noise, the same for each.
        size: pixels of the shorter side, by default the method's own.

    Returns:
        What went wrong, a line for each job that failed.
    """
    failures = []
    for job in tqdm(jobs, "translating", disable=None if len(jobs) > 1 else True):
        try:
            _perform(run, job, seed, size)
        except PictureError as error:
            failures.append(str(error))
    return failures


def _perform(run: Translator, job: Job, seed: int, size: int | None) -> None:
    told = translate(
        run,
        job.condition,
        job.exemplars,
        exemplar_condition=job.exemplar_conditions or None,
        regions=job.regions or None,
        seed=seed,
        size=size,
    )
    pictures = {job.out: told.image} | ({} if job.figure is None else {job.figure: told.figure()})
    for path in pictures:
        path.parent.mkdir(parents=True, exist_ok=True)
    save(pictures)
