"""Weights that wait until they are needed, on the CPU: hooks move them, and numbers stay what they were."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from accelerate.hooks import CpuOffload
from tiny_denoisers import LEVELS, context, denoiser, latents, level
from torch import nn

from midms import create
from midms.core.offload import device_of, offload


def autoencoder() -> Any:
    torch.manual_seed(0)
    return create("autoencoder", "kl", channels=4, widths=(8, 8), layers=1, norm_groups=4).double().eval()


@pytest.mark.parametrize("family", LEVELS)
@torch.no_grad()
def test_layer_by_layer_the_numbers_are_the_same_and_weights_are_nowhere_between(family: str) -> None:
    model, coder = denoiser(family), autoencoder()
    x = latents(1)

    def run() -> list[torch.Tensor]:
        seen = model.activations(x, 500.0, (0,))
        return [model(x, level(family), context(x)), *seen, coder.decode(x), coder.encode(coder.decode(x))]

    expected = run()
    offload([model, coder], "sequential", "cpu")
    for _ in range(2):
        for one, other in zip(run(), expected, strict=True):
            assert torch.equal(one, other)
        assert {weight.device.type for part in (model, coder) for weight in part.parameters()} == {"meta"}
    assert model.prompts.tokens.device.type == "cpu" and {device_of(model), device_of(coder)} == {torch.device("cpu")}


@torch.no_grad()
def test_networks_come_whole_and_each_sends_away_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    model, coder = denoiser("unet-condition"), autoencoder()
    x = latents(1)
    expected = model(x, level("unet-condition"), context(x)), coder.decode(x)
    offload([model, coder], "model", "cpu")
    assert torch.equal(model(x, level("unet-condition"), context(x)), expected[0])
    assert torch.equal(coder.decode(x), expected[1])
    for one, other in ((model, coder), (coder, model)):
        hook = one.network._hf_hook
        assert isinstance(hook, CpuOffload) and hook.prev_module_hook.model is other.network
        assert device_of(one) == hook.execution_device == torch.device("cpu")


def test_a_part_without_a_network_moves_as_a_whole_and_other_ways_are_refused() -> None:
    part = nn.Linear(2, 2)
    offload([part], "model", "meta")
    assert device_of(part).type == part.weight.device.type == "meta" and device_of(nn.Identity()).type == "cpu"
    with pytest.raises(ValueError, match="how must be one of model, sequential, got 'disk'"):
        offload([part], "disk", "cpu")
