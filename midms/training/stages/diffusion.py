"""The third stage: a denoiser, on the first warps of the second or on latents alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.types import Context, Noise
from midms.data.pair import Pair
from midms.diffusion.levels import alpha_bar
from midms.loop.inputs import noise_fn
from midms.pipeline.datasets import condition_picture
from midms.pipeline.pipeline import Pipeline
from midms.training.noise import integers, sample_generators, uniform
from midms.training.stages.stage import Optimisation, frozen, frozen_pass, latents, trained


class DiffusionStage(nn.Module):
    """A denoiser, with warps or without.

    With warps it learns x0 = warp + network from noised mixtures of truth and warp, since that is what it meets at
    inference, with an error weighted by how much it shows in the picture, twice in the foreground. Without, it learns
    from noised true latents, as in MIDMs.

    Args:
        pipe: whose denoiser is trained, on the schedule of its sampler.
        warps: whether it gets first warps.
        power: of the error: 2 for the mean of what may be, 1 for its median, which of several flat colours takes one.
        levels: of noise at which each pair of a batch is seen: the parts that are not trained work once for all.
        steps: see `Optimisation`.
        batch: see `Optimisation`.
        learning_rate: see `Optimisation`.
    """

    needs: ClassVar[tuple[str, ...]] = ("autoencoder", "features", "confidence")
    losses: ClassVar[tuple[str, ...]] = ()
    alpha: Tensor
    sigma: Tensor
    importance: Tensor

    def __init__(
        self,
        pipe: Pipeline,
        warps: bool = True,
        power: int = 2,
        levels: int = 2,
        steps: int = 16_000,
        batch: int = 16,
        learning_rate: float = 8e-4,
    ) -> None:
        super().__init__()
        self.pipe, self.warps, self.power, self.levels = pipe, warps, power, levels
        self.denoiser: Any = trained(pipe.denoiser)  # type: ignore[type-var]
        for slot in ("autoencoder", "features", "confidence"):
            setattr(self, slot, frozen(getattr(pipe, slot)))
        alpha = alpha_bar(pipe.recipe.schedule)
        self.register_buffer("alpha", alpha.sqrt().float(), persistent=False)
        self.register_buffer("sigma", (1 - alpha).sqrt().float(), persistent=False)
        self.register_buffer("importance", torch.ones(1, 1, 1, 1), persistent=False)
        self.optimisation = Optimisation(steps, batch, learning_rate)

    def forward(self, pair: Pair, noise: Noise) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """See `Stage`."""
        draw, pairs = noise_fn(noise, pair.target), len(pair.target)
        truth, context = self._frozen(pair)
        truth = truth.repeat_interleave(self.levels, 0)
        timestep = integers(draw, pairs, *((150, 980) if self.warps else (5, 995)), self.levels).flatten()
        alpha, sigma = (level[timestep].view(-1, 1, 1, 1) for level in (self.alpha, self.sigma))
        eps = draw((pairs, self.levels * truth.shape[1], *truth.shape[2:])).view_as(truth)
        if context is None:
            x0 = self.denoiser.denoise(alpha * truth + sigma * eps, timestep, alpha, sigma, None)
            return F.mse_loss(x0 / sigma, truth / sigma), {}
        repeated = Context(*(value.repeat_interleave(self.levels, 0) for value in vars(context).values()))
        mix = (1.5 * uniform(draw, pairs, self.levels)).clamp(0, 1).view(-1, 1, 1, 1)
        x = alpha * torch.lerp(truth, repeated.warp, mix) + sigma * eps
        error = (self.denoiser.denoise(x, timestep, alpha, sigma, repeated) - truth).abs().pow(
            self.power
        ) * self.importance
        if pair.foreground is not None:
            shown = F.adaptive_avg_pool2d(pair.foreground.float(), (truth.shape[-2], truth.shape[-1]))
            error = error * (1 + shown.repeat_interleave(self.levels, 0))
        return error.mean(), {}

    def _frozen(self, pair: Pair) -> tuple[Tensor, Context | None]:
        """Latents of the targets, and what the denoiser gets beside them, if anything."""
        pipe = self.pipe
        if not self.warps:
            with frozen_pass(pair.target.device):
                return pipe.autoencoder.encode(pair.target).float(), None
        source, truth = latents(pipe.autoencoder, pair)
        return truth, self._first_warp(pair, source)

    def _first_warp(self, pair: Pair, source: Tensor) -> Context:
        assert pair.exemplar_condition is not None
        with frozen_pass(source.device):
            query = self.pipe.features.condition(pair.condition).initial
            key = self.pipe.features.exemplar(source, pair.exemplar_condition).initial
        with torch.no_grad():
            match = self.pipe.matcher(query.float(), key.float())
            return Context(match.apply(source), pair.condition, self.pipe.confidence(match))

    def products(self) -> dict[str, nn.Module]:
        """See `Stage`."""
        return {"denoiser": self.denoiser}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """See `Stage`."""
        return [{"params": [*self.denoiser.parameters()]}]

    @torch.no_grad()
    def begin(self, pairs: Iterable[Pair]) -> None:
        """Find out how much an error in each channel of the latent shows in the picture, relative to their mean."""
        autoencoder = self.pipe.autoencoder
        some = autoencoder.encode(next(iter(pairs)).target)
        disturbance = 0.1 * noise_fn(sample_generators(0, range(len(some))), some)(tuple(some.shape))
        clean = autoencoder.decode(some)
        channels = torch.eye(some.shape[1], device=some.device)[:, None, :, None, None]
        shown = torch.stack([(autoencoder.decode(some + disturbance * one) - clean).pow(2).mean() for one in channels])
        self.importance = (shown / shown.mean()).view(1, -1, 1, 1)

    def finish(self, pairs: Iterable[Pair]) -> None:
        """Nothing is left to do."""

    @torch.no_grad()
    def evaluate(self, pairs: Iterable[Pair]) -> dict[str, float]:
        """Held-out pairs translated by the whole pipeline, and their first warps alone: PSNR in dB."""
        found: dict[str, list[Tensor]] = {"psnr": [], "first warp psnr": []}
        for number, pair in enumerate(pairs):
            noise = sample_generators(0, range(number * len(pair.target), (number + 1) * len(pair.target)))
            translated = self.pipe(pair.condition, pair.exemplar, pair.exemplar_condition, noise)
            warped = self._decoded_warp(pair)
            for name, image in (("psnr", translated), ("first warp psnr", warped)):
                off = ((image.clamp(-1, 1) - pair.target) / 2).pow(2).mean((1, 2, 3))
                found[name].append(-10 * off.log10())
        return {name: torch.cat(values).mean().item() for name, values in found.items()}

    @torch.no_grad()
    def sheet(self, pair: Pair) -> dict[str, Float[Tensor, "b 3 y x"]]:
        """Translations, beside first warps, decoded."""
        noise = sample_generators(0, range(len(pair.target)))
        return {
            "condition": condition_picture(self.pipe.condition, pair.condition),
            "exemplar": pair.exemplar,
            "first warp": self._decoded_warp(pair),
            "translation": self.pipe(pair.condition, pair.exemplar, pair.exemplar_condition, noise),
            "target": pair.target,
        }

    def _decoded_warp(self, pair: Pair) -> Float[Tensor, "b 3 y x"]:
        source, _ = latents(self.pipe.autoencoder, pair)
        return self.pipe.autoencoder.decode(self._first_warp(pair, source).warp)
