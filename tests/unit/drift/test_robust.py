import numpy as np
import pytest

from normscape.drift.robust import body_shift, hodges_lehmann, plain_shift, qn_scale

DAY_TO_DAY = 0.25


def generator(name):
    rng = np.random.default_rng(7)
    draw = {
        "normal": rng.normal,
        "skewed": lambda size: rng.gamma(4.0, size=size),
        "heavy": lambda size: rng.standard_t(4, size=size),
    }[name]
    return rng, lambda size: draw(size=size)


def alarm_rate(name, reference, window, *, shift=0.0, defects=0.0, runs=300):
    """Share of single-category days on which the shift is significant at 0.01 and above one sd."""
    rng, draw = generator(name)
    deviation = draw(20000).std()
    alarms = 0
    for _ in range(runs):
        scores = draw(window) + deviation * (shift + DAY_TO_DAY * rng.normal())
        scores[rng.random(window) < defects] += deviation * rng.uniform(2, 8)
        found = body_shift(scores, draw(reference), defect_share=0.2, offset=DAY_TO_DAY)
        alarms += found.p_value <= 0.01 and abs(found.effect) >= 1.0
    return alarms / runs


@pytest.mark.parametrize("name", ["normal", "skewed", "heavy"])
@pytest.mark.parametrize(("reference", "window"), [(12, 8), (12, 40), (50, 20), (300, 8)])
def test_harmless_days_are_quiet(name, reference, window):
    # 0.01 is promised; 300 runs exceed 0.03 with probability 0.0003 at that rate
    assert alarm_rate(name, reference, window) <= 0.03


@pytest.mark.parametrize(("reference", "window"), [(12, 8), (30, 20), (300, 60)])
def test_defects_in_the_window_are_not_drift(reference, window):
    assert alarm_rate("normal", reference, window, defects=0.15) <= 0.03


@pytest.mark.parametrize(
    ("reference", "window", "shift", "power"),
    [(12, 8, 3, 0.75), (12, 20, 3, 0.9), (30, 20, 2, 0.7), (50, 20, 2, 0.85), (300, 60, 2, 0.95),
     (12, 20, -3, 0.9), (50, 20, -2, 0.9)],
)  # fmt: skip
def test_shifts_of_two_to_three_sigma_are_found(reference, window, shift, power):
    assert alarm_rate("normal", reference, window, shift=shift) >= power


def test_qn_is_consistent_and_shrugs_off_outliers():
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 2.0, size=1500)
    assert qn_scale(values) == pytest.approx(2.0, rel=0.06)
    values[:450] = 1e6
    assert qn_scale(values) < 10.0


@pytest.mark.parametrize("count", [5, 6, 12, 25])
def test_qn_is_unbiased_for_small_samples(count):
    rng = np.random.default_rng(1)
    mean = np.mean([qn_scale(rng.normal(size=count)) for _ in range(2000)])
    assert mean == pytest.approx(1.0, abs=0.12)


def test_shift_is_equivariant():
    rng = np.random.default_rng(2)
    reference, window = rng.normal(size=30), rng.normal(size=20) + 4
    plain = plain_shift(window, reference, offset=0.25)
    scaled = plain_shift(5 * window - 3, 5 * reference - 3, offset=0.25)
    assert scaled.effect == pytest.approx(plain.effect)
    assert hodges_lehmann(window, reference) == pytest.approx(4, abs=0.6)


def test_a_reference_without_spread():
    same, other = np.ones(12), np.full(9, 2.0)
    assert plain_shift(same, same, offset=0.25).p_value == 1.0
    moved = plain_shift(other, same, offset=0.25)
    assert moved.effect == np.inf
    assert moved.p_value == 0.0


def test_large_windows_are_thinned_without_moving():
    rng = np.random.default_rng(3)
    reference, window = rng.normal(size=400), rng.normal(size=30000) + 2
    found = body_shift(window, reference, defect_share=0.2, offset=0.25)
    assert 1.4 < found.effect < 2.2
