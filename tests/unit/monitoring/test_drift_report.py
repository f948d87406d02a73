"""Evidently's page and history: eight categories one by one, one run a day and version."""

import numpy as np
import pandas as pd
import pytest

from monitoring.drift_report import DETAILED, MAX_ROWS, _prepare, write_report
from monitoring.workspace import PROJECT, run_id

NAMES = [f"product_{number}" for number in range(10)]


def rows(images, seed=0):
    rng = np.random.default_rng(seed)
    category = np.repeat(NAMES, images)
    columns = ("score", "mean_intensity", "std_intensity", "sharpness")
    return pd.DataFrame(
        {"category": category} | {c: rng.normal(size=len(category)) for c in columns}
    )


@pytest.mark.slow
def test_the_first_of_the_order_are_shown_and_a_second_run_replaces_the_first(tmp_path):
    from evidently.ui.workspace import Workspace

    order = NAMES[::-1]
    for seed in range(2):
        written = write_report(
            rows(30), rows(20, seed), order=order, page=tmp_path / "page.html",
            workspace=tmp_path / "workspace", day="2026-03-14", version="v0001",
            false_positive_rate=0.03,
        )  # fmt: skip
        assert written
    html = (tmp_path / "page.html").read_text()
    assert [name for name in NAMES if f"label: '{name}'" in html] == sorted(order[:DETAILED])
    home = Workspace(str(tmp_path / "workspace"))
    [project] = home.search_project(PROJECT)
    [kept] = home.list_runs(project.id)
    assert str(kept) == run_id("2026-03-14", "v0001")
    assert home.get_run(project.id, kept).tags == ["2026-03-14", "v0001"]


def test_without_a_common_category_nothing_is_written(tmp_path):
    other = rows(20).assign(category="another")
    assert not write_report(
        rows(30), other, order=NAMES, page=tmp_path / "page.html", workspace=tmp_path / "workspace",
        day="2026-03-14", version="v0001", false_positive_rate=0.03,
    )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_a_category_has_at_most_so_many_rows_the_same_ones_each_time():
    many = rows(10).iloc[[0] * (MAX_ROWS + 100) + [15]].reset_index(drop=True)
    many["score"] = np.arange(len(many), dtype=float)
    kept = _prepare(many)
    assert kept["category"].value_counts().to_dict() == {NAMES[0]: MAX_ROWS, NAMES[1]: 1}
    assert kept.equals(_prepare(many))
