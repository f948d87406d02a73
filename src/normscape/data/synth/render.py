"""One picture of a category: specimen, defect, light, camera; and the mask of what differs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from normscape.data.synth.canvas import Canvas, Fault, Pose
from normscape.data.synth.defects import FAULTS, MARKS, Severity, draw_fault, kinds_of
from normscape.data.synth.families import FAMILIES
from normscape.data.synth.noise import Field
from normscape.data.synth.palette import Palette, draw_palette
from normscape.data.synth.product import Family, Painter

Split = Literal["train", "test_normal", "test_anomalous"]

Pixels = NDArray[np.uint8]

DEFECT_KINDS = 6
"""Kinds of defects that each category shows."""

_SPLITS: dict[Split, int] = {"train": 1, "test_normal": 2, "test_anomalous": 3}
_LEVEL = 8  # grey levels by which a pixel must differ to be marked
_SMALLEST = 0.0003  # share of the picture that a mask must cover
_ATTEMPTS = 8
_ON_PRODUCT = 0.5  # share of the mask that must lie on the product
_LIGHT = 1.2  # how strongly slopes are shaded


@dataclass(frozen=True)
class Category:
    """One product category.

    Attributes:
        name: `<index>_<family>`, unique within a seed.
        family: Its family.
        painter: How a specimen is painted.
        palette: Its colours.
        kinds: The kinds of its defects.
        key: Seed and index, from which everything about it follows.
        severity: 0 for a category whose defects are subtle, 1 for clear ones.
        sensor: Standard deviation of the camera's noise, grey levels.
        loose: How freely specimens lie, 0 to 1.
    """

    name: str
    family: Family
    painter: Painter
    palette: Palette
    kinds: tuple[str, ...]
    key: tuple[int, int]
    severity: float
    sensor: float
    loose: float


@dataclass(frozen=True)
class Picture:
    """A picture of one specimen.

    Attributes:
        pixels: Red, green, blue (H, W, 3).
        mask: 255 where the defect changed the picture (H, W); None for a normal one.
        kind: The kind of its defect; None for a normal one.
    """

    pixels: Pixels
    mask: Pixels | None = None
    kind: str | None = None


@dataclass(frozen=True)
class _Camera:
    """Everything between the specimen and the file; the same with and without the defect."""

    light: tuple[float, float]
    shade: Field
    cast: Field
    blur: float
    noise: Field


def category(seed: int, index: int) -> Category:
    """Draw category `index`; it does not depend on how many there are."""
    rng = np.random.default_rng([seed, index])
    name = list(FAMILIES)[index % len(FAMILIES)]
    family = FAMILIES[name]
    palette = draw_palette(rng, index)
    painter = family.draw(rng, palette)
    kinds = rng.permutation(kinds_of(family))[:DEFECT_KINDS]
    return Category(
        name=f"{index:03d}_{name}",
        family=family,
        painter=painter,
        palette=palette,
        kinds=tuple(str(kind) for kind in kinds),
        key=(seed, index),
        severity=rng.uniform(),
        sensor=rng.uniform(1.0, 3.5),
        loose=rng.uniform(0.3, 1.0),
    )


def render(category: Category, split: Split, index: int, size: int) -> Picture:
    """Make picture `index` of a split; it does not depend on how many there are.

    Args:
        category: The category.
        split: Pictures of `test_anomalous` go through the category's kinds of defects in turn.
        index: Number of the picture within the split.
        size: Pixels per side.
    """
    specimen = _Specimen(category, (*category.key, _SPLITS[split], index), size)
    clean = specimen.paint()
    camera = _camera(category, specimen.draws(2), size)
    pixels = _photograph(clean, camera)
    if split != "test_anomalous":
        return Picture(pixels)
    kind = category.kinds[index % len(category.kinds)]
    for attempt in range(_ATTEMPTS):
        rng = specimen.draws(3, attempt)
        severity = _severity(category, rng, attempt / _ATTEMPTS)
        spoiled = _spoil(specimen, clean, kind, rng, severity)
        found = _photograph(spoiled, camera)
        mask = _difference(pixels, found)
        if _is_visible(mask, np.maximum(clean.product, spoiled.product)):
            return Picture(found, mask, kind)
    # A part can be hidden, or a spot without any texture; a dark pit shows everywhere.
    spoiled = clean.copy()
    MARKS["hole"](spoiled, specimen.draws(4), Severity(1.0, 0.5), category.palette)
    found = _photograph(spoiled, camera)
    return Picture(found, _difference(pixels, found), kind)


class _Specimen:
    """A specimen that can be painted again with a part wrong, all else the same."""

    def __init__(self, category: Category, key: tuple[int, ...], size: int) -> None:
        self.category = category
        self._key = key
        self._size = size
        rng = self.draws(0)
        shift = 0.05 * category.loose if category.family.edged else 0.03 * category.loose
        self._pose = Pose(
            right=rng.uniform(-shift, shift),
            down=rng.uniform(-shift, shift),
            turn=rng.uniform(-1, 1) * category.family.turning,
            scale=1 + rng.uniform(-0.04, 0.04) * category.loose,
        )

    def draws(self, *purpose: int) -> Generator:
        """The random numbers for one purpose, always the same."""
        return np.random.default_rng([*self._key, *purpose])

    def paint(self, fault: Fault | None = None) -> Canvas:
        """Paint it."""
        canvas = Canvas(self._size, self._pose, fault)
        self.category.painter(canvas, self.draws(1))
        return canvas


def _severity(category: Category, rng: Generator, boost: float) -> Severity:
    """Half of it is the category's, half the picture's; repeated attempts are clearer."""
    contrast = 0.3 + 0.7 * (0.5 * category.severity + 0.5 * rng.uniform())
    extent = 0.2 + 0.8 * (0.35 * category.severity + 0.65 * rng.uniform() ** 1.3)
    return Severity(min(1.0, contrast + boost), min(1.0, extent + boost / 2))


def _spoil(
    specimen: _Specimen, clean: Canvas, kind: str, rng: Generator, severity: Severity
) -> Canvas:
    if kind in FAULTS:
        return specimen.paint(draw_fault(kind, clean, rng, severity))
    changed = clean.copy()
    MARKS[kind](changed, rng, severity, specimen.category.palette)
    return changed


def _camera(category: Category, rng: Generator, size: int) -> _Camera:
    line = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
    right, down = line[None, :], line[:, None]
    angle = rng.uniform(-0.25, 0.25) + 0.7 * math.pi
    across = rng.uniform(-0.07, 0.07, 2)
    gain = rng.uniform(0.93, 1.07)
    corner = rng.uniform(0.0, 0.1)
    shade = gain + np.float32(across[0]) * right + np.float32(across[1]) * down
    shade = shade * (1 - np.float32(corner / 2) * (right * right + down * down))
    return _Camera(
        light=(math.cos(angle), math.sin(angle)),
        shade=shade.astype(np.float32),
        cast=rng.uniform(0.985, 1.015, 3).astype(np.float32),
        blur=rng.uniform(0.02, 0.2),
        noise=rng.standard_normal((size, size, 3), dtype=np.float32) * np.float32(category.sensor),
    )


def _photograph(canvas: Canvas, camera: _Camera) -> Pixels:
    down, right = np.gradient(canvas.relief, np.float32(canvas.pixel))
    slope = down * np.float32(camera.light[1]) - right * np.float32(camera.light[0])
    shade = camera.shade * np.clip(1 + np.float32(_LIGHT) * slope, 0.35, 1.6)
    colour = canvas.colour * shade[..., None].astype(np.float32)
    picture: Field = np.clip(colour * camera.cast, 0, 1) * np.float32(255)
    for axis in (0, 1):
        picture = _soften(picture.swapaxes(0, axis), camera.blur).swapaxes(0, axis)
    pixels: Pixels = np.clip(np.rint(picture + camera.noise), 0, 255).astype(np.uint8)
    return pixels


def _soften(picture: Field, amount: float) -> Field:
    """Mix each row with its neighbours, `amount` of each."""
    mixed = picture * np.float32(1 - 2 * amount)
    mixed[1:] += picture[:-1] * np.float32(amount)
    mixed[:-1] += picture[1:] * np.float32(amount)
    mixed[0] += picture[0] * np.float32(amount)
    mixed[-1] += picture[-1] * np.float32(amount)
    return mixed


def _difference(clean: Pixels, spoiled: Pixels) -> Pixels:
    """Mark where two pictures differ, without single pixels and pinholes."""
    apart = np.abs(clean.astype(np.int16) - spoiled.astype(np.int16)).max(axis=2) > _LEVEL
    neighbours = ndimage.convolve(apart.astype(np.uint8), np.ones((3, 3), dtype=np.uint8))
    mask: Pixels = np.where((apart & (neighbours > 2)) | (neighbours > 6), 255, 0).astype(np.uint8)
    return mask


def _is_visible(mask: Pixels, product: Field) -> bool:
    marked = mask > 0
    count = int(marked.sum())
    enough = count >= max(4, _SMALLEST * mask.size)
    return enough and int((marked & (product > 0.5)).sum()) >= _ON_PRODUCT * count
