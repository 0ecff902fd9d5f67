"""The noise that diffusers' schedulers say is the noise of our levels; their other settings are refused by name."""

from __future__ import annotations

import inspect
import random
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler
from folders_of_others import BASE, filled, folder_of, write, write_scheduler

from midms.checkpoints.convert import convert, save
from midms.checkpoints.folder import read_folder
from midms.compose.presets import PRESETS
from midms.core.tensors import CheckpointError
from midms.diffusion.levels import alpha_bar, noise_levels

LEVELS = {
    "as released": ({}, (0.5105, 0.6424, 0.7729, 0.8934)),
    "zero terminal SNR": ({"rescale_betas_zero_snr": True}, (0.5056, 0.6386, 0.7703, 0.8921)),
    "trained betas": (
        {"trained_betas": torch.linspace(1e-4, 0.02, 1000).tolist()},
        (0.5241, 0.6911, 0.8440, 0.9545),
    ),
    "half as many timesteps": ({"num_train_timesteps": 500}, (0.3406, 0.5228, 0.7119, 0.8770)),
}
"""Settings, and the cumulative alphas at the four levels of the preset."""


@pytest.mark.parametrize(("settings", "expected"), LEVELS.values(), ids=LEVELS)
def test_levels_have_the_noise_that_the_scheduler_says(
    settings: dict[str, Any], expected: tuple[float, ...], tmp_path: Path
) -> None:
    write_scheduler(folder_of(tmp_path, "VQModel", BASE["VQModel"], filled("VQModel", BASE["VQModel"])), **settings)
    write(tmp_path / "unet", "UNet2DModel", BASE["UNet2DModel"], filled("UNet2DModel", BASE["UNet2DModel"]))
    found = convert(tmp_path)
    save(found, tmp_path / "out")
    timesteps = PRESETS["midm-celeba"].slots["sampler"].arguments["timesteps"]
    for schedule in (found.recipe.schedule, read_folder(tmp_path / "out").recipe.schedule):
        levels = noise_levels(timesteps, schedule)
        assert [level.alpha**2 for level in levels] == pytest.approx(expected, abs=6e-5)


SCHEDULERS = ("DDIMScheduler", "DDPMScheduler", "PNDMScheduler", "CogVideoXDDIMScheduler", "EulerDiscreteScheduler")


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_schedules_are_the_tables_of_diffusers(kind: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "VQModel", BASE["VQModel"])
    made, draw = getattr(diffusers, kind), random.Random(kind)
    for _ in range(8):
        count = draw.choice([300, 1000, 1200])
        settings: dict[str, Any] = {
            "beta_schedule": draw.choice(["linear", "scaled_linear", "squaredcos_cap_v2"]),
            "beta_start": draw.uniform(1e-4, 2e-3),
            "beta_end": draw.uniform(5e-3, 3e-2),
            "num_train_timesteps": count,
            "prediction_type": draw.choice(["epsilon", "v_prediction"]),
        }
        if draw.random() < 0.3:
            settings["trained_betas"] = [draw.uniform(1e-4, 2e-2) for _ in range(count)]
        if "rescale_betas_zero_snr" in inspect.signature(made).parameters:
            settings["rescale_betas_zero_snr"] = draw.random() < 0.3
        write_scheduler(folder, kind, **settings)
        found = convert(folder)
        expected = made(**settings).alphas_cumprod.float()
        if kind.startswith("Euler") and settings["rescale_betas_zero_snr"]:
            expected[-1] = 0  # where it has 2**-24, to divide by
        torch.testing.assert_close(
            alpha_bar(found.recipe.schedule).sqrt().float(), expected.sqrt(), rtol=1e-4, atol=1e-6
        )
        prediction = {"epsilon": None, "v_prediction": "v"}[settings["prediction_type"]]
        assert found.parts["denoiser"].arguments.get("prediction") == prediction


STEPS = {
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "trailing",
    "clip_sample_range": 2.0,
    "sample_max_value": 2.0,
    "dynamic_thresholding_ratio": 0.5,
    "use_karras_sigmas": True,
    "use_exponential_sigmas": True,
    "use_beta_sigmas": True,
    "sigma_min": 0.1,
    "sigma_max": 9.0,
    "final_sigmas_type": "sigma_min",
    "timestep_type": "continuous",
    "interpolation_type": "log_linear",
    "solver_order": 3,
    "solver_type": "heun",
    "algorithm_type": "sde-dpmsolver++",
    "lower_order_final": False,
    "euler_at_final": True,
    "predict_x0": False,
    "lambda_min_clipped": -5.1,
    "disable_corrector": [0],
    "original_inference_steps": 20,
    "timestep_scaling": 5.0,
}
"""Settings of the steps that a scheduler takes by itself, and others than usual."""
LEVELLED = {"num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type"}


@pytest.mark.parametrize(
    "kind", [*SCHEDULERS, "DPMSolverMultistepScheduler", "LCMScheduler", "UniPCMultistepScheduler"]
)
def test_a_setting_of_a_scheduler_is_used_or_of_its_own_steps_or_refused(kind: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "VQModel", BASE["VQModel"])
    refused = []
    for field in inspect.signature(getattr(diffusers, kind)).parameters:
        if field in STEPS:
            write_scheduler(folder, kind, **{field: STEPS[field]})
            assert any(
                f"{field} {STEPS[field]!r}" in note for notes in convert(folder).report.values() for note in notes
            )
            continue
        write_scheduler(folder, kind, **{field: "odd"})
        with pytest.raises(CheckpointError, match=rf"scheduler_config.json: .*{field}"):
            convert(folder)
        refused.append(field)
    assert set(refused) >= LEVELLED


@pytest.mark.parametrize("timesteps", ["timesteps", "num_train_timesteps"])
def test_a_scheduler_as_the_first_versions_of_diffusers_wrote_it(timesteps: str, tmp_path: Path) -> None:
    folder_of(tmp_path, "VQModel", BASE["VQModel"])
    older = {"timestep_values": None, "tensor_format": "pt", "trained_betas": None, timesteps: 1000}
    write_scheduler(tmp_path, _diffusers_version="0.1.2", clip_sample=False, **older)
    assert convert(tmp_path).recipe.schedule == "ldm-celeba"


def test_a_level_outside_a_schedule_or_without_x0_is_refused() -> None:
    with pytest.raises(ValueError, match="timesteps are 0 to 199, got 200"):
        noise_levels((200,), tuple(DDIMScheduler(num_train_timesteps=200).betas.tolist()))
    with pytest.raises(ValueError, match="at timestep 1 the schedule leaves nothing of x0"):
        noise_levels((1,), (0.001, 1.0))
    with pytest.raises(ValueError, match="betas must be above 0 and at most 1"):
        noise_levels((0,), (0.0, 0.1))
