"""Training in mixed precision: which functions are rounded, and which are not."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from midms.training.precision import BFloat16Convolutions


def test_convolutions_are_rounded_and_nothing_else() -> None:
    x, convolution = torch.randn(2, 4, 6, 5), nn.Conv2d(4, 8, 3)
    other = nn.Sequential(nn.GroupNorm(2, 4), nn.SiLU(), nn.Flatten(2), nn.Linear(30, 3))
    plain = other(x)
    with BFloat16Convolutions():
        rounded, same = convolution(x), other(x)
    low = F.conv2d(x.bfloat16(), convolution.weight.bfloat16(), convolution.bias.bfloat16())
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, low.float(), rtol=0, atol=0)
    torch.testing.assert_close(same, plain, rtol=0, atol=0)
    assert not torch.equal(rounded, convolution(x))


def test_gradients_arrive_in_the_precision_of_the_weights() -> None:
    x, convolution = torch.randn(2, 4, 6, 5), nn.Conv2d(4, 8, 3)
    (exact,) = torch.autograd.grad(convolution(x).square().sum(), convolution.weight)
    with BFloat16Convolutions():
        loss = convolution(x).square().sum()
    (rounded,) = torch.autograd.grad(loss, convolution.weight)
    assert rounded.dtype == torch.float32
    assert F.cosine_similarity(rounded.flatten(), exact.flatten(), dim=0) > 0.999
