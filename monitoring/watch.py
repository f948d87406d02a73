"""One monitor run: the window of the production model, its verdicts, pages and alerts."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from monitoring import drift_report, page, rules
from normscape.drift import DriftVerdicts, Window, assign, decide, select_window
from normscape.drift.window import window_days
from normscape.errors import UsageError
from normscape.files import atomic_folder, exclusive_lock, write_json
from normscape.novelty import UnknownVerdict, find_unknown, strange_level
from normscape.params import Params
from normscape.registry.bundle import Bundle
from normscape.registry.contract import PRODUCTION
from normscape.registry.store import open_registry
from normscape.review.inbox import keep_drifted
from normscape.scoring import log
from normscape.scoring.handover import require_window
from normscape.scoring.inbox import Inbox
from normscape.scoring.paths import score_log

_LOCK_WAIT_SECONDS = 600.0


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
        alerts: Those of this day, sent ones included.
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
    alerts: tuple[rules.Alert, ...]
    notes: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where verdicts.json, alerts.json, report.html and evidently.html lie."""
        return monitor_folder(self.params) / self.day

    @property
    def images(self) -> int:
        """Judged images, unknown products included."""
        return len(self.window)

    @property
    def reference_images(self) -> int:
        """Images of the reference."""
        return len(self.reference)


def monitor_folder(params: Params) -> Path:
    """Where the monitor keeps its results, one folder a day."""
    return params.state / "monitor"


def watch(params: Params, day: str | None = None) -> MonitorRun:
    """Judge a day's scores of the model in production and store verdicts, pages and alerts.

    The alerts are stored unsent (`rules.unsent`), so none is lost when sending fails; a finding
    that was sent before, for the same day and version, stays marked as sent.

    Args:
        params: The project.
        day: YYYY-MM-DD, the last of `monitor.window_days` days; the newest scored one when None.

    Returns:
        The run; its folder is complete.

    Raises:
        UsageError: There is no model in production, the day is not one, or nothing was scored yet.
        NormscapeError: A damaged bundle, score log or state, or an unwritable folder; or the
            version has just come into production and scores the window of the one before it.
    """
    registry = open_registry(params)
    version = registry.resolve(PRODUCTION)
    require_window(params, version)
    bundle = Bundle.load(registry.get(version))
    wanted = day or _newest_day(params, version)
    with exclusive_lock(params.state / "locks" / "monitor.lock", "the monitor", _LOCK_WAIT_SECONDS):
        run = _judge(params, version, bundle, window_days(wanted, params.monitor.window_days))
        return _store(params, run)


def _newest_day(params: Params, version: str) -> str:
    scores = score_log(params)
    days = log.days(scores, model_version=version)
    if not days:
        raise UsageError(
            f"{version}, the model in production, has scored nothing yet ({scores}); score a day "
            "first, or name an earlier --day"
        )
    return days[-1]


def _judge(params: Params, version: str, bundle: Bundle, days: tuple[str, ...]) -> MonitorRun:
    calibration = bundle.calibration
    rows = log.read(score_log(params), days=days, model_version=version)
    window = select_window(rows, days, runtime=calibration.runtime, precision=calibration.precision)
    known, alpha = bundle.categories, params.score.category_alpha
    frame = window.frame
    level, _ = strange_level(alpha, len(calibration.distances))
    judged = frame.assign(category=assign(frame, known, level)).dropna(subset=["category"])
    drift = decide(bundle.reference, judged, params.monitor)
    unknown = find_unknown(
        frame, known, params.monitor,
        reference_images=len(calibration.distances), alpha=alpha,
        drifted=[each.category for each in drift.drifted], reference=bundle.reference,
    )  # fmt: skip
    return MonitorRun(
        day=days[-1],
        days=days,
        version=version,
        runtime=calibration.runtime,
        precision=calibration.precision,
        params=params,
        window=frame,
        judged=judged,
        reference=bundle.reference,
        thresholds={name: item.threshold for name, item in calibration.categories.items()},
        drift=drift,
        unknown=unknown,
        alerts=(),
        notes=tuple(_notes(params, window, version)),
    )


def _notes(params: Params, window: Window, version: str) -> list[str]:
    notes = []
    if not len(window.frame):
        others = log.days(score_log(params))
        scored = f"; other versions scored until {others[-1]}" if others else ""
        notes.append(f"{version} scored no images in this window{scored}")
    if window.unreadable:
        notes.append(f"{window.unreadable} images could not be read and were not judged")
    if window.other_runtime:
        notes.append(
            f"{window.other_runtime} images were scored on another runtime than the reference and "
            "left out; recalibrate for the runtime in use"
        )
    return notes


def _store(params: Params, run: MonitorRun) -> MonitorRun:
    root, now = monitor_folder(params), datetime.datetime.now(datetime.UTC)
    earlier = {each.id: each for each in rules.load_alerts(run.folder / rules.ALERTS_FILE)}
    alerts, requested, notes = _due_alerts(params, run, earlier, now)
    notes += _keep_for_review(params, run)
    run = replace(run, alerts=tuple(alerts), notes=(*run.notes, *notes))
    with atomic_folder(run.folder) as folder:
        write_json(folder / "verdicts.json", _verdicts(run))
        rules.save_alerts(folder / rules.ALERTS_FILE, alerts)
        evidently = drift_report.write_report(
            run.reference, run.judged,
            page=folder / "evidently.html", workspace=root / "workspace",
            day=run.day, version=run.version,
            false_positive_rate=params.monitor.false_discovery_rate,
        )  # fmt: skip
        html = page.render(run, partial(_find_image, params), evidently=evidently)
        (folder / "report.html").write_text(html, encoding="utf-8")
    if requested is not None:
        rules.note_request(root, requested, now)
    return run


def _due_alerts(
    params: Params, run: MonitorRun, earlier: dict[str, rules.Alert], now: datetime.datetime
) -> tuple[list[rules.Alert], rules.Alert | None, list[str]]:
    """The alerts to store, the new request for retraining among them, and what to say of it."""
    alerts: list[rules.Alert] = []
    requested, notes = None, []
    for alert in rules.derive(run.day, run.version, run.drift, run.unknown):
        if alert.id in earlier:
            alerts.append(earlier[alert.id])
        elif alert.name != rules.RETRAIN_REQUESTED:
            alerts.append(alert)
        elif rules.may_request(monitor_folder(params), alert, params.monitor.cooldown_hours, now):
            requested = alert
            alerts.append(alert)
        else:
            notes.append(
                "no retraining requested: the same findings led to a request less than "
                f"{params.monitor.cooldown_hours:g} hours ago (monitor.cooldown_hours)"
            )
    return alerts, requested, notes


def _keep_for_review(params: Params, run: MonitorRun) -> list[str]:
    """Copy drifted windows into the inbox before the line removes them; what a person must know."""
    notes = []
    for found in run.drift.drifted:
        for day in run.days:
            kept = keep_drifted(params, day, found.category, model_version=run.version)
            if kept.lost:
                notes.append(f"{len(kept.lost)} drifted images are gone, the first: {kept.lost[0]}")
            full = kept.pruned.warning(params.review.max_images)
            notes += [full] if full else []
    return notes


def _verdicts(run: MonitorRun) -> dict[str, Any]:
    return {
        "day": run.day,
        "days": list(run.days),
        "model_version": run.version,
        "runtime": run.runtime,
        "precision": run.precision,
        "images": run.images,
        "categories": [each.as_dict() for each in run.drift.categories],
        "products": [group.as_dict() for group in run.unknown.groups],
        "notes": list(run.notes),
    }


def _find_image(params: Params, sha256: str, path: str) -> Path | None:
    kept = next((Inbox.of(params).root / sha256).glob("image.*"), None)
    original = params.root / path
    return kept or (original if original.is_file() else None)
