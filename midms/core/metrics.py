"""What results are measured by: two kinds of metric, and the record that both read.

A `Compared` is a batch of results, each beside what it may be compared with, as far as that is known: the exact answer,
its exemplar, its condition. A **pair metric** is a function of such a batch: its figures pair by pair, of which the
evaluation takes means. A **set metric** compares all results with all real pictures: it gathers batch by batch, and
tells its figures at the end; real pictures come to it in batches of their own.

Both declare what they need of a batch, which figure is the best, and by what they see pictures, which is a part of
their figures' names. Nothing depends on the order of pictures or on how many are in a batch, but for rounding; what is
drawn at random follows from a picture's key. `midms.testing.MetricLaws` has this as tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from midms.core.errors import MidmsError


class MetricError(MidmsError, ValueError):
    """A figure that cannot be had; the message says what it lacks."""


@dataclass(frozen=True)
class Compared:
    """Results and what they are compared with, or real pictures alone. Pictures are in [-1, 1]; unknown is None.

    Attributes:
        keys: a name for each, the same in every run.
        result: what was made.
        real: real pictures, which no result here belongs to.
        answer: what each result should be.
        exemplar: whose appearance each should have.
        condition: the picture whose geometry each should have.
        other: another result of the same condition.
        labels: of each pixel of the result.
        exemplar_labels: of each pixel of the exemplar.
        flow: (x, y) to add to a pixel of the result to find the pixel of the exemplar that it was matched to; NaN where
            it was not matched.
        flow_back: the same from the exemplar to the result.
        exact_flow: what `flow` should be; NaN where the exemplar does not show it.
        keypoints: (x, y) in the result and (x, y) in the exemplar of points that belong together, in pixels; NaN for no
            more.
        extent: longer side of the exemplar's object, in pixels, of which PCK at keypoints counts shares.
    """

    keys: tuple[str, ...]
    result: Float[Tensor, "b 3 y x"] | None = None
    real: Float[Tensor, "b 3 _ _"] | None = None
    answer: Float[Tensor, "b 3 y x"] | None = None
    exemplar: Float[Tensor, "b 3 Y X"] | None = None
    condition: Float[Tensor, "b 3 _ _"] | None = None
    other: Float[Tensor, "b 3 _ _"] | None = None
    labels: Int[Tensor, "b _ _"] | None = None
    exemplar_labels: Int[Tensor, "b _ _"] | None = None
    flow: Float[Tensor, "b 2 y x"] | None = None
    flow_back: Float[Tensor, "b 2 _ _"] | None = None
    exact_flow: Float[Tensor, "b 2 y x"] | None = None
    keypoints: Float[Tensor, "b n 4"] | None = None
    extent: Float[Tensor, " b"] | None = None

    def has(self, names: tuple[str, ...]) -> bool:
        """Whether all of these are known."""
        return all(getattr(self, name) is not None for name in names)

    def singles(self) -> Iterator[Compared]:
        """Each by itself."""
        for i, key in enumerate(self.keys):
            known = {field.name: getattr(self, field.name) for field in fields(self)}
            own = {name: x[i : i + 1] for name, x in known.items() if isinstance(x, Tensor)}
            yield Compared((key,), **own)


@runtime_checkable
class PairMetric(Protocol):
    """Figures pair by pair. Keeps nothing.

    May declare `uses`, names of what else it reads of a batch, where it is there.

    Attributes:
        needs: names of what it reads of a batch.
        ideal: its figures for results that are as they should be; nearer to it is better.
    """

    needs: tuple[str, ...]
    ideal: float

    def __call__(self, batch: Compared) -> Mapping[str, Float[Tensor, " b"]]:
        """Figures by name, which has what sees the pictures; NaN where a pair has none."""


@runtime_checkable
class SetMetric(Protocol):
    """Figures of two sets of pictures: the results and the real.

    Attributes:
        needs: "result" and "real".
        ideal: its figures for two sets that are the same.
    """

    needs: tuple[str, ...]
    ideal: float

    def update(self, batch: Compared) -> None:
        """Take note of results, or of real pictures."""

    def compute(self) -> Mapping[str, float]:
        """Figures of all that was noted, by name.

        Raises:
            MetricError: there are too few pictures.
        """
