"""Parts of one name are told apart by their code."""

from __future__ import annotations

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
