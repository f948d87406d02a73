"""Location and scale of each category's scores, and residuals that small samples can be held to.

Mean and standard deviation, not median and MAD: in simulation (docs/calibration.md) the robust pair
was less powerful at 5 images a category and no better when defects had slipped into the sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normscape.errors import NormscapeError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """The scores of one category's held-out normal images, which may come in groups.

    Images of one part, session or region resemble each other: a new image will be of a new group,
    so a group counts once, however many images it has (Lee, Barber and Willett, "Distribution-free
    inference with hierarchical data", 2023). An image that stands alone is a group of one.

    Attributes:
        values: `(n,)` raw scores.
        group: `(n,)` the group of each image, from 0 to G - 1.
    """

    values: Floats
    group: NDArray[np.int64]

    @classmethod
    def of(cls, values: ArrayLike, groups: Sequence[str] | None = None) -> Sample:
        """Build a sample; without `groups` every image stands alone."""
        scores = np.asarray(values, dtype=np.float64)
        if groups is None:
            return cls(scores, np.arange(len(scores)))
        return cls(scores, np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1])

    @property
    def groups(self) -> int:
        """G, the number of groups."""
        return int(self.group.max(initial=-1)) + 1

    @property
    def weights(self) -> Floats:
        """`(n,)` one over the size of each image's group; they add up to G."""
        return np.asarray(1.0 / np.bincount(self.group)[self.group])

    @property
    def location(self) -> float:
        """The mean over groups of their mean scores."""
        return float(np.average(self.values, weights=self.weights))

    @property
    def spread(self) -> float:
        """The standard deviation of an image of a new group; 0 where there is one group."""
        if self.groups < 2:
            return 0.0
        squares = self.weights @ (self.values - self.location) ** 2
        return float(np.sqrt(squares / (self.groups - 1)))


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


def pool_scales(samples: Mapping[str, Sample], max_strength: float) -> ScalePool:
    """Estimate the typical scale and how far single categories may be pulled towards it.

    A random-effects model of the log standard deviations, with the moment estimator of
    DerSimonian and Laird (1986): log s_c = mu + N(0, tau²) + N(0, 1/freedom_c). The sampling
    variance is twice the normal distribution's, because score tails are heavier. The best
    weight of a category's own scale is freedom / (freedom + 1/tau²); `max_strength` bounds 1/tau²,
    which a handful of categories cannot estimate well.

    Args:
        samples: The scores of each category's held-out normal images.
        max_strength: The most images that the pool may count for.

    Raises:
        NormscapeError: No category has two different scores, so that no scale is known.
    """
    logs, freedom = [], []
    for sample in samples.values():
        if sample.spread > 0:
            logs.append(np.log(sample.spread))
            freedom.append(sample.groups - 1)
    if not logs:
        raise NormscapeError(
            "calibration: no category has two groups of held-out normal images with different "
            "scores; expected at least one; add normal images or check the detector"
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


def standardise(sample: Sample, pool: ScalePool) -> tuple[float, float]:
    """Return the location and the shrunk scale of one category's scores."""
    scale = pool.shrink(np.asarray([sample.spread]), max(sample.groups - 1, 0))
    return sample.location, float(scale[0])


def prediction_factor(groups: int) -> float:
    """How much wider a new score spreads around a mean of `groups` groups: sqrt(1 + 1/G)."""
    return float(np.sqrt(1 + 1 / groups))


def leave_one_out(sample: Sample, pool: ScalePool) -> Floats:
    """Standardise each score by the other groups of its category, as a new score will be.

    Args:
        sample: The scores of one category.
        pool: The common scale.

    Returns:
        `(n,)` residuals in standard deviations; empty for one group, where there are no others.
    """
    count = sample.groups
    if count < 2:
        return np.empty(0)
    centred = sample.values - sample.location  # against cancellation
    sums = np.bincount(sample.group, weights=sample.weights * centred)
    squares = np.bincount(sample.group, weights=sample.weights * centred**2)
    others = (sums.sum() - sums) / (count - 1)
    rest = squares.sum() - squares - (count - 1) * others**2
    noise = np.finfo(np.float64).eps * count * float(sample.values @ sample.values)
    rest = np.where(rest > noise, rest, 0.0)
    spread = np.sqrt(rest / (count - 2)) if count > 2 else np.zeros(count)
    scale = pool.shrink(spread, count - 2) * prediction_factor(count - 1)
    residuals: Floats = (centred - others[sample.group]) / scale[sample.group]
    return residuals
