"""Features of a diffusion network: what a U-Net makes of a noised latent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.files import check_regular
from midms.core.limits import LARGE, STRIDE, channels, int_range, number
from midms.core.precision import rounded
from midms.core.types import Features
from midms.features.common import rendered, resized, stack_activations


class DiffusionFeatures(nn.Module):
    """DIFT (Tang et al. 2023, arXiv:2306.03881): activations of a frozen U-Net of diffusers at one timestep.

    Re-matching compares the activations of the predicted x0 with those of the exemplar's latent, both noised with the
    same draws. The first match has no latent of the condition: there the network takes both condition maps, brought
    to the latent's grid.

    Args:
        network: a `UNet2DModel` of diffusers, or a folder of one; None for a small one with random weights.
        latent_channels: of the small one; a network given says so itself.
        stride: pixels a latent cell.
        timestep: of the network; 261 of 1000 in the article, for Stable Diffusion.
        sigma: sqrt of one minus the cumulative alpha there; 0.587 at that timestep.
        blocks: which of the network's upward blocks, 0 is the coarsest; several are put side by side.
        draws: over how many draws of noise activations are averaged.

    Raises:
        ValueError: the network is no `UNet2DModel`, or there is none in the folder; it has no such block; sigma is
            not in [0, 1).
    """

    def __init__(
        self,
        network: Any = None,
        latent_channels: int = 8,
        stride: int = 4,
        timestep: int = 261,
        sigma: float = 0.587,
        blocks: tuple[int, ...] = (0, 1),
        draws: int = 4,
    ) -> None:
        super().__init__()
        channels(latent_channels=latent_channels)
        int_range(1, STRIDE, stride=stride)
        int_range(1, 64, draws=draws)
        number(0, LARGE, timestep=timestep)
        number(0, 1, sigma=sigma)
        from diffusers.models.unets.unet_2d import UNet2DModel

        if isinstance(network, str | Path):
            try:
                check_regular(Path(network, "config.json"))
            except OSError as error:
                wrong = f"{error.filename}: {error.strerror}"
                raise ValueError(f"network must be a folder of a UNet2DModel, {wrong}") from None
            network = UNet2DModel.from_pretrained(network, local_files_only=True)
        if network is None:
            down, up = ("DownBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "UpBlock2D")
            network = UNet2DModel(
                in_channels=latent_channels, out_channels=latent_channels, layers_per_block=1,
                block_out_channels=(32, 64), down_block_types=down, up_block_types=up, norm_num_groups=8,
            )  # fmt: skip
        if not isinstance(network, UNet2DModel):
            given = network.__name__ if isinstance(network, type) else type(network).__name__
            raise ValueError(f"network must be a UNet2DModel of diffusers or a folder of one, got {given}")
        if not 0 <= sigma < 1:
            raise ValueError(f"sigma must be at least 0 and below 1, got {sigma}")
        if not isinstance(blocks, Sequence) or not blocks:
            raise ValueError(f"blocks must be a tuple of whole numbers, got {blocks!r}")
        for block in blocks:
            int_range(0, 64, blocks=block)
        if not all(0 <= block < len(network.up_blocks) for block in blocks):
            raise ValueError(f"blocks must be out of 0 to {len(network.up_blocks) - 1}, got {blocks}")
        self.network, self.latent_channels, self.stride = network, int(network.config["in_channels"]), stride
        self.timestep, self.sigma, self.blocks, self.draws = timestep, sigma, tuple(blocks), draws
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> DiffusionFeatures:
        """Stays in evaluation mode: it is frozen."""
        return super().train(False)

    def condition(self, condition: Float[Tensor, "b k Y X"]) -> Features:
        """Features of the condition map; nothing of it guides re-matching."""
        grid = condition.shape[-2] // self.stride, condition.shape[-1] // self.stride
        features = self._features(self._map(condition, grid))
        return Features(features, features)

    def exemplar(self, latent: Float[Tensor, "b c H W"], condition: Float[Tensor, "b k Y X"]) -> Features:
        """Of the exemplar's condition map for the first match, of its latent for re-matching."""
        first = self._features(self._map(condition, (latent.shape[-2], latent.shape[-1])))
        return Features(first, self._features(latent))

    def rematch_query(self, x0: Float[Tensor, "b c h w"], condition: Features) -> Float[Tensor, "b d h w"]:
        """Features of a predicted x0."""
        return self._features(x0)

    def _map(self, condition: Float[Tensor, "b k Y X"], grid: tuple[int, int]) -> Float[Tensor, "b c h w"]:
        return 2 * rendered(F.interpolate(condition, grid, mode="area"), self.latent_channels) - 1

    def _features(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        h, w = latent.shape[-2:]
        multiple = 2 ** (len(self.network.config["block_out_channels"]) - 1)
        padded = F.pad(latent, (0, -w % multiple, 0, -h % multiple), mode="replicate")
        seen: dict[int, list[Tensor]] = {block: [] for block in self.blocks}
        hooks = [
            self.network.up_blocks[block].register_forward_hook(lambda _, __, out, block=block: seen[block].append(out))
            for block in self.blocks
        ]
        numbers = torch.Generator().manual_seed(0)  # the same noise for whatever is compared
        try:
            for _ in range(self.draws):
                eps = torch.randn(1, *padded.shape[1:], generator=numbers, dtype=torch.float32, device="cpu").to(padded)
                noisy = (1 - self.sigma**2) ** 0.5 * padded + self.sigma * eps
                self.network(rounded(noisy, self.network), self.timestep)
        finally:
            for hook in hooks:
                hook.remove()
        size = padded.shape[-2], padded.shape[-1]
        maps = [resized(torch.stack(seen[block]).to(latent.dtype).mean(0), size)[..., :h, :w] for block in self.blocks]
        return stack_activations(maps, (h, w))
