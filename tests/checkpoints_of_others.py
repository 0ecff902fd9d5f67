"""Checkpoints as others write them, small or large, with weights by the rule."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from rule import fill
from torch import Tensor

from midms.diffusion.schedule import alpha_bar

GOLDEN = Path(__file__).parent / "golden"
LDM = GOLDEN / "ldm.yaml"
SHAPES: dict[str, list[int]] = json.loads((GOLDEN / "released.json").read_text())


def released(salt: str) -> dict[str, Tensor]:
    """The state of the released MIDMs with a small latent diffusion: 3,984 names, most of them for the same tensors."""
    constant = {name for name in SHAPES if name.startswith("diff_model.") and name.count(".") == 1}
    constant |= {
        name for name in SHAPES if name.startswith("diffusion_sampler.") or name.endswith(("decay", "updates"))
    }
    filled = fill(salt, {name: tuple(shape) for name, shape in SHAPES.items() if name not in constant})
    state = {name: torch.from_numpy(array) for name, array in filled.items()}
    state |= {name: torch.zeros(shape) for name, shape in SHAPES.items() if name in constant}
    state["diff_model.alphas_cumprod"] = alpha_bar("ldm-celeba").float()
    state |= averages(state, "diff_model.")
    whole = {name.removeprefix("diff_model."): value for name, value in state.items() if name.startswith("diff_model.")}
    for prefix in ("diffusion_sampler.model.", "copied_diff_model.", "copied_diffusion_sampler.model."):
        state |= {prefix + name: value for name, value in whole.items()}
    own = [name for name in SHAPES if name.startswith("diffusion_sampler.")]
    return state | {f"copied_{name}": state[name] for name in own}


def averages(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Running averages under the names that CompVis gives them; other numbers than the weights'."""
    stem = f"{prefix}model."
    names = [name for name in state if name.startswith(f"{stem}diffusion_model.")]
    return {f"{prefix}model_ema.{name.removeprefix(stem).replace('.', '')}": state[name] + 1 for name in names}


def compvis(salt: str) -> dict[str, Tensor]:
    """The state of the same latent diffusion as CompVis writes it."""
    state = released(salt)
    return {name.removeprefix("diff_model."): value for name, value in state.items() if name.startswith("diff_model.")}
