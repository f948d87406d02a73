"""Families of natural and cast materials: no two pieces are alike, no part stands out."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from normscape.data.synth.canvas import Canvas
from normscape.data.synth.noise import cell_distances, grid_noise, noise_at
from normscape.data.synth.palette import Palette, as_pixels, mixed, scaled
from normscape.data.synth.product import Painter


def stone(rng: Generator, palette: Palette) -> Painter:
    """Granite: interlocked grains of three or four colours."""
    cells = rng.uniform(26, 56)
    even = rng.uniform(0.2, 0.6)
    shares = np.cumsum(rng.dirichlet([4.0, 3.0, 2.0, 1.0]))[:3]
    colours = np.stack(
        [
            as_pixels(mixed(palette.metal, palette.base, 0.6)),
            as_pixels(palette.light),
            as_pixels(palette.dark),
            as_pixels(palette.second),
        ]
    )

    colours += (colours[0] - colours) * np.float32(even)

    def paint(canvas: Canvas, draws: Generator) -> None:
        bend = grid_noise(draws, canvas.size, (cells, cells)) * np.float32(0.5 / cells)
        _, _, owner = cell_distances(
            draws,
            (canvas.x + bend + 1) * np.float32(cells / 2),
            (canvas.y - bend + 1) * np.float32(cells / 2),
            1.0,
        )
        minerals = np.searchsorted(shares, draws.uniform(size=4096))
        grey = 1 + 0.12 * draws.uniform(-1, 1, 4096).astype(np.float32)
        cloud = 1 + 0.08 * grid_noise(draws, canvas.size, (5, 5), 2)
        colour = colours[minerals[owner]] * (grey[owner] * cloud)[..., None]
        canvas.lay_surface(colour, palette.dark)

    return paint


def wood(rng: Generator, palette: Palette) -> Painter:
    """Sawn boards: rings that waver along the grain."""
    turn = rng.choice([0.0, math.pi / 2]) + rng.uniform(-0.1, 0.1)
    rings, wave = rng.uniform(5, 16), rng.uniform(0.5, 2.0)
    brown = mixed((0.62, 0.42, 0.24), palette.base, rng.uniform(0.0, 0.45))
    early, late = as_pixels(scaled(brown, 1.15)), as_pixels(scaled(brown, rng.uniform(0.5, 0.75)))

    def paint(canvas: Canvas, draws: Generator) -> None:
        cosine, sine = np.float32(math.cos(turn)), np.float32(math.sin(turn))
        along = canvas.x * cosine + canvas.y * sine
        across = canvas.y * cosine - canvas.x * sine
        offset = np.float32(draws.uniform(0, 50))
        waver = noise_at(
            draws, along * np.float32(0.8) + offset, across * np.float32(2) + offset, 2
        ) * np.float32(wave)
        ring = (across + 1) * np.float32(rings) + waver
        share = (ring - np.floor(ring)) ** 2
        fibre = noise_at(draws, along * np.float32(6) + offset, across * np.float32(60) + offset, 2)
        colour = early + (late - early) * share[..., None]
        canvas.lay_surface(colour * (1 + 0.13 * fibre)[..., None], scaled(palette.dark, 0.7))

    return paint


def marble(rng: Generator, palette: Palette) -> Painter:
    """Polished stone with veins."""
    veins, turbulence = rng.uniform(1.5, 4.0), rng.uniform(0.6, 1.4)
    sharp = rng.uniform(4, 12)
    ground = palette.light if rng.uniform() < 0.6 else palette.dark
    vein = as_pixels(mixed(palette.second, palette.metal, rng.uniform(0, 0.7)))
    turn = rng.uniform(0, math.pi)

    def paint(canvas: Canvas, draws: Generator) -> None:
        across = canvas.x * np.float32(math.cos(turn)) + canvas.y * np.float32(math.sin(turn))
        bend = grid_noise(draws, canvas.size, (4, 4), 4) * np.float32(turbulence)
        phase = across * np.float32(veins) + bend * 2 + np.float32(draws.uniform(0, 6))
        line = (1 - np.abs(np.sin(phase))) ** np.float32(sharp)
        cloud = grid_noise(draws, canvas.size, (5, 5), 3)
        colour = as_pixels(ground) * (1 + 0.08 * cloud)[..., None]
        share = (line * 0.8)[..., None]
        canvas.lay_surface(colour * (1 - share) + vein * share, scaled(palette.dark, 0.8))

    return paint


def leather(rng: Generator, palette: Palette) -> Painter:
    """Grained hide: irregular cells with creases between them."""
    cells = rng.uniform(9, 24)
    jitter, height = rng.uniform(0.7, 1.0), rng.uniform(0.008, 0.02)
    colour = as_pixels(scaled(palette.base, rng.uniform(0.5, 1.1)))

    def paint(canvas: Canvas, draws: Generator) -> None:
        bend = grid_noise(draws, canvas.size, (7, 7), 2) * np.float32(0.06)
        near, far, _ = cell_distances(
            draws,
            (canvas.x + bend + 1) * np.float32(cells),
            (canvas.y - bend + 1) * np.float32(cells),
            jitter,
        )
        dome = np.clip((far - near) * 2.2, 0, 1)
        patch = grid_noise(draws, canvas.size, (4, 4), 3)
        shade = (0.7 + 0.3 * dome) * (1 + 0.1 * patch)
        canvas.lay_surface(colour * shade[..., None], scaled(palette.dark, 0.8))
        canvas.relief += dome * np.float32(height)

    return paint


def terrazzo(rng: Generator, palette: Palette) -> Painter:
    """Chips of several colours cast in a binder, or a coarse foam where the cells are hollow."""
    cells, jitter = rng.uniform(6, 14), rng.uniform(0.75, 1.0)
    gap = rng.uniform(0.08, 0.25)
    hollow = rng.uniform() < 0.35
    chips = np.stack(
        [
            as_pixels(palette.base),
            as_pixels(palette.second),
            as_pixels(palette.metal),
            as_pixels(mixed(palette.light, palette.base, 0.4)),
        ]
    )
    binder = as_pixels(palette.light if rng.uniform() < 0.5 else palette.dark)
    chips += (chips[0] - chips) * np.float32(rng.uniform(0.1, 0.6))

    def paint(canvas: Canvas, draws: Generator) -> None:
        near, far, owner = cell_distances(
            draws, (canvas.x + 1) * np.float32(cells), (canvas.y + 1) * np.float32(cells), jitter
        )
        inside = np.clip((far - near - np.float32(gap)) * 12, 0, 1)
        grain = 1 + 0.06 * grid_noise(draws, canvas.size, (60, 60))
        if hollow:
            dome = np.clip(1 - near * 1.5, 0, 1)
            colour = chips[0] * (1.05 - 0.75 * inside * dome)[..., None]
            canvas.relief -= dome * np.float32(0.02)
        else:
            share = inside[..., None]
            colour = binder * (1 - share) + chips[draws.integers(0, 4, 4096)[owner]] * share
        canvas.lay_surface(colour * grain[..., None], scaled(palette.dark, 0.6))

    return paint
