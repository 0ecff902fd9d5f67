"""Any data set as training reads it: one stream of pairs, the same in any number of processes and from any step on."""

from __future__ import annotations

import itertools
import math
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from midms.compose.spec import Spec
from midms.core.errors import MidmsError
from midms.core.protocols import ConditionExtractor
from midms.core.seeds import seeded
from midms.data.errors import BrokenSample, DatasetError
from midms.data.pair import Pair, collate
from midms.pipeline.datasets import check_pair, make_dataset
from midms.pipeline.failures import blamed
from midms.training.broken import Broken

HELD_OUT = 128
"""The most pairs, the first of the validation split, on which a stage is measured."""
FIRST = 512
"""The most pairs of those trained on that a stage reads before and after its steps."""
TOGETHER = 16
"""Pairs that are read at a time where nothing is trained."""


@dataclass(frozen=True)
class TrainingData:
    """What is trained on and what is held out.

    Attributes:
        train: gives a `Pair` an index, and perhaps a random one by `draw(index, generator)`.
        validation: the same, without.
        seed: of the order and of random pairs.
        workers: processes that read pairs while others are trained on; 0 for none.
        broken: what could not be read.
        unreadable: what of it files showed before anything was read, see `check_files`.
    """

    train: Any
    validation: Any
    seed: int
    workers: int
    broken: Broken
    unreadable: list[str] = field(default_factory=list)

    def check_files(self, share: int, shares: int) -> None:
        """Find out what cannot be read before anything is trained, where data sets can tell by their files.

        Args:
            share: of the files, this process's.
            shares: of all processes.
        """
        for dataset, most in ((self.train, None), (self.validation, HELD_OUT)):
            numbers = dataset.picture_numbers(most)[share::shares] if hasattr(dataset, "check_picture") else ()
            for number in tqdm(numbers, desc="checking files", unit=" pictures", delay=2, disable=share > 0):
                try:
                    dataset.check_picture(int(number))
                except BrokenSample as error:
                    self.unreadable.append(str(error))

    def count_into(self, left_out: dict[str, None]) -> None:
        """Go on counting what cannot be read, and begin with what is known of the data sets.

        Args:
            left_out: what a stage has found so far, to which what it finds is added.

        Raises:
            DatasetError: too much cannot be read.
        """
        self.broken.found, self.broken.shared = left_out, 0
        known = (getattr(dataset, "left_out", ()) for dataset in (self.train, self.validation))
        self.broken.add([*itertools.chain.from_iterable(known), *self.unreadable])

    def batches(self, steps: range, batch: int, parts: int, mine: Sequence[int]) -> Iterator[tuple[Pair, list[int]]]:
        """The stream of pairs from some step on: every epoch in an order of its own, nothing lost, nothing repeated.

        Args:
            steps: that are to come.
            batch: pairs a step.
            parts: equal ones that each batch is cut into.
            mine: those that are wanted, by number, in order.

        Yields:
            For each step each part: its pairs, and their positions in the stream.
        """
        size = batch // parts

        def keys() -> Iterator[list[tuple[int, int]]]:
            positions = enumerate(order(len(self.train), self.seed, steps.start * batch), steps.start * batch)
            for _ in steps:
                whole = [*itertools.islice(positions, batch)]
                yield from (whole[part * size : (part + 1) * size] for part in mine)

        yield from self._loaded(_Readable(self.train, self.seed), keys(), self.workers)

    def first_pair(self) -> Pair:
        """The first pair of the stream."""
        keys = [[(0, next(order(len(self.train), self.seed, 0)))]]
        ((pair, _),) = self._loaded(_Readable(self.train, self.seed), keys, 0)
        return pair

    def first(self, split: str, most: int) -> Iterator[Pair]:
        """The first pairs of a split, as they are, in batches.

        Args:
            split: "train" or "validation".
            most: how many.

        Yields:
            A batch of up to `TOGETHER`.
        """
        dataset = getattr(self, split)
        numbers = [(i, i) for i in range(min(most, len(dataset)))]
        keys = [numbers[start : start + TOGETHER] for start in range(0, len(numbers), TOGETHER)]
        workers = self.workers if len(keys) > 1 else 0
        yield from (pair for pair, _ in self._loaded(_Readable(dataset, None), keys, workers))

    def _loaded(
        self, dataset: _Readable, keys: Iterable[list[tuple[int, int]]], workers: int
    ) -> Iterator[tuple[Pair, list[int]]]:
        own = (
            torch.Generator()
        )  # without one the loader takes a number of PyTorch's, and weights drawn later are others
        loader: DataLoader[Any] = DataLoader(
            dataset,  # type: ignore[arg-type]
            batch_sampler=keys,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=_collate,
            worker_init_fn=_leave_signals_to_the_trainer,
            generator=own,
        )
        for read in loader:
            if isinstance(read, MidmsError):
                raise read
            pair, positions, messages = read
            self.broken.add(messages)
            yield pair, positions


def order(length: int, seed: int, start: int) -> Iterator[int]:
    """Indices of a data set without end, from a position on: every epoch is a permutation of its own.

    Args:
        length: of the data set.
        seed: of the permutations.
        start: the first position.

    Yields:
        An index.
    """
    epoch, place = divmod(start, length)
    while True:
        yield from torch.randperm(length, generator=seeded(seed, "order", epoch)).tolist()[place:]
        epoch, place = epoch + 1, 0


class _Readable:
    """A data set by (position, index), in whose place the next pair comes where one cannot be read."""

    def __init__(self, dataset: Any, seed: int | None) -> None:
        self.dataset, self.seed = dataset, seed
        self.random = seed is not None and hasattr(dataset, "draw")

    def __getitems__(self, keys: list[tuple[int, int]]) -> Sequence[tuple[Pair, int, list[str]] | MidmsError]:
        """What PyTorch's loader asks for; some data sets make several pairs sooner together than one by one."""
        try:
            with blamed({f"dataset: {type(self.dataset).__name__}": self.dataset}):
                if not self.random and hasattr(self.dataset, "__getitems__"):
                    pairs = self.dataset.__getitems__([index for _, index in keys])
                    for pair, (_, index) in zip(pairs, keys, strict=True):
                        check_pair(pair, self.dataset, index)
                    return [(pair, position, []) for pair, (position, _) in zip(pairs, keys, strict=True)]
                return [self._readable(position, index) for position, index in keys]
        except MidmsError as error:  # raised in another process, it would come with all of that one's traceback as text
            return [error]

    def _readable(self, position: int, index: int) -> tuple[Pair, int, list[str]]:
        messages: list[str] = []
        for _ in range(len(self.dataset)):
            try:
                return self._pair(index, position), position, messages
            except BrokenSample as error:
                messages.append(str(error))
                index = (index + 1) % len(self.dataset)
        raise DatasetError(f"none of {len(self.dataset):,} pairs can be read: {messages[0]}")

    def _pair(self, index: int, position: int) -> Pair:
        if self.random:
            assert self.seed is not None
            found: Pair = self.dataset.draw(index, seeded(self.seed, "draw", position))
        else:
            found = self.dataset[index]
        check_pair(found, self.dataset, index)
        return found


def _leave_signals_to_the_trainer(worker: int) -> None:
    """A key press, which all processes of a terminal get, ends no worker; what ends one does so at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _collate(samples: Sequence[Any]) -> tuple[Pair, list[int], list[str]] | MidmsError:
    """What `__getitems__` gave, as one; an error as it is."""
    if isinstance(samples[0], MidmsError):
        return samples[0]
    pairs, positions, messages = zip(*samples, strict=True)
    try:
        return collate(pairs), [*positions], [message for some in messages for message in some]
    except DatasetError as error:
        return DatasetError(f"data set: {error}")


def split_datasets(spec: Spec, size: int, condition: ConditionExtractor) -> tuple[Any, Any]:
    """The splits "train" and "validation" of a registered data set, see `make_dataset`.

    Raises:
        DatasetError: one has no pairs, or see `make_dataset`.
    """
    train, validation = (make_dataset(spec, split, size, condition) for split in ("train", "validation"))
    if not len(train) or not len(validation):
        raise DatasetError(
            f"data set {spec.typed()}: has {len(train)} pairs to train on and {len(validation)} held out"
        )
    return train, validation


def training_data(
    datasets: tuple[Any, Any],
    channels: int,
    folder: Path,
    seed: int = 0,
    workers: int = 0,
    max_broken: float = 0.01,
) -> TrainingData:
    """What is trained on, and what is held out.

    Args:
        datasets: as `split_datasets` gives them.
        channels: of the conditions that networks take.
        folder: where pictures are kept that take long to make.
        seed: see `TrainingData`.
        workers: see `TrainingData`.
        max_broken: the share of pairs that may not be readable; one always may.

    Raises:
        DatasetError: it cannot be trained on.
        CheckpointError: what was kept is damaged; or the disk refuses.
    """
    train, validation = datasets
    if hasattr(train, "cached"):
        train, validation = train.cached(folder), validation.cached(folder, HELD_OUT)
    data = TrainingData(train, validation, seed, workers, Broken(max(1, math.floor(max_broken * len(train)))))
    _check(data.first_pair(), channels)
    return data


def _check(pair: Pair, channels: int) -> None:
    """Find out whether a pair is such as stages are trained on.

    Raises:
        DatasetError: it is not.
    """
    if pair.exemplar.shape != pair.target.shape or pair.exemplar_condition is None:
        raise DatasetError(
            f"data set: to be trained on, exemplar and target must have one size, and an exemplar a condition; got"
            f" {tuple(pair.exemplar.shape)}, {tuple(pair.target.shape)} and exemplar_condition"
            f" {'None' if pair.exemplar_condition is None else 'known'}"
        )
    if pair.condition.shape[1] != channels:
        raise DatasetError(f"data set: conditions have {pair.condition.shape[1]} channels, the preset's {channels}")
