"""`midms train faces`: the stages in order, what each needs from the ones before, and what it leaves behind.

    autoencoder     -> autoencoder.safetensors
    matching        -> features.safetensors, confidence.safetensors      (needs the autoencoder)
    diffusion       -> bridge.safetensors or unconditional.safetensors   (needs both)

Every stage adds its record to `results.json`.
"""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from midms.catalog import create
from midms.checkpoints import load_weights, save_weights
from midms.diffusion.patchified import Patchified
from midms.presets import PRESETS
from midms.protocols import ConfidenceEstimator, FeatureExtractor
from midms.training.album import Album, open_album
from midms.training.stages import TERMS, AutoencoderStage, DiffusionStage, MatchingNetwork, MatchingStage, encode
from midms.training.trainer import Interrupted, fit, write_json

STEPS = {"autoencoder": 7_000, "matching": 4_000, "bridge": 16_000, "unconditional": 3_000}
PRESET = {"bridge": "midm-faces", "unconditional": "midm-faces-paper"}


def part(slot: str, preset: str = "midm-faces") -> Any:
    """A preset's part with fresh weights: what is trained is what the preset loads."""
    spec = PRESETS[preset].slots[slot]
    return create(slot, spec.name, **spec.arguments)


def main(args: Namespace) -> int:
    """Run one stage; returns the exit status (3 if it stopped early and can be resumed)."""
    out = Path(args.out)
    device = torch.device(args.device)
    name = args.denoiser if args.stage == "diffusion" else args.stage
    record = {"command": f"midms train faces --stage {args.stage}", "size": args.size, "styles": args.styles}
    albums = out / "albums"
    album = open_album(albums, "train", args.styles, args.geometries, args.size)
    held_out = open_album(albums, "validation", 128, 2, args.size)
    stage = {"autoencoder": _autoencoder, "matching": _matching, "diffusion": _diffusion}[args.stage]
    task = stage(out, album, held_out, device, args)
    try:
        network, outcome = fit(task, args.steps or STEPS[name], out, args.seed, args.minutes)
    except Interrupted as stop:
        print(stop)
        return 3
    for file, module in _products(name, network, album):
        save_weights(module, out / f"{file}.safetensors")
    _remember(out / "results.json", name, record | outcome)
    print(json.dumps(outcome["held out"]))
    return 0


def _autoencoder(out: Path, album: Album, held_out: Album, device: torch.device, args: Namespace) -> AutoencoderStage:
    network = part("autoencoder").to(device, memory_format=torch.channels_last)
    return AutoencoderStage(network, album, held_out, device)


def _matching(out: Path, album: Album, held_out: Album, device: torch.device, args: Namespace) -> MatchingStage:
    autoencoder = _load(part("autoencoder"), out / "autoencoder.safetensors", device)
    network = MatchingNetwork(part("features"), part("confidence")).to(device)
    terms = TERMS | json.loads(args.terms or "{}")
    return MatchingStage(
        network.to(memory_format=torch.channels_last), album, held_out, encode(autoencoder, album),
        encode(autoencoder, held_out), device, terms, part("matcher"),
    )  # fmt: skip


def _diffusion(out: Path, album: Album, held_out: Album, device: torch.device, args: Namespace) -> DiffusionStage:
    autoencoder = _load(part("autoencoder"), out / "autoencoder.safetensors", device)
    features = _load(part("features"), out / "features.safetensors", device)
    confidence = _load(part("confidence"), out / "confidence.safetensors", device)
    latents = encode(autoencoder, album)
    preset = PRESET[args.denoiser]
    network = part("denoiser", preset).to(device, memory_format=torch.channels_last)
    schedule = part("sampler", preset).schedule
    warps, trusts = torch.empty(0), torch.empty(0)
    if args.denoiser == "bridge":
        warps, trusts = warp_all(features, confidence, album, latents, device)
    return DiffusionStage(network, album, latents, warps, trusts, device, schedule, name=args.denoiser)


@torch.inference_mode()
def warp_all(
    features: FeatureExtractor, confidence: ConfidenceEstimator, album: Album, latents: Float[Tensor, "n c h w"], device: torch.device
) -> tuple[Float[Tensor, "s g g c h w"], Float[Tensor, "s g g 1 h w"]]:
    """First warps and the trust in them for every pair of every style, [style, exemplar, answer], in half precision."""
    matcher, g = part("matcher"), album.geometries
    styles, (c, h, w) = len(album) // g, latents.shape[1:]
    warps, trusts = latents.new_zeros(styles, g, g, c, h, w), latents.new_zeros(styles, g, g, 1, h, w)
    for chosen in tqdm(torch.arange(styles).split(8), desc="warping", unit_scale=8):
        index = (chosen[:, None] * g + torch.arange(g)).flatten()
        latent = latents[index].float().to(device)
        wanted = features.condition(album.sketches(index).to(device)).first
        offered = features.exemplar(latent, album.photos(index).to(device)).first
        source = torch.arange(len(index)).view(-1, g, 1).expand(-1, g, g).flatten()
        target = torch.arange(len(index)).view(-1, 1, g).expand(-1, g, g).flatten()
        match = matcher(wanted[target], offered[source])
        warps[chosen] = match.apply(latent[source]).half().cpu().view(-1, g, g, c, h, w)
        trusts[chosen] = confidence(match).weight.half().cpu().view(-1, g, g, 1, h, w)
    return warps, trusts


def _load(module: nn.Module, path: Path, device: torch.device) -> nn.Module:
    load_weights(module, path)
    return module.to(device).eval().requires_grad_(False)


def _products(name: str, network: nn.Module, album: Album) -> list[tuple[str, nn.Module]]:
    """The files of a stage. The autoencoder's latents are standardised by what it makes of the album."""
    if isinstance(network, Patchified):
        latents = encode(network, Album(*(a[:2048] for a in (album.image, album.parts, album.strokes, album.edges)), 0, 1)).float()
        network.standardise(latents.mean((0, 2, 3)), latents.std((0, 2, 3)))
    if isinstance(network, MatchingNetwork):
        return [("features", network.features), ("confidence", network.confidence)]
    return [(name, network)]


def _remember(path: Path, name: str, record: dict[str, object]) -> None:
    known = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, known | {name: record})
