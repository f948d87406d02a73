"""The kinds of defects: marks drawn over a finished specimen, and parts set wrongly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from normscape.data.synth.canvas import Canvas, Fault, place_on
from normscape.data.synth.noise import Field, grid_noise
from normscape.data.synth.palette import Colour, Palette, as_pixels, mixed, scaled
from normscape.data.synth.product import Family

_FINE = 2  # strokes are drawn on 2 by 2 points a pixel
_MARGIN = 0.06  # of the picture, between a mark's middle and the product's outline


@dataclass(frozen=True)
class Severity:
    """How clear one defect is.

    Attributes:
        contrast: 0 subtle, 1 clear.
        extent: 0 small, 1 large.
    """

    contrast: float
    extent: float


Mark = Callable[[Canvas, Generator, Severity, Palette], None]
"""Changes the pixels of a finished canvas."""


def scratch(canvas: Canvas, rng: Generator, severity: Severity, palette: Palette) -> None:
    """One to three slightly bent lines with a bright and a dark flank."""
    place = _middle(canvas, rng)
    length = 0.1 + 0.5 * severity.extent
    angle, bend = rng.uniform(0, math.pi), rng.uniform(-0.25, 0.25)
    lines = []
    for number in range(int(rng.integers(1, 3))):
        aside = number * rng.uniform(0.02, 0.05)
        steps = np.linspace(-1, 1, 9)
        along = steps * length * rng.uniform(0.7, 1.0)
        across = aside + bend * length * steps**2
        lines.append(_turned(along, across, angle, place))
    cover = _strokes(canvas.size, lines, rng.uniform(0.006, 0.012)) * _rough(canvas, rng)
    sign = 1.0 if rng.uniform() < 0.6 else -1.0
    tone = (0.06 + 0.34 * severity.contrast) * sign
    canvas.colour += (cover * np.float32(tone))[..., None]
    canvas.relief -= cover * np.float32(0.01 * severity.contrast)


def crack(canvas: Canvas, rng: Generator, severity: Severity, palette: Palette) -> None:
    """A dark line that wanders and forks."""
    place = _middle(canvas, rng)
    length = 0.12 + 0.4 * severity.extent
    angle = rng.uniform(0, 2 * math.pi)
    paths = [_walk(rng, place, angle, length)]
    paths.append(_walk(rng, place, angle + math.pi + rng.uniform(-0.5, 0.5), length * 0.7))
    for _ in range(int(rng.integers(0, 3))):
        fork = paths[0][int(rng.integers(2, len(paths[0])))]
        paths.append(_walk(rng, fork, angle + rng.choice([-1, 1]) * 0.8, length * 0.4))
    cover = _strokes(canvas.size, paths, rng.uniform(0.005, 0.011))
    canvas.colour *= (1 - cover * np.float32(0.2 + 0.55 * severity.contrast))[..., None]


def stain(canvas: Canvas, rng: Generator, severity: Severity, palette: Palette) -> None:
    """A soft-edged discoloured spot: oil, rust, heat tint or bleaching."""
    radius = 0.07 + 0.2 * severity.extent
    cover = _blob(canvas, rng, _middle(canvas, rng), radius, soft=rng.uniform(0.25, 0.7))
    cover = cover * (canvas.product > 0.5)
    tints: tuple[Colour, ...] = (
        scaled(palette.dark, 0.7),
        (0.45, 0.25, 0.1),
        palette.light,
        palette.second,
    )
    tint = as_pixels(tints[int(rng.integers(4))])
    share = (cover * np.float32(0.15 + 0.5 * severity.contrast))[..., None]
    canvas.colour += share * (tint - canvas.colour)


def contamination(canvas: Canvas, rng: Generator, severity: Severity, palette: Palette) -> None:
    """Something foreign on the product: a fibre, a flake, crumbs or a drop."""
    place = _middle(canvas, rng)
    colour = mixed(
        (palette.light, palette.dark, palette.second)[int(rng.integers(3))],
        (rng.uniform(), rng.uniform(), rng.uniform()),
        0.4,
    )
    kind = int(rng.integers(3))
    if kind == 0:
        steps = np.linspace(-1, 1, 17)
        length = 0.08 + 0.22 * severity.extent
        wave = length * 0.4 * np.sin(steps * rng.uniform(1.5, 4) + rng.uniform(0, 6))
        line = _turned(steps * length, wave, rng.uniform(0, math.pi), place)
        cover = _strokes(canvas.size, [line], rng.uniform(0.007, 0.013))
    elif kind == 1:
        radius = 0.03 + 0.08 * severity.extent
        cover = _blob(canvas, rng, place, radius, soft=0.05)
    else:
        cover = np.zeros_like(canvas.relief)
        for _ in range(int(rng.integers(3, 8))):
            near = (place[0] + rng.normal(0, 0.06), place[1] + rng.normal(0, 0.06))
            radius = 0.012 + 0.03 * severity.extent * rng.uniform(0.4, 1)
            cover = np.maximum(cover, _blob(canvas, rng, near, radius, soft=0.1))
    share = (cover * np.float32(0.3 + 0.6 * severity.contrast))[..., None]
    canvas.colour += share * (as_pixels(colour) - canvas.colour)
    canvas.relief += cover * np.float32(0.012)


def hole(canvas: Canvas, rng: Generator, severity: Severity, palette: Palette) -> None:
    """A pit or a piece broken out: the ground shows, with a lit edge."""
    radius = 0.025 + 0.08 * severity.extent
    cover = _blob(canvas, rng, _middle(canvas, rng), radius, soft=0.08)
    share = (cover * np.float32(0.3 + 0.6 * severity.contrast))[..., None]
    canvas.colour += share * (canvas.backdrop * np.float32(0.8) - canvas.colour)
    canvas.relief -= cover * np.float32(0.02)


def deformation(canvas: Canvas, rng: Generator, severity: Severity, palette: Palette) -> None:
    """A dent, a bulge or a twist: what is there is bent, and catches the light differently."""
    radius = 0.1 + 0.2 * severity.extent
    right, down = _middle(canvas, rng)
    window = canvas.window(right, down, radius)
    x, y = canvas.right[:, window[1]] - np.float32(right), canvas.down[window[0]] - np.float32(down)
    fall = np.clip(1 - (x * x + y * y) / np.float32(radius * radius), 0, 1) ** 2
    amount = 0.15 + 0.5 * severity.contrast
    if rng.uniform() < 0.5:
        twist = fall * np.float32(amount * rng.choice([-1, 1]) * 1.6)
        source_x = x * np.cos(twist) - y * np.sin(twist)
        source_y = x * np.sin(twist) + y * np.cos(twist)
    else:
        pinch = 1 + fall * np.float32(amount * rng.choice([-0.8, 1]))
        source_x, source_y = x * pinch, y * pinch
    half = np.float32(canvas.size / 2)
    rows = (source_y + np.float32(down) + 1) * half - np.float32(0.5)
    columns = (source_x + np.float32(right) + 1) * half - np.float32(0.5)
    for layer in [canvas.colour[..., channel] for channel in range(3)] + [canvas.relief]:
        layer[window] = ndimage.map_coordinates(layer, [rows, columns], order=1, mode="nearest")
    dent = rng.choice([-1, 1]) * radius * (0.04 + 0.16 * severity.contrast)
    canvas.relief[window] += fall * np.float32(dent)


def fading(canvas: Canvas, rng: Generator, severity: Severity, palette: Palette) -> None:
    """A worn or unfinished spot: the texture is smoothed away and the colour pales."""
    radius = 0.1 + 0.18 * severity.extent
    place = _middle(canvas, rng)
    cover = _blob(canvas, rng, place, radius, soft=0.3) * (canvas.product > 0.5)
    window = canvas.window(*place, 2 * radius)
    side = max(3, round(radius * canvas.size * 0.3))
    part = canvas.colour[window]
    smooth = ndimage.uniform_filter(part, (side, side, 0), mode="nearest")
    share = (cover[window] * np.float32(0.35 + 0.65 * severity.contrast))[..., None]
    pale = smooth + (smooth.mean(axis=(0, 1)) - smooth) * np.float32(0.3)
    part += share * (pale * np.float32(rng.uniform(0.92, 1.1)) - part)
    canvas.relief[window] *= 1 - share[..., 0]


def misprint(canvas: Canvas, rng: Generator, severity: Severity, palette: Palette) -> None:
    """A strip whose structure is shifted sideways, by up to a tenth of the picture."""
    height = max(3, round(canvas.size * (0.02 + 0.08 * severity.extent)))
    shift = max(2, round(canvas.size * (0.01 + 0.06 * severity.contrast)))
    length = round(canvas.size * rng.uniform(0.25, 0.7))
    row, column = place_on(canvas.product > 0.5, rng)
    top = min(max(row - height // 2, 0), canvas.size - height)
    left = min(max(column - length // 2, shift), canvas.size - length)
    upright = rng.uniform() < 0.5
    for layer in (canvas.colour, canvas.relief):
        view = layer.swapaxes(0, 1) if upright else layer
        source = view[top : top + height, left - shift : left - shift + length].copy()
        view[top : top + height, left : left + length] = source


def broken_edge(canvas: Canvas, rng: Generator, severity: Severity, palette: Palette) -> None:
    """A bite out of the product's outline."""
    product = canvas.product > 0.5
    side = max(3, canvas.size // 32 | 1)
    outline = product & (ndimage.uniform_filter(canvas.product, side) < 0.8)
    place = _coordinates(canvas, place_on(outline, rng))
    radius = 0.05 + 0.1 * severity.extent
    cover = _blob(canvas, rng, place, radius, soft=0.06) * canvas.product
    canvas.colour += cover[..., None] * (canvas.backdrop - canvas.colour)
    canvas.relief -= cover * canvas.relief


MARKS: dict[str, Mark] = {
    "scratch": scratch,
    "stain": stain,
    "crack": crack,
    "contamination": contamination,
    "hole": hole,
    "deformation": deformation,
    "fading": fading,
    "misprint": misprint,
    "broken_edge": broken_edge,
}
"""Kinds that change a finished specimen."""

FAULTS = ("missing_part", "misplaced_part")
"""Kinds for which the specimen is painted anew with one part wrong."""


def kinds_of(family: Family) -> list[str]:
    """The kinds of defects that a family can have, eight or more."""
    kinds = [kind for kind in MARKS if kind not in ("misprint", "broken_edge")]
    if family.structured:
        kinds.append("misprint")
    if family.edged:
        kinds.append("broken_edge")
    return kinds + list(FAULTS) if family.parts else kinds


def draw_fault(kind: str, canvas: Canvas, rng: Generator, severity: Severity) -> Fault | None:
    """Choose a part of a painted specimen to be wrong; None if it has none in view."""
    draw, shift, turn = rng.uniform(), rng.uniform(0.25, 0.5), rng.uniform(0.2, 1.2)
    angle = rng.uniform(0, 2 * math.pi)
    if not canvas.parts:
        return None
    part = canvas.parts[int(draw * len(canvas.parts))]
    if kind == "missing_part":
        return Fault(part.key)
    away = part.reach * shift * (0.6 + severity.contrast)
    return Fault(part.key, False, away * math.cos(angle), away * math.sin(angle), turn)


def _middle(canvas: Canvas, rng: Generator) -> tuple[float, float]:
    """Draw a place well inside the product, in picture coordinates."""
    side = max(3, round(_MARGIN * canvas.size) | 1)
    margin = side // 2 + 1
    inner = np.zeros(canvas.product.shape, dtype=bool)
    core = ndimage.uniform_filter(canvas.product, side) > 0.98
    inner[margin:-margin, margin:-margin] = core[margin:-margin, margin:-margin]
    return _coordinates(canvas, place_on(inner, rng))


def _coordinates(canvas: Canvas, place: tuple[int, int]) -> tuple[float, float]:
    row, column = place
    return float(canvas.right[0, column]), float(canvas.down[row, 0])


def _blob(
    canvas: Canvas, rng: Generator, place: tuple[float, float], radius: float, soft: float
) -> Field:
    """A lobed spot, 1 inside; its edge is `soft` radii wide."""
    angle, flat = rng.uniform(0, math.pi), rng.uniform(0.55, 1.0)
    x, y = canvas.right - np.float32(place[0]), canvas.down - np.float32(place[1])
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along, across = x * cosine + y * sine, (y * cosine - x * sine) / np.float32(flat)
    bend = 1 + np.float32(0.35) * grid_noise(rng, canvas.size, (1.2 / radius, 1.2 / radius), 2)
    distance = np.hypot(along, across) / np.float32(radius) * bend
    cover: Field = np.clip((1 - distance) / np.float32(soft) + np.float32(0.5), 0, 1)
    return cover


def _rough(canvas: Canvas, rng: Generator) -> Field:
    share: Field = np.clip(np.float32(0.8) + grid_noise(rng, canvas.size, (20, 20)), 0, 1)
    return share


def _turned(
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    angle: float,
    place: tuple[float, float],
) -> list[tuple[float, float]]:
    x = along * math.cos(angle) - across * math.sin(angle) + place[0]
    y = along * math.sin(angle) + across * math.cos(angle) + place[1]
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _walk(
    rng: Generator, start: tuple[float, float], angle: float, length: float
) -> list[tuple[float, float]]:
    path = [start]
    for _ in range(10):
        angle += rng.normal(0, 0.35)
        x, y = path[-1]
        path.append((x + length / 10 * math.cos(angle), y + length / 10 * math.sin(angle)))
    return path


def _strokes(size: int, paths: list[list[tuple[float, float]]], width: float) -> Field:
    """Lines of a width, all in picture coordinates, as the share of each pixel they cover."""
    picture = Image.new("L", (size * _FINE, size * _FINE))
    draw = ImageDraw.Draw(picture)
    scale = size * _FINE / 2
    for path in paths:
        points = [((x + 1) * scale, (y + 1) * scale) for x, y in path]
        draw.line(points, fill=255, width=max(_FINE, round(width * scale)), joint="curve")
    return np.asarray(picture.reduce(_FINE), dtype=np.float32) / np.float32(255)
