"""Arguments of a call as users of diffusers give them: taken, or refused with what is in their place here."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor

from midms.compose.slots import SLOTS
from midms.core.limits import number
from midms.images import PictureError
from midms.loop import POLICY
from midms.pipeline.translate import translate
from midms.registry import unknown

_SAMPLER = (
    "levels of noise are the sampler's, MIDMsPipeline.from_pipe(pipe, slots={'sampler': "
    "'ddim(timesteps=(781, 521, 261, 1), eta=0.0)'})"
)
_INJECTION = "an injection does that, MIDMsPipeline.from_pipe(pipe, slots={'injection': "
_PROMPT = "texts are embedded here, all text encoders are given prompt and negative_prompt"
_USUAL = "it is what the model usually has"
_REFUSED: dict[str, tuple[str, ...]] = {
    "the result has the proportions of image; size= is the pixels of its shorter side, of the longer where the weights "
    "know square pictures alone": ("height", "width"),
    _SAMPLER: ("strength", "timesteps", "sigmas", "eta", "denoising_start", "denoising_end", "mu"),
    "a call makes one picture; call again with another generator": ("num_images_per_prompt",),
    "noise is drawn from generator, which may be a function from a shape to a tensor": ("latents",),
    _PROMPT: (
        *("prompt_2", "prompt_3", "negative_prompt_2", "negative_prompt_3", "prompt_embeds", "negative_prompt_embeds"),
        *("pooled_prompt_embeds", "negative_pooled_prompt_embeds"),
    ),
    f"{_INJECTION}\"ip-adapter(file='FILE', encoder='FOLDER')\"}}), and exemplar is its picture": (
        *("ip_adapter_image", "ip_adapter_image_embeds"),
        *("negative_ip_adapter_image", "negative_ip_adapter_image_embeds"),
    ),
    f"{_INJECTION}\"control(network='FOLDER', scale=0.8)\"}})": (
        *("control_image", "controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end"),
        "guess_mode",
    ),
    "exemplar_regions= is what may be taken from the exemplar, regions= where each of several goes": (
        "mask_image",
        "masked_image_latents",
        "padding_mask_crop",
    ),
    "guidance_scale is the only guidance": ("true_cfg_scale", "guidance_rescale"),
    _USUAL: (
        *("clip_skip", "max_sequence_length", "cross_attention_kwargs", "joint_attention_kwargs", "original_size"),
        *("target_size", "crops_coords_top_left", "negative_original_size", "negative_target_size"),
        *("negative_crops_coords_top_left", "aesthetic_score", "negative_aesthetic_score"),
    ),
    "callback_on_step_end is called after each step": ("callback", "callback_steps"),
}
_INSTEAD = {name: instead for instead, names in _REFUSED.items() for name in names}
_OPTIONS = [name for name, one in inspect.signature(translate).parameters.items() if one.kind is one.KEYWORD_ONLY]


def options_of(given: Mapping[str, Any], taken: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `translate` among further arguments of a call.

    Args:
        given: further arguments; those of other pipelines of diffusers may be None, which is to leave them out.
        taken: the arguments that the call has itself, by name.

    Raises:
        TypeError: one is of another pipeline of diffusers, or of none; the message says what is in its place.
    """
    given = {name: value for name, value in given.items() if name not in _INSTEAD or value is not None}
    if given.get("num_images_per_prompt") == 1:
        del given["num_images_per_prompt"]
    for name in given:
        if name in _INSTEAD:
            raise TypeError(f"{name}: no argument of MIDMsPipeline: {_INSTEAD[name]}")
        if name in ("preset", *SLOTS, *POLICY):
            given_so = "preset=..." if name == "preset" else f"slots={{{name!r}: ...}}"
            raise TypeError(f"{name}: is chosen when a pipeline is made, MIDMsPipeline.from_pipe(pipe, {given_so})")
        if name not in _OPTIONS:
            known = [one for one in [*taken, *_OPTIONS] if one not in ("self", "options")]
            raise TypeError(unknown("argument of MIDMsPipeline", name, known))
    return given


def text(name: str, value: Any) -> str:
    """One prompt, alone or in a list; None for an empty one.

    Raises:
        ValueError: there are several, or it is none.
    """
    if isinstance(value, list | tuple):
        value = value[0] if one_of(name, value, "text") else None
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name}: expected a text, got {type(value).__name__}")
    return value or ""


def picture(name: str, value: Any) -> Any:
    """One picture, alone, in a list, or in a batch of one.

    Raises:
        ValueError: there are several, or it is what diffusers takes for a latent.
    """
    if isinstance(value, Tensor) and value.ndim > 2 and value.shape[-3] == 4:
        raise ValueError(f"{name}: a tensor of four channels is a latent in diffusers, expected a picture of three")
    batch = isinstance(value, list | tuple) or (isinstance(value, np.ndarray | Tensor) and value.ndim == 4)
    return value[0] if batch and one_of(name, value, "picture") else value


@contextmanager
def image_in_errors() -> Iterator[None]:
    """What errors of pictures call the condition, `image` is its name here."""
    try:
        yield
    except PictureError as error:
        if str(error).startswith("condition:"):
            raise PictureError(f"image{str(error).removeprefix('condition')}") from None
        raise


def one_of(name: str, values: Any, what: str) -> bool:
    """Find out whether there is one.

    Raises:
        ValueError: there are several, or none.
    """
    if len(values) != 1:
        raise ValueError(f"{name}: has {len(values)}, expected one {what}: call once for each")
    return True


def guidance(value: Any, distilled: bool) -> float | None:
    """A guidance; up to 1 there is none, as in diffusers, but for networks that imitate it; None for the usual one.

    Args:
        value: `guidance_scale`.
        distilled: whether the network imitates it.

    Raises:
        OutOfLimits: it is no finite number from 0 on.
    """
    if value is None:
        return None
    number(0, 1000, guidance_scale=value)
    return float(value) if distilled else max(1.0, float(value))
