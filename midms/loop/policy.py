"""When the exemplar is matched again, and what becomes of x0 then: data, and the arithmetic it stands for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.protocols import Unanswered
from midms.core.types import Confidence, Step

EDITS = ("blend", "replace", "guide", "context")
LOOKS = ("x0", "latent")
MOST = 1000
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
            new warp reaches the denoiser alone.
        look: what is matched to the exemplar: the predicted "x0", as in the paper, or the noisy "latent" itself.
        guidance: how far "guide" moves x0, as a share of its own size.
        style: from structure to style. 0.5 leaves the trust as it was estimated; towards 1 the exemplar is believed
            everywhere, towards 0 nowhere, and the denoiser draws from the condition what it does not believe. A
            denoiser is told no less than the `least_trust` that it was trained with, if it declares one.

    Raises:
        ValueError: a field is not as it should be; all that are not are listed.
    """

    rematch: tuple[int, ...] = ()
    edit: str = "blend"
    look: str = "x0"
    guidance: float = 0.1
    style: float = 0.5

    def __post_init__(self) -> None:
        wrong = []
        if not isinstance(self.rematch, tuple) or not all(type(index) is int for index in self.rematch):
            wrong.append(f"rematch must be a tuple of levels, got {self.rematch!r}")
        elif len(set(self.rematch)) < len(self.rematch):
            wrong.append(f"rematch must be different levels, got {self.rematch!r}")
        for name, known in (("edit", EDITS), ("look", LOOKS)):
            if getattr(self, name) not in known:
                wrong.append(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not (_number(self.guidance) and 0 <= self.guidance < math.inf):
            wrong.append(f"guidance must be a finite number from 0 on, got {self.guidance!r}")
        elif self.guidance > MOST:
            wrong.append(f"guidance must be at most {MOST}, got {self.guidance!r}")
        if not (_number(self.style) and 0 <= self.style <= 1):
            wrong.append(f"style must be a number between 0 and 1, got {self.style!r}")
        if wrong:
            raise ValueError("; ".join(wrong))

    def dialled(self, trust: Confidence, least: float = 0.0) -> Confidence:
        """The trust as far as the dial lets it count.

        Args:
            trust: as it was estimated.
            least: the mean over the picture that the dial's lower end gives, where the trust has as much.
        """
        if self.style < 0.5:
            mean = trust.weight.mean((1, 2, 3), keepdim=True)
            lowest = least / mean.clamp(min=least) if least else 0.0
            return Confidence((lowest + 2 * self.style * (1 - lowest)) * trust.weight)
        if self.style == 0.5:
            return trust
        return Confidence(trust.weight + (2 * self.style - 1) * (1 - trust.weight))

    def edited(
        self,
        step: Step,
        warp: Float[Tensor, "b c h w"],
        trust: Confidence,
        judge: Callable[[Float[Tensor, "b c h w"]], Confidence],
    ) -> Step:
        """The half step with its x0 as the policy would have it.

        Args:
            step: as predicted.
            warp: the exemplar's latent under the new match.
            trust: in it, as it was estimated; it counts as far as the dial lets it.
            judge: from an x0 to the trust in the match it would get; asked by "guide" alone.

        Raises:
            NoGradient: the policy is to guide, and the confidence has no gradient.
        """
        if self.edit == "context":
            return step
        if self.edit == "guide":
            move = uphill(step.x0, lambda x0: self.dialled(judge(x0)), self.guidance)
            return dataclasses.replace(step, x0=step.x0 + move)
        return dataclasses.replace(step, x0=self.dialled(trust).blend(warp, step.x0) if self.edit == "blend" else warp)


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


def uphill(
    x0: Float[Tensor, "b c h w"], judge: Callable[[Float[Tensor, "b c h w"]], Confidence], share: float
) -> Float[Tensor, "b c h w"]:
    """A step along the gradient of the total trust, its root mean square a share of that of x0, sample by sample.

    The direction is a constant for whoever differentiates through it.

    Args:
        x0: where to start.
        judge: from an x0 to the trust in its match.
        share: how far to go.

    Raises:
        NoGradient: the trust does not depend on x0 smoothly, as that of a mask; or something that it depends on was
            made in inference mode and cannot be differentiated through.
    """
    with torch.inference_mode(False), torch.enable_grad():
        start = outside(x0.detach()).requires_grad_()
        try:
            total = judge(start).weight.sum()
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
