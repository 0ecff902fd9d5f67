"""The stages of MIDMs' own training: `warmup` of the matching network, then `joint` with the denoiser through the loop.

As the released code has them (github.com/KU-CVLAB/MIDMs at 625d88a): 10,000 steps of the first, the rest of four epochs
of the second.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midms.compose.slots import SLOTS
from midms.core.precision import precise
from midms.core.types import Features, Noise
from midms.data.pair import Pair
from midms.features.vgg_network import VGG
from midms.loop import Parts
from midms.loop.inputs import PICTURE, check_exemplars, check_tensor, noise_fn
from midms.pipeline.pipeline import Pipeline
from midms.registry import BadArguments
from midms.training.losses.contextual import contextual_losses
from midms.training.losses.midm import domain_loss, round_trip, segmentation_loss
from midms.training.losses.perceptual import activations, feature_loss, load_trunk, perceptual_loss
from midms.training.noise import sample_generators
from midms.training.stages.stage import Optimisation, frozen, trained
from midms.training.stages.streams import Streams, run_streams

LOSSES = ("dom", "cyc", "perc", "feat", "x0", "cyc_iter", "seg", "ctx")
THROUGH_VGG = ("perc", "feat", "ctx")
"""Losses of features of VGG."""


class MidmStage(nn.Module):
    """MIDMs' training of the matching network, and in the stage `joint` of the denoiser with it.

    What the released code does oddly is kept: in the warm-up the cycle loss counts twice, the ground truth's stream is
    matched again and takes nothing of it, what is noised for one step is a level noisier than the timestep says.
    What is otherwise here, with reasons, is in `docs/released.md`.

    Args:
        pipe: whose features, and in `joint` whose denoiser, are trained; the autoencoder stays as it is.
        weights: of `LOSSES` by name; those without, or of weight 0, are not computed.
        terms: weights that take the place of these.
        layer: of VGG, for perc.
        vgg19: a file of VGG19, see `load_trunk`; a trunk; or None for that of HED.
        checkpointing: whether to spare memory for time: denoiser and decoder are computed again in the backward pass,
            the encoders, whose spectral norms take a power iteration a call, are not.
        steps: see `Optimisation`.
        batch: see `Optimisation`.
        learning_rate: see `Optimisation`.

    Raises:
        BadArguments: no loss has such a name, or none has a weight.
        TrunkError: losses need VGG, and there is none.
    """

    joint: ClassVar[bool]
    losses: ClassVar[tuple[str, ...]] = LOSSES

    def __init__(
        self,
        pipe: Pipeline,
        weights: Mapping[str, float],
        terms: Mapping[str, float] = MappingProxyType({}),
        layer: str = "relu4_2",
        vgg19: str | Path | VGG | None = None,
        checkpointing: bool = True,
        steps: int = 10_000,
        batch: int = 8,
        learning_rate: float = 3e-6,
    ) -> None:
        super().__init__()
        given = {**weights, **terms}
        if unknown := sorted(given.keys() - set(LOSSES)):
            raise BadArguments(f"terms: no loss is called {', '.join(unknown)}; there are {', '.join(LOSSES)}")
        self.weights = {name: float(weight) for name, weight in given.items() if weight}
        if not self.weights:
            raise BadArguments(f"terms: none of {', '.join(LOSSES)} has a weight")
        self.pipe, self.layer, self.checkpointing = pipe, layer, checkpointing
        self.features: Any = trained(pipe.features)  # type: ignore[type-var]
        self.denoiser: Any = (trained if self.joint else frozen)(pipe.denoiser)  # type: ignore[type-var]
        self.autoencoder: Any = frozen(pipe.autoencoder)  # type: ignore[type-var]
        self.trunk, self.perceptual_network = None, ""
        if isinstance(vgg19, VGG):
            self.trunk = vgg19
        elif any(name in self.weights for name in THROUGH_VGG):
            self.trunk, self.perceptual_network = load_trunk(Path(vgg19) if vgg19 else None)
        if not self.joint:  # nothing is matched again
            for name in getattr(self.features, "rematch_only", ()):
                getattr(self.features, name).requires_grad_(False)
        self.optimisation = Optimisation(
            steps, batch, learning_rate, 0.05, (0.9, 0.999), cosine=False, clip=math.inf, average=0.0
        )

    def products(self) -> dict[str, nn.Module]:
        """See `Stage`."""
        return {"features": self.features} | ({"denoiser": self.denoiser} if self.joint else {})

    def parameter_groups(self) -> list[dict[str, Any]]:
        """See `Stage`."""
        trainable = ([one for one in part.parameters() if one.requires_grad] for part in self.products().values())
        return [{"params": parameters} for parameters in trainable]

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
        condition, channels, stride = pair.condition, self.pipe.condition.channels, self.autoencoder.stride
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
            exemplar_condition=self.pipe.condition.photo(pictures[0]) if maps[0] is None else maps[0],
        )
        draw, parts = noise_fn(noise, pair.condition), Parts(**{slot: getattr(self.pipe, slot) for slot in SLOTS})
        return run_streams(parts, self.pipe.policy, pair, draw, self.joint, self.checkpointing)

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

    def begin(self, pairs: Iterable[Pair]) -> None:
        """Nothing is to be known before."""

    def finish(self, pairs: Iterable[Pair]) -> None:
        """Nothing is left to do."""

    def evaluate(self, pairs: Iterable[Pair]) -> dict[str, float]:
        """Held-out pairs: their first warps, and in `joint` what the whole pipeline makes of them: PSNR in dB."""
        found: dict[str, list[Tensor]] = {}
        with self._as_used():
            for number, pair in enumerate(pairs):
                made = self._pictures(pair, number * len(pair.target))
                for name in ("first warp", "translation"):
                    if name in made:
                        off = ((made[name].clamp(-1, 1) - pair.target) / 2).pow(2).mean((1, 2, 3))
                        found.setdefault(f"{name} psnr", []).append(-10 * off.log10())
        return {name: torch.cat(values).mean().item() for name, values in found.items()}

    def sheet(self, pair: Pair) -> dict[str, Float[Tensor, "b 3 y x"]]:
        """See `Stage`."""
        with self._as_used():
            return {"exemplar": pair.exemplar, **self._pictures(pair, 0), "target": pair.target}

    def _pictures(self, pair: Pair, first: int) -> dict[str, Tensor]:
        """What comes of held-out pairs, of which this is the first's number."""
        given, pipe = (pair.condition, pair.exemplar, pair.exemplar_condition), self.pipe
        noise = sample_generators(0, range(first, first + len(pair.target)))
        maps = pipe.condition.photo(pair.exemplar) if pair.exemplar_condition is None else pair.exemplar_condition
        latent = pipe.autoencoder.encode(pair.exemplar)
        query, key = pipe.features.condition(pair.condition), pipe.features.exemplar(latent, maps)
        warp = pipe.autoencoder.decode(pipe.matcher(query.initial, key.initial).apply(latent))
        return {"first warp": warp} | ({"translation": pipe(*given, noise)} if self.joint else {})

    @contextmanager
    def _as_used(self) -> Iterator[None]:
        """Networks as outside of training: without gradients or power iterations."""
        training = self.features.training
        self.features.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.features.train(training)


class WarmupStage(MidmStage):
    """The matching network alone; first warps are decoded."""

    joint = False
    needs: ClassVar[tuple[str, ...]] = ()


class JointStage(MidmStage):
    """The matching network and the denoiser, through the loop."""

    joint = True
    needs: ClassVar[tuple[str, ...]] = ("features",)


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
