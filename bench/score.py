"""One evaluator for every method: the seven metrics, and how sure a difference is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.record import ROOT
from normscape.data.images import read_mask
from normscape.errors import DataError
from normscape.evaluation.metrics import METRICS, ranked_image_metrics, ranked_pixel_metrics
from normscape.evaluation.pixels import PixelRankings
from normscape.evaluation.ranking import rank

Scores = NDArray[np.floating]
Labels = NDArray[np.integer]

AUPRO_LIMIT = 0.3
RESAMPLES = 2000


def measure(rows: pd.DataFrame, scores: Scores, maps: NDArray[np.floating]) -> dict[str, Any]:
    """Measure a method on test images.

    Args:
        rows: The rows of the test split, of `bench.datasets`.
        scores: `(N,)` raw image scores, in the order of `rows`.
        maps: `(N, S, S)` raw anomaly maps; of categories without masks they are not read.

    Returns:
        `{"mean": {metric: value}, "pooled": {...}, "categories": {name: {...}}}` with the keys of
        `normscape.evaluation.metrics.METRICS`; a metric that cannot be computed is absent.

    Raises:
        DataError: Rows, scores and maps differ in number.
        NormscapeError: A score is not finite, or a category has images of one label alone.
    """
    if not len(rows) == len(scores) == len(maps):
        raise DataError(f"{len(rows)} rows, {len(scores)} scores and {len(maps)} maps; must agree")
    labels, names = rows["label"].to_numpy(), rows["category"].to_numpy(dtype=str)
    masked = set(rows.loc[rows["mask"].notna(), "category"])
    with PixelRankings(ROOT / ".normscape" / "bench") as collected:
        for place in np.flatnonzero(np.isin(names, sorted(masked))):
            path = rows["mask"].iloc[place] if labels[place] else None
            mask = None if path is None else read_mask(path, maps.shape[1])
            collected.add(names[place], np.asarray(maps[place], dtype=np.float32), mask)
        pixels, pooled = collected.rank()
    categories = {}
    for name in sorted(set(names)):
        found = _image_metrics(scores[names == name], labels[names == name])
        if name in pixels:
            found |= ranked_pixel_metrics(pixels[name], AUPRO_LIMIT)
        categories[name] = found
    together = _image_metrics(scores, labels)
    if pooled is not None:
        together |= ranked_pixel_metrics(pooled, AUPRO_LIMIT)
    columns = {m: [found[m] for found in categories.values() if m in found] for m in METRICS}
    mean = {metric: float(np.mean(values)) for metric, values in columns.items() if values}
    return {"mean": mean, "pooled": together, "categories": categories}


def bootstrap_difference(
    rows: pd.DataFrame,
    first: Scores,
    second: Scores,
    *,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, float]:
    """The difference of two methods' mean image AUROC, with an interval.

    Images are drawn with replacement, the same for both methods, within each category and label;
    the interval is that of the percentiles (Efron and Tibshirani, 1993, chapter 13).

    Args:
        rows: The rows of the test split.
        first: `(N,)` raw image scores of one method, or `(K, N)` of K runs of it, whose AUROC is
            averaged over the same samples of images.
        second: Those of the other, on the same images.
        resamples: Number of bootstrap samples.
        confidence: Of the interval.
        seed: Of the samples.

    Returns:
        `difference` (first minus second, on the images themselves), `low`, `high`.
    """
    generator = np.random.default_rng(seed)
    labels, names = rows["label"].to_numpy(), rows["category"].to_numpy(dtype=str)
    differences, samples = [], []
    for name in sorted(set(names)):
        normal, anomalous = ((names == name) & (labels == label) for label in (0, 1))
        counts = [_draw(generator, int(part.sum()), resamples) for part in (normal, anomalous)]
        gained = []
        for runs in (first, second):
            values = [(scores[normal], scores[anomalous]) for scores in np.atleast_2d(runs)]
            ones = [np.ones((1, int(part.sum())), dtype=np.int64) for part in (normal, anomalous)]
            gained.append(
                [np.mean([weighted_auroc(*v, *drawn) for v in values], axis=0)
                 for drawn in (ones, counts)]
            )  # fmt: skip
        differences.append(gained[0][0] - gained[1][0])
        samples.append(gained[0][1] - gained[1][1])
    tail = 50 * (1 - confidence)
    low, high = np.percentile(np.mean(samples, axis=0), [tail, 100 - tail])
    return {"difference": float(np.mean(differences)), "low": float(low), "high": float(high)}


def weighted_auroc(
    normal: Scores,
    anomalous: Scores,
    normal_counts: NDArray[np.integer],
    anomalous_counts: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Image AUROC of R samples that contain each image a number of times; ties count half.

    Args:
        normal: `(N,)` scores.
        anomalous: `(P,)` scores.
        normal_counts: `(R, N)` how often each is drawn.
        anomalous_counts: `(R, P)`.

    Returns:
        `(R,)` values.
    """
    order = np.argsort(normal, kind="stable")
    below = np.pad(np.cumsum(normal_counts[:, order], axis=1), ((0, 0), (1, 0)))
    left, right = (np.searchsorted(normal[order], anomalous, side) for side in ("left", "right"))
    outranked = (below[:, left] + below[:, right]) / 2
    pairs = normal_counts.sum(axis=1) * anomalous_counts.sum(axis=1)
    return np.asarray((outranked * anomalous_counts).sum(axis=1) / pairs, dtype=np.float64)


def _draw(generator: np.random.Generator, items: int, resamples: int) -> NDArray[np.integer]:
    return generator.multinomial(items, np.full(items, 1 / items), size=resamples)


def _image_metrics(scores: Scores, labels: Labels) -> dict[str, float]:
    return ranked_image_metrics(rank(scores[labels == 1], scores[labels == 0]))
