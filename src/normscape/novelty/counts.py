"""How many strange images are too many for chance and defects to explain?"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import stats

_QUADRATURE = 400


def strange_level(alpha: float, reference_images: int) -> tuple[float, int]:
    """The level of a single image as a multiple of 1/(n+1), and that multiple, k.

    At least 1/(n+1): with n reference images no conformal p-value is smaller, so below n = 99 a
    level of 0.01 would never be reached. An image is strange when its p-value is at most the
    level (which lies a rounding error above k/(n+1)).
    """
    counted = max(1, math.floor(alpha * (reference_images + 1) + 1e-9))
    return counted / (reference_images + 1) * (1 + 1e-9), counted


@lru_cache(maxsize=4096)
def strange_count_p_value(
    strange: int, images: int, *, reference_images: int, counted: int, share: float
) -> float:
    """Probability of at least `strange` among `images` of known products.

    Given the n reference images, the chance that a normal image's conformal p-value is at most
    `k / (n + 1)` is itself random, `B ~ Beta(k, n + 1 - k)`, and common to all images of the group:
    with few reference images the counts scatter more than a binomial's. On top of it, `share` of
    the images may be strange for other reasons. The p-value is `E[P(Bin(images, 1 - (1 - share)
    (1 - B)) ≥ strange)]`, integrated over the quantiles of B.

    Args:
        strange: Images whose p-value is at most `k / (n + 1)`.
        images: All images of the group.
        reference_images: n.
        counted: k.
        share: Allowed share of strange images.

    Source:
        Vovk, Conditional validity of inductive conformal predictors, Machine Learning 92 (2013),
        for the Beta distribution of the conditional coverage.
    """
    if strange == 0:
        return 1.0
    quantiles = (np.arange(_QUADRATURE) + 0.5) / _QUADRATURE
    chance = stats.beta.ppf(quantiles, counted, reference_images + 1 - counted)
    rates = 1.0 - (1.0 - share) * (1.0 - chance)
    return float(np.mean(stats.binom.sf(strange - 1, images, rates)))
