"""Daily figures of every category: all that a verdict needs of the images of a day."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from normscape.drift.reference import MEASURES, Reference, measure
from normscape.drift.robust import bodies

COLUMNS = (
    "day", "category", "images", "flagged", "tail", "spread",
    *(f"{name}_location" for name in MEASURES),
)  # fmt: skip

_CARRIED_DAYS = 14


class History:
    """Collects the daily figures, day by day, oldest first.

    A category with fewer than `min_images` on a day waits for the next days' images, at most
    fourteen days: its figures then count for the day on which there were enough.
    """

    def __init__(self, reference: Reference, min_images: int) -> None:
        self._reference, self._min_images = reference, min_images
        self._tables: list[pd.DataFrame] = []
        self._waiting: list[tuple[int, pd.DataFrame]] = []
        self._seen = 0
        self.days: list[str] = []

    def add(self, day: str, rows: pd.DataFrame) -> None:
        """Add the images of a day.

        Args:
            day: Later than the days before.
            rows: Columns `category` (a known one), `score`, the image statistics and `flagged`.
        """
        self._seen += 1
        self.days.append(day)
        fresh = rows[np.isfinite(measure(rows, "score"))]
        arrived = fresh["category"].value_counts()
        waiting = [each for number, each in self._waiting if self._seen - number < _CARRIED_DAYS]
        numbers = [number for number, _ in self._waiting if self._seen - number < _CARRIED_DAYS]
        pooled = pd.concat([*waiting, fresh], ignore_index=True) if waiting else fresh
        counts = pooled["category"].value_counts()
        ready = counts.index[(counts >= self._min_images) & counts.index.isin(arrived.index)]
        chosen = pooled[pooled["category"].isin(ready)]
        self._waiting = [
            (number, rest)
            for number, rest in _without(
                zip([*numbers, self._seen], [*waiting, fresh], strict=True), ready
            )
        ]
        figures = _figures(chosen, self._reference)
        figures["day"], figures["arrived"] = day, figures["category"].map(arrived).fillna(0)
        others = [name for name in arrived.index if name not in set(ready)]
        scarce = pd.DataFrame(
            {"day": day, "category": others, "arrived": arrived[others].to_numpy()}
        )
        self._tables.append(pd.concat([figures, scarce], ignore_index=True))

    def table(self) -> pd.DataFrame:
        """One row for each category and day with images.

        `arrived` counts the images of the day itself, `images` those the figures are of; the
        figures are missing where there were too few.
        """
        columns = [*COLUMNS, "arrived"]
        if not self._tables:
            return pd.DataFrame(columns=columns)
        return pd.concat(self._tables, ignore_index=True).reindex(columns=columns)


def _without(
    parts: Iterator[tuple[int, pd.DataFrame]], ready: pd.Index
) -> Iterator[tuple[int, pd.DataFrame]]:
    for number, rows in parts:
        rest = rows[~rows["category"].isin(ready)]
        if len(rest):
            yield number, rest


def _figures(rows: pd.DataFrame, reference: Reference) -> pd.DataFrame:
    names = np.asarray(reference.categories, dtype=object)
    codes = pd.Categorical(rows["category"], categories=reference.categories).codes.astype(np.int64)
    grids = {name: np.full(len(names), np.nan) for name in COLUMNS[2:]}
    for name in MEASURES:
        values = measure(rows, name)
        finite = np.isfinite(values)
        groups, body = bodies(values[finite], codes[finite])
        grids[f"{name}_location"][groups] = body.location
        if name == "score":
            grids["spread"][groups] = body.spread
    raised = grids["score_location"] - reference.bodies["score"].location
    level = reference.tail_level + np.maximum(raised, 0.0)
    high = measure(rows, "score") > level[codes]
    flagged = rows["flagged"].fillna(False).to_numpy(dtype=bool)
    for name, chosen in (("images", codes), ("tail", codes[high]), ("flagged", codes[flagged])):
        grids[name] = np.bincount(chosen, minlength=len(names)).astype(np.float64)
    present = np.unique(codes)
    return pd.DataFrame(
        {"category": names[present], **{name: grid[present] for name, grid in grids.items()}}
    )
