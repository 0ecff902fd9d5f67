"""The third stage: a denoiser, on the warps of the second or on latents alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.types import Context
from midms.diffusion.levels import alpha_sigma
from midms.training.data import TrainingData
from midms.training.precomputed import pool


@dataclass
class DiffusionStage:
    """A denoiser, with warps or without.

    With warps it learns x0 = warp + network from noised mixtures of truth and warp, since that is what it meets at
    inference, with an error weighted by how much it shows in the picture, twice in the foreground. Without, it learns
    from noised true latents, as in the paper.
    """

    network: Any
    data: TrainingData
    latents: Float[Tensor, "n c h w"]
    warps: tuple[Float[Tensor, "p c h w"], Float[Tensor, "p 1 h w"]] | None
    importance: Float[Tensor, "1 c 1 1"]
    device: torch.device
    schedule: str
    batch: int = 32
    learning_rate: float = 8e-4
    name: str = "bridge"

    def loss(self, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """See `Task`."""
        index = self.data.draw(self.batch, generator)
        truth = self.latents[self.data.numbers(index)[1]].float().to(self.device)
        timestep = torch.randint(*((150, 980) if self.warps else (5, 995)), (self.batch,), generator=generator)
        alpha, sigma = (
            torch.tensor(level).view(-1, 1, 1, 1).to(self.device)
            for level in zip(*(alpha_sigma(self.schedule, int(t)) for t in timestep), strict=True)
        )
        draw = torch.randn(truth.shape, generator=generator).to(self.device)
        if self.warps is None:
            x0 = self.network.denoise(alpha * truth + sigma * draw, timestep.to(self.device), alpha, sigma, None)
            return F.mse_loss(x0 / sigma, truth / sigma), {}
        pair = self.data.pairs(index)
        warp, confidence = (kept[index].float().to(self.device) for kept in self.warps)
        mix = (1.5 * torch.rand(self.batch, 1, 1, 1, generator=generator)).clamp(0, 1).to(self.device)
        x = alpha * torch.lerp(truth, warp, mix) + sigma * draw
        context = Context(warp, pair.condition.to(self.device), confidence)
        x0 = self.network.denoise(x, timestep.to(self.device), alpha, sigma, context)
        error = (x0 - truth).pow(2) * self.importance
        if pair.foreground is not None:
            foreground = pair.foreground.to(self.device).float()
            error = error * (1 + pool(foreground, foreground.shape[-1] // truth.shape[-1]))
        return error.mean(), {}

    @torch.inference_mode()
    def evaluate(self, network: Any) -> dict[str, float]:
        """No figures of its own: `python -m benchmarks.faces` measures the composed loop."""
        return {}
