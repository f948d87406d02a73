"""Streaming many maps gives the same metrics as having them all at once."""

import time
from pathlib import Path

import numpy as np
import pytest

from normscape.errors import NormscapeError
from normscape.evaluation.metrics import pixel_metrics, ranked_pixel_metrics
from normscape.evaluation.pixels import PixelRankings


def test_streamed_equals_at_once_per_category_and_pooled(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    masks = generator.random((12, 32, 32)) < 0.03
    masks[::3] = False
    maps = (generator.normal(size=masks.shape) + masks).astype(np.float32).round(2)
    names = ["bolt", "nut"] * 6
    with PixelRankings(tmp_path) as rankings:
        for name, values, mask in zip(names, maps, masks, strict=True):
            rankings.add(name, values, mask if mask.any() else None)
        categories, pooled = rankings.rank()
    assert pooled is not None
    assert ranked_pixel_metrics(pooled, 0.3) == pytest.approx(pixel_metrics(maps, masks, 0.3))
    for offset, name in enumerate(("bolt", "nut")):
        expected = pixel_metrics(maps[offset::2], masks[offset::2], 0.3)
        assert ranked_pixel_metrics(categories[name], 0.3) == pytest.approx(expected)
    assert not list(tmp_path.iterdir())


def test_without_defect_pixels_there_is_nothing_to_rank(tmp_path: Path) -> None:
    with PixelRankings(tmp_path) as rankings:
        assert rankings.rank() == ({}, None)
        rankings.add("bolt", np.zeros((8, 8), dtype=np.float32), None)
        rankings.add("nut", np.zeros((8, 8), dtype=np.float32), np.ones((8, 8), dtype=bool))
        assert rankings.rank() == ({}, None)


def test_300_maps_of_256_pixels_take_seconds(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    values = generator.gamma(2.0, size=(256, 256)).astype(np.float32)
    mask = np.zeros((256, 256), dtype=bool)
    mask[40:80, 90:130] = True
    start = time.process_time()
    with PixelRankings(tmp_path) as rankings:
        for index in range(300):
            rolled = np.roll(values, index * 97)
            rankings.add(f"c{index % 3}", rolled, mask if index % 2 else None)
        rankings.rank()
    assert time.process_time() - start < 10.0


def test_mistakes_are_explained(tmp_path: Path) -> None:
    with PixelRankings(tmp_path) as rankings:
        with pytest.raises(NormscapeError, match="differ in size"):
            rankings.add("a", np.zeros((8, 8), dtype=np.float32), np.zeros((4, 4), dtype=bool))
        with pytest.raises(NormscapeError, match="not finite"):
            rankings.add("a", np.full((8, 8), np.nan, dtype=np.float32), None)
    with pytest.raises(NormscapeError, match="cannot write"):
        PixelRankings(Path("/proc/nowhere"))
