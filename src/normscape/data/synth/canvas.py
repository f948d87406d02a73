"""What a product is painted on: colour, relief, and which pixels belong to the product."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from normscape.data.synth.noise import Field
from normscape.data.synth.palette import Colour, as_pixels
from normscape.data.synth.shapes import Shape

PartKey = tuple[int, int, int]
"""Number of the painting step, row and column in its lattice (0, 0 for a single part)."""

_STRIDE = 8  # pixels of a 64-pixel side between the points where lattice cells are looked for
_INNER = 0.72  # parts whose middle is farther from the picture's are not tampered with


@dataclass(frozen=True)
class Pose:
    """How the product lies in the picture.

    Attributes:
        right: Shift in half widths of the picture.
        down: Shift in half heights of the picture.
        turn: Rotation in radians.
        scale: Magnification.
    """

    right: float = 0.0
    down: float = 0.0
    turn: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Fault:
    """A part that is left out, or (`missing` false) set wrongly.

    Attributes:
        key: Which part.
        missing: Whether it is left out.
        right: Else: its shift in the product's units.
        down: The same, downwards.
        turn: Its rotation in radians.
    """

    key: PartKey
    missing: bool = True
    right: float = 0.0
    down: float = 0.0
    turn: float = 0.0


@dataclass(frozen=True)
class Part:
    """A part that can be missing: its key, and its reach in the product's units."""

    key: PartKey
    reach: float


class Canvas:
    """A square picture of coordinates -1 to 1 on which a product is painted.

    Args:
        size: Pixels per side.
        pose: How the product lies; painting happens in the product's coordinates.
        fault: The part that is wrong, if any.

    Attributes:
        x: Product coordinate of every pixel, to the right (H, W).
        y: The same, downwards.
        colour: Red, green, blue from 0 to 1 (H, W, 3).
        relief: Height in the product's units (H, W).
        product: Share of each pixel that the product covers (H, W).
        backdrop: What shows where the product is broken away (H, W, 3).
        parts: Parts near the middle of the picture, in the order of painting.
    """

    def __init__(self, size: int, pose: Pose, fault: Fault | None = None) -> None:
        self.size = size
        self.pixel = 2 / (size * pose.scale)
        self.fault = fault
        line = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
        self._right, self._down = line[None, :], line[:, None]
        self._pose = pose
        cosine, sine = math.cos(pose.turn) / pose.scale, math.sin(pose.turn) / pose.scale
        right, down = line[None, :] - np.float32(pose.right), line[:, None] - np.float32(pose.down)
        self.x: Field = right * np.float32(cosine) + down * np.float32(sine)
        self.y: Field = down * np.float32(cosine) - right * np.float32(sine)
        self.colour: Field = np.zeros((size, size, 3), dtype=np.float32)
        self.relief: Field = np.zeros((size, size), dtype=np.float32)
        self.product: Field = np.zeros((size, size), dtype=np.float32)
        self.backdrop: Field = np.zeros((size, size, 3), dtype=np.float32)
        self.parts: list[Part] = []
        self._steps = 0

    @property
    def right(self) -> Field:
        """Picture coordinate of the columns (1, W)."""
        return self._right

    @property
    def down(self) -> Field:
        """Picture coordinate of the rows (H, 1)."""
        return self._down

    def copy(self) -> Canvas:
        """Return a canvas whose pixels can be changed without changing these."""
        other = Canvas(self.size, self._pose, self.fault)
        other.colour, other.relief = self.colour.copy(), self.relief.copy()
        other.product, other.backdrop = self.product.copy(), self.backdrop
        other.parts = self.parts
        return other

    def lay_ground(self, colour: Field | Colour) -> None:
        """Fill the picture with what the product lies on."""
        self.colour[:] = colour if isinstance(colour, np.ndarray) else as_pixels(colour)
        self.backdrop = self.colour.copy()

    def lay_surface(self, colour: Field | Colour, below: Colour) -> None:
        """Fill the picture with the product; `below` shows where it is broken away."""
        self.colour[:] = colour if isinstance(colour, np.ndarray) else as_pixels(colour)
        self.backdrop[:] = as_pixels(below)
        self.product[:] = 1

    def paint(
        self,
        shape: Shape,
        colour: Field | Colour,
        *,
        at: tuple[float, float] = (0.0, 0.0),
        turn: float = 0.0,
        reach: float = 3.0,
        relief: float = 0.0,
        bevel: float = 0.03,
        part: bool = False,
    ) -> None:
        """Paint one shape.

        Args:
            shape: Its outline around (0, 0).
            colour: Of the whole shape, or of every pixel of the picture (H, W, 3).
            at: Where its middle lies.
            turn: Its rotation in radians.
            reach: No point of it is farther from its middle; a small reach saves time.
            relief: How far it stands out.
            bevel: Over what distance from the outline it rises.
            part: Whether it may be missing or set wrongly.
        """
        key = self._next_key()
        if part:
            middle = self._picture_place(at)
            if max(map(abs, middle)) < _INNER:
                self.parts.append(Part(key, reach))
        if self.fault is not None and self.fault.key == key:
            if self.fault.missing:
                return
            at = (at[0] + self.fault.right, at[1] + self.fault.down)
            turn += self.fault.turn
        window = self._window(at, reach)
        x, y = self.x[window] - np.float32(at[0]), self.y[window] - np.float32(at[1])
        if x.size == 0:
            return
        if turn:
            cosine, sine = np.float32(math.cos(turn)), np.float32(math.sin(turn))
            x, y = x * cosine + y * sine, y * cosine - x * sine
        distance = shape(x, y)
        self._lay(window, distance, colour, relief, bevel)

    def paint_lattice(
        self,
        shape: Shape,
        colour: Field | Colour,
        pitch: tuple[float, float],
        *,
        stagger: float = 0.0,
        turn: float = 0.0,
        relief: float = 0.0,
        bevel: float = 0.03,
        inside: Field | None = None,
    ) -> None:
        """Paint a shape in every cell of a lattice; each is a part that may be missing.

        Args:
            shape: Its outline around (0, 0); it should not leave its cell.
            colour: Of all shapes, or of every pixel of the picture (H, W, 3).
            pitch: Width and height of a cell.
            stagger: Shift of every other row, in cells.
            turn: Rotation of each shape in its cell, in radians.
            relief: How far the shapes stand out.
            bevel: Over what distance from the outline they rise.
            inside: Signed distance of the area that is filled, if not the whole picture.
        """
        step = self._next_key()[0]
        row = np.floor(self.y / np.float32(pitch[1]) + 0.5)
        across = self.x / np.float32(pitch[0]) + row % 2 * np.float32(stagger)
        column = np.floor(across + 0.5)
        x = (across - column) * np.float32(pitch[0])
        y = self.y - row * np.float32(pitch[1])
        self._note_cells(step, row, column, max(pitch), inside)
        wrong = None
        if self.fault is not None and self.fault.key[0] == step:
            wrong = (row == self.fault.key[1]) & (column == self.fault.key[2])
            if not self.fault.missing:
                x = np.where(wrong, x - np.float32(self.fault.right), x)
                y = np.where(wrong, y - np.float32(self.fault.down), y)
        if turn:
            cosine, sine = np.float32(math.cos(turn)), np.float32(math.sin(turn))
            x, y = x * cosine + y * sine, y * cosine - x * sine
        distance = shape(x, y)
        if wrong is not None and self.fault is not None and self.fault.missing:
            distance = np.where(wrong, np.float32(1), distance)
        if inside is not None:
            distance = np.maximum(distance, inside)
        self._lay((slice(None), slice(None)), distance, colour, relief, bevel)

    def _lay(
        self,
        window: tuple[slice, slice],
        distance: Field,
        colour: Field | Colour,
        relief: float,
        bevel: float,
    ) -> None:
        cover = np.clip(0.5 - distance / np.float32(self.pixel), 0, 1)
        ink = colour[window] if isinstance(colour, np.ndarray) else as_pixels(colour)
        self.colour[window] += cover[..., None] * (ink - self.colour[window])
        self.product[window] = np.maximum(self.product[window], cover)
        if relief:
            rise = np.clip(-distance / np.float32(bevel), 0, 1)
            self.relief[window] += np.float32(relief) * rise * (2 - rise)

    def _next_key(self) -> PartKey:
        self._steps += 1
        return self._steps, 0, 0

    def _note_cells(
        self, step: int, row: Field, column: Field, reach: float, inside: Field | None
    ) -> None:
        stride = max(1, self.size // 64 * _STRIDE // 2)
        margin = round(self.size * (1 - _INNER) / 2)
        some = (slice(margin, self.size - margin, stride),) * 2
        keep = np.ones(row[some].shape, dtype=bool) if inside is None else inside[some] < -reach / 2
        pairs = zip(row[some][keep].tolist(), column[some][keep].tolist(), strict=True)
        self.parts += [
            Part((step, int(down), int(right)), reach) for down, right in sorted(set(pairs))
        ]

    def _picture_place(self, at: tuple[float, float]) -> tuple[float, float]:
        pose = self._pose
        cosine, sine = math.cos(pose.turn) * pose.scale, math.sin(pose.turn) * pose.scale
        return (
            at[0] * cosine - at[1] * sine + pose.right,
            at[0] * sine + at[1] * cosine + pose.down,
        )

    def _window(self, at: tuple[float, float], reach: float) -> tuple[slice, slice]:
        """Rows and columns that a shape of this reach can touch."""
        right, down = self._picture_place(at)
        margin = reach * self._pose.scale + 2 * self.pixel
        return self.window(right, down, margin)

    def window(self, right: float, down: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns within `reach` of a place; all three in picture coordinates."""

        def span(middle: float) -> slice:
            low = math.floor((middle - reach + 1) / 2 * self.size)
            high = math.ceil((middle + reach + 1) / 2 * self.size)
            return slice(min(max(low, 0), self.size), min(max(high, 0), self.size))

        return span(down), span(right)


def place_on(cover: NDArray[np.bool_], rng: Generator) -> tuple[int, int]:
    """Draw a pixel (row, column) among those of `cover`; the middle of the picture if none is."""
    places = np.flatnonzero(cover)
    size = cover.shape[0]
    draw = rng.uniform()
    if len(places) == 0:
        return size // 2, size // 2
    row, column = divmod(int(places[int(draw * len(places))]), size)
    return row, column
