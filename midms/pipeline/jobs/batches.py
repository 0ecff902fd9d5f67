"""Many translations: those of like size are computed together, while others are read and written."""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from PIL import Image

from midms.core.protocols import AnnotationReader
from midms.core.seeds import seeded
from midms.images import PictureError, Pixels, one_line, read_pixels, save_images
from midms.pipeline.inputs import Inputs, read_inputs
from midms.pipeline.jobs.plan import Job
from midms.pipeline.pipeline import Pipeline
from midms.pipeline.result import Translation
from midms.pipeline.series import in_series
from midms.pipeline.translate import translate_inputs
from midms.pipeline.translator import Translator

_THREADS = 2
"""That read, and that write."""
_WAITING = 4
"""Batches of pairs that may wait for others of their size."""
NOTHING_READ: Mapping[Path, Pixels] = MappingProxyType({})


class Outcome(NamedTuple):
    """What became of a job.

    Attributes:
        job: it.
        result: whose files are written; None where it failed.
        error: why it failed.
    """

    job: Job
    result: Translation | None
    error: Exception | None = None

    @property
    def reason(self) -> str:
        """The error in a line that names what it is of."""
        if isinstance(self.error, PictureError):
            return str(self.error)
        return f"{self.job.out}: failed ({type(self.error).__name__}: {one_line(self.error or RuntimeError())})"


class _Read(NamedTuple):
    """A job whose files were read, or could not be."""

    job: Job
    inputs: Inputs | None
    error: Exception | None = None


def run_jobs(
    pipe: Translator,
    jobs: Iterable[Job],
    *,
    seed: int = 0,
    size: int | None = None,
    batch: int = 1,
    known: Mapping[Path, Pixels] = NOTHING_READ,
) -> Generator[Outcome, None, None]:
    """Translate and save; a job that fails, for whatever reason, does not stop the others.

    Threads read the next pairs and write the last results meanwhile, few at a time, so that memory does not grow with
    the number of jobs. A batch is always computed in full, if need be with copies of its last pair: on the same machine
    the bytes of a result do not depend on what else there is, nor on what was done before. With another `batch` numbers
    differ by rounding, in midm-faces' pictures by 1 of 255.

    Args:
        pipe: a composed method.
        jobs: from `midms.pipeline.jobs.plan.plan_jobs`, or one's own.
        seed: of the noise, which follows from it and a job's key; without a key from the seed alone.
        size: as `translate` takes it, by default the method's own.
        batch: how many are computed at once; those with hints are computed alone.
        known: pictures that `examine` has read, by path; the rest is read here.

    Yields:
        Each job once its files are written, in the order in which they are computed.
    """
    with _helpers("reading") as readers, _helpers("writing") as writers:
        read = _ahead(readers, functools.partial(_read, pipe, size, known), jobs, batch + _THREADS)
        made = (outcome for group in _grouped(read, batch) for outcome in _translated(pipe, group, seed, batch))
        yield from _behind(writers, made, batch)


def of_series(
    pipe: Pipeline,
    jobs: Iterable[Job],
    *,
    seed: int = 0,
    size: int | None = None,
    known: Mapping[Path, Pixels] = NOTHING_READ,
) -> Pipeline:
    """The method for jobs whose drawings are one series, see `in_series`; those that cannot be read are left out.

    Args:
        pipe: a composed method.
        jobs: in the order of the series.
        seed: of the noise, as in `run_jobs`.
        size: as there.
        known: as there.
    """
    read = (_read(pipe, size, known, job) for job in jobs)
    return in_series(pipe, ((one.inputs, _noise(seed, one.job.key)) for one in read if one.inputs is not None))


@contextmanager
def _helpers(name: str) -> Iterator[Executor]:
    """Threads whose operations take a core each: with teams of their own they would wait for one another."""
    count, begun = torch.get_num_threads(), threading.Barrier(_THREADS + 1, timeout=60)

    def begin() -> None:
        torch.get_num_threads()  # a thread takes the process' number when it first asks
        torch.set_num_threads(1)  # of this thread, but also of MKL and of threads to come
        begun.wait()

    with ThreadPoolExecutor(_THREADS, name, begin) as pool:
        for _ in range(_THREADS):
            pool.submit(int)
        begun.wait()
        torch.set_num_threads(count)
        yield pool


@contextmanager
def a_thread_less() -> Iterator[None]:
    """Operations of the thread that asks leave a core to those that read and write meanwhile, if there are several."""
    count = torch.get_num_threads()
    torch.set_num_threads(max(1, count - 1))
    try:
        yield
    finally:
        torch.set_num_threads(count)


def _ahead(readers: Executor, read: Callable[[Job], _Read], jobs: Iterable[Job], count: int) -> Iterator[_Read]:
    """Jobs as they are read, in their order, by threads that are `count` jobs ahead."""
    pending = deque[Future[_Read]]()
    for job in jobs:
        pending.append(readers.submit(read, job))
        if len(pending) > count:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _behind(writers: Executor, outcomes: Iterable[Outcome], count: int) -> Iterator[Outcome]:
    """Outcomes once they are written, in their order, by threads that are at most `count` behind."""
    pending = deque[Future[Outcome]]()
    for outcome in outcomes:
        if outcome.result is not None:
            pending.append(writers.submit(_written, outcome.job, outcome.result))
        while pending and (outcome.result is None or pending[0].done() or len(pending) > count):
            yield pending.popleft().result()
        if outcome.result is None:
            yield outcome
    while pending:
        yield pending.popleft().result()


def _read(pipe: Translator, size: int | None, known: Mapping[Path, Pixels], job: Job) -> _Read:
    def source(path: Path, name: str) -> object:
        if (member := job.members.get(path)) is None:
            return known.get(path, path)
        found = member.read()
        is_annotation = "condition" in name and isinstance(pipe.condition, AnnotationReader)
        return read_pixels(found, str(member)) if isinstance(found, Image.Image) and not is_annotation else found

    def sources(paths: Sequence[Path], name: str) -> list[object] | None:
        return [source(path, name) for path in paths] or None

    try:
        inputs = read_inputs(
            pipe,
            source(job.condition, "condition"),
            sources(job.exemplars, "exemplar"),
            exemplar_condition=sources(job.exemplar_conditions, "exemplar_condition"),
            regions=sources(job.regions, "region"),
            exemplar_regions=sources(job.exemplar_regions, "exemplar_region"),
            size=size,
            **job.hints,
        )
    except Exception as error:
        return _Read(job, None, error)
    return _Read(job, inputs)


def _grouped(read: Iterable[_Read], batch: int) -> Iterator[list[_Read]]:
    """Jobs whose inputs are of one kind, at most `batch` of them; those that could not be read by themselves."""
    waiting: dict[Hashable, list[_Read]] = {}
    for one in read:
        if one.inputs is None:
            yield [one]
            continue
        group = waiting.setdefault(one.inputs.kind, [])
        group.append(one)
        if len(group) == batch:
            yield waiting.pop(one.inputs.kind)
        elif sum(map(len, waiting.values())) >= _WAITING * batch:
            yield waiting.pop(max(waiting, key=lambda kind: len(waiting[kind])))
    yield from waiting.values()


def _translated(pipe: Translator, group: Sequence[_Read], seed: int, batch: int) -> Iterator[Outcome]:
    inputs = [one.inputs for one in group if one.inputs is not None]
    if not inputs:
        yield from (Outcome(one.job, None, one.error) for one in group)
        return
    try:
        results = translate_inputs(pipe, inputs, [_noise(seed, one.job.key) for one in group], batch)
    except Exception as error:
        if len(group) == 1:
            yield Outcome(group[0].job, None, error)
        else:  # whose fault it is, each by itself tells
            for one in group:
                yield from _translated(pipe, [one], seed, batch)
        return
    for one, result in zip(group, results, strict=True):
        yield Outcome(one.job, result)


def _noise(seed: int, key: str) -> torch.Generator:
    return seeded(seed, "pair", key) if key else torch.Generator().manual_seed(seed)


def _written(job: Job, result: Translation) -> Outcome:
    try:
        pictures = {job.out: result.image} | ({} if job.figure is None else {job.figure: result.figure()})
        if job.layers is not None:
            if not (layers := result.layers()):
                raise PictureError(f"{job.layers}: the result has no layers, which the finisher composite gives")
            pictures |= {path: layers[name] for name, path in job.layer_files.items()}
        save_images(pictures)
        if job.saved is not None:
            result.save(job.saved)
    except Exception as error:
        return Outcome(job, None, error)
    return Outcome(job, result)
