"""Families of woven, laid and machined surfaces: a regular structure that fills the picture."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from normscape.data.synth.canvas import Canvas
from normscape.data.synth.noise import Field, grid_noise, noise_at
from normscape.data.synth.palette import Palette, as_pixels, mixed, scaled
from normscape.data.synth.product import Painter
from normscape.data.synth.shapes import Shape, box, disc, polygon


def weave(rng: Generator, palette: Palette) -> Painter:
    """Cloth: warp and weft threads in a plain, twill or basket weave."""
    threads = rng.uniform(14, 34)
    step, group = ((1, 1), (1, 2), (2, 2))[int(rng.integers(3))]
    warp = as_pixels(palette.base)
    weft = as_pixels(mixed(palette.base, palette.second, rng.uniform(0.2, 1.0)))
    slub = rng.uniform(0.06, 0.16)

    def paint(canvas: Canvas, draws: Generator) -> None:
        wobble = grid_noise(draws, canvas.size, (5, 5), 2) * np.float32(0.012)
        u = (canvas.x + wobble) * np.float32(threads / 2) + np.float32(draws.uniform(0, 8))
        v = (canvas.y - wobble) * np.float32(threads / 2) + np.float32(draws.uniform(0, 8))
        column, row = np.floor(u), np.floor(v)
        over = (np.floor(column / step) + np.floor(row / group)) % (group + 1) < 1
        bulge_u = 1 - (2 * (u - column) - 1) ** 2
        bulge_v = 1 - (2 * (v - row) - 1) ** 2
        shade = np.where(over, bulge_u * (0.6 + 0.4 * bulge_v), bulge_v * (0.6 + 0.4 * bulge_u))
        uneven = np.where(
            over, noise_at(draws, column + 0.5, v * 0.3), noise_at(draws, u * 0.3, row + 0.5)
        )
        colour = np.where(over[..., None], warp, weft)
        light = (0.45 + 0.55 * shade) * (1 + np.float32(slub) * uneven)
        canvas.lay_surface(colour * light[..., None], scaled(palette.dark, 0.6))

    return paint


def brushed(rng: Generator, palette: Palette) -> Painter:
    """Brushed or rolled sheet metal: fine streaks in one direction, a broad sheen."""
    turn = rng.uniform(0, math.pi)
    fine, streak = rng.uniform(20, 31), rng.uniform(0.05, 0.16)
    colour = as_pixels(mixed(palette.metal, palette.base, rng.uniform(0.0, 0.6)))
    sheen = rng.uniform(0.05, 0.3)

    def paint(canvas: Canvas, draws: Generator) -> None:
        cosine, sine = np.float32(math.cos(turn)), np.float32(math.sin(turn))
        along = canvas.x * cosine + canvas.y * sine
        across = canvas.y * cosine - canvas.x * sine
        offset = np.float32(draws.uniform(0, 40))
        lines = noise_at(draws, along + offset, across * np.float32(fine) + offset, 3)
        middle = np.float32(draws.uniform(-0.6, 0.6))
        glow = np.exp(-((across - middle) ** 2) * 3) * np.float32(sheen)
        light = 0.85 + np.float32(streak) * lines + glow
        canvas.lay_surface(colour * light[..., None], scaled(palette.dark, 0.7))

    return paint


def knurl(rng: Generator, palette: Palette) -> Painter:
    """Knurled grip: two crossing sets of grooves, or one for a straight knurl."""
    count, angle = rng.uniform(8, 20), rng.uniform(0.35, 0.9)
    straight = rng.uniform() < 0.25
    height = rng.uniform(0.25, 0.6) / count
    colour = as_pixels(mixed(palette.metal, palette.base, rng.uniform(0.0, 0.7)))

    def paint(canvas: Canvas, draws: Generator) -> None:
        cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        offset = np.float32(draws.uniform(0, 1))
        first = (canvas.x * cosine + canvas.y * sine) * np.float32(count / 2) + offset
        second = (canvas.x * cosine - canvas.y * sine) * np.float32(count / 2) + offset
        rise = 1 - np.abs(2 * (first - np.floor(first)) - 1)
        if not straight:
            rise = np.minimum(rise, 1 - np.abs(2 * (second - np.floor(second)) - 1))
        rise = np.minimum(rise * 1.4, 1)
        wear = 1 + 0.12 * grid_noise(draws, canvas.size, (5, 5), 3)
        canvas.lay_surface(
            colour * ((0.6 + 0.4 * rise) * wear)[..., None], scaled(palette.dark, 0.6)
        )
        canvas.relief += rise * np.float32(height)

    return paint


def perforated(rng: Generator, palette: Palette) -> Painter:
    """Perforated sheet or wire mesh: a lattice of openings."""
    pitch = rng.uniform(0.14, 0.34)
    open_share = rng.uniform(0.22, 0.42)
    shapes: tuple[Shape, ...] = (
        disc(pitch * open_share),
        box(pitch * open_share, pitch * open_share, pitch * 0.05),
        polygon(6, pitch * open_share * 0.95),
        box(pitch * 0.44, pitch * 0.17, pitch * 0.16),
    )
    shape = shapes[int(rng.integers(4))]
    stagger = float(rng.choice([0.0, 0.5]))
    turn = float(rng.choice([0.0, math.pi / 4])) if stagger == 0 else 0.0
    colour = as_pixels(mixed(palette.metal, palette.base, rng.uniform(0.1, 1.0)))

    def paint(canvas: Canvas, draws: Generator) -> None:
        grain = 1 + 0.08 * grid_noise(draws, canvas.size, (50, 6), 2)
        canvas.lay_surface(colour * grain[..., None], palette.backdrop)
        canvas.paint_lattice(
            shape,
            scaled(palette.backdrop, 0.8),
            (pitch, pitch),
            stagger=stagger,
            turn=turn,
            relief=-0.02,
            bevel=0.02,
        )

    return paint


def turned(rng: Generator, palette: Palette) -> Painter:
    """A face turned on a lathe: concentric marks and a two-sided glint, with a bore."""
    marks, depth = rng.uniform(18, 30), rng.uniform(0.08, 0.2)
    colour = as_pixels(mixed(palette.metal, palette.base, rng.uniform(0.0, 0.5)))
    bore = rng.uniform(0.1, 0.3)
    grooves = sorted(rng.uniform(bore + 0.1, 1.2, int(rng.integers(1, 4))).tolist())
    sides = int(rng.integers(2, 4))

    def paint(canvas: Canvas, draws: Generator) -> None:
        radius = np.hypot(canvas.x, canvas.y)
        angle = np.arctan2(canvas.y, canvas.x)
        offset = np.float32(draws.uniform(0, 40))
        lines = noise_at(
            draws, np.cos(angle) * np.float32(2), radius * np.float32(marks) + offset, 2
        )
        glint = np.float32(0.18) * np.cos(
            np.float32(sides) * angle + np.float32(draws.uniform(-0.4, 0.4))
        )
        light: Field = np.float32(0.85) + np.float32(depth) * lines + glint
        for groove in grooves:
            away = (radius - np.float32(groove)) * np.float32(60)
            light = light * (1 - np.float32(0.45) * np.exp(-(away * away)))
        canvas.lay_surface(colour * light[..., None], palette.dark)
        canvas.paint(disc(bore), palette.dark, relief=-0.03)

    return paint


def tiles(rng: Generator, palette: Palette) -> Painter:
    """Glazed tiles, bricks or hexagons with joints between them."""
    width = rng.uniform(0.3, 0.62)
    height = width * float(rng.choice([0.4, 0.5, 1.0, 1.0]))
    joint = rng.uniform(0.015, 0.04)
    stagger = 0.5 if height < width else float(rng.choice([0.0, 0.5]))
    shape = box(width / 2 - joint, height / 2 - joint, joint)
    glaze, alternate = as_pixels(palette.base), as_pixels(mixed(palette.base, palette.light, 0.5))
    chequered = rng.uniform() < 0.5
    mottle = rng.uniform(0.04, 0.14)

    def paint(canvas: Canvas, draws: Generator) -> None:
        grout = 1 + 0.1 * grid_noise(draws, canvas.size, (60, 60))
        canvas.lay_surface(
            as_pixels(palette.metal) * np.float32(0.8) * grout[..., None], palette.dark
        )
        row = np.floor(canvas.y / np.float32(height) + 0.5)
        column = np.floor(canvas.x / np.float32(width) + row % 2 * np.float32(stagger) + 0.5)
        tone = noise_at(draws, column + 0.5, row + 0.5) * 0.1
        tone = tone + np.float32(mottle) * grid_noise(draws, canvas.size, (9, 9), 3) + 1
        odd = ((row + column) % 2 == 1)[..., None] & chequered
        colour = np.where(odd, alternate, glaze) * tone[..., None]
        canvas.paint_lattice(
            shape, colour, (width, height), stagger=stagger, relief=0.015, bevel=0.02
        )

    return paint
