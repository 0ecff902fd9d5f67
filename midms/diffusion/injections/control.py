"""Control: residuals of a network that was trained to keep the condition's structure, ControlNet's or T2I-Adapter's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from midms.core import limits
from midms.core.injection import LayerMatching, References
from midms.core.precision import rounded
from midms.core.schema import read_json
from midms.core.types import Context, Level, rendered
from midms.diffusion.injections.common import check_parts, check_share
from midms.diffusion.lean import load_network

KINDS_OF_CONTROL = {
    "ControlNetModel": "diffusers.models.controlnets.controlnet",
    "T2IAdapter": "diffusers.models.adapter",
}
"""Classes of diffusers, and where they are."""


class Control(nn.Module):
    """ControlNet (Zhang et al. 2023, arXiv:2302.05543) or T2I-Adapter (Mou et al. 2023, arXiv:2302.08453) of diffusers.

    Beside whatever matches: the loop, and another injection. It sees the condition map in [0, 1], of which a ControlNet
    was trained on a kind of its own, such as edges or poses: `condition` has to be that. What goes into the network is
    as in diffusers' pipelines. Passes of references, which injections run, are not controlled.

    To choose with weights of Stable Diffusion or SDXL, where the drawing's structure has to be kept exactly.

    Args:
        network: a `ControlNetModel` or `T2IAdapter` of diffusers, or a folder of one, for the U-Net of the weights.
        scale: how much of its residuals is added, diffusers' `controlnet_conditioning_scale`.
        first: share of the levels that are left alone before.
        last: share after which they are left alone again.
        beside: another injection, of which the passes of the picture are controlled; None for none.

    Raises:
        ValueError: the network is none of these, the folder has none, or an argument is not as it should be.
    """

    nested: ClassVar[Mapping[str, str]] = {"beside": "injection"}
    own_weights = True
    """They are where the network is from, and not among those of a composition."""

    def __init__(
        self, network: Any, scale: float = 1.0, first: float = 0.0, last: float = 1.0, beside: Any = None
    ) -> None:
        super().__init__()
        check_share(first=first, last=last)
        limits.number(0, 100, False, scale=scale)
        if beside is not None:
            check_parts(beside=beside)
        self.network = _network(network)
        self.scale, self.first, self.last, self.beside = scale, first, last, beside
        self.requires_grad_(False).eval()

    def check(self, denoiser: Any) -> None:
        """Find out whether the denoiser has a U-Net that takes residuals, and the other injection its layers.

        Raises:
            ValueError: it has not.
        """
        if type(getattr(denoiser, "network", None)).__name__ != "UNet2DConditionModel":
            raise ValueError(f"{type(denoiser).__name__} takes no control, the U-Net of Stable Diffusion or SDXL does")
        if self.beside is not None:
            self.beside.check(denoiser)

    def forward(
        self,
        denoiser: Any,
        x: Float[Tensor, "b c h w"],
        level: Level,
        context: Context,
        references: References,
        matching: LayerMatching,
    ) -> Float[Tensor, "b c h w"]:
        """x0 of a noisy latent, as the denoiser predicts it under control."""
        seen = _Controlled(self, denoiser) if self.first <= references.done < self.last else denoiser
        if self.beside is None:
            return seen(x, level, context)  # type: ignore[no-any-return]
        return self.beside(seen, x, level, context, references, matching)  # type: ignore[no-any-return]


class _Controlled:
    """A denoiser whose passes are controlled.

    Attributes:
        bare: the denoiser, for passes of references.
    """

    def __init__(self, control: Control, bare: Any) -> None:
        self.control, self.bare = control, bare

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bare, name)

    def __call__(self, x: Tensor, level: Level, context: Context) -> Tensor:
        with residuals(self.bare.network, self.control.network, rendered(context.condition), self.control.scale):
            return self.bare(x, level, context)  # type: ignore[no-any-return]

    def guided_by(self, guidance: float) -> _Controlled:
        """The same under another guidance."""
        return _Controlled(self.control, self.bare.guided_by(guidance))


@contextmanager
def residuals(unet: Any, control: Any, picture: Float[Tensor, "b 3 Y X"], scale: float) -> Iterator[None]:
    """For as long as it lasts, a U-Net is called with the residuals of a network that sees what it is called with.

    Args:
        unet: of diffusers.
        control: `ControlNetModel` or `T2IAdapter`.
        picture: that control is trained to keep, in [0, 1].
        scale: of residuals.
    """

    def add(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        sample, timestep, tokens = given
        shown = rounded(picture, control).to(sample.device)
        shown = shown.repeat(len(sample) // len(shown), 1, 1, 1)
        if type(control).__name__ == "T2IAdapter":
            found = [scale * one.to(sample.dtype) for one in control(shown)]
            return given, named | {"down_intrablock_additional_residuals": found}
        sample, tokens = (rounded(one, control) for one in (sample, tokens))
        more = {"added_cond_kwargs": named["added_cond_kwargs"]} if "added_cond_kwargs" in named else {}
        down, middle = control(
            sample, timestep, tokens, controlnet_cond=shown, conditioning_scale=scale, return_dict=False, **more
        )
        added = {
            "down_block_additional_residuals": [one.to(given[0].dtype) for one in down],
            "mid_block_additional_residual": middle.to(given[0].dtype),
        }
        return given, named | added

    hook = unet.register_forward_pre_hook(add, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def _network(network: Any) -> Any:
    """A network as it is given, or out of a folder of diffusers."""
    if type(network).__name__ in KINDS_OF_CONTROL:
        return network
    if not isinstance(network, str | Path) or not Path(network, "config.json").is_file():
        given = network if isinstance(network, str | Path) else type(network).__name__
        expected = f"a {' or '.join(KINDS_OF_CONTROL)} of diffusers or a folder of one"
        raise ValueError(f"network must be {expected}, with config.json, got {given}")
    content = read_json(Path(network, "config.json"), ValueError)
    kind = content.get("_class_name") if isinstance(content, dict) else None
    if kind not in KINDS_OF_CONTROL:
        raise ValueError(f"network: {network} is for {kind!r}, supported: {', '.join(KINDS_OF_CONTROL)}")
    return load_network(KINDS_OF_CONTROL[kind], kind).from_pretrained(
        network, local_files_only=True, use_safetensors=True
    )
