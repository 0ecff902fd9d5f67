"""What the laws of all kinds of parts share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.torch_defaults import shapes_alone

NOT_REPEATED = "the same input gave another result: the part draws at random, or remembers what it saw"
CHANGED_INPUT = "the part changed its input in place: work on a copy"


class Laws:
    """Laws of a kind of part.

    Attributes:
        make: a class or function that makes the part, without arguments.
        exceptions: laws that the part does not obey, by name, each with the reason, which the skipped test shows.
    """

    make: Callable[[], Any]
    exceptions: Mapping[str, str] = MappingProxyType({})

    @pytest.fixture(autouse=True)
    def claimed(self, request: pytest.FixtureRequest) -> None:
        """Laws that the part does not obey are skipped, with the reason."""
        if reason := self.exceptions.get(request.node.originalname):
            pytest.skip(f"{type(self).__name__}: {reason}")

    def test_a_part_with_weights_is_made_of_shapes_alone(self) -> None:
        """On the meta device, as `build` makes it to compare it with the weights of a folder.

        Typical cause: the constructor reads a file, or makes tensors with a device of its own.
        """
        make = inspect.unwrap(type(self).make)  # what is remembered is made anew
        whole = make()
        if isinstance(whole, nn.Module) and whole.state_dict():
            with shapes_alone():
                outline = make().state_dict()
            shapes = {k: v.shape for k, v in whole.state_dict().items()}
            assert {value.device.type for value in outline.values()} == {"meta"}, "the constructor names a device"
            assert {k: v.shape for k, v in outline.items()} == shapes, "shapes depend on numbers that are drawn"


def close(found: Any, expected: Any, why: str, rtol: float | None = None, atol: float | None = None) -> None:
    """As `torch.testing.assert_close`, with the usual cause where they differ."""
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol, msg=lambda text: f"{why}\n{text}")


def features(
    seed: int, batch: int = 2, channels: int = 32, h: int = 6, w: int = 8, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "b d h w"]:
    """Random unit vectors, the same for the same seed."""
    return F.normalize(normals(seed, batch, channels, h, w), dim=1).to(dtype)


def normals(seed: int, *shape: int) -> Tensor:
    """Standard normals in double precision, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
