"""What stages compute once: latents of pictures, how much their channels show, first warps of pairs."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from midms.checkpoints.tensors import CheckpointError, cast, checksum, finite, read_weights, save_state
from midms.core.protocols import ConfidenceEstimator, FeatureExtractor, Matcher
from midms.diffusion.autoencoders.patchified import Patchified
from midms.training.data import TrainingData

_SAMPLED = 4
"""Latents that are computed anew to find out whether those on disk are the pictures'."""
TOGETHER = 96
"""Pairs that are warped at a time."""


@torch.inference_mode()
def encode(autoencoder: Patchified, data: TrainingData, numbers: Int[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    """Latents of pictures, in half precision."""
    device = next(autoencoder.parameters()).device
    pieces = tqdm(numbers.split(64), desc="encoding", unit_scale=64, delay=1)
    return torch.cat([autoencoder.encode(data.images(i).to(device)).half().cpu() for i in pieces])


def latents(out: Path, autoencoder: Patchified, data: TrainingData) -> Float[Tensor, "n c h w"]:
    """Latents of all pictures, kept on disk until the autoencoder changes."""
    key = checksum(autoencoder.state_dict())[:12]
    path, every = out / "data" / f"latents-{data.checksum()[:12]}-{key}.safetensors", torch.arange(data.pictures)
    if not path.exists():
        save_state(cast({"latents": encode(autoencoder, data, every)}, None, str(path)), path)
    found = read_weights(path, sealed=True).get("latents", torch.empty(0))
    plausible = found.dtype == torch.float16 and len(found) == data.pictures and found.ndim == 4 and finite(found)
    if not (plausible and _encoded(found, autoencoder, data)):
        raise CheckpointError(f"{path}: these are no latents of the pictures; remove it to have them made anew")
    return found


def _encoded(latents: Float[Tensor, "n c h w"], autoencoder: Patchified, data: TrainingData) -> bool:
    """Whether some latents, spread over all, are what the autoencoder makes of the pictures."""
    some = torch.arange(0, len(latents), -(-len(latents) // _SAMPLED))
    made, here = encode(autoencoder, data, some).float(), latents[some].float()
    return made.shape == here.shape and bool((made - here).abs().mean() < 0.05 * made.std())


@torch.no_grad()
def importance(autoencoder: Patchified, latents: Float[Tensor, "n c h w"]) -> Float[Tensor, "1 c 1 1"]:
    """How much an error in each channel of the latent shows in the picture, relative to their mean."""
    device = next(autoencoder.parameters()).device
    some = latents[:64].float().to(device)
    noise = 0.1 * torch.randn(some.shape, generator=torch.Generator().manual_seed(0)).to(device)
    clean = autoencoder.decode(some)
    channels = torch.eye(some.shape[1], device=device)[:, None, :, None, None]
    shown = torch.stack([(autoencoder.decode(some + noise * one) - clean).pow(2).mean() for one in channels])
    return (shown / shown.mean()).view(1, -1, 1, 1)


@torch.no_grad()
def first_warps(
    features: FeatureExtractor,
    confidence: ConfidenceEstimator,
    matcher: Matcher,
    data: TrainingData,
    latents: Float[Tensor, "n c h w"],
    device: torch.device,
) -> tuple[Float[Tensor, "p c h w"], Float[Tensor, "p 1 h w"]]:
    """The first warp of every pair and the confidence in it, in half precision; features once for each picture."""
    exemplars = data.numbers(torch.arange(len(data)))[0]
    warps, confidences = (latents.new_zeros(len(data), c, *latents.shape[2:]) for c in (latents.shape[1], 1))
    for index in tqdm(exemplars.argsort(stable=True).split(TOGETHER), desc="warping", unit_scale=TOGETHER):
        exemplar, target = data.numbers(index)
        (some, of_exemplar), (others, of_target) = _distinct(exemplar), _distinct(target)
        latent = latents[exemplar].float().to(device)
        query = features.condition(data.pairs(index[others]).condition.to(device)).initial
        key = features.exemplar(latent[some], data.exemplar_conditions(exemplar[some]).to(device)).initial
        match = matcher(query[of_target], key[of_exemplar])
        warps[index] = match.apply(latent).half().cpu()
        confidences[index] = confidence(match).half().cpu()
    return warps, confidences


def _distinct(numbers: Int[Tensor, " b"]) -> tuple[Int[Tensor, " d"], Int[Tensor, " b"]]:
    """Where each number stands once, in ascending order of the numbers, and which of these each of them is."""
    found, inverse = numbers.unique(return_inverse=True)
    return torch.empty_like(found).scatter_(0, inverse, torch.arange(len(numbers))), inverse


def pool(values: Float[Tensor, "b c y x"], stride: int) -> Float[Tensor, "b c h w"]:
    """Mean over each latent cell."""
    return F.avg_pool2d(values, stride)
