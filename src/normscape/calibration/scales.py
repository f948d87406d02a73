"""Location and scale of each category's scores, and residuals that small samples can be held to.

Mean and standard deviation, not median and MAD: in simulation (docs/calibration.md) the robust pair
was less powerful at 5 images a category and no better when defects had slipped into the sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normscape.errors import NormscapeError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScalePool:
    """What the scales of all categories have in common.

    Attributes:
        log_scale: Natural logarithm of the typical standard deviation.
        strength: How many images the pool counts for against a category's own.
    """

    log_scale: float
    strength: float

    def shrink(self, scale: Floats, freedom: int) -> Floats:
        """Pull standard deviations towards the pool, on the logarithmic scale.

        Args:
            scale: Standard deviations, any shape, each from `freedom` degrees of freedom.
            freedom: Degrees of freedom; 0 means that nothing is known, the pool's scale is used.

        Returns:
            The shrunk standard deviations, in the same shape. Where all scores were equal
            (`scale` is 0) they say nothing about the spread, and the pool's scale is used.
        """
        pooled = np.exp(self.log_scale)
        if freedom == 0:
            return np.full_like(scale, pooled)
        own = freedom / (freedom + self.strength)
        known = scale > 0
        logs = np.log(np.where(known, scale, pooled))
        return np.exp(own * logs + (1 - own) * self.log_scale)


def pool_scales(scores: Mapping[str, Floats], max_strength: float) -> ScalePool:
    """Estimate the typical scale and how far single categories may be pulled towards it.

    A random-effects model of the log standard deviations, with the moment estimator of
    DerSimonian and Laird (1986): log s_c = mu + N(0, tau²) + N(0, 1/freedom_c). The sampling
    variance is twice the normal distribution's, because score tails are heavier. The best
    weight of a category's own scale is freedom / (freedom + 1/tau²); `max_strength` bounds 1/tau²,
    which a handful of categories cannot estimate well.

    Args:
        scores: The scores of each category's held-out normal images.
        max_strength: The most images that the pool may count for.

    Raises:
        NormscapeError: No category has two different scores, so that no scale is known.
    """
    logs, freedom = [], []
    for values in scores.values():
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        if spread > 0:
            logs.append(np.log(spread))
            freedom.append(len(values) - 1)
    if not logs:
        raise NormscapeError(
            "calibration: no category has two held-out normal images with different scores; "
            "expected at least one; add normal images or check the detector"
        )
    log_scales, weights = np.asarray(logs), np.asarray(freedom, dtype=np.float64)
    centre = np.average(log_scales, weights=weights)
    excess = float(weights @ (log_scales - centre) ** 2) - (len(logs) - 1)
    total = float(weights.sum())
    unit = total - float(weights @ weights) / total
    between = max(excess / unit, 0.0) if unit > 0 else 0.0
    centre = np.average(log_scales, weights=1 / (between + 1 / weights))
    strength = min(max_strength, 1 / between) if between > 0 else max_strength
    return ScalePool(log_scale=float(centre), strength=float(strength))


def standardise(values: Floats, pool: ScalePool) -> tuple[float, float]:
    """Return the location (mean) and the shrunk scale of one category's scores."""
    spread = values.std(ddof=1, keepdims=True) if len(values) > 1 else np.zeros(1)
    return float(values.mean()), float(pool.shrink(spread, len(values) - 1)[0])


def prediction_factor(images: int) -> float:
    """How much wider a new score spreads around a mean of `images` scores: sqrt(1 + 1/n)."""
    return float(np.sqrt(1 + 1 / images))


def leave_one_out(values: Floats, pool: ScalePool) -> Floats:
    """Standardise each score by the others of its category, as a new score will be.

    Args:
        values: `(n,)` scores of one category.
        pool: The common scale.

    Returns:
        `(n,)` residuals in standard deviations; empty for n = 1, where there are no others.
    """
    n = len(values)
    if n < 2:
        return np.empty(0)
    others = (values.sum() - values) / (n - 1)
    deviations = values - values.mean()
    # Removing one value lowers the sum of squares by d²·n/(n-1).
    squares = deviations @ deviations - deviations**2 * n / (n - 1)
    noise = np.finfo(np.float64).eps * n * float(values @ values)
    squares = np.where(squares > noise, squares, 0.0)
    spread = np.sqrt(squares / (n - 2)) if n > 2 else np.zeros(n)
    scale = pool.shrink(spread, n - 2)
    residuals: Floats = (values - others) / (scale * prediction_factor(n - 1))
    return residuals
