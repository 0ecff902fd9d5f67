"""Features of a diffusion network: what it makes of a noised latent."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.files import check_regular
from midms.core.hooks import calls_of, check_none_dropped
from midms.core.limits import LARGE, STRIDE, WIDTH, channels, int_range, number
from midms.core.precision import rounded
from midms.core.types import Features, rendered
from midms.features.common import resized, stack_activations

OF_DENOISER = "denoiser"
"""In the place of a network: that of the composition's own denoiser."""
_OF_EXEMPLARS = 1
"""Seed of their noise; that of what is matched to them is 0."""
_MULTIPLE = 8
"""Cells that the networks of denoisers halve without a rest."""


class DiffusionFeatures(nn.Module):
    """DIFT (Tang et al. 2023, arXiv:2306.03881): activations of a frozen diffusion network at one timestep.

    Re-matching compares the activations of the predicted x0 with those of the exemplar's latent, each noised with draws
    of its own, always the same ones: with the same noise, cells would be like those at their own place. The first match
    has no latent of the condition: there the autoencoder encodes both condition maps, as pictures, where the network is
    the denoiser's; else the network takes the maps themselves, brought to the latent's grid.

    With `network="denoiser"` nothing is loaded twice: the composition lends its denoiser, which says what its blocks
    are, and its autoencoder.

    To choose where a diffusion model is there and nothing was trained to match: it knows what things are.

    Args:
        network: "denoiser" for that of the composition's own denoiser; a `UNet2DModel` of diffusers, or a folder of
            one; None for a small one with random weights.
        latent_channels: of the small one; a network given says so itself.
        stride: pixels a latent cell; the denoiser's has its own.
        timestep: of the network; 261 of 1000 in the article, for Stable Diffusion.
        sigma: share of noise there: sqrt of one minus the cumulative alpha, 0.587 at that timestep; of a rectified flow
            that of its line, a thousandth of the timestep.
        blocks: which of the network's upward blocks, 0 is the coarsest; of a transformer which of all; several are put
            side by side.
        draws: over how many draws of noise activations are averaged.
        dropped: channels of a transformer that count for nothing, 154 and 1446 of FLUX.1 (arXiv:2505.18584).

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
        dropped: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        channels(latent_channels=latent_channels)
        int_range(1, STRIDE, stride=stride)
        int_range(1, 64, draws=draws)
        number(0, LARGE, timestep=timestep)
        number(0, 1, sigma=sigma)
        if not 0 <= sigma < 1:
            raise ValueError(f"sigma must be at least 0 and below 1, got {sigma}")
        if not isinstance(blocks, Sequence) or not blocks:
            raise ValueError(f"blocks must be a tuple of whole numbers, got {blocks!r}")
        for block in blocks:
            int_range(0, 64, blocks=block)
        for channel in dropped:
            int_range(0, WIDTH, dropped=channel)
        self.timestep, self.sigma, self.draws = timestep, sigma, draws
        self.blocks, self.dropped = tuple(blocks), tuple(dropped)
        self._lent: tuple[Any, Any] | None = None
        self.network: Any = None
        self.latent_channels, self.stride = None, None
        if network != OF_DENOISER:
            self.network = _unet(network, latent_channels)
            self.latent_channels, self.stride = int(self.network.config["in_channels"]), stride
            if not all(0 <= block < len(self.network.up_blocks) for block in blocks):
                raise ValueError(f"blocks must be out of 0 to {len(self.network.up_blocks) - 1}, got {blocks}")
            check_none_dropped(dropped)
        self.requires_grad_(False).eval()

    def lend(self, denoiser: Any, autoencoder: Any) -> DiffusionFeatures:
        """The same with a composition's parts, where it wants them. They stay the composition's: nothing is copied.

        Raises:
            ValueError: the denoiser has no activations to hand out.
        """
        if self.network is not None:
            return self
        if not hasattr(denoiser, "activations"):
            raise ValueError(f"network is {OF_DENOISER!r}, and {type(denoiser).__name__} hands out no activations")
        lent = copy.copy(self)
        lent._lent = denoiser, autoencoder
        return lent

    def train(self, mode: bool = True) -> DiffusionFeatures:
        """Stays in evaluation mode: it is frozen."""
        return super().train(False)

    def condition(self, condition: Float[Tensor, "b k Y X"]) -> Features:
        """Features of the condition map; nothing of it guides re-matching."""
        grid = None if self.stride is None else (condition.shape[-2] // self.stride, condition.shape[-1] // self.stride)
        features = self._features(self._map(condition, grid))
        return Features(features, features)

    def exemplar(self, latent: Float[Tensor, "b c H W"], condition: Float[Tensor, "b k Y X"]) -> Features:
        """Of the exemplar's condition map for the first match, of its latent for re-matching; once if they are one."""
        drawn = self._map(condition, (latent.shape[-2], latent.shape[-1]))
        first = self._features(drawn, _OF_EXEMPLARS)
        return Features(first, first if torch.equal(drawn, latent) else self._features(latent, _OF_EXEMPLARS))

    def rematch_query(self, x0: Float[Tensor, "b c h w"], condition: Features) -> Float[Tensor, "b d h w"]:
        """Features of a predicted x0."""
        return self._features(x0)

    def _map(self, condition: Float[Tensor, "b k Y X"], grid: tuple[int, int] | None) -> Float[Tensor, "b c h w"]:
        """A condition map as a latent."""
        if self.network is None:
            encoded: Tensor = self._parts()[1].encode(2 * rendered(condition) - 1)
            return encoded
        assert grid is not None
        return 2 * rendered(F.interpolate(condition, grid, mode="area"), self.network.config["in_channels"]) - 1

    def _parts(self) -> tuple[Any, Any]:
        if self._lent is None:
            raise ValueError(f"network is {OF_DENOISER!r}, and these features are in no composition that has one")
        return self._lent

    def _features(self, latent: Float[Tensor, "b c h w"], seed: int = 0) -> Float[Tensor, "b d h w"]:
        h, w = latent.shape[-2:]
        multiple = _MULTIPLE if self.network is None else 2 ** (len(self.network.config["block_out_channels"]) - 1)
        padded = F.pad(latent, (0, -w % multiple, 0, -h % multiple), mode="replicate")
        flow = self.network is None and getattr(self._parts()[0], "prediction", "") == "flow"
        alpha = 1 - self.sigma if flow else (1 - self.sigma**2) ** 0.5
        numbers = torch.Generator().manual_seed(seed)
        seen = []
        for _ in range(self.draws):
            eps = torch.randn(1, *padded.shape[1:], generator=numbers, dtype=torch.float32, device="cpu").to(padded)
            seen.append(self._activations(alpha * padded + self.sigma * eps))
        size = padded.shape[-2], padded.shape[-1]
        means = [torch.stack(draws).to(latent.dtype).mean(0) for draws in zip(*seen, strict=True)]
        return stack_activations([resized(mean, size)[..., :h, :w] for mean in means], (h, w))

    def _activations(self, noisy: Float[Tensor, "b c h w"]) -> list[Tensor]:
        if self.network is None:
            found: list[Tensor] = self._parts()[0].activations(noisy, self.timestep, self.blocks, self.dropped)
            return found
        blocks = [self.network.up_blocks[block] for block in self.blocks]
        calls = calls_of(blocks, lambda: self.network(rounded(noisy, self.network), self.timestep))
        return [call.result for call in calls]


def _unet(network: Any, latent_channels: int) -> Any:
    """A `UNet2DModel` as it is given, out of a folder, or a small one."""
    from diffusers.models.unets.unet_2d import UNet2DModel

    if isinstance(network, str | Path):
        try:
            check_regular(Path(network, "config.json"))
        except OSError as error:
            wrong = f"{error.filename}: {error.strerror}"
            raise ValueError(f"network must be a folder of a UNet2DModel, {wrong}") from None
        network = UNet2DModel.from_pretrained(network, local_files_only=True, use_safetensors=True)
    if network is None:
        down, up = ("DownBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "UpBlock2D")
        network = UNet2DModel(
            in_channels=latent_channels, out_channels=latent_channels, layers_per_block=1,
            block_out_channels=(32, 64), down_block_types=down, up_block_types=up, norm_num_groups=8,
        )  # fmt: skip
    if not isinstance(network, UNet2DModel):
        given = network.__name__ if isinstance(network, type) else type(network).__name__
        raise ValueError(f"network must be a UNet2DModel of diffusers or a folder of one, got {given}")
    return network
