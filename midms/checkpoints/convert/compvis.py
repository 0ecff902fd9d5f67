"""The released MIDMs and CompVis' latent diffusion: a pickle of tensors, and a YAML that says what they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from midms.checkpoints.convert.fit import TensorUse, recipe_of
from midms.checkpoints.convert.names import first_stage, matching, unet
from midms.checkpoints.convert.sizes import Sizes, read_sizes
from midms.checkpoints.convert.weights import read
from midms.checkpoints.folder import Weights
from midms.compose.catalog import create
from midms.compose.spec import Spec
from midms.core.tensors import CheckpointError
from midms.diffusion.levels import Schedule, alpha_bar
from midms.features.midm import without_spectral_norm

RELEASED = "diff_model."
"""What the names of a latent diffusion begin with inside the released MIDMs."""
LEFT_OUT = {
    r"(copied_)?diffusion_sampler\.": "a sampler's buffers and second names for the same weights",
    r"copied_diff_model\.": "a copy that the released code never uses",
    r"(diff_model\.)?(first_stage_model\.)?model_ema\.": "running averages of the weights",
    r"(diff_model\.)?(betas|(sqrt_|log_)?(one_minus_)?(recip_|recipm1_)?alphas_cumprod\w*)$": "the schedule's buffers",
    r"(diff_model\.)?(posterior_\w+|logvar|lvlb_weights)$": "the posterior's buffers",
    r"(diff_model\.)?first_stage_model\.loss\.": "the losses of the first stage",
    r"(diff_model\.)?scale_factor$": "the latents' scale",
}
"""What is known not to be needed, and why."""


def from_compvis(path: Path, config: Path, trainable: bool = False, half: bool = False) -> Weights:
    """Weights of the released MIDMs or of a CompVis latent diffusion.

    Args:
        path: the `.pth` or `.ckpt`.
        config: the YAML of the latent diffusion.
        trainable: keep the matching network's spectral norms, to train on; otherwise they are divided out once.
        half: take weights in half precision too.

    Returns:
        Parts and their states; the report names everything that was left out.

    Raises:
        CheckpointError: a file cannot be read, or something is missing or does not fit; the message says what.
    """
    sizes = read_sizes(config)
    found, taken = read(path)
    released = any(name.startswith(RELEASED) for name in found)
    prefix = RELEASED if released else ""
    ledger = TensorUse(str(path), found)
    autoencoder, notes = _scaled(sizes, found.get(f"{prefix}scale_factor"), released, path)
    parts = {"denoiser": sizes.denoiser, "autoencoder": autoencoder}
    network, stage = sizes.denoiser.arguments, sizes.autoencoder.arguments
    u_net = partial(unet, layers=network["layers"], heads=_heads(network))
    vae = partial(first_stage, levels=len(stage["widths"]))
    states = {
        "denoiser": ledger.take(sizes.denoiser, "denoiser", u_net, f"{prefix}model.diffusion_model."),
        "autoencoder": ledger.take(autoencoder, "autoencoder", vae, f"{prefix}first_stage_model."),
    }
    if released:
        parts["features"] = _features(found, sizes, path)
        states["features"] = ledger.take(parts["features"], "features", matching)
    groups = _sorted_out(ledger.leftover())
    ledger.check(str(config), groups.get("", []))
    _precise(path, [name for name in ledger.taken if found[name].dtype in (torch.float16, torch.bfloat16)], half)
    _same_schedule(path, found.get(f"{prefix}alphas_cumprod"), sizes.schedule, config)
    if released and not trainable:
        parts["features"], states["features"] = _folded(parts["features"], states["features"])
    report: dict[str, list[str]] = (
        {note: [] for note in notes} | taken | {f"{why}, left out": names for why, names in groups.items() if why}
    )
    if "" in groups:
        report["unexpected, left out"] = groups[""]
    return Weights(str(path), recipe_of(parts, sizes.schedule), states.__getitem__, report=report)


def _heads(arguments: dict[str, Any]) -> Callable[[int], int]:
    """How many heads attention has at a width."""
    return lambda width: arguments["heads"] if "heads" in arguments else width // arguments["head_dim"]


def _features(found: dict[str, Tensor], sizes: Sizes, path: Path) -> Spec:
    """The matching network with the widths that its weights have; how many layers it has is no size but its form."""

    def size(name: str, dim: int = 0) -> int:
        if name not in found:
            raise CheckpointError(f"{path}: a released MIDMs by its {RELEASED}*, but {name} is missing")
        if found[name].ndim != 4:
            raise CheckpointError(f"{path}: {name} is {tuple(found[name].shape)}, expected four dimensions")
        return found[name].shape[dim]

    return Spec(
        "midm",
        condition_channels=size("seg_enc.layer1.0.weight_orig", 1),
        latent_channels=size("real_enc.layer1.0.weight_orig", 1),
        stride=2 ** (len(sizes.autoencoder.arguments["widths"]) - 1),
        width=size("theta.weight"),
        widths=tuple(size(f"seg_enc.layer{i}.0.weight_orig") for i in (1, 2, 3)),
        hidden=size("seg_enc.G_middle_1.norm_0.mlp_shared.1.weight"),
    )


def _folded(spec: Spec, state: dict[str, Tensor]) -> tuple[Spec, dict[str, Tensor]]:
    """The matching network with its spectral norms divided out."""
    network = create("features", spec.name, **spec.arguments).eval()
    network.load_state_dict(state)
    return Spec(spec.name, **spec.arguments, spectral=False), without_spectral_norm(network).state_dict()


def _scaled(sizes: Sizes, stored: Tensor | None, released: bool, path: Path) -> tuple[Spec, list[str]]:
    """The first stage with the scale of its latents."""
    spec = sizes.autoencoder
    if stored is not None and stored.numel() != 1:
        raise CheckpointError(f"{path}: scale_factor is {tuple(stored.shape)}, expected one number")
    scale = sizes.scale if stored is None else float(stored)
    if released:
        shown = "" if scale in (None, 1.0) else f" (the checkpoint's {scale:.5g} is for the latent diffusion alone)"
        return spec, [f"latents are not scaled, as in the released code{shown}"]
    if scale is None:
        raise CheckpointError(f"{path}: scale_by_std is set, but scale_factor is missing")
    if spec.name == "kl":
        return Spec("kl", **spec.arguments, scale=scale), [f"latents are scaled by {scale:.5g}"]
    if scale != 1:
        raise CheckpointError(
            f"{path}: latents are scaled by {scale:.5g}, which a first stage of the kind vq does not do"
        )
    return spec, ["latents are not scaled"]


def _precise(path: Path, names: list[str], half: bool) -> None:
    if names and not half:
        raise CheckpointError(
            f"{path}: {len(names):,} tensors are in half precision, not what was released: "
            "expect differences in the third digit; to take them all the same, --half"
        )


def _same_schedule(path: Path, stored: Tensor | None, schedule: Schedule, config: Path) -> None:
    expected = alpha_bar(schedule)
    if stored is None or (stored.shape == expected.shape and torch.allclose(stored.double(), expected, 5e-3, 0)):
        return
    shown = schedule if isinstance(schedule, str) else "betas"
    raise CheckpointError(f"{path}: was trained with another schedule than the {shown} of {config}")


def _sorted_out(names: list[str]) -> dict[str, list[str]]:
    """Left-over names by why they are not needed; under "" those that should not be there."""
    groups: dict[str, list[str]] = {}
    for name in names:
        reason = next((why for pattern, why in LEFT_OUT.items() if re.match(pattern, name)), "")
        groups.setdefault(reason, []).append(name)
    return groups
