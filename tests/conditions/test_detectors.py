"""Conditions by detectors of controlnet_aux, of which a stand-in has the interface; where it is installed, its own."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from midms import create
from midms.compose.spec import parse_value
from midms.registry import UnknownName

INSTALLED = importlib.util.find_spec("controlnet_aux") is not None


class CannyDetector:
    """Without weights, as there: rounds to 64 pixels before it looks, and gives a picture of 8 bits."""

    def __call__(
        self, input_image: Image.Image, low_threshold: int = 100, high_threshold: int = 200, **sides: Any
    ) -> Any:
        assert sides.pop("output_type") == "pil"
        seen = np.asarray(input_image)
        scale = sides["detect_resolution"] / min(seen.shape[:2])
        size = [round(side * scale / 64) * 64 for side in seen.shape[1::-1]]
        found = cv2.Canny(cv2.resize(seen, size, interpolation=cv2.INTER_LANCZOS4), low_threshold, high_threshold)
        return Image.fromarray(np.repeat(found[..., None], 3, 2))


class OpenposeDetector:
    """With weights."""

    def __init__(self, place: str) -> None:
        self.place = place

    @classmethod
    def from_pretrained(cls, place: str) -> OpenposeDetector:
        return cls(place)

    def __call__(self, input_image: Image.Image, **options: Any) -> Any:
        return input_image.convert("L"), {"keypoints": options}


@pytest.fixture(params=["stand-in", *(["its own"] if INSTALLED else [])])
def package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "stand-in":
        module = ModuleType("controlnet_aux")
        module.CannyDetector, module.OpenposeDetector = CannyDetector, OpenposeDetector  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "controlnet_aux", module)
    return str(request.param)


def test_edges_are_opencvs_and_lie_where_they_are_in_the_picture(package: str) -> None:
    picture = torch.full((2, 3, 128, 192), -1.0)
    picture[0, :, 32:96, 64:128] = 1
    spec = parse_value("controlnet-aux:CannyDetector(resolution=128, options=None)")
    made = create("condition", spec.name, **spec.arguments)
    found = made.photo(picture)
    expected = cv2.Canny(((picture[0] + 1) * 127.5).byte().permute(1, 2, 0).contiguous().numpy(), 100, 200)
    assert found.shape == picture.shape and made.channels == 3
    assert np.array_equal((found[0, 0] * 255).round().byte().numpy(), expected) and not found[1].any()
    other = made.drawing(picture, (64, 96))
    assert other.shape == (2, 3, 64, 96) and 0 < other.max() <= 1
    strict = create("condition", spec.name, resolution=128, options={"low_threshold": 9e3, "high_threshold": 1e4})
    assert not strict.photo(picture).any()


def test_weights_come_from_a_folder_or_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("controlnet_aux")
    module.CannyDetector, module.OpenposeDetector = CannyDetector, OpenposeDetector  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "controlnet_aux", module)
    made = create("condition", "controlnet-aux:OpenposeDetector", weights="lllyasviel/Annotators")
    assert made.detector.place == "lllyasviel/Annotators"
    grey = made.photo(torch.zeros(1, 3, 64, 64))
    assert grey.shape == (1, 3, 64, 64) and torch.allclose(grey, torch.full_like(grey, 0.5), atol=0.01)
    with pytest.raises(ValueError, match="weights: OpenposeDetector needs a folder of them or an id on the hub"):
        create("condition", "controlnet-aux:OpenposeDetector")
    with pytest.raises(ValueError, match="weights: CannyDetector has none, got 'x'"):
        create("condition", "controlnet-aux:CannyDetector", weights="x")
    with pytest.raises(UnknownName, match="no detector of controlnet_aux is called 'CannyDetectr'"):
        create("condition", "controlnet-aux:CannyDetectr")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "controlnet_aux", None)
    with pytest.raises(UnknownName, match=r"CannyDetector is controlnet_aux's: pip install 'midms\[control\]'"):
        create("condition", "controlnet-aux:CannyDetector")
