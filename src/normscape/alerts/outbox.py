"""What is still to be sent, when to try again, and what became of a try."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from dataclasses import dataclass, replace

from normscape.alerts.alert import Alert, Delivery, Notice
from normscape.alerts.store import AlertStore
from normscape.sections.production import AlertParams

_DOUBLINGS = 16


@dataclass(frozen=True)
class Letter:
    """One notice for one receiver."""

    alert: Alert
    notice: Notice
    receiver: str

    @property
    def delivery(self) -> Delivery:
        """What has become of it so far."""
        return self.notice.deliveries[self.receiver]


def waiting(alerts: Collection[Alert], receivers: Collection[str]) -> list[Letter]:
    """Everything that the receivers have not taken yet, by alert and in the order of notices."""
    return [
        Letter(alert, notice, receiver)
        for alert in alerts
        for notice, receiver in alert.waiting(receivers)
    ]


def is_due(delivery: Delivery, now: datetime.datetime) -> bool:
    """Whether it is time to try; a try that lies in the future was noted by a wrong clock."""
    if delivery.next_at is None or delivery.tried_at is None:
        return True
    return now >= delivery.next_at or now < delivery.tried_at


def note_try(
    store: AlertStore,
    letter: Letter,
    error: str | None,
    params: AlertParams,
    now: datetime.datetime,
) -> None:
    """Store what became of a try; with an error, when to try again.

    The alert is read anew: a person or another monitor may have changed it while it was sent.

    Raises:
        NormscapeError: The store cannot be written; the notice is sent again then.
    """
    with store.locked():
        alert = store.get(letter.alert.id)
        if alert is not None:
            store.save([_with_try(alert, letter, error, params, now)])


def _with_try(
    alert: Alert, letter: Letter, error: str | None, params: AlertParams, now: datetime.datetime
) -> Alert:
    def tried(notice: Notice) -> Notice:
        if notice.id != letter.notice.id:
            return notice
        attempts = notice.deliveries[letter.receiver].attempts + 1
        delivery = Delivery(attempts, now, None, now, None)
        if error is not None:
            delivery = Delivery(attempts, now, now + wait(attempts, params), None, error)
        return replace(notice, deliveries={**notice.deliveries, letter.receiver: delivery})

    return replace(alert, notices=tuple(tried(notice) for notice in alert.notices))


def wait(attempts: int, params: AlertParams) -> datetime.timedelta:
    """How long to wait after so many failed tries."""
    minutes = params.retry_minutes * 2 ** min(attempts - 1, _DOUBLINGS)
    return datetime.timedelta(minutes=min(minutes, 60 * params.retry_max_hours))
