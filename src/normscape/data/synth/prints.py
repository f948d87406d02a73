"""Families of printed surfaces: motifs, labels, keys and scales on a plain ground."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from normscape.data.synth.canvas import Canvas
from normscape.data.synth.noise import Field, grid_noise
from normscape.data.synth.palette import Colour, Palette, as_pixels, mixed, scaled
from normscape.data.synth.product import Painter
from normscape.data.synth.shapes import Shape, both, box, cross, disc, lobed, polygon, ring


def _motif(rng: Generator, reach: float) -> Shape:
    """A printed figure within a square of half side `reach`."""
    figures: tuple[Shape, ...] = (
        disc(reach * 0.7),
        ring(reach * 0.65, reach * 0.3),
        polygon(int(rng.integers(3, 7)), reach * 0.5),
        lobed(int(rng.integers(4, 8)), reach * 0.62, reach * 0.25),
        cross(reach * 0.8, reach * 0.25),
        both(ring(reach * 0.75, reach * 0.15), disc(reach * 0.35)),
        both(box(reach * 0.8, reach * 0.15), box(reach * 0.15, reach * 0.5)),
    )
    return figures[int(rng.integers(len(figures)))]


def motifs(rng: Generator, palette: Palette) -> Painter:
    """Wrapping paper: one or two figures repeated in a lattice."""
    pitch = rng.uniform(0.24, 0.5)
    first, second = _motif(rng, pitch * 0.45), _motif(rng, pitch * 0.22)
    stagger = float(rng.choice([0.0, 0.5]))
    turn = rng.uniform(0, math.pi)
    two = rng.uniform() < 0.6
    ground, ink = palette.light, palette.base
    if rng.uniform() < 0.5:
        ground, ink = mixed(palette.base, palette.dark, 0.2), palette.light

    def paint(canvas: Canvas, draws: Generator) -> None:
        canvas.lay_surface(_paper(canvas, draws, ground), palette.metal)
        canvas.x += np.float32(draws.uniform(-0.5, 0.5) * pitch)
        canvas.y += np.float32(draws.uniform(-0.5, 0.5) * pitch)
        canvas.paint_lattice(first, ink, (pitch, pitch), stagger=stagger, turn=turn)
        if two:
            canvas.paint_lattice(second, palette.second, (pitch, pitch), stagger=stagger)

    return paint


def label(rng: Generator, palette: Palette) -> Painter:
    """A sticker: a bar code, lines of text, and a mark, on a package."""
    width, height = rng.uniform(0.72, 0.88), rng.uniform(0.5, 0.85)
    bars = np.cumsum(rng.uniform(0.014, 0.05, 40))
    flipped = rng.uniform() < 0.5
    lines = int(rng.integers(3, 6))
    letters = [np.cumsum(rng.uniform(0.025, 0.09, 24)) for _ in range(lines)]
    mark, mark_reach = _motif(rng, 0.2), 0.3
    ground = mixed(palette.light, palette.second, rng.uniform(0, 0.5))
    banner = rng.uniform() < 0.6

    def paint(canvas: Canvas, draws: Generator) -> None:
        canvas.lay_surface(_paper(canvas, draws, palette.base), palette.dark)
        canvas.paint(box(width, height, 0.05), ground, relief=0.004, bevel=0.01)
        side = -1 if flipped else 1
        if banner:
            canvas.paint(box(width, 0.09), palette.second, at=(0, -height + 0.14))
        for edge, gap in zip(bars[:-1:2], bars[1::2], strict=False):
            if gap < width * 0.95:
                at = (side * (width * 0.42) - width * 0.45 + edge, height * 0.5)
                wide = (gap - edge) / 2.4
                canvas.paint(box(wide, height * 0.28), palette.dark, at=at, reach=0.35, part=True)
        canvas.paint(
            mark, palette.base, at=(-side * width * 0.6, height * 0.45), reach=mark_reach, part=True
        )
        for number, edges in enumerate(letters):
            down = -height * 0.45 + number * height * 0.6 / lines
            for left, right in zip(edges[:-1:2], edges[1::2], strict=False):
                if right < 2 * width - 0.2:
                    at = (left - width + 0.12, down)
                    canvas.paint(
                        box((right - left) / 2, 0.028), palette.dark, at=at, reach=0.09, part=True
                    )

    return paint


def keys(rng: Generator, palette: Palette) -> Painter:
    """A keypad: raised caps in rows, each with its own glyph."""
    columns = int(rng.integers(3, 6))
    rows = int(rng.integers(3, 6))
    right, down = 1.7 / columns, 1.7 / rows
    half = min(right, down) * rng.uniform(0.36, 0.44)
    cap: Shape = box(half, half, half * rng.uniform(0.1, 0.6))
    if rng.uniform() < 0.3:
        cap = disc(half)
    glyphs = [_motif(rng, half * 0.6) for _ in range(rows * columns)]
    turns = rng.uniform(0, 6, rows * columns)
    body, top = palette.dark, palette.base
    if rng.uniform() < 0.5:
        body, top = palette.metal, palette.light
    ink = palette.light if sum(top) < 1.6 else palette.dark

    def paint(canvas: Canvas, draws: Generator) -> None:
        canvas.lay_surface(_paper(canvas, draws, body), scaled(palette.dark, 0.5))
        for number, glyph in enumerate(glyphs):
            row, column = divmod(number, columns)
            at = ((column - (columns - 1) / 2) * right, (row - (rows - 1) / 2) * down)
            canvas.paint(cap, top, at=at, reach=half * 1.5, relief=0.03, part=number % 3 == 0)
            canvas.paint(
                glyph, ink, at=at, turn=float(turns[number]), reach=half, part=number % 3 > 0
            )

    return paint


def dial(rng: Generator, palette: Palette) -> Painter:
    """An instrument's face: a scale, figures, a pointer at its rest."""
    ticks, arc = int(rng.integers(20, 41)), rng.uniform(3.6, 5.6)
    major = int(rng.integers(4, 6))
    radius = rng.uniform(0.62, 0.74)
    face = palette.light if rng.uniform() < 0.6 else palette.dark
    ink = palette.dark if face == palette.light else palette.light
    figure = _motif(rng, 0.14)
    zone = rng.uniform() < 0.6

    def paint(canvas: Canvas, draws: Generator) -> None:
        canvas.lay_ground(_paper(canvas, draws, palette.backdrop))
        canvas.paint(disc(0.92), palette.metal, relief=0.05, bevel=0.06)
        canvas.paint(disc(0.84), face, relief=-0.03, bevel=0.02)
        if zone:
            start = math.pi / 2 + arc / 2
            for number in range(8):
                angle = start - number * arc / 60
                at = (radius * 0.86 * math.cos(angle), radius * 0.86 * math.sin(angle))
                canvas.paint(box(0.035, 0.05), palette.second, at=at, turn=angle, reach=0.07)
        for number in range(ticks + 1):
            angle = -math.pi / 2 + (number / ticks - 0.5) * arc
            at = (radius * math.cos(angle), radius * math.sin(angle))
            size = (0.07, 0.013) if number % major == 0 else (0.035, 0.008)
            canvas.paint(box(*size), ink, at=at, turn=angle, reach=0.08, part=True)
        canvas.paint(figure, palette.second, at=(0, 0.3), reach=0.2, part=True)
        rest = -math.pi / 2 - arc / 2 + draws.uniform(-0.03, 0.03)
        middle = (0.28 * math.cos(rest), 0.28 * math.sin(rest))
        canvas.paint(box(0.33, 0.016), palette.second, at=middle, turn=rest, relief=0.01)
        canvas.paint(disc(0.09), palette.dark, relief=0.02)

    return paint


def stripes(rng: Generator, palette: Palette) -> Painter:
    """Banded print: stripes of several widths, once or crossed to a tartan."""
    count = int(rng.integers(4, 8))
    edges = np.cumsum(rng.uniform(0.3, 1.0, count))
    edges = (edges / edges[-1]).astype(np.float32)
    period = rng.uniform(0.45, 0.9)
    options = (palette.base, palette.second, palette.light, palette.dark, palette.metal)
    first = int(rng.integers(5))
    bands = np.stack([as_pixels(options[(first + n * 2) % 5]) for n in range(count)])
    crossed = rng.uniform() < 0.5
    turn = rng.uniform(0, math.pi)

    def paint(canvas: Canvas, draws: Generator) -> None:
        cosine, sine = np.float32(math.cos(turn)), np.float32(math.sin(turn))
        offset = np.float32(draws.uniform(0, 1))
        across = (canvas.x * cosine + canvas.y * sine) / np.float32(period) + offset
        colour = bands[np.searchsorted(edges, across % 1.0).clip(0, count - 1)]
        if crossed:
            down = (canvas.y * cosine - canvas.x * sine) / np.float32(period) + offset
            other = bands[np.searchsorted(edges, down % 1.0).clip(0, count - 1)]
            rib = (np.sin((canvas.x + canvas.y) * 150) > 0)[..., None]
            colour = np.where(rib, colour, other)
        cloth = 1 + 0.1 * grid_noise(draws, canvas.size, (70, 70), 1)
        canvas.lay_surface(colour * cloth[..., None], scaled(palette.dark, 0.7))

    return paint


def _paper(canvas: Canvas, draws: Generator, colour: Colour) -> Field:
    grain = grid_noise(draws, canvas.size, (6, 6), 2) * np.float32(0.03)
    fine = grid_noise(draws, canvas.size, (90, 90)) * np.float32(0.03)
    paper: Field = as_pixels(colour) * (1 + grain + fine)[..., None]
    return paper
