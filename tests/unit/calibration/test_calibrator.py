"""Conformal p-values, thresholds and their exact agreement."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normscape.calibration import Calibration, fit_calibration
from normscape.errors import DataError, NormscapeError, UsageError
from normscape.sections.model import CalibrateParams


@dataclass(frozen=True)
class Identity:
    runtime: str = "openvino"
    precision: str = "bf16"


def fit(scores: dict[str, np.ndarray], **params: float) -> Calibration:
    values = np.concatenate(list(scores.values()))
    names = [name for name, own in scores.items() for _ in own]
    distances = np.random.default_rng(3).gamma(2.0, size=len(values))
    return fit_calibration(values, names, distances, CalibrateParams(**params), Identity())


def three(seed: int = 0, sizes: tuple[int, ...] = (20, 60, 12)) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        f"part{k}": (10 * k + generator.gamma(3.0, 0.5 + k, size)).astype(np.float32)
        for k, size in enumerate(sizes)
    }


def test_p_value_is_the_weighted_formula() -> None:
    scores = three()
    calibration = fit(scores, pool_strength=30.0)
    own = calibration.categories["part0"]
    score = float(np.quantile(scores["part0"], 0.93))
    z = (score - own.location) / (own.scale * np.sqrt(1 + 1 / own.images))
    total, above = 1.0, 1.0
    for name, residuals in calibration.residuals.items():
        size = calibration.categories[name].images
        weight = 1.0 if name == "part0" else 30 / (30 + own.images) * min(1, 30 / size)
        total += weight * len(residuals.values)
        above += weight * (residuals.values >= z).sum()
    assert calibration.p_value([score], ["part0"])[0] == pytest.approx(above / total)
    assert own.attainable_pooled == pytest.approx(1 / total)
    assert own.attainable_alone == pytest.approx(1 / 21)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    target=st.floats(0.001, 0.9),
    strength=st.sampled_from([0.0, 5.0, 50.0]),
    ties=st.booleans(),
)
def test_flagged_above_threshold_and_p_at_most_target_agree(
    seed: int, target: float, strength: float, ties: bool
) -> None:
    scores = three(seed, (5, 3, 17))
    if ties:
        scores = {name: np.round(own) + np.arange(len(own)) % 2 for name, own in scores.items()}
    calibration = fit(scores, target_fpr=target, pool_strength=strength)
    for name, known in calibration.categories.items():
        limit = known.threshold
        probes = np.concatenate(
            [
                scores[name].astype(np.float64),
                limit + np.linspace(-3, 3, 41),
                [limit, np.nextafter(limit, np.inf), np.nextafter(limit, -np.inf)],
            ]
        )
        small = calibration.p_value(probes, [name] * len(probes)) <= known.target
        np.testing.assert_array_equal(small, probes > limit)
        np.testing.assert_array_equal(small, calibration.flagged(probes, [name] * len(probes)))
        assert known.target == max(target, known.attainable_pooled)


def test_p_values_fall_with_the_score_and_stay_above_the_attainable() -> None:
    calibration = fit(three())
    grid = np.linspace(-50, 500, 400)
    p = calibration.p_value(grid, ["part1"] * len(grid))
    assert (np.diff(p) <= 0).all()
    assert p[0] == 1.0
    assert p[-1] == calibration.categories["part1"].attainable_pooled


def test_alone_is_plain_leave_one_out_conformal() -> None:
    calibration = fit({"only": np.arange(19.0)})
    known = calibration.categories["only"]
    assert known.attainable_pooled == known.attainable_alone == pytest.approx(0.05)
    assert known.threshold > 18.0


def test_asking_for_less_than_attainable_warns_and_uses_the_attainable() -> None:
    calibration = fit(three(sizes=(4, 5, 6)), target_fpr=0.001)
    assert len(calibration.warnings) == 3
    assert "part0" in calibration.warnings[0]
    assert "calibrate.target_fpr 0.001" in calibration.warnings[0]
    for name, known in calibration.categories.items():
        assert known.target == known.attainable_pooled > 0.001
        assert calibration.p_value([1e9], [name])[0] == known.target
    assert not fit(three(), target_fpr=0.2).warnings


def test_pooling_helps_small_categories_and_no_huge_one_dominates() -> None:
    generator = np.random.default_rng(5)
    small = {f"s{k}": generator.normal(size=20) for k in range(3)}
    with_huge = {**small, "huge": generator.normal(size=20_000)}
    without, with_ = fit(small), fit(with_huge)
    assert without.categories["s0"].attainable_pooled < 1 / 21
    # The huge one counts for at most pool_strength images, as a category of 50 would.
    with_fifty = fit({**small, "fifty": generator.normal(size=50)})
    assert with_.categories["s0"].attainable_pooled == pytest.approx(
        with_fifty.categories["s0"].attainable_pooled
    )
    # and it is not changed by the small ones.
    alone = 1 / 20_001
    assert with_.categories["huge"].attainable_pooled == pytest.approx(alone, rel=0.01)


def test_order_of_images_does_not_matter() -> None:
    scores = three()
    names = np.repeat(list(scores), [len(own) for own in scores.values()])
    values = np.concatenate(list(scores.values()))
    distances = np.arange(len(values), dtype=float)
    order = np.random.default_rng(0).permutation(len(values))
    params = CalibrateParams()
    one = fit_calibration(values, names.tolist(), distances, params, Identity())
    other = fit_calibration(
        values[order], names[order].tolist(), distances[order], params, Identity()
    )
    for name in scores:
        assert one.threshold(name) == pytest.approx(other.threshold(name), rel=1e-12)


def test_saved_and_loaded_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    calibration = fit(three(), target_fpr=0.01)
    path = tmp_path / "calibration.json"
    calibration.save(path)
    loaded = Calibration.load(path)
    assert loaded == calibration
    probes = np.random.default_rng(0).normal(15, 10, size=500)
    for name in calibration.categories:
        np.testing.assert_array_equal(
            loaded.p_value(probes, [name] * 500), calibration.p_value(probes, [name] * 500)
        )
    np.testing.assert_array_equal(
        loaded.category_p_value(probes), calibration.category_p_value(probes)
    )
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_category_p_value_is_conformal_over_all_categories() -> None:
    scores = three()
    calibration = fit(scores)
    n = sum(len(own) for own in scores.values())
    largest = calibration.distances[-1]
    assert calibration.category_p_value([-1.0])[0] == 1.0
    assert calibration.category_p_value([largest])[0] == pytest.approx(2 / (n + 1))
    assert calibration.category_p_value([largest + 1])[0] == pytest.approx(1 / (n + 1))


def test_mixed_categories_keep_their_order() -> None:
    calibration = fit(three())
    scores, names = [11.0, 1.0, 30.0, 1.0], ["part1", "part0", "part2", "part1"]
    together = calibration.p_value(scores, names)
    single = [calibration.p_value([s], [c])[0] for s, c in zip(scores, names, strict=True)]
    np.testing.assert_array_equal(together, single)


def test_mistakes_are_explained(tmp_path: Path) -> None:
    calibration = fit(three())
    with pytest.raises(UsageError, match="'bolt' was not calibrated; expected one of part0"):
        calibration.p_value([1.0], ["bolt"])
    with pytest.raises(UsageError, match="bolt"):
        calibration.threshold("bolt")
    with pytest.raises(NormscapeError, match="1 of 2 scores are not finite"):
        calibration.p_value([1.0, np.nan], ["part0", "part0"])
    with pytest.raises(DataError, match="no held-out normal images"):
        fit_calibration([], [], [], CalibrateParams(), Identity())
    with pytest.raises(DataError, match="cannot be calibrated alone"):
        fit({"one": np.array([1.0]), "many": np.arange(9.0)}, pool_strength=0.0)
    (tmp_path / "broken.json").write_text('{"categories": {"a": {"images": 3}}}')
    with pytest.raises(NormscapeError, match="is not a calibration"):
        Calibration.load(tmp_path / "broken.json")
