"""`midms train`: the stages one after the other, stopped, continued, and started from another run."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_file
from training_command import PORTRAITS, refused, train

from midms import build, from_pretrained
from midms.checkpoints import folder as weights_folder
from midms.checkpoints.folder import read_folder, write_folder
from midms.conditions.sketch import Sketch
from midms.data.portraits.cached import CachedPortraits
from midms.data.portraits.dataset import Portraits

TERMS = ("--terms", '{"domain": 1, "cycle": 1, "reconstruction": 1}')


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, rendered: Path) -> Path:
    """Every stage for two steps."""
    out = tmp_path_factory.mktemp("run")
    (out / "data").symlink_to(rendered)
    assert train(out, "", *TERMS) == 0
    return out


def copied(trained: Path, out: Path, *slots: str) -> None:
    """Leave what the stages before have trained."""
    found = read_folder(trained)
    recipe = dataclasses.replace(found.recipe, weights={slot: found.recipe.weights[slot] for slot in slots}, made={})
    if slots:
        (out / "rest").mkdir(parents=True)
        write_folder(out / "rest", "train", recipe, {slot: found.state(slot) for slot in slots})
        for path in (out / "rest").iterdir():
            path.rename(out / path.name)
        (out / "rest").rmdir()


def checkpoint(out: Path, stage: str, step: int) -> Path:
    return out / f"{stage}-{step:08d}.checkpoint"


def losses(checkpoint: Path) -> list[dict[str, float]]:
    found: list[dict[str, float]] = torch.load(checkpoint, weights_only=True)["losses"]
    return found


def test_every_stage_leaves_weights_that_the_presets_load(trained: Path, rendered: Path, tmp_path: Path) -> None:
    """MIDMs' own too, which begins with what these have trained."""
    (tmp_path / "data").symlink_to(rendered)
    assert train(tmp_path, "", "--init", trained, preset="midm-faces-paper") == 0
    generator = torch.Generator().manual_seed(0)
    condition = torch.rand(1, 2, 64, 64, generator=generator)
    exemplar = torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1
    for preset, folder in (("midm-faces", trained), ("midm-faces-paper", tmp_path)):
        draws = (torch.Generator().manual_seed(1) for _ in range(2))
        image, same = (
            pipe(condition, exemplar, generator=draw)
            for pipe, draw in zip((build(preset, weights=folder), from_pretrained(folder)), draws, strict=True)
        )
        assert image.shape == (1, 3, 64, 64) and image.isfinite().all() and torch.equal(image, same)
    record, other = (json.loads((folder / "config.json").read_text())["made"] for folder in (trained, tmp_path))
    assert [*record] == ["autoencoder", "matching", "diffusion"] and [*other] == ["diffusion"]
    assert other["diffusion"]["init"] == {"from": str(trained), **record}
    for stage in (*record.values(), *other.values()):
        assert stage["steps"] == 2 and stage["seed"] == 5 and stage["dataset"] == PORTRAITS
        assert {"date", "versions", "hardware", "parameters", "minutes", "batch", "processes"} <= set(stage)
    assert record["matching"]["command"].startswith(
        f"midms train --data '{PORTRAITS}' --preset midm-faces --out {trained} --seed 5 "
    )
    assert record["autoencoder"]["held out"]["psnr"] > 0
    assert 0 <= record["matching"]["held out"]["initial pck@0.05"] <= 1
    assert all(record["matching"]["last losses"][term] > 0 for term in ("domain", "cycle", "reconstruction"))
    assert not list(trained.rglob("*.part*"))


@pytest.mark.parametrize("stage", ["autoencoder", "matching", "diffusion"])
def test_a_stopped_stage_goes_on_exactly(trained: Path, rendered: Path, tmp_path: Path, stage: str) -> None:
    """And as it does in a row with the stages before it."""
    (tmp_path / "data").symlink_to(rendered)
    slots = {"autoencoder": (), "matching": ("autoencoder",)}.get(stage, ("autoencoder", "features", "confidence"))
    copied(trained, tmp_path, *slots)
    arguments = (tmp_path, stage, "--minutes", "1e-9", *(TERMS if stage == "matching" else ()))
    assert train(*arguments) == 3
    assert stage == "autoencoder" or not read_folder(tmp_path).recipe.made
    assert train(*arguments) == 0
    whole, stopped = (losses(checkpoint(folder, stage, 2)) for folder in (trained, tmp_path))
    assert len(whole) == 2 and whole == stopped
    product = {"matching": "features", "diffusion": "denoiser"}.get(stage, stage)
    one, other = (load_file(folder / f"{product}.safetensors") for folder in (trained, tmp_path))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("stage", ["matching", "diffusion"])
def test_a_batch_in_parts_gives_the_numbers_of_a_whole_one(
    trained: Path, rendered: Path, tmp_path: Path, stage: str
) -> None:
    """Parts are what processes have of a batch."""
    (tmp_path / "data").symlink_to(rendered)
    copied(trained, tmp_path, *{"matching": ("autoencoder",)}.get(stage, ("autoencoder", "features", "confidence")))
    assert train(tmp_path, stage, "--accumulate", 2, *(TERMS if stage == "matching" else ())) == 0
    whole, parts = (losses(checkpoint(folder, stage, 2)) for folder in (trained, tmp_path))
    assert all(other == pytest.approx(one, abs=1e-5, rel=1e-4) for one, other in zip(whole, parts, strict=True))


def test_parts_that_cut_pairs_of_a_stage_are_refused(
    trained: Path, rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of every two pairs of a batch one is matched again."""
    (tmp_path / "data").symlink_to(rendered)
    copied(trained, tmp_path, "autoencoder")
    assert train(tmp_path, "matching", "--batch", 6, "--accumulate", 2) == 2
    assert "--batch 6: expected a multiple of 4, of 1 processes times 2 accumulated parts times 2 pairs" in refused(
        capsys
    )


def test_a_run_begins_with_the_weights_of_another(trained: Path, rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(rendered)
    assert train(tmp_path, "autoencoder", "--init", trained, steps=1) == 0
    record = read_folder(tmp_path).recipe.made["autoencoder"]
    assert record["init"]["autoencoder"] == read_folder(trained).recipe.made["autoencoder"]
    before, after = (load_file(folder / "autoencoder.safetensors") for folder in (trained, tmp_path))
    learned = [name for name in before if name.endswith(".weight")]
    assert learned and all((after[name] - before[name]).abs().max() < 1e-3 for name in learned), "a step, no new start"
    assert {*read_folder(tmp_path).parts} == {"autoencoder", "features", "confidence", "denoiser"}, "all it began with"


def test_a_folder_of_another_run_is_refused(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of other steps, of another preset, with files that no training left."""
    before = checkpoint(trained, "autoencoder", 2).read_bytes()
    assert train(trained, "autoencoder", steps=9) == 2
    assert "autoencoder was made with steps 2, this run has 9; choose another --out" in refused(capsys)
    assert train(trained, preset="midm-faces-paper") == 2
    assert "holds midm-faces, this run trains midm-faces-paper; choose another --out" in refused(capsys)
    assert checkpoint(trained, "autoencoder", 2).read_bytes() == before
    (tmp_path / "denoiser.safetensors").touch()
    assert train(tmp_path) == 2
    assert "holds denoiser.safetensors, which no training left there" in refused(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["denoiser.safetensors"]


def test_a_stage_on_other_weights_or_terms_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    found = read_folder(tmp_path / "run")
    other = {name: value + 1 for name, value in found.state("autoencoder").items()}
    write_folder(tmp_path / "run", "train", found.recipe, {"autoencoder": other})
    assert train(tmp_path / "run", "matching", "--terms", '{"domain": 2}') == 2
    line = refused(capsys)
    assert "'domain': 1.0" in line and "'domain': 2.0" in line and "made with weights" in line


@pytest.mark.parametrize("content", ["garbage", "pickle", "half", "list"])
def test_what_is_no_checkpoint_is_refused_by_name(
    trained: Path, rendered: Path, tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").symlink_to(rendered)
    path, touched = checkpoint(tmp_path, "autoencoder", 1), tmp_path / "touched"
    torch.save([1, 2], path)
    if content != "list":
        half = checkpoint(trained, "autoencoder", 2).read_bytes()[:9999]
        path.write_bytes({"garbage": b"garbage" * 100, "pickle": pickle.dumps(Touch(touched)), "half": half}[content])
    assert train(tmp_path, "autoencoder") == 2
    assert refused(capsys).startswith(f"midms: {path}: ")
    assert not touched.exists()


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_stage_without_what_it_needs_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for stage, before in (("matching", ""), ("diffusion", " and --stage matching")):
        assert train(tmp_path, stage) == 2
        result = f"has no autoencoder yet; run `midms train` with --stage autoencoder{before} first"
        assert refused(capsys).endswith(result)
    assert train(tmp_path, preset="midm-faces-paper") == 2
    assert refused(capsys).endswith("has no autoencoder yet; give --init")
    assert not list(tmp_path.iterdir())


class Killed(BaseException):
    pass


def test_a_stage_killed_before_its_record_goes_on(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is left but its checkpoint; the same command finishes it."""
    (tmp_path / "data").symlink_to(rendered)
    with monkeypatch.context() as patch:
        patch.setattr(weights_folder, "_write_json", Mock(side_effect=Killed))
        with pytest.raises(Killed):
            train(tmp_path, "autoencoder", steps=1)
    assert not (tmp_path / "config.json").exists() and not [*tmp_path.glob("*.safetensors")]
    assert train(tmp_path, "autoencoder", steps=1) == 0
    assert read_folder(tmp_path).recipe.made["autoencoder"]["steps"] == 1 and [*read_folder(tmp_path).parts] == [
        "autoencoder"
    ]


@pytest.mark.parametrize("damaged", ["autoencoder.safetensors", "config.json"])
def test_what_is_started_from_is_read_before_anything_is_rendered(
    damaged: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, out = tmp_path / "start", tmp_path / "out"
    start.mkdir()
    for name in ("autoencoder.safetensors", "config.json"):
        shutil.copy(trained / name, start)
    (start / damaged).write_bytes(b"{")
    assert train(out, "autoencoder", "--init", start, steps=1) == 2
    assert str(start) in refused(capsys) and not out.exists()


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ("{bad", "expected weights from 0 by name, such as"),
        ("[1]", "expected weights from 0 by name, such as"),
        ('{"domian": 1}', "no term is called 'domian'. Did you mean 'domain'"),
    ],
)
def test_terms_are_checked(tmp_path: Path, terms: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = train(tmp_path, "matching", "--terms", terms)
    except SystemExit as leave:
        status = int(leave.code or 0)
    assert status == 2 and message in capsys.readouterr().err


def test_what_is_rendered_is_told_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The disk to within a percent of what is written; the time from the first batch, in plain words."""
    portraits = Portraits(condition=Sketch())
    CachedPortraits.open(tmp_path, portraits, styles=40, geometries=2)
    result, _, progress = capsys.readouterr().err.partition("\n")
    (path,) = tmp_path.iterdir()
    found = re.fullmatch(
        r"midms: note: rendering 80 faces of 64 x 64 pixels: about \d+ (seconds|minutes), (\d+) MB of disk, (.*)",
        result,
    )
    assert found and found[3] == str(path) and abs(int(found[2]) - path.stat().st_size / 1e6) <= 0.5
    assert "rendering portraits of train" in progress
    CachedPortraits.open(tmp_path, portraits, styles=40, geometries=2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stage", "autoencode"], "no stage is called 'autoencode'. Did you mean 'autoencoder'?"),
        (["--preset", "midm-face"], "no preset is called 'midm-face'. Did you mean 'midm-faces'"),
        (["--preset", "some/where"], "--preset some/where: expected the name of a preset, whose stages are trained"),
        (["--stage", "diffusion", "--terms", '{"domain": 1}'], "--terms: changes nothing in --stage diffusion"),
        (["--precision", "fp16"], "--precision fp16: the CPU has none, expected bf16 or no"),
        (["--batch", "3", "--accumulate", "2"], "--batch 3: expected a multiple of 2"),
        (["--log-with", "nonesuch"], "nonesuch"),
        (["--vgg19", "nowhere.pth"], "midms: nowhere.pth: No such file or directory"),
        (["--vgg19", "/dev/zero"], "midms: /dev/zero: is a device, expected a regular file"),
    ],
)
def test_what_cannot_be_done_is_refused(
    words: list[str], message: str, rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").symlink_to(rendered)
    assert train(tmp_path, "", *words) == 2
    assert message in refused(capsys) and [path.name for path in tmp_path.iterdir()] == ["data"]


def test_losses_are_logged_for_tensorboard(rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(rendered)
    assert train(tmp_path, "autoencoder", "--log-with", "tensorboard", steps=1) == 0
    (events,) = (path for path in (tmp_path / "logs").rglob("*") if path.is_file())
    assert b"autoencoder/l1" in events.read_bytes()
