"""The tail that a score is compared with: a category's own residuals and, lighter, all others'."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normscape.calibration.scales import Floats, prediction_factor
from normscape.errors import DataError


@dataclass(frozen=True)
class Tail:
    """The weighted tail of one category in units of its score.

    Attributes:
        values: `(M,)` in ascending order.
        p: `(M + 1,)`; `p[j]` belongs to scores above `values[j-1]` and not above `values[j]`.
    """

    values: Floats
    p: Floats

    def p_value(self, scores: Floats) -> Floats:
        """`(B,)` weighted conformal p-values of `(B,)` scores."""
        return np.asarray(self.p[np.searchsorted(self.values, scores, side="left")])

    def threshold(self, target: float) -> float:
        """The largest score whose p-value is above `target`, which must be at least `p[-1]`."""
        # p descends, so the first index that reaches the target bounds the flagged scores.
        first = int(np.argmax(self.p <= target))
        return float(self.values[first - 1])


def build_tail(
    category: str,
    *,
    location: float,
    scale: float,
    residuals: dict[str, Floats],
    images: dict[str, int],
    pool_strength: float,
) -> Tail:
    """Express all residuals as scores of one category, so that comparing scores is exact.

    Args:
        category: Whose tail it is.
        location: Of its scores.
        scale: Of its scores.
        residuals: Leave-one-out residuals of every category.
        images: Held-out images of every category.
        pool_strength: See `Calibration`.

    Raises:
        DataError: There is no residual to compare with.
    """
    share = pool_strength / (pool_strength + images[category])
    weights = {
        name: 1.0 if name == category else share * min(1.0, pool_strength / images[name])
        for name in residuals
    }
    used = [name for name in residuals if weights[name] > 0 and len(residuals[name])]
    if not used:
        raise DataError(
            f"category '{category}': {images[category]} held-out normal image cannot be "
            "calibrated alone; expected at least 2, or calibrate.pool_strength above 0 with "
            "other categories"
        )
    pooled = np.concatenate([residuals[name] for name in used])
    weight = np.concatenate([np.full(len(residuals[name]), weights[name]) for name in used])
    order = np.argsort(pooled, kind="stable")
    above = np.append(np.cumsum(weight[order][::-1])[::-1], 0.0)
    values = location + pooled[order] * (scale * prediction_factor(images[category]))
    return Tail(values=values, p=(1 + above) / (1 + above[0]))
