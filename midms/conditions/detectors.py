"""Conditions from photos by the detectors of controlnet_aux: line art, soft edges, poses, depth, segments."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.limits import LARGEST, int_range
from midms.images import resize, to_pil
from midms.registry import UnknownName, unknown

_PACKAGE = "controlnet_aux"


def detector_factory(detector: str) -> Callable[..., Detected]:
    """The factory behind `controlnet-aux:<Detector>`.

    Args:
        detector: the name of a class of controlnet_aux.

    Raises:
        UnknownName: the package is not installed, or has no such detector.
    """
    try:
        package = importlib.import_module(_PACKAGE)
    except ImportError as error:
        raise UnknownName(f"{detector} is controlnet_aux's: pip install 'midms[control]' ({error})") from None
    kind = getattr(package, detector, None)
    if kind is None or not inspect.isclass(kind):
        raise UnknownName(unknown("detector of controlnet_aux", detector, _detectors(package), "its documentation"))

    def make(weights: str | None = None, resolution: int = 512, options: Mapping[str, Any] | None = None) -> Detected:
        """A condition that a detector makes.

        Args:
            weights: a folder with those of the detector, or the id of one on the hub, such as lllyasviel/Annotators;
                None for a detector that has none.
            resolution: pixels of the shorter side at which it computes.
            options: more arguments of its call, such as `low_threshold`.

        Raises:
            ValueError: it needs weights, or takes none.
        """
        return Detected(_made(kind, weights), resolution, options or {})

    return make


@dataclass(frozen=True)
class Detected:
    """What a detector of controlnet_aux (github.com/huggingface/controlnet_aux) draws of a photo, in [0, 1].

    A drawing that a person hands in is taken for a photo as well.

    To choose for a ControlNet, in the injection `control`, that was trained on what this detector draws.

    Args:
        detector: an object of that package.
        resolution: pixels of the shorter side at which it computes.
        options: more arguments of its call.
    """

    detector: Any
    resolution: int = 512
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        int_range(64, LARGEST, resolution=self.resolution)

    @property
    def channels(self) -> int:
        """Red, green, blue."""
        return 3

    def drawing(self, picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 3 y x"]:
        """Of a picture in [-1, 1], brought to `size` (height, width)."""
        return torch.cat([resize(self._drawn(one), size) for one in picture.split(1)]).clamp(0, 1)

    def photo(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 3 Y X"]:
        """Of a picture in [-1, 1]."""
        return self.drawing(image, (image.shape[-2], image.shape[-1]))

    def _drawn(self, picture: Float[Tensor, "1 3 Y X"]) -> Float[Tensor, "1 3 y x"]:
        sides = {"detect_resolution": self.resolution, "image_resolution": self.resolution}
        found = self.detector(to_pil(picture), output_type="pil", **sides, **self.options)
        found = found[0] if isinstance(found, tuple) else found  # some give more beside the picture
        pixels = torch.from_numpy(np.array(found.convert("RGB"))).to(picture)
        return pixels.permute(2, 0, 1)[None] / 255


def _made(kind: Any, weights: str | None) -> Any:
    """A detector, with its weights if it has some."""
    if not hasattr(kind, "from_pretrained"):
        if weights is not None:
            raise ValueError(f"weights: {kind.__name__} has none, got {weights!r}")
        return kind()
    if weights is None:
        raise ValueError(f"weights: {kind.__name__} needs a folder of them or an id on the hub")
    return kind.from_pretrained(str(Path(weights)) if Path(weights).is_dir() else weights)


def _detectors(package: Any) -> list[str]:
    return sorted(name for name, value in vars(package).items() if inspect.isclass(value))
