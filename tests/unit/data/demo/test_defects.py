import numpy as np
import pytest

from normscape.data.demo.defects import KINDS, missing_patch, stain
from normscape.data.demo.draws import Draws
from normscape.data.demo.pixels import Grey

SEEDS = range(12)


def texture(seed: int, low: int = 70, high: int = 180) -> Grey:
    noise = np.random.default_rng(seed).integers(low, high, (16, 16), dtype=np.uint8)
    return np.kron(noise, np.ones((4, 4), np.uint8))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_covers_what_changed_and_nothing_else(kind, seed):
    before = texture(seed)
    defect = KINDS[kind](before, Draws(kind, seed), texture(seed + 100))
    assert set(np.unique(defect.mask)) == {0, 255}
    share = (defect.mask > 0).mean()
    assert 0.004 < share < 0.25
    change = np.abs(defect.pixels.astype(int) - before)
    outside = change[defect.mask == 0]
    assert change[defect.mask > 0].mean() > 12
    assert change[defect.mask > 0].sum() > 5 * outside.sum()
    edges = np.concatenate([change[0], change[-1], change[:, 0], change[:, -1]])
    assert edges.max() == 0, "a defect that touches the border would be cut off"


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_is_the_same_every_time(kind):
    first = KINDS[kind](texture(1), Draws("x"), texture(2))
    second = KINDS[kind](texture(1), Draws("x"), texture(2))
    assert np.array_equal(first.pixels, second.pixels)
    assert np.array_equal(first.mask, second.mask)


@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_that_came_in_is_left_alone(kind):
    before, foreign = texture(1), texture(2)
    KINDS[kind](before, Draws("x"), foreign)
    assert np.array_equal(before, texture(1))
    assert np.array_equal(foreign, texture(2))


@pytest.mark.parametrize("draw", [stain, missing_patch])
def test_stains_and_holes_are_darker(draw):
    before = texture(5)
    defect = draw(before, Draws("dark"), before)
    inside = defect.mask > 0
    assert defect.pixels[inside].mean() < 0.85 * before[inside].mean()
