"""The first stage: an autoencoder for the latents that all others work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.diffusion.autoencoders.patchified import Patchified
from midms.training.data import TrainingData


def _psnr(a: Float[Tensor, "b 3 y x"], b: Float[Tensor, "b 3 y x"]) -> Float[Tensor, ""]:
    """Mean over pictures, in dB, of pictures in [-1, 1]."""
    return -10 * ((a.clamp(-1, 1) - b) / 2).pow(2).mean((1, 2, 3)).log10().mean()


def differences(x: Float[Tensor, "b c y x"]) -> tuple[Tensor, Tensor]:
    """Between neighbours, across and down."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


@dataclass
class AutoencoderStage:
    """Reconstruction in L1 and in differences between neighbours, with a little noise on the latents."""

    network: Patchified
    data: TrainingData
    held_out: TrainingData
    device: torch.device
    batch: int = 8
    learning_rate: float = 2e-3
    name: str = "autoencoder"

    def loss(self, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """See `Task`."""
        image = self.data.images(torch.randint(self.data.pictures, (self.batch,), generator=generator))
        flip = torch.rand(self.batch, 1, 1, 1, generator=generator) < 0.5
        image = torch.where(flip, image.flip(-1), image).to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            latent = self.network.encode(image).float()
            noise = torch.randn(latent.shape, generator=generator).to(self.device)
            output = self.network.decode(latent + 0.03 * noise).float()
        error = F.l1_loss(output, image)
        edges = sum(F.l1_loss(a, b) for a, b in zip(differences(output), differences(image), strict=True))
        return error + 0.5 * edges + 1e-4 * latent.pow(2).mean(), {"l1": error.item()}

    @torch.inference_mode()
    def evaluate(self, network: Any) -> dict[str, float]:
        """Reconstruction of held-out pictures."""
        image = self.held_out.images(torch.arange(self.held_out.pictures)).to(self.device)
        return {"psnr": _psnr(network.decode(network.encode(image)), image).item()}
