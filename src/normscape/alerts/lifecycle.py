"""What one judged window does to the alerts: open, go on, worsen, end; and what is said of it.

Days come from the data and only order the evidence; the wall clock only measures cool-downs. A
clock that jumps can therefore move a reminder, but neither lose an alert nor raise one twice.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from normscape.alerts import retraining
from normscape.alerts.alert import EVENT, Alert
from normscape.alerts.finding import Finding, Kind, Observation, Severity
from normscape.alerts.payloads import Reason
from normscape.sections.production import AlertParams, MonitorParams


@dataclass(frozen=True)
class Outcome:
    """What a window has done.

    Attributes:
        changed: The alerts to store.
        current: Those of the window's findings, in the findings' order, ended ones included; a
            request for retraining that was made for this day is the last.
        held_back: Whether retraining was not requested because it was requested a while ago.
    """

    changed: tuple[Alert, ...]
    current: tuple[Alert, ...]
    held_back: bool


def observe(
    alerts: Iterable[Alert],
    seen: Observation,
    params: AlertParams,
    monitor: MonitorParams,
    now: datetime.datetime,
) -> Outcome:
    """Bring the alerts up to date with one judged window; nothing is stored or sent here.

    Run again for the same day, nothing changes. A day before the newest one of an open alert is
    added to its days and says nothing more. A finding of a day that an ended alert holds already
    stays ended: a person has dealt with it, or it is history.

    Args:
        alerts: All that are stored.
        seen: The window.
        params: Section `alerts`.
        monitor: Section `monitor`, for the cool-down of requests.
        now: UTC.
    """
    stored = {alert.id: alert for alert in alerts}
    known = {alert.id: rebase(alert, now) for alert in stored.values()}
    current = []
    for finding in seen.findings:
        alert = _found(list(known.values()), finding, seen, params, now)
        known[alert.id] = alert
        current.append(alert)
    request, causes, held_back = retraining.request(
        list(known.values()), current, seen, now,
        monitor=monitor, receivers=receivers(Severity.INFO, params),
    )  # fmt: skip
    known |= {alert.id: alert for alert in causes}
    current = [known[alert.id] for alert in current]
    if request is not None:
        known[request.id] = request
    found = {alert.key for alert in current} | ({request.key} if request else set())
    for alert in list(known.values()):
        if alert.open and alert.key not in found and _is_judged(alert, seen):
            known[alert.id] = _quiet(alert, seen.day, params, now)
    if request is not None and request.notices[-1].day == seen.day:
        current.append(request)
        held_back = False
    changed = [alert for alert in known.values() if alert != stored.get(alert.id)]
    return Outcome(tuple(changed), tuple(current), held_back)


def receivers(severity: Severity, params: AlertParams) -> tuple[str, ...]:
    """Who hears of an alert: events always, notification blocks from `min_severity` on."""
    loud = severity.rank >= Severity(params.min_severity).rank
    return (EVENT, *params.blocks) if loud else (EVENT,)


def rebase(alert: Alert, now: datetime.datetime) -> Alert:
    """The alert with no moment in the future: a clock that was set back must not silence it.

    Cool-downs start now at the latest, and a snooze lasts no longer than it was meant to.
    """
    snoozed = alert.snoozed
    if snoozed is not None and snoozed.until is not None and snoozed.at > now:
        snoozed = replace(snoozed, at=now, until=now + (snoozed.until - snoozed.at))
    return replace(
        alert,
        noticed_at=alert.noticed_at and min(alert.noticed_at, now),
        requested_at=alert.requested_at and min(alert.requested_at, now),
        snoozed=snoozed,
    )


def _found(
    known: Sequence[Alert],
    finding: Finding,
    seen: Observation,
    params: AlertParams,
    now: datetime.datetime,
) -> Alert:
    mine = [alert for alert in known if alert.key == (finding.kind, finding.subject)]
    settled = next((each for each in mine if not each.open and seen.day in each.days), None)
    if settled is not None:
        return settled
    alert = next((each for each in mine if each.open), None)
    if alert is None:
        alert = Alert.opened(finding, seen.day, seen.version, now)
    elif seen.day < alert.last_day and not _is_ahead(alert.last_day, now):
        return replace(alert, days=tuple(sorted({*alert.days, seen.day})))
    else:
        alert = alert.seen(finding, seen.day, seen.version)
    reason = _due(alert, finding, params, now)
    if reason is None:
        return alert
    return alert.noticed(reason, receivers(alert.severity, params), now, finding.magnitude)


def _due(
    alert: Alert, finding: Finding, params: AlertParams, now: datetime.datetime
) -> Reason | None:
    if alert.noticed_at is None:
        return "opened"
    if finding.severity.rank > alert.worst_severity.rank:
        return "severity"
    if alert.is_snoozed(now):
        return None
    if 0 < alert.worst_magnitude * params.worse_factor <= finding.magnitude:
        return "worse"
    if alert.acknowledged:
        return None
    cooldown = datetime.timedelta(hours=params.cooldown_hours)
    return "reminder" if now - alert.noticed_at >= cooldown else None


def _is_judged(alert: Alert, seen: Observation) -> bool:
    # A new kind of defect is no matter of a window: it stays until somebody has dealt with it.
    judged = alert.kind is not Kind.DEFECT_TYPE
    return judged and not seen.empty and alert.key not in seen.unjudged


def _quiet(alert: Alert, day: str, params: AlertParams, now: datetime.datetime) -> Alert:
    """The alert after a window without its finding; the last of enough of them ends it."""
    if day in alert.days or (day < alert.last_day and not _is_ahead(alert.last_day, now)):
        return alert
    alert = replace(alert, quiet=tuple(sorted({*alert.quiet, day})))
    if len(alert.quiet) < params.quiet_windows:
        return alert
    return end(alert.noted(now, "resolved", why=f"{len(alert.quiet)} quiet windows"), params, now)


def end(alert: Alert, params: AlertParams, now: datetime.datetime) -> Alert:
    """The alert as resolved, with a notice for those blocks that have had one of it."""
    ended = replace(alert, state="resolved", snoozed=None)
    told = {name for notice in alert.notices for name in notice.deliveries} & set(params.blocks)
    if not params.notify_resolved or not told or alert.kind is Kind.RETRAIN:
        return ended
    return ended.noticed("resolved", sorted(told), now)


def _is_ahead(day: str, now: datetime.datetime) -> bool:
    """Whether a day of the data lies in the future, which a wrong clock on the line makes."""
    return day > (now + datetime.timedelta(days=1)).date().isoformat()
