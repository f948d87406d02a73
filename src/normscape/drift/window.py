"""Which scores are compared: one model version, one runtime, one or a few days."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from normscape.errors import UsageError


@dataclass(frozen=True)
class Window:
    """The readable images of the days that are judged.

    Attributes:
        frame: Rows of the score log, without errors.
        days: The days asked for, oldest first.
        unreadable: Images that could not be scored.
        other_runtime: Images left out because another runtime or precision scored them.
    """

    frame: pd.DataFrame
    days: tuple[str, ...]
    unreadable: int
    other_runtime: int


def window_days(day: str, count: int) -> tuple[str, ...]:
    """The `count` days that end with `day`, oldest first.

    Raises:
        UsageError: `day` is not a date.
    """
    try:
        last = datetime.date.fromisoformat(day)
    except ValueError:
        raise UsageError(
            f"'{day}' is not a day; expected a date such as 2026-03-14 (YYYY-MM-DD)"
        ) from None
    days = (last - datetime.timedelta(days=back) for back in reversed(range(count)))
    return tuple(each.isoformat() for each in days)


def select_window(
    rows: pd.DataFrame, days: tuple[str, ...], *, runtime: str, precision: str
) -> Window:
    """Keep what may be compared with the reference of one model.

    Raw scores of another runtime or precision differ from the reference's by more than rounding,
    so they are left out and counted; an image that came twice counts once.

    Args:
        rows: Of the score log: these days, one model version.
        days: The days of the window.
        runtime: Of the model's calibration.
        precision: Of the model's calibration.
    """
    readable = rows[rows["error"].isna()]
    same = readable[(readable["runtime"] == runtime) & (readable["precision"] == precision)]
    frame = same.drop_duplicates(["sha256", "declared_category"], keep="last", ignore_index=True)
    return Window(frame, days, len(rows) - len(readable), len(readable) - len(same))


def assign(frame: pd.DataFrame, known: Collection[str], alpha: float) -> pd.Series:
    """The known category each image is judged with; missing where it belongs to none.

    A declared known category counts as declared: a drifted product looks like nothing known and
    must still be compared with its own reference. Without a declaration the predicted category
    counts, unless its p-value says that the image belongs to no known category.

    Args:
        frame: Rows of the score log.
        known: The model's categories.
        alpha: The category p-value up to which an image belongs to no known category.

    Returns:
        A series of category names or NA on the index of `frame`.
    """
    names = list(known)
    predicted = frame["predicted_category"].where(
        frame["predicted_category"].isin(names) & (frame["category_p_value"] > alpha)
    )
    declared = frame["declared_category"]
    return declared.where(declared.notna(), predicted).where(lambda each: each.isin(names))
