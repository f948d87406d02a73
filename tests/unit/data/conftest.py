from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def picture() -> Callable[..., Image.Image]:
    """A random RGB picture; every seed another one."""

    def make(seed: int, size: tuple[int, int] = (40, 36)) -> Image.Image:
        values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
        return Image.fromarray(values)

    return make


@pytest.fixture
def put(picture: Callable[..., Image.Image]) -> Callable[..., Path]:
    """Write a distinct picture, or a given one, to a path; returns the path."""
    seeds = iter(range(10**6))

    def write(path: Path, image: Image.Image | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        (image or picture(next(seeds))).save(path)
        return path

    return write


@pytest.fixture
def mask() -> Callable[..., Image.Image]:
    """A mask of the pictures' size with one bright rectangle."""

    def make(size: tuple[int, int] = (40, 36), value: int = 255) -> Image.Image:
        pixels = np.zeros((size[1], size[0]), np.uint8)
        pixels[5:10, 6:12] = value
        return Image.fromarray(pixels)

    return make


@pytest.fixture
def mvtec(
    tmp_path: Path, put: Callable[..., Path], mask: Callable[..., Image.Image]
) -> Callable[..., Path]:
    """A small sound data set in the MVTec layout; returns its folder."""

    def make(root: Path | None = None, categories: tuple[str, ...] = ("bolt", "nut")) -> Path:
        root = root or tmp_path / "data"
        for category in categories:
            for number in range(30):
                put(root / category / "train" / "good" / f"{number:03}.png")
            for number in range(3):
                put(root / category / "test" / "good" / f"{number:03}.png")
                put(root / category / "test" / "dent" / f"{number:03}.png")
                put(root / category / "ground_truth" / "dent" / f"{number:03}_mask.png", mask())
        return root

    return make
