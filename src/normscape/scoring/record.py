"""The record of one image of the inbox: why it was kept, and what people said of it."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Reason = Literal["flagged", "unknown", "drifted", "reported", "random"]
Status = Literal["waiting", "approved", "rejected", "false_alarm", "missed_defect"]
REASONS: tuple[Reason, ...] = get_args(Reason)
STATUSES: tuple[Status, ...] = get_args(Status)
RECORD_VERSION = 1


@dataclass(frozen=True)
class Record:
    """What is known of one image of the inbox.

    Attributes:
        sha256: Of the image file's bytes; names the record.
        source: Where the image came from: POSIX path relative to the folder of `params.yaml`, or
            absolute.
        day: The day it was first scored for.
        reasons: Why it was kept: flagged, unknown, drifted, reported or random.
        declared: The category the line gave, or None.
        predicted: The known category that looks most alike, or None.
        score: Raw image score.
        p_value: Conformal p-value of the score under the category whose threshold was used.
        threshold: The raw score from which the image is flagged.
        model_version: The version that scored it last.
        status: waiting, or the verdict.
        category: The category of the verdict, or None.
        defect_type: The kind of defect of the verdict, or None.
        file: Where the verdict put the image: POSIX path relative to the data folder, or None.
        history: What happened to it, oldest first; each with `at` (UTC) and `event`.
        peak: Column and row of the pixel of a large image where its map is highest, else None.
    """

    sha256: str
    source: str
    day: str
    reasons: tuple[str, ...]
    declared: str | None
    predicted: str | None
    score: float
    p_value: float
    threshold: float
    model_version: str
    status: str = "waiting"
    category: str | None = None
    defect_type: str | None = None
    file: str | None = None
    history: tuple[dict[str, Any], ...] = field(default=())
    peak: tuple[int, int] | None = None

    @property
    def product(self) -> str | None:
        """The category of the verdict, else the declared, else the predicted one."""
        return self.category or self.declared or self.predicted

    def as_dict(self) -> dict[str, Any]:
        """Its content for `record.json`."""
        return {"version": RECORD_VERSION, **dataclasses.asdict(self)}

    def event(self, event: str, **details: Any) -> Record:
        """This record with one more line of history."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return dataclasses.replace(
            self, history=(*self.history, {"at": now, "event": event, **details})
        )

    def seen_again(self, fresh: Record) -> Record:
        """This record after the image was scored again.

        A waiting record takes the scores of the newer model and gains its reasons; a reviewed one
        stays as it is.
        """
        if self.status != "waiting":
            return self
        added = [reason for reason in fresh.reasons if reason not in self.reasons]
        remarkable = tuple(r for r in REASONS if r in (*self.reasons, *added) and r != "random")
        merged = dataclasses.replace(
            self,
            reasons=remarkable or ("random",),
            declared=fresh.declared or self.declared,
            predicted=fresh.predicted,
            score=fresh.score,
            p_value=fresh.p_value,
            threshold=fresh.threshold,
            model_version=fresh.model_version,
            peak=fresh.peak,
        )
        if not added and merged.model_version == self.model_version:
            return merged
        return merged.event("seen again", model_version=fresh.model_version, reasons=added)
