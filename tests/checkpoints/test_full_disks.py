"""Commands whose disk is full, or whose folder another process writes to: a line, and nothing is lost or left."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hostile import Outcome, outcome

from midms import cli
from midms.checkpoints.folder import read_folder

TRAIN = ["train", "--data", "portraits(styles=4, geometries=2)", "--preset", "midm-faces", "--stage", "autoencoder"]
TRAIN += ["--steps", "2", "--batch", "4", "--device", "cpu", "--workers", "0", "--log-with", "none"]
ROOM = 2_000
"""Bytes that a file may have where the disk is full: enough for a record, not for weights, faces or pictures."""


def cramped(arguments: list[str]) -> int:
    """In a child of the loaded process: no file gets longer."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
    return cli.main(arguments)


def refused(said: Outcome) -> str:
    """The one line, apart from what a command says of its progress."""
    assert said.status == 2 and not any("Traceback" in line for line in said.err), said
    (line,) = [line for line in said.err if line.startswith("midms:") and "note: rendering" not in line]
    return line


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose training was stopped after a step."""
    folder = tmp_path_factory.mktemp("stopped")
    said = outcome([*TRAIN, "--out", "run", "--minutes", "1e-9"], folder)
    assert said.status == 3, said
    return folder


def test_a_full_disk_ends_training_and_the_checkpoint_stays(stopped: Path) -> None:
    said = outcome([*TRAIN, "--out", "run", "--minutes", "1e-9"], stopped, f"{__name__}:cramped")
    assert "run/autoencoder-00000002.checkpoint: cannot be written" in refused(said) and not said.changed
    assert outcome([*TRAIN, "--out", "run"], stopped).status == 0, "it goes on"


def test_a_full_disk_ends_training_before_the_faces_are_kept(tmp_path: Path) -> None:
    line = refused(outcome([*TRAIN, "--out", "run"], tmp_path, f"{__name__}:cramped"))
    assert "run/data/portraits-train-4x2-64.safetensors: cannot be written" in line
    assert not [*tmp_path.rglob("*")]


def test_a_full_disk_ends_an_ablation_at_once(tmp_path: Path) -> None:
    vary = ["--vary", "matcher=preset,nearest", "--pairs", "1", "--out", "which"]
    line = refused(outcome(["ablate", *vary], tmp_path, f"{__name__}:cramped"))
    assert "which/pictures/" in line and "cannot be written" in line
    assert not [*tmp_path.rglob("*")], "no run is recorded"
    assert outcome(["ablate", *vary], tmp_path).status == 0
    assert len((tmp_path / "which" / "runs.jsonl").read_text().splitlines()) == 2


def test_of_two_trainings_in_a_folder_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    """Weights, checkpoint and record are the first one's."""
    assert outcome(["list"], tmp_path).status == 0, "what the second is forked from is loaded"
    arguments = [*TRAIN, "--out", "run", "--seed"]
    command = [sys.executable, "-m", "midms", *arguments, "1"]
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run, deadline = tmp_path / "run", time.monotonic() + 120
    while not (run / ".lock").exists() or not (run / ".lock").stat().st_size:
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    said = outcome([*arguments, "2"], tmp_path)
    assert f"run: is written to by process {first.pid} on " in refused(said)
    assert first.wait() == 0
    record = json.loads((run / "config.json").read_text())["made"]["autoencoder"]
    assert record["seed"] == 1 and read_folder(run).state("autoencoder"), "the checksum holds"
    assert torch.load(run / "autoencoder-00000002.checkpoint", weights_only=True)["settings"]["seed"] == 1
    assert not (run / ".lock").exists()


@pytest.mark.parametrize(
    "words",
    [
        "translate --condition folder --exemplar a.png --out new/out --figure new/figures",
        "translate --condition a.png --exemplar a.png --out b.png --finisher composite --layers new/layers",
        "demo --faces 1 --out new/demo",
        "ablate --vary matcher=preset --pairs 1 --out new/which",
        "train --data portraits(styles=2,geometries=2) --preset midm-faces --log-with none --device cpu --out new/run",
        "pairs many --out b.csv",
    ],
)
def test_a_full_disk_leaves_no_folders(words: str, pair: Path, tmp_path: Path) -> None:
    for name in ("folder", "many"):
        (tmp_path / name).mkdir()
    for place in ("a.png", "folder/a.png", "folder/b.png", *(f"many/{i}.png" for i in range(40))):
        shutil.copy(pair / "condition.png", tmp_path / place)
    before = {*tmp_path.rglob("*")}
    said = outcome(words.split(), tmp_path, f"{__name__}:cramped")
    assert said.status == 2 and any("cannot be written" in line for line in said.err), said
    assert {*tmp_path.rglob("*")} == before
