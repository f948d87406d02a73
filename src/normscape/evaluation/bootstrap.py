"""Two models on the same images: how sure is a difference, by resampling the images.

Images are drawn with replacement, the same for both models, within each category and label; the
intervals are those of the percentiles (Efron and Tibshirani, "An Introduction to the Bootstrap",
1993, chapter 13). Images of one part that was photographed several times count as independent.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Counts = NDArray[np.integer]

RESAMPLES = 2000


@dataclass(frozen=True)
class Paired:
    """One figure of two models.

    Attributes:
        first: Of the first model, on the images themselves.
        second: Of the second.
        samples: `(R,)` first minus second on R samples of the images.
    """

    first: float
    second: float
    samples: NDArray[np.float64]

    @property
    def difference(self) -> float:
        """First minus second, on the images themselves."""
        return self.first - self.second

    def interval(self, confidence: float) -> tuple[float, float]:
        """The limits between which the difference lies with this confidence."""
        tail = 50 * (1 - confidence)
        low, high = np.percentile(self.samples, [tail, 100 - tail])
        return float(low), float(high)


def paired_auroc(
    labels: NDArray[np.integer],
    names: NDArray[np.str_],
    first: Scores,
    second: Scores,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Paired]:
    """The image AUROC of every category that has both labels, for two models.

    Args:
        labels: `(N,)` 0 = normal, 1 = anomalous.
        names: `(N,)` categories.
        first: `(N,)` raw image scores of one model, or `(K, N)` of K runs of it, whose AUROC is
            averaged over the same samples of images.
        second: Those of the other, on the same images.
        resamples: R.
        seed: Of the samples; the same seed and images give the same ones.
    """
    generator = np.random.default_rng(seed)
    found = {}
    for name in sorted(set(names.tolist())):
        normal, anomalous = ((names == name) & (labels == label) for label in (0, 1))
        if not normal.any() or not anomalous.any():
            continue
        drawn = [_draw(generator, int(part.sum()), resamples) for part in (normal, anomalous)]
        whole = [np.ones((1, counts.shape[1]), dtype=np.int64) for counts in drawn]
        values, samples = [], []
        for runs in (first, second):
            parts = [(scores[normal], scores[anomalous]) for scores in np.atleast_2d(runs)]
            values.append(np.mean([weighted_auroc(*part, *whole)[0] for part in parts]))
            samples.append(np.mean([weighted_auroc(*part, *drawn) for part in parts], axis=0))
        found[name] = Paired(float(values[0]), float(values[1]), samples[0] - samples[1])
    return found


def paired_means(
    names: NDArray[np.str_],
    first: Scores,
    second: Scores,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Paired]:
    """The mean of a figure per image `(N,)` in every category, for two models."""
    generator = np.random.default_rng(seed)
    found = {}
    for name in sorted(set(names.tolist())):
        own = names == name
        counts = _draw(generator, int(own.sum()), resamples)
        samples = counts @ (first[own] - second[own]).astype(np.float64) / own.sum()
        found[name] = Paired(float(first[own].mean()), float(second[own].mean()), samples)
    return found


def average(parts: Collection[Paired]) -> Paired:
    """The mean over categories, which all were sampled equally often."""
    return Paired(
        float(np.mean([part.first for part in parts])),
        float(np.mean([part.second for part in parts])),
        np.mean([part.samples for part in parts], axis=0),
    )


def weighted_auroc(
    normal: Scores, anomalous: Scores, normal_counts: Counts, anomalous_counts: Counts
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


def _draw(generator: np.random.Generator, items: int, resamples: int) -> Counts:
    return generator.multinomial(items, np.full(items, 1 / items), size=resamples)
