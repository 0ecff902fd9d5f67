"""When injections act: each level against implementations from the articles, and what presets were released with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from dense_attention import CTRLX, EXACT, UP, dense, dense_ctrlx, injected, plain, weights
from tiny_denoisers import latents
from torch import Tensor

from midms import Spec, create
from midms.compose.presets import PRESETS

X, EXEMPLAR, STRUCTURE = latents(0), latents(1), latents(2)


def spec(preset: str, slot: str) -> Spec:
    return PRESETS[preset].slots[slot]


def made_of(preset: str, slot: str) -> Any:
    found = spec(preset, slot)
    return create(slot, found.name, **found.arguments)


def crossed(source: int | None, guidance: float, contrast: float) -> Tensor:
    """Self-attention of the decoder to keys and values of the exemplar (2), of the structure (3), or one's own."""

    def change(attn: Any, hidden: Tensor, heads: Any) -> Tensor:
        q, k, v = (heads(project(hidden)) for project in (attn.to_q, attn.to_k, attn.to_v))
        own = weights(q, k, 1.0) @ v
        if source is not None:
            own[1] = weights(q[1], k[source], contrast) @ v[source]
        return own

    return dense(X, [EXEMPLAR, STRUCTURE], guidance, change, ("up_blocks.0",))


@pytest.mark.parametrize("step", [0, 5, 9, 10, 11, 35, 39, 40, 67])
def test_cross_attention_at_each_level_is_the_released_one(step: int) -> None:
    """Of 68 levels: from 10 on the exemplar's; every fifth below 40 the structure's; guidance 3.5 to 1.75."""
    guidance = float(np.linspace(3.5, 1.75, 68)[step])
    source = None if step < 10 else 3 if step % 5 == 0 and step < 40 else 2
    settings = spec("sd-crossattn", "injection").arguments | {"layers": ("up_blocks.0",)}
    found = injected("cross-attention", "unet-condition", X, EXEMPLAR, STRUCTURE, step, 9.0, steps=68, **settings)
    torch.testing.assert_close(found, crossed(source, guidance, 1.67), **EXACT)


@pytest.mark.parametrize(("step", "source"), [(1, None), (2, 3), (4, 3), (6, 2), (7, 2), (8, None)])
def test_cross_attention_acts_between_first_and_last(step: int, source: int | None) -> None:
    """Guidance is the denoiser's own, where none is said."""
    given: dict[str, Any] = {"first": 0.2, "last": 0.8, "structure_every": 2, "structure_until": 0.5, "contrast": 1.0}
    found = injected("cross-attention", "unet-condition", X, EXEMPLAR, STRUCTURE, step, 2.0, **UP | given)
    torch.testing.assert_close(found, crossed(source, 2.0, 1.0), **EXACT)


def test_of_a_single_level_guidance_is_the_first() -> None:
    given: dict[str, Any] = {"guidance": (3.5, 1.75), "contrast": 1.0, "structure_every": 0}
    found = injected("cross-attention", "unet-condition", X, EXEMPLAR, STRUCTURE, 0, 9.0, steps=1, **UP | given)
    torch.testing.assert_close(found, crossed(2, 3.5, 1.0), **EXACT)


@pytest.mark.parametrize(("appearance", "structure"), [(4, 7), (7, 4)])
@pytest.mark.parametrize("step", [3, 4, 6, 7])
def test_ctrlx_ends_appearance_and_structure_each_by_itself(appearance: int, structure: int, step: int) -> None:
    given = CTRLX | {"appearance": appearance / 10, "structure": structure / 10}
    found = injected("ctrlx", "unet-condition", X, EXEMPLAR, STRUCTURE, step, 5.0, **given)
    torch.testing.assert_close(
        found, dense_ctrlx(X, EXEMPLAR, STRUCTURE, 5.0, step < appearance, step < structure), **EXACT
    )


@pytest.mark.parametrize("step", [29, 30])
def test_ctrlx_acts_in_the_released_sixty_percent_of_fifty_levels(step: int) -> None:
    settings = spec("sdxl-ctrlx", "injection").arguments | CTRLX
    found = injected("ctrlx", "unet-condition", X, EXEMPLAR, STRUCTURE, step, 5.0, steps=50, **settings)
    torch.testing.assert_close(found, dense_ctrlx(X, EXEMPLAR, STRUCTURE, 5.0, step < 30, step < 30), **EXACT)


@pytest.mark.parametrize(("last", "step"), [(0.5, 4), (0.5, 5), (1.0, 9), (0.0, 0)])
def test_graft_acts_up_to_its_last_level(last: float, step: int) -> None:
    def change(attn: Any, hidden: Tensor, heads: Any) -> Tensor:
        q, k, v = (heads(project(hidden)) for project in (attn.to_q, attn.to_k, attn.to_v))
        own = weights(q, k, 1.0) @ v
        own[1] = weights(q[1], torch.cat([k[1], k[2]], 1), 1.0) @ torch.cat([v[1], v[2]], 1)
        return own

    given: dict[str, Any] = {"confidence": "always", "dropout": 0.0, "layers": ("up_blocks.0",), "last": last}
    found = injected("graft", "unet-condition", X, EXEMPLAR, None, step, 2.0, **given)
    unchanged, grafted = plain("unet-condition", X, 2.0), dense(X, [EXEMPLAR], 2.0, change, ("up_blocks.0",))
    assert (grafted - unchanged).abs().max() > 0.01
    torch.testing.assert_close(found, grafted if step < 10 * last else unchanged, **EXACT)


def test_cross_attention_has_the_numbers_of_its_repository() -> None:
    """github.com/garibida/cross-image-attention: 100 steps of DDIM, eta 1, of which 32 are skipped; decoder layers of
    32 and 64 cells a side, from index 10 on; every fifth below 40 the structure's."""
    made = made_of("sd-crossattn", "injection")
    assert made.layers == ("up_blocks.2", "up_blocks.3")
    assert (made.first, made.last, made.contrast, made.guidance) == (10 / 68, 1.0, 1.67, (3.5, 1.75))
    assert (made.structure_every, made.structure_until) == (5, 40 / 68)
    sampler = spec("sd-crossattn", "sampler").arguments
    assert (len(sampler["timesteps"]), sampler["eta"]) == (100 - 32, 1.0)


def test_ctrlx_has_the_numbers_of_its_repository() -> None:
    """github.com/genforce/ctrl-x on SDXL: 60 % of 50 steps of DDIM, eta 1, guidance 5."""
    made = made_of("sdxl-ctrlx", "injection")
    assert made.appearance_layers == (
        *("down_blocks.1", "down_blocks.2", "up_blocks.0.attentions.1", "up_blocks.0.attentions.2"),
        *("up_blocks.1.attentions.0", "up_blocks.1.attentions.1"),
    )
    assert (made.structure_layers, made.structure_results) == (("up_blocks.0",), ("up_blocks.0.resnets.0",))
    for preset in ("sdxl-ctrlx", "sd-ctrlx"):
        made, sampler = made_of(preset, "injection"), spec(preset, "sampler").arguments
        assert (made.appearance, made.structure, len(sampler["timesteps"]), sampler["eta"]) == (0.6, 0.6, 50, 1.0)
    assert spec("sdxl-ctrlx", "denoiser").arguments["guidance"] == 5.0


@pytest.mark.parametrize("preset", ["flux-graft", "sd3-graft"])
def test_graft_has_the_numbers_of_its_article(preset: str) -> None:
    """FreeGraftor (arXiv:2504.15958): every block, 25 steps, cosine above 0.2, an error of the cycle below 1.5 in
    [-1, 1], which is 0.75 of the width; each token left out with 0.4 sigma."""
    made = made_of(preset, "injection")
    blocks = ("transformer_blocks", "single_transformer_blocks")
    assert made.layers == (blocks if preset == "flux-graft" else blocks[:1])
    similarity, cycle = made.confidence.of
    assert (similarity.floor, cycle.radius) == (0.2, 1.5 / 2)
    assert (made.last, made.dropout, len(spec(preset, "sampler").arguments["timesteps"])) == (1.0, 0.4, 25)


@pytest.mark.parametrize(("preset", "block"), [("sd-warp", 1), ("sd-crossattn", 1), ("sd-ctrlx", 1), ("sdxl-ctrlx", 0)])
def test_features_of_u_nets_have_the_numbers_of_dift(preset: str, block: int) -> None:
    """DIFT (arXiv:2306.03881): timestep 261, eight draws; the block whose grid is a sixteenth of the picture's."""
    made = made_of(preset, "features")
    assert (made.timestep, made.draws, made.blocks, made.dropped) == (261, 8, (block,), ())
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    assert made.sigma == 0.587 == round(float(np.sqrt(1 - np.prod(1 - betas[: 261 + 1]))), 3)


def test_features_of_flux_have_the_numbers_of_ditf() -> None:
    """DiTF (arXiv:2505.18584): block 28, timestep 260, channels 154 and 1446 zero."""
    made = made_of("flux-graft", "features")
    assert (made.timestep, made.sigma, made.blocks, made.dropped) == (260, 260 / 1000, (28,), (154, 1446))
