"""Evidently's view of the same comparison: a page of its own and a run in the workspace.

It shows; it does not decide: it knows neither defects in the window nor the harmless offset
between two days, so it may name a category that `normscape.drift.decide` rightly calls quiet. Its
default, the normed Wasserstein distance against a fixed threshold, would do so on any small window;
hence Kolmogorov-Smirnov p-values, shared out over all comparisons.
"""

from __future__ import annotations

import datetime
import os
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from normscape.files import atomic_path

PROJECT = "Normscape"
MAX_ROWS = 5000
"""Rows a category: what a page can show and a workspace can hold."""

_STATISTICS = ("mean_intensity", "std_intensity", "sharpness")
_COLUMNS = ("score", *_STATISTICS)


def write_report(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    *,
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
    both = sorted(set(base["category"]) & set(seen["category"]))
    if not both:
        return False
    sides = (base[base["category"].isin(both)], seen[seen["category"].isin(both)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = _run(*sides, day, version, false_positive_rate / (len(both) * len(_COLUMNS)))
        with atomic_path(page) as temporary:
            run.save_html(str(temporary))
        _keep(run, workspace, day, version)
    return True


def _run(
    reference: pd.DataFrame, window: pd.DataFrame, day: str, version: str, threshold: float
) -> Any:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import QuantileValue, RowCount, ValueDrift
    from evidently.metrics.group_by import GroupBy

    definition = DataDefinition(numerical_columns=list(_COLUMNS), categorical_columns=["category"])
    current, base = (
        Dataset.from_pandas(rows.reset_index(drop=True), data_definition=definition)
        for rows in (window, reference)
    )
    metrics = [
        RowCount(),
        GroupBy(RowCount(), "category"),
        *(GroupBy(ValueDrift(column=name, method="ks", threshold=threshold), "category")
          for name in _COLUMNS),
        *(GroupBy(QuantileValue(column="score", quantile=q), "category") for q in (0.5, 0.95)),
    ]  # fmt: skip
    report = Report(metrics, tags=[day, version])
    timestamp = datetime.datetime.combine(
        datetime.date.fromisoformat(day), datetime.time(), tzinfo=datetime.UTC
    )
    return report.run(current, base, timestamp=timestamp, name=f"{day} {version}")


def _keep(run: Any, workspace: Path, day: str, version: str) -> None:
    from evidently.ui.workspace import Workspace

    workspace.mkdir(parents=True, exist_ok=True)
    home = Workspace.create(str(workspace))
    found = home.search_project(PROJECT)
    project = found[0] if found else home.create_project(PROJECT)
    for identifier in home.list_runs(project.id):
        earlier = home.get_run(project.id, identifier)
        if earlier is not None and earlier.tags == [day, version]:
            home.delete_run(project.id, identifier)
    home.add_run(project.id, run)


def _prepare(frame: pd.DataFrame) -> pd.DataFrame:
    rows = frame[["category", *_COLUMNS]].dropna()
    numbers = rows.astype(dict.fromkeys(_COLUMNS, "float64"))
    kept = [
        group.sample(min(len(group), MAX_ROWS), random_state=0).sort_index()
        for _, group in numbers.groupby("category")
    ]
    return pd.concat(kept) if kept else numbers
