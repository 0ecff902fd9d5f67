"""A network of one's own as a denoiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from midms.core.precision import rounded
from midms.core.types import Context, Level
from midms.diffusion.denoisers.prediction import check_prediction, expand_level, x0_from_prediction


class Network(nn.Module):
    """Any network of your own as a denoiser: `build("midm-faces", denoiser=Network(mine, "eps"))`.

    To choose for a network that is there already, without a class of its own.

    Args:
        network: called as `network(x, timesteps)`, with a latent and a timestep for each sample; gives a tensor like x,
            or something with such a tensor as `sample`, as networks of diffusers do.
        prediction: what it was trained to predict, one of `PREDICTIONS`.
        conditional: whether it is called as `network(x, timesteps, context)`, with the warp, the condition and the
            confidence (`midms.core.types.Context`).

    Raises:
        ValueError: the network cannot be called, or the prediction is none of these.
    """

    def __init__(self, network: Callable[..., Any], prediction: str = "eps", conditional: bool = False) -> None:
        super().__init__()
        if not callable(network):
            raise ValueError(f"network must be callable, got {network!r}")
        self.network, self.prediction, self.conditional = network, check_prediction(prediction), conditional

    def forward(self, x: Float[Tensor, "b c h w"], level: Level, context: Context) -> Float[Tensor, "b c h w"]:
        """x0 at one level for the whole batch.

        Raises:
            ValueError: the network gave another shape.
        """
        timestep, alpha, sigma = expand_level(x, level)
        more = [self._rounded(context)] if self.conditional else []
        output = self.network(rounded(x, self.network), timestep, *more)
        output = getattr(output, "sample", output)
        if output.shape != x.shape:
            raise ValueError(f"network gave {tuple(output.shape)} for {tuple(x.shape)}, expected the same")
        return x0_from_prediction(self.prediction, output.to(x.dtype), x, alpha, sigma)

    def _rounded(self, context: Context) -> Context:
        return Context(*(rounded(x, self.network) for x in (context.warp, context.condition, context.confidence)))
