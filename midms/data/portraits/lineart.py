"""A portrait as line art: outlines of one width, and fills that are flat or shaded in two tones (cel shading)."""

from __future__ import annotations

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from midms.data.portraits.hand import borders, thickened
from midms.data.portraits.parameters import Geometry, Style, rgb, uniforms
from midms.data.portraits.surface import ID, PORTRAIT_PARTS, SIDES, iris, pixels, surface, to_head

_CEL_SHARE = 0.5
"""Of styles, that are shaded in two tones."""
_SHADE, _LIT = (0.76, 0.68, 0.74), 0.5
"""What a colour is multiplied by in the shade, and the cosine of the light's angle that divides the two tones."""
_WIDTHS = (1.0, 3.0)
"""Of the pen, in 128ths of the fine picture."""
_STREAM = 3
"""Of a style's draws that line art takes; it changes no other draw."""
_MORE = ("iris", "pupil", "beard")
"""Areas that are no parts, with colours and borders of their own."""


def line_art(
    g: Geometry, s: Style, parts: Int[Tensor, "b y x"]
) -> tuple[Float[Tensor, "b 3 y x"], Float[Tensor, "b 1 y x"]]:
    """Fill and outline the parts of portraits.

    Args:
        g: their geometry.
        s: their style.
        parts: what each pixel shows, as `paint` gives it.

    Returns:
        The picture in [0, 1], and its ink in [0, 1], which is black in the picture.
    """
    x, y = pixels(parts.shape[-1], parts.device)
    head = surface(g, *to_head(g, x, y))
    cel, width = uniforms(s.seeds, 2, _STREAM).T.to(parts.device)
    areas = _areas(g, s, parts, head)
    fill = _colours(s).gather(1, areas.flatten(1)[..., None].expand(-1, -1, 3)).movedim(1, -1)
    fill = fill.unflatten(-1, parts.shape[1:])
    shaded = _in_shade(s, areas, head) & (cel < _CEL_SHARE)[:, None, None]
    fill = torch.where(shaded[:, None], fill * rgb(*_SHADE).to(fill.device), fill)
    widths = ((_WIDTHS[0] + (_WIDTHS[1] - _WIDTHS[0]) * width) * parts.shape[-1] / 128 / 2).round().long().clamp(min=1)
    ink = thickened(_outlines(g, parts, areas, head), widths)
    return fill * (1 - ink), ink


def _areas(g: Geometry, s: Style, parts: Int[Tensor, "b y x"], head: SimpleNamespace) -> Int[Tensor, "b y x"]:
    """Parts without the nose, which is skin, and with what is drawn beside them."""
    areas = torch.where(parts == ID["nose"], ID["skin"], parts)
    for side, name in SIDES:
        du, dv = (head.u - side * g.eye_dx) * side, head.v - g.eye_y
        _, radius, full = iris(g, side, du, dv - g.tilt * du * 0.35)
        for area, share in (("iris", 1.0), ("pupil", 0.45)):
            areas = torch.where((parts == ID[f"{name}_eye"]) & (radius < share * full), _number(area), areas)
    around_mouth = torch.exp(-((head.u / 0.22) ** 2 + ((head.v - g.mouth_y) / 0.1) ** 2)) > 0.5
    beard = (s.beard > 0) & (-head.v - 0.28 + 0.25 * head.u.abs() > 0.16) & ~around_mouth
    return torch.where((areas == ID["skin"]) & beard, _number("beard"), areas)


def _number(area: str) -> int:
    return len(PORTRAIT_PARTS) + _MORE.index(area)


def _colours(s: Style) -> Float[Tensor, "b n 3"]:
    """Of all areas, by number."""
    own = {name: s.skin for name in ("skin", "left_ear", "right_ear", "nose", "neck")}
    own |= {name: s.hair for name in ("hair", "beard")} | {name: s.lips for name in ("upper_lip", "lower_lip")}
    own |= {f"{name}_brow": 0.7 * s.hair for _, name in SIDES} | {
        f"{name}_eye": rgb(1.0, 1.0, 1.0) for _, name in SIDES
    }
    own |= {"background": s.backdrop[0], "cloth": s.cloth[0], "glasses": s.glasses, "iris": s.iris}
    own |= {"mouth": rgb(0.45, 0.1, 0.1), "pupil": rgb(0.03, 0.03, 0.03)}
    listed = [own[name].to(s.skin).expand_as(s.skin).flatten(1) for name in (*PORTRAIT_PARTS, *_MORE)]
    return torch.stack(listed, 1).clamp(0, 1)


def _in_shade(s: Style, areas: Int[Tensor, "b y x"], head: SimpleNamespace) -> Bool[Tensor, "b y x"]:
    """The head away from the light, as if it had no features; the neck; and clothes on that side."""
    normal = F.normalize(torch.stack([head.xe * 0.95, head.ye * 0.9, head.z + 0.15], 1), dim=1)
    away = (normal * s.light).sum(1) < _LIT
    solid = torch.tensor([ID[name] for name in ("skin", "left_ear", "right_ear", "hair")] + [_number("beard")])
    clothes = (areas == ID["cloth"]) & (head.xe * s.light[:, 0].sign() < -0.3)
    return (torch.isin(areas, solid.to(areas.device)) & away) | (areas == ID["neck"]) | clothes


def _outlines(
    g: Geometry, parts: Int[Tensor, "b y x"], areas: Int[Tensor, "b y x"], head: SimpleNamespace
) -> Float[Tensor, "b 1 y x"]:
    """Borders of the areas, of the nose its lower half, and nostrils."""
    nose = borders((parts == ID["nose"])[:, None]) * (head.v < -0.2)[:, None]
    ink = torch.maximum(borders(areas[:, None]), nose)
    for side, _ in SIDES:
        nostril = ((head.u - side * g.nose_w * 0.5) / 0.03) ** 2 + ((head.v + 0.285) / 0.02) ** 2 < 1
        ink = torch.maximum(ink, (nostril & (head.front > 0.12) & (head.rim > 0))[:, None].float())
    return ink
