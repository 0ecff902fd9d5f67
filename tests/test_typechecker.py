"""What once was right is not checked again; what is wrong is found, however much was right before it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from jaxtyping import Float, TypeCheckError, jaxtyped
from torch import Tensor
from typechecker import check


@jaxtyped(typechecker=check)
def first(
    one: Float[Tensor, "n c"], other: Float[Tensor, "m c"], names: list[str], rows: int, result: Any = None
) -> Float[Tensor, "{rows} c"]:
    return one[:rows] if result is None else result


RIGHT = {"one": torch.zeros(4, 3), "other": torch.zeros(5, 3), "names": ["a"], "rows": 2}


@pytest.mark.parametrize(
    "wrong",
    [
        {"other": torch.zeros(5, 4)},
        {"one": torch.zeros(12)},
        {"one": torch.zeros(4, 3, dtype=torch.long)},
        {"names": [1]},
        {"names": "a"},
        {"rows": 2.0},
        {"rows": 5},
        {"result": torch.zeros(3, 3)},
        {"result": [0.0]},
    ],
)
def test_wrong_after_right_is_found(wrong: dict[str, Any]) -> None:
    for _ in range(3):
        first(**RIGHT)
        first(*RIGHT.values())
    with pytest.raises(TypeCheckError):
        first(**RIGHT | wrong)
    first(**RIGHT)
