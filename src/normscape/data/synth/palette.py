"""The colours of a category: a hue of its own, and what goes with it."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

Colour = tuple[float, float, float]
"""Red, green, blue from 0 to 1."""

_GOLDEN = 0.61803398875


@dataclass(frozen=True)
class Palette:
    """Colours of a category.

    Attributes:
        base: The main colour, of medium lightness.
        second: Clearly unlike `base`.
        light: Near white, faintly of the base hue.
        dark: Near black, faintly of the base hue.
        metal: A grey, warm or cold.
        backdrop: What the product lies on; light or dark.
    """

    base: Colour
    second: Colour
    light: Colour
    dark: Colour
    metal: Colour
    backdrop: Colour


def draw_palette(rng: Generator, index: int) -> Palette:
    """Draw the colours of category `index`; successive ones have hues far apart."""
    hue = (index * _GOLDEN + rng.uniform(0, 0.08)) % 1.0
    other = (hue + rng.uniform(0.25, 0.75)) % 1.0
    dull = rng.uniform(0.15, 0.75)
    warm = rng.uniform(-0.05, 0.05)
    grey = rng.uniform(0.45, 0.75)
    lit = rng.uniform() < 0.5
    ground = rng.uniform(0.7, 0.9) if lit else rng.uniform(0.06, 0.25)
    return Palette(
        base=_rgb(hue, dull, rng.uniform(0.4, 0.8)),
        second=_rgb(other, rng.uniform(0.3, 0.9), rng.uniform(0.35, 0.9)),
        light=_rgb(hue, rng.uniform(0.02, 0.15), rng.uniform(0.8, 0.93)),
        dark=_rgb(hue, rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.25)),
        metal=(grey + warm, grey, grey - warm),
        backdrop=_rgb(rng.uniform(), rng.uniform(0.0, 0.35), ground),
    )


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """Return `first` with `share` of it replaced by `second`."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def scaled(colour: Colour, factor: float) -> Colour:
    """Return `colour` made lighter or darker, limited to 1."""
    red, green, blue = (min(1.0, part * factor) for part in colour)
    return red, green, blue


def as_pixels(colour: Colour) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return `colour` as an array (3,)."""
    return np.array(colour, dtype=np.float32)


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
