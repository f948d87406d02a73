"""Which of the new groups is which of the known types: stable ids over discoveries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

_LEAST_OVERLAP = 0.25


def match(groups: NDArray[np.intp], belief: NDArray[np.float64]) -> dict[int, int]:
    """Pair groups with types so that the overlap of the pairs is as large as possible together.

    Args:
        groups: `(n,)`: the group of each image, numbered from 0.
        belief: `(n, T)`: how much each image is of each known type; rows sum to at most 1.

    Returns:
        The type of each group that has one; a group that shares less than a quarter with its
        partner (intersection over union) is new.
    """
    if not belief.size:
        return {}
    count = int(groups.max()) + 1
    common = np.stack([belief[groups == group].sum(0) for group in range(count)])
    sizes = np.bincount(groups, minlength=count)[:, None]
    overlap = common / np.maximum(sizes + belief.sum(0) - common, 1e-9)
    rows, columns = linear_sum_assignment(-overlap)
    pairs: Sequence[tuple[int, int]] = list(zip(rows.tolist(), columns.tolist(), strict=True))
    return {row: column for row, column in pairs if overlap[row, column] >= _LEAST_OVERLAP}
