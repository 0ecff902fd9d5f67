"""What every stage is to the trainer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.types import Noise
from midms.data.pair import Pair

N = TypeVar("N", bound=nn.Module)
T = TypeVar("T")
WARM_UP = 100
"""Steps over which the learning rate rises."""


@dataclass(frozen=True)
class Optimisation:
    """How a stage is trained, by AdamW.

    Attributes:
        steps: in all.
        batch: pairs a step, over all processes.
        learning_rate: at its highest.
        weight_decay: of AdamW.
        betas: of AdamW.
        cosine: whether the learning rate falls to a fiftieth along a cosine, instead of staying.
        clip: the largest norm of the gradient.
        average: the decay of the average of weights that is kept in the end, see `torch.optim.swa_utils`.
        share_of: of what number each process's share of a batch must be a multiple, where there are several, so that
            the numbers are those of one process.
    """

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.98)
    cosine: bool = True
    clip: float = 1.0
    average: float = 0.998
    share_of: int = 1

    def share(self, step: int) -> float:
        """Of its highest that the learning rate has at a step: it rises over the first, then stays or falls."""
        fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / self.steps)) if self.cosine else 1.0
        return min(1.0, (step + 1) / WARM_UP) * fall


@runtime_checkable
class Stage(Protocol):
    """Parts of a pipeline in training: an `nn.Module` that is made of a `pipe` and of settings that a preset gives.

    Among these are `steps` and `batch`, and `terms` where it has losses to weight. It decides which parameters are
    trained, by `requires_grad`, and puts parts into training or evaluation mode.

    Attributes:
        needs: slots whose parts must have been trained before.
        losses: names of those that can be given weights, as `terms`.
        optimisation: how it is trained.
    """

    needs: ClassVar[tuple[str, ...]]
    losses: ClassVar[tuple[str, ...]]
    optimisation: Optimisation

    def __call__(self, pair: Pair, noise: Noise) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """The loss of a batch, a mean over its samples, and its terms by name, the same at every step.

        All that is random comes from `noise`, sample by sample (`midms.training.noise`).
        """

    def products(self) -> dict[str, nn.Module]:
        """What is trained, by slot."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters as AdamW takes them; what a group does not say, `optimisation` does."""

    def begin(self, pairs: Iterable[Pair]) -> None:
        """Look at some batches of what is trained on, before the first step.

        Raises:
            DatasetError: it cannot be trained on them.
        """

    def finish(self, pairs: Iterable[Pair]) -> None:
        """The same after the last step, with the averaged weights."""

    def evaluate(self, pairs: Iterable[Pair]) -> dict[str, float]:
        """Figures on batches of held-out pairs."""

    def sheet(self, pair: Pair) -> dict[str, Float[Tensor, "b 3 y x"]]:
        """What is written as a sheet while it trains: pictures in [-1, 1] of some held-out pairs, by title."""


def frozen(part: T) -> T:
    """A part that is not trained, a network or not."""
    return part.requires_grad_(False).eval() if isinstance(part, nn.Module) else part


def trained(part: N) -> N:
    """A part that is trained."""
    return part.requires_grad_(True).train()


def bfloat16_where_fast(device: torch.device) -> torch.autocast:
    """Networks are in bfloat16 where the machine computes in it.

    On CPUs that do it takes half the time; on others it is emulated, at 10 to 40 times the time of float32.
    """
    fast = device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


@contextmanager
def frozen_pass(device: torch.device) -> Iterator[None]:
    """Networks that are not trained are run so: without gradients, in bfloat16 where that is fast."""
    with torch.no_grad(), bfloat16_where_fast(device):
        yield


def latents(autoencoder: Any, pair: Pair) -> tuple[Float[Tensor, "b c H W"], Float[Tensor, "b c h w"]]:
    """Those of the exemplars and of the targets, which are of one size."""
    with frozen_pass(pair.target.device):
        source, truth = autoencoder.encode(torch.cat([pair.exemplar, pair.target])).float().chunk(2)
    return source, truth
