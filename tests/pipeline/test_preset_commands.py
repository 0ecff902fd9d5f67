"""The commands of docs/diffusion_models.md with one knob changed, on a tiny network with the blocks of the real one."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch
from command_line import run
from diffusers import UNet2DConditionModel
from diffusion_families import WIDTH, pipeline
from documents import commands
from PIL import Image
from sample_pictures import drawing, photo

from midms import Spec, build, from_pretrained
from midms.compose.compose import BuildError
from midms.compose.presets import PRESETS
from midms.compose.spec import parse_value
from midms.core.types import Prompt
from midms.diffusers import MIDMsPipeline
from midms.diffusion.solvers.ddim import DDIM

DOCUMENT = Path(__file__).parents[2] / "docs" / "diffusion_models.md"
COMMANDS = {words[words.index("--preset") + 1]: words for words in commands(DOCUMENT)}
KNOBS = {
    "sd-warp": ("confidence", "cycle(softness=0.02)"),
    "sd-crossattn": ("injection", "cross-attention(contrast=1)"),
    "sd-ctrlx": ("injection", "ctrlx(appearance=0.3)"),
}
QUICK = {"sampler": "ddim(timesteps=(501, 251, 1))", "features": "diffusion(draws=1)", "rematch": "1", "size": "64"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion 1 in as many blocks and layers."""
    home = tmp_path_factory.mktemp("sd1")
    made = pipeline("sd1", home / "tokens")
    sizes = {"block_out_channels": (8, 8, 16, 16), "attention_head_dim": 8, "norm_num_groups": 4}
    made.register_modules(unet=UNet2DConditionModel(sample_size=8, cross_attention_dim=WIDTH, **sizes))
    made.save_pretrained(home / "pipeline")
    return home / "pipeline"


def changed(preset: str, **typed: str) -> dict[str, Spec]:
    """The preset's parts with what is typed of them."""
    slots, given = PRESETS[preset].slots, {slot: parse_value(text) for slot, text in typed.items()}
    return {slot: Spec(one.name, **slots[slot].arguments | one.arguments) for slot, one in given.items()}


def test_every_preset_in_the_document_has_a_knob_here() -> None:
    assert COMMANDS.keys() == KNOBS.keys() and len(COMMANDS) == len(commands(DOCUMENT))


@pytest.mark.parametrize("preset", KNOBS)
def test_a_command_with_one_knob_changed_keeps_the_rest_of_the_preset(
    preset: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was composed is in the saved settings; and the Python that is saved beside them makes the picture again."""
    monkeypatch.chdir(tmp_path)
    for name in ("photo.png", "photo_or_drawing.png"):
        drawing(64, 64).save(name)
    photo(64, 64).save("photo.jpg")
    words = [str(folder) if word in ("OWNER/NAME", "sd15") else word for word in COMMANDS[preset]]
    slot, knob = KNOBS[preset]
    more = [text for name, value in (QUICK | {slot: knob}).items() for text in (f"--{name}", value)]
    assert run(*words, *more, "--save", "kept") == 0
    settings = json.loads(Path("kept/settings.json").read_text())
    expected = changed(preset, **{slot: knob}, sampler=QUICK["sampler"], features=QUICK["features"])
    assert {one: parse_value(settings["slots"][one]) for one in expected} == expected
    runpy.run_path("kept/reproduce.py")
    with Image.open("out.png") as first, Image.open("kept/again.png") as again:
        assert first.tobytes() == again.tobytes()


def test_what_was_saved_is_changed_as_a_preset_is(folder: Path, tmp_path: Path) -> None:
    built = build("sd-ctrlx", weights=folder, injection=Spec("ctrlx", appearance=0.3))
    built.save_pretrained(tmp_path / "ours")
    assert from_pretrained(tmp_path / "ours").recipe.slots == built.recipe.slots
    more = {"injection": Spec("ctrlx", structure=0.2), "denoiser": Spec("unet-condition", guidance=3.0)}
    other = from_pretrained(tmp_path / "ours", **more)
    expected = changed("sd-ctrlx", injection="ctrlx(appearance=0.3, structure=0.2)")
    assert other.recipe.slots["injection"] == expected["injection"]
    assert other.denoiser.guidance == 3.0 and "the preset's weights, made with another guidance" in other.notes[-1]
    theirs = built.denoiser.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in other.denoiser.state_dict().items())


def test_what_a_folder_says_of_a_part_is_judged_where_the_part_is_given_by_its_name(tmp_path: Path) -> None:
    build("midm-faces").save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    theirs = {"name": "timm", "arguments": {"backbone": "resnet18", "pretrained": True}, "module": "midms"}
    content["slots"]["features"] = theirs
    (tmp_path / "config.json").write_text(json.dumps(content))
    for given in ("timm", Spec("timm", stride=8), Spec("fusion", extractors=("pyramid", "timm"))):
        with pytest.raises(BuildError, match="features: pretrained=True would fetch weights, expected those of"):
            from_pretrained(tmp_path, features=given)


def test_slots_of_the_pipeline_of_diffusers_keep_what_the_preset_and_the_call_say(folder: Path, tmp_path: Path) -> None:
    trusted = Spec("product", of=(Spec("cycle", radius=0.1), "margin"))
    injection = Spec("ctrlx", appearance=0.3, confidence=trusted)
    given = {"injection": injection, "sampler": "ddim(eta=0.5)"}
    made = MIDMsPipeline.from_pretrained(folder, local_files_only=True, preset="sd-ctrlx", slots=given)
    made.save_pretrained(tmp_path / "saved")
    for one in (made, MIDMsPipeline.from_pretrained(tmp_path / "saved", local_files_only=True)):
        pipe = one.midm(Prompt(), 3)
        assert pipe.recipe.slots["injection"] == changed("sd-ctrlx", injection=injection.typed())["injection"]
        assert isinstance(pipe.sampler, DDIM) and pipe.sampler.eta == 0.5
        assert pipe.sampler.levels.timesteps == (981, 491, 1)
