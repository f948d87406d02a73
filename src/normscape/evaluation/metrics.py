"""The seven metrics as pure functions on raw scores: no clamping, no scaling, ties right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from normscape.errors import NormscapeError
from normscape.evaluation.ranking import Floats, Ranking, RankingBuilder, rank

IMAGE_METRICS = ("image_auroc", "image_ap", "image_f1max")
PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "pixel_f1max", "aupro")
METRICS = IMAGE_METRICS + PIXEL_METRICS
"""The keys of `metrics.json`, in the order in which they are shown."""

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=int)


def auroc(ranking: Ranking) -> float:
    """Area under the ROC curve: the chance that an anomaly outranks a normal; ties count half."""
    gained = np.diff(ranking.true, prepend=0)
    outranked = ranking.negatives - (ranking.false + ranking.false_above) / 2
    return float(gained @ outranked / ranking.positives / ranking.negatives)


def average_precision(ranking: Ranking) -> float:
    """Average precision: sum over thresholds of (R_n - R_{n-1}) P_n, without interpolation."""
    gained = np.diff(ranking.true, prepend=0)
    precision = ranking.true / (ranking.true + ranking.false)
    return float(gained @ precision / ranking.positives)


def f1_max(ranking: Ranking) -> float:
    """The largest F1 over all thresholds: 2 TP / (TP + FP + P)."""
    f1 = 2 * ranking.true / (ranking.true + ranking.false + ranking.positives)
    return float(f1.max())


def aupro(ranking: Ranking, limit: float) -> float:
    """Area under the per-region overlap curve up to a false-positive rate, divided by that rate.

    The PRO at a threshold is the mean over defect regions of the detected share of each region
    (Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021). Exact: every distinct
    value is a threshold, and the curve is linear between thresholds.

    Args:
        ranking: Of pixels, whose weights sum to 1 over all regions (`region_weights`, divided by
            the number of regions).
        limit: The false-positive rate at which the integration ends, in (0, 1].

    Returns:
        A value in [0, 1].
    """
    start = ranking.false_above / ranking.negatives
    end = ranking.false / ranking.negatives
    # A pixel's share rises linearly from start to end (its ties) and then stays to the limit.
    rise = np.maximum(end - start, np.finfo(np.float64).tiny)
    inside = np.clip(np.minimum(end, limit) - start, 0, None)
    area = inside**2 / (2 * rise) + np.clip(limit - end, 0, None)
    return float(ranking.weight @ area / limit)


def region_weights(mask: NDArray[np.bool_]) -> tuple[Floats, int]:
    """Weigh each defect pixel by 1 / (pixels of its 8-connected region).

    Args:
        mask: `(S, S)`; True = defect.

    Returns:
        `(P,)` weights of the True pixels in row order, and the number of regions.
    """
    labels, regions = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    pixels = labels[mask]
    sizes = np.bincount(pixels, minlength=regions + 1)
    return np.asarray(1.0 / sizes[pixels]), int(regions)


def image_metrics(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, float]:
    """The three image metrics.

    Args:
        scores: `(B,)` raw image scores.
        labels: `(B,)` 0 = normal, 1 = anomalous.

    Returns:
        `image_auroc`, `image_ap` and `image_f1max`.

    Raises:
        NormscapeError: Shapes differ, one of both labels is missing, or a score is not finite.
    """
    if scores.shape != labels.shape or scores.ndim != 1:
        raise NormscapeError(
            f"image metrics: scores {scores.shape} and labels {labels.shape} must both be (B,)"
        )
    return ranked_image_metrics(rank(scores[labels == 1], scores[labels == 0]))


def ranked_image_metrics(ranking: Ranking) -> dict[str, float]:
    """The three image metrics of a ranking of image scores."""
    return dict(zip(IMAGE_METRICS, _three(ranking), strict=True))


def pixel_metrics(
    maps: NDArray[np.floating], masks: NDArray[np.bool_], limit: float
) -> dict[str, float]:
    """The four pixel metrics.

    Args:
        maps: `(B, S, S)` raw anomaly maps.
        masks: `(B, S, S)`; True = defect.
        limit: False-positive rate at which AUPRO's integration ends.

    Returns:
        `pixel_auroc`, `pixel_ap`, `pixel_f1max` and `aupro`.

    Raises:
        NormscapeError: Shapes differ, there are no defect or no normal pixels, or a value is not
            finite.
    """
    if maps.shape != masks.shape or maps.ndim != 3:
        raise NormscapeError(
            f"pixel metrics: maps {maps.shape} and masks {masks.shape} must both be (B, S, S)"
        )
    found = [region_weights(mask) for mask in masks]
    regions = max(sum(count for _, count in found), 1)
    weights = np.concatenate([weight for weight, _ in found]) / regions
    builder = RankingBuilder(maps[masks], weights)
    if masks.any():
        builder.add(np.sort(maps[~masks]))
    return ranked_pixel_metrics(builder.result(), limit)


def ranked_pixel_metrics(ranking: Ranking, limit: float) -> dict[str, float]:
    """The four pixel metrics of a ranking of pixels with region weights."""
    values = (*_three(ranking), aupro(ranking, limit))
    return dict(zip(PIXEL_METRICS, values, strict=True))


def binomial_interval(found: int, total: int, confidence: float) -> tuple[float, float]:
    """Exact two-sided interval of a rate (Clopper and Pearson, Biometrika 1934).

    Args:
        found: Number of successes, 0 <= found <= total.
        total: Number of trials, at least 1.
        confidence: Such as 0.95; the true rate lies inside at least that often.

    Returns:
        The lower and the upper limit.
    """
    tail = (1 - confidence) / 2
    low = float(special.betaincinv(found, total - found + 1, tail)) if found else 0.0
    high = float(special.betaincinv(found + 1, total - found, 1 - tail)) if found < total else 1.0
    return low, high


def _three(ranking: Ranking) -> tuple[float, float, float]:
    return auroc(ranking), average_precision(ranking), f1_max(ranking)
