"""Parts of one name are told apart by their code."""

from __future__ import annotations

import functools
import runpy
from typing import Any

import pytest

from midms import register
from midms.diffusion import levels
from midms.diffusion.solvers.ddim import DDIM
from midms.evaluation.ablation.identity import digest_value


@pytest.mark.usefixtures("registries")
def test_a_changed_sampler_is_another_part(monkeypatch: pytest.MonkeyPatch) -> None:
    # Tests wrap midms' functions in checks of shapes, which are midms' own; a user's are bare.
    bare = runpy.run_path(levels.__file__, run_name=levels.__name__)["on_levels"]
    monkeypatch.setattr(levels, "on_levels", bare)

    def digest(last: float) -> str:
        @register("sampler", "mine")
        class Mine(DDIM):
            def step(self, *arguments: Any, **options: Any) -> Any:
                return super().step(*arguments, **options) * last

        return digest_value("mine")

    assert digest(1.0) == digest(1.0) != digest(0.5)


class Numbered:
    """Says of itself what no other process would say."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return hex(id(self))


def test_a_partial_function_is_told_by_its_function_and_arguments() -> None:
    def one(options: Numbered, scale: float = 1.0) -> float:
        return options.number * scale

    def other(options: Numbered, scale: float = 1.0) -> float:
        return options.number + scale

    other.__qualname__ = one.__qualname__
    first, same = (digest_value(functools.partial(one, Numbered(3), scale=2.0)) for _ in range(2))
    others = [(other, 3, 2.0), (one, 4, 2.0), (one, 3, 2.5)]
    differing = [digest_value(functools.partial(f, Numbered(number), scale=scale)) for f, number, scale in others]
    assert first == same and len({first, *differing}) == 4
