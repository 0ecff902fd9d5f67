"""What the configurations of others say: every setting is used, is as it usually is, or is refused by its name."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Annotated, Any, TypeVar

import torch
from pydantic import Field, Strict

from midms.core.schema import BRIEF, Schema, checked
from midms.core.tensors import FEW, CheckpointError
from midms.diffusion.levels import SCHEDULES, Schedule, alpha_bar

Channels = Annotated[int, Field(ge=1, le=2**14)]
Layers = Annotated[int, Field(ge=1, le=16)]
Groups = Annotated[int, Field(ge=1, le=2**10)]
Codes = Annotated[int, Field(ge=1, le=2**20)]
Timesteps = Annotated[int, Field(ge=1, le=10_000)]
Beta = Annotated[float, Field(gt=0, le=1)]
Betas = Annotated[tuple[Beta, ...], Strict(False), Field(min_length=1, max_length=10_000)]
Scale = Annotated[float, Field(gt=0, le=1e6)]
Widths = Annotated[tuple[Channels, ...], Strict(False), Field(min_length=1, max_length=8)]
Kinds = Annotated[tuple[str, ...], Strict(False), Field(min_length=1, max_length=8)]
M = TypeVar("M", bound=Schema)


def settled(model: type[M], content: object, kind: Any, unused: Collection[str], where: str) -> M:
    """The settings of a class of diffusers that are used here, if all the others are as they usually are.

    Args:
        model: the settings that are used, with their types and limits.
        content: all settings, from a file; where it leaves one out, it is what diffusers takes then.
        kind: the class that they are for; its signature has all settings of the diffusers that is installed.
        unused: settings that may be anything, for they change no number here.
        where: what errors call the content.

    Raises:
        CheckpointError: it holds no settings, one that is used is not as it must be, or another one is not as usual or
            not known; the message names them.
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{where}: expected settings by name, got {BRIEF.repr(content)}")
    own = {key: value for key, value in content.items() if not str(key).startswith("_")}
    usual = {key: parameter.default for key, parameter in inspect.signature(kind).parameters.items()}
    wrong = []
    for key, value in own.items():
        if key in model.model_fields or key in unused:
            continue
        if key not in usual:
            wrong.append(f"{BRIEF.repr(key)} is no setting of {kind.__name__} that is known here")
        elif not _same(value, usual[key]):
            wrong.append(f"{key} is {BRIEF.repr(value)}, supported: {usual[key]!r}")
    if wrong:
        more = f" and {len(wrong) - FEW:,} more" if len(wrong) > FEW else ""
        raise CheckpointError(f"{where}: {'; '.join(wrong[:FEW])}{more}", wrong)
    used = {key: own.get(key, usual.get(key)) for key in model.model_fields if key in own or key in usual}
    return checked(model, used, where, CheckpointError)


def _same(value: object, usual: object) -> bool:
    """Whether a setting is as usual; JSON has lists for tuples."""
    return value == (list(usual) if isinstance(usual, tuple) else usual)


class NoiseSettings(Schema):
    """Settings of diffusers that decide how much noise there is at a timestep."""

    num_train_timesteps: Timesteps
    beta_start: Beta
    beta_end: Beta
    beta_schedule: str
    trained_betas: Betas | None
    rescale_betas_zero_snr: bool = False


def schedule_of(kind: Any, noise: NoiseSettings, where: str) -> Schedule:
    """The schedule that a scheduler of diffusers trains with: its name here, or the betas.

    Args:
        kind: the class.
        noise: its settings.
        where: what errors call them.

    Raises:
        CheckpointError: the class has no such schedule, or one whose signal does not fall.
    """
    known = inspect.signature(kind).parameters
    try:
        table = kind(
            **{key: getattr(noise, key) for key in NoiseSettings.model_fields if key in known}
        ).alphas_cumprod.double()
        for name in SCHEDULES:
            if alpha_bar(name).shape == table.shape and torch.allclose(alpha_bar(name), table, 1e-4, 1e-7):
                return name
        if noise.rescale_betas_zero_snr:
            table[-1] = 0  # Euler's schedulers have 2**-24 there, to divide by
        before = torch.cat([table.new_ones(1), table[:-1]])
        betas = tuple((1 - table / before).tolist())
        alpha_bar(betas)
    except NotImplementedError:
        raise CheckpointError(
            f"{where}: beta_schedule is {BRIEF.repr(noise.beta_schedule)}, which is unknown"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{where}: no noise schedule ({error})") from None
    return betas
