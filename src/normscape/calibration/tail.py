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


@dataclass(frozen=True)
class Residuals:
    """What one category contributes to the tails.

    Attributes:
        values: `(n,)` leave-one-group-out residuals, ascending; empty where there is one group.
        weights: `(n,)` one over the size of each image's group.
        groups: G, the groups of the category's held-out images.
    """

    values: Floats
    weights: Floats
    groups: int

    @classmethod
    def ordered(cls, values: Floats, weights: Floats, groups: int) -> Residuals:
        """Sort by value."""
        order = np.argsort(values, kind="stable")
        return cls(values[order], weights[order] if len(values) else np.empty(0), groups)


def build_tail(
    category: str,
    *,
    location: float,
    scale: float,
    residuals: dict[str, Residuals],
    pool_strength: float,
) -> Tail:
    """Express all residuals as scores of one category, so that comparing scores is exact.

    Args:
        category: Whose tail it is.
        location: Of its scores.
        scale: Of its scores.
        residuals: Of every category.
        pool_strength: See `Calibration`.

    Raises:
        DataError: There is no residual to compare with.
    """
    groups = residuals[category].groups
    share = pool_strength / (pool_strength + groups)
    weights = {
        name: 1.0 if name == category else share * min(1.0, pool_strength / other.groups)
        for name, other in residuals.items()
    }
    used = [name for name in residuals if weights[name] > 0 and len(residuals[name].values)]
    if not used:
        raise DataError(
            f"category '{category}': the held-out normal images are of {groups} group(s) and "
            "cannot be calibrated alone; expected at least 2, or calibrate.pool_strength above 0 "
            "with other categories"
        )
    pooled = np.concatenate([residuals[name].values for name in used])
    weight = np.concatenate([weights[name] * residuals[name].weights for name in used])
    order = np.argsort(pooled, kind="stable")
    above = np.append(np.cumsum(weight[order][::-1])[::-1], 0.0)
    values = location + pooled[order] * (scale * prediction_factor(groups))
    return Tail(values=values, p=(1 + above) / (1 + above[0]))
