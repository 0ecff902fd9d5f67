"""Checkpoints as others write them, with weights by the rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.training_parity.rule import fill
from midms.diffusion.levels import alpha_bar

GOLDEN = Path(__file__).parents[1] / "golden"
LDM = GOLDEN / "ldm.yaml"
SHAPES: dict[str, tuple[int, ...]] = {
    name: tuple(shape) for name, shape in json.loads((GOLDEN / "released.json").read_text()).items()
}
OWN = "diff_model."


def released(salt: str) -> dict[str, Tensor]:
    """The state of the released MIDMs with a small latent diffusion: 3,984 names, most of them for the same tensors."""
    diffusion = _filled(salt, lambda name: name.startswith(OWN))
    inside = {name.removeprefix(OWN): value for name, value in diffusion.items()}
    sampler = _filled(salt, lambda name: name.startswith("diffusion_sampler."))
    state = _filled(salt, lambda name: not name.startswith((OWN, "diffusion_sampler."))) | diffusion | sampler
    for prefix in ("diffusion_sampler.model.", "copied_diff_model.", "copied_diffusion_sampler.model."):
        state |= {prefix + name: value for name, value in inside.items()}
    return state | {f"copied_{name}": value for name, value in sampler.items()}


def compvis(salt: str) -> dict[str, Tensor]:
    """The state of the same latent diffusion as CompVis writes it."""
    return {n.removeprefix(OWN): value for n, value in _filled(salt, lambda name: name.startswith(OWN)).items()}


def _filled(salt: str, which: Callable[[str], bool]) -> dict[str, Tensor]:
    """Parameters by the rule; of buffers the schedule; running averages that are not the weights."""
    shapes = {name: shape for name, shape in SHAPES.items() if which(name)}
    buffers = {name for name in shapes if is_buffer(name)}
    filled = fill(salt, {name: shape for name, shape in shapes.items() if name not in buffers})
    state = {name: torch.from_numpy(array) for name, array in filled.items()}
    state |= {name: torch.zeros(shapes[name]) for name in buffers}
    if f"{OWN}alphas_cumprod" in state:
        state[f"{OWN}alphas_cumprod"] = alpha_bar("ldm-celeba").float()
    stem = f"{OWN}model."
    averaged = {name: value for name, value in state.items() if name.startswith(f"{stem}diffusion_model.")}
    return state | {
        f"{OWN}model_ema.{name.removeprefix(stem).replace('.', '')}": value + 1 for name, value in averaged.items()
    }


def is_buffer(name: str) -> bool:
    return name.startswith("diffusion_sampler.") or (name.count(".") == 1 + ("model_ema" in name) and OWN in name)
