"""What a host program sets for itself, such as another default precision, changes nothing in what is computed here.

Laws over everything that is registered. Under autocast networks compute as it says; all that is no network does not.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from small_features import FEATURES as SMALL
from torch import Tensor

from midms import Spec, build, create
from midms.compose.catalog import KINDS
from midms.conditions.celebahq_edge import LABELS
from midms.confidence import CONFIDENCES
from midms.core.protocols import AnnotationReader, Unanswered
from midms.core.types import Context, Features, Level
from midms.data.portraits.pairs import draw_pairs
from midms.loop.policy import NoGradient
from midms.matching import MATCHERS
from midms.pipeline.out_of_domain import usual
from midms.pipeline.pipeline import Pipeline
from midms.testing import features

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning", "ignore:.*weights as const:UserWarning")


@contextlib.contextmanager
def by_default(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


HOSTS: dict[str, Callable[[], Any]] = {
    "float64": lambda: by_default(torch.float64),
    "bfloat16": lambda: by_default(torch.bfloat16),
    "float16": lambda: by_default(torch.float16),
    "another device": lambda: torch.device("meta"),  # on which nothing has a value
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}
NUMBERS = torch.Generator().manual_seed(0)
PHOTO = torch.rand(1, 3, 64, 48, generator=NUMBERS) * 2 - 1
DRAWING = torch.ones(1, 3, 64, 48)
DRAWING[..., 10:50, 20:22] = DRAWING[..., 30:32, 5:40] = -1
LABELLED = np.zeros((64, 48), np.uint8)
LABELLED[8:40, 8:40] = LABELS.index("skin")
JOINTS = np.stack([np.arange(18) * 11.3 % 200 + 20, np.arange(18) * 37.7 % 200 + 20], 1)
SOURCES = {"celebahq-edge": (LABELLED, PHOTO), "deepfashion-pose": JOINTS, "ade20k-segmentation": LABELLED}
QUERY, KEY, VALUES, BACK = (features(i, 1, channels, dtype=torch.float32) for i, channels in enumerate((9, 9, 3, 3)))
QUERY[:, -1] = KEY[:, -1] = 0  # the label, for those that read one
CONDITION, EXEMPLAR = torch.rand(1, 2, 32, 48, generator=NUMBERS), torch.rand(1, 3, 48, 32, generator=NUMBERS) * 2 - 1
LATENT, CONFIDENCE = torch.randn(1, 8, 8, 12, generator=NUMBERS), torch.rand(1, 1, 8, 12, generator=NUMBERS)
THEIRS = ("DDPM", "EulerAncestralDiscrete", "UniPCMultistep", "SASolver")


def maps() -> dict[str, Tensor]:
    found = {}
    for name in KINDS["condition"]:
        part = create("condition", name)
        if isinstance(part, AnnotationReader):
            found[name] = part.read(SOURCES[name], "condition", lambda shape: (64, 64))
            found[f"{name}, to look at"] = part.picture(found[name])
        else:
            found |= {f"{name}, drawing": part.drawing(DRAWING, (32, 24)), f"{name}, photo": part.photo(PHOTO)}
    return found


def matches() -> dict[str, Tensor]:
    found = {}
    for name in MATCHERS:
        match = MATCHERS.create(name)(QUERY, KEY)
        found |= {f"{name}, apply": match.apply(VALUES), f"{name}, back": match.transpose().apply(BACK)}
        found[f"{name}, similarity"] = match.similarity()
        for confidence in CONFIDENCES:
            with contextlib.suppress(Unanswered):
                found[f"{name}, {confidence}"] = CONFIDENCES.create(confidence)(match)
    return found


def walks() -> dict[str, Tensor]:
    """Each sampler's levels, and where it goes."""
    found = {}
    for name in [*KINDS["sampler"], *(f"diffusers:{name}Scheduler" for name in THEIRS)]:
        settings = {"steps": 4} if ":" in name else {"timesteps": (700, 400, 100)}
        sampler = create("sampler", name, **settings)
        numbers = torch.Generator().manual_seed(1)

        def draw(shape: tuple[int, ...], numbers: torch.Generator = numbers) -> Tensor:
            return torch.randn(shape, generator=numbers, dtype=torch.float32, device="cpu")

        x, step = sampler.levels.add_noise(LATENT, draw), None
        for level in sampler.levels:
            x = x if step is None else sampler.advance(step, level, draw)
            step = sampler.predict(lambda x, level: torch.tanh(x - level.timestep / 700), x, level, step)
            result = (level.timestep, level.alpha, level.sigma)
            found[f"{name}, level {level.index}"] = torch.tensor(result, dtype=torch.float64, device="cpu")
        found[name] = x
    return found


@torch.no_grad()
def networks() -> dict[str, Tensor]:
    """What parts with weights give, made and asked in the host program."""
    found: dict[str, Tensor] = {}
    for name in KINDS["features"]:
        torch.manual_seed(0)
        part = create("features", name, **SMALL[name]).eval()
        query, key = part.condition(CONDITION), part.exemplar(LATENT, CONDITION)
        found |= {f"{name}, condition": query.initial, f"{name}, exemplar": key.initial}
        found[f"{name}, x0"] = part.rematch_query(LATENT, query)
    sizes = {"widths": (16, 32), "attention": (False, True), "head_dim": 8, "norm_groups": 8}
    for name in ("unconditional", "bridge"):
        torch.manual_seed(0)
        part = create("denoiser", name, channels=8, **sizes).eval()
        for timestep in (261, 261.5):
            level = Level(0, timestep, 0.8, 0.6)
            found[f"{name} at {timestep}"] = part(LATENT, level, Context(LATENT, CONDITION, CONFIDENCE))
    small = {"channels": 3, "widths": (8, 8, 8), "norm_groups": 8}
    for name, settings in {"patchified": {"channels": 3, "widths": (8, 16)}, "vq": small, "kl": small}.items():
        torch.manual_seed(0)
        part = create("autoencoder", name, **settings).eval()
        found[f"{name}, latent"] = part.encode(EXEMPLAR)
        if name != "vq" or torch.get_default_device().type == "cpu":  # for which diffusers makes a tensor there
            found[f"{name}, picture"] = part.decode(found[f"{name}, latent"])
    assert all(parameter.dtype == torch.float32 for parameter in part.parameters())
    return found


def runs() -> dict[str, Tensor]:
    found = {}
    for name, sampler in {"midm-faces": "ddim", "midm-faces-paper": Spec("ddpm", timesteps=(500, 300, 100))}.items():
        pipe = build(name, sampler=sampler)
        found[name] = pipe(CONDITION, EXEMPLAR, generator=torch.Generator().manual_seed(0))
        result = pipe.translate(DRAWING[0], [PHOTO[0], PHOTO[0].flip(-1)], seed=0)
        found |= {f"{name}, {what}": getattr(result, what) for what in ("confidence", "flow", "correspondences")}
        found |= {f"{name}, picture": pixels(result.image), f"{name}, figure": pixels(result.figure())}
    pairs = draw_pairs("test", [3], 64)
    return found | {f"{name} of a pair": value for name, value in vars(pairs).items()}


LAWS = {law: HOSTS for law in (maps, matches, walks)} | {law: [*HOSTS][:-1] for law in (networks, runs)}
"""Functions, and the host programs that change nothing in what they give: networks follow autocast."""


@functools.cache
def plain(law: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    return law()


@pytest.mark.parametrize(
    ("law", "host"), [pytest.param(law, host, id=f"{law.__name__}-{host}") for law in LAWS for host in LAWS[law]]
)
def test_the_host_changes_nothing(law: Callable[[], dict[str, Tensor]], host: str) -> None:
    expected = plain(law)
    with HOSTS[host]():
        found = law()
    assert expected.keys() - found.keys() <= {"vq, picture"}
    assert not [name for name, value in found.items() if not same(value, expected[name])]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_how_usual_something_is_under_autocast(dtype: torch.dtype) -> None:
    """Far enough away for half precision to overflow."""
    known = usual("midm-faces")["drawing"]
    summary = known.mean + torch.randn(4, len(known.mean), generator=torch.Generator().manual_seed(0)) / 10
    expected = known.distance(summary)
    with torch.autocast("cpu", dtype):
        assert torch.equal(known.distance(summary), expected) and bool((expected > known.most).all())


def pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image))


def same(a: Tensor, b: Tensor) -> bool:
    alike = (a.device, a.dtype, a.shape) == (b.device, b.dtype, b.shape)
    return alike and bool(((a == b) | (a.isnan() & b.isnan())).all())


def guided(pipe: Pipeline) -> Tensor:
    """Along the gradient of a confidence, of two exemplars, one of them in a region."""
    region = torch.zeros(1, 1, 32, 48, device="cpu")
    region[..., :24] = 1
    exemplars, numbers = [EXEMPLAR, EXEMPLAR.flip(-1)], torch.Generator().manual_seed(0)
    return pipe(CONDITION, exemplars, regions=[region, 1 - region], generator=numbers)


@pytest.mark.parametrize(
    "changes", [{}, {"matcher": "optimal-transport"}, {"confidence": Spec("cycle", softness=0.02)}]
)
@pytest.mark.parametrize("made", ["outside", "inside"])
def test_a_run_is_guided_in_inference_mode(changes: dict[str, Any], made: str) -> None:
    """As it is where there are gradients, wherever it was built, moved and saved from."""
    changes = changes | {"edit": "guide", "rematch": (0, 1)}
    pipe = build("midm-faces", **changes)
    expected, unguided = guided(pipe), guided(pipe.replace(edit="context"))
    with torch.inference_mode():
        pipe = build("midm-faces", **changes).to(torch.float64).to(torch.float32) if made == "inside" else pipe
        found = guided(pipe)
    assert torch.equal(found, expected) and not torch.equal(found, unguided)
    assert not any(parameter.is_inference() for module in pipe.modules() for parameter in module.parameters())


def test_guidance_by_fused_features_in_inference_mode() -> None:
    pipe = build("midm-faces", features=Spec("fusion", extractors=("pyramid", "pyramid")), edit="guide", rematch=(0,))
    with torch.inference_mode():
        assert torch.equal(guided(pipe), guided(pipe))


@pytest.mark.usefixtures("unchecked")
def test_weights_of_inference_mode_are_named_where_gradients_are_needed() -> None:
    class Mine:
        def __init__(self, inner: Any) -> None:
            self.inner, self.gain = inner, torch.full((1,), 2.0)

        def condition(self, condition: Tensor) -> Features:
            return self.inner.condition(condition)

        def exemplar(self, latent: Tensor, condition: Tensor) -> Features:
            return self.inner.exemplar(latent, condition)

        def rematch_query(self, x0: Tensor, condition: Features) -> Tensor:
            return self.inner.rematch_query(x0 * self.gain, condition)

    pipe = build("midm-faces", edit="guide", rematch=(0,))
    with torch.inference_mode():
        pipe = pipe.replace(features=Mine(pipe.features))
        with pytest.raises(
            NoGradient, match=r"made under torch.inference_mode\(\) and have no gradients; make them out"
        ):
            guided(pipe)
        assert guided(pipe.replace(edit="blend")).isfinite().all()
