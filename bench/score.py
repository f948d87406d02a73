"""One evaluator for every method: the seven metrics, and how sure a difference is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.record import ROOT
from normscape.data.images import read_mask
from normscape.errors import DataError
from normscape.evaluation.bootstrap import RESAMPLES, Scores, average, paired_auroc
from normscape.evaluation.metrics import METRICS, ranked_image_metrics, ranked_pixel_metrics
from normscape.evaluation.pixels import PixelRankings
from normscape.evaluation.ranking import rank

Labels = NDArray[np.integer]

AUPRO_LIMIT = 0.3


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
    """The difference of two methods' mean image AUROC, with the interval of a paired bootstrap.

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
    labels, names = rows["label"].to_numpy(), rows["category"].to_numpy(dtype=str)
    found = average(
        paired_auroc(labels, names, first, second, resamples=resamples, seed=seed).values()
    )
    low, high = found.interval(confidence)
    return {"difference": found.difference, "low": low, "high": high}


def _image_metrics(scores: Scores, labels: Labels) -> dict[str, float]:
    return ranked_image_metrics(rank(scores[labels == 1], scores[labels == 0]))
