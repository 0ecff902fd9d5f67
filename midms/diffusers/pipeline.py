"""The pipeline of diffusers: its arguments there, our pipeline's result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, ModelMixin
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from midms.checkpoints.convert.hub import ENCODERS
from midms.compose.spec import Spec
from midms.core.types import Level, Prompt
from midms.diffusers.callbacks import with_callback
from midms.diffusers.components import Components, said_of
from midms.pipeline.decoded import Decoded
from midms.pipeline.pipeline import Pipeline
from midms.pipeline.result import Translation

OUTPUTS = ("pil", "np", "pt", "latent")
Callback = Callable[[DiffusionPipeline, int, float, dict[str, Tensor]], dict[str, Tensor]]
"""After each step: from the pipeline, the step's number, its timestep and latents to latents to go on with."""


@dataclass
class MIDMsPipelineOutput(BaseOutput):
    """What a call gives.

    Attributes:
        images: pictures; an array [b h w 3] or a tensor [b 3 h w] in [0, 1], or latents, as `output_type` says.
        translation: how they came about: flow, confidence, figure.
    """

    images: list[Image.Image] | np.ndarray | Tensor
    translation: Translation


_Base: Any = DiffusionPipeline
"""Whose types cannot be read."""


class MIDMsPipeline(_Base):
    """Exemplar-based translation with Stable Diffusion 1 and 2, SDXL, Stable Diffusion 3 or FLUX.1.

    The components are diffusers' own, as they lie in a folder of diffusers, and are used as they are: what diffusers
    does to them, such as offloading or tiling, holds here. What is done with them is a preset of midms.

    Args:
        vae: the autoencoder.
        scheduler: says with which schedule the network was trained. Another one in its place is the sampler,
            `diffusers:<Scheduler>`, on the timesteps of the preset's.
        unet: the network of Stable Diffusion 1 and 2, and of SDXL.
        transformer: that of Stable Diffusion 3 and of FLUX.1.
        text_encoder: of prompts.
        tokenizer: of it.
        text_encoder_2: the second, where the model has one.
        tokenizer_2: of it.
        text_encoder_3: the third of Stable Diffusion 3, which may be left out.
        tokenizer_3: of it.
        preset: of midms, such as sd-warp, sd-ctrlx or flux-graft.
        slots: parts and settings in the place of the preset's, as the shell takes them: `{"matcher":
            "optimal-transport", "confidence": "cycle(radius=0.1)", "rematch": (1,)}`.
        force_zeros_for_empty_prompt: whether an empty negative prompt of SDXL is one of zeros.
        trained_with: settings of the scheduler that the network was trained with, where `scheduler` is another.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->text_encoder_3->unet->transformer->vae"
    _optional_components: ClassVar[list[str]] = [
        "unet",
        "transformer",
        *ENCODERS,
        "tokenizer",
        "tokenizer_2",
        "tokenizer_3",
    ]
    _callback_tensor_inputs: ClassVar[list[str]] = ["latents"]

    def __init__(
        self,
        vae: AutoencoderKL,
        scheduler: Any,
        unet: ModelMixin | None = None,
        transformer: ModelMixin | None = None,
        text_encoder: PreTrainedModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        text_encoder_2: PreTrainedModel | None = None,
        tokenizer_2: PreTrainedTokenizerBase | None = None,
        text_encoder_3: PreTrainedModel | None = None,
        tokenizer_3: PreTrainedTokenizerBase | None = None,
        preset: str = "sd-warp",
        slots: dict | None = None,
        force_zeros_for_empty_prompt: bool = True,
        trained_with: dict | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae,
            scheduler=scheduler,
            unet=unet,
            transformer=transformer,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            text_encoder_2=text_encoder_2,
            tokenizer_2=tokenizer_2,
            text_encoder_3=text_encoder_3,
            tokenizer_3=tokenizer_3,
        )
        typed = {name: one.typed() if isinstance(one, Spec) else one for name, one in (slots or {}).items()}
        trained_with = trained_with or said_of(scheduler)
        self.register_to_config(preset=preset, slots=typed, trained_with=trained_with)
        self.register_to_config(force_zeros_for_empty_prompt=force_zeros_for_empty_prompt)
        self._interrupt = False

    @property
    def interrupt(self) -> bool:
        """Whether a callback set `_interrupt`: the picture is then what x0 is after that step."""
        return self._interrupt

    @torch.no_grad()
    def __call__(
        self,
        image: Any,
        exemplar: Any,
        prompt: str = "",
        negative_prompt: str = "",
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        **options: Any,
    ) -> MIDMsPipelineOutput | tuple[Any]:
        """Give the exemplar the structure of a picture.

        Args:
            image: the photo or drawing whose structure is kept, a picture of any kind that midms reads.
            exemplar: whose appearance is taken, or several in a list.
            prompt: what the result shall show.
            negative_prompt: what it shall not.
            num_inference_steps: evenly from the preset's first timestep to its last; None for the preset's own.
            guidance_scale: from the negative prompt to the positive one; None for what the model takes usually.
            generator: of the noise; None for PyTorch's own.
            output_type: "pil"; "np" [1 h w 3] or "pt" [1 3 h w], in [0, 1]; or "latent" [1 c h w].
            return_dict: whether an output comes back, or a tuple of the images alone.
            callback_on_step_end: called after each step; latents that it gives back are gone on with, after the last
                step x0.
            callback_on_step_end_tensor_inputs: what it is given: "latents".
            **options: of `midms.pipeline.translate.translate`, such as size, regions, anchors.

        Raises:
            ValueError: an argument is not as it should be.
            CheckpointError: a component does not fit.
        """
        if output_type not in OUTPUTS:
            raise ValueError(f"output_type must be one of {', '.join(OUTPUTS)}, got {output_type!r}")
        if strange := [name for name in callback_on_step_end_tensor_inputs if name not in self._callback_tensor_inputs]:
            raise ValueError(
                f"`callback_on_step_end_tensor_inputs` has to be in {self._callback_tensor_inputs}, but found {strange}"
            )
        self._interrupt = False
        midm = self.midm(Prompt(prompt, negative_prompt, guidance_scale), num_inference_steps)
        with self.progress_bar(total=len(midm.sampler.levels)) as bar:

            def step_ended(level: Level, latents: Tensor) -> Tensor:
                bar.update()
                if callback_on_step_end is None:
                    return latents
                given = {"latents": latents} if callback_on_step_end_tensor_inputs else {}
                return callback_on_step_end(self, level.index, level.timestep, given).get("latents", latents)

            running = with_callback(midm, step_ended, lambda: self._interrupt)
            found = running.translate(image, exemplar, generator=generator, **options)
        images = _images(found, midm, output_type)
        self.maybe_free_model_hooks()
        return MIDMsPipelineOutput(images=images, translation=found) if return_dict else (images,)

    def midm(self, prompt: Prompt, num_inference_steps: int | None = None) -> Pipeline:
        """The same as a pipeline of midms, around the same networks; arguments as of a call.

        Raises:
            CheckpointError: a component does not fit.
            BuildError: a part does not.
        """
        return Components(self).midm(prompt, num_inference_steps, self._execution_device)


def _images(found: Translation, midm: Pipeline, output_type: str) -> Any:
    """The result in the form that is asked for."""
    if output_type == "pil":
        return [found.image]
    assert isinstance(found.stages, Decoded)
    latent = found.stages.latents[-1]
    if output_type == "latent":
        return latent
    plain = found.frames[0].crop(midm.autoencoder.decode(latent))
    picture = plain if found.finished is None else found.finished.image
    shown = (picture / 2 + 0.5).clamp(0, 1)
    return shown if output_type == "pt" else shown.cpu().permute(0, 2, 3, 1).float().numpy()
