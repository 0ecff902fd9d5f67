"""Names in a checkpoint: what is missing, renamed or too much in a network is never a network of another size."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints_of_others import LDM, OWN, SHAPES
from torch import Tensor

from midms.checkpoints.convert import compvis, fit
from midms.checkpoints.convert.compvis import LEFT_OUT
from midms.compose.catalog import create
from midms.core.tensors import CheckpointError
from midms.diffusion.levels import alpha_bar

STATE = {name: torch.ones(()).expand(shape) for name, shape in SHAPES.items()}
STATE[f"{OWN}alphas_cumprod"] = alpha_bar("ldm-celeba").float()
"""The released names and shapes; each tensor has one number."""
NEEDED = [name for name in SHAPES if not any(re.match(pattern, name) for pattern in LEFT_OUT)]
PREFIXES = sorted(
    {
        ".".join(name.split(".")[:depth])
        for name in NEEDED
        for depth in ((3, 4) if name.startswith(f"{OWN}model.") else (2, 3) if name.startswith(OWN) else (1, 2))
    }
)
"""Of all networks' names, down to their layers."""


@functools.cache
def made(kind: str, name: str, **sizes: Any) -> Any:
    return create(kind, name, **sizes)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts on no device are made once."""
    monkeypatch.setattr(fit, "create", made)


def converted(state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(compvis, "read", lambda path: (state, {}))
    return compvis.from_compvis(Path("midms.pth"), LDM, trainable=True)


def test_the_released_names_are_all_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    source = converted(STATE, monkeypatch)
    assert set(source.parts) == {"denoiser", "autoencoder", "features"}
    assert not [reason for reason in source.report if "unexpected" in reason]
    assert {"layer", "layer.3", "seg_enc.layer1", f"{OWN}first_stage_model.decoder"} <= set(PREFIXES)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_whatever_is_dropped_or_renamed_is_missed(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = re.compile(rf"{re.escape(prefix)}(?=\.|$)")
    dropped = {name: value for name, value in STATE.items() if not inside.match(name)}
    renamed = {inside.sub(f"{prefix}s", name) if inside.match(name) else name: v for name, v in STATE.items()}
    for state in (dropped, renamed):
        with pytest.raises(CheckpointError, match=rf"missing {re.escape(prefix)}|{re.escape(prefix)}\S* is missing"):
            converted(state, monkeypatch)


def test_a_network_that_has_more_is_another_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for more in ("layer.4.conv1.weight", f"{OWN}model.diffusion_model.label_emb.weight", f"{OWN}first_stage_model.a.b"):
        with pytest.raises(CheckpointError, match=f"not the networks of .*: unexpected {re.escape(more)}"):
            converted(STATE | {more: torch.ones(3)}, monkeypatch)
    report = converted(STATE | {"discriminator.weight": torch.ones(3)}, monkeypatch).report
    assert report["unexpected, left out"] == ["discriminator.weight"]


SHAPELESS = {
    "no dimensions": ("seg_enc.layer1.0.weight_orig", (), r"weight_orig is \(\), expected four dimensions"),
    "one dimension": ("real_enc.layer1.0.weight_orig", (3,), r"weight_orig is \(3,\), expected four dimensions"),
    "attention": (f"{OWN}model.diffusion_model.input_blocks.4.1.qkv.weight", (), r"qkv.weight is \(\), for a param"),
    "the scale": (f"{OWN}scale_factor", (2,), r"scale_factor is \(2,\), expected one number"),
    "the schedule": (f"{OWN}alphas_cumprod", (3,), "trained with another schedule"),
}


@pytest.mark.parametrize(("name", "shape", "why"), SHAPELESS.values(), ids=SHAPELESS)
def test_odd_shapes_are_named(name: str, shape: tuple[int, ...], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match=why):
        converted(STATE | {name: torch.ones(shape)}, monkeypatch)


def test_whole_numbers_are_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = STATE["theta.weight"].long()
    with pytest.raises(CheckpointError, match=r"theta.weight is torch.int64, for a parameter of torch.float32"):
        converted(STATE | {"theta.weight": whole}, monkeypatch)
