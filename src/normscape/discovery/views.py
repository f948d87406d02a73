"""What of an image is shown to the backbone: crops around a region, near and from afar, turned.

The first three views show the whole image and crops of a half and a quarter of its side, as they
are. All others do the same with a little of everything that says nothing of the kind of a defect:
where it lies in the crop, how large the crop is, which way it is turned, how bright it is. What
changes between the views of one region is noise (`normscape.discovery.space`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from normscape.discovery.regions import SIDE, Map, Region

PLAIN = 3
"""Views of an image as it is; a new image is assigned by these."""

_ZOOMS = (1, 2, 4)
_SCALE = (0.85, 1.18)
_SHIFT = 0.15
_BRIGHTNESS = (0.8, 1.25)

T = TypeVar("T", bound=np.generic)
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class View:
    """One way to look at a region.

    Attributes:
        box: Left, top, right and bottom, in pixels of the map.
        turn: Quarter turns.
        mirrored: Whether left and right are swapped after them.
        brightness: Factor of the pixels.
    """

    box: Box
    turn: int = 0
    mirrored: bool = False
    brightness: float = 1.0

    def of_image(self, image: Image.Image, size: int) -> Image.Image:
        """The view of an RGB image of any size, `size` pixels a side."""
        across, down = image.width / SIDE, image.height / SIDE
        left, top, right, bottom = self.box
        box = (left * across, top * down, right * across, bottom * down)
        part = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
        pixels = np.asarray(part, dtype=np.float32) * self.brightness
        return Image.fromarray(self._turned(np.clip(pixels, 0, 255).astype(np.uint8)))

    def of_map(self, values: Map, size: int) -> Map:
        """The view of a map `(SIDE, SIDE)`, as `(size, size)`."""
        part = Image.fromarray(values).resize((size, size), Image.Resampling.BILINEAR, box=self.box)
        return self._turned(np.asarray(part, dtype=np.float32))

    def _turned(self, pixels: NDArray[T]) -> NDArray[T]:
        turned = np.rot90(pixels, self.turn)
        return np.ascontiguousarray(turned[:, ::-1] if self.mirrored else turned)


def plan_views(region: Region, sha256: str, count: int) -> list[View]:
    """The views of a region; the same image always gets the same ones.

    Args:
        region: What to look at.
        sha256: Of the image file.
        count: How many, at least `PLAIN`; a multiple of it looks at each distance equally often.
    """
    seed = [int(sha256[:12], 16), *region.peak]
    generator = np.random.default_rng(seed)
    views = []
    for index in range(count):
        zoom = _ZOOMS[index % len(_ZOOMS)]
        if index < PLAIN:
            views.append(View(_box(region, SIDE / zoom, (0.0, 0.0))))
            continue
        side = SIDE / zoom * (generator.uniform(*_SCALE) if zoom > 1 else 1.0)
        shift = generator.uniform(-_SHIFT, _SHIFT, 2) * side
        turn, mirrored = int(generator.integers(4)), bool(generator.integers(2))
        brightness = float(generator.uniform(*_BRIGHTNESS))
        views.append(View(_box(region, side, (shift[0], shift[1])), turn, mirrored, brightness))
    return views


def _box(region: Region, side: float, shift: tuple[float, float]) -> Box:
    """A square around the region's peak that stays within the image."""
    side = min(side, float(SIDE))
    row, column = region.peak
    left = float(np.clip(column + shift[0] - side / 2, 0, SIDE - side))
    top = float(np.clip(row + shift[1] - side / 2, 0, SIDE - side))
    return left, top, left + side, top + side
