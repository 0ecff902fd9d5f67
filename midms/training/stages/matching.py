"""The second stage: features that are matched on an autoencoder's latents, and the confidence in the match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midms.confidence.calibrated import Calibrated
from midms.core.flow import match_flow
from midms.core.protocols import Match
from midms.core.types import Features
from midms.data.pair import Pair
from midms.features.pyramid import PyramidFeatures
from midms.matching.matchers.correlation import Correlation
from midms.training.data import HELD_OUT, TrainingData
from midms.training.losses import matching as losses
from midms.training.precomputed import pool

TERMS = {"exact": 1.0, "distance": 5.0, "visibility": 0.5, "domain": 0.0, "cycle": 0.0, "reconstruction": 0.0}
"""Weights of the matching losses. The last three are the paper's. See `benchmarks/faces/matching_losses.py`."""
WITHOUT_FLOW = TERMS | {"exact": 0.0, "distance": 0.0, "domain": 1.0, "cycle": 1.0, "reconstruction": 1.0}
"""The same, of pairs whose flow nobody knows."""
EVERY = 2  # pixels from one that is asked about to the next, from a corner drawn anew each step
_RIGHT = 0.05  # a match is right if it is visible and off by less than so many widths


class MatchingNetwork(nn.Module):
    """Features and the confidence that is calibrated with them."""

    def __init__(self, features: PyramidFeatures, confidence: Calibrated) -> None:
        super().__init__()
        self.features, self.confidence = features, confidence


@dataclass
class MatchingStage:
    """Matching, for the first match and for re-matching, and the confidence in it.

    Where pairs have a flow, the match is trained on it and the confidence on visibility. Otherwise the match is trained
    on the paper's losses, and the confidence on whether it comes back. What `rematch_query` will see is imitated for
    half of the batch: a mixture of truth and warp with some noise.
    """

    network: MatchingNetwork
    data: TrainingData
    held_out: TrainingData
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
        corner = torch.randint(EVERY, (2,), generator=generator).tolist()
        index = self.data.draw(self.batch, generator)
        pair, known = self.data.pairs(index).to(self.device), self.data.flow(index, (corner[0], corner[1]), EVERY)
        exemplar, target = self.data.numbers(index)
        source, truth = (self.latents[numbers].float().to(self.device) for numbers in (exemplar, target))
        net = self.network.features
        query = net.condition(pair.condition)
        key = net.exemplar(source, self.data.exemplar_conditions(exemplar).to(self.device))
        match = self.matcher(query.initial, key.initial)
        terms = dict.fromkeys(self.terms, torch.zeros((), device=self.device))
        if known is None:
            right = losses.comes_back(match, _RIGHT)
        else:
            flow, visible = (value.to(self.device) for value in known)
            off = self._off(match, flow, pair, corner)
            terms["distance"], terms["exact"] = losses.distance(off, visible), losses.exact(match, flow, visible)
            right = visible & (off.detach().norm(dim=1, keepdim=True) < _RIGHT)
        confidence = self.network.confidence(match).clamp(1e-5, 1 - 1e-5)
        stride = right.shape[-1] // confidence.shape[-1]
        terms["visibility"] = F.binary_cross_entropy(confidence, pool(right.float(), stride))

        some = slice(0, self.batch // 2)
        mix, amount = torch.rand(2, len(truth[some]), 1, 1, 1, generator=generator).to(self.device)
        noise = torch.randn(truth[some].shape, generator=generator).to(self.device)
        x0 = torch.lerp(match.apply(source)[some].detach(), truth[some], mix) + 0.3 * amount * noise
        estimate = net.rematch_query(x0, Features(query.initial[some], query.rematch[some]))
        again = self.matcher(estimate, key.rematch[some])
        if known is not None:
            off = self._off(again, flow[some], pair, corner)
            terms["distance"] = terms["distance"] + losses.distance(off, visible[some])
            terms["exact"] = terms["exact"] + losses.exact(again, flow[some], visible[some])
        if self.terms["domain"] or self.terms["reconstruction"]:
            own = net.exemplar(truth, self.data.exemplar_conditions(target).to(self.device))
            terms["domain"] = losses.domain(query.initial, own.initial, key.initial, match)
            terms["reconstruction"] = losses.reconstruction(self.matcher(query.initial, own.initial), truth)
        if self.terms["cycle"]:
            terms["cycle"] = losses.cycle_loss(match, source) + losses.cycle_loss(again, source[some])
        total = torch.stack([weight * terms[name] for name, weight in self.terms.items()]).sum()
        return total, {name: value.item() for name, value in terms.items()}

    def _off(self, match: Match, flow: Tensor, pair: Pair, corner: Sequence[int]) -> Float[Tensor, "b 2 y x"]:
        """How far a match is from a flow at every `EVERY`-th pixel from a corner, in widths."""
        found = match_flow(match, (pair.target.shape[-2], pair.target.shape[-1]), flow)
        return (found[..., corner[0] :: EVERY, corner[1] :: EVERY] - flow) / 2

    @torch.inference_mode()
    def evaluate(self, network: Any) -> dict[str, float]:
        """Held-out pairs, matched first and again: distance from their flow, or from their targets' latents."""
        index = torch.arange(min(HELD_OUT, len(self.held_out)))
        pair, known = self.held_out.pairs(index), self.held_out.flow(index)
        exemplar, target = self.held_out.numbers(index)
        source, truth = (self.held_out_latents[numbers].float().to(self.device) for numbers in (exemplar, target))
        query = network.features.condition(pair.condition.to(self.device))
        key = network.features.exemplar(source, self.held_out.exemplar_conditions(exemplar).to(self.device))
        match = self.matcher(query.initial, key.initial)
        again = self.matcher(network.features.rematch_query(match.apply(source), query), key.rematch)
        figures = {}
        for name, one in (("first", match), ("again", again)):
            if known is None:
                figures[f"{name} warp error"] = (one.apply(source) - truth).abs().mean().item()
                continue
            flow, counted = known[0], known[1] if pair.foreground is None else known[1] & pair.foreground
            off = (match_flow(one, (flow.shape[-2], flow.shape[-1]), one.query).cpu() - flow).norm(dim=1) / 2
            for radius in (0.025, 0.05, 0.1):
                figures[f"{name} pck@{radius}"] = (off[counted[:, 0]] < radius).float().mean().item()
            figures[f"{name} error in widths"] = off[counted[:, 0]].mean().item()
        return figures
