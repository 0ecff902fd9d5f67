"""Pictures and training through the Triton kernels are those through plain torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from triton_cases import DEVICE

import midms
from midms.data.portraits.pairs import draw_pairs
from midms.matching.matchers.correlation import Correlation
from midms.pipeline.translate import translate
from midms.training.losses import matching as losses

pytestmark = pytest.mark.usefixtures("interpreted")


def picture(**backend: str) -> np.ndarray:
    """A face translated."""
    pair = draw_pairs("test", [0], 64)
    pipe = midms.build("midm-faces", matcher=midms.Spec("correlation", temperature=0.04, **backend)).to(DEVICE)
    result = translate(pipe, 1 - 2 * pair.sketch[0].to(DEVICE), pair.exemplar[0].to(DEVICE), seed=0)
    return np.asarray(result.image).astype(np.float64)


def test_faces_are_the_same_pictures() -> None:
    chunked = picture(backend="chunked")
    off = picture(backend="triton") - chunked
    assert chunked.std() > 20
    assert 10 * np.log10(255**2 / max((off**2).mean(), 1e-12)) > 50


def trained(backend: str, precision: str, steps: int = 6) -> tuple[Tensor, Tensor]:
    """Losses of each step, and the weights at the end, of two small networks that learn to match shifted pictures."""
    torch.manual_seed(0)
    nets = nn.ModuleList(
        nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.GELU(), nn.Conv2d(24, 16, 3, padding=1)) for _ in "qk"
    )
    exemplar, latent = torch.randn(1, 3, 10, 10), torch.randn(1, 2, 10, 10)
    condition, truth = exemplar.roll((1, 2), (-2, -1)), latent.roll((1, 2), (-2, -1))
    nets, exemplar, latent, condition, truth = (x.to(DEVICE) for x in (nets, exemplar, latent, condition, truth))
    matcher, optimiser = Correlation(0.05, 0.0, backend, precision), torch.optim.Adam(nets.parameters(), 1e-2)
    curve = []
    for _ in range(steps):
        match = matcher(nets[0](condition), nets[1](exemplar))
        loss = (match.apply(latent) - truth).square().mean() + losses.cycle_loss(match, latent)
        loss = loss + 0.01 * match.log_row_sums().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        curve.append(loss.item())
    return torch.tensor(curve), nn.utils.parameters_to_vector(nets.parameters()).detach().cpu()


def test_training_is_the_same() -> None:
    curve, weights = trained("reference", "auto")
    ours, our_weights = trained("triton", "fp16x3")
    assert curve[-1] < 0.7 * curve[0]
    torch.testing.assert_close(ours, curve, rtol=1e-5, atol=1e-5)
    assert (our_weights - weights).norm() < 3e-5 * weights.norm()
