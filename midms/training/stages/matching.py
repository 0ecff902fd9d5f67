"""The second stage: features that are matched on an autoencoder's latents, and the confidence in the match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from midms.core.flow import match_flow
from midms.core.protocols import Match
from midms.core.types import Features, Noise
from midms.data.errors import DatasetError
from midms.data.pair import Pair
from midms.loop.inputs import noise_fn
from midms.pipeline.datasets import condition_picture
from midms.pipeline.pipeline import Pipeline
from midms.training.losses import matching as losses
from midms.training.noise import integers, uniform
from midms.training.stages.stage import Optimisation, frozen, latents, trained

FLOW_TERMS = ("exact", "distance")
"""Losses of pairs whose flow is known."""
TERMS = (*FLOW_TERMS, "visibility", "domain", "cycle", "reconstruction", "colours", "palette")
"""All losses; see `midms.training.losses.matching`. Domain, cycle and reconstruction are MIDMs'."""
EVERY = 2  # pixels from one that is asked about to the next, from a corner drawn anew each step
_RIGHT = 0.05  # a match is right if it is visible and off by less than so many widths


class MatchingStage(nn.Module):
    """Matching, for the first match and for re-matching, and the confidence in it.

    Where pairs have a flow, the match is trained on it and the confidence on visibility. Otherwise the match is trained
    on colours, or MIDMs' weak losses, and the confidence on whether the warped colour is right. What
    `rematch_query` will see is imitated for every other pair of a batch: a mixture of truth and warp with some
    noise. So that it is the same pairs in any number of processes, each must have an even number of them.

    Args:
        pipe: whose features and confidence are trained.
        with_flow: weights of losses by name, for pairs whose flow is known; those not named count nothing.
        without_flow: the same for other pairs.
        terms: weights that take the place of these in both.
        steps: see `Optimisation`.
        batch: see `Optimisation`.
        learning_rate: see `Optimisation`.
    """

    needs: ClassVar[tuple[str, ...]] = ("autoencoder",)
    losses: ClassVar[tuple[str, ...]] = TERMS

    def __init__(
        self,
        pipe: Pipeline,
        with_flow: Mapping[str, float],
        without_flow: Mapping[str, float],
        terms: Mapping[str, float] = MappingProxyType({}),
        steps: int = 4_000,
        batch: int = 16,
        learning_rate: float = 1.5e-3,
    ) -> None:
        super().__init__()
        self.features: Any = trained(pipe.features)  # type: ignore[type-var]
        self.confidence: Any = trained(pipe.confidence)  # type: ignore[type-var]
        self.autoencoder: Any = frozen(pipe.autoencoder)  # type: ignore[type-var]
        self.matcher: Any = pipe.matcher
        self.condition = pipe.condition
        none = dict.fromkeys(TERMS, 0.0)
        self.with_flow, self.without_flow = ({**none, **weights, **terms} for weights in (with_flow, without_flow))
        self.optimisation = Optimisation(steps, batch, learning_rate, share_of=2)

    def forward(self, pair: Pair, noise: Noise) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """See `Stage`."""
        draw, batch = noise_fn(noise, pair.target), len(pair.target)
        source, truth = latents(self.autoencoder, pair)
        query = self.features.condition(pair.condition)
        key = self.features.exemplar(source, pair.exemplar_condition)
        match = self.matcher(query.initial, key.initial)
        weights = self.without_flow if pair.flow is None else self.with_flow
        terms = dict.fromkeys(TERMS, source.new_zeros(()))
        corner = integers(draw, batch, 0, EVERY**2)[:, 0]
        if pair.flow is None:
            right = losses.right_colours(match, pair.exemplar, pair.target)
        else:
            flow, visible = _at(pair.flow, corner), _at(_visible(pair).float(), corner) > 0
            off = self._off(match, pair, corner) - flow
            terms["distance"], terms["exact"] = losses.distance(off / 2, visible), losses.exact(match, flow, visible)
            right = visible & (off.detach().norm(dim=1, keepdim=True) < 2 * _RIGHT)
        confidence = self.confidence(match).clamp(1e-5, 1 - 1e-5)
        terms["visibility"] = F.binary_cross_entropy(confidence, F.adaptive_avg_pool2d(right.float(), match.grid))

        some = slice(None, None, 2)
        mix, amount = uniform(draw, batch, 2)[some, :, None, None, None].unbind(1)
        disturbance = draw(tuple(truth.shape))[some]
        x0 = torch.lerp(match.apply(source)[some].detach(), truth[some], mix) + 0.3 * amount * disturbance
        estimate = self.features.rematch_query(x0, Features(query.initial[some], query.rematch[some]))
        again = self.matcher(estimate, key.rematch[some])
        if pair.flow is not None:
            off = self._off(again, pair, corner, some) - flow[some]
            terms["distance"] = terms["distance"] + losses.distance(off / 2, visible[some])
            terms["exact"] = terms["exact"] + losses.exact(again, flow[some], visible[some])
        if weights["domain"] or weights["reconstruction"]:
            own = self.features.exemplar(truth, pair.condition)
            terms["domain"] = losses.domain(query.initial, own.initial, key.initial, match)
            terms["reconstruction"] = losses.reconstruction(self.matcher(query.initial, own.initial), truth)
        if weights["cycle"]:
            terms["cycle"] = losses.cycle_loss(match, source) + losses.cycle_loss(again, source[some])
        if weights["colours"]:
            terms["colours"] = losses.warped_colours(match, pair.exemplar, pair.target)
            terms["colours"] = terms["colours"] + losses.warped_colours(again, pair.exemplar[some], pair.target[some])
        if weights["palette"]:
            terms["palette"] = losses.palette(match, pair.exemplar, pair.target)
            terms["palette"] = terms["palette"] + losses.palette(again, pair.exemplar[some], pair.target[some])
        return torch.stack([weight * terms[name] for name, weight in weights.items()]).sum(), terms

    def _off(
        self, match: Match, pair: Pair, corner: Int[Tensor, " b"], some: slice = slice(None)
    ) -> Float[Tensor, "n 2 y x"]:
        """Where a match of some of the pairs leads at every `EVERY`-th pixel from a corner."""
        size = (pair.target.shape[-2], pair.target.shape[-1])
        return _at(match_flow(match, size, pair.target[some]), corner[some])

    def products(self) -> dict[str, nn.Module]:
        """See `Stage`."""
        return {"features": self.features, "confidence": self.confidence}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """See `Stage`."""
        return [{"params": [*self.features.parameters(), *self.confidence.parameters()]}]

    def begin(self, pairs: Iterable[Pair]) -> None:
        """Find out whether what is trained on has what the losses need."""
        needing = [name for name in FLOW_TERMS if self.without_flow[name]]
        if needing and next(iter(pairs)).flow is None:
            raise DatasetError(f"terms {', '.join(needing)}: need a flow, which the pairs of this data set do not have")

    def finish(self, pairs: Iterable[Pair]) -> None:
        """Nothing is left to do."""

    @torch.no_grad()
    def evaluate(self, pairs: Iterable[Pair]) -> dict[str, float]:
        """Errors of the initial match and of the re-match, against the flow of held-out pairs or targets' latents."""
        found: dict[str, list[Tensor]] = {"initial": [], "rematch": []}
        known = False
        for pair in pairs:
            source, truth = latents(self.autoencoder, pair)
            query = self.features.condition(pair.condition)
            key = self.features.exemplar(source, pair.exemplar_condition)
            match = self.matcher(query.initial, key.initial)
            rematch = self.matcher(self.features.rematch_query(match.apply(source), query), key.rematch)
            known = pair.flow is not None
            for name, one in (("initial", match), ("rematch", rematch)):
                found[name].append(self._errors(one, pair) if known else (one.apply(source) - truth).abs().flatten())
        figures = {}
        for name, errors in ((name, torch.cat(parts)) for name, parts in found.items()):
            for radius in (0.025, 0.05, 0.1) if known else ():
                figures[f"{name} pck@{radius}"] = (errors < radius).float().mean().item()
            figures[f"{name} error in widths" if known else f"{name} warp error"] = errors.mean().item()
        return figures

    @staticmethod
    def _errors(match: Match, pair: Pair) -> Float[Tensor, " n"]:
        """How far a match is from the flow in each pixel that counts, in widths."""
        assert pair.flow is not None
        counted = _visible(pair) if pair.foreground is None else _visible(pair) & pair.foreground
        found = match_flow(match, (pair.flow.shape[-2], pair.flow.shape[-1]), pair.flow)
        return ((found - pair.flow).norm(dim=1) / 2)[counted[:, 0]]

    @torch.no_grad()
    def sheet(self, pair: Pair) -> dict[str, Float[Tensor, "b 3 y x"]]:
        """First warps, decoded, and the confidence in them."""
        source, _ = latents(self.autoencoder, pair)
        query = self.features.condition(pair.condition)
        match = self.matcher(query.initial, self.features.exemplar(source, pair.exemplar_condition).initial)
        confidence = F.interpolate(self.confidence(match), pair.target.shape[-2:])
        return {
            "condition": condition_picture(self.condition, pair.condition),
            "exemplar": pair.exemplar,
            "first warp": self.autoencoder.decode(match.apply(source)),
            "confidence": (2 * confidence - 1).expand(-1, 3, -1, -1),
            "target": pair.target,
        }


def _at(values: Float[Tensor, "b c y x"], corner: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
    """Every `EVERY`-th pixel, row and column, from a corner that each sample has."""
    folded = F.pixel_unshuffle(values, EVERY).unflatten(1, (-1, EVERY**2))
    return folded[torch.arange(len(values), device=values.device), :, corner]


def _visible(pair: Pair) -> Bool[Tensor, "b 1 y x"]:
    """Where the flow holds."""
    return torch.ones_like(pair.target[:, :1], dtype=torch.bool) if pair.visible is None else pair.visible
