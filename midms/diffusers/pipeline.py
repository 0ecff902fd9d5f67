"""The pipeline of diffusers: its arguments there, our pipeline's result."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    FluxTransformer2DModel,
    SchedulerMixin,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from midms.checkpoints.convert.hub import ENCODERS
from midms.core.types import Level, Noise, Prompt
from midms.diffusers import arguments
from midms.diffusers.callbacks import latents_of, with_callback
from midms.diffusers.components import Components, check_preset, said_of, slots_of, trained_in
from midms.pipeline.decoded import Decoded
from midms.pipeline.pipeline import Pipeline
from midms.pipeline.result import Translation

OUTPUTS = ("pil", "np", "pt", "latent")
KEPT_COMPONENTS = ("safety_checker", "feature_extractor", "image_encoder")
"""Components of other pipelines, which are kept for these."""
Callback = Callable[[DiffusionPipeline, int, float, dict[str, Tensor]], dict[str, Tensor] | None]
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
        scheduler: of the model. Another one in its place is the sampler, `diffusers:<Scheduler>`, on the timesteps of
            the preset's.
        unet: the network of Stable Diffusion 1 and 2, and of SDXL.
        transformer: that of Stable Diffusion 3 and of FLUX.1.
        text_encoder: of prompts.
        tokenizer: of it.
        text_encoder_2: the second, where the model has one.
        tokenizer_2: of it.
        text_encoder_3: the third of Stable Diffusion 3, which may be left out.
        tokenizer_3: of it.
        safety_checker: of pipelines of Stable Diffusion 1: kept for them, and not run.
        feature_extractor: the same.
        image_encoder: the same.
        preset: of midms, such as sd-warp, sd-ctrlx or flux-graft.
        slots: parts and settings in the place of the preset's, as the shell takes them: `{"matcher":
            "optimal-transport", "confidence": "cycle(radius=0.1)", "rematch": (1,)}`.
        force_zeros_for_empty_prompt: whether an empty negative prompt of SDXL is one of zeros.
        trained_with: settings of the scheduler that the network was trained with; by default those in the folder that
            the network is from, and where there are none those of `scheduler`, which is then warned of.

    Raises:
        ValueError: an argument is not as it should be.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->text_encoder_3->unet->transformer->vae"
    _optional_components: ClassVar[list[str]] = [
        "unet",
        "transformer",
        *ENCODERS,
        "tokenizer",
        "tokenizer_2",
        "tokenizer_3",
        *KEPT_COMPONENTS,
    ]
    _callback_tensor_inputs: ClassVar[list[str]] = ["latents"]

    def __init__(
        self,
        vae: AutoencoderKL,
        scheduler: Any,
        unet: UNet2DConditionModel | None = None,
        transformer: SD3Transformer2DModel | FluxTransformer2DModel | None = None,
        text_encoder: PreTrainedModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        text_encoder_2: PreTrainedModel | None = None,
        tokenizer_2: PreTrainedTokenizerBase | None = None,
        text_encoder_3: PreTrainedModel | None = None,
        tokenizer_3: PreTrainedTokenizerBase | None = None,
        safety_checker: Any = None,
        feature_extractor: Any = None,
        image_encoder: Any = None,
        preset: str = "sd-warp",
        slots: dict | None = None,
        force_zeros_for_empty_prompt: bool = True,
        trained_with: dict | None = None,
    ) -> None:
        super().__init__()
        check_preset(preset)
        if not isinstance(scheduler, SchedulerMixin):
            raise ValueError(f"scheduler: expected one of diffusers, got {type(scheduler).__name__}")
        if not isinstance(trained_with, dict | None):
            raise ValueError(f"trained_with: expected the settings of a scheduler by name, got {trained_with!r}")
        if safety_checker is not None:
            warnings.warn("safety_checker: is kept for other pipelines and not run: nothing is checked", stacklevel=2)
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
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
            image_encoder=image_encoder,
        )
        network = transformer if unet is None else unet
        trained_with = trained_with or trained_in(network)
        if network is not None and trained_with is None:
            warnings.warn(
                "trained_with: nothing says with which schedule the network was trained, that of scheduler, "
                f"{type(scheduler).__name__}, is taken",
                stacklevel=2,
            )
        trained_with = trained_with or said_of(scheduler)
        self.register_to_config(preset=preset, slots=slots_of(slots), trained_with=trained_with)
        self.register_to_config(force_zeros_for_empty_prompt=force_zeros_for_empty_prompt)
        self._interrupt, self._num_timesteps = False, 0

    @property
    def interrupt(self) -> bool:
        """Whether a callback set `_interrupt`: the picture is then what x0 is after that step."""
        return self._interrupt

    @property
    def num_timesteps(self) -> int:
        """How many steps the call has that is under way, or the last one."""
        return self._num_timesteps

    @torch.no_grad()
    def __call__(
        self,
        image: Any,
        exemplar: Any,
        prompt: str | Sequence[str] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: Noise = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] | None = ("latents",),
        **options: Any,
    ) -> MIDMsPipelineOutput | tuple[Any]:
        """Give the exemplar the structure of a picture.

        Args:
            image: the photo or drawing whose structure is kept, a picture of any kind that midms reads.
            exemplar: whose appearance is taken, or several in a list.
            prompt: what the result shall show, one text, in a list or not; None for an empty one.
            negative_prompt: what it shall not.
            num_inference_steps: evenly from the preset's first timestep to its last; None for the preset's own.
            guidance_scale: from the negative prompt to the positive one, none up to 1; None for what the model takes
                usually.
            generator: where the noise comes from, see `midms.core.types.Noise`; None for PyTorch's own.
            output_type: "pil"; "np" [1 h w 3] or "pt" [1 3 h w], in [0, 1]; or "latent" [1 c h w].
            return_dict: whether an output comes back, or a tuple of the images alone.
            callback_on_step_end: called after each step; latents that it gives back are gone on with, after the last
                step x0.
            callback_on_step_end_tensor_inputs: what it is given: "latents".
            **options: of `midms.pipeline.translate.translate`, such as size, regions, anchors. Arguments of other
                pipelines of diffusers are refused with what is in their place here.

        Raises:
            ValueError: an argument is not as it should be.
            TypeError: there is no such argument.
            CheckpointError: a component does not fit.
        """
        if output_type not in OUTPUTS:
            raise ValueError(f"output_type must be one of {', '.join(OUTPUTS)}, got {output_type!r}")
        if callback_on_step_end is not None and not callable(callback_on_step_end):
            raise ValueError(f"callback_on_step_end: expected a function, got {callback_on_step_end!r}")
        if isinstance(callback_on_step_end, PipelineCallback | MultiPipelineCallbacks):
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs
        shown = ("latents",) if callback_on_step_end_tensor_inputs is None else callback_on_step_end_tensor_inputs
        shown = (shown,) if isinstance(shown, str) else shown
        if strange := [name for name in shown if name not in self._callback_tensor_inputs]:
            raise ValueError(
                f"`callback_on_step_end_tensor_inputs` has to be in {self._callback_tensor_inputs}, but found {strange}"
            )
        options = arguments.options_of(options, inspect.signature(type(self).__call__).parameters)
        positive, negative = arguments.text("prompt", prompt), arguments.text("negative_prompt", negative_prompt)
        image = arguments.picture("image", image)
        distilled = self.transformer is not None and bool(self.transformer.config.get("guidance_embeds"))
        words = Prompt(positive, negative, arguments.guidance(guidance_scale, distilled))
        self._interrupt = False
        midm = self.midm(words, num_inference_steps)
        self._num_timesteps = len(midm.sampler.levels)
        with self.progress_bar(total=self._num_timesteps) as bar:

            def step_ended(level: Level, latents: Tensor) -> Tensor:
                bar.update()
                if callback_on_step_end is None:
                    return latents
                given = {"latents": latents} if shown else {}
                return latents_of(callback_on_step_end(self, level.index, level.timestep, given), latents)

            running = with_callback(midm, step_ended, lambda: self._interrupt)
            with arguments.image_in_errors():
                found = running.translate(image, exemplar, generator=generator, **options)
        images = _images(found, midm, output_type)
        self.maybe_free_model_hooks()
        return MIDMsPipelineOutput(images=images, translation=found) if return_dict else (images,)

    def midm(self, prompt: str | Prompt = "", num_inference_steps: int | None = None) -> Pipeline:
        """The same as a pipeline of midms, around the same networks; arguments as of a call.

        Raises:
            CheckpointError: a component does not fit.
            BuildError: a part does not.
            ValueError: an argument is not as it should be.
        """
        words = prompt if isinstance(prompt, Prompt) else Prompt(arguments.text("prompt", prompt))
        return Components(self).midm(words, num_inference_steps, self._execution_device)


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
