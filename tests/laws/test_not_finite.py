"""Nothing that is not finite leaves as a picture: the part that gave it is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from standins import ToyPipeline, pictures
from torch import Tensor

from midms import build, cli, register
from midms.confidence.always import Always
from midms.confidence.cycle import Cycle
from midms.confidence.entropy import Entropy
from midms.confidence.peak import Peak
from midms.core.errors import NotFinite
from midms.core.types import Features
from midms.diffusion.levels import noise_levels
from midms.diffusion.solvers.ddim import DDIM
from midms.features.midm import MidmFeatures
from midms.images import to_pil
from midms.loop import Policy
from midms.matching.matchers.correlation import Correlation

BAD = [float("nan"), float("inf"), float("-inf")]


class Ruined:
    """What a part gave, with one number in it exchanged."""

    def __init__(self, whole: Any, number: float) -> None:
        self.whole, self.number = whole, number

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.whole, name)
        return ruined(value, self.number) if name in ("x0", "weight") else value

    def transpose(self) -> Any:
        return self.whole.transpose()

    def similarity(self) -> Tensor:
        return self.whole.similarity()

    def apply(self, values: Tensor) -> Tensor:
        return ruined(self.whole.apply(values), self.number)


def ruined(value: Tensor, number: float) -> Tensor:
    return value.flatten().index_fill(0, torch.tensor([3]), number).view_as(value)


class Spoilt:
    """A part one of whose methods gives a number that is none."""

    def __init__(self, part: object, method: str, number: float) -> None:
        self.part, self.method, self.number = part, method, number

    def __getattr__(self, name: str) -> Any:
        return self._spoil if name == self.method else getattr(self.part, name)

    def __call__(self, *arguments: Any) -> Any:
        return self._spoil(*arguments) if self.method == "__call__" else self.part(*arguments)  # type: ignore[operator]

    def _spoil(self, *arguments: Any) -> Any:
        given = getattr(self.part, self.method)(*arguments)
        if isinstance(given, Features):
            return dataclasses.replace(given, initial=ruined(given.initial, self.number))
        return ruined(given, self.number) if isinstance(given, Tensor) else Ruined(given, self.number)


SPOILT = {
    "autoencoder": "decode",
    "matcher": "__call__",
    "confidence": "__call__",
    "denoiser": "__call__",
    "sampler": "predict",
}

METHODS = {
    "maps of pictures": ("condition", "photo"),
    "noisy latents": ("sampler", "advance"),
    "autoencoder's latents": ("autoencoder", "encode"),
    "features of the condition": ("features", "condition"),
    "features of the exemplar": ("features", "exemplar"),
    "features to match again": ("features", "rematch_query"),
}


@pytest.mark.parametrize("number", BAD)
@pytest.mark.parametrize("slot", [*SPOILT, *METHODS])
def test_a_part_that_gives_no_number_is_named(unchecked: None, slot: str, number: float) -> None:
    pipe: Any = ToyPipeline(policy=Policy((0,)))
    slot, method = METHODS.get(slot, (slot, SPOILT.get(slot, "")))
    spoiled = pipe.replace(**{slot: Spoilt(getattr(pipe, slot), method, number)})
    with pytest.raises(NotFinite, match=f"no picture: .* numbers from the {slot} .* are not finite"):
        spoiled(*pictures())
    assert pipe(*pictures()).isfinite().all()


class Answers(Ruined):
    """A match with one number of an answer exchanged."""

    def __init__(self, whole: Any, question: str) -> None:
        super().__init__(whole, float("nan"))
        self.question = question

    def __getattribute__(self, name: str) -> Any:
        if name in ("similarity", "apply", "peak", "entropy") and name != self.question:
            return getattr(self.whole, name)
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        answer = getattr(self.whole, name)
        return (lambda: ruined(answer(), self.number)) if name == self.question else answer

    def similarity(self) -> Tensor:
        return ruined(self.whole.similarity(), self.number)


@dataclasses.dataclass(frozen=True)
class Answering:
    """A matcher whose matches give NaN where they are asked a question."""

    question: str
    matcher: Any

    def __call__(self, query: Tensor, key: Tensor) -> Any:
        return Answers(self.matcher(query, key), self.question)


@pytest.mark.parametrize(
    ("question", "confidence"),
    [
        ("similarity", None),
        ("apply", Cycle(softness=0.1)),
        ("peak", Peak(softness=0.1)),
        ("entropy", Entropy(softness=0.1)),
        ("similarity", Always()),
    ],
)
def test_the_matcher_is_named_by_whatever_it_gives(unchecked: None, question: str, confidence: Any) -> None:
    """Not the confidence, which was asked of it; several exemplars are also chosen among by it."""
    pipe: Any = ToyPipeline()
    pipe = pipe.replace(confidence=confidence or pipe.confidence, matcher=Answering(question, pipe.matcher))
    condition, exemplar = pictures()
    several = isinstance(confidence, Always)
    with pytest.raises(NotFinite, match=r"numbers from the matcher \(Answering\)"):
        pipe(condition, [exemplar, exemplar.flip(0)] if several else exemplar)


def test_noise_of_ones_own_is_named() -> None:
    with pytest.raises(ValueError, match="generator gave numbers that are not finite"):
        ToyPipeline()(*pictures(), generator=lambda shape: torch.full(shape, float("nan")))


def test_weights_of_features_that_are_no_numbers_are_named() -> None:
    """Also where what they give is made unit length afterwards."""
    pipe = build("midm-faces")
    with torch.no_grad():
        next(pipe.features.parameters()).view(-1)[0] = float("nan")
    numbers = torch.Generator().manual_seed(0)
    condition, exemplar = (torch.rand(1, channels, 64, 64, generator=numbers) for channels in (2, 3))
    with pytest.raises(NotFinite, match=r"numbers from the features \(PyramidFeatures\) are not finite"):
        pipe(condition, exemplar)
    released = MidmFeatures(2, 4, 4, width=8, widths=(8, 8, 8), hidden=8, blocks=1)
    with torch.no_grad():
        released.theta.bias[0] = float("nan")
    assert released.condition(condition).initial.isnan().any()


@pytest.mark.parametrize("number", BAD)
def test_no_picture_is_made_of_it(number: float) -> None:
    image = torch.zeros(1, 3, 4, 4)
    image[0, 0, 0, 0] = number
    with pytest.raises(NotFinite, match="no picture: 1 of 48 numbers are not finite"):
        to_pil(image)


def test_the_last_pass_is_watched_too(unchecked: None) -> None:
    pipe = ToyPipeline(refiner=Spoilt(DDIM(noise_levels((90, 30))), "predict", float("nan")))
    with pytest.raises(NotFinite, match="the refiner"):
        pipe(*pictures())


def test_the_command_line_says_so_and_writes_nothing(
    registries: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @register("matcher", "void")
    class Nothing(Correlation):
        def __call__(self, query: Tensor, key: Tensor) -> Any:
            return Ruined(super().__call__(query, key), float("nan"))

    Image.effect_noise((80, 80), 99).convert("RGB").save(tmp_path / "a.png")
    picture, out = str(tmp_path / "a.png"), tmp_path / "out.png"
    options = ["--condition", picture, "--exemplar", picture, "--out", str(out), "--matcher", "void"]
    assert cli.main(["translate", *options]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "not finite" in line]
    assert "from the matcher (Nothing)" in line and not out.exists()
