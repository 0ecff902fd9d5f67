"""A composition to a folder and back, and what is wrong with folders."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from standins import Alike
from torch import Tensor, nn

import midms
from midms import Spec, build, register
from midms.cli import parser
from midms.cli.options import composed
from midms.compose.catalog import KINDS
from midms.compose.compose import BuildError
from midms.core.tensors import CheckpointError, checksum
from midms.diffusion.solvers.ddim import DDIM
from midms.matching.matchers.correlation import Correlation
from midms.pipeline.pipeline import Pipeline
from midms.registry import BadArguments

SMALL: dict[str, Any] = {
    "features": Spec("pyramid", condition_channels=2, latent_channels=8, stride=4, width=16, widths=(8, 8, 16)),
    "denoiser": Spec("unconditional", channels=8, widths=(16, 32), attention=(False, True), head_dim=8),
}
"""Parts that the preset's weights are not for."""


@pytest.fixture(scope="module")
def made() -> Pipeline:
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="weights as constructed"):
        return build("midm-faces-paper", **SMALL, matcher=Spec("optimal-transport", epsilon=0.05), rematch=(1,))


@pytest.fixture(scope="module")
def whole(made: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made.save_pretrained(folder := tmp_path_factory.mktemp("saved") / "run")
    return folder


@pytest.fixture
def saved(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def weights(pipe: Pipeline) -> dict[str, Tensor]:
    return {f"{i}.{key}": value for i, part in enumerate(pipe.modules()) for key, value in part.state_dict().items()}


def pictures(seed: int = 0) -> tuple[Tensor, Tensor]:
    numbers = torch.Generator().manual_seed(seed)
    return torch.rand(1, 2, 32, 32, generator=numbers), torch.rand(1, 3, 32, 32, generator=numbers) * 2 - 1


def picture(pipe: Pipeline) -> Tensor:
    return pipe(*pictures(), generator=torch.Generator().manual_seed(1))


def test_it_comes_back_to_the_bit(made: Pipeline, whole: Path) -> None:
    again = midms.from_pretrained(whole)
    assert checksum(weights(again)) == checksum(weights(made))
    assert torch.equal(picture(again), picture(made))
    assert repr(again) == repr(made) and again.recipe.slots == made.recipe.slots


def test_the_shipped_preset_comes_back_to_the_bit(tmp_path: Path) -> None:
    pipe = build("midm-faces")
    pipe.save_pretrained(tmp_path)
    assert torch.equal(picture(midms.from_pretrained(tmp_path)), picture(pipe))


def test_a_person_can_read_it(whole: Path) -> None:
    content = json.loads((whole / "config.json").read_text())
    assert content["slots"]["matcher"] == {
        "name": "optimal-transport",
        "arguments": {"epsilon": 0.05},
        "module": "midms.matching.matchers.optimal_transport",
    }
    assert content["loop"].items() >= {"rematch": [1], "edit": "blend", "size": 64}.items()
    files = {path.name for path in whole.iterdir()}
    assert files == {
        "config.json",
        "README.md",
        *(f"{part}.safetensors" for part in ("features", "denoiser", "autoencoder")),
    }


def test_precision_is_kept_unless_another_is_asked_for(whole: Path, tmp_path: Path) -> None:
    pipe = midms.from_pretrained(whole).to(torch.bfloat16)
    pipe.denoiser.double()
    pipe.save_pretrained(tmp_path / "kept")
    kept = midms.from_pretrained(tmp_path / "kept")
    assert checksum(weights(kept)) == checksum(weights(pipe))
    assert next(kept.features.parameters()).dtype == torch.bfloat16
    assert all(p.requires_grad for module in kept.modules() for p in module.parameters())
    pipe.save_pretrained(tmp_path / "full", dtype=torch.float32)
    for wrong in (torch.int8, torch.float8_e4m3fn, torch.complex64):
        with pytest.raises(CheckpointError, match=r"dtype: expected one of torch.float16, .*, got "):
            pipe.save_pretrained(tmp_path / "full", dtype=wrong)
    full = midms.from_pretrained(tmp_path / "full")
    assert {value.dtype for value in weights(full).values()} == {torch.float32}
    full.save_pretrained(tmp_path / "half", dtype=torch.float16)  # which stores in half what computes in float32
    again = weights(midms.from_pretrained(tmp_path / "half"))
    assert all(torch.equal(again[name], value.half().float()) for name, value in weights(full).items())
    assert {value.dtype for value in again.values()} == {torch.float32}


def test_changes_come_without_the_saved_weights(saved: Path) -> None:
    pipe = midms.from_pretrained(saved, matcher="correlation", rematch=(), refiner=None)
    assert isinstance(pipe.matcher, Correlation) and pipe.policy.rematch == () and pipe.refiner is None
    pipe.save_pretrained(saved)
    assert midms.from_pretrained(saved).refiner is None


def test_the_command_line_takes_the_folder(whole: Path) -> None:
    options = ["translate", "--condition", "a", "--exemplar", "b", "--out", "c", "--preset", str(whole)]
    assert repr(composed(parser().parse_args(options))) == repr(midms.from_pretrained(whole))


def test_ready_objects_are_named(made: Pipeline, tmp_path: Path) -> None:
    pipe = made.replace(matcher=Correlation(), confidence=Alike())
    with pytest.raises(CheckpointError, match=r"matcher is a ready Correlation.*; confidence is a ready Alike"):
        pipe.save_pretrained(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_arguments_that_cannot_be_written_are_named(registries: None, whole: Path, tmp_path: Path) -> None:
    @register("matcher", "of-an-object")
    class OfAnObject(Correlation):
        def __init__(self, inside: object) -> None:
            super().__init__()

    pipe = midms.from_pretrained(whole, matcher=Spec("of-an-object", inside=nn.Identity()))
    with pytest.raises(CheckpointError, match=r"matcher's inside=Identity\(\) is no plain value"):
        pipe.save_pretrained(tmp_path / "run")


def test_a_plug_in_that_is_not_installed_is_named(whole: Path, tmp_path: Path, registries: None) -> None:
    @register("matcher", "theirs")
    class Theirs(Correlation):
        pass

    @register("sampler", "theirs")
    class TheirSampler(DDIM):
        pass

    sampler = Spec("theirs", timesteps=(300, 100))
    midms.from_pretrained(whole, matcher="theirs", sampler=sampler).save_pretrained(tmp_path)
    for kind in ("matcher", "sampler"):
        del KINDS[kind]._rows["theirs"]
        with pytest.raises(
            BuildError, match=f"the {kind} 'theirs' is not installed here; it was from the module test_pret"
        ):
            midms.from_pretrained(tmp_path)
    changed = midms.from_pretrained(tmp_path, matcher="correlation", sampler=Spec("ddim", timesteps=(300, 100)))
    assert isinstance(changed.matcher, Correlation)


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text())
        change(content)
        (folder / "config.json").write_text(json.dumps(content))

    return edit


def replaced(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("it was unpickled",)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no configuration": (lambda d: (d / "config.json").unlink(), "has no config.json"),
    "no folder": (shutil.rmtree, "there is no folder"),
    "half a configuration": (replaced("config.json", b'{"name": "mi'), "cannot be read"),
    "a list": (replaced("config.json", b"[]"), r"config.json: .*got \[\]"),
    "nested too deep": (replaced("config.json", b"[" * 100_000), "cannot be read"),
    "no parts": (edited(lambda c: c.pop("slots")), "config.json: has no slots"),
    "parts without names": (
        edited(lambda c: c["slots"]["sampler"].pop("name")),
        "config.json: has no slots.sampler.name",
    ),
    "no sampler": (edited(lambda c: c["slots"].pop("sampler")), "names no sampler: not a whole pipeline"),
    "a strange slot": (edited(lambda c: c["slots"].update(samplr=c["slots"]["sampler"])), "Did you mean 'sampler'"),
    "no number": (
        edited(lambda c: c["slots"]["matcher"]["arguments"].update(temperature=float("nan"))),
        "slots.matcher.arguments.temperature: expected a finite number, got nan",
    ),
    "a width beyond all": (
        edited(lambda c: c["slots"]["denoiser"]["arguments"].update(width=65537)),
        "slots.denoiser.arguments.width: expected a number within 65,536, got 65537",
    ),
    "a strange argument": (edited(lambda c: c["slots"]["sampler"]["arguments"].update(etta=1)), "Did you mean 'eta'"),
    "a strange setting": (edited(lambda c: c["loop"].update(rematch=[9])), "rematch must be levels out of"),
    "no such setting": (edited(lambda c: c["loop"].update(rematsh=[1])), "Did you mean 'rematch'"),
    "a setting is missing": (edited(lambda c: c["loop"].pop("rematch")), "config.json: the loop has no rematch"),
    "no size": (edited(lambda c: c["loop"].pop("size")), "config.json: the loop has no size"),
    "weights that are not noted": (
        edited(lambda c: c["weights"].pop("denoiser")),
        "has no weights of the denoiser: not a whole pipeline; build.PRESET, weights=",
    ),
    "weights of what has none": (
        edited(lambda c: c["weights"].update(matcher="features.safetensors")),
        "features.safetensors: does not fit OptimalTransport: unexpected",
    ),
    "no weights": (lambda d: (d / "denoiser.safetensors").unlink(), "denoiser.safetensors: no such file"),
    "weights of another size": (
        edited(lambda c: c["slots"]["denoiser"]["arguments"].update(widths=[16, 64])),
        "denoiser.safetensors: does not fit Unconditional",
    ),
    "weights of another part": (
        lambda d: shutil.copy(d / "features.safetensors", d / "denoiser.safetensors"),
        "denoiser.safetensors: does not fit Unconditional",
    ),
    "a pickle": (
        replaced("denoiser.safetensors", pickle.dumps(Bomb())),
        "denoiser.safetensors: not a whole safetensors file",
    ),
    "half a file": (
        lambda d: (d / "denoiser.safetensors").write_bytes((d / "denoiser.safetensors").read_bytes()[:9000]),
        "denoiser.safetensors: not a whole safetensors file",
    ),
    "one bit": (
        lambda d: (d / "denoiser.safetensors").write_bytes((d / "denoiser.safetensors").read_bytes()[:-1] + b"\x01"),
        "denoiser.safetensors: damaged or changed since it was saved",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_said_in_a_line(saved: Path, damage: str) -> None:
    change, message = DAMAGE[damage]
    change(saved)
    with pytest.raises((CheckpointError, BuildError), match=message) as caught:
        midms.from_pretrained(saved)
    assert "\n" not in str(caught.value)


PLACES = [
    *(("sampler", "timesteps"), ("matcher", "epsilon"), ("loop", "edit"), ("loop", "size"), ("domain", "size")),
    *(("", "slots"), ("", "loop"), ("", "checksums")),
]
LONG: dict[str, Any] = {
    "list": [1] * 4000,
    "text": "x" * 4000,
    "key": {"y" * 4000: 1},
    "keys": dict.fromkeys(map(str, range(4000)), 1),
}


@pytest.mark.parametrize("value", LONG)
def test_of_long_values_the_ends_are_said(unchecked: None, saved: Path, value: str) -> None:
    config = saved / "config.json"
    content = json.loads(config.read_text())
    content["domain"] = {"size": None}
    homes = {slot: part["arguments"] for slot, part in content["slots"].items()} | {
        "": content,
        "loop": content["loop"],
    }
    homes["domain"] = content["domain"]
    said = []
    for home, key in PLACES:
        before = homes[home].get(key)
        homes[home][key] = LONG[value]
        config.write_text(json.dumps(content))
        homes[home][key] = before
        with pytest.raises((CheckpointError, BuildError)) as caught:
            midms.from_pretrained(saved)
        said.append(str(caught.value))
    assert max(map(len, said)) < 3000
    if value == "list":
        assert (
            "timesteps must fall from the noisiest to the cleanest, got (1, 1, 1" in said[0]
            and said[0][-6:] == " 1, 1)"
        )


def test_the_folder_is_weights_for_a_preset_too(made: Pipeline, whole: Path) -> None:
    """Its parts with weights, and the schedule; loop and other parts are the preset's."""
    pipe = build("midm-faces", weights=whole, confidence="always")
    assert checksum(weights(pipe)) == checksum(weights(made)) and pipe.notes == ()
    assert isinstance(pipe.matcher, Correlation) and pipe.policy == build("midm-faces").policy
    with pytest.warns(UserWarning, match="random weights in confidence: .* has none"):
        build("midm-faces", weights=whole)
    options = ["translate", "--condition", "a", "--exemplar", "b", "--out", "c", "--preset", str(whole)]
    with pytest.raises(BadArguments, match=r"--weights x: not with --preset \S+, which has its own weights"):
        composed(parser().parse_args([*options, "--weights", "x"]))
