"""What tests of folders share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from folder_writers import FSYNC, converted, leave

from midms import Spec, build
from midms.checkpoints.convert import save
from midms.pipeline.pipeline import Pipeline


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: sys.audit(FSYNC))


@pytest.fixture(scope="module")
def pipes() -> list[Pipeline]:
    """Two compositions of the same small parts."""
    parts = {
        "features": Spec("pyramid", condition_channels=2, latent_channels=8, stride=4, width=16, widths=(8, 8, 16)),
        "denoiser": Spec("unconditional", channels=8, widths=(16,), attention=(False,), head_dim=8),
        "autoencoder": Spec("patchified", widths=(8, 8)),
    }
    made = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        with pytest.warns(UserWarning, match="weights as constructed"):
            made.append(build("midm-faces-paper", rematch=(seed,), **parts))
    return made


@pytest.fixture
def writes(pipes: list[Pipeline]) -> dict[str, list[Callable[[Path], None]]]:
    """How the old and the new folder of each kind are written."""
    return {
        "composition": [pipe.save_pretrained for pipe in pipes],
        "conversion": [lambda folder, seed=seed: save(converted(seed), folder) for seed in (0, 1)],
        "training": [lambda folder, seed=seed: leave(folder, seed) for seed in (0, 1)],
    }
