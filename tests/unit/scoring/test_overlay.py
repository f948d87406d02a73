from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normscape.scoring.overlay import draw_overlay, relative_map, write_overlay
from normscape.scoring.result import ImageScore

SIDE = 64


def scored(peak: float, **changes: object) -> ImageScore:
    grid = np.full((SIDE, SIDE), 0.2, dtype=np.float32)
    grid[16:32, 16:32] = peak
    values: dict[str, object] = {
        "score": peak, "map": grid, "declared": "brick", "predicted": "brick",
        "category_distance": 1.0, "strangeness": 1.0, "category_p_value": 0.5,
        "p_value_declared": 0.1, "p_value_predicted": 0.2, "category": "brick", "threshold": 0.5,
    }  # fmt: skip
    return ImageScore(**(values | changes))  # type: ignore[arg-type]


def test_the_map_is_relative_to_the_category() -> None:
    grid = np.asarray([[0.2, 0.5, 0.8]], dtype=np.float32)
    np.testing.assert_allclose(relative_map(grid, 0.2, 0.5), [[0, 1, 2]], rtol=1e-6)
    scaled = relative_map(100 * grid + 7, 27, 57)
    np.testing.assert_allclose(scaled, relative_map(grid, 0.2, 0.5), atol=1e-5)
    assert np.isfinite(relative_map(grid, 0.5, 0.5)).all()


def heat_of(score: ImageScore) -> np.ndarray:
    canvas = np.asarray(draw_overlay(Image.new("RGB", (100, 100), (90, 90, 90)), score, 0.2))
    height, side = 384, 384
    return canvas[70 : 70 + height, 24 + side : 24 + 2 * side].astype(int)


def test_a_normal_image_shows_no_heat_and_no_contour() -> None:
    heat = heat_of(scored(0.3))
    assert heat.std(axis=(0, 1)).max() < 1


def test_an_anomaly_is_hot_where_the_map_is() -> None:
    heat = heat_of(scored(1.2))
    saturation = heat.max(axis=2) - heat.min(axis=2)
    inside, outside = saturation[110:180, 110:180], saturation[250:, 250:]
    assert inside.mean() > 60
    assert outside.mean() < 5


@pytest.mark.parametrize("size", [(100, 100), (1000, 10), (3, 700)])
def test_any_shape_makes_a_picture_of_a_bounded_size(tmp_path: Path, size: tuple[int, int]) -> None:
    long = scored(1.0, declared=None, predicted="x" * 300)
    write_overlay(tmp_path / "deep" / "a.png", Image.new("RGB", size), long, 0.2)
    with Image.open(tmp_path / "deep" / "a.png") as picture:
        assert picture.width <= 2 * 768 + 200
        assert picture.height < 500


def test_the_used_p_value_is_that_of_the_threshold() -> None:
    assert scored(1.0).p_value == 0.1
    assert scored(1.0, p_value_declared=None).p_value == 0.2
    assert scored(0.51).flagged
    assert not scored(0.5).flagged


def test_of_a_large_image_the_peak_is_marked_and_shown_as_it_is() -> None:
    grid = np.full((1000, 1000), 0.2, dtype=np.float32)
    grid[400, 700] = 1.4  # one cell of a million
    large = replace(scored(1.2, map=grid), peak=(11208, 6408))
    picture = Image.new("RGB", (512, 512), (90, 90, 90))
    detail = Image.new("RGB", (384, 384), (10, 200, 10))
    canvas = np.asarray(draw_overlay(picture, large, 0.2, detail)).astype(int)
    assert canvas.shape[1] > 1250
    assert (canvas[100:400, -300:-100] == (10, 200, 10)).all()
    heat = canvas[70 : 70 + 384, 24 + 384 : 24 + 2 * 384]
    saturation = heat.max(axis=2) - heat.min(axis=2)
    rows, columns = np.nonzero(saturation > 60)
    assert abs(rows.mean() - 0.4 * 384) < 3
    assert abs(columns.mean() - 0.7 * 384) < 3
    assert saturation[150:157, 265:273].max() > 60  # the peak itself, inside the ring
