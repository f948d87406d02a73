"""What people do with an alert: take care of it, want silence for a while, end it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import replace

from normscape.alerts.alert import Alert, Mark, Truth
from normscape.alerts.lifecycle import end
from normscape.alerts.store import AlertStore, find
from normscape.errors import UsageError
from normscape.params import Params

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def acknowledge(params: Params, prefix: str, by: str, why: str, now: datetime.datetime) -> Alert:
    """Someone takes care of it: no reminders, but still a notice when it gets worse.

    Raises:
        UsageError: There is no such alert, or it is over.
    """
    return _change(
        params, prefix,
        lambda alert: replace(alert, acknowledged=Mark(by, why, now)).noted(
            now, "acknowledged", by=by, why=why
        ),
    )  # fmt: skip


def snooze(
    params: Params,
    prefix: str,
    by: str,
    why: str,
    *,
    until: datetime.datetime,
    now: datetime.datetime,
) -> Alert:
    """Silence until then: no notice and no request, unless it becomes more severe.

    Raises:
        UsageError: There is no such alert, it is over, or the moment has passed.
    """
    if until <= now:
        raise UsageError(
            f"{until.isoformat(timespec='minutes')} has passed; expected a moment after "
            f"{now.isoformat(timespec='minutes')} (--until), or a span such as 8h or 3d (--for)"
        )
    return _change(
        params, prefix,
        lambda alert: replace(alert, snoozed=Mark(by, why, now, until)).noted(
            now, "snoozed", by=by, why=why, until=until.isoformat(timespec="seconds")
        ),
    )  # fmt: skip


def resolve(
    params: Params,
    prefix: str,
    by: str,
    why: str,
    now: datetime.datetime,
    *,
    truth: Truth | None = None,
) -> Alert:
    """It is over: the days seen so far are settled, the finding on a later day is a new alert.

    Args:
        params: The project.
        prefix: First digits of the alert's id.
        by: Who.
        why: The reason.
        now: UTC.
        truth: Whether there was something; the precision of alerts is estimated from it. An alert
            that is over already can still be judged.

    Raises:
        UsageError: There is no such alert, or it is over and `truth` is not given.
    """
    said = {} if truth is None else {"truth": truth}

    def judge(alert: Alert) -> Alert:
        event = "resolved" if alert.open else "judged"
        judged = replace(alert, truth=truth or alert.truth).noted(
            now, event, by=by, why=why, **said
        )
        return end(judged, params.alerts, now) if alert.open else judged

    return _change(params, prefix, judge, ended=truth is not None)


def parse_span(text: str) -> datetime.timedelta:
    """A span such as 30m, 8h or 3d.

    Raises:
        UsageError: It is not one.
    """
    match = re.fullmatch(r"(\d{1,4})([mhd])", text)
    if match is None:
        raise UsageError(f"'{text}' is not a span of time; expected one such as 30m, 8h or 3d")
    return datetime.timedelta(**{_UNITS[match[2]]: int(match[1])})


def parse_moment(text: str) -> datetime.datetime:
    """A moment such as 2026-03-14T08:00, in UTC where it names no zone.

    Raises:
        UsageError: It is not one.
    """
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"'{text}' is not a moment; expected one such as 2026-03-14T08:00+01:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _change(
    params: Params, prefix: str, change: Callable[[Alert], Alert], *, ended: bool = False
) -> Alert:
    store = AlertStore.of(params)
    with store.changing() as contents:
        alert = find(contents, prefix)
        if not (alert.open or ended):
            raise UsageError(
                f"alert {alert.id[:8]} is over; 'normscape alerts list' shows others, and "
                "'normscape alerts resolve --as' says whether it was real"
            )
        changed = change(alert)
        store.save([changed])
    return changed
