"""Ledgers, checkpoints of training and settings of others that do harm: read and refused before anything is made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bad_checkpoints import DAMAGE, put
from bad_files import ANYTHING, JSONS, PICKLES, said
from folders_of_others import BASE, folder_of
from hostile import TRANSLATE, refused, white_pictures
from ledger_lines import DAMAGED, RUN
from PIL import Image
from torch import nn

from midms import build
from midms.data.portraits.pairs import SPLIT_LENGTH
from midms.evaluation.ablation.ledger import LEDGER_BYTES, MANY
from midms.training.progress import Progress

BEGUN = {"nothing", "a link to nothing"}
"""What is the beginning of a ledger."""


def filled(line: str) -> Callable[[Path], object]:
    """As many lines as a ledger may have bytes for."""
    return said(line * (LEDGER_BYTES // len(line)))


LEDGERS: dict[str, Callable[[Path], object]] = {
    **{case: write for case, write in ANYTHING.items() if case not in BEGUN},
    **{f"line {number}": said(f"{line}\n") for number, line in enumerate(DAMAGED)},
    "after a whole line": said(f'{json.dumps(RUN)}\n{{"id": "2"}}\n{{"id": "'),
    "many empty lines": filled("\n"),
    "a line of lists": said('{"id": "1", "run": {}, "x": [' + "[]," * (LEDGER_BYTES // 3 - 20) + "[]]}\n"),
    "as many short runs as may be": said('{"id": "1", "run": {}, "refused": ""}\n' * (MANY // 2) + "x"),
    "many lists": filled('{"id": "1", "run": {}, "refused": "", "x": [[[]]]}\n'),
}


@pytest.mark.parametrize("case", LEDGERS)
def test_a_ledger_is_refused(case: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    LEDGERS[case](tmp_path / "run" / "runs.jsonl")
    line = refused(["ablate", "--vary", "matcher=nearest", "--pairs", "1", "--out", "run"], tmp_path)
    assert "runs.jsonl" in line and len(line) < 1000


@pytest.mark.parametrize("place", ["table.md", "plot.png", "sheet.png", "pictures"])
def test_what_has_no_place_in_an_ablation_is_told_before_the_runs(place: str, tmp_path: Path) -> None:
    there = tmp_path / "run" / place
    there.parent.mkdir()
    there.touch() if place == "pictures" else there.mkdir()
    line = refused(["ablate", "--vary", "matcher=nearest", "--pairs", "1", "--out", "run"], tmp_path)
    assert f"{place}: is a f" in line and "expected a" in line


DATASET = "portraits(styles=16)"
TRAIN = ["train", "--data", DATASET, "--preset", "midm-faces", "--stage", "autoencoder", "--out", "run", "--steps", "2"]
TRAIN += ["--device", "cpu", "--workers", "0", "--log-with", "none"]
CHECKPOINT = "autoencoder-00000001.checkpoint"


SETTINGS = {
    "steps": 2, "batch": 8, "seed": 0, "preset": "midm-faces", "dataset": DATASET, "pairs": SPLIT_LENGTH // 2,
    "size": 64, "precision": "no", "weights": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the checkpoint of a stage after a step holds."""
    folder = tmp_path_factory.mktemp("training")
    network = nn.ModuleDict({"autoencoder": build("midm-faces").autoencoder})
    progress = Progress(
        folder, "autoencoder", network, torch.optim.AdamW(network.parameters(), betas=(0.9, 0.98)), SETTINGS
    )
    sum(parameter.sum() for parameter in network.parameters()).backward()
    progress.advance(progress.optimiser, {"loss": 1.0})
    progress.save()
    content: dict[str, Any] = torch.load(folder / CHECKPOINT, weights_only=True)
    return content


@pytest.mark.parametrize("case", [case for case in PICKLES if case != "nothing"])
def test_what_is_no_checkpoint_of_training_is_refused(case: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    PICKLES[case](tmp_path / "run" / CHECKPOINT)
    line = refused(TRAIN, tmp_path)
    assert CHECKPOINT in line and len(line) < 1000


@pytest.mark.parametrize("case", DAMAGE)
def test_a_changed_checkpoint_of_training_is_refused(case: str, whole: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    keys, value = DAMAGE[case]
    first = next(iter(whole["network"]))
    torch.save(put(whole, [{"weight": first}.get(key, key) for key in keys], value), tmp_path / "run" / CHECKPOINT)
    line = refused(TRAIN, tmp_path)
    assert CHECKPOINT in line and len(line) < 1000


UNET = {"_class_name": "UNet2DModel", **BASE["UNet2DModel"]}
CONFIGS: dict[str, Callable[[Path], object]] = {
    **{case: write for case, write in JSONS.items() if case != "an empty mapping"},
    **{
        f"{key[:20]}: {str(value)[:20]}": said(json.dumps({**UNET, key: value}))
        for key, value in (
            ("_class_name", ["UNet2DModel"]), ("_class_name", "os.system"), ("block_out_channels", 3),
            ("block_out_channels", [2**40, 2**40]), ("block_out_channels", [32] * 100_000),
            ("block_out_channels", []), ("block_out_channels", [-32, 64]), ("layers_per_block", 1_000_000),
            ("layers_per_block", True), ("norm_num_groups", 0), ("norm_num_groups", 7), ("in_channels", 1e300),
            ("down_block_types", "DownBlock2D"), ("down_block_types", [["DownBlock2D"], {}]),
            ("down_block_types", ["os.system", "DownBlock2D"]), ("attention_head_dim", -1), ("act_fn", "eval"),
            ("act_fn", [[[[[[1]]]]]]), ("class_embed_type", {"a": 1}), ("x" * 10**6, 1),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIGS)
def test_settings_of_a_diffusers_folder_are_refused(case: str, tmp_path: Path) -> None:
    path = folder_of(tmp_path / "theirs", "UNet2DModel", {}) / "unet" / "config.json"
    path.unlink()
    CONFIGS[case](path)
    white_pictures(tmp_path)
    labels = Image.new("L", (64, 64))
    labels.paste(1, (16, 16, 48, 48))
    labels.save(tmp_path / "sketch.png")
    line = refused([*TRANSLATE, "--preset", "midm-celeba", "--weights", "theirs"], tmp_path)
    assert "theirs" in line and len(line) < 3000
