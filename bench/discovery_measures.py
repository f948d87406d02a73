"""How well groups agree with kinds: NMI, ARI and F1, as the papers on defect kinds measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score


def grouping(truth: NDArray[np.str_], groups: NDArray[np.intp]) -> dict[str, float]:
    """Figures of one grouping.

    Args:
        truth: `(n,)` kinds.
        groups: `(n,)` group numbers; -1 for images that are in none, which count as wrong: they
            are a group that is matched with no kind.
    """
    return {
        "nmi": float(normalized_mutual_info_score(truth, groups)),
        "ari": float(adjusted_rand_score(truth, groups)),
        "f1": micro_f1(truth, groups),
    }


def micro_f1(truth: NDArray[np.str_], groups: NDArray[np.intp]) -> float:
    """Share of images in the group that stands for their kind, the best matching of the two."""
    used = np.unique(groups[groups >= 0])
    kinds = np.unique(truth)
    if not len(used):
        return 0.0
    table = np.array([[np.sum((truth == kind) & (groups == g)) for g in used] for kind in kinds])
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / len(truth))


def mean_of(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean over runs of nested figures with the same keys; words are left out."""
    first = runs[0]
    return {
        key: mean_of([run[key] for run in runs])
        if isinstance(value, dict)
        else float(np.mean([run[key] for run in runs]))
        for key, value in first.items()
        if not isinstance(value, str)
    }
