"""The stages of MIDMs' own training: `warmup` of the matching network, then `joint` with the denoiser through the loop.

As the released code has them (github.com/KU-CVLAB/MIDMs at 625d88a): 10,000 steps of the first, the rest of four epochs
of the second.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.types import Features, Noise
from midms.data.pair import Pair
from midms.features.midm import MidmFeatures
from midms.loop import PARTS, Parts, Policy
from midms.loop.inputs import PICTURE, check_exemplars, check_tensor, noise_fn
from midms.networks.precision import precise
from midms.networks.vgg import VGG
from midms.training.losses.contextual import contextual_losses
from midms.training.losses.paper import domain_loss, round_trip, segmentation_loss
from midms.training.losses.perceptual import activations, feature_loss, perceptual_loss
from midms.training.stages.streams import Streams, run_streams

LOSSES = ("dom", "cyc", "perc", "feat", "x0", "cyc_iter", "seg", "ctx")
THROUGH_VGG = ("perc", "feat", "ctx")
"""Losses that look at pictures through VGG."""
LEARNING_RATE, WEIGHT_DECAY = 3e-6, 0.05
"""Of AdamW, for the matching network and for the denoiser."""


def released_terms(preset: str, joint: bool) -> dict[str, float]:
    """The released weights of the losses, for a preset and a stage."""
    churches = preset == "midm-church"
    weights = {"dom": 10.0, "cyc": 1.0, "perc": 0.05 if churches else 0.002, "feat": 1.0, "x0": 1.0, "cyc_iter": 1.0}
    return weights | ({"ctx": 1.0} if joint else {"seg": 100.0} if churches else {})


def released_layer(preset: str) -> str:
    """The layer of VGG in which the released code compares the exemplar's stream with the ground truth."""
    return "relu5_2" if preset == "midm-church" else "relu4_2"


class PaperStage(nn.Module):
    """MIDMs' training of the matching network, and in the stage `joint` of the denoiser with it.

    What the released code does oddly is kept: in the warm-up the cycle loss counts twice, the ground truth's stream is
    matched again and takes nothing of it, what is noised for one step is a level noisier than the denoiser is told.
    What is otherwise here, with reasons, is in `docs/released.md`.

    Args:
        parts: of a preset; the autoencoder stays as it is.
        policy: when to match again.
        terms: weights of `LOSSES` by name; those without, or of weight 0, are not computed.
        trunk: VGG, for the losses perc, feat and ctx.
        joint: whether it is the stage `joint`.
        layer: of the trunk, for perc.
        checkpointing: whether to spare memory for time: denoiser and decoder are computed again in the backward pass,
            the encoders, whose spectral norms take a power iteration a call, are not.

    Raises:
        ValueError: no loss has such a name, or one needs the trunk.
    """

    features: Any
    denoiser: Any
    autoencoder: Any

    def __init__(
        self,
        parts: Parts,
        policy: Policy,
        terms: Mapping[str, float],
        trunk: VGG | None = None,
        joint: bool = False,
        layer: str = "relu4_2",
        checkpointing: bool = True,
    ) -> None:
        super().__init__()
        if unknown := sorted(terms.keys() - set(LOSSES)):
            raise ValueError(f"terms: no loss is called {', '.join(unknown)}; there are {', '.join(LOSSES)}")
        self.weights = {name: float(weight) for name, weight in terms.items() if weight}
        if not self.weights:
            raise ValueError(f"terms: none of {', '.join(LOSSES)} has a weight")
        if trunk is None and (looking := [name for name in THROUGH_VGG if name in self.weights]):
            raise ValueError(f"terms {', '.join(looking)}: need a VGG, expected one as trunk")
        self.parts = Parts(**{slot: getattr(parts, slot) for slot in PARTS})  # of a pipeline too
        self.policy, self.joint, self.checkpointing = policy, joint, checkpointing
        self.features, self.denoiser, self.autoencoder = parts.features, parts.denoiser, parts.autoencoder
        self.trunk, self.layer = trunk, layer
        self.requires_grad_(False)
        for part in self.products().values():
            part.requires_grad_(True)
        if not joint and isinstance(parts.features, MidmFeatures):
            parts.features.iter_enc.requires_grad_(False)  # nothing is matched again

    @property
    def name(self) -> str:
        """Of the stage."""
        return "joint" if self.joint else "warmup"

    def products(self) -> dict[str, Any]:
        """What is trained, by slot."""
        return {"features": self.features} | ({"denoiser": self.denoiser} if self.joint else {})

    def parameter_groups(self) -> list[dict[str, Any]]:
        """For AdamW: the parameters of each part that is trained, with learning rate and weight decay."""
        settings = {"lr": LEARNING_RATE, "weight_decay": WEIGHT_DECAY}
        trained = ([one for one in part.parameters() if one.requires_grad] for part in self.products().values())
        return [{"params": parameters, **settings} for parameters in trained]

    def forward(self, pair: Pair, noise: Noise = None) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The loss of a batch, and its terms before they are weighted.

        Args:
            pair: conditions, exemplars, and targets of the same size.
            noise: see `midms.core.types.Noise`. Asked for the start of the exemplar's stream and of the ground truth's,
                a number a picture that chooses the level of its x0, and the noise there; before all of them for the
                latents of the ground truth and the exemplar, where these are drawn.

        Raises:
            ValueError: a field of the pair is not as it should be; names it.
            NotFinite: a part gives numbers that are not finite; names the slot.
        """
        terms = self.terms(self.streams(pair, noise), self.weights)
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}

    def streams(self, pair: Pair, noise: Noise = None) -> Streams:
        """What becomes of a batch, see `forward`."""
        condition, channels, stride = pair.condition, self.parts.condition.channels, self.parts.autoencoder.stride
        pictures, maps = check_exemplars(condition, pair.exemplar, pair.exemplar_condition, None, channels, stride)
        check_tensor("target", pair.target, 3, stride, condition, PICTURE)
        if not condition.shape[-2:] == pair.target.shape[-2:] == pair.exemplar.shape[-2:]:
            sizes = {name: tuple(getattr(pair, name).shape[-2:]) for name in ("condition", "exemplar", "target")}
            raise ValueError(f"{sizes}: these losses expect one size")
        pair = replace(
            pair,
            condition=precise(condition),
            exemplar=pictures[0],
            target=precise(pair.target),
            exemplar_condition=self.parts.condition.photo(pictures[0]) if maps[0] is None else maps[0],
        )
        draw = noise_fn(noise, pair.condition)
        return run_streams(self.parts, self.policy, pair, draw, self.joint, self.checkpointing)

    def terms(self, made: Streams, names: Iterable[str]) -> dict[str, Float[Tensor, ""]]:
        """Losses by name, not weighted."""
        (latent,), (own,) = made.exemplar.latents, made.truth.latents
        encoded = [_encoding(one) for one in (made.exemplar.query, *made.truth.keys, *made.exemplar.keys)]

        @functools.cache
        def seen(which: str) -> dict[str, Tensor]:
            assert self.trunk is not None
            if which in ("exemplar", "target"):
                with torch.no_grad():
                    return activations(self.trunk, getattr(made.pair, which))
            return activations(self.trunk, getattr(made, which))

        losses: dict[str, Callable[[], Tensor]] = {
            "dom": lambda: domain_loss(*encoded),
            "cyc": lambda: round_trip(made.first.match, made.first.warp, latent),
            "perc": lambda: perceptual_loss(seen("picture"), seen("target"), self.layer),
            "feat": lambda: feature_loss(seen("truth_picture"), seen("target")),
            "x0": lambda: F.mse_loss(made.estimate, own),
            "cyc_iter": lambda: _trips(made),
            "seg": lambda: _segmentation(made),
            "ctx": lambda: torch.stack([*contextual_losses(seen("picture"), seen("exemplar")).values()]).sum(),
        }
        return {name: losses[name]() for name in names}

    @torch.no_grad()
    def evaluate(self, pair: Pair, noise: Noise = None) -> dict[str, float]:
        """Figures of held-out pairs: PSNR of the first warp, decoded, and of the picture that the loop ends with."""
        training = self.training
        try:
            made = self.eval().streams(pair, noise)
        finally:
            self.train(training)
        warp = self.autoencoder.decode(made.first.warp)
        figures = {"first warp PSNR": warp} | ({"PSNR": made.picture} if self.joint else {})
        return {name: _psnr(picture, made.pair.target) for name, picture in figures.items()}


def _trips(made: Streams) -> Float[Tensor, ""]:
    """L_cyc_iter: both streams' latents forth and back at each re-match; in the warm-up the first match once more."""
    (latent,), (own,) = made.exemplar.latents, made.truth.latents
    again = [both for both in made.moments if both[0].rematched]
    trips = [(one.match, one.warp, z) for both in again for one, z in zip(both, (latent, own), strict=True)]
    return torch.stack([round_trip(*trip) for trip in trips or [(made.first.match, made.first.warp, latent)]]).sum()


def _segmentation(made: Streams) -> Float[Tensor, ""]:
    """L_seg of the last match to the exemplar, on the latents' grid."""
    grid = made.first.warp.shape[-2:]
    match = [made.first.match, *(style.match for style, _ in made.moments)][-1]
    assert made.pair.exemplar_condition is not None
    target, exemplar = (F.interpolate(x, grid) for x in (made.pair.condition, made.pair.exemplar_condition))
    return segmentation_loss(match.apply(exemplar), target, exemplar)


def _encoding(features: Features) -> Tensor:
    return features.initial if features.encoded is None else features.encoded


def _psnr(picture: Tensor, target: Tensor) -> float:
    return -10 * float(((picture.clamp(-1, 1) - target) / 2).pow(2).mean((1, 2, 3)).log10().mean())
