"""Code of somebody else, which `make types` checks by `mypy --strict`: nothing that midms gives is without a type."""

from dataclasses import dataclass

from PIL import Image
from torch import Tensor
from typing_extensions import assert_type

import midms
from midms.core.protocols import Match, Matcher
from midms.matching.matches.factored import FactoredMatch


@midms.register("matcher", "plain")
@dataclass(frozen=True)
class Plain:
    """A softmax of products."""

    scale: float = 1.0

    def __call__(self, query: Tensor, key: Tensor) -> FactoredMatch:
        """Match features [b d h w] to features [b d H W]."""
        return FactoredMatch(query, key, scale=self.scale)


def a_day(pipe: midms.Pipeline, matcher: Matcher = Plain(2.0)) -> float:
    """What people call, and what it gives."""
    assert_type(midms.build("midm-faces", matcher=midms.Spec("plain", scale=2.0)), midms.Pipeline)
    assert_type(midms.from_pretrained("mine"), midms.Pipeline)
    assert_type(midms.available("matcher"), list[str])
    assert_type(Plain(), Plain)
    result = pipe.translate("sketch.png", "photo.jpg", seed=1)
    assert_type(result, midms.Translation)
    assert_type(result.image, Image.Image)
    assert_type(result.flow, Tensor)
    assert_type(result.at(1, 2).confidence, float)
    assert_type(pipe(result.flow, result.flow), Tensor)
    assert_type(pipe.matcher(result.flow, result.flow), Match)
    assert_type([moment.confidence for moment in pipe.trajectory(result.flow, result.flow)], list[Tensor])
    written: int = midms.translate_pairs(pipe, "pairs.csv", "results").written
    found = midms.evaluate("results", "photos")
    table: str = found.table() + midms.ablate("midm-faces", {"matcher": ["plain"]}, out="which").table()
    pipe.translate("sketch.png", "photo.jpg", sead=1)  # type: ignore[call-arg]
    return written + len(table)
