"""Plane shapes as signed distances: negative inside, in the units of the coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from normscape.data.synth.noise import Field

Shape = Callable[[Field, Field], Field]
"""Takes x and y of the same shape, returns the (approximate) signed distance to the outline."""


def disc(radius: float) -> Shape:
    """A disc."""
    return lambda x, y: np.hypot(x, y) - np.float32(radius)


def box(width: float, height: float, rounding: float = 0.0) -> Shape:
    """A rectangle of half sides `width` and `height`, with rounded corners."""

    def distance(x: Field, y: Field) -> Field:
        right = np.abs(x) - np.float32(width - rounding)
        down = np.abs(y) - np.float32(height - rounding)
        outside = np.hypot(np.maximum(right, 0), np.maximum(down, 0))
        return outside + np.minimum(np.maximum(right, down), 0) - np.float32(rounding)

    return distance


def ring(radius: float, width: float) -> Shape:
    """A circular line, `width` across."""
    return lambda x, y: np.abs(np.hypot(x, y) - np.float32(radius)) - np.float32(width / 2)


def polygon(sides: int, radius: float) -> Shape:
    """A regular polygon; `radius` is that of the inscribed circle."""
    normals = [2 * math.pi * side / sides for side in range(sides)]

    def distance(x: Field, y: Field) -> Field:
        reach = x * np.float32(math.cos(normals[0])) + y * np.float32(math.sin(normals[0]))
        for angle in normals[1:]:
            other = x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))
            reach = np.maximum(reach, other)
        return reach - np.float32(radius)

    return distance


def lobed(count: int, radius: float, depth: float, sharpness: float = 1.0) -> Shape:
    """A disc whose radius swings `count` times by ±`depth`: flowers, crimped rims, gear wheels.

    Args:
        count: Lobes around.
        radius: Mean radius.
        depth: Half the height of a lobe.
        sharpness: 1 for waves; larger numbers give teeth with steep flanks.
    """

    def distance(x: Field, y: Field) -> Field:
        swing = np.clip(np.sin(count * np.arctan2(y, x)) * np.float32(sharpness), -1, 1)
        reach: Field = np.hypot(x, y) - np.float32(radius) - swing * np.float32(depth)
        return reach

    return distance


def cross(length: float, width: float) -> Shape:
    """A plus sign of arms `length` long and `2 * width` wide."""
    across, down = box(length, width), box(width, length)
    return lambda x, y: np.minimum(across(x, y), down(x, y))


def cut(body: Shape, hole: Shape) -> Shape:
    """`body` without `hole`."""
    return lambda x, y: np.maximum(body(x, y), -hole(x, y))


def moved(shape: Shape, right: float, down: float) -> Shape:
    """`shape` with its middle at (`right`, `down`)."""
    return lambda x, y: shape(x - np.float32(right), y - np.float32(down))


def both(first: Shape, second: Shape) -> Shape:
    """The union of two shapes."""
    return lambda x, y: np.minimum(first(x, y), second(x, y))
