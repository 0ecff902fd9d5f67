"""The benchmarks of the kernels: what they compare with is right, and they run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks import released_match as released

NUMBERS = load_file(Path(__file__).parent / "golden" / "ops.safetensors")
CASES = sorted({name.split("/")[0] for name in NUMBERS})


@pytest.mark.parametrize("case", CASES)
def test_the_released_path_has_the_released_numbers(case: str) -> None:
    golden = {name.split("/")[1]: value for name, value in NUMBERS.items() if name.startswith(f"{case}/")}
    inputs = {name: golden[name].clone().requires_grad_() for name in ("q", "k", "latent")}
    grid = (golden["q"].shape[-2], golden["q"].shape[-1])
    correlation = released.correlate(inputs["q"], inputs["k"])
    warped = released.warp(correlation, inputs["latent"], grid)
    found: dict[str, Tensor] = {"warped": warped}
    if "sem" in golden:
        found |= {"warped_sem": released.warp(correlation, golden["sem"], grid)}
        found |= {"warped_back": released.warp_back(correlation, warped, grid)}
    forward, backward = released.maps(correlation, grid, grid)
    error, mask = released.check(forward)
    found |= {"map_trg": forward.permute(0, 2, 3, 1), "map_src": backward.permute(0, 2, 3, 1)}
    found |= {"fb_error": error[:, 0], "fb_mask": mask}
    for name, value in found.items():
        if name in golden:
            allowed = 1e-3 if name == "fb_error" else 2e-4
            torch.testing.assert_close(
                value.detach(), golden[name].float(), rtol=0, atol=allowed, msg=lambda m, n=name: n + m
            )
    if "grad_q" in golden:
        weights = {"warped": "g_warp", "warped_sem": "g_sem", "warped_back": "g_back"}
        torch.stack([(found[name] * golden[weight]).sum() for name, weight in weights.items()]).sum().backward()
        for name, value in inputs.items():
            wanted = golden[f"grad_{name}"]
            torch.testing.assert_close(value.grad, wanted, rtol=0, atol=1e-4 * wanted.abs().max().item())
