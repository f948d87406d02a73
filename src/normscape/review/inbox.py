"""The reviewer's view of the inbox: what waits, chosen by reason, day, category and status."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from normscape.errors import DataError, UsageError
from normscape.params import Params
from normscape.scoring.inbox import Inbox, Pruned
from normscape.scoring.log import read
from normscape.scoring.paths import score_log
from normscape.scoring.record import REASONS, STATUSES, Reason, Record
from normscape.scoring.schema import check_day
from normscape.scoring.source import located
from normscape.storage.client import StoreError

EVERY_STATUS = "all"


@dataclass(frozen=True)
class Selection:
    """Which images of the inbox are meant; None does not restrict.

    Attributes:
        reason: One of flagged, unknown, drifted, reported, random.
        category: The category of the verdict, else the declared, else the predicted one.
        day: YYYY-MM-DD.
        status: waiting, a verdict, or all.
    """

    reason: str | None = None
    category: str | None = None
    day: str | None = None
    status: str = "waiting"

    def __post_init__(self) -> None:
        _one_of("reason", self.reason, REASONS)
        _one_of("status", self.status, (*STATUSES, EVERY_STATUS))
        if self.day is not None:
            check_day(self.day)

    def fits(self, record: Record) -> bool:
        """Whether a record is meant."""
        return (
            (self.reason is None or self.reason in record.reasons)
            and (self.category is None or self.category == record.product)
            and (self.day is None or self.day == record.day)
            and self.status in (EVERY_STATUS, record.status)
        )


@dataclass(frozen=True)
class KeptWindow:
    """What `keep_drifted` did.

    Attributes:
        day: The day.
        category: The category.
        images: Logged images of that category on that day.
        new: Images that were not in the inbox before.
        lost: Why single images could not be kept.
        pruned: What left the inbox because it was full.
    """

    day: str
    category: str
    images: int
    new: int
    lost: tuple[str, ...]
    pruned: Pruned


def select(params: Params, selection: Selection) -> list[Record]:
    """The records that `selection` means, by day and then by SHA-256."""
    return [record for record in Inbox.of(params).records() if selection.fits(record)]


def keep_drifted(
    params: Params, day: str, category: str, *, model_version: str, reason: Reason = "drifted"
) -> KeptWindow:
    """Keep a day's images of one category for review, at most `review.window_images` of them.

    Which ones follows from their hashes alone, so the same images are kept when this runs again.

    Args:
        params: The project.
        day: A scored day.
        category: As declared, or as predicted where the line declares none.
        model_version: The version whose scores are noted.
        reason: What the monitor found.

    Raises:
        UsageError: `day` is not a date.
        NormscapeError: The log is damaged or the inbox cannot be written.
    """
    rows = read(score_log(params), days=day, model_version=model_version, category=category)
    window = rows[rows["error"].isna()].sort_values("sha256")
    inbox, new, lost = Inbox.of(params), 0, []
    for row in window.head(params.review.window_images).to_dict("records"):
        try:
            with located(str(row["path"]), params.root).file() as path:
                new += inbox.keep(_record(row, reason), path)
        except (DataError, StoreError) as error:
            lost.append(str(error))
    return KeptWindow(day, category, len(window), new, tuple(lost), inbox.prune())


def keep_reported(params: Params, day: str, prefix: str) -> Record:
    """Keep one scored image that a person has found remarkable and the model has not.

    Args:
        params: The project.
        day: The day it was scored for.
        prefix: First digits of its SHA-256.

    Raises:
        UsageError: No image of the day, or more than one, has such a SHA-256.
        DataError: Its file is gone or has changed.
    """
    inbox = Inbox.of(params)
    rows = read(score_log(params), days=day)
    found = rows[rows["error"].isna() & rows["sha256"].str.startswith(prefix.lower())]
    if found["sha256"].nunique() != 1:
        raise UsageError(
            f"{found['sha256'].nunique() or 'no'} images scored for {day} have a SHA-256 that "
            f"begins with '{prefix}'; expected one: check the day, or give more digits"
        )
    row = found.iloc[-1].to_dict()
    with located(str(row["path"]), params.root).file() as path:
        inbox.keep(_record(row, "reported"), path)
    return inbox.find(str(row["sha256"]))


def _record(row: dict[Hashable, Any], reason: Reason) -> Record:
    declared, p_declared = row["declared_category"], row["p_value_declared"]
    flagged = bool(row["flagged"])
    return Record(
        sha256=str(row["sha256"]),
        source=str(row["path"]),
        day=str(row["day"]),
        reasons=("flagged", reason) if flagged else (reason,),
        declared=None if pd.isna(declared) else str(declared),
        predicted=str(row["predicted_category"]),
        score=float(row["score"]),
        p_value=float(row["p_value_predicted"] if pd.isna(p_declared) else p_declared),
        threshold=float(row["threshold"]),
        model_version=str(row["model_version"]),
    )


def _one_of(what: str, value: str | None, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise UsageError(f"--{what} is '{value}'; expected one of {', '.join(known)}")
