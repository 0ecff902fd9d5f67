"""A grown model gives what the small one gives, doubled."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.faces import grown
from midms import build
from midms.core.types import Context, Level


def doubled(image: Tensor) -> Tensor:
    return image.repeat_interleave(2, -1).repeat_interleave(2, -2)


@torch.inference_mode()
def test_each_part_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["grown", "--out", str(tmp_path / "grown")])
    grown.main()
    small, large = build("midm-faces"), build("midm-faces-128", weights=tmp_path / "grown")
    draw = torch.Generator().manual_seed(0)
    image, maps = torch.rand(2, 3, 128, 128, generator=draw) * 2 - 1, torch.rand(2, 2, 64, 64, generator=draw)
    few, many = small.autoencoder.encode(F.avg_pool2d(image, 2)), large.autoencoder.encode(image)
    close = {"atol": 1e-4, "rtol": 1e-4}
    torch.testing.assert_close(many[:, :8], few, **close)
    torch.testing.assert_close(large.autoencoder.decode(many), doubled(small.autoencoder.decode(few)), **close)
    query, key = (p.features.condition(m).initial for p, m in ((small, maps), (large, doubled(maps))))
    torch.testing.assert_close(key, query, **close)
    query, key = (p.features.exemplar(x, m).initial for p, x, m in ((small, few, maps), (large, many, doubled(maps))))
    torch.testing.assert_close(key, query, **close)
    level, confidence = Level(0, 350, 0.8, 0.6), torch.rand(2, 1, 16, 16, generator=draw)
    found, wanted = (
        p.denoiser(0.5 * x, level, Context(x, m, confidence))
        for p, x, m in ((large, many, doubled(maps)), (small, few, maps))
    )
    torch.testing.assert_close(found[:, :8], wanted, **close)
    assert torch.equal(found[:, 8:], many[:, 8:])
