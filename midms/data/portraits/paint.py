"""Painting a portrait, back to front: backdrop, hair behind, neck, clothes, ears, head, features, glasses, hair."""

from __future__ import annotations

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from midms.data.portraits.parameters import BOXES, Geometry, Style, rgb, uniforms
from midms.data.portraits.surface import (
    HALF_WIDTH,
    ID,
    OPEN,
    SIDES,
    iris,
    lip_heights,
    pixels,
    smooth,
    surface,
    to_head,
)

_Map = Float[Tensor, "#b #y #x"]


class Canvas:
    """A picture [b, 3, size, size] in [0, 1] with the part that each pixel shows."""

    def __init__(self, batch: int, size: int, device: torch.device | str) -> None:
        self.image = torch.zeros(batch, 3, size, size, device=device)
        self.parts = torch.zeros(batch, size, size, dtype=torch.long, device=device)
        self.softness = 1.4 / size

    def inside(self, distance: _Map) -> _Map:
        """Coverage of a shape whose signed distance is positive inside."""
        return smooth(-self.softness, self.softness, distance)

    def paint(self, coverage: _Map, colour: Tensor, part: str, opacity: float = 1.0) -> None:
        """Lay `colour` ([b, 3, ...]) over the canvas and name what it shows."""
        alpha = (coverage * opacity)[:, None]
        self.image = self.image + alpha * (colour - self.image)
        self.parts = torch.where(coverage > 0.5, ID[part], self.parts)

    def darken(self, amount: _Map) -> None:
        """Multiply by one minus `amount`; parts stay."""
        self.image = self.image * (1 - amount[:, None])


class _Noise:
    """Smooth random textures of one style, looked up at any coordinates, so that they stick to the surface."""

    def __init__(self, s: Style, device: torch.device | str) -> None:
        self.seeds, self.device, self.stream = s.seeds, device, 100

    def __call__(self, x: _Map, y: _Map, cells: int, octaves: int = 2) -> _Map:
        """A new texture in about [-1, 1] with `cells` bumps over [-1, 1]."""
        total, amplitude = torch.zeros(()), 1.0
        for octave in range(octaves):
            n = cells * 2**octave
            self.stream += 1
            grid = uniforms(self.seeds, n * n, self.stream).view(-1, 1, n, n).to(self.device) - 0.5
            where = torch.stack(torch.broadcast_tensors(x, y), -1).expand(len(self.seeds), -1, -1, -1)
            octave_map = F.grid_sample(grid, where, "bilinear", "reflection", align_corners=False)[:, 0]
            total, amplitude = total + amplitude * octave_map, amplitude / 2
        return total


def paint(g: Geometry, s: Style, size: int) -> tuple[Float[Tensor, "b 3 y x"], Int[Tensor, "b y x"]]:
    """Render at `size` without smoothing beyond one pixel: picture in [0, 1] and parts."""
    device = g.yaw.device
    canvas, noise = Canvas(len(g.yaw), size, device), _Noise(s, device)
    x, y = pixels(size, device)
    X, Y = to_head(g, x, y)
    _backdrop(canvas, s, noise, x, y)
    strands = _strands(s, noise, X, Y)
    hair = s.hair * (1 + 0.28 * strands[:, None] + 0.25 * noise(X, Y, 5)[:, None])
    long = ((g.cut >= 2) & (s.bald == 0)).float()
    _behind(canvas, g, s, noise, X, Y, hair, long)
    head = surface(g, X, Y)
    shading = _skin(canvas, g, s, noise, head)
    visible = ((head.front > 0.12) & (head.rim > 0)).float()
    _nose(canvas, g, head, visible)
    _eyes(canvas, g, s, head, visible, shading, noise(head.u, head.v, 30, 1))
    _mouth(canvas, g, s, head, visible, shading)
    _glasses(canvas, g, s, head, visible)
    _hair(canvas, g, s, noise, X, Y, head, hair, strands, long)
    image = canvas.image.clamp(0, 1) ** (1 / 1.15) + 0.016 * noise(x, y, 64, 1)[:, None]
    return image.clamp(0, 1), canvas.parts


def _backdrop(canvas: Canvas, s: Style, noise: _Noise, x: _Map, y: _Map) -> None:
    mix = (y * 0.5 + 0.5 + 0.5 * noise(x, y, 4)).clamp(0, 1)[:, None]
    image = s.backdrop[0] * (1 - mix) + s.backdrop[1] * mix
    cloudy, lights, stripes, boxes = ((s.backdrop_kind == k).float() for k in (1, 2, 3, BOXES))
    image = image * (1 + 0.35 * (cloudy * noise(x, y, 14))[:, None])
    for lx, ly, radius, colour in s.lights:
        blob = 0.45 * lights * (1 - smooth(0.9, 1.0, torch.hypot(x - lx, y - ly) / radius))
        image = image + blob[:, None] * (colour - image)
        box = boxes * canvas.inside((3 * radius - (x - lx).abs()).minimum(2 * radius - (y - ly).abs()))
        image = image + box[:, None] * (0.8 * colour.flip(1) - image)
    bright = (torch.sin(x * s.backdrop_pitch) > 0).float()
    canvas.image = image * (1 - 0.25 * stripes * (1 - bright))[:, None]


def _strands(s: Style, noise: _Noise, X: _Map, Y: _Map) -> _Map:
    wave = noise(X, Y, 6)
    return torch.sin((X * (1 + 0.3 * s.curl) + 0.12 * s.curl * torch.sin(Y * 9 + wave * 3)) * s.strand + 5 * wave)


def _behind(canvas: Canvas, g: Geometry, s: Style, noise: _Noise, X: _Map, Y: _Map, hair: Tensor, long: _Map) -> None:
    a, b = HALF_WIDTH, HALF_WIDTH * g.aspect
    longest = (g.cut == 2).float()
    bottom = 0.6 + 0.6 * longest
    tail = canvas.inside(1 - ((X + 0.04 * g.yaw) / (a * 1.32)) ** 2 - ((Y + 0.15).maximum(-bottom) / (b * 1.12)) ** 2)
    tail = tail * canvas.inside(Y + 0.55 + 0.5 * longest + 0.1 * noise(X, Y, 8)) * long
    canvas.paint(tail, hair * 0.75, "hair")
    neck = canvas.inside((0.24 - (X + 0.05 * g.yaw).abs()).minimum(-(Y + 0.25)))
    canvas.paint(neck, s.skin * (0.62 + 0.8 * X * s.light[:, 0]).clamp(0.35, 1)[:, None], "neck")
    collar = canvas.inside(-(Y + 0.66 + 0.28 * torch.exp(-((X / 0.26) ** 2)) + 0.22 * X * X) + 0.06)
    c, n = torch.cos(s.cloth_angle), torch.sin(s.cloth_angle)
    p, q = (c * X + n * Y) * s.cloth_pitch, (c * Y - n * X) * s.cloth_pitch
    stripes, checks = torch.sin(p * 3) > 0, (torch.sin(p * 3) > 0) ^ (torch.sin(q * 3) > 0)
    dots = torch.hypot(p % 1 - 0.5, q % 1 - 0.5) < 0.3
    pattern = torch.zeros_like(p)
    for kind, drawn in enumerate((stripes, checks, dots), start=1):
        pattern = torch.where(s.cloth_kind == kind, drawn.float(), pattern)
    cloth = torch.lerp(s.cloth[0], s.cloth[1], pattern[:, None])
    canvas.paint(collar, cloth * (0.85 + 0.3 * noise(X, Y, 4) + 0.15 * X * s.light[:, 0])[:, None], "cloth")
    for side, name in SIDES:
        ear = canvas.inside(1 - ((X - side * a * torch.cos(g.yaw)) / 0.085) ** 2 - ((Y - 0.03) / 0.15) ** 2)
        canvas.paint(ear * (side * g.yaw < 0.25), s.skin * 0.85, f"{name}_ear")


def _skin(canvas: Canvas, g: Geometry, s: Style, noise: _Noise, head: SimpleNamespace) -> _Map:
    """Paint the head and return how the light falls on it."""
    u, v = head.u, head.v
    bump = g.nose_b * torch.exp(-((u / 0.06) ** 2)) * smooth(0.15, -0.22, v) * smooth(-0.34, -0.22, v)
    bump = bump + 0.8 * g.nose_b * torch.exp(-((u / 0.08) ** 2 + ((v + 0.2) / 0.07) ** 2))
    for side, _ in SIDES:
        bump = bump - 0.06 * torch.exp(-(((u - side * g.eye_dx) / 0.17) ** 2 + ((v - g.eye_y - 0.03) / 0.11) ** 2))
        bump = bump + 0.05 * torch.exp(-(((u - side * 0.42) / 0.2) ** 2 + ((v + 0.15) / 0.18) ** 2))
    bump = bump + 0.05 * torch.exp(-((u / 0.22) ** 2 + ((v - g.mouth_y) / 0.07) ** 2))
    bump = bump + 0.06 * torch.exp(-((u / 0.16) ** 2 + ((v + 0.78) / 0.1) ** 2))
    slope_y, slope_x = torch.gradient(bump, dim=(1, 2))
    relief = u.shape[-1] / 4
    normal = torch.stack([head.xe * 0.95 - slope_x * relief, head.ye * 0.9 + slope_y * relief, head.z + 0.15], 1)
    normal = F.normalize(normal, dim=1)
    diffuse = (normal * s.light).sum(1).clamp(0, 1)
    mirror = (2 * diffuse * normal[:, 2] - s.light[:, 2]).clamp(0, 1) ** 18
    albedo = s.skin * (1 + 0.05 * noise(u, v, 24))[:, None]
    blush = s.blush * sum(torch.exp(-(((u - d * 0.4) / 0.16) ** 2 + ((v + 0.16) / 0.12) ** 2)) for d, _ in SIDES)
    albedo = torch.lerp(albedo, rgb(0.9, 0.35, 0.35).to(u.device), blush[:, None])
    dots = (noise(u, v, 48, 1) > 0.22) * torch.exp(-(((v + 0.05) / 0.2) ** 2)) * (u.abs() < 0.5)
    albedo = albedo * (1 - 0.25 * s.freckles * dots)[:, None]
    beard = s.beard * smooth(0.12, 0.2, -v - 0.28 + 0.25 * u.abs())
    beard = beard * (1 - 0.9 * torch.exp(-((u / 0.2) ** 2 + ((v - g.mouth_y) / 0.05) ** 2)))
    albedo = torch.lerp(albedo, s.hair * (1 + 0.5 * noise(u, v, 40, 1))[:, None], 0.75 * beard[:, None])
    lit = albedo * (s.ambient + 0.75 * diffuse)[:, None] * s.light_colour
    canvas.paint(canvas.inside(head.rim * 0.3), (lit + 0.18 * mirror[:, None]).clamp(0, 1.2), "skin")
    return diffuse


def _nose(canvas: Canvas, g: Geometry, head: SimpleNamespace, visible: _Map) -> None:
    u, v = head.u, head.v
    nose = (u.abs() < g.nose_w * (0.35 + 0.65 * smooth(0.0, -0.24, v))) & (v < g.eye_y - 0.02) & (v > -0.30)
    canvas.parts = torch.where(nose & (visible > 0), ID["nose"], canvas.parts)
    for side, _ in SIDES:
        nostril = torch.exp(-(((u - side * g.nose_w * 0.5) / 0.03) ** 2 + ((v + 0.285) / 0.02) ** 2))
        canvas.darken(0.55 * nostril * visible)


def _eyes(
    canvas: Canvas, g: Geometry, s: Style, head: SimpleNamespace, visible: _Map, diffuse: _Map, hairs: _Map
) -> None:
    white = rgb(0.93, 0.92, 0.90).to(visible.device)
    for side, name in SIDES:
        du, dv = (head.u - side * g.eye_dx) * side, head.v - g.eye_y
        thick = g.brow_t * (1 - 0.45 * smooth(0, 0.2, du))
        off = (dv - g.brow_h - g.brow_arch * (1 - ((du - 0.02) / 0.17) ** 2) + 0.02).abs()
        brow = smooth(0, 0.02, thick - off + 0.012) * smooth(0.02, 0, du.abs() - 0.18) * visible
        canvas.paint(brow, s.hair * (0.7 + 0.3 * hairs[:, None]), f"{name}_brow", 0.85)
        dv = dv - g.tilt * du * 0.35
        lid = (1 - (du / g.eye_w) ** 2).clamp(min=0)
        top, bottom = g.eye_h * lid.clamp(min=1e-6) ** 0.8, g.eye_h * 0.62 * lid
        opening = smooth(-0.008, 0.008, (top - dv).minimum(dv + bottom)) * (du.abs() < g.eye_w) * visible
        centre, radius, full = iris(g, side, du, dv)
        eye = white * (0.75 + 0.25 * smooth(1.0, 0.2, du.abs() / g.eye_w))[:, None]
        eye = torch.where((radius < full)[:, None], s.iris * (0.6 + 0.6 * radius / full)[:, None], eye)
        eye = torch.where((radius < full * 0.42)[:, None], torch.full_like(eye, 0.03), eye)
        glint = torch.hypot(du - centre - 0.025 * side * s.light[:, 0].sign(), dv - 0.025) < 0.016
        eye = torch.where(glint[:, None], torch.ones_like(eye), eye)
        canvas.paint(opening, eye * (0.65 + 0.35 * s.ambient + 0.2 * diffuse)[:, None], f"{name}_eye")
        canvas.darken(0.75 * torch.exp(-(((dv - top) / 0.012) ** 2)) * (du.abs() < g.eye_w * 1.05) * visible)
        canvas.darken(0.25 * torch.exp(-(((dv - top - 0.035) / 0.012) ** 2)) * (du.abs() < g.eye_w * 0.95) * visible)


def _mouth(canvas: Canvas, g: Geometry, s: Style, head: SimpleNamespace, visible: _Map, diffuse: _Map) -> None:
    line, gap, upper, lower = lip_heights(g, head.u)
    h, here = head.v - line, (head.u.abs() < g.mouth_w) * visible

    def between(a: _Map, b: _Map) -> _Map:
        return smooth(-0.006, 0.006, a.minimum(b)) * here

    inner = between(gap - h, h + gap) * (g.open > OPEN)
    teeth, dark = (rgb(*c).to(h.device) for c in ((0.95, 0.94, 0.9), (0.35, 0.08, 0.08)))
    light = (0.55 + 0.55 * diffuse)[:, None]
    canvas.paint(inner, torch.where((h > gap * 0.25)[:, None], teeth, dark), "mouth")
    canvas.paint(between(upper + gap - h, h - gap), s.lips * 0.85 * light, "upper_lip")
    gloss = 0.1 * torch.exp(-(((h + gap + lower * 0.45) / 0.02) ** 2))[:, None]
    canvas.paint(between(h + gap + lower, -h - gap), (s.lips + gloss) * light * 1.05, "lower_lip")
    canvas.darken(0.5 * torch.exp(-((h / 0.009) ** 2)) * here * (g.open <= OPEN))


def _glasses(canvas: Canvas, g: Geometry, s: Style, head: SimpleNamespace, visible: _Map) -> None:
    worn = g.glasses * visible
    for side, _ in SIDES:
        ring = ((head.u - side * g.eye_dx) / 0.2).abs().maximum(((head.v - g.eye_y + 0.01) / 0.14).abs())
        canvas.paint(smooth(0.13, 0.06, (ring - 1).abs()) * worn, s.glasses, "glasses")
    bridge = smooth(0.02, 0.01, (head.v - g.eye_y - 0.02).abs()) * (head.u.abs() < g.eye_dx - 0.19)
    canvas.paint(bridge * worn, s.glasses, "glasses")


def _hair(
    canvas: Canvas,
    g: Geometry,
    s: Style,
    noise: _Noise,
    X: _Map,
    Y: _Map,
    head: SimpleNamespace,
    hair: Tensor,
    strands: _Map,
    long: _Map,
) -> None:
    a, b = HALF_WIDTH, HALF_WIDTH * g.aspect
    u, v, on_head = head.u, head.v, head.rim > 0
    line = g.hairline - 0.16 * (u - g.part * 0.5) ** 2 + 0.03 * noise(u, v, 10)
    line = line + 0.10 * torch.exp(-(((u - g.part * 0.6) / 0.1) ** 2))
    side = (u.abs() > 0.92 - 0.25 * long) & (v > -0.2 - 0.5 * long)
    front = on_head & ((v > line) | side | ((head.front <= 0.02) & (v > -0.25)))
    bulk = 1.06 + 0.07 * (g.cut >= 1) + g.volume * (1 + noise(X, Y, 7))
    crown = canvas.inside((1 - (X / (a * bulk)) ** 2 - ((Y - 0.02) / (b * bulk)) ** 2) * 0.3)
    crown = crown * ~on_head * canvas.inside(Y - 0.02 + 0.5 * long)
    cover = front.float().maximum(crown).clamp(0, 1) * (1 - s.bald)
    light = (0.55 + 0.6 * (X * s.light[:, 0] + Y * s.light[:, 1] + 0.4 * s.light[:, 2]).clamp(-0.3, 1)).clamp(0.35, 1.4)
    shine = 0.22 * torch.exp(-(((Y - 0.45 * b - 0.1 * X * s.light[:, 0]) / 0.08) ** 2)) * (1 + strands)
    canvas.paint(cover, (hair * light[:, None] + shine[:, None] * (0.3 + s.hair)).clamp(0, 1), "hair")
