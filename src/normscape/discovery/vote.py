"""From regions to an image: its regions vote, the larger ones with more weight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

_TEMPERATURE = 0.1


def vote(areas: Sequence[NDArray[np.float32]], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Weighted means over the regions of each image; weights softmax(√area / τ), AnomalyNCD's.

    Args:
        areas: Of the regions of each image, shares of the image; at least one region each.
        values: `(R, K)` of all regions, in the order of the images.

    Returns:
        `(N, K)`.
    """
    parts = np.split(values, np.cumsum([len(each) for each in areas])[:-1])
    return np.stack(
        [
            softmax(np.sqrt(area) / _TEMPERATURE) @ part
            for area, part in zip(areas, parts, strict=True)
        ]
    ).astype(np.float64)
