"""What is shipped, trained, converted, saved or on the hub is one format, and each is a pipeline by itself."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml
from checkpoints_of_others import LDM, compvis
from huggingface_hub.utils import filter_repo_objects

from midms import build, cli, create, from_pretrained
from midms.checkpoints.card import OURS, SHEET, card
from midms.checkpoints.folder import USUAL_PICTURES, read_folder
from midms.cli.options import composed
from midms.compose.presets import PRESETS
from midms.compose.recipe import SHIPPED
from midms.core.tensors import CheckpointError
from midms.loop import Policy
from midms.pipeline.pipeline import Pipeline


def picture(pipe: Pipeline, channels: int = 2) -> torch.Tensor:
    numbers = torch.Generator().manual_seed(0)
    condition = torch.rand(1, channels, 64, 64, generator=numbers)
    exemplar = torch.rand(1, 3, 64, 64, generator=numbers) * 2 - 1
    return pipe(condition, exemplar, torch.rand(condition.shape, generator=numbers), generator=numbers)


FOLDERS = sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))
"""What is shipped."""


@pytest.mark.parametrize("preset", FOLDERS)
def test_what_is_shipped_is_the_preset(preset: str) -> None:
    result, expected = read_folder(SHIPPED / preset).recipe, PRESETS[preset]
    beside = {USUAL_PICTURES: f"{USUAL_PICTURES}.safetensors"} if PRESETS[preset].domain.usual == preset else {}
    loop = {**dataclasses.asdict(Policy()), **expected.loop}
    assert result == dataclasses.replace(expected, loop=loop, weights={**expected.weights, **beside})
    trained = result.weights.keys() - {"confidence", USUAL_PICTURES}  # the confidence is trained with the features
    assert all(record["steps"] > 0 for record in result.made.values()) and len(result.made) == len(trained)
    pipe, same = from_pretrained(SHIPPED / preset), build(preset)
    assert torch.equal(picture(pipe), picture(same)) and pipe.recipe.slots == same.recipe.slots


@pytest.mark.parametrize("preset", FOLDERS)
def test_a_shipped_card_is_that_of_its_folder(preset: str) -> None:
    folder = SHIPPED / preset
    text = (folder / "README.md").read_text()
    assert text == card(read_folder(folder).recipe, (folder / SHEET).is_file())
    files = re.findall(r"weights in `(.*)`", text)
    assert len(files) >= 3 and all((folder / file).is_file() for file in files)


def test_nothing_is_shipped_twice() -> None:
    files = [path.read_bytes() for path in SHIPPED.rglob("*.safetensors")]
    assert len(files) == len(set(files)) == 14


def test_files_are_shared_by_shipped_folders_alone(tmp_path: Path) -> None:
    for name in ("midm-faces", "midm-faces-paper"):
        shutil.copytree(SHIPPED / name, tmp_path / name)
    from_pretrained(tmp_path / "midm-faces")
    with pytest.raises(CheckpointError, match=r"\.\./midm-faces/autoencoder.safetensors: leads out of the folder"):
        from_pretrained(tmp_path / "midm-faces-paper")


def released(folder: Path, channels: int) -> Path:
    """A small released MIDMs, converted."""
    folder.mkdir()
    sizes = {"condition_channels": channels, "latent_channels": 3, "width": 8, "widths": (4, 8, 8), "hidden": 4}
    older = {"parametrizations.weight.original": "weight_orig"}
    older |= {f"parametrizations.weight.0._{n}": f"weight_{n}" for n in "uv"}
    state = {f"diff_model.{name}": value for name, value in compvis("any").items()}
    for name, value in create("features", "midm", **sizes).state_dict().items():
        for new, old in older.items():
            name = name.replace(new, old)
        state[name] = value
    torch.save({"state_dict": state}, folder / "midms.pth")
    arguments = ["convert", str(folder / "midms.pth"), "--config", str(LDM), "--out", str(folder / "out")]
    assert cli.main(arguments) == 0
    return folder / "out"


CHANNELS = {15: "midm-celeba", 20: "midm-deepfashion"}


@pytest.mark.parametrize("channels", CHANNELS)
def test_a_converted_checkpoint_knows_its_preset(tmp_path: Path, channels: int) -> None:
    folder, preset = released(tmp_path / "x", channels), CHANNELS[channels]
    pipe = from_pretrained(folder, refiner=None)
    assert pipe.name == preset and pipe.domain == PRESETS[preset].domain
    assert {p.dtype for part in pipe.modules() for p in part.parameters()} == {torch.float32}
    same = build(preset, weights=folder, refiner=None)
    assert torch.equal(picture(pipe, channels), picture(same, channels))
    assert "midms.pth" in pipe.recipe.made["conversion"]["from"]


@pytest.mark.parametrize("kind", ["a latent diffusion alone", "another condition"])
def test_what_is_no_whole_pipeline_says_what_it_lacks(tmp_path: Path, kind: str) -> None:
    if kind == "another condition":
        folder, lacking = released(tmp_path / "x", 6), "condition, no matcher, no confidence"
    else:
        torch.save({"state_dict": compvis("any")}, tmp_path / "ldm.ckpt")
        assert (
            cli.main(["convert", str(tmp_path / "ldm.ckpt"), "--config", str(LDM), "--out", str(tmp_path / "o")]) == 0
        )
        folder, lacking = tmp_path / "o", "condition, no features, no matcher, no confidence"
    with pytest.raises(CheckpointError, match=rf"names no {lacking}: .*build\(PRESET, weights='{folder}'\) takes"):
        from_pretrained(folder)


def test_a_card_says_what_it_is_and_an_own_one_stays(tmp_path: Path) -> None:
    pipe = build("midm-faces")
    pipe.save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front == {"library_name": "midms", "license": "apache-2.0", "tags": ["image-to-image"]}
    for part in (pipe.domain.trained_on, "64 pixels", "from_pretrained", pipe.recipe.purpose[1:], "`bridge`"):
        assert part in text, part
    (tmp_path / "README.md").write_text("---\n" + OURS + "\n---\nold")
    pipe.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == text
    (tmp_path / "README.md").write_text("mine")
    pipe.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_the_record_of_training_goes_along(tmp_path: Path) -> None:
    build("midm-faces").save_pretrained(tmp_path)
    assert read_folder(tmp_path).recipe.made == read_folder(SHIPPED / "midm-faces").recipe.made


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the hub's place, `OWNER/NAME` a repository, and the client's methods on it."""
    place = tmp_path_factory.mktemp("hub")

    upload = inspect.signature(huggingface_hub.HfApi.upload_folder)

    class Api:
        def create_repo(self, name: str, private: bool | None, exist_ok: bool) -> None:
            (place / name).mkdir(parents=True, exist_ok=exist_ok)

        def file_exists(self, name: str, file: str) -> bool:
            return (place / name / file).exists()

        def upload_folder(self, repo_id: str, folder_path: Path, **options: Any) -> str:
            upload.bind(self, repo_id=repo_id, folder_path=folder_path, **options)
            for path in (place / repo_id).glob(options["delete_patterns"]):
                path.unlink()
            names = [path.name for path in folder_path.iterdir()]
            for name in filter_repo_objects(names, ignore_patterns=options["ignore_patterns"]):
                shutil.copy(folder_path / name, place / repo_id)
            return f"https://hub/{repo_id}/commit/1"

    def download(name: str, allow_patterns: list[str]) -> str:
        cache = tmp_path_factory.mktemp("cache")
        if not (place / name).is_dir():
            raise OSError("401: no such repository")
        for file in filter_repo_objects([p.name for p in (place / name).iterdir()], allow_patterns=allow_patterns):
            shutil.copy(place / name / file, cache)
        return str(cache)

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return place


def test_to_the_hub_and_back(hub: Path, tmp_path: Path) -> None:
    pipe = build("midm-faces")
    assert pipe.push_to_hub("me/faces") == "https://hub/me/faces/commit/1"
    again = from_pretrained("me/faces")
    assert torch.equal(picture(again), picture(pipe))
    assert torch.equal(picture(build("midm-faces", weights="me/faces")), picture(pipe))
    (hub / "me/faces/README.md").write_text("mine")
    build("midm-faces", confidence="always").push_to_hub("me/faces")
    assert (hub / "me/faces/README.md").read_text() == "mine"
    assert not (hub / "me/faces/confidence.safetensors").exists()
    assert "confidence" not in read_folder(hub / "me/faces").parts


def test_the_command_line_takes_hub_ids(hub: Path) -> None:
    pipe = build("midm-faces")
    pipe.push_to_hub("me/faces")
    for given in (["--preset", "me/faces"], ["--weights", "me/faces"]):
        options = cli.parser().parse_args(["translate", "--condition", "a", "--exemplar", "b", "--out", "c", *given])
        assert torch.equal(picture(composed(options)), picture(pipe))


@pytest.mark.parametrize(
    ("name", "said"), [("faces", "repo_id: expected OWNER/NAME"), ("me/x", "cannot be put on the")]
)
def test_what_the_hub_refuses_is_a_line(hub: Path, name: str, said: str) -> None:
    (hub / "me").write_text("no folder")
    with pytest.raises(CheckpointError, match=said) as caught:
        build("midm-faces").push_to_hub(name)
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="cannot be had from the hub"):
        from_pretrained("nobody/nothing")


def test_what_a_folder_on_the_hub_says_is_bounded(hub: Path) -> None:
    build("midm-faces").push_to_hub("me/faces")
    config = hub / "me/faces/config.json"
    result = json.loads(config.read_text())
    for change in ({"weights": {"denoiser": "../../x.safetensors"}}, {"format": 7}, {"slots": 3}):
        config.write_text(json.dumps(result | change))
        with pytest.raises(CheckpointError, match=r"config.json: \w"):
            from_pretrained("me/faces")
