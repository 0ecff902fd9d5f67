"""The three stages: an autoencoder, a matching network on its latents, a denoiser on the warps of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from midms.checkpoints.tensors import CheckpointError, cast, checksum, finite, read_weights, save_state
from midms.confidence.calibrated import Calibrated
from midms.core.types import Context, Features
from midms.data.portraits.pairs import HEAD
from midms.diffusion.autoencoders.patchified import Patchified
from midms.diffusion.denoisers.bridge import Bridge
from midms.diffusion.levels import alpha_sigma
from midms.features.pyramid import PyramidFeatures
from midms.matching.matchers.correlation import Correlation
from midms.matching.matches.factored import FactoredMatch
from midms.training import losses
from midms.training.album import SAMPLED, Album, Shot, pool

TERMS = {"exact": 1.0, "distance": 5.0, "visibility": 0.5, "domain": 0.0, "cycle": 0.0, "reconstruction": 0.0}
"""Weights of the matching losses. The last three are the paper's. See `benchmarks/faces/matching_losses.py`."""
EVERY = 2  # pixels from one that is asked about to the next, from a corner drawn anew each step
RIGHT = 0.05  # a match is right if it is visible and off by less than so many widths


def psnr(a: Float[Tensor, "b 3 y x"], b: Float[Tensor, "b 3 y x"]) -> Float[Tensor, ""]:
    """Mean over pictures, in dB, of pictures in [-1, 1]."""
    return -10 * ((a.clamp(-1, 1) - b) / 2).pow(2).mean((1, 2, 3)).log10().mean()


def differences(x: Float[Tensor, "b c y x"]) -> tuple[Tensor, Tensor]:
    """Between neighbours, across and down."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


@torch.inference_mode()
def encode(autoencoder: Patchified, album: Album) -> Float[Tensor, "n c h w"]:
    """Latents of the whole album, in half precision."""
    device = next(autoencoder.parameters()).device
    pieces = tqdm(torch.arange(len(album)).split(64), desc="encoding", unit_scale=64, delay=1)
    return torch.cat([autoencoder.encode(album.images(i).to(device)).half().cpu() for i in pieces])


def latents(out: Path, autoencoder: Patchified, album: Album) -> Float[Tensor, "n c h w"]:
    """The album's latents, kept on disk until the autoencoder changes."""
    key = checksum(autoencoder.state_dict())[:12]
    pictures = checksum({"image": album.image})[:12]
    path = out / "albums" / f"latents-{pictures}-{key}.safetensors"
    if not path.exists():
        save_state(cast({"latents": encode(autoencoder, album)}, None, str(path)), path)
    found = read_weights(path, sealed=True).get("latents", album.image)
    plausible = found.dtype == torch.float16 and len(found) == len(album) and found.ndim == 4 and finite(found)
    if not (plausible and _encoded(found, autoencoder, album)):
        raise CheckpointError(f"{path}: these are no latents of the album; remove it to have them made anew")
    return found


def _encoded(latents: Float[Tensor, "n c h w"], autoencoder: Patchified, album: Album) -> bool:
    """Whether some latents, spread over the album, are what the autoencoder makes of its pictures."""
    some = torch.arange(0, len(album), -(-len(album) // SAMPLED))
    made, here = encode(autoencoder, album.some(some)).float(), latents[some].float()
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


@dataclass
class AutoencoderStage:
    """Reconstruction in L1 and in differences between neighbours, with a little noise on the latents."""

    network: Patchified
    album: Album
    held_out: Album
    device: torch.device
    batch: int = 8
    learning_rate: float = 2e-3
    name: str = "autoencoder"

    def loss(self, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """See `Task`."""
        index = torch.randint(len(self.album), (self.batch,), generator=generator)
        image = self.album.images(index)
        flip = torch.rand(self.batch, 1, 1, 1, generator=generator) < 0.5
        image = torch.where(flip, image.flip(-1), image).to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            latent = self.network.encode(image).float()
            noise = torch.randn(latent.shape, generator=generator).to(self.device)
            output = self.network.decode(latent + 0.03 * noise).float()
        error = F.l1_loss(output, image)
        edges = sum(F.l1_loss(a, b) for a, b in zip(differences(output), differences(image), strict=True))
        return error + 0.5 * edges + 1e-4 * latent.pow(2).mean(), {"l1": error.item()}

    @torch.inference_mode()
    def evaluate(self, network: Any) -> dict[str, float]:
        """Reconstruction of held-out pictures."""
        index = torch.arange(min(256, len(self.held_out)))
        image = self.held_out.images(index).to(self.device)
        return {"psnr": psnr(network.decode(network.encode(image)), image).item()}


class MatchingNetwork(nn.Module):
    """Features and the confidence that is calibrated with them."""

    def __init__(self, features: PyramidFeatures, confidence: Calibrated) -> None:
        super().__init__()
        self.features, self.confidence = features, confidence


@dataclass
class MatchingStage:
    """Exact correspondence, visibility, and the paper's losses, for the first match and for re-matching.

    What `rematch_query` will see is imitated for half of the batch: a mixture of truth and warp with some noise.
    """

    network: MatchingNetwork
    album: Album
    held_out: Album
    latents: Float[Tensor, "n c h w"]
    held_out_latents: Float[Tensor, "m c h w"]
    device: torch.device
    terms: Mapping[str, float]
    matcher: Correlation
    batch: int = 16
    learning_rate: float = 1.5e-3
    name: str = "matching"

    def loss(self, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """See `Task`."""
        row, column = torch.randint(EVERY, (2,), generator=generator).tolist()
        shot = self.album.shoot(*self.album.draw(self.batch, generator), (row, column), EVERY)
        source, truth = (self.latents[i].float().to(self.device) for i in (shot.exemplar, shot.answer))
        sketch, photo = (
            maps.to(self.device) for maps in (self.album.sketches(shot.answer), self.album.photos(shot.exemplar))
        )
        net = self.network.features
        wanted, offered = net.condition(sketch), net.exemplar(source, photo)
        match = self.matcher(wanted.initial, offered.initial)
        terms = dict.fromkeys(self.terms, torch.zeros((), device=self.device))
        terms["exact"], terms["distance"], right = self._exact(match, shot, slice(None), (row, column))
        trust = self.network.confidence(match).clamp(1e-5, 1 - 1e-5)
        terms["visibility"] = F.binary_cross_entropy(trust, pool(right, right.shape[-1] // trust.shape[-1]))

        some = slice(0, self.batch // 2)
        mix, amount = torch.rand(2, len(truth[some]), 1, 1, 1, generator=generator).to(self.device)
        noise = torch.randn(truth[some].shape, generator=generator).to(self.device)
        x0 = torch.lerp(match.apply(source)[some].detach(), truth[some], mix) + 0.3 * amount * noise
        estimate = net.rematch_query(x0, Features(wanted.initial[some], wanted.rematch[some]))
        again = self.matcher(estimate, offered.rematch[some])
        entropy, distance, _ = self._exact(again, shot, some, (row, column))
        terms["exact"], terms["distance"] = terms["exact"] + entropy, terms["distance"] + distance

        if self.terms["domain"] or self.terms["reconstruction"]:
            own = net.exemplar(truth, self.album.photos(shot.answer).to(self.device))
            terms["domain"] = losses.domain(wanted.initial, own.initial, offered.initial, match)
            terms["reconstruction"] = losses.reconstruction(self.matcher(wanted.initial, own.initial), truth)
        if self.terms["cycle"]:
            terms["cycle"] = losses.cycle(match, source) + losses.cycle(again, source[some])
        total = torch.stack([weight * terms[name] for name, weight in self.terms.items()]).sum()
        return total, {name: value.item() for name, value in terms.items()}

    def _exact(
        self, match: FactoredMatch, shot: Shot, some: slice, corner: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cross-entropy, distance in widths, and which pixels are right."""
        place, visible = shot.place[some].to(self.device), shot.visible[some].to(self.device)
        found = losses.exact_places(match, self.album.size)[..., corner[0] :: EVERY, corner[1] :: EVERY]
        off = (found - place) / 2
        distance = (off.abs().sum(1, keepdim=True) * visible).sum() / visible.sum().clamp(min=1)
        right = visible * (off.detach().norm(dim=1, keepdim=True) < RIGHT)
        return losses.exact(match, place, visible), distance, right

    @torch.inference_mode()
    def evaluate(self, network: Any) -> dict[str, float]:
        """The match against the exact one on held-out pairs, first and again."""
        count, g = min(128, len(self.held_out) // self.held_out.geometries), self.held_out.geometries
        shot = self.held_out.shoot(torch.arange(count) * g, torch.arange(count) * g + 1)
        source = self.held_out_latents[shot.exemplar].float().to(self.device)
        wanted = network.features.condition(self.held_out.sketches(shot.answer).to(self.device))
        offered = network.features.exemplar(source, self.held_out.photos(shot.exemplar).to(self.device))
        match = self.matcher(wanted.initial, offered.initial)
        again = self.matcher(network.features.rematch_query(match.apply(source), wanted), offered.rematch)
        figures = {}
        parts = self.held_out.parts[shot.answer]
        counted = shot.visible[:, 0].bool() & (parts != 0) & (parts != 13) & (parts != 14)
        for name, one in (("first", match), ("again", again)):
            off = (losses.exact_places(one, shot.place.shape[-1]).cpu() - shot.place).norm(dim=1) / 2
            for radius in (0.025, 0.05, 0.1):
                figures[f"{name} pck@{radius}"] = (off[counted] < radius).float().mean().item()
            figures[f"{name} error in widths"] = off[counted].mean().item()
        return figures


@dataclass
class DiffusionStage:
    """A denoiser on cached warps.

    The bridge learns x0 = warp + network from noised mixtures of truth and warp, since that is what it meets at
    inference, with an error weighted by how much it shows in the picture; the unconditional network learns from noised
    true latents, as in the paper.
    """

    network: Any
    album: Album
    latents: Float[Tensor, "n c h w"]
    first_warps: tuple[Float[Tensor, "s g g c h w"], Float[Tensor, "s g g 1 h w"]] | None
    importance: Float[Tensor, "1 c 1 1"]
    device: torch.device
    schedule: str
    batch: int = 32
    learning_rate: float = 8e-4
    name: str = "bridge"

    def loss(self, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """See `Task`."""
        exemplar, answer = self.album.draw(self.batch, generator)
        truth = self.latents[answer].float().to(self.device)
        bridge = isinstance(self.network, Bridge)
        timestep = torch.randint(*((150, 980) if bridge else (5, 995)), (self.batch,), generator=generator)
        alpha, sigma = (
            torch.tensor(level).view(-1, 1, 1, 1).to(self.device)
            for level in zip(*(alpha_sigma(self.schedule, int(t)) for t in timestep), strict=True)
        )
        draw = torch.randn(truth.shape, generator=generator).to(self.device)
        if not bridge:
            x0 = self.network.denoise(alpha * truth + sigma * draw, timestep.to(self.device), alpha, sigma, None)
            return F.mse_loss(x0 / sigma, truth / sigma), {}
        context = self._context(exemplar, answer)
        mix = (1.5 * torch.rand(self.batch, 1, 1, 1, generator=generator)).clamp(0, 1).to(self.device)
        x = alpha * torch.lerp(truth, context.warp, mix) + sigma * draw
        x0 = self.network.denoise(x, timestep.to(self.device), alpha, sigma, context)
        return ((x0 - truth).pow(2) * self.importance * self._heads(answer)).mean(), {}

    def _heads(self, answer: Tensor) -> Tensor:
        """Weight of each cell: the head counts twice."""
        parts = self.album.parts[answer].to(self.device)
        heads = torch.isin(parts, torch.tensor(HEAD, device=self.device))
        return 1 + pool(heads[:, None].float(), parts.shape[-1] // self.latents.shape[-1])

    def _context(self, exemplar: Tensor, answer: Tensor) -> Context:
        assert self.first_warps, "the bridge learns from warps"
        g = self.album.geometries
        style, source, target = exemplar // g, exemplar % g, answer % g
        warp, trust = (cache[style, source, target].float().to(self.device) for cache in self.first_warps)
        return Context(warp, self.album.sketches(answer).to(self.device), trust)

    @torch.inference_mode()
    def evaluate(self, network: Any) -> dict[str, float]:
        """No figures of its own: `python -m benchmarks.faces` measures the composed loop."""
        return {}
