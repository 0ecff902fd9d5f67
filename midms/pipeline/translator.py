"""What translations ask of a composed method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

from torch import nn

from midms.compose.recipe import Recipe
from midms.core.domain import Domain
from midms.core.injection import Injection
from midms.core.protocols import Autoencoder, ConditionExtractor, FeatureExtractor, Finisher
from midms.loop import Moment, Policy


@runtime_checkable
class Translator(Protocol):
    """What is asked of a composed method."""

    @property
    def condition(self) -> ConditionExtractor:
        """Makes condition maps."""

    @property
    def autoencoder(self) -> Autoencoder:
        """Pictures to latents and back."""

    @property
    def size(self) -> int:
        """The side in pixels that is taken where none is asked for."""

    @property
    def features(self) -> FeatureExtractor:
        """Of conditions and exemplars."""

    @property
    def injection(self) -> Injection | None:
        """Puts something of the exemplar into layers of the network, or nothing does."""

    @property
    def finisher(self) -> Finisher | None:
        """Brings the result to the drawing's size, or nothing does."""

    @property
    def domain(self) -> Domain:
        """What its weights were trained on."""

    @property
    def recipe(self) -> Recipe:
        """What it was composed from."""

    @property
    def policy(self) -> Policy:
        """How matching and diffusion interleave."""

    @property
    def trajectory(self) -> Callable[..., Iterator[Moment]]:
        """(condition, exemplars, their conditions, generator, regions, hints, exemplar_regions) to the moments."""

    def modules(self) -> list[nn.Module]:
        """The parts that have weights, which say where and how precisely to compute."""
