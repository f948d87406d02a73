"""What a family of categories provides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from numpy.random import Generator

from normscape.data.synth.canvas import Canvas
from normscape.data.synth.palette import Palette

Painter = Callable[[Canvas, Generator], None]
"""Paints one specimen; its harmless variation comes from the generator."""


@dataclass(frozen=True)
class Family:
    """A family of categories that share one construction.

    Attributes:
        draw: Draws the parameters of a category, and returns how its specimens are painted.
        turning: How far specimens are rotated, in radians to either side.
        structured: Whether a misplaced strip of it can be told from a good one.
        parts: Whether it has parts that can be missing or set wrongly.
        edged: Whether its outline lies in the picture.
    """

    draw: Callable[[Generator, Palette], Painter]
    turning: float
    structured: bool = False
    parts: bool = False
    edged: bool = False
