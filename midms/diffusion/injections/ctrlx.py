"""Ctrl-X: structure from one picture, appearance from another, both inside of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from midms.core.attention import Attention, Visitor, visited
from midms.core.injection import LayerMatching, References, WarpFn
from midms.core.types import Context, Level
from midms.diffusion.injections.common import (
    Memory,
    check_parts,
    check_picture_alone,
    check_share,
    grid_of,
    layers_of,
    remembered,
    to_heads,
    to_maps,
)


@dataclass(frozen=True)
class CtrlX:
    """Lin et al. 2024 (arXiv:2406.07540), sec. 4; github.com/genforce/ctrl-x.

    Appearance: what a layer is given, its tokens brought to mean 0 and deviation 1, gets the mean M and the deviation S
    of what it is matched to: h = S norm(h) + M, M = P V, S = sqrt(P V^2 - M^2), V the exemplar's and P between queries
    and keys of normalised tokens; as far as the match is trusted. Structure: results of some modules, and queries and
    keys of some layers, are those of the condition's picture.

    To choose with U-Nets, where the structure of the condition has to be kept.

    Args:
        matcher: from queries and keys of each head to a match; by default that of attention itself. `midms.create` and
            `build` take names and `Spec`s, here and below.
        confidence: in it.
        appearance_layers: names of blocks whose self-attention is given another appearance; by default here and below
            those of the released code in SDXL.
        structure_layers: names of blocks whose queries and keys are the structure's.
        structure_results: names of modules whose result is the structure's.
        appearance: share of the levels, from the first on, with another appearance.
        structure: the same, with the structure's.

    Raises:
        ValueError: an argument is not as it should be, or the network has no such layers.
    """

    nested: ClassVar[Mapping[str, str]] = {"matcher": "matcher", "confidence": "confidence"}
    matcher: Any = "attention"
    confidence: Any = "always"
    appearance_layers: tuple[str, ...] = (
        *("down_blocks.1", "down_blocks.2", "up_blocks.0.attentions.1", "up_blocks.0.attentions.2"),
        *("up_blocks.1.attentions.0", "up_blocks.1.attentions.1"),
    )
    structure_layers: tuple[str, ...] = ("up_blocks.0",)
    structure_results: tuple[str, ...] = ("up_blocks.0.resnets.0",)
    appearance: float = 0.6
    structure: float = 0.6

    def __post_init__(self) -> None:
        check_parts(matcher=self.matcher, confidence=self.confidence)
        check_share(appearance=self.appearance, structure=self.structure)

    def check(self, denoiser: Any) -> None:
        """Find out whether the network has these layers and modules.

        Raises:
            ValueError: it has not.
        """
        check_picture_alone(denoiser)
        layers_of(denoiser, self.appearance_layers, "appearance_layers")
        layers_of(denoiser, self.structure_layers, "structure_layers")
        known = dict(denoiser.network.named_modules())
        if lacking := [name for name in self.structure_results if name not in known]:
            raise ValueError(f"structure_results: the network has no {', '.join(lacking)}")

    def __call__(
        self,
        denoiser: Any,
        x: Float[Tensor, "b c h w"],
        level: Level,
        context: Context,
        references: References,
        matching: LayerMatching,
    ) -> Float[Tensor, "b c h w"]:
        """x0 of a noisy latent, as the denoiser predicts it with another structure and appearance."""
        to_structure = references.done < self.structure
        appearance = layers_of(denoiser, self.appearance_layers) if references.done < self.appearance else []
        structured = layers_of(denoiser, self.structure_layers) if to_structure else []
        results = self.structure_results if to_structure else ()
        if not (appearance or structured or results):
            return denoiser(x, level, context)  # type: ignore[no-any-return]
        memories = [remembered(denoiser, one, level, context, appearance) for one in references.exemplars if appearance]
        structure = None
        if structured or results:
            structure = remembered(denoiser, references.structure, level, context, structured, results)
        latent = (x.shape[-2], x.shape[-1])
        visitor = _Transfer(self, appearance, structured, memories, structure, matching, latent, len(x))
        with visited(denoiser.network, visitor, dict.fromkeys([*appearance, *structured]), results):
            return denoiser(x, level, context)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Transfer(Visitor):
    """One pass: the last pictures of the batch, which have the positive prompt, are changed."""

    settings: CtrlX
    appearance: Sequence[str]
    structured: Sequence[str]
    exemplars: Sequence[Memory]
    structure: Memory | None
    matching: LayerMatching
    latent: tuple[int, int]
    batch: int

    def given(self, layer: str, module: Any, hidden: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Another appearance of what a layer is given."""
        if layer not in self.appearance:
            return hidden
        own = hidden[-self.batch :]
        normed = normalized_tokens(own)
        shaped = normed
        if self.structure is not None and layer in self.structured:
            shaped = normalized_tokens(self.structure.layers[layer].hidden)
        others = [memory.layers[layer] for memory in self.exemplars]
        keys = [to_maps(_heads(module.to_k(normalized_tokens(o.hidden)), module.heads), o.grid) for o in others]
        values = [to_maps(_heads(o.hidden, module.heads), o.grid) for o in others]
        query = _heads(module.to_q(shaped), module.heads)
        grid = grid_of(query.shape[2], self.latent)
        made = self.settings.matcher, self.settings.confidence
        warp, trusted = self.matching.exemplars(*made, to_maps(query, grid), keys)
        mean, deviation = mean_and_deviation(warp, values)
        plain, still = (to_maps(_heads(one, module.heads), grid) for one in (own, normed))
        moved = torch.lerp(plain, deviation * still + mean, trusted.to(plain))
        return torch.cat([hidden[: -self.batch], rearrange(to_heads(moved, query), "b k n d -> b n (k d)")])

    def attend(self, layer: str, attention: Attention) -> Float[Tensor, "b heads n d"] | None:
        """Queries and keys of the structure."""
        if self.structure is None or layer not in self.structured:
            return None
        shape = self.structure.layers[layer].attention
        kept = -self.batch
        query, key = torch.cat([attention.query[:kept], shape.query]), torch.cat([attention.key[:kept], shape.key])
        return Attention(query, key, attention.value).attended()

    def result(self, module: str, output: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """What the structure's pass gave here."""
        assert self.structure is not None
        return torch.cat([output[: -self.batch], self.structure.results[module]])


def mean_and_deviation(warp: WarpFn, values: Sequence[Float[Tensor, "b d _ _"]]) -> tuple[Tensor, Tensor]:
    """Of what each cell takes, feature by feature: M = P V and S = sqrt(P V^2 - M^2), of one product with P.

    Args:
        warp: values under the match.
        values: on the grid of each exemplar.
    """
    mean, square = warp([torch.cat([one, one.square()], 1) for one in values]).chunk(2, 1)
    return mean, (square - mean.square()).relu().sqrt()


def normalized_tokens(hidden: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
    """Each feature with mean 0 and deviation 1 over the tokens; 0 for one that is the same everywhere."""
    deviation = hidden.std(1, keepdim=True)
    return (hidden - hidden.mean(1, keepdim=True)) / deviation.where(deviation > 0, 1)


def _heads(tokens: Float[Tensor, "b n d"], heads: int) -> Float[Tensor, "b heads n e"]:
    return rearrange(tokens, "b n (k d) -> b k n d", k=heads)
