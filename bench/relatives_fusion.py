"""Two detectors as one: on the scale of normal images that neither has learned from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.refine import Base
from bench.score import Scores

_LEAST_SPREAD = 1e-6


def fused(bases: Sequence[Base]) -> tuple[Scores, NDArray[np.float32]]:
    """The mean of detectors' answers in standard deviations of the held-out normal images.

    Those of the category that each detector itself predicts for an image.

    Args:
        bases: What each detector says of one table.

    Returns:
        Scores `(N,)` and maps `(N, S, S)` of the test images.
    """
    scores = np.zeros(len(bases[0].scores))
    maps = np.zeros(bases[0].maps.shape, dtype=np.float32)
    for base in bases:
        centre, unit = np.empty(len(scores)), np.empty(len(scores))
        of, named = base.held["category"].to_numpy(dtype=str), np.array(base.categories)
        for name in set(base.categories):
            normal = base.held_scores[of == name]
            centre[named == name] = normal.mean()
            unit[named == name] = max(float(normal.std(ddof=1)), _LEAST_SPREAD)
        scores += (base.scores - centre) / unit
        for place, pixels in enumerate(base.maps):
            maps[place] += (pixels - np.float32(centre[place])) / np.float32(unit[place])
    return (scores / len(bases)).astype(np.float32), maps / len(bases)
