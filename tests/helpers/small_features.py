"""Arguments with which every registered kind of features is small."""

from __future__ import annotations

from typing import Any

FEATURES: dict[str, dict[str, Any]] = {
    "midm": {"condition_channels": 2, "latent_channels": 8, "width": 16, "widths": (8, 16, 16), "hidden": 8},
    "pyramid": {"widths": (8, 8, 16)},
    "vgg": {"layers": ("relu2_2",), "magnify": 1},
    "timm": {},
    "diffusion": {"draws": 1},
    "labelled": {},
    "fusion": {"extractors": ("pyramid", "diffusion")},
}
