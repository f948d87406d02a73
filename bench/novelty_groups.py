"""Groups of images as a day's window, judged by the monitor's own rule, for `bench.novelty`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.novelty_folds import DEFAULT, Fold
from normscape.novelty import find_unknown
from normscape.sections.production import MonitorParams

Rows = NDArray[np.int64]

SIZE = 20
"""Images of a group, none of which declares a category."""

SHARES = (0.0, 0.5, 1.0)
"""Of defective images in a group of a known product."""

RESAMPLES = 2000

_FLAGGED_NORMALS = 0.05


def power(
    table: pd.DataFrame,
    folds: Sequence[Fold],
    alpha: float,
    *,
    draws: int,
    among: int = 0,
    measure: str = DEFAULT,
) -> dict[str, Any]:
    """How often groups of a left-out category are called unknown, by category.

    All their images count as flagged, which makes the decision harder and needs no detector for
    every fold.

    Args:
        table: Of the images.
        folds: Each category is left out in one of them.
        alpha: Level of a single image.
        draws: Groups of each category.
        among: So many normal images of all known categories are in the same window.
        measure: Behind the p-values.
    """
    draw, found = np.random.default_rng(0), {}
    category = table["category"].to_numpy(dtype=str)
    flagged = np.ones(len(table), dtype=bool)
    for fold in folds:
        judge = _Judge(fold, alpha, measure)
        for name in sorted(set(category[fold.unknown])):
            rows = fold.unknown[category[fold.unknown] == name]
            alarms = [
                judge(
                    np.concatenate([_some(draw, rows, SIZE), _some(draw, fold.normal, among)]),
                    np.concatenate([flagged[:SIZE], draw.random(among) < _FLAGGED_NORMALS]),
                )
                for _ in range(draws)
            ]
            found[str(name)] = float(np.mean(alarms))
    return _summary(found)


def false_alarms(
    table: pd.DataFrame,
    folds: Sequence[Fold],
    flags: NDArray[np.bool_],
    alpha: float,
    *,
    draws: int,
    shares: Sequence[float] = SHARES,
    measure: str = DEFAULT,
) -> dict[str, Any]:
    """How often groups of a known category are called unknown, by share of defective images.

    Args:
        table: Of the images.
        folds: The known categories of each are judged.
        flags: Which images the detector flags.
        alpha: Level of a single image.
        draws: Groups of each category, fold and share.
        shares: Of defective images.
        measure: Behind the p-values.
    """
    draw = np.random.default_rng(1)
    category = table["category"].to_numpy(dtype=str)
    result = {}
    for share in shares:
        found: dict[str, list[float]] = {}
        for fold in folds:
            judge = _Judge(fold, alpha, measure)
            for name, normal, defective in _known(fold, category):
                bad = round(SIZE * share)
                if min(len(normal), len(defective)) < min(SIZE - bad, 5) or not len(defective):
                    continue
                for _ in range(draws):
                    rows = np.concatenate(
                        [_some(draw, defective, bad), _some(draw, normal, SIZE - bad)]
                    )
                    found.setdefault(name, []).append(judge(rows, flags[rows]))
        result[f"{share:g}"] = _summary({name: float(np.mean(v)) for name, v in found.items()})
    return result


class _Judge:
    """The monitor's decision on one window of undeclared images.

    Args:
        fold: Whose model has scored them.
        alpha: Level of a single image.
        measure: Behind the p-values.
    """

    def __init__(self, fold: Fold, alpha: float, measure: str) -> None:
        self._fold = fold
        self._p_values = fold.p_values(measure)
        self._alpha = alpha
        self._known = sorted(set(fold.predicted))

    def __call__(self, rows: Rows, flagged: NDArray[np.bool_]) -> bool:
        names = [str(number) for number in range(len(rows))]
        window = pd.DataFrame(
            {
                "path": names,
                "sha256": names,
                "declared_category": pd.Series([None] * len(rows), dtype=object),
                "predicted_category": self._fold.predicted[rows],
                "category_p_value": self._p_values[rows],
                "flagged": flagged,
            }
        )
        found = find_unknown(
            window, self._known, MonitorParams(),
            reference_images=len(self._fold.calibrate), alpha=self._alpha,
        )  # fmt: skip
        return bool(found.unknown)


def _known(fold: Fold, category: NDArray[np.str_]) -> Iterator[tuple[str, Rows, Rows]]:
    for name in sorted(set(category[fold.normal])):
        normal = fold.normal[category[fold.normal] == name]
        yield str(name), normal, fold.defective[category[fold.defective] == name]


def _some(draw: np.random.Generator, rows: Rows, count: int) -> Rows:
    """Without replacement where there are enough."""
    return draw.choice(rows, count, replace=len(rows) < count) if count else rows[:0]


def _summary(found: dict[str, float]) -> dict[str, Any]:
    """The mean over categories with its bootstrap interval (over categories), and the extremes."""
    values = np.array(list(found.values()))
    draw = np.random.default_rng(2)
    means = values[draw.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "mean": float(values.mean()),
        "low": float(low),
        "high": float(high),
        "smallest": float(values.min()),
        "largest": float(values.max()),
        "categories": len(values),
        "by_category": {
            name: round(value, 3) for name, value in found.items() if value not in (0.0, 1.0)
        },
    }
