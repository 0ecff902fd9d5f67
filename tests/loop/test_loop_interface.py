"""What the loop takes, refuses and says of itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from standins import STRIDE, Alike, Mixed, ToyPipeline, pictures
from torch import Tensor, nn

from midms.compose.recipe import Recipe
from midms.confidence.calibrated import Calibrated
from midms.core.errors import WrongAnswer
from midms.core.types import Features
from midms.diffusion.levels import noise_levels
from midms.diffusion.solvers.ddim import DDIM
from midms.loop import Policy
from midms.loop.multi_exemplar import NoConfidence
from midms.matching.matchers.correlation import Correlation
from midms.matching.matchers.optimal_transport import OptimalTransport
from midms.pipeline.build import build
from midms.pipeline.pipeline import Pipeline


def good() -> dict[str, Tensor]:
    condition, exemplar = pictures()
    return {"condition": condition, "exemplar": exemplar}


BAD_INPUTS: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Any]], str]] = {
    "three dimensions": (
        lambda g: {"condition": g["condition"][0]},
        r"condition is .*\(2, 16, 24\), expected floats \[b, 2",
    ),
    "channels": (
        lambda g: {"exemplar": g["exemplar"][:, :2]},
        r"exemplar is .*\(2, 2, 20, 12\), expected floats \[b, 3",
    ),
    "bytes": (lambda g: {"exemplar": g["exemplar"].byte()}, r"exemplar is torch.uint8"),
    "batch": (lambda g: {"exemplar": g["exemplar"][:1]}, "exemplar has a batch of 1, expected 2"),
    "no batch": (lambda g: {k: v[:0] for k, v in g.items()}, "condition has a batch of 0, expected at least one"),
    "stride": (
        lambda g: {"condition": g["condition"][..., 1:]},
        r"condition is \(16, 23\) pixels, expected multiples of 4",
    ),
    "too small": (lambda g: {"exemplar": g["exemplar"][..., :4]}, r"exemplar is \(20, 4\) pixels.* from 8 on"),
    "precision": (
        lambda g: {"exemplar": g["exemplar"].float()},
        "exemplar is torch.float32 on cpu, expected torch.float64",
    ),
    "not a number": (lambda g: {"exemplar": g["exemplar"] / 0}, "exemplar holds numbers that are not finite"),
    "its size": (
        lambda g: {"exemplar_condition": g["condition"]},
        r"exemplar_condition is \(16, 24\) .* exemplar's \(20, 12\)",
    ),
    "its channels": (
        lambda g: {"exemplar_condition": g["exemplar"]},
        r"exemplar_condition is .*, expected floats \[b, 2",
    ),
    "none": (lambda g: {"exemplar": []}, "exemplar is an empty list, expected a batch of pictures"),
    "one of several": (
        lambda g: {"exemplar": [g["exemplar"], g["exemplar"][:, :2]]},
        r"exemplar\[1\] is .*\(2, 2, 20, 12\), expected floats \[b, 3",
    ),
    "maps of several": (
        lambda g: {"exemplar": [g["exemplar"]] * 2, "exemplar_condition": [g["exemplar"][:, :2]]},
        "exemplar_condition has 1 maps, expected one for each of 2 exemplars",
    ),
    "regions": (
        lambda g: {"exemplar": [g["exemplar"]] * 2, "regions": [g["condition"][:, :1]]},
        "regions has 1 masks, expected one for each of 2 exemplars",
    ),
    "a region beyond 1": (
        lambda g: {"exemplar": [g["exemplar"]] * 2, "regions": [1 + g["condition"][:, :1].round()] * 2},
        r"regions\[0\] goes from 1 to 2, expected numbers in \[0, 1\]",
    ),
    "a region below 0": (
        lambda g: {"exemplar": [g["exemplar"]] * 2, "regions": [0.5 - g["condition"][:, :1].round()] * 2},
        r"regions\[0\] goes from -0.5 to 0.5, expected numbers in \[0, 1\]",
    ),
    "a region of another size": (
        lambda g: {"exemplar": [g["exemplar"]] * 2, "regions": [g["condition"][:, :1, 4:]] * 2},
        r"regions\[0\] is \(12, 24\) pixels, expected the condition's \(16, 24\)",
    ),
    "a region that is no number": (
        lambda g: {"exemplar": [g["exemplar"]] * 2, "regions": [g["condition"][:, :1] / 0] * 2},
        r"regions\[0\] holds numbers that are not finite",
    ),
    "regions of one exemplar": (
        lambda g: {"regions": [g["condition"][:, :1]]},
        "^regions change nothing with one exemplar, expected several exemplars, or regions=None$",
    ),
    "regions of one exemplar in a list": (
        lambda g: {"exemplar": [g["exemplar"]], "regions": []},
        "^regions change nothing with one exemplar",
    ),
    "an integer": (
        lambda g: {"generator": 3},
        "generator must be a torch.Generator, a list of them or a callable, got 3",
    ),
    "draws": (
        lambda g: {"generator": lambda shape: torch.zeros(1)},
        r"generator gave \(1,\) when asked for \(2, 5, 4, 6\)",
    ),
    "no draws": (lambda g: {"generator": lambda shape: None}, r"gave NoneType when asked for \(2, 5, 4, 6\)"),
    "counts to 255": (
        lambda g: {"exemplar": 127.5 * (g["exemplar"] + 1)},
        r"^exemplar goes from 0\.\d+ to 25\d, expected numbers in \[-1, 1\]$",
    ),
    "standardised as networks of ImageNet are": (
        lambda g: {"exemplar": [g["exemplar"], (g["exemplar"] + 1 - 2 * 0.456) / (2 * 0.224)]},
        r"^exemplar\[1\] goes from -2\.0\d* to 2\.\d+, expected numbers in \[-1, 1\]$",
    ),
    "a map as a picture": (
        lambda g: {"condition": 2 * g["condition"] - 1},
        r"^condition goes from -(1|0\.99\d*) to (1|0\.99\d*), expected numbers in \[0, 1\]$",
    ),
    "the exemplar's map as a picture": (
        lambda g: {"exemplar_condition": 2 * g["exemplar"][:, :2].abs() - 1},
        r"^exemplar_condition goes from -\d\S* to \d\S*, expected numbers in \[0, 1\]$",
    ),
    "the map of one of several as bytes count": (
        lambda g: {
            "exemplar": [g["exemplar"]] * 2,
            "exemplar_condition": [g["exemplar"][:, :2].abs(), 255 * g["exemplar"][:, :2].abs()],
        },
        r"^exemplar_condition\[1\] goes from \d\S* to 25\d, expected numbers in \[0, 1\]$",
    ),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("spoil", "message"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_bad_input_is_named(spoil: Callable[[dict[str, Tensor]], dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ToyPipeline()(**(good() | spoil(good())))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_what_resizing_overshoots_is_taken(mode: str) -> None:
    numbers = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 5, 8, 8, generator=numbers, dtype=torch.float64).round()
    fine = F.interpolate(coarse, (32, 32), mode=mode, antialias=True)
    assert (mode == "bicubic") == bool(fine.amax() > 1.05 and fine.amin() < -0.05)
    assert ToyPipeline()(fine[:, :2], 2 * fine[:, 2:] - 1, exemplar_condition=fine[:, :2]).isfinite().all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda value: value + 7, r"numbers from \S+ to \S+, expected them in \[0, 1\]"),
        (lambda value: value - 2, r"numbers from -\S+ to \S+, expected them in \[0, 1\]"),
        (lambda value: value[..., :1], r"torch.float64 \(2, 1, 4, 1\), expected floats \(2, 1, 4, 6\)"),
        (lambda value: value > 0.5, r"torch.bool \(2, 1, 4, 6\), expected floats \(2, 1, 4, 6\)"),
        (lambda value: value.numpy(), r"ndarray, expected floats \(2, 1, 4, 6\)"),
    ],
)
def test_what_is_no_confidence_is_refused(unchecked: None, spoil: Callable[[Any], Any], message: str) -> None:
    class Mine:
        def __call__(self, match: Any) -> Any:
            return spoil(Alike()(match))

    condition, exemplar = pictures()
    with pytest.raises(NoConfidence, match=f"^confidence: Mine gives {message}$"):
        ToyPipeline(confidence=Mine())(condition, exemplar)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda found: None, "NoneType, expected midms.core.types.Features"),
        (lambda found: Features(None, found.rematch), r"NoneType as initial, expected floats \[b, channels, height, w"),  # type: ignore[arg-type]
        (
            lambda found: Features(found.initial, found.rematch.long()),
            r"torch.int64 \(2, .* as rematch, expected floats",
        ),
    ],
)
def test_what_are_no_features_is_refused(unchecked: None, spoil: Callable[[Any], Any], message: str) -> None:
    class Mine(Mixed):
        def condition(self, condition: Any) -> Any:
            return spoil(super().condition(condition))

    with pytest.raises(ValueError, match=f"^features: Mine gives {message}"):
        ToyPipeline(features=Mine())(*pictures())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x0: x0[..., 1:], r"a tensor \(2, \d+, 4, 5\), expected one like what it was given, \(2, \d+, 4, 6\)"),
        (lambda x0: x0.numpy(), "ndarray, expected one like"),
    ],
)
def test_what_is_no_prediction_is_refused(unchecked: None, spoil: Callable[[Any], Any], message: str) -> None:
    class Mine(nn.Module):
        def forward(self, x: Any, level: Any, context: Any) -> Any:
            return spoil(x)

    with pytest.raises(WrongAnswer, match=f"^denoiser: Mine gives {message}"):
        ToyPipeline(denoiser=Mine())(*pictures())


@pytest.mark.usefixtures("unchecked")
def test_settings_are_checked_together() -> None:
    with pytest.raises(ValueError, match=r"rematch must be levels out of \[0, 1, 2\], got \(1, 3\); size .* got 7"):
        ToyPipeline(policy=Policy((1, 3)), size=7)
    with pytest.raises(
        ValueError,
        match=r"rematch must be a tuple of levels, got \[0\]; edit .*; match_on .*; confidence_guid.*; style",
    ):
        ToyPipeline().replace(rematch=[0], edit="blnd", match_on=0, confidence_guidance=-1, style=2)
    with pytest.raises(ValueError, match=r"matcher: expected an object, got .*; confidence: Calibrated is a class"):
        ToyPipeline().replace(matcher="nearest", confidence=Calibrated, style=0.3)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        *[("style", value, "a number between 0 and 1") for value in ("a", None, True, float("nan"))],
        *[
            ("confidence_guidance", value, "a finite number from 0 on")
            for value in ("x", None, float("inf"), float("nan"))
        ],
        ("rematch", (True,), "a tuple of levels"),
    ],
)
def test_settings_of_another_kind_are_named(setting: str, value: object, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{setting} must be {expected}, got {re.escape(repr(value))}$"):
        Policy(**{setting: value})  # type: ignore[arg-type]


def test_moving_and_describing() -> None:
    pipe = ToyPipeline(confidence=Calibrated(), policy=Policy((1,)), recipe=Recipe("mine", notes=("random weights",)))
    assert pipe.modules() == [pipe.confidence, pipe.denoiser]
    assert pipe.to(torch.float32) is pipe
    assert {p.dtype for module in pipe.modules() for p in module.parameters()} == {torch.float32}
    text = repr(pipe)
    parts = (
        "Maps(channels=2)",
        "DDIM(levels=Levels(timesteps=(600, 400, 200)",
        "Looking (1 parameters)",
        "refiner     None",
    )
    for shown in ("mine", *parts, "rematch=(1,)", "note: random weights"):
        assert shown in text
    changed = pipe.replace(rematch=(), matcher=OptimalTransport())
    assert changed.policy.rematch == () and changed.denoiser is pipe.denoiser and pipe.policy.rematch == (1,)


def test_only_what_can_be_computed_in_is_moved_to() -> None:
    pipe = build("midm-faces")
    with pytest.raises(ValueError, match=r"^dtype: expected one of torch.float16, .*, got torch.float8_e4m3fn$"):
        pipe.to(torch.float8_e4m3fn)
    with pytest.raises(ValueError, match=r"^condition is on the meta device"):
        ToyPipeline()(*(one.to("meta") for one in pictures()))


def test_of_many_numbers_a_description_shows_the_ends() -> None:
    betas = tuple((10 + i) / 10_000 for i in range(400))
    few, many = noise_levels((300, 200, 100), betas), noise_levels(tuple(range(399, 0, -3)), betas)
    text = repr(ToyPipeline(sampler=DDIM(few), refiner=DDIM(many)))
    sampler, refiner = (line for line in text.splitlines() if "DDIM" in line)
    made = "schedule=(0.001, ..., 0.0409: 400 numbers), start=None), eta=0.0)"
    assert sampler == f"  sampler     DDIM(levels=Levels(timesteps=(300, 200, 100), {made}"
    assert refiner == f"  refiner     DDIM(levels=Levels(timesteps=(399, ..., 3: 133 numbers), {made}"


def test_parts_need_not_know_of_us() -> None:
    """Objects that inherit nothing and import nothing of ours, lambdas among them."""

    class Everything:
        stride, channels, levels = STRIDE, 2, noise_levels((500, 250))
        photo = drawing = staticmethod(lambda image, size=None: image[:, :2])
        encode = staticmethod(lambda image: F.avg_pool2d(image, STRIDE))
        decode = staticmethod(lambda latent: F.interpolate(latent, scale_factor=4.0))
        condition = staticmethod(lambda c: Features(F.avg_pool2d(c, STRIDE), F.avg_pool2d(c, STRIDE)))
        exemplar = staticmethod(lambda z, c: Features(z[:, :2], z[:, :2]))
        rematch_query = staticmethod(lambda x0, query: x0[:, :2])
        predict, advance = (getattr(DDIM(noise_levels((500, 250))), name) for name in ("predict", "advance"))

    part = Everything()
    pipe = Pipeline(
        condition=part,
        features=part,
        matcher=Correlation(),
        confidence=lambda match: torch.ones(2, 1, *match.grid, dtype=torch.float64),
        denoiser=lambda x, level, context: context.warp,
        sampler=part,
        autoencoder=part,
    )
    condition, exemplar = pictures()
    warp = next(pipe.trajectory(condition, exemplar)).warp
    torch.testing.assert_close(pipe(condition, exemplar), F.interpolate(warp, scale_factor=4.0))
    assert not any(isinstance(value, nn.Module) for value in vars(pipe).values())
