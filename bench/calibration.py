"""Realised false-positive rates of the calibration on simulated categories.

    python bench/calibration.py            # prints the table of docs/calibration.md

Each repetition draws held-out normal scores, fits the calibration and asks the known distribution
how often a new normal score lies above the threshold. Where `spread` is above 0, each category has
its own scale: `spread` is the standard deviation of the logarithms of the scales.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from normscape.calibration import fit_calibration
from normscape.sections.model import CalibrateParams

DISTRIBUTIONS = {
    "normal": stats.norm(),
    "lognormal": stats.lognorm(0.5),
    "t, 3 degrees": stats.t(3),
}


REPETITIONS = 2000


@dataclass(frozen=True)
class Identity:
    """Stands in for a backbone's identity, of which two names are recorded."""

    runtime: str = "torch"
    precision: str = "fp32"


@dataclass(frozen=True)
class Realised:
    """What happened over all repetitions.

    Attributes:
        rate: Mean realised false-positive rate of the categories with `n` images.
        high: Its 90 % quantile over categories and repetitions.
        target: Mean rate that the thresholds stand for.
        power: Share of anomalies 4 standard deviations above the mean that are flagged.
    """

    rate: float
    high: float
    target: float
    power: float


def simulate(
    distribution: str,
    n: int,
    categories: int,
    *,
    spread: float = 0.0,
    repetitions: int = 100,
    seed: int = 0,
    params: CalibrateParams | None = None,
) -> Realised:
    """Simulate categories of `n` images each; for n = 1, all but the first have 20."""
    params = params or CalibrateParams()
    law = DISTRIBUTIONS[distribution]
    deviation = law.std()
    generator = np.random.default_rng(seed)
    names = [f"c{index:02d}" for index in range(categories)]
    judged = names[:1] if n == 1 else names
    rates, targets, powers = [], [], []
    for _ in range(repetitions):
        scales = np.exp(spread * generator.standard_normal(categories))
        sizes = [n if name in judged else 20 for name in names]
        draws = [
            scale * (3 + law.rvs(size, random_state=generator) / deviation)
            for scale, size in zip(scales, sizes, strict=True)
        ]
        labels = np.repeat(names, sizes).tolist()
        fitted = fit_calibration(
            np.concatenate(draws), labels, np.zeros(len(labels)), params, Identity()
        )
        for name, scale in zip(judged, scales, strict=False):
            limit = (fitted.threshold(name) / scale - 3) * deviation
            rates.append(law.sf(limit))
            powers.append(law.sf(limit - 4 * deviation))
            targets.append(fitted.categories[name].target)
    return Realised(
        rate=float(np.mean(rates)),
        high=float(np.quantile(rates, 0.9)),
        target=float(np.mean(targets)),
        power=float(np.mean(powers)),
    )


def main() -> None:
    """Print the table as Markdown: realised rate, and its 90 % quantile in brackets."""
    columns = [(n, categories) for n in (1, 5, 20, 100) for categories in (3, 40)]
    heads = [f"n = {n}, {categories} categories" for n, categories in columns]
    print(f"| scores | scales | {' | '.join(heads)} |")
    print("|---" * (len(columns) + 2) + "|")
    for distribution in DISTRIBUTIONS:
        for spread in (0.0, 1.0):
            cells = []
            for n, categories in columns:
                repetitions = REPETITIONS // (1 if n == 1 else categories)
                got = simulate(distribution, n, categories, spread=spread, repetitions=repetitions)
                cells.append(f"{got.rate:.3f} ({got.high:.2f})")
            scales = "differ" if spread else "equal"
            print(f"| {distribution} | {scales} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
