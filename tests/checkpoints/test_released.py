"""The released MIDMs: its checkpoint through the converter, its numbers stage by stage."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints_of_others import GOLDEN, LDM, released
from safetensors import safe_open
from torch import Tensor

from benchmarks.training_parity.rule import noise
from midms import build, cli
from midms.confidence.cycle_released import twice_forward
from midms.core.protocols import Match
from midms.core.types import NoiseFn, cells
from midms.loop import Moment
from midms.matching.matches.factored import FactoredMatch
from midms.pipeline.pipeline import Pipeline

DRAWS = ("q_ref", "q_final", *(f"eta_{i:02}" for i in range(19)))
"""The released draws that matter, in the order in which they are asked for."""


@dataclass(frozen=True)
class Golden:
    """Recorded numbers of one set, and how far two runs of the released code are apart."""

    values: dict[str, Tensor]
    floors: dict[str, float]
    strides: dict[str, int]
    salt: str

    def agrees(self, name: str, found: Tensor) -> None:
        """Within ten times the floor, at the positions that are kept."""
        flat, index = found.flatten(), self.values.get(f"{name}/index")
        seen = flat[:: self.strides[name]] if index is None else flat[index.long()]
        off = (seen.double() - self.values[name].double()).abs().amax().item()
        assert off <= 10 * self.floors[name], f"{name}: off by {off}, the floor is {self.floors[name]}"

    def maps(self, name: str) -> Tensor:
        """A condition map at picture resolution; what lies between the kept pixels is never looked at."""
        return self.values[name].float().div(255).repeat_interleave(4, -1).repeat_interleave(4, -2)

    def draw(self) -> NoiseFn:
        names = iter(DRAWS)
        return lambda shape: torch.from_numpy(noise(self.salt, next(names), shape))


def golden(side: int) -> Golden:
    with safe_open(GOLDEN / f"inference-{side}.safetensors", framework="pt") as file:
        values, result = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    return Golden(values, json.loads(result["floors"]), json.loads(result["strides"]), result["salt"])


@pytest.fixture(scope="module", params=[32, 64])
def converted(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Golden, Path]:
    """A set, and its weights: by the rule, as a `.pth` in the released format, through the command."""
    expected, folder = golden(request.param), tmp_path_factory.mktemp("released")
    torch.save({"state_dict": released(expected.salt)}, folder / "midms.pth")
    assert cli.main(["convert", str(folder / "midms.pth"), "--config", str(LDM), "--out", str(folder / "out")]) == 0
    (folder / "midms.pth").unlink()
    return expected, folder / "out"


def watched(pipe: Pipeline) -> dict[str, list[Any]]:
    """What modules of a run will have given."""
    seen: dict[str, list[Any]] = {}

    def watch(name: str, module: torch.nn.Module) -> None:
        module.register_forward_hook(lambda m, i, output: seen.setdefault(name, []).append(output))

    for name in ("seg_enc", "real_enc", "theta", "phi"):
        watch(name, pipe.features.get_submodule(name))  # type: ignore[attr-defined]
    watch("x0", pipe.denoiser)  # type: ignore[arg-type]
    watch("codes", pipe.autoencoder.network.quantize)  # type: ignore[attr-defined]
    watch("decoded", pipe.autoencoder.network.decoder)  # type: ignore[attr-defined]
    return seen


@torch.no_grad()
def test_every_stage_agrees_with_the_released_code(converted: tuple[Golden, Path]) -> None:
    expected, folder = converted
    pipe = build("midm-celeba", weights=folder)  # a warning would be an error
    seen, inner = watched(pipe), pipe.matcher
    matches: list[Any] = []

    def matcher(query: Tensor, key: Tensor) -> Match:
        matches.append(inner(query, key))
        return matches[-1]

    pipe = pipe.replace(matcher=matcher)
    exemplar = expected.values["exemplar"]
    moments = list(
        pipe.trajectory(expected.maps("condition"), exemplar, expected.maps("exemplar_condition"), expected.draw())
    )
    decoded = pipe.autoencoder.decode(moments[-1].step.x0)

    for name in ("seg_enc", "real_enc", "theta", "phi"):
        (output,) = seen[name]
        expected.agrees(name, output)
    assert len(seen["x0"]) == 24 and len(seen["decoded"]) == 1
    for i, x0 in enumerate(seen["x0"]):
        expected.agrees(f"x0/{i}", x0)
    latent = pipe.autoencoder.encode(exemplar)
    expected.agrees("latent", latent)
    expected.agrees("first/similarity", best(matches[0]))
    expected.agrees("warp", matches[0].apply(latent))
    for i, moment in enumerate(moments[:2], 1):
        agrees_after_re_matching(expected, i, moment)
    assert [moment.rematched for moment in moments] == [True, True] + 22 * [False]
    expected.agrees("final", moments[-1].step.x0)
    ((_, _, (_, _, codes)),) = seen["codes"]
    expected.agrees("codes", codes)
    expected.agrees("decoded", decoded)


def agrees_after_re_matching(expected: Golden, i: int, moment: Moment) -> None:
    match = moment.match
    assert isinstance(match, FactoredMatch)
    expected.agrees(f"match{i}/query", match.query)
    expected.agrees(f"match{i}/key", match.key)
    expected.agrees(f"match{i}/similarity", best(match))
    expected.agrees(f"match{i}/warp", moment.warp)
    for way, one in (("forward", match), ("backward", match.transpose())):
        place = one.apply(cells(*one.transpose().grid, moment.warp))
        expected.agrees(f"match{i}/{way}", normalised(place))
    check = twice_forward(match)
    expected.agrees(f"match{i}/check", check)
    expected.agrees(f"match{i}/raw", (check < 0.5).byte())
    expected.agrees(f"match{i}/mask", moment.confidence)
    expected.agrees(f"mixed/{i}", moment.step.x0)


def best(match: FactoredMatch) -> Tensor:
    """Each condition cell's best correlation, raised to 0; released features are a little shorter than one."""
    correlation = torch.einsum("bdn,bdm->bnm", match.query.flatten(2), match.key.flatten(2)).clamp(min=0)
    return correlation.amax(2) / (1 + 1e-5) ** 2


def normalised(place: Tensor) -> Tensor:
    """(x, y) in cells to [-1, 1] between the centres of the corner cells, last."""
    h, w = place.shape[-2:]
    return (2 * place / place.new_tensor([w - 1, h - 1]).view(1, 2, 1, 1) - 1).permute(0, 2, 3, 1)


@pytest.mark.parametrize("converted", [32], indirect=True)
@torch.no_grad()
def test_any_batch_and_any_two_sizes(converted: tuple[Golden, Path]) -> None:
    """The exemplar need not be of the condition's size; no picture of the answer is asked for; one decoding."""
    pipe = build("midm-celeba", weights=converted[1])
    seen = watched(pipe)
    numbers = torch.Generator().manual_seed(0)
    condition, own = (torch.rand(2, 15, *size, generator=numbers) for size in ((48, 80), (64, 52)))
    exemplar = torch.rand(2, 3, 64, 52, generator=numbers) * 2 - 1
    noises = [torch.randn(2, 3, 12, 20, generator=numbers) for _ in DRAWS]

    def draw(which: slice) -> NoiseFn:
        left = iter(noises)
        return lambda shape: next(left)[which]

    both = pipe(condition, exemplar, own, draw(slice(0, 2)))
    assert both.shape == (2, 3, 48, 80) and torch.isfinite(both).all()
    assert (len(seen["x0"]), len(seen["decoded"]), len(seen["seg_enc"]), len(seen["real_enc"])) == (24, 1, 1, 1)
    *_, whole = pipe.trajectory(condition, exemplar, own, draw(slice(0, 2)))
    *_, alone = pipe.trajectory(condition[1:], exemplar[1:], own[1:], draw(slice(1, 2)))
    torch.testing.assert_close(whole.step.x0[1:], alone.step.x0, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="exemplar_condition must be given"):
        pipe(condition, exemplar)
