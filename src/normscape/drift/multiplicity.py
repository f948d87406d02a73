"""Many tests at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values: reject where they are ≤ q, and the false discovery rate is ≤ q.

    Args:
        p_values: `(K,)`, independent or positively dependent.

    Returns:
        `(K,)` in the order of the input: `min_{j ≥ i} (K / j) p_(j)`, at most 1.

    Source:
        Benjamini and Hochberg, Controlling the false discovery rate, JRSS B 57 (1995), 289-300.
    """
    values = np.asarray(p_values, dtype=np.float64)
    count = values.size
    order = np.argsort(values)[::-1]
    ranked = values[order] * count / np.arange(count, 0, -1)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(np.minimum.accumulate(ranked), 1.0)
    return adjusted
