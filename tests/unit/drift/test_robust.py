import numpy as np
import pytest

from normscape.drift.robust import bodies, qn_scale


def one(values):
    _, body = bodies(np.asarray(values, float), np.zeros(len(values), np.int64))
    return float(body.location[0]), float(body.spread[0]), float(body.ratio[0])


def test_groups_are_judged_as_if_each_were_alone():
    rng = np.random.default_rng(0)
    values = rng.gamma(3.0, size=500)
    groups = rng.choice([7, 2, 9], size=500)
    names, body = bodies(values, groups)
    assert names.tolist() == [2, 7, 9]
    for place, name in enumerate(names):
        alone = one(values[groups == name])
        found = body.location[place], body.spread[place], body.ratio[place]
        np.testing.assert_allclose(found, alone, rtol=1e-12)


def test_follows_shift_and_scale():
    values = np.random.default_rng(1).standard_t(5, size=400)
    location, spread, ratio = one(values)
    moved = one(3.0 * values + 10.0)
    np.testing.assert_allclose(moved, (3 * location + 10, 3 * spread, ratio), rtol=1e-9)


def test_a_fifth_of_defects_moves_neither_location_nor_spread_much():
    rng = np.random.default_rng(2)
    values = rng.normal(size=2000)
    spoiled = values.copy()
    spoiled[:400] += 6.0
    clean, dirty = one(values), one(spoiled)
    assert abs(dirty[0] - clean[0]) < 0.1
    assert dirty[1] == pytest.approx(clean[1], rel=0.1)
    assert np.mean(spoiled) - clean[0] > 1.0


@pytest.mark.parametrize(("shape", "within"), [(400.0, 0.15), (4.0, 0.35)])
def test_variance_of_the_location_is_about_what_it_says(shape, within):
    """Skewed scores: the formula does not know that the scale is an estimate."""
    samples = np.random.default_rng(3).gamma(shape, size=(2000, 60))
    _, body = bodies(samples.ravel(), np.repeat(np.arange(2000), 60))
    said = float(np.mean(body.ratio * body.spread**2 / 60))
    assert said == pytest.approx(float(np.var(body.location)), rel=within)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_hardly_any_values(size):
    location, spread, ratio = one(np.arange(size, dtype=float))
    assert np.isfinite([location, spread, ratio]).all()
    assert 0 <= location <= size - 1


def test_equal_values_and_none():
    assert one([2.0] * 9)[:2] == (2.0, 0.0)
    names, body = bodies(np.empty(0), np.empty(0, np.int64))
    assert names.size == body.location.size == 0


@pytest.mark.parametrize("size", [6, 12, 50, 5000])
def test_qn_is_the_standard_deviation_of_a_normal_sample(size):
    rng = np.random.default_rng(4)
    rounds = 300 if size < 1000 else 5
    scales = [qn_scale(rng.normal(size=size) * 2.0) for _ in range(rounds)]
    assert np.mean(scales) == pytest.approx(2.0, rel=0.08)


def test_half_of_the_values_may_be_anything():
    values = np.random.default_rng(5).normal(size=100)
    values[:45] = 1e6
    assert qn_scale(values) < 20
