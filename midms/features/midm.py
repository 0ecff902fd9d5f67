"""MIDMs' matching network: three adaptive encoders, shared residual layers, two projections.

Names of parameters are those of the released checkpoints, but for those of spectral normalisation.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from midms.core.layers import spectrally_normalized
from midms.core.limits import STRIDE, channels, channels_of, int_range
from midms.core.precision import rounded
from midms.core.types import Features
from midms.features.common import unit_features

SLOPE = 0.2  # of leaky rectifiers


class Spade(nn.Module):
    """Each cell normalised over its channels, then scaled and shifted as a map says.

    Positional normalisation (Li et al. 2019, arXiv:1907.04312) in the place of SPADE's batch normalisation (Park et al.
    2019, arXiv:1903.07291).
    """

    def __init__(self, width: int, guide: int, hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(guide, hidden, 3), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, width, 3, padding=1, padding_mode="reflect")
        self.mlp_beta = nn.Conv2d(hidden, width, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Float[Tensor, "b c h w"], guide: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h w"]:
        """x normalised, times 1 + gamma(guide), plus beta(guide)."""
        variance, mean = torch.var_mean(x, dim=1, keepdim=True)
        shared = self.mlp_shared(guide)
        return (x - mean) / (variance + 1e-5).sqrt() * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)


class SpadeBlock(nn.Module):
    """A residual block with SPADE before each convolution, and before that of the shortcut."""

    def __init__(self, inputs: int, outputs: int, guide: int, hidden: int, spectral: bool) -> None:
        super().__init__()
        narrow = min(inputs, outputs)
        self.conv_0 = _normalised(nn.Conv2d(inputs, narrow, 3, padding=1, padding_mode="reflect"), spectral)
        self.conv_1 = _normalised(nn.Conv2d(narrow, outputs, 3, padding=1, padding_mode="reflect"), spectral)
        self.conv_s = _normalised(nn.Conv2d(inputs, outputs, 1, bias=False), spectral)
        self.norm_0 = Spade(inputs, guide, hidden)
        self.norm_1 = Spade(narrow, guide, hidden)
        self.norm_s = Spade(inputs, guide, hidden)

    def forward(self, x: Float[Tensor, "b c h w"], guide: Float[Tensor, "b k h w"]) -> Float[Tensor, "b d h w"]:
        """shortcut(x) + f(x), both given the guide."""
        inside = self.conv_0(F.leaky_relu(self.norm_0(x, guide), SLOPE))
        inside = self.conv_1(F.leaky_relu(self.norm_1(inside, guide), SLOPE))
        return self.conv_s(self.norm_s(x, guide)) + inside


class AdaptiveEncoder(nn.Module):
    """Three convolutions and a SPADE block, all on the latent's grid.

    Args:
        inputs: channels of what is encoded.
        guide: channels of the map that the SPADE block is conditioned on.
        widths: of the three convolutions.
        width: of the features.
        hidden: width inside SPADE.
        spectral: whether convolutions are divided by their spectral norm (Miyato et al. 2018, arXiv:1802.05957).
    """

    def __init__(
        self, inputs: int, guide: int, widths: tuple[int, int, int], width: int, hidden: int, spectral: bool
    ) -> None:
        super().__init__()
        first, second, third = widths

        def layer(a: int, b: int, *after: nn.Module) -> nn.Sequential:
            return nn.Sequential(
                _normalised(nn.Conv2d(a, b, 3, padding=1, bias=False), spectral), nn.InstanceNorm2d(b), *after
            )

        self.layer1 = layer(inputs, first, nn.LeakyReLU(SLOPE))
        self.layer2 = layer(first, second, nn.LeakyReLU(SLOPE))
        self.layer3 = layer(second, third)
        self.G_middle_1 = SpadeBlock(third, width, guide, hidden, spectral)

    def forward(self, x: Float[Tensor, "b c h w"], guide: Float[Tensor, "b k h w"]) -> Float[Tensor, "b d h w"]:
        """Features, not normalised."""
        return self.G_middle_1(self.layer3(self.layer2(self.layer1(x))), guide)


class _Residual(nn.Module):
    """Two reflection-padded convolutions with instance normalisation; one PReLU serves both, as was released."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect")
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect")
        self.norm = nn.InstanceNorm2d(width)
        self.prelu = nn.PReLU()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """prelu(x + f(x))."""
        return self.prelu(x + self.norm(self.conv2(self.prelu(self.norm(self.conv1(x))))))


class MidmFeatures(nn.Module):
    """MIDMs' features (Seo et al. 2023, arXiv:2209.11047), by default in the published size: 24.9 M parameters.

    For the first match, features and condition map side by side go through shared residual layers and a projection
    (`theta` for the condition, `phi` for the exemplar). For re-matching, the encoders' features are compared directly.
    All are centred over channels and made unit length.

    To choose with weights of the released models, or to train as the article does.

    Args:
        condition_channels: of the condition maps.
        latent_channels: of the autoencoder.
        stride: pixels a latent cell.
        width: of the features.
        widths: of the encoders' convolutions.
        hidden: width inside SPADE.
        blocks: shared residual blocks.
        spectral: whether the encoders' convolutions are divided by their spectral norm.
        antialias: whether condition maps are averaged over the latent's cells, so that no thin line is lost; the
            released network was trained on, and by default sees, one pixel of each cell.
    """

    rematch_only: ClassVar[tuple[str, ...]] = ("iter_enc",)

    def __init__(
        self,
        condition_channels: int = 15,
        latent_channels: int = 3,
        stride: int = 4,
        width: int = 256,
        widths: tuple[int, int, int] = (64, 256, 512),
        hidden: int = 128,
        blocks: int = 4,
        spectral: bool = True,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        channels(condition_channels=condition_channels, latent_channels=latent_channels, width=width, hidden=hidden)
        channels_of(3, widths=widths)
        int_range(1, STRIDE, stride=stride)
        int_range(0, 64, blocks=blocks)
        self.condition_channels, self.latent_channels, self.stride = condition_channels, latent_channels, stride
        self.antialias = antialias
        mixed = width + condition_channels
        self.seg_enc = AdaptiveEncoder(condition_channels, condition_channels, widths, width, hidden, spectral)
        self.real_enc = AdaptiveEncoder(latent_channels, latent_channels, widths, width, hidden, spectral)
        self.iter_enc = AdaptiveEncoder(latent_channels, width, widths, width, hidden, spectral)
        self.layer = nn.Sequential(*(_Residual(mixed) for _ in range(blocks)))
        self.theta = nn.Conv2d(mixed, width, 1)
        self.phi = nn.Conv2d(mixed, width, 1)

    def condition(self, condition: Float[Tensor, "b k Y X"]) -> Features:
        """Features of the condition map; re-matching is guided by those of its encoder."""
        seen = self._on_grid(condition, (condition.shape[-2] // self.stride, condition.shape[-1] // self.stride))
        features = self.seg_enc(seen, seen)
        projected = self.theta(self.layer(torch.cat([features, seen], 1)))
        features = features.to(condition.dtype)
        return Features(_comparable(projected.to(condition.dtype)), features, features)

    def exemplar(self, latent: Float[Tensor, "b c H W"], condition: Float[Tensor, "b k Y X"]) -> Features:
        """Features of the exemplar, for the first match and for re-matching."""
        seen = self._on_grid(condition, (latent.shape[-2], latent.shape[-1]))
        inside = rounded(latent, self)
        features = self.real_enc(inside, inside)
        projected = self.phi(self.layer(torch.cat([features, seen], 1)))
        features = features.to(latent.dtype)
        return Features(_comparable(projected.to(latent.dtype)), _comparable(features), features)

    def rematch_query(self, x0: Float[Tensor, "b c h w"], condition: Features) -> Float[Tensor, "b d h w"]:
        """Features of a predicted x0, given those of the condition."""
        return _comparable(self.iter_enc(rounded(x0, self), rounded(condition.rematch, self)).to(x0.dtype))

    def _on_grid(self, condition: Float[Tensor, "b k Y X"], grid: tuple[int, int]) -> Float[Tensor, "b k h w"]:
        how = {"mode": "bilinear", "antialias": True} if self.antialias else {"mode": "nearest"}
        return rounded(F.interpolate(condition, grid, **how), self)


def without_spectral_norm(network: MidmFeatures) -> MidmFeatures:
    """The same network with the spectral norms divided out of its weights, for inference: that of `spectral=False`.

    Args:
        network: is changed and returned.
    """
    network.eval()  # else each access to a weight is a power iteration
    for module in network.modules():
        if is_parametrized(module, "weight"):
            remove_parametrizations(module, "weight")
    return network


def _normalised(convolution: nn.Conv2d, spectral: bool) -> nn.Module:
    return spectrally_normalized(convolution) if spectral else convolution


def _comparable(x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
    return unit_features(x - x.mean(1, keepdim=True))
