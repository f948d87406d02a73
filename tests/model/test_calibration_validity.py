"""The calibration keeps its promise on simulated categories (bench/calibration.py)."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from normscape.calibration import fit_calibration
from normscape.sections.model import CalibrateParams

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "bench" / "calibration.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_calibration", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("distribution", ["normal", "lognormal", "t, 3 degrees"])
@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize(("n", "categories"), [(5, 3), (5, 40), (20, 3), (20, 40), (100, 3)])
def test_realised_rate_stays_at_the_target(
    bench: ModuleType, distribution: str, spread: float, n: int, categories: int
) -> None:
    repetitions = 600 // categories
    got = bench.simulate(distribution, n, categories, spread=spread, repetitions=repetitions)
    # The mean of 600 rates, each with a standard deviation below 0.06, is known to ±0.008.
    assert got.rate <= got.target + 0.008
    # and it is not kept by flagging nothing
    assert got.rate >= 0.5 * got.target


@pytest.mark.parametrize(("spread", "bound"), [(0.0, 0.06), (1.0, 0.14)])
def test_one_image_is_bounded_though_its_scale_is_guessed(
    bench: ModuleType, spread: float, bound: float
) -> None:
    for distribution in ("normal", "lognormal", "t, 3 degrees"):
        got = bench.simulate(distribution, 1, 5, spread=spread, repetitions=400)
        assert got.rate <= bound


def test_more_images_narrow_the_rate_and_raise_the_power(bench: ModuleType) -> None:
    few, many = (bench.simulate("normal", n, 3, spread=1.0, repetitions=60) for n in (5, 100))
    assert many.high < 0.6 * few.high
    assert many.power > few.power


def test_pooling_the_tail_allows_a_target_that_one_category_cannot(bench: ModuleType) -> None:
    pooled = CalibrateParams(target_fpr=0.01)
    alone = CalibrateParams(target_fpr=0.01, pool_strength=0.0, scale_strength=0.0)
    together = bench.simulate("normal", 20, 40, repetitions=10, params=pooled)
    apart = bench.simulate("normal", 20, 40, repetitions=10, params=alone)
    assert together.target == pytest.approx(0.01)
    assert apart.target == pytest.approx(1 / 21)
    assert together.rate <= 0.014


def test_images_that_come_in_groups_do_not_make_the_threshold_too_low(bench: ModuleType) -> None:
    """Crops of few regions: what varies is the region, and a new image is of a new region."""
    generator = np.random.default_rng(4)
    rates: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(60):
        names = [f"c{category}" for category in range(4) for _ in range(24)]
        groups = [f"{category}-{image // 3}" for category in range(4) for image in range(24)]
        regions = dict.fromkeys(groups, 0.0) | {
            group: generator.normal() for group in dict.fromkeys(groups)
        }
        scores = np.array([regions[group] + 0.3 * generator.normal() for group in groups])
        fresh = generator.normal(size=4000) + 0.3 * generator.normal(size=4000)
        for known, realised in rates.items():
            fitted = fit_calibration(
                scores, names, np.zeros(96), CalibrateParams(), bench.Identity(),
                groups=groups if known else None,
            )  # fmt: skip
            realised.append(float(np.mean(fresh > fitted.threshold("c0"))))
    assert np.mean(rates[True]) < 0.055
    assert np.mean(rates[False]) > np.mean(rates[True]) + 0.015, rates
