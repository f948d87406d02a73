"""Evidently's view of the same comparison: a page of its own and a run in the workspace.

It shows; it does not decide: it knows neither defects in the window nor the harmless offset
between two days, so it may name a category that `normscape.drift.decide` rightly calls quiet. Its
default, the normed Wasserstein distance against a fixed threshold, would do so on any small window;
hence Kolmogorov-Smirnov p-values, shared out over all comparisons.

Evidently draws every metric of every category: 160 of them take minutes. So `DETAILED` categories
are shown one by one, those with a finding first, and all together in the unit of their reference.
"""

from __future__ import annotations

import datetime
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monitoring.workspace import keep
from normscape.files import atomic_path

MAX_ROWS = 5000
"""Rows a category: what a page can show and a workspace can hold."""

DETAILED = 8
"""Categories that are shown one by one."""

_TOGETHER_ROWS = 20_000
_STATISTICS = ("mean_intensity", "std_intensity", "sharpness")
_COLUMNS = ("score", *_STATISTICS)
_TOGETHER = "score in units of the reference"


def write_report(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    *,
    order: Sequence[str],
    page: Path,
    workspace: Path,
    day: str,
    version: str,
    false_positive_rate: float,
) -> bool:
    """Run Evidently on the window and save a page and a run for `make monitor-ui`.

    A run of the same day and version replaces the earlier one in the workspace.

    Args:
        reference: Columns `category`, `score` and the image statistics.
        window: The same.
        order: The categories, the most remarkable first; the first `DETAILED` are shown one by one.
        page: The HTML file to write.
        workspace: Evidently's workspace folder; made when missing.
        day: The last day of the window.
        version: The model version.
        false_positive_rate: Of the whole page.

    Returns:
        False, and nothing written, where no category has images on both sides.
    """
    os.environ["DO_NOT_TRACK"] = "1"
    base, seen = _prepare(reference), _prepare(window)
    there = set(base["category"]) & set(seen["category"])
    both = [name for name in order if name in there]
    if not both:
        return False
    unit = base.groupby("category")["score"].agg(["median", "std"])
    sides = tuple(
        _sampled(_in_units(rows[rows["category"].isin(there)], unit), both[:DETAILED])
        for rows in (base, seen)
    )
    comparisons = len(both[:DETAILED]) * len(_COLUMNS) + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = _run(sides, both[:DETAILED], day, version, false_positive_rate / comparisons)
        with atomic_path(page) as temporary:
            run.save_html(str(temporary))
        keep(run, workspace, day, version)
    return True


def _run(
    sides: tuple[pd.DataFrame, ...], detailed: list[str], day: str, version: str, threshold: float
) -> Any:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import QuantileValue, RowCount, ValueDrift
    from evidently.metrics.group_by import GroupByMetric

    definition = DataDefinition(
        numerical_columns=[*_COLUMNS, _TOGETHER], categorical_columns=["category"]
    )
    base, current = (
        Dataset.from_pandas(rows.reset_index(drop=True), data_definition=definition)
        for rows in sides
    )
    each = [
        RowCount(),
        *(ValueDrift(column=name, method="ks", threshold=threshold) for name in _COLUMNS),
        *(QuantileValue(column="score", quantile=q) for q in (0.5, 0.95)),
    ]
    metrics = [
        RowCount(),
        ValueDrift(column=_TOGETHER, method="ks", threshold=threshold),
        *(QuantileValue(column=_TOGETHER, quantile=q) for q in (0.5, 0.95)),
        *(GroupByMetric(metric=metric, column_name="category", label=name)
          for metric in each for name in detailed),
    ]  # fmt: skip
    report = Report(metrics, tags=[day, version])
    timestamp = datetime.datetime.combine(
        datetime.date.fromisoformat(day), datetime.time(), tzinfo=datetime.UTC
    )
    return report.run(current, base, timestamp=timestamp, name=f"{day} {version}")


def _prepare(frame: pd.DataFrame) -> pd.DataFrame:
    numbers = frame[["category", *_COLUMNS]].dropna().astype(dict.fromkeys(_COLUMNS, "float64"))
    return _at_most(numbers, MAX_ROWS)


def _at_most(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most so many rows of each category, the same ones every time."""
    mixed = rows.sample(frac=1, random_state=0)
    return mixed[mixed.groupby("category").cumcount() < count].sort_index()


def _in_units(rows: pd.DataFrame, unit: pd.DataFrame) -> pd.DataFrame:
    own = unit.loc[rows["category"]].to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        away = (rows["score"].to_numpy() - own[:, 0]) / own[:, 1]
    return rows.assign(**{_TOGETHER: np.where(np.isfinite(away), away, np.nan)})


def _sampled(rows: pd.DataFrame, detailed: Sequence[str]) -> pd.DataFrame:
    """All rows of some categories, and as many of the others as a page can hold."""
    shown = rows["category"].isin(detailed)
    rest = rows[~shown]
    return pd.concat([rows[shown], rest.sample(min(len(rest), _TOGETHER_ROWS), random_state=0)])
