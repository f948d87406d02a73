"""What one run of the monitor found, for its pages and for those who send alerts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from monitoring.findings import Judged
from monitoring.last_run import monitor_folder
from normscape.alerts import Alert
from normscape.drift import DriftVerdicts
from normscape.novelty import UnknownVerdict
from normscape.params import Params


@dataclass(frozen=True)
class MonitorRun:
    """What one run of the monitor found.

    Attributes:
        day: The last day of the window.
        days: All its days.
        version: The model version in production.
        runtime: Of the scores and the reference.
        precision: Of the scores and the reference.
        params: The project.
        window: The rows of the score log that were judged.
        judged: The rows that belong to a known category; column `category` says to which.
        reference: The model's reference.
        thresholds: Of the decision, per category.
        drift: The verdicts per category.
        unknown: The verdicts on unknown products.
        alerts: Those of its findings; last a request for retraining that was made for this day.
        standing: Those, and all others that are open.
        judged_alerts: What people have said of alerts, see `precision`.
        earlier: Other days with a report, the newest first.
        notes: What a person should know beside the verdicts.
    """

    day: str
    days: tuple[str, ...]
    version: str
    runtime: str
    precision: str
    params: Params
    window: pd.DataFrame
    judged: pd.DataFrame
    reference: pd.DataFrame
    thresholds: dict[str, float]
    drift: DriftVerdicts
    unknown: UnknownVerdict
    alerts: tuple[Alert, ...]
    notes: tuple[str, ...]
    standing: tuple[Alert, ...] = ()
    judged_alerts: Judged = field(default_factory=dict)
    earlier: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where verdicts.json, report.html and evidently.html lie."""
        return monitor_folder(self.params) / self.day

    @property
    def images(self) -> int:
        """Judged images, unknown products included."""
        return len(self.window)

    @property
    def reference_images(self) -> int:
        """Images of the reference."""
        return len(self.reference)
