"""Layers that several networks of ours share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization


class Residual(nn.Module):
    """GroupNorm, two 3x3 convolutions; starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """x + f(x)."""
        return x + self.second(F.silu(self.first(F.silu(self.norm(x)))))


class SpectralNorm(nn.Module):
    """A weight divided by its largest singular value (Miyato et al. 2018, arXiv:1802.05957, alg. 1).

    In training each access to the weight is one power iteration, `v` before `u` as there and in PyTorch's older
    `torch.nn.utils.spectral_norm`, with which the released MIDMs was trained. PyTorch's parametrization of today goes
    the other way round, so that what it divides by is half an iteration older. The gradient takes both for constants.

    Args:
        weight: that it is for; its first dimension are the rows of the matrix.
    """

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Float[Tensor, "o i y x"]) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("_u", F.normalize(torch.randn_like(matrix[:, 0]), dim=0))
        self.register_buffer("_v", torch.zeros_like(matrix[0]))
        for _ in range(15):
            self._power_step(matrix)

    def forward(self, weight: Float[Tensor, "o i y x"]) -> Float[Tensor, "o i y x"]:
        """The weight over what is known of its norm."""
        matrix = weight.flatten(1)
        if self.training:
            self._power_step(matrix)
        u, v = self._u.clone(), self._v.clone()  # the next iteration is in place
        return weight / torch.dot(u, matrix @ v)

    @torch.no_grad()
    def _power_step(self, matrix: Float[Tensor, "o n"]) -> None:
        self._v.copy_(F.normalize(matrix.T @ self._u, dim=0))
        self._u.copy_(F.normalize(matrix @ self._v, dim=0))


def spectrally_normalized(convolution: nn.Conv2d) -> nn.Conv2d:
    """The same convolution, its weight divided by its spectral norm wherever it is looked at."""
    register_parametrization(convolution, "weight", SpectralNorm(convolution.weight))
    return convolution
