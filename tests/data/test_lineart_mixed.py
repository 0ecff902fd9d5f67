"""Line art in many hands: other pens, exemplars without outlines, portraits among artists' faces."""

from __future__ import annotations

from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import seeded
from made_drawings import dataset_of

from midms.data.lineart.faces import random_palette
from midms.data.lineart.pens import redrawn


def test_exemplars_without_outlines_keep_their_colours() -> None:
    dataset = dataset_of("facesjs", size=128)
    colours = random_palette("any")
    pair, bare = (dataset.pair(1, 2, colours, outlined) for outlined in (True, False))
    assert torch.equal(pair.target, bare.target) and torch.equal(pair.condition, bare.condition)
    skin = dataset.masks(2)["skin"][0, 0] > 0.99
    assert skin.any() and torch.equal(pair.exemplar[0][:, skin], bare.exemplar[0][:, skin])
    dark = [(one.exemplar.amax(1) < -0.9).float().mean() for one in (pair, bare)]
    assert dark[1] < 0.5 * dark[0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_other_pens_draw_the_same(seed: int) -> None:
    """Ink stays in its range, most strokes stay, and paper without any stays light."""
    ink = torch.zeros(1, 1, 128, 128)
    ink[..., 30:32, 20:100] = ink[..., 20:100, 60:63] = 1
    again = redrawn(ink, seeded(seed))
    assert again.min() >= 0 and again.max() <= 1 and again.shape == ink.shape
    assert again[ink > 0].mean() > 0.5
    far = torch.nn.functional.max_pool2d(ink, 7, 1, 3) == 0
    assert again[far].max() <= 0.2 and torch.equal(again, redrawn(ink, seeded(seed)))


def test_line_art_is_of_both_kinds_and_kept(tmp_path: Path) -> None:
    dataset = dataset_of("lineart", portraits=0.5, styles=4, faces=12)
    kept = dataset.cached(tmp_path)
    assert len([*tmp_path.glob("portraits*")]) >= 2 and len(kept) == 12
    pairs = [kept.draw(index, seeded(index)) for index in range(8)]
    portraits = [
        pair for pair in pairs if any(torch.equal(pair.target, kept.flat[i].target) for i in range(len(kept.flat)))
    ]
    assert 0 < len(portraits) < 8
    assert {torch.equal(p.exemplar, q.exemplar) for p in portraits for q in map(kept.flat.__getitem__, range(8))} == {
        True,
        False,
    }
    alone = dataset_of("lineart", portraits=0.0)
    assert alone.cached(tmp_path / "none") is alone and not (tmp_path / "none").exists()
