"""Families of round and loose objects on a ground: wheels, tops, flanges, bolts, food."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from normscape.data.synth.canvas import Canvas
from normscape.data.synth.noise import Field, grid_noise, noise_at
from normscape.data.synth.palette import Colour, Palette, as_pixels, mixed, scaled
from normscape.data.synth.product import Painter
from normscape.data.synth.shapes import Shape, box, cross, cut, disc, lobed, moved, polygon, ring


def ground(canvas: Canvas, draws: Generator, colour: Colour) -> None:
    """Lay a faintly mottled ground of one colour."""
    mottle = grid_noise(draws, canvas.size, (8, 8), 3) * np.float32(0.06)
    canvas.lay_ground(as_pixels(colour) * (1 + mottle)[..., None])


def grained(canvas: Canvas, draws: Generator, colour: Colour, amount: float) -> Field:
    """Return pixels of one colour (H, W, 3) with a fine grain."""
    grain = grid_noise(draws, canvas.size, (40, 40), 2) * np.float32(amount)
    return as_pixels(colour) * (1 + grain)[..., None]


def around(count: int, radius: float, start: float = 0.0) -> list[tuple[float, float]]:
    """Return `count` places on a circle."""
    angles = [start + 2 * math.pi * number / count for number in range(count)]
    return [(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]


def gear(rng: Generator, palette: Palette) -> Painter:
    """A gear wheel with a hub, a bore and lightening holes."""
    radius, teeth = rng.uniform(0.62, 0.78), int(rng.integers(12, 34))
    depth = min(0.07, 1.1 * radius / teeth)
    holes, hole = int(rng.integers(3, 8)), rng.uniform(0.07, 0.13)
    hub, bore = rng.uniform(0.2, 0.28), rng.uniform(0.08, 0.14)
    colour = mixed(palette.metal, palette.base, rng.uniform(0.0, 0.9))
    key = rng.uniform() < 0.5

    def paint(canvas: Canvas, draws: Generator) -> None:
        ground(canvas, draws, palette.backdrop)
        metal = grained(canvas, draws, colour, 0.08)
        canvas.paint(lobed(teeth, radius, depth, 2.0), metal, relief=0.05)
        canvas.paint(disc(radius - 0.12), metal * np.float32(0.85), relief=-0.02)
        for at in around(holes, (radius - 0.12 + hub) / 2):
            canvas.paint(
                disc(hole), scaled(palette.backdrop, 0.8), at=at, reach=hole * 1.2, part=True
            )
        canvas.paint(disc(hub), metal, relief=0.04)
        canvas.paint(disc(bore), scaled(palette.backdrop, 0.7), reach=0.3)
        if key:
            canvas.paint(
                box(0.05, 0.05), scaled(palette.backdrop, 0.7), at=(bore, 0), reach=0.1, part=True
            )

    return paint


def cap(rng: Generator, palette: Palette) -> Painter:
    """A bottle top: a crimped rim, rings and an emblem."""
    radius, crimps = rng.uniform(0.7, 0.82), int(rng.integers(18, 30))
    emblem: tuple[Shape, ...] = (
        lobed(5, 0.26, 0.1),
        cross(0.3, 0.1),
        polygon(6, 0.24),
        polygon(3, 0.2),
        cut(disc(0.3), moved(disc(0.25), 0.12, 0)),
    )
    figure = emblem[int(rng.integers(5))]
    dots = int(rng.integers(6, 16))
    lined = rng.uniform() < 0.5

    def paint(canvas: Canvas, draws: Generator) -> None:
        ground(canvas, draws, palette.backdrop)
        canvas.paint(lobed(crimps, radius, 0.035), scaled(palette.base, 0.85), relief=0.05)
        canvas.paint(disc(radius - 0.13), palette.base, relief=0.04, bevel=0.08)
        if lined:
            canvas.paint(ring(radius - 0.2, 0.03), palette.light)
        for at in around(dots, 0.46):
            canvas.paint(disc(0.032), palette.light, at=at, reach=0.06, part=True)
        canvas.paint(figure, palette.second, reach=0.45)

    return paint


def flange(rng: Generator, palette: Palette) -> Painter:
    """A flange with screws around its bore."""
    radius, screws = rng.uniform(0.68, 0.84), int(rng.integers(4, 10))
    bore, size = rng.uniform(0.2, 0.34), rng.uniform(0.075, 0.1)
    colour = mixed(palette.metal, palette.base, rng.uniform(0.0, 0.8))
    square = rng.uniform() < 0.35
    body = box(radius, radius, 0.15) if square else disc(radius)
    head = (disc(size), polygon(6, size * 0.9))[int(rng.integers(2))]
    slot = (box(size * 0.75, size * 0.16), cross(size * 0.6, size * 0.16), polygon(6, size * 0.45))
    drive = slot[int(rng.integers(3))]
    brass = mixed(palette.metal, (0.8, 0.62, 0.25), rng.uniform(0, 1))

    def paint(canvas: Canvas, draws: Generator) -> None:
        ground(canvas, draws, palette.backdrop)
        canvas.paint(body, grained(canvas, draws, colour, 0.1), relief=0.05)
        canvas.paint(ring(bore + 0.06, 0.03), scaled(colour, 0.7), reach=0.6)
        canvas.paint(disc(bore), scaled(palette.backdrop, 0.7), reach=0.5, relief=-0.04)
        for at in around(screws, (bore + radius + 0.05) / 2):
            canvas.paint(disc(size * 1.25), scaled(colour, 0.5), at=at, reach=size * 1.4)
            canvas.paint(head, brass, at=at, reach=size * 1.3, relief=0.04, part=True)
            canvas.paint(
                drive,
                scaled(brass, 0.35),
                at=at,
                turn=draws.uniform(0, math.pi),
                reach=size,
                part=True,
            )

    return paint


def bolt(rng: Generator, palette: Palette) -> Painter:
    """A bolt lying on its side: head, shank, thread."""
    thick, head = rng.uniform(0.16, 0.26), rng.uniform(0.34, 0.46)
    pitch = rng.uniform(0.06, 0.12)
    begin = rng.uniform(-0.35, 0.1)
    slant = rng.uniform(0.05, 0.25)
    colour = mixed(palette.metal, palette.base, rng.uniform(0.0, 0.7))
    washer = rng.uniform() < 0.5

    def paint(canvas: Canvas, draws: Generator) -> None:
        ground(canvas, draws, palette.backdrop)
        metal = grained(canvas, draws, colour, 0.06)
        roundness = np.sqrt(np.maximum(0.05, 1 - (canvas.y / np.float32(thick)) ** 2))
        turns = (canvas.x + canvas.y * np.float32(slant)) / np.float32(pitch)
        tooth = 1 - np.abs(2 * (turns - np.floor(turns)) - 1)
        thread = np.where(canvas.x > np.float32(begin), 0.55 + 0.45 * tooth, 1)
        shank = metal * (thread * (0.45 + 0.6 * roundness))[..., None]
        canvas.paint(box(0.66, thick, 0.03), shank, at=(0.14, 0), reach=0.75)
        face = np.sqrt(np.maximum(0.05, 1 - (canvas.y / np.float32(head)) ** 2))
        facet = np.where(np.abs(canvas.y) < head * 0.5, 1.0, 0.75) * (0.6 + 0.4 * face)
        hexagon = metal * facet[..., None].astype(np.float32)
        canvas.paint(box(0.14, head, 0.03), hexagon, at=(-0.62, 0), reach=0.55, relief=0.03)
        if washer:
            canvas.paint(
                box(0.03, head * 1.1, 0.02),
                scaled(palette.second, 0.8),
                at=(-0.45, 0),
                reach=0.55,
                relief=0.02,
                part=True,
            )

    return paint


def biscuit(rng: Generator, palette: Palette) -> Painter:
    """A baked biscuit: an uneven crust with docking holes or chips."""
    radius = rng.uniform(0.66, 0.78)
    crust = mixed((0.78, 0.55, 0.28), palette.base, rng.uniform(0.0, 0.35))
    holes = rng.uniform() < 0.5
    count = int(rng.integers(7, 14))
    rim = int(rng.integers(14, 30))
    wavy = rng.uniform(0.0, 0.03)
    square = rng.uniform() < 0.4
    shape = box(radius, radius * 0.8, 0.1) if square else lobed(rim, radius, wavy)
    chip = scaled(palette.dark, 0.9) if not holes else scaled(crust, 0.45)

    def paint(canvas: Canvas, draws: Generator) -> None:
        ground(canvas, draws, palette.backdrop)
        bake = grid_noise(draws, canvas.size, (5, 5), 4) * np.float32(0.16)
        pores = grid_noise(draws, canvas.size, (60, 60)) * np.float32(0.1)
        canvas.paint(
            shape, as_pixels(crust) * (1 + bake + pores)[..., None], relief=0.08, bevel=0.1
        )
        spots = around(count - 4, radius * 0.6) + around(4, radius * 0.27, 0.4)
        for right, down in spots:
            jitter = draws.normal(0, 0.0 if holes else 0.05, 2)
            size = 0.035 if holes else draws.uniform(0.05, 0.09)
            canvas.paint(
                disc(size) if holes else lobed(3, size, size * 0.2),
                chip,
                at=(right + jitter[0], down + jitter[1]),
                turn=draws.uniform(0, 6),
                reach=0.13,
                relief=-0.02 if holes else 0.03,
                part=True,
            )

    return paint


def cable(rng: Generator, palette: Palette) -> Painter:
    """The cut end of a cable: a sheath, insulated cores, strands of wire."""
    cores = int(rng.integers(2, 6))
    sheath, strands = rng.uniform(0.74, 0.86), int(rng.integers(6, 12))
    core = min(0.3, 0.9 * sheath * math.sin(math.pi / max(cores, 3)) / 1.9)
    colours = (palette.base, palette.second, palette.light, (0.3, 0.5, 0.3), palette.metal)
    copper = mixed((0.8, 0.45, 0.25), palette.metal, rng.uniform(0, 0.6))
    filler = mixed(palette.light, palette.base, 0.25)

    def paint(canvas: Canvas, draws: Generator) -> None:
        ground(canvas, draws, palette.backdrop)
        canvas.paint(disc(sheath), grained(canvas, draws, palette.dark, 0.2), relief=0.04)
        canvas.paint(disc(sheath - 0.1), grained(canvas, draws, filler, 0.12), relief=-0.03)
        for number, at in enumerate(around(cores, (sheath - 0.1) * 0.54)):
            canvas.paint(disc(core), colours[number], at=at, reach=core * 1.1, relief=0.03)
            canvas.paint(disc(core * 0.72), scaled(copper, 0.4), at=at, reach=core)
            start = draws.uniform(0, 0.5)
            for right, down in around(strands, core * 0.52, start) + around(4, core * 0.22, start):
                size = core * 0.155
                canvas.paint(
                    disc(size),
                    copper,
                    at=(at[0] + right, at[1] + down),
                    reach=size * 1.3,
                    relief=0.02,
                    bevel=0.03,
                    part=True,
                )

    return paint


def capsule(rng: Generator, palette: Palette) -> Painter:
    """A two-coloured capsule or a coated tablet with an imprint."""
    length, thick = rng.uniform(0.62, 0.8), rng.uniform(0.28, 0.42)
    two = rng.uniform() < 0.6
    imprint = [
        (box(0.035, 0.1), cross(0.09, 0.03), ring(0.08, 0.035), polygon(3, 0.06))[n]
        for n in rng.permutation(4)[:3]
    ]
    speckle = rng.uniform(0.0, 0.12)
    ink = palette.dark if sum(palette.base) > 1.1 else palette.light

    def paint(canvas: Canvas, draws: Generator) -> None:
        ground(canvas, draws, palette.backdrop)
        seam = np.float32(draws.uniform(-0.04, 0.04))
        second = as_pixels(palette.second if two else palette.base)
        colour = np.where((canvas.x > seam)[..., None], second, as_pixels(palette.base))
        gloss = np.exp(-(((canvas.y + np.float32(thick * 0.4)) * 9) ** 2)) * np.float32(0.2)
        spots = noise_at(draws, canvas.x * 30 + 32, canvas.y * 30 + 32) * np.float32(speckle)
        shaded = (colour * (1 + spots)[..., None] + gloss[..., None]).astype(np.float32)
        canvas.paint(box(length, thick, thick), shaded, relief=0.12, bevel=0.2)
        for number, figure in enumerate(imprint):
            at = (-length * 0.55 + number * length * 0.28, 0.03)
            canvas.paint(figure, ink, at=at, reach=0.15, part=True)

    return paint
