"""Location, shrunk scale and leave-one-out residuals against their plain definitions."""

import numpy as np
import pytest

from normscape.calibration.scales import (
    Sample,
    ScalePool,
    leave_one_out,
    pool_scales,
    standardise,
)
from normscape.errors import NormscapeError


def test_leave_one_out_equals_leaving_each_one_out() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=17) + 1000.0
    pool = ScalePool(log_scale=0.3, strength=6.0)
    slow = []
    for index in range(len(values)):
        location, scale = standardise(Sample.of(np.delete(values, index)), pool)
        slow.append((values[index] - location) / (scale * np.sqrt(1 + 1 / 16)))
    np.testing.assert_allclose(leave_one_out(Sample.of(values), pool), slow, rtol=1e-7)


def test_leaving_a_group_out_equals_leaving_its_images_out() -> None:
    generator = np.random.default_rng(3)
    groups = ["a", "b", "c", "d", "d", "d", "b", "e"]
    values = generator.gamma(2.0, size=len(groups)) + 100.0
    pool = ScalePool(log_scale=0.3, strength=6.0)
    slow = []
    for index, group in enumerate(groups):
        rest = [place for place, name in enumerate(groups) if name != group]
        others = Sample.of(values[rest], [groups[place] for place in rest])
        location, scale = standardise(others, pool)
        slow.append((values[index] - location) / (scale * np.sqrt(1 + 1 / 4)))
    np.testing.assert_allclose(leave_one_out(Sample.of(values, groups), pool), slow, rtol=1e-7)


def test_a_group_counts_once_however_many_images_it_has() -> None:
    once = Sample.of([1.0, 2.0, 4.0], ["a", "b", "c"])
    often = Sample.of([1.0, 2.0, 4.0, 4.0, 4.0], ["a", "b", "c", "c", "c"])
    assert (once.location, once.spread) == pytest.approx((often.location, often.spread))
    assert often.groups == 3


def test_leave_one_out_of_few_uses_the_pool() -> None:
    pool = ScalePool(log_scale=np.log(2.0), strength=6.0)
    assert leave_one_out(Sample.of([5.0]), pool).size == 0
    np.testing.assert_allclose(
        leave_one_out(Sample.of([1.0, 5.0]), pool), np.array([-4.0, 4.0]) / (2 * np.sqrt(2))
    )


def test_equal_scores_fall_back_on_the_pool() -> None:
    pool = ScalePool(log_scale=np.log(2.0), strength=6.0)
    values = np.array([0.1, 0.1, 0.1, 0.1, 0.9])
    assert standardise(Sample.of(values[:4]), pool) == (pytest.approx(0.1), pytest.approx(2.0))
    residual = leave_one_out(Sample.of(values), pool)[-1]
    assert residual == pytest.approx(0.8 / (2 * np.sqrt(1 + 1 / 4)))


def test_shrinking_moves_between_own_and_pool() -> None:
    pool = ScalePool(log_scale=0.0, strength=10.0)
    scale = np.array([4.0])
    assert pool.shrink(scale, 10)[0] == pytest.approx(2.0)
    assert pool.shrink(scale, 0)[0] == pytest.approx(1.0)
    assert pool.shrink(scale, 100_000)[0] == pytest.approx(4.0, rel=1e-3)


def test_pool_is_strong_only_where_scales_agree() -> None:
    generator = np.random.default_rng(1)
    equal = {str(k): Sample.of(generator.normal(size=50)) for k in range(20)}
    differing = {str(k): Sample.of(generator.normal(size=50) * 4.0 ** (k % 4)) for k in range(20)}
    assert pool_scales(equal, 10.0).strength == 10.0
    assert pool_scales(differing, 10.0).strength < 1.0
    assert pool_scales(equal, 10.0).log_scale == pytest.approx(0.0, abs=0.1)


def test_one_huge_category_does_not_set_the_scale_of_differing_ones() -> None:
    generator = np.random.default_rng(2)
    scores = {str(k): Sample.of(generator.normal(size=10)) for k in range(20)}
    scores["huge"] = Sample.of(generator.normal(size=5000) * 50.0)
    assert np.exp(pool_scales(scores, 10.0).log_scale) < 2.0


@pytest.mark.parametrize("scores", [{"a": np.ones(9)}, {"a": np.array([1.0])}, {}])
def test_no_known_scale_is_refused(scores: dict[str, np.ndarray]) -> None:
    with pytest.raises(NormscapeError, match="different scores"):
        pool_scales({name: Sample.of(values) for name, values in scores.items()}, 10.0)
