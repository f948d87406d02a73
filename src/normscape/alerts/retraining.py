"""When drift and unknown products ask for a training: once, and ever more rarely if they go on."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace

from normscape.alerts.alert import Alert
from normscape.alerts.finding import Finding, Kind, Observation, Severity
from normscape.sections.production import MonitorParams

SUBJECT = "production"
CAUSES = (Kind.DRIFT, Kind.UNKNOWN)
"""More defects and missing images are matters of the line; a training would not mend them."""

_DOUBLINGS = 10


def request(
    known: Sequence[Alert],
    current: Sequence[Alert],
    seen: Observation,
    now: datetime.datetime,
    *,
    monitor: MonitorParams,
    receivers: Sequence[str],
) -> tuple[Alert | None, list[Alert], bool]:
    """The alert that stands for the request, its causes, and whether the request was held back.

    A request is made when at least one finding of the window is due: it never led to one, or the
    last one was `cooldown_hours` ago, twice as long after the second, and so on. It names all
    findings of the window.

    Args:
        known: All alerts.
        current: Those of the window's findings.
        seen: The window.
        now: UTC.
        monitor: Section `monitor`.
        receivers: Who hears of a request.

    Returns:
        None where nothing was requested now or before, and the causes as they are now.
    """
    causes = [alert for alert in current if alert.open and _can_be_learned(alert)]
    standing = next((each for each in known if each.open and each.kind is Kind.RETRAIN), None)
    if not causes:
        return None, [], False
    finding = _finding(causes)
    if standing is not None:
        standing = standing.seen(finding, seen.day, seen.version)
    quiet = standing is not None and standing.is_snoozed(now)
    if quiet or not any(_is_due(alert, monitor.cooldown_hours, now) for alert in causes):
        return standing, causes, not quiet
    if standing is None:
        standing = Alert.opened(finding, seen.day, seen.version, now)
        ended = next((each for each in known if each.id == standing.id), None)
        if ended is not None:  # a person resolved it today, and there is another cause now
            standing = replace(ended, state="open").seen(finding, seen.day, seen.version)
            standing = standing.noted(now, "opened", day=seen.day)
    asked = [replace(each, requests=each.requests + 1, requested_at=now) for each in causes]
    return standing.noticed("requested", receivers, now), asked, False


def _can_be_learned(alert: Alert) -> bool:
    """A wrong declaration among known products is a matter of the line too."""
    return alert.kind in CAUSES and alert.figures.get("source") != "swapped"


def _is_due(alert: Alert, hours: float, now: datetime.datetime) -> bool:
    if alert.is_snoozed(now):
        return False
    if alert.requested_at is None:
        return True
    wait = hours * 2 ** min(alert.requests - 1, _DOUBLINGS)
    return now - alert.requested_at >= datetime.timedelta(hours=wait)


def _finding(causes: Sequence[Alert]) -> Finding:
    reason = "; ".join(alert.sentence for alert in causes)
    names = {
        kind: [str(alert.figures[name]) for alert in causes if alert.kind is kind]
        for kind, name in ((Kind.DRIFT, "category"), (Kind.UNKNOWN, "name"))
    }
    return Finding(
        Kind.RETRAIN, SUBJECT, Severity.INFO, f"retraining requested: {reason}",
        {"reason": reason, "drifted": names[Kind.DRIFT], "unknown": names[Kind.UNKNOWN]},
    )  # fmt: skip
