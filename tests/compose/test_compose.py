"""Composing: what a preset's slots become, everything that can be wrong with them, and all of it at once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from standins import CHANNELS, Alike, Looking, Maps, Mixed, Pooled, pictures
from torch import Tensor, nn

from midms import Spec, build, register
from midms.compose.compose import BuildError
from midms.compose.presets import PRESETS
from midms.compose.recipe import Recipe
from midms.compose.slots import SLOTS
from midms.confidence.cycle import Cycle
from midms.core.protocols import Match
from midms.core.types import Context, Level
from midms.diffusion.levels import noise_levels
from midms.diffusion.solvers.ddim import DDIM
from midms.diffusion.solvers.ddpm import DDPM
from midms.loop import Parts, Policy
from midms.loop.multi_exemplar import NoMatch
from midms.loop.policy import NoGradient
from midms.matching.matchers.correlation import Correlation
from midms.matching.matchers.optimal_transport import OptimalTransport


class Scaled(Looking):
    """A denoiser with an argument."""

    def __init__(self, channels: int = CHANNELS, gain: float = 0.7) -> None:
        super().__init__()
        self.channels = channels
        self.gain.data.fill_(gain)


TOY = Recipe(
    name="toy",
    source="the stand-ins of these tests",
    slots={
        "condition": Spec("toy"),
        "features": Spec("toy"),
        "matcher": Spec("correlation", temperature=0.1),
        "confidence": Spec("toy"),
        "denoiser": Spec("toy", gain=0.5),
        "sampler": Spec("ddim", timesteps=(600, 400, 200), schedule="linear"),
        "autoencoder": Spec("toy"),
        "refiner": Spec("ddpm", timesteps=(100, 50), schedule="linear"),
    },
    loop={"rematch": (1,), "edit": "blend", "size": 16},
)


@pytest.fixture(autouse=True)
def toy(registries: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A preset of parts that cost nothing."""
    parts = {"condition": Maps, "features": Mixed, "confidence": Alike, "denoiser": Scaled, "autoencoder": Pooled}
    for kind, part in parts.items():
        register(kind, "toy")(part)
    monkeypatch.setitem(PRESETS, "toy", TOY)
    yield


def build_error(preset: str = "toy", /, **changes: Any) -> str:
    with pytest.raises(BuildError) as caught:
        build(preset, **changes)
    return str(caught.value)


def test_a_preset_as_it_is() -> None:
    pipe = build("toy")
    assert pipe.matcher == Correlation(temperature=0.1)
    assert pipe.sampler == DDIM(noise_levels((600, 400, 200), "linear")) and pipe.refiner == DDPM(
        noise_levels((100, 50), "linear")
    )
    assert (pipe.policy, pipe.size, pipe.name, pipe.notes) == (Policy((1,)), 16, "toy", ())
    assert pipe.denoiser.gain == 0.5 and not pipe.denoiser.training
    assert torch.isfinite(pipe(*pictures())).all()


def test_a_slot_by_name_by_spec_or_as_an_object() -> None:
    assert build("toy", matcher="correlation").matcher == Correlation(temperature=0.1), "by its own name, the preset's"
    assert build("toy", matcher="optimal-transport").matcher == OptimalTransport()
    assert build("toy", matcher=Spec("optimal-transport", epsilon=0.02)).matcher == OptimalTransport(epsilon=0.02)
    ready = Cycle(radius=0.3)
    assert build("toy", confidence=ready).confidence is ready
    module = Looking().train()
    assert build("toy", denoiser=module).denoiser is module and module.training, "a ready object is left as it is"


def test_the_loops_own_settings() -> None:
    pipe = build("toy", refiner=None, rematch=(0, 2), edit="context", size=32)
    assert (pipe.refiner, pipe.policy, pipe.size) == (None, Policy((0, 2), edit="context"), 32)


def test_another_sampler_keeps_what_the_denoiser_was_trained_for() -> None:
    assert build("toy", sampler="ddpm").sampler == DDPM(noise_levels((600, 400, 200), "linear"))
    assert build("toy", sampler=Spec("ddim", eta=1.0)).sampler == DDIM(noise_levels((600, 400, 200), "linear"), 1.0)
    shorter = build("toy", sampler=Spec("ddpm", timesteps=(500, 250)))
    assert shorter.sampler == DDPM(noise_levels((500, 250), "linear"))
    assert build("toy", refiner="ddim").refiner == DDIM(noise_levels((100, 50), "linear"))

    @register("sampler", "own-levels")
    class OwnLevels(DDIM):
        def __init__(self) -> None:
            super().__init__(noise_levels((900, 450)))

    assert build("toy", sampler="own-levels").sampler.levels.timesteps == (900, 450), "and nothing where none is taken"

    @register("sampler", "on-levels")
    class OnLevels(DDIM):
        """Takes levels, and is asked for by timesteps."""

    assert build("toy", sampler=Spec("on-levels", eta=0.5)).sampler == OnLevels(
        noise_levels((600, 400, 200), "linear"), 0.5
    )


def test_all_errors_at_once() -> None:
    message = build_error(
        "tooy",
        macher="correlation",
        matcher="corelation",
        features=Spec("toy", latent_chanels=3),
        denoiser=3,
        sampler=Spec("ddim", timesteps=(1, 2)),
        weights="/no/such/folder",
    )
    lines = message.splitlines()
    assert lines[0] == "build('tooy'): 7 errors:" and len(lines) == 8
    expected = (
        r"no preset is called 'tooy'\. Did you mean 'toy', .*\? `midms list preset` shows all \d+\.",
        r"no slot or setting is called 'macher'\. Did you mean 'matcher', .*\? help\(midms\.build\) shows all",
        r"weights: there is no folder /no/such/folder",
        r"matcher: no matcher is called 'corelation'\. Did you mean 'correlation', .*\?",
        r"features: .*'latent_chanels'\. Did you mean 'latent_channels'.* Signature: toy\(latent_channels: int = 5",
        r"denoiser: int is no Denoiser: it lacks __call__",
        r"sampler: timesteps must fall",
    )
    for pattern in expected:
        assert re.search(f"^- {pattern}", message, re.MULTILINE), (pattern, message)


def test_a_preset_that_does_not_exist_disagrees_with_nothing() -> None:
    assert "\n" not in build_error("tooy", condition=Maps(channels=9), rematch=(1,))
    message = build_error("tooy", condition=Maps(channels=9), features=Mixed())
    assert "disagree on condition channels: condition 9, features 2" in message


@pytest.mark.usefixtures("unchecked")
def test_errors_of_settings_and_between_parts_at_once() -> None:
    message = build_error(autoencoder=Pooled(channels=3, stride=8), condition=Maps(channels=1), rematch=(7,), size=3)
    assert "parts disagree on latent channels: autoencoder 3, features 5, denoiser 5" in message
    assert "parts disagree on condition channels: condition 1, features 2" in message
    assert "- loop: rematch must be levels out of [0, 1, 2], got (7,)" in message
    assert "- loop: size must be at least 16 pixels, got 3" in message
    message = build_error(macher="x", matcher="corelation", rematch=(9,), size=-1, autoencoder=Pooled(channels=3))
    for part in ("'macher'", "'corelation'", "got (9,)", "got -1", "latent channels: autoencoder 3, features 5"):
        assert part in message, (part, message)
    message = build_error(edit="blnd", macher="x")
    assert "loop: edit must be one of blend, replace, guide, context, adain, got 'blnd'" in message
    assert build_error(sampler=Spec("ddim", timesteps=(300,))).endswith("levels out of [0], got (1,)")


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_name_or_number_at_all() -> None:
    for preset in (None, ["midm-faces"], 3):
        with pytest.raises(BuildError, match=r"no preset is called"):
            build(preset)  # type: ignore[arg-type]
    assert re.search(r"weights: .*int", build_error(weights=3))
    assert "Signature: correlation(temperature: float" in build_error(matcher=Spec("correlation", temperature="hot"))


class OneArgument:
    def __call__(self, query: Tensor) -> Tensor:
        return query


class Halting:
    stride = 4

    def encode(self, image: Tensor) -> Tensor:
        return image


class Unmade(nn.Module):
    """A module without a forward."""


class Bare(DDIM):
    """A sampler whose levels cannot add noise."""

    levels = (1, 2)

    def __init__(self) -> None:
        """No levels are given."""


@pytest.mark.parametrize(
    ("slot", "part", "why"),
    [
        ("matcher", Correlation, "Correlation is a class, expected an instance of it"),
        ("matcher", None, "NoneType is no Matcher: it lacks __call__"),
        ("matcher", OneArgument(), "OneArgument is no Matcher: cannot call __call__(query, key)"),
        ("denoiser", nn.Linear(2, 2), "Linear is no Denoiser: cannot call __call__(x, level, context)"),
        ("denoiser", Unmade(), "Unmade is no Denoiser: cannot call __call__(x, level, context)"),
        ("autoencoder", Halting(), "Halting is no Autoencoder: it lacks decode"),
        ("refiner", Cycle(), "Cycle is no Sampler: it lacks levels, predict, advance"),
        ("sampler", Bare(), "Bare is no Sampler: expected midms.core.types.Levels as its levels, got (1, 2)"),
    ],
)
def test_a_part_must_fit_its_slot(slot: str, part: Any, why: str) -> None:
    assert build_error(**{slot: part}) == f"build('toy'): {slot}: {why}"


def test_whatever_can_be_called_fits() -> None:
    def denoiser(x: Tensor, level: Level, context: Context, *, extra: int = 0) -> Tensor:
        return context.warp

    pipe = build("toy", denoiser=denoiser, matcher=lambda *features: Correlation()(*features))
    assert torch.isfinite(pipe(*pictures())).all()


def test_a_broken_part_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    @register("matcher", "out-of-luck")
    def unlucky() -> None:
        raise RuntimeError("no CUDA")

    with pytest.raises(BuildError, match=r"matcher: .*'out-of-luck' cannot be made: RuntimeError: no CUDA$") as caught:
        build("toy", matcher="out-of-luck")
    broken = caught.value.__cause__
    assert broken and isinstance(broken.__cause__, RuntimeError), "with the place in it, for whoever wrote the part"


class Weighty(nn.Module):
    """Confidence that is learned, whatever the match."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        return torch.sigmoid(self.bias).expand_as(match.similarity())


def test_guiding_wants_a_confidence_with_a_gradient() -> None:
    guided = {"rematch": (0,), "edit": "guide"}
    for confidence in ("always", Cycle()):
        message = build_error(confidence=confidence, **guided)
        assert re.search("confidence does not go with the matcher: guide: this confidence has no gradient", message)
    assert "matches of Nearest have no gradient" in build_error(matcher="nearest", confidence=Weighty(), **guided)
    with pytest.raises(NoGradient):  # but for its own weights, which it does not declare
        build("toy", confidence=Weighty(), **guided)(*pictures())
    assert build("toy", confidence=Cycle(softness=0.02), **guided).policy.edit == "guide"
    with pytest.warns(UserWarning, match="edit: 'guide' changes nothing without rematch"):
        assert build("toy", confidence=Cycle(), rematch=(), edit="guide").policy.rematch == (), "which never guides"


def test_parts_without_trained_weights_are_said_to_be_worth_nothing() -> None:
    with pytest.warns(UserWarning, match="weights as constructed; .* the result is worthless until they are trained"):
        build("toy", confidence="calibrated")


def test_settings_that_change_nothing_are_warned_of() -> None:
    idle = {"edit": "guide", "match_on": "latent", "confidence_guidance": 0.2}
    with pytest.warns(UserWarning) as noted:
        build("toy", rematch=(), **idle)
    assert [str(one.message) for one in noted] == [
        "edit: 'guide' changes nothing without rematch",
        "match_on: 'latent' changes nothing without rematch",
        "confidence_guidance: 0.2 changes nothing without rematch",
    ]
    with pytest.warns(UserWarning, match="confidence_guidance: 0.2 changes nothing without edit guide"):
        build("toy", rematch=(0,), edit="blend", confidence_guidance=0.2)
    build("toy", rematch=(0,), confidence=Cycle(softness=0.02), **idle)  # where all of them count, nothing is said


def test_a_matcher_must_give_a_match_on_the_grid_of_its_query() -> None:
    class Scores:
        def __call__(self, query: Tensor, key: Tensor) -> Tensor:
            return query

    class Backwards:
        def __call__(self, query: Tensor, key: Tensor) -> Any:
            return Correlation()(key, query)

    for matcher, message in ((Scores(), "Tensor lacks grid"), (Backwards(), r"between cells .*, expected \(")):
        pipe = build("toy", matcher=matcher)
        with pytest.raises(NoMatch, match=f"{type(matcher).__name__} gives what is no match: .*{message}"):
            pipe(*pictures())


def test_a_slot_is_a_field_of_the_loops_parts() -> None:
    assert list(SLOTS) == [field.name for field in dataclasses.fields(Parts)]
