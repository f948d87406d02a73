import numpy as np
import pytest

from normscape.discovery.regions import SIDE, Level, find_regions, square
from normscape.errors import DataError


def blobs(*places, size=20, height=1.0):
    values = np.random.default_rng(0).normal(0.2, 0.01, (SIDE, SIDE)).astype(np.float32)
    for row, column in places:
        values[row : row + size, column : column + size] = height
    return values


def test_as_many_regions_as_defects_are_found_where_they_are():
    values = blobs((30, 30), (150, 180))

    found = find_regions(values, Level.of([values]), 3)

    assert len(found) == 2
    for region in found:
        row, column = region.peak
        assert values[row, column] == 1.0
        assert region.mask.sum() == pytest.approx(400, rel=0.2)
        assert region.weight.max() == 1.0
    weights = [region.weight for region in found]
    assert not np.any((weights[0] > 0) & (weights[1] > 0)), "no pixel speaks for two regions"


def test_the_largest_regions_are_kept_and_come_first():
    values = blobs((30, 30))
    values[100:140, 100:160] = 1.0
    values[200:220, 200:220] = 1.0

    found = find_regions(values, Level.of([values]), 2)

    assert [round(region.area * SIDE * SIDE) for region in found] == [2400, 400]


def test_a_map_that_is_the_same_everywhere_shows_nothing():
    flat = np.full((SIDE, SIDE), 0.3, dtype=np.float32)

    assert find_regions(flat, Level.of([flat]), 3) == []
    assert find_regions(flat, Level.of([]), 3) == []


def test_a_faint_peak_still_is_a_region():
    faint = blobs((100, 100), size=3, height=0.5)
    strong = blobs((10, 10), height=9.0)

    found = find_regions(faint, Level.of([faint, strong]), 3)

    assert found
    assert found[0].weight.max() == 1.0


def test_every_pixel_of_the_regions_is_above_everything_else():
    values = blobs((30, 30), (150, 180))
    cut = np.any([region.mask for region in find_regions(values, Level.of([values]), 3)], axis=0)

    assert values[cut].min() > values[~cut].max()


def test_maps_of_any_size_and_what_is_no_map():
    assert square(np.zeros((7, 300))).shape == (SIDE, SIDE)
    assert square(np.eye(SIDE, dtype=np.float32)).dtype == np.float32
    for broken in (np.zeros((2, 2, 3)), np.zeros((0, 4)), np.full((4, 4), np.nan)):
        with pytest.raises(DataError, match="anomaly map"):
            square(broken)
