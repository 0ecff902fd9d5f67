"""At which levels the exemplar is matched again, a setting, and what becomes of x0 there, the arithmetic."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.protocols import Unanswered
from midms.core.types import Step

EDITS = ("blend", "replace", "guide", "context", "adain")
MATCH_ON = ("x0", "latent")
STARTS = ("noise", "renoise", "invert", "edit-friendly")
INVERSIONS = STARTS[2:]
"""Starts from the condition's own picture."""
_LEAST_VARIANCE = 1e-5
"""Added to a variance before its root is divided by, as in released code of AdaIN."""
_MOST = 1000
"""Guidance, beyond which nothing is left of x0."""


class NoGradient(Unanswered, ValueError):
    """A confidence that cannot guide, for it does not say in which direction it would grow."""


@dataclass(frozen=True)
class Policy:
    """How matching and diffusion interleave.

    Attributes:
        rematch: indices of the levels at which to match again, each once.
        edit: what becomes of the predicted x0 at these. "blend": it is overwritten by the new warp as far as that is
            trusted (MIDMs, arXiv:2209.11047, sec. 3.4); "replace": wholly; "guide": it is moved towards a match that is
            trusted more, along the gradient of the confidence through matcher and features; "context": it is left, the
            new warp reaches the denoiser alone; "adain": its mean and deviation become those of what it takes, where
            the warp is trusted, see `adain`.
        match_on: what is matched to the exemplar: the predicted "x0", as in MIDMs, or the noisy "latent" itself.
        confidence_guidance: how far "guide" moves x0, as a share of its own size.
        style: from structure to style. 0.5 leaves the confidence as it was estimated; towards 1 the exemplar is
            believed everywhere, towards 0 nowhere, and the denoiser draws from the condition what it does not believe.
            A denoiser gets no less than the `min_confidence` that it was trained with, if it declares one.
        start: from what: "noise" brings the warp to the first level, as in MIDMs; "renoise" is noise alone (Ctrl-X,
            arXiv:2406.07540); "invert" is the condition as a picture, by inversion of DDIM or, with a schedule of
            flows, of the flow; "edit-friendly" the same noised, with the noise of each step that leads to that picture
            again (arXiv:2304.06140). See `midms.loop.starts`.

    Raises:
        ValueError: a field is not as it should be; all that are not are listed.
    """

    rematch: tuple[int, ...] = ()
    edit: str = "blend"
    match_on: str = "x0"
    confidence_guidance: float = 0.1
    style: float = 0.5
    start: str = "noise"

    def __post_init__(self) -> None:
        wrong = []
        if not isinstance(self.rematch, tuple) or not all(type(index) is int for index in self.rematch):
            wrong.append(f"rematch must be a tuple of levels, got {self.rematch!r}")
        elif len(set(self.rematch)) < len(self.rematch):
            wrong.append(f"rematch must be different levels, got {self.rematch!r}")
        for name, known in (("edit", EDITS), ("match_on", MATCH_ON), ("start", STARTS)):
            if getattr(self, name) not in known:
                wrong.append(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not (_number(self.confidence_guidance) and 0 <= self.confidence_guidance < math.inf):
            wrong.append(f"confidence_guidance must be a finite number from 0 on, got {self.confidence_guidance!r}")
        elif self.confidence_guidance > _MOST:
            wrong.append(f"confidence_guidance must be at most {_MOST}, got {self.confidence_guidance!r}")
        if not (_number(self.style) and 0 <= self.style <= 1):
            wrong.append(f"style must be a number between 0 and 1, got {self.style!r}")
        if wrong:
            raise ValueError("; ".join(wrong))

    def idle(self, given: Collection[str]) -> dict[str, list[str]]:
        """Those of the given settings that change nothing beside the others, and what each would need to do so.

        Args:
            given: names of settings.
        """
        again = [] if self.rematch else ["rematch"]
        needed = {
            "edit": again,
            "match_on": again,
            "confidence_guidance": again + ([] if self.edit == "guide" else ["edit guide"]),
        }
        return {name: others for name, others in needed.items() if others and name in given}

    def apply_style(self, confidence: Float[Tensor, "b 1 h w"], least: float = 0.0) -> Float[Tensor, "b 1 h w"]:
        """The confidence as far as `style` lets it count.

        Args:
            confidence: as it was estimated.
            least: the mean over the picture that a style of 0 leaves, where the confidence has as much.
        """
        if self.style < 0.5:
            mean = confidence.mean((1, 2, 3), keepdim=True)
            lowest = least / mean.clamp(min=least) if least else 0.0
            return (lowest + 2 * self.style * (1 - lowest)) * confidence
        if self.style == 0.5:
            return confidence
        return confidence + (2 * self.style - 1) * (1 - confidence)

    def edit_x0(
        self,
        step: Step,
        warp: Float[Tensor, "b c h w"],
        confidence: Float[Tensor, "b 1 h w"],
        score: Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b 1 h w"]],
        square: Callable[[], Float[Tensor, "b c h w"]],
    ) -> Step:
        """The half step with its x0 as the policy would have it.

        Args:
            step: as predicted.
            warp: the exemplar's latent under the new match.
            confidence: in it, as it was estimated; it counts as far as `style` lets it.
            score: from an x0 to the confidence in the match that it would get; asked by "guide" alone.
            square: the squares of the exemplar's latent under the new match; asked by "adain" alone.

        Raises:
            NoGradient: the policy is to guide, and the confidence has no gradient.
        """
        if self.edit == "context":
            return step
        if self.edit == "guide":
            move = confidence_gradient(step.x0, lambda x0: self.apply_style(score(x0)), self.confidence_guidance)
            return dataclasses.replace(step, x0=step.x0 + move)
        if self.edit == "replace":
            return dataclasses.replace(step, x0=warp)
        weight = self.apply_style(confidence)
        if self.edit == "adain":
            return dataclasses.replace(step, x0=adain(step.x0, warp, square(), weight))
        return dataclasses.replace(step, x0=weight * warp + (1 - weight) * step.x0)


def adain(
    x0: Float[Tensor, "b c h w"],
    warp: Float[Tensor, "b c h w"],
    square: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "b 1 h w"],
) -> Float[Tensor, "b c h w"]:
    """Adaptive instance normalisation in a mask (Huang and Belongie 2017, arXiv:1703.06868, eq. 8).

    Within it each channel gets the mean and deviation of those of the exemplar's cells that are taken from: their mean
    is that of the warp, and their mean square that of the warped squares, so that a soft match blurs neither.

    Args:
        x0: the prediction.
        warp: the exemplar's latent under the match.
        square: its squares under the match.
        weight: how far a cell is in the mask, in [0, 1]; where it is nowhere, x0 is left.
    """
    total = weight.sum((2, 3), keepdim=True)
    share = weight / total.where(total > 0, 1)

    def mean(values: Tensor) -> Tensor:
        return (share * values).sum((2, 3), keepdim=True)

    own, theirs = mean(x0), mean(warp)
    deviation, wanted = (
        ((squares - middle.square()).relu() + _LEAST_VARIANCE).sqrt()
        for squares, middle in ((mean(x0.square()), own), (mean(square), theirs))
    )
    return torch.lerp(x0, (x0 - own) / deviation * wanted + theirs, weight.to(x0))


POLICY = tuple(setting.name for setting in fields(Policy))
"""Settings of the policy, which `Pipeline.replace` and `build` take beside the pipeline's own."""


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def outside(value: Any) -> Any:
    """Tensors, and records and lists of them, as they are outside of inference mode: they can be differentiated."""
    if isinstance(value, Tensor):
        return value.clone() if value.is_inference() else value
    if isinstance(value, list | tuple):
        return type(value)(map(outside, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{one.name: outside(getattr(value, one.name)) for one in fields(value)})
    return value


def confidence_gradient(
    x0: Float[Tensor, "b c h w"], score: Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b 1 h w"]], share: float
) -> Float[Tensor, "b c h w"]:
    """A step along the gradient of the total confidence, its root mean square a share of that of x0, sample by sample.

    The direction is a constant for whoever differentiates through it.

    Args:
        x0: where to start.
        score: from an x0 to the confidence in its match.
        share: how far to go.

    Raises:
        NoGradient: the confidence does not depend on x0 smoothly, as that of a mask; or something that it depends on
            was made in inference mode and cannot be differentiated through.
    """
    with torch.inference_mode(False), torch.enable_grad():
        start = outside(x0.detach()).requires_grad_()
        try:
            total = score(start).sum()
        except RuntimeError as error:
            if "nference tensor" not in str(error):
                raise
            raise NoGradient(
                "guide: features, matcher or confidence hold tensors that were made under torch.inference_mode() and "
                "have no gradients; make them outside of it"
            ) from error
        (slope,) = torch.autograd.grad(total, start, allow_unused=True) if total.requires_grad else (None,)
    if slope is None:
        raise NoGradient("guide: this confidence has no gradient; take a soft one: calibrated, or cycle(softness=0.02)")
    size, steepness = (x.square().mean((1, 2, 3), keepdim=True).sqrt() for x in (x0.detach(), slope))
    return torch.where(steepness > 0, share * size / steepness.clamp(min=torch.finfo(x0.dtype).tiny) * slope, 0)
