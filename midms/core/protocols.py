"""What each kind of part must offer. Structural: nothing to inherit, nothing of ours to import.

The loop hands out float32, or float64 where that was given; a part whose weights may be in half precision rounds what
it gets (`midms.core.precision`) and answers as precisely as it was asked.

Every part gives the same for the same, takes each picture of a batch as if it were alone, any grid, square or not, and
leaves its arguments as they were. Pictures, latents and condition maps that it is handed are finite; features need not
be. `midms.testing` has these laws and those of each kind below, as tests to inherit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.errors import MidmsError
from midms.core.types import (
    Context,
    CropFn,
    DenoiseFn,
    Features,
    Finished,
    Fit,
    Level,
    Levels,
    NoiseFn,
    Page,
    Step,
)

QUESTIONS = ("argmax", "peak", "entropy", "top", "mass", "agreement")
"""What a match may tell of each cell beside what every match does: names of methods."""


class Unanswered(MidmsError, TypeError):
    """A match is asked what its kind cannot tell; the message says what, and why.

    `build` compares what matchers and confidences declare, see `answers_of`; what is not declared is found out here.
    """


@runtime_checkable
class Match(Protocol):
    """A soft coupling between the condition's cells (rows) and the exemplar's cells (columns).

    The (h*w) x (H*W) matrix is nobody's business: whatever is linear in the coupling is `apply` of something. Some
    matches tell more of each row (some of `QUESTIONS`, see `FactoredMatch`) and declare it as `answers`, the names of
    these methods; a confidence that asks it of one that does not raises `Unanswered`, as `ask` does.
    """

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the rows."""

    def apply(self, values: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c h w"]:
        """Warp exemplar values onto the condition's grid: the expectation under each row, rows normalised."""

    def transpose(self) -> Match:
        """The same coupling read from exemplar to condition."""

    def similarity(self) -> Float[Tensor, "b 1 h w"]:
        """Expected cosine similarity of each row with what it is matched to, in [-1, 1]."""


def ask(match: Match, question: str, *arguments: Any) -> Any:
    """The answer to one of `QUESTIONS`.

    Raises:
        Unanswered: this match cannot tell.
    """
    if not hasattr(match, question):
        raise Unanswered(f"{type(match).__name__} cannot give its {question}")
    return getattr(match, question)(*arguments)


@runtime_checkable
class TwoWay(Match, Protocol):
    """A match that reads both its directions at the cost of one."""

    def both(
        self, values: Float[Tensor, "#b c H W"], back: Float[Tensor, "#b e h w"]
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b e H W"]]:
        """`apply(values)` and `transpose().apply(back)`; a batch of one serves all."""

    def cycle(self, radius: float) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
        """`flow.return_error` of its two flows, and 1 where it is under the radius, else 0."""


@runtime_checkable
class Written(Match, Protocol):
    """A match that writes its matrix out, some rows at a time, for what is not linear in the coupling."""

    def weights(self, rows: int) -> Iterator[Float[Tensor, "b r m"]]:
        """The coupling, so many rows after the other; the last may be fewer. Columns are read row by row."""


def written(match: Match, rows: int, like: Float[Tensor, "b ..."]) -> Iterator[Float[Tensor, "b r m"]]:
    """The coupling, see `Written.weights`; of a match that does not write it out, by `apply`, and whole for a moment.

    Args:
        match: between whatever.
        rows: that are there at once.
        like: whose batch, precision and device it has.
    """
    if isinstance(match, Written):
        yield from match.weights(rows)
        return
    height, width = match.transpose().grid
    each = torch.eye(height * width, dtype=like.dtype, device=like.device).view(1, -1, height, width)
    yield from match.apply(each.expand(len(like), -1, -1, -1)).flatten(2).mT.split(rows, 1)


@runtime_checkable
class Matcher(Protocol):
    """Knows nothing of diffusion or images.

    Rows of a match sum to one and are not negative, and `transpose` reads the same matrix. Features that are zero, NaN
    or infinite are like nothing, and neither they nor their gradients make a result that is not finite. Values keep
    their precision, in half precision too, where the match is nearly that of the same features in float64.

    May declare `spatial = True`, that it depends on where cells lie, and `labelled = True`, that it takes the last
    feature for a label; `build` wants the features to say the same of labels. May declare `gives`, the kind of its
    matches, `answers`, what they answer where that is not what their kind does, and `differentiable = False`.
    """

    def __call__(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> Match:
        """Which cell of the exemplar (key) each cell of the condition (query) is like."""


def answers_of(matcher: Matcher) -> frozenset[str] | None:
    """What the matches of a matcher answer, as it or their kind declares; None where neither does."""
    answers: frozenset[str] | None = getattr(matcher, "answers", None)
    return getattr(getattr(matcher, "gives", None), "answers", None) if answers is None else answers


@runtime_checkable
class ConfidenceEstimator(Protocol):
    """Knows nothing of how the match was made.

    It is in [0, 1] for each of the condition's cells, whatever the features were, in the precision of the
    match's similarity; a picture matched to itself is trusted; gradients, where there are any, are finite. The verbs of
    `Match` are enough, or `Unanswered` is raised; `asks` may declare what is asked beside them, and `differentiable`
    whether it has a gradient.
    """

    def __call__(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        """How far the match is to be trusted in each cell of the condition, in [0, 1]."""


@runtime_checkable
class FeatureExtractor(Protocol):
    """Features of the three domains that MIDMs compares: condition, exemplar, predicted x0.

    Unit vectors, on the grid of the latent, or shorter where a picture says nothing; gradients are finite. May declare
    `rematch_only`, the names of its modules that `rematch_query` alone uses: they are not trained where nothing is
    matched again. May have `lend(denoiser, autoencoder)`, which gives the same extractor with these parts of its
    composition, if it is made of them; see `lent_to`.
    """

    def condition(self, condition: Float[Tensor, "b k Y X"]) -> Features:
        """Features of the condition map."""

    def exemplar(self, latent: Float[Tensor, "b c H W"], condition: Float[Tensor, "b k Y X"]) -> Features:
        """Features of the exemplar, given its latent and its own condition map."""

    def rematch_query(self, x0: Float[Tensor, "b c h w"], condition: Features) -> Float[Tensor, "b e h w"]:
        """Unit-norm features of a predicted x0, guided by the condition's; compared with `exemplar(...).rematch`."""


T = TypeVar("T")


def lent_to(features: T, denoiser: Any, autoencoder: Any) -> T:
    """Features, with the parts of their composition if they want them.

    Raises:
        ValueError: they cannot be made of these.
    """
    lend = getattr(features, "lend", None)
    return features if lend is None else lend(denoiser, autoencoder)  # type: ignore[no-any-return]


@runtime_checkable
class Denoiser(Protocol):
    """Predicts x0, whatever the network inside was trained to predict.

    May have `activations(x, timestep, blocks, dropped)`, what blocks of its network make of noisy latents, for features
    that are made of them (`midms.features.diffusion`). May declare `min_confidence`, the least mean confidence in a
    warp that it was trained with: `style` goes no lower.
    """

    def __call__(self, x: Float[Tensor, "b c h w"], level: Level, context: Context) -> Float[Tensor, "b c h w"]:
        """x0 of a noisy latent."""


@runtime_checkable
class Sampler(Protocol):
    """A diffusion sampler cut at x0. Knows nothing of the edits made there. Keeps no state.

    A network that knows x0 gives it back whatever is drawn; after an edit of x0 it goes on as if the network had said
    so. x = alpha * x0 + sigma * eps at every level, and it starts from `levels.add_noise(x0, draw)`. Everything random
    comes from `draw`, which may be more or less precise than the latent; the latent keeps its precision.
    """

    @property
    def levels(self) -> Levels:
        """From the noisiest to the cleanest, numbered from 0: alpha rises, sigma and timestep fall."""

    def predict(self, denoise: DenoiseFn, x: Float[Tensor, "b c h w"], level: Level, previous: Step | None) -> Step:
        """First half: x0, and the eps that goes with it."""

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """Second half: x at the next level."""


@runtime_checkable
class Autoencoder(Protocol):
    """Pictures to latents and back. Any stride, any number of latent channels."""

    @property
    def stride(self) -> int:
        """Pixels a latent cell, along each side."""

    def encode(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b c h w"]:
        """Pictures in [-1, 1] to latents."""

    def decode(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 Y X"]:
        """Latents to pictures, about [-1, 1], not clipped."""


@runtime_checkable
class ConditionExtractor(Protocol):
    """Pictures to condition maps in [0, 1].

    A picture that shows nothing has such a map too, or is refused by `midms.core.errors.NothingDrawn`.
    """

    @property
    def channels(self) -> int:
        """k, the channels of the map."""

    def drawing(self, picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b k y x"]:
        """The condition that a person hands in, a picture in [-1, 1], as a map of `size` (height, width)."""

    def photo(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b k Y X"]:
        """The same kind of map made from a photo in [-1, 1]; how an exemplar gets its condition."""


@runtime_checkable
class AnnotationReader(Protocol):
    """A condition extractor that reads more than a picture shows: label maps, masks, keypoints."""

    def read(self, source: object, name: str, fit: Fit) -> Float[Tensor, "1 k y x"]:
        """The map of what a person hands in as `source`, of the size that `fit` makes of its own; errors say `name`."""

    def picture(self, condition: Float[Tensor, "b k Y X"]) -> Float[Tensor, "b 3 Y X"]:
        """A map as a picture in [-1, 1], for people."""


@runtime_checkable
class PageReader(Protocol):
    """A condition extractor that first finds the drawing in a picture: on a desk, at an angle, on ruled paper."""

    def page(self, picture: Float[Tensor, "1 3 Y X"]) -> Page:
        """The drawing alone, in its own proportions, and what is doubtful of it; `drawing` reads it after that."""


@runtime_checkable
class Finisher(Protocol):
    """From a result of the size that a method computes to what a person gets, with the drawing at hand.

    Of a drawing as large as one likes, in its proportions; numbers that are finite give such numbers. A result whose
    drawing says nothing comes out all the same. One whose results have regions may declare `finds_regions`: hints of
    people end at these, and paint them.
    """

    def __call__(
        self,
        coloured: Float[Tensor, "1 3 y x"],
        drawing: Float[Tensor, "1 3 Y X"],
        exemplars: Sequence[Float[Tensor, "1 3 _ _"]],
        translate_crop: CropFn,
    ) -> Finished:
        """The result `coloured` finished, all pictures in [-1, 1]; `translate_crop` makes a crop of the drawing anew.

        Exemplars are the pictures whose colours are wanted, and one of a single colour for each that a person named.
        """


@runtime_checkable
class MemoryEstimator(Protocol):
    """A finisher that knows beforehand what it will take."""

    def memory(self, result: tuple[int, int], drawing: tuple[int, int]) -> int:
        """Bytes for a result and a drawing of these heights and widths in pixels."""
