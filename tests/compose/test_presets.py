"""The presets of the house."""

from __future__ import annotations

import warnings

import pytest
from torch import nn

from midms import build
from midms.compose.presets import PRESETS
from midms.pipeline.pipeline import Pipeline


@pytest.mark.parametrize("name", ["midm-faces", "midm-faces-paper"])
def test_presets_of_the_house_compose(name: str) -> None:
    preset = PRESETS[name]
    assert "arXiv:" in preset.source
    assert {"condition", "features", "matcher", "confidence", "denoiser", "sampler", "autoencoder"} <= set(preset.slots)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # while no weights are shipped
        pipe = build(name)
    assert isinstance(pipe, Pipeline)
    weightful = {slot for slot in preset.slots if isinstance(getattr(pipe, slot), nn.Module)}
    assert weightful == set(preset.weights), "every part with weights has a file"
