import numpy as np
import pytest

from normscape.drift.budget import limits
from normscape.drift.chart import Figures, Rule, run_chart
from normscape.drift.scatter import Scatter
from normscape.drift.tail import TailCounts, run_tail

RULE = Rule(limit=4.0, min_effect=0.3, day_to_day=0.2)


def figures(values, images=100.0, reference=200.0):
    count = len(values)
    return Figures(
        values, np.full(values.shape, 1.1 / images), np.full(count, 1.1 / reference),
        np.full(count, 160.0),
    )  # fmt: skip


def quiet_days(rng, categories=20, days=80, offset=0.1, images=100):
    level = rng.normal(size=(categories, 1)) * np.sqrt(1.1 / 200)
    scatter = np.sqrt(offset**2 + 1.1 / images)
    return level + rng.normal(size=(categories, days)) * scatter


def test_quiet_days_stay_quiet_and_the_offset_is_learned():
    course = run_chart(figures(quiet_days(np.random.default_rng(0))), RULE)
    assert not course.alarm.any()
    assert course.offset[-1] == pytest.approx(0.1, abs=0.03)


def test_a_shift_is_found_held_and_over_when_it_is_over():
    values = quiet_days(np.random.default_rng(1))
    values[3, 50:60] += 0.8
    course = run_chart(figures(values), RULE)
    assert np.flatnonzero(course.alarm.any(axis=1)).tolist() == [3]
    days = np.flatnonzero(course.alarm[3])
    assert 50 <= days[0] <= 51
    assert 59 <= days[-1] <= 61
    assert days.tolist() == list(range(days[0], days[-1] + 1))
    assert course.shift[3, 55] == pytest.approx(0.8, abs=0.2)


def test_a_drift_that_stays_is_not_learned_away():
    values = quiet_days(np.random.default_rng(2), days=120)
    values[0, 40:] -= 0.8
    course = run_chart(figures(values), RULE)
    assert course.alarm[0, 42:].all()


def test_a_day_knows_nothing_of_the_days_after_it():
    values = quiet_days(np.random.default_rng(3))
    values[5, 30:] += 1.0
    values[:, 10] = np.nan
    whole, part = run_chart(figures(values), RULE), run_chart(figures(values[:, :33]), RULE)
    np.testing.assert_array_equal(whole.alarm[:, :33], part.alarm)
    np.testing.assert_allclose(whole.z[:, :33], part.z)


def test_a_shift_below_the_least_effect_is_not_told_however_sure():
    values = quiet_days(np.random.default_rng(4), offset=0.0, images=5000)
    values[0, 30:] += 0.2
    course = run_chart(figures(values, images=5000, reference=5000), RULE)
    assert np.nanmax(np.abs(course.z[0, 30:])) > 8
    assert not course.alarm.any()


def test_a_corroborated_shift_needs_less_evidence():
    values = quiet_days(np.random.default_rng(8))
    values[:2, 50] += 0.5
    other = np.zeros(values.shape, bool)
    other[0, 50] = True
    rule = Rule(limit=6.0, min_effect=0.3, day_to_day=0.2, corroborated=2.5)
    assert np.argwhere(run_chart(figures(values), rule, other).alarm)[0].tolist() == [0, 50]
    assert not run_chart(figures(values), rule).alarm.any()


def test_days_without_images_are_no_evidence():
    values = np.full((3, 30), np.nan)
    course = run_chart(figures(values), RULE)
    assert not course.alarm.any()
    assert np.isnan(course.z).all()


def test_scatter_tells_the_design_effect_from_the_offset():
    rng, scatter = np.random.default_rng(5), Scatter(200, 60, 0.2)
    sampling = np.where(np.arange(200) % 2, 0.05, 0.002)
    for day in range(60):
        squared = (1.8 * sampling + 0.01) * rng.normal(size=200) ** 2
        scatter.add(day, squared, sampling, np.ones(200), np.ones(200, bool))
    assert scatter.design == pytest.approx(1.8, rel=0.15)
    assert scatter.offset == pytest.approx(0.01, rel=0.2)
    assert scatter.factor(60).mean() == pytest.approx(1.0, abs=0.05)


def counts(rng, rates, images=200.0):
    counted = rng.poisson(rates * images).astype(float)
    known = np.full(len(rates), 2.0)
    return TailCounts(counted, np.full(rates.shape, images), known, np.full(len(rates), 200.0))


def test_a_rate_that_rises_is_found_and_one_that_falls_is_not():
    rates = np.full((10, 60), 0.01)
    rates[2, 40:50], rates[4, 40:] = 0.08, 0.0
    course = run_tail(counts(np.random.default_rng(6), rates), limit=4.0, min_rise=0.02)
    assert np.flatnonzero(course.alarm.any(axis=1)).tolist() == [2]
    days = np.flatnonzero(course.alarm[2])
    assert 40 <= days[0] <= 42
    assert 49 <= days[-1] <= 53
    assert course.rate[2, 44] > 0.05
    assert course.usual[2, 44] < 0.02


def test_lots_of_defects_now_and_then_are_usual_where_they_are_usual():
    rng = np.random.default_rng(7)
    rates = 0.01 * rng.gamma(2.0, size=(40, 200))
    course = run_tail(counts(rng, rates), limit=4.0, min_rise=0.02)
    assert (course.alarm[:, 1:] & ~course.alarm[:, :-1]).sum() <= 4


def test_limits_follow_the_budget_and_the_number_of_categories():
    small, large = limits(12, 10), limits(12, 160)
    assert large.location > small.location
    assert limits(120, 160).location < large.location
    assert large.tail < limits(1, 160).tail
