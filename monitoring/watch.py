"""One monitor run: the window of the production model, its verdicts, pages and alerts."""

from __future__ import annotations

import datetime
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from monitoring import drift_report, page, rules
from monitoring.findings import Judged
from monitoring.last_run import VERDICTS_FILE, monitor_folder, note_run
from monitoring.lights import by_light
from monitoring.monitor_run import MonitorRun
from normscape.alerts import Alert, AlertStore, Outcome, observe
from normscape.drift import (
    Reference,
    Window,
    assign,
    decide,
    select_window,
)
from normscape.drift.window import window_days
from normscape.errors import NormscapeError, UsageError
from normscape.files import atomic_folder, exclusive_lock, write_json
from normscape.novelty import find_unknown, strange_level
from normscape.params import Params
from normscape.registry.bundle import Bundle
from normscape.registry.contract import PRODUCTION
from normscape.registry.store import open_registry
from normscape.review.inbox import keep_drifted
from normscape.review.precision import precision
from normscape.scoring import log
from normscape.scoring.handover import require_window
from normscape.scoring.history import read_history
from normscape.scoring.inbox import Inbox
from normscape.scoring.paths import score_log

_LOCK_WAIT_SECONDS = 600.0


def watch(params: Params, day: str | None = None) -> MonitorRun:
    """Judge a day's scores of the model in production and store verdicts, pages and alerts.

    The alerts are stored before anything is sent (`normscape.alerts`), so none is lost when
    sending fails; a finding that goes on stays the alert it was.

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
    reference = Reference.of(bundle.reference)
    logged = log.days(score_log(params), model_version=version)
    first = window_days(days[-1], params.monitor.history_days)[0]
    past = [days[-1], *(day for day in logged if first <= day <= days[-1])]
    history = read_history(params, past, version, bundle, reference)
    drift = decide(reference, history, params.monitor)
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
    beside = log.versions(score_log(params), window.days) - {version}
    if beside and len(window.frame):
        notes.append(
            f"{' and '.join(sorted(beside))} scored in this window, too; only what {version} "
            "scored is judged, since each version has a reference of its own"
        )
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
    now = datetime.datetime.now(datetime.UTC)
    outcome, stored, damaged = _observe(params, run, now)
    notes = [*damaged, *_keep_for_review(params, run)]
    judged, unread = _judged_alerts(params, stored, run.day)
    notes += unread
    if outcome.held_back:
        notes.append(
            "no retraining requested: the same findings led to a request not long ago "
            f"(monitor.cooldown_hours: {params.monitor.cooldown_hours:g}, doubled with each)"
        )
    current = {alert.id for alert in outcome.current}
    run = replace(
        run,
        alerts=outcome.current,
        standing=tuple(alert for alert in stored if alert.open or alert.id in current),
        judged_alerts=judged,
        earlier=_earlier(params, run.day),
        notes=(*run.notes, *notes),
    )
    with atomic_folder(run.folder) as folder:
        write_json(folder / VERDICTS_FILE, _verdicts(run))
        evidently = drift_report.write_report(
            run.reference, run.judged, order=[each.category for each in by_light(run.drift)],
            page=folder / "evidently.html", workspace=monitor_folder(params) / "workspace",
            day=run.day, version=run.version,
            false_positive_rate=params.monitor.false_alarms_per_year / 365,
        )  # fmt: skip
        html = page.render(run, partial(_find_image, params), evidently=evidently)
        (folder / "report.html").write_text(html, encoding="utf-8")
    note_run(params, run, now)
    return run


def _observe(
    params: Params, run: MonitorRun, now: datetime.datetime
) -> tuple[Outcome, tuple[Alert, ...], tuple[str, ...]]:
    """Store what the window has done to the alerts; damaged ones are named and left alone.

    Returns:
        What it has done, all sound alerts afterwards, and a sentence about each damaged one.
    """
    seen = rules.derive(run.day, run.version, run.drift, run.unknown, params.alerts)
    store = AlertStore.of(params)
    with store.changing() as contents:
        outcome = observe(contents.alerts, seen, params.alerts, params.monitor, now)
        store.save(outcome.changed)
    stored = {alert.id: alert for alert in (*contents.alerts, *outcome.changed)}
    return outcome, tuple(stored.values()), contents.damaged


def _judged_alerts(
    params: Params, alerts: tuple[Alert, ...], day: str
) -> tuple[Judged, tuple[str, ...]]:
    """What people have said of alerts and their images; a damaged record costs only the latter."""
    try:
        return precision(alerts, Inbox.of(params).records(), day), ()
    except NormscapeError as error:
        return precision(alerts, (), day), (str(error),)


def _earlier(params: Params, day: str) -> tuple[str, ...]:
    pages = monitor_folder(params).glob("*-*-*/report.html")
    return tuple(sorted({page.parent.name for page in pages} - {day}, reverse=True))


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
    flagged = run.judged[run.judged["flagged"].astype(bool)]["category"].value_counts()
    return {
        "day": run.day,
        "days": list(run.days),
        "model_version": run.version,
        "runtime": run.runtime,
        "precision": run.precision,
        "images": run.images,
        "categories": [
            {**each.as_dict(), "flagged": int(flagged.get(each.category, 0))}
            for each in run.drift.categories
        ],
        "alerts": [_brief(alert) for alert in run.alerts],
        "products": [group.as_dict() for group in run.unknown.groups],
        "notes": list(run.notes),
    }


def _brief(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.id,
        "kind": str(alert.kind),
        "subject": alert.subject,
        "severity": str(alert.severity),
        "sentence": alert.sentence,
    }


def _find_image(params: Params, sha256: str, path: str) -> Path | None:
    kept = next((Inbox.of(params).root / sha256).glob("image.*"), None)
    original = params.root / path
    return kept or (original if original.is_file() else None)
