"""Families of products put together from many parts: boards, blisters, connectors, trays."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from normscape.data.synth.canvas import Canvas
from normscape.data.synth.noise import grid_noise
from normscape.data.synth.objects import grained, ground
from normscape.data.synth.palette import Palette, as_pixels, mixed, scaled
from normscape.data.synth.product import Painter
from normscape.data.synth.shapes import Shape, box, cut, disc, polygon, ring

_GRID = 5  # places for components along a side of the board
_TRACE = 0.012


def board(rng: Generator, palette: Palette) -> Painter:
    """A circuit board: traces, pads, chips, resistors, capacitors, each in its place."""
    solder_mask = mixed(palette.base, (0.05, 0.3, 0.15), rng.uniform(0.2, 0.8))
    mask = scaled(solder_mask, 0.8)
    copper = scaled(mixed(mask, (0.8, 0.7, 0.3), 0.35), 1.1)
    tin = mixed(palette.metal, palette.light, 0.4)
    kinds = rng.choice(5, (_GRID, _GRID), p=(0.16, 0.3, 0.22, 0.14, 0.18))
    turns = rng.integers(0, 2, (_GRID, _GRID)) * (np.pi / 2)
    traces = rng.uniform(-0.8, 0.8, (14, 3))
    body = palette.dark

    def paint(canvas: Canvas, draws: Generator) -> None:
        canvas.lay_surface(grained(canvas, draws, mask, 0.06), palette.dark)
        for number, (right, down, half) in enumerate(traces):
            long = 0.2 + 0.35 * abs(half)
            shape = box(long, _TRACE) if number % 2 else box(_TRACE, long)
            canvas.paint(shape, copper, at=(right, down), reach=long + 0.02)
        for row in range(_GRID):
            for column in range(_GRID):
                at = ((column - 2) * 0.36, (row - 2) * 0.36)
                turn = float(turns[row, column] + draws.normal(0, 0.02))
                _component(canvas, int(kinds[row, column]), at, turn, (tin, body))

    def _component(
        canvas: Canvas,
        kind: int,
        at: tuple[float, float],
        turn: float,
        colours: tuple[tuple[float, float, float], tuple[float, float, float]],
    ) -> None:
        tin, body = colours
        if kind == 0:
            pins = box(0.15, 0.13)
            canvas.paint(cut(pins, _comb(0.03)), tin, at=at, turn=turn, reach=0.22)
            canvas.paint(box(0.15, 0.1), body, at=at, turn=turn, reach=0.2, relief=0.03, part=True)
        elif kind == 1:
            canvas.paint(box(0.1, 0.045), tin, at=at, turn=turn, reach=0.12, relief=0.01)
            canvas.paint(
                box(0.06, 0.045), body, at=at, turn=turn, reach=0.09, relief=0.02, part=True
            )
        elif kind == 2:
            canvas.paint(box(0.09, 0.05), tin, at=at, turn=turn, reach=0.12, relief=0.01)
            tan = mixed((0.7, 0.55, 0.35), palette.second, 0.5)
            canvas.paint(
                box(0.055, 0.05), tan, at=at, turn=turn, reach=0.09, relief=0.03, part=True
            )
        elif kind == 3:
            canvas.paint(disc(0.12), palette.second, at=at, reach=0.14, relief=0.06, part=True)
            canvas.paint(disc(0.085), tin, at=at, reach=0.1)
        else:
            for right in (-0.08, 0.0, 0.08):
                place = (at[0] + right, at[1])
                canvas.paint(ring(0.026, 0.024), tin, at=place, reach=0.06, part=True)

    return paint


def _comb(pitch: float) -> Shape:
    return lambda x, y: np.abs(x / pitch - np.floor(x / pitch) - 0.5) * pitch - pitch / 4


def blister(rng: Generator, palette: Palette) -> Painter:
    """A blister pack: tablets in rows under a clear dome on foil."""
    columns, rows = int(rng.integers(2, 5)), int(rng.integers(3, 6))
    right, down = 1.75 / columns, 1.75 / rows
    size = min(right, down) * 0.33
    shapes: tuple[Shape, ...] = (
        disc(size),
        box(min(right * 0.36, size * 1.5), size * 0.75, size * 0.74),
        box(size * 0.9, size * 0.9, size * 0.3),
        polygon(6, size * 0.9),
    )
    shape = shapes[int(rng.integers(4))]
    scored = rng.uniform() < 0.5
    foil = mixed(palette.metal, palette.light, 0.3)
    tablet = palette.base if rng.uniform() < 0.6 else palette.light

    def paint(canvas: Canvas, draws: Generator) -> None:
        crinkle = grid_noise(draws, canvas.size, (12, 40), 2) * np.float32(0.1)
        canvas.lay_surface(as_pixels(foil) * (1 + crinkle)[..., None], palette.dark)
        for row in range(rows):
            for column in range(columns):
                at = ((column - (columns - 1) / 2) * right, (row - (rows - 1) / 2) * down)
                canvas.paint(disc(size * 1.35), scaled(foil, 0.85), at=at, reach=size * 1.5)
                jitter = draws.normal(0, size * 0.06, 2)
                place = (at[0] + jitter[0], at[1] + jitter[1])
                turn = draws.normal(0, 0.08)
                canvas.paint(
                    shape,
                    tablet,
                    at=place,
                    turn=turn,
                    reach=size * 1.7,
                    relief=0.06,
                    bevel=size * 0.4,
                    part=True,
                )
                if scored:
                    canvas.paint(
                        box(size * 0.6, 0.012), scaled(tablet, 0.7), at=place, turn=turn, reach=size
                    )

    return paint


def connector(rng: Generator, palette: Palette) -> Painter:
    """A plug: a housing with rows of pins and a key."""
    columns, rows = int(rng.integers(4, 9)), int(rng.integers(2, 4))
    width, height = rng.uniform(0.72, 0.86), rng.uniform(0.36, 0.6)
    pitch = 2 * (width - 0.14) / columns
    down = 2 * (height - 0.12) / rows
    pin = min(pitch, down) * rng.uniform(0.22, 0.32)
    square = rng.uniform() < 0.5
    gold = mixed((0.85, 0.7, 0.3), palette.metal, rng.uniform(0, 1))
    housing = palette.base if rng.uniform() < 0.6 else palette.dark
    ears = rng.uniform() < 0.5

    def paint(canvas: Canvas, draws: Generator) -> None:
        ground(canvas, draws, palette.backdrop)
        body = grained(canvas, draws, housing, 0.06)
        if ears:
            canvas.paint(box(0.94, 0.16, 0.1), palette.metal, relief=0.03)
        canvas.paint(box(width, height, 0.06), body, relief=0.06)
        canvas.paint(box(width - 0.07, height - 0.06, 0.03), body * np.float32(0.6), relief=-0.05)
        canvas.paint(box(0.12, 0.05), body, at=(0, -height + 0.06), reach=0.2, part=True)
        for row in range(rows):
            for column in range(columns):
                at = ((column - (columns - 1) / 2) * pitch, (row - (rows - 1) / 2) * down)
                canvas.paint(
                    box(pin, pin, pin * 0.2) if square else disc(pin),
                    gold,
                    at=(at[0] + draws.normal(0, 0.004), at[1] + draws.normal(0, 0.004)),
                    reach=pin * 1.6,
                    relief=0.04,
                    part=True,
                )

    return paint


def tray(rng: Generator, palette: Palette) -> Painter:
    """A tray of loose small parts, one in each pocket, turned at random."""
    count = int(rng.integers(3, 6))
    pitch = 1.8 / count
    size = pitch * 0.36
    shapes: tuple[Shape, ...] = (
        cut(polygon(6, size * 0.85), disc(size * 0.45)),
        cut(disc(size), disc(size * 0.5)),
        box(size, size * 0.4, size * 0.2),
        cut(box(size * 0.8, size * 0.8, 0.02), box(size * 0.4, size * 0.4)),
    )
    shape = shapes[int(rng.integers(4))]
    colour = mixed(palette.metal, palette.second, rng.uniform(0.0, 0.8))
    pocket = box(pitch * 0.45, pitch * 0.45, pitch * 0.1)

    def paint(canvas: Canvas, draws: Generator) -> None:
        canvas.lay_surface(grained(canvas, draws, palette.base, 0.05), palette.dark)
        for row in range(count):
            for column in range(count):
                at = ((column - (count - 1) / 2) * pitch, (row - (count - 1) / 2) * pitch)
                canvas.paint(
                    pocket, scaled(palette.base, 0.7), at=at, reach=pitch * 0.7, relief=-0.03
                )
                jitter = draws.normal(0, pitch * 0.02, 2)
                canvas.paint(
                    shape,
                    colour,
                    at=(at[0] + jitter[0], at[1] + jitter[1]),
                    turn=draws.uniform(0, 6.3),
                    reach=size * 1.5,
                    relief=0.04,
                    part=True,
                )

    return paint
