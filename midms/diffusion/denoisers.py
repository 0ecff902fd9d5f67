"""Networks wrapped once: whatever they predict, a denoiser gives x0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Real
from torch import Tensor, nn

from midms.core import limits
from midms.core.types import Context, Level
from midms.networks.lean import load
from midms.networks.precision import rounded

UNet2DModel = load("diffusers.models.unets.unet_2d", "UNet2DModel")
Attention = load("diffusers.models.attention_processor", "Attention")
PREDICTIONS = ("eps", "v", "x0", "flow", "difference")


def unet(
    inputs: int,
    outputs: int,
    widths: tuple[int, ...],
    attention: tuple[bool, ...],
    layers: int,
    head_dim: int,
    norm_groups: int,
    heads: int | None = None,
    biggan: bool = False,
) -> Any:
    """A diffusers U-Net with one level a width and attention where it is asked for, laid out channels last.

    Args:
        inputs: channels of what it is given.
        outputs: channels of what it gives.
        widths: channels of each level.
        attention: whether each level attends.
        layers: residual blocks a level.
        head_dim: width of an attention head.
        norm_groups: groups of the normalisation.
        heads: so many heads at every level, whatever their width, instead of `head_dim`.
        biggan: whether residual blocks resample, and are scaled and shifted by the timestep (Dhariwal and Nichol 2021,
            arXiv:2105.05233, sec. 3), instead of convolutions that resample and blocks that are shifted.

    Raises:
        ValueError: the levels do not agree in number, or a width cannot be divided into groups or heads.
    """
    limits.channels(norm_groups=norm_groups, head_dim=head_dim, **({} if heads is None else {"heads": heads}))
    limits.channels_of(None, widths=widths)
    limits.whole(1, 16, layers=layers)
    if not isinstance(attention, list | tuple) or len(widths) != len(attention):
        raise ValueError(f"attention must say yes or no for each of the {len(widths)} widths, got {attention}")
    attended = [*(width for width, attend in zip(widths, attention, strict=True) if attend), widths[-1]]
    divisors = [("norm_groups", norm_groups, widths), ("heads", heads or 1, attended)]
    divisors += [] if heads else [("head_dim", head_dim, attended)]
    for name, size, affected in divisors:
        if any(width % size for width in affected):
            raise ValueError(f"widths must be multiples of {name}={size}, got {widths}")
    plain = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D") if biggan else ("DownBlock2D", "UpBlock2D")
    network = UNet2DModel(
        in_channels=inputs,
        out_channels=outputs,
        layers_per_block=layers,
        block_out_channels=widths,
        down_block_types=tuple("AttnDownBlock2D" if attend else plain[0] for attend in attention),
        up_block_types=tuple("AttnUpBlock2D" if attend else plain[1] for attend in reversed(attention)),
        attention_head_dim=min(attended) // heads if heads else head_dim,
        norm_num_groups=norm_groups,
        attn_norm_num_groups=norm_groups,  # else the middle attention of `biggan` has no normalisation
        downsample_type="resnet" if biggan else "conv",
        upsample_type="resnet" if biggan else "conv",
        resnet_time_scale_shift="scale_shift" if biggan else "default",
    )
    if heads:
        for module in network.modules():
            if isinstance(module, Attention):
                module.heads, module.scale = heads, (module.inner_dim // heads) ** -0.5
    return nn.Module.to(network, memory_format=torch.channels_last)  # diffusers' own `to` imports torch's compiler


def run(network: Any, x: Float[Tensor, "b c h w"], timestep: Real[Tensor, " b"]) -> Float[Tensor, "b o h w"]:
    """The network on a grid of any size: padded by repetition to what its levels need, and cut back."""
    h, w = x.shape[-2:]
    multiple = 2 ** (len(network.config["block_out_channels"]) - 1)
    down, right = -h % multiple, -w % multiple
    if down or right:
        x = F.pad(x, (0, right, 0, down), mode="replicate")
    seen = rounded(x, network).contiguous(memory_format=torch.channels_last)
    return network(seen, timestep).sample[..., :h, :w].to(x.dtype)


def everywhere(x: Float[Tensor, "b c h w"], level: Level) -> tuple[Real[Tensor, " b"], Tensor, Tensor]:
    """A level's timestep, alpha and sigma for each sample of a batch."""
    column = x.new_ones(len(x), 1, 1, 1)
    kind = torch.int64 if isinstance(level.timestep, int) else torch.float32
    timestep = torch.full((len(x),), level.timestep, dtype=kind, device=x.device)
    return timestep, level.alpha * column, level.sigma * column


def clean(
    prediction: str,
    output: Float[Tensor, "b c h w"],
    x: Float[Tensor, "b c h w"],
    alpha: Float[Tensor, "b 1 1 1"],
    sigma: Float[Tensor, "b 1 1 1"],
) -> Float[Tensor, "b c h w"]:
    """x0 from what a network predicts, where x = alpha * x0 + sigma * eps.

    Args:
        prediction: "eps"; "x0"; "v" = alpha * eps - sigma * x0 (Salimans and Ho 2022, arXiv:2202.00512, app. D);
            "flow", the velocity eps - x0 (Liu et al. 2022, arXiv:2209.03003); "difference", x - x0 (Li et al. 2023,
            arXiv:2205.07680, eq. 12).
        output: of the network.
        x: what it looked at.
        alpha: of the level.
        sigma: of the level.
    """
    if prediction == "eps":
        return (x - sigma * output) / alpha
    if prediction == "v":
        return alpha * x - sigma * output
    if prediction == "flow":
        return (x - sigma * output) / (alpha + sigma)
    return x - output if prediction == "difference" else output


def predictable(prediction: str) -> str:
    """The prediction, if it is one of `PREDICTIONS`.

    Raises:
        ValueError: it is not.
    """
    if prediction not in PREDICTIONS:
        raise ValueError(f"prediction must be one of {', '.join(PREDICTIONS)}, got {prediction!r}")
    return prediction


class Network(nn.Module):
    """Any network of your own as a denoiser: `build("midm-faces", denoiser=Network(mine, "eps"))`.

    Args:
        network: called as `network(x, timesteps)`, with a latent and a timestep for each sample; gives a tensor like x,
            or something with such a tensor as `sample`, as networks of diffusers do.
        prediction: what it was trained to predict, one of `PREDICTIONS`.
        conditional: whether it is called as `network(x, timesteps, context)`, with the warp, the condition and the
            trust (`midms.core.types.Context`).

    Raises:
        ValueError: the network cannot be called, or the prediction is none of these.
    """

    def __init__(self, network: Callable[..., Any], prediction: str = "eps", conditional: bool = False) -> None:
        super().__init__()
        if not callable(network):
            raise ValueError(f"network must be callable, got {network!r}")
        self.network, self.prediction, self.conditional = network, predictable(prediction), conditional

    def forward(self, x: Float[Tensor, "b c h w"], level: Level, context: Context) -> Float[Tensor, "b c h w"]:
        """x0 at one level for the whole batch.

        Raises:
            ValueError: the network gave another shape.
        """
        timestep, alpha, sigma = everywhere(x, level)
        output = self.network(rounded(x, self.network), timestep, *([self._told(context)] if self.conditional else []))
        output = getattr(output, "sample", output)
        if output.shape != x.shape:
            raise ValueError(f"network gave {tuple(output.shape)} for {tuple(x.shape)}, expected the same")
        return clean(self.prediction, output.to(x.dtype), x, alpha, sigma)

    def _told(self, context: Context) -> Context:
        return Context(*(rounded(x, self.network) for x in (context.warp, context.condition, context.confidence)))


class Unconditional(nn.Module):
    """The paper's denoiser: sees the noisy latent alone (MIDMs, arXiv:2209.11047, sec. 3.2).

    Args:
        channels: of the latent.
        widths: channels of each level.
        attention: whether each level attends.
        layers: residual blocks a level.
        head_dim: width of an attention head.
        norm_groups: groups of the normalisation.
        prediction: what the network was trained to predict, one of `PREDICTIONS`.
        heads: so many heads at every level instead of heads of one width.
        biggan: see `unet`.

    Raises:
        ValueError: the prediction is none of these.
    """

    def __init__(
        self,
        channels: int = 8,
        widths: tuple[int, ...] = (64, 96, 128),
        attention: tuple[bool, ...] = (False, True, True),
        layers: int = 1,
        head_dim: int = 32,
        norm_groups: int = 16,
        prediction: str = "eps",
        heads: int | None = None,
        biggan: bool = False,
    ) -> None:
        super().__init__()
        limits.channels(channels=channels)
        self.channels, self.prediction = channels, predictable(prediction)
        self.network = unet(channels, channels, widths, attention, layers, head_dim, norm_groups, heads, biggan)

    def forward(self, x: Float[Tensor, "b c h w"], level: Level, context: Context) -> Float[Tensor, "b c h w"]:
        """x0 at one level for the whole batch; the context is not looked at."""
        return self.denoise(x, *everywhere(x, level), context)

    def denoise(
        self,
        x: Float[Tensor, "b c h w"],
        timestep: Real[Tensor, " b"],
        alpha: Float[Tensor, "b 1 1 1"],
        sigma: Float[Tensor, "b 1 1 1"],
        context: Context | None,
    ) -> Float[Tensor, "b c h w"]:
        """x0, each sample at a level of its own."""
        return clean(self.prediction, run(self.network, x, timestep), x, alpha, sigma)


class Bridge(nn.Module):
    """A denoiser that starts from the warp: x0 = warp + network(x, warp, condition, trust).

    Where the warp is right there is nothing left to predict; where it is not trusted the condition says what is
    missing. Trained on noised mixtures of truth and warp.

    Args:
        channels: of the latent.
        condition_channels: of the condition map.
        stride: pixels a latent cell; the condition is folded to the grid with it.
        widths: channels of each level.
        attention: whether each level attends.
        layers: residual blocks a level.
        head_dim: width of an attention head.
        norm_groups: groups of the normalisation.
        min_confidence: the least mean trust in a warp that it was trained with, in [0, 1]; less it is not told.
    """

    def __init__(
        self,
        channels: int = 8,
        condition_channels: int = 2,
        stride: int = 4,
        widths: tuple[int, ...] = (64, 96, 128),
        attention: tuple[bool, ...] = (False, True, True),
        layers: int = 1,
        head_dim: int = 32,
        norm_groups: int = 16,
        min_confidence: float = 0.0,
    ) -> None:
        super().__init__()
        limits.channels(channels=channels, condition_channels=condition_channels)
        limits.whole(1, 16, stride=stride)
        limits.number(0, 1, min_confidence=min_confidence)
        self.channels, self.condition_channels, self.stride = channels, condition_channels, stride
        self.min_confidence = min_confidence
        inputs = 2 * channels + condition_channels * stride * stride + 1
        self.network = unet(inputs, channels, widths, attention, layers, head_dim, norm_groups)
        nn.init.zeros_(self.network.conv_out.weight)
        nn.init.zeros_(self.network.conv_out.bias)

    def forward(self, x: Float[Tensor, "b c h w"], level: Level, context: Context) -> Float[Tensor, "b c h w"]:
        """x0 at one level for the whole batch."""
        return self.denoise(x, *everywhere(x, level), context)

    def denoise(
        self,
        x: Float[Tensor, "b c h w"],
        timestep: Real[Tensor, " b"],
        alpha: Float[Tensor, "b 1 1 1"],
        sigma: Float[Tensor, "b 1 1 1"],
        context: Context,
    ) -> Float[Tensor, "b c h w"]:
        """x0, each sample at a level of its own."""
        folded = F.pixel_unshuffle(context.condition, self.stride)
        seen = torch.cat([x, context.warp, folded, context.confidence.expand(len(x), 1, *x.shape[-2:])], 1)
        return context.warp + run(self.network, seen, timestep)
