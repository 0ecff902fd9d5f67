"""Configurations of CompVis' latent diffusion: every key is used, of training alone, or refused by its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from checkpoints_of_others import LDM, compvis

from midms import cli
from midms.checkpoints.convert.sizes import read_sizes

UNET = "model.params.unet_config.params"
STAGE = "model.params.first_stage_config.params.ddconfig"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compvis") / "good.ckpt"
    torch.save({"state_dict": compvis("any")}, path)
    return path


def complaint(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that `midms convert` says, leaving with status 2."""
    status = cli.main(["convert", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "") and err.count("\n") == 1, (status, out, err)
    return err


SETTINGS: dict[str, tuple[str, Any, str]] = {
    "a key is missing": (f"{UNET}.channels_mult", [1], "unet_config.params.channels_mult: there is no such setting"),
    "a key of another version": ("model.params.v_pred_new", True, "model.params.v_pred_new: there is no such setting"),
    "a key beside the model": ("optimiser", 1, "optimiser: there is no such setting, got 1"),
    "another model": ("model.target", "ldm.ddpm.LatentUpscaleDiffusion", "model.target: expected a LatentDiffusion"),
    "another schedule": ("model.params.linear_end", 0.02, None),
    "no number": ("model.params.linear_start", "x", "linear_start: expected a number, got 'x'"),
    "a way for betas to rise": ("model.params.beta_schedule", "sqrt", "beta_schedule: must be 'linear', 'sqrt"),
    "a condition": ("model.params.cond_stage_config", {"target": "BERT"}, "cond_stage_config: must be '__is_"),
    "what the condition is for": ("model.params.conditioning_key", "concat", "conditioning_key: must be None"),
    "text attention": (f"{UNET}.use_spatial_transformer", True, "use_spatial_transformer: must be False"),
    "another order of heads": (f"{UNET}.use_new_attention_order", True, "use_new_attention_order: must be F"),
    "half of biggan": (f"{UNET}.resblock_updown", True, "resblock_updown without use_scale_shift_norm"),
    "half precision": (f"{UNET}.use_fp16", True, "use_fp16: must be False, got True"),
    "other heads on the way up": (f"{UNET}.num_heads_upsample", 2, "num_heads_upsample do not go together"),
    "attention in the first stage": (f"{STAGE}.attn_resolutions", [32], r"attn_resolutions: .*, got \[32\]"),
    "a first stage that ends otherwise": (f"{STAGE}.tanh_out", True, "tanh_out: must be False, got True"),
    "another first stage": ("model.params.first_stage_config.target", "a.Identity", "got 'a.Identity'"),
    "prediction": ("model.params.parameterization", "score", "parameterization: must be 'eps', 'x0' or 'v'"),
    "a number for a list": (f"{UNET}.channel_mult", 3, "channel_mult: expected a list, got 3"),
    "an empty list": (f"{UNET}.channel_mult", [], r"channel_mult: list must have at least 1 item, .*got \[\]"),
    "a million blocks": (f"{UNET}.num_res_blocks", 10**6, "num_res_blocks: .* less than or equal to 16, got 1000000"),
    "widths without groups": (f"{UNET}.model_channels", 24, r"model_channels and channel_mult make widths of \[24, 48"),
    "widths of the stage": (f"{STAGE}.ch", 24, r"ch and ch_mult make widths of \[24, .* multiples of 32"),
    "a heads' width": (f"{UNET}.num_head_channels", 24, "num_head_channels is 24, expected a divisor of the widths"),
    "no mapping": ("model.params.unet_config", [1], r"unet_config: expected values by name, got \[1\]"),
}
"""Where a setting is, what it becomes, and what is said; or None, where the checkpoint is found to be another."""


@pytest.mark.parametrize(("key", "value", "why"), SETTINGS.values(), ids=SETTINGS)
def test_a_configuration_that_no_part_here_has(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: Any, why: str | None
) -> None:
    config = inner = yaml.safe_load(LDM.read_text())
    *way, last = key.split(".")
    for name in way:
        inner = inner[name]
    inner[last] = value
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump(config))
    line = complaint(capsys, checkpoint, "--config", tmp_path / "odd.yaml", "--out", tmp_path / "out")
    said = (
        f"{tmp_path / 'odd.yaml'}: .*{why}" if why else f".*another schedule than the betas of {tmp_path / 'odd.yaml'}"
    )
    assert re.match(f"midms: {said}", line), line
    assert not (tmp_path / "out").exists()


NOT_READ = {
    "references": ("a: &a [1, 1]\nb: [*a, *a]", r"\*a is a reference, which is not read"),
    "merged": ("a: &a {b: 1}\nc: {<<: *a}", r"\*a is a reference"),
    "deep": ("[" * 20_000, "maximum recursion depth exceeded"),
    "large": ("#" * 40_000, "has 40,000 bytes, expected at most 32,768"),
    "a call": ("!!python/object/apply:os.getpid []", "could not determine a constructor"),
    "a tag that is not so": ("a: !!bool x", "cannot be read as YAML"),
    "a number without an end": (f"a: {'9' * 9999}", "Exceeds the limit"),
    "empty": ("", "expected values by name, got None"),
}


@pytest.mark.parametrize(("text", "why"), NOT_READ.values(), ids=NOT_READ)
def test_a_yaml_that_is_not_read(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    line = complaint(capsys, checkpoint, "--config", tmp_path / "odd.yaml", "--out", tmp_path / "out")
    assert re.match(f"midms: {tmp_path / 'odd.yaml'}: .*{why}", line), line


def test_numbers_are_read_as_omegaconf_reads_them(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(LDM.read_text().replace("0.0015", "15e-4"))
    assert read_sizes(tmp_path / "odd.yaml") == read_sizes(LDM)
