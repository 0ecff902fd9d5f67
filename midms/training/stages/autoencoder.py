"""The first stage: an autoencoder for the latents that all others work on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.types import Noise
from midms.data.pair import Pair
from midms.loop.inputs import noise_fn
from midms.pipeline.pipeline import Pipeline
from midms.training.noise import uniform
from midms.training.stages.stage import Optimisation, bfloat16_where_fast, trained


class AutoencoderStage(nn.Module):
    """Reconstruction of targets in L1 and in differences between neighbours, with a little noise on the latents.

    The networks are in bfloat16 where the machine computes in it, whatever the precision of the rest.

    Args:
        pipe: whose autoencoder is trained.
        steps: see `Optimisation`.
        batch: see `Optimisation`.
        learning_rate: see `Optimisation`.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    losses: ClassVar[tuple[str, ...]] = ()

    def __init__(self, pipe: Pipeline, steps: int = 7_000, batch: int = 8, learning_rate: float = 2e-3) -> None:
        super().__init__()
        self.autoencoder: Any = trained(pipe.autoencoder)  # type: ignore[type-var]
        self.optimisation = Optimisation(steps, batch, learning_rate)

    def forward(self, pair: Pair, noise: Noise) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """See `Stage`."""
        draw = noise_fn(noise, pair.target)
        flip = uniform(draw, len(pair.target))[..., None, None] < 0.5
        image = torch.where(flip, pair.target.flip(-1), pair.target).contiguous(memory_format=torch.channels_last)
        with bfloat16_where_fast(image.device):
            latent = self.autoencoder.encode(image).float()
            output = self.autoencoder.decode(latent + 0.03 * draw(tuple(latent.shape))).float()
        error = F.l1_loss(output, image)
        edges = sum(F.l1_loss(a, b) for a, b in zip(_differences(output), _differences(image), strict=True))
        return error + 0.5 * edges + 1e-4 * latent.pow(2).mean(), {"l1": error}

    def products(self) -> dict[str, nn.Module]:
        """See `Stage`."""
        return {"autoencoder": self.autoencoder}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """See `Stage`."""
        return [{"params": [*self.autoencoder.parameters()]}]

    def begin(self, pairs: Iterable[Pair]) -> None:
        """Nothing has to be known."""

    @torch.no_grad()
    def finish(self, pairs: Iterable[Pair]) -> None:
        """Have latents standardised, by those of the pictures, where the autoencoder has `standardise(mean, std)`."""
        if hasattr(self.autoencoder, "standardise"):
            latents = torch.cat([self.autoencoder.encode(pair.target) for pair in pairs])
            self.autoencoder.standardise(latents.mean((0, 2, 3)), latents.std((0, 2, 3)))

    @torch.no_grad()
    def evaluate(self, pairs: Iterable[Pair]) -> dict[str, float]:
        """Reconstruction of held-out pictures."""
        found = torch.cat([_psnr(self._reconstructed(pair), pair.target) for pair in pairs])
        return {"psnr": found.mean().item()}

    @torch.no_grad()
    def sheet(self, pair: Pair) -> dict[str, Float[Tensor, "b 3 y x"]]:
        """Pictures and their reconstructions."""
        return {"picture": pair.target, "reconstruction": self._reconstructed(pair)}

    def _reconstructed(self, pair: Pair) -> Float[Tensor, "b 3 y x"]:
        found: Tensor = self.autoencoder.decode(self.autoencoder.encode(pair.target))
        return found


def _psnr(a: Float[Tensor, "b 3 y x"], b: Float[Tensor, "b 3 y x"]) -> Float[Tensor, " b"]:
    """Of each picture in [-1, 1], in dB."""
    return -10 * ((a.clamp(-1, 1) - b) / 2).pow(2).mean((1, 2, 3)).log10()


def _differences(x: Float[Tensor, "b c y x"]) -> tuple[Tensor, Tensor]:
    """Between neighbours, across and down."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
