"""Location shifts and scales that a few strange images cannot move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

MIN_REFERENCE = 5
"""Reference scores below this number have no scale worth the name."""

EFFICIENCY = 0.82
"""Of Qn at the normal distribution: its degrees of freedom are this share of the sample's."""

_HODGES_LEHMANN_VARIANCE = np.pi / 3
_TRIM_CONFIDENCE = 0.9
_MAX_IMAGES = 2000

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Shift:
    """A robust comparison of a window with its reference.

    Attributes:
        effect: The shift in robust standard deviations of the reference.
        p_value: Two-sided.
    """

    effect: float
    p_value: float


def qn_scale(values: Scores) -> float:
    """The scale estimator Qn, `(n,)` → a consistent estimate of a normal's standard deviation.

    `2.2219 c_n {|x_i - x_j|; i < j}_(k)` with `k = h(h-1)/2, h = n//2 + 1`: half of the values
    may be anything, and it is 82 % efficient (the median absolute deviation: 37 %), which decides
    at the 12 reference images of a small category.

    Source:
        Rousseeuw and Croux, Alternatives to the median absolute deviation, JASA 88 (1993);
        `c_n` for n > 9 from Croux and Rousseeuw (1992), used here from n = 5.
    """
    count = values.size
    distances = np.abs(values[:, None] - values[None, :])[np.triu_indices(count, 1)]
    half = count // 2 + 1
    rank = half * (half - 1) // 2 - 1
    correction = count / (count + (1.4 if count % 2 else 3.8))
    return float(2.2219 * correction * np.partition(distances, rank)[rank])


def hodges_lehmann(window: Scores, reference: Scores) -> float:
    """The median of all differences `window_j - reference_i`: 95 % efficient, breakdown 29 %."""
    return float(np.median(window[:, None] - reference[None, :]))


def body_shift(window: Scores, reference: Scores, *, defect_share: float, offset: float) -> Shift:
    """How far the body of the window's scores has moved, allowing for defects among them.

    Defects only ever raise scores. An upward shift is therefore measured without as many of the
    window's highest scores as `defect_share` can be expected to hold, a downward one with all of
    them; where the two estimates lie on both sides of zero, the shift is zero. The variance holds
    the sampling of both samples and the harmless offset between any two days:

    `t = shift / (s sqrt((π/3)(1/n + 1/m) + offset²))`, `s = Qn(reference)`, with 0.82 (n - 1)
    degrees of freedom, because `s` is estimated from n images.

    Args:
        window: `(m,)` raw scores; above 2,000 every k-th of the sorted scores is taken.
        reference: `(n,)` raw scores of normal images, n ≥ `MIN_REFERENCE`.
        defect_share: Share of the window that may be defective.
        offset: Standard deviation of the harmless offset, in those of the reference.

    Returns:
        The shift; effect ±inf where the reference has no spread and the window lies elsewhere.
    """
    window, reference = _thin(np.sort(window)), _thin(np.sort(reference))
    kept = window.size
    if defect_share:
        kept -= int(stats.binom.ppf(_TRIM_CONFIDENCE, window.size, defect_share))
    upward = hodges_lehmann(window[: max(kept, 1)], reference)
    downward = hodges_lehmann(window, reference)
    shift = upward if upward > 0 else min(downward, 0.0)
    return _test(shift, qn_scale(reference), reference.size, window.size, offset)


def plain_shift(window: Scores, reference: Scores, *, offset: float) -> Shift:
    """As `body_shift`, for a quantity that defects move neither up nor down."""
    return body_shift(window, reference, defect_share=0.0, offset=offset)


def _test(shift: float, scale: float, reference: int, window: int, offset: float) -> Shift:
    if scale == 0.0:
        return Shift(0.0, 1.0) if shift == 0.0 else Shift(float(np.copysign(np.inf, shift)), 0.0)
    effect = shift / scale
    error = np.sqrt(_HODGES_LEHMANN_VARIANCE * (1 / reference + 1 / window) + offset**2)
    freedom = EFFICIENCY * (reference - 1)
    return Shift(effect, float(min(1.0, 2 * stats.t.sf(abs(effect) / error, freedom))))


def _thin(ordered: Scores) -> Scores:
    if ordered.size <= _MAX_IMAGES:
        return ordered
    kept: Scores = ordered[np.linspace(0, ordered.size - 1, _MAX_IMAGES).round().astype(int)]
    return kept
