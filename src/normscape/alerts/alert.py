"""One alert: the finding over its days, what people said of it, and what was sent to whom."""

from __future__ import annotations

import datetime
import functools
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import AwareDatetime, ConfigDict, TypeAdapter

from normscape.alerts.finding import Finding, Kind, Severity
from normscape.alerts.payloads import EVENTS, Reason, event_resource, make_payload

EVENT = "event"
"""The receiver of events, Prefect's server; all other receivers are notification blocks."""

_NAMESPACE = uuid.UUID("4bd16a0e-6f3c-5c0e-9a59-3c1f5b8e7a10")
_CONFIG = ConfigDict(extra="forbid")

Truth = Literal["real", "false_alarm"]
"""What a person says of an alert afterwards."""


@dataclass(frozen=True)
class Delivery:
    """What became of a notice at one receiver.

    Attributes:
        attempts: Tries so far.
        tried_at: The last one.
        next_at: Not before this time again; None before the first try.
        done_at: When it was taken.
        error: Why the last try failed, without addresses.
    """

    __pydantic_config__ = _CONFIG

    attempts: int = 0
    tried_at: AwareDatetime | None = None
    next_at: AwareDatetime | None = None
    done_at: AwareDatetime | None = None
    error: str | None = None


@dataclass(frozen=True)
class Event:
    """A Prefect event.

    Attributes:
        name: One of `payloads.EVENTS`.
        resource: Prefect's description of what it is about.
        payload: Valid for the name.
    """

    __pydantic_config__ = _CONFIG

    name: str
    resource: dict[str, str]
    payload: dict[str, Any]


@dataclass(frozen=True)
class Notice:
    """Something to be sent about an alert, stored before it is sent.

    Attributes:
        id: Never changes: receivers know by it what they have had.
        reason: Why it is sent.
        made_at: When it was stored.
        day: The window's last day.
        severity: At that time.
        sentence: What a person reads.
        deliveries: By receiver.
        event: For Prefect; None where there is no event of it.
    """

    __pydantic_config__ = _CONFIG

    id: str
    reason: Reason
    made_at: AwareDatetime
    day: str
    severity: Severity
    sentence: str
    deliveries: dict[str, Delivery]
    event: Event | None = None


@dataclass(frozen=True)
class Mark:
    """What a person said of an alert.

    Attributes:
        by: Who.
        why: The reason.
        at: When.
        until: The end of a snooze; None for an acknowledgement.
    """

    __pydantic_config__ = _CONFIG

    by: str
    why: str
    at: AwareDatetime
    until: AwareDatetime | None = None


@dataclass(frozen=True)
class Alert:
    """A finding from its first to its last day.

    Attributes:
        id: Made of the kind, the subject and the day on which it was opened.
        kind: What has happened.
        subject: To which category or group.
        opened_at: When it was first stored.
        severity: Of the newest window with it.
        sentence: Of the newest window with it.
        figures: Of the newest window with it.
        version: The model version of that window.
        days: Last days of the windows with it, in order.
        quiet: Last days of the windows without it since.
        state: `open` or `resolved`.
        worst_severity: Of all notices.
        worst_magnitude: Of all notices, see `Finding.magnitude`.
        noticed_at: When the last notice was made.
        requests: How often retraining was requested because of it.
        requested_at: When last.
        acknowledged: Someone takes care of it.
        snoozed: Nobody wants to hear of it until then.
        truth: What a person said of it; None where nobody has.
        notices: All of them, in order.
        history: What happened to it, in order: `at`, `event`, and `by` and `why` of people.
    """

    __pydantic_config__ = _CONFIG

    id: str
    kind: Kind
    subject: str
    opened_at: AwareDatetime
    severity: Severity
    sentence: str
    figures: dict[str, Any]
    version: str
    days: tuple[str, ...]
    quiet: tuple[str, ...] = ()
    state: Literal["open", "resolved"] = "open"
    worst_severity: Severity = Severity.INFO
    worst_magnitude: float = 0.0
    noticed_at: AwareDatetime | None = None
    requests: int = 0
    requested_at: AwareDatetime | None = None
    acknowledged: Mark | None = None
    snoozed: Mark | None = None
    truth: Truth | None = None
    notices: tuple[Notice, ...] = ()
    history: tuple[dict[str, Any], ...] = field(default=())
    format: Literal[1] = 1

    @classmethod
    def opened(cls, finding: Finding, day: str, version: str, now: datetime.datetime) -> Alert:
        """The alert of a finding that has none yet."""
        name = str(uuid.uuid5(_NAMESPACE, "\x00".join((finding.kind, finding.subject, day))))
        alert = cls(
            name, finding.kind, finding.subject, now, finding.severity, finding.sentence,
            finding.figures, version, (day,),
        )  # fmt: skip
        return alert.noted(now, "opened", day=day)

    @property
    def key(self) -> tuple[Kind, str]:
        """What tells findings apart."""
        return self.kind, self.subject

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.state == "open"

    @property
    def last_day(self) -> str:
        """The newest day with the finding."""
        return self.days[-1]

    def status(self, now: datetime.datetime) -> str:
        """`open`, `acknowledged`, `snoozed` or `resolved`."""
        if not self.open:
            return self.state
        if self.is_snoozed(now):
            return "snoozed"
        return "acknowledged" if self.acknowledged else "open"

    def is_snoozed(self, now: datetime.datetime) -> bool:
        """Whether a person has asked for silence at this time."""
        mark = self.snoozed
        return mark is not None and mark.until is not None and now < mark.until

    def waiting(self, receivers: Collection[str]) -> list[tuple[Notice, str]]:
        """Notices that one of the receivers has not taken yet, oldest first."""
        return [
            (notice, receiver)
            for notice in self.notices
            for receiver, delivery in notice.deliveries.items()
            if receiver in receivers and delivery.done_at is None
        ]

    def seen(self, finding: Finding, day: str, version: str) -> Alert:
        """This alert after its finding was found on another or the same day."""
        days = tuple(sorted({*self.days, day}))
        return replace(
            self, days=days, quiet=tuple(each for each in self.quiet if each > day),
            severity=finding.severity, sentence=finding.sentence, figures=finding.figures,
            version=version,
        )  # fmt: skip

    def noted(self, now: datetime.datetime, event: str, **details: Any) -> Alert:
        """This alert with one more line of history."""
        line = {"at": now.isoformat(timespec="seconds"), "event": event, **details}
        return replace(self, history=(*self.history, line))

    def noticed(
        self, reason: Reason, receivers: Collection[str], now: datetime.datetime,
        magnitude: float = 0.0,
    ) -> Alert:  # fmt: skip
        """This alert with a notice for the receivers; the cool-down starts."""
        number = len(self.notices) + 1
        notice = Notice(
            id=str(uuid.uuid5(_NAMESPACE, f"{self.id}\x00{number}")),
            reason=reason,
            made_at=now,
            day=self.last_day,
            severity=self.severity,
            sentence=self.sentence,
            deliveries=dict.fromkeys(receivers, Delivery()),
            event=self._event(reason) if EVENT in receivers else None,
        )
        worst = max(self.worst_severity, self.severity, key=lambda each: each.rank)
        return replace(
            self, notices=(*self.notices, notice), noticed_at=now, worst_severity=worst,
            worst_magnitude=max(self.worst_magnitude, magnitude),
        ).noted(now, "notice", reason=reason, id=notice.id)  # fmt: skip

    def _event(self, reason: Reason) -> Event:
        common = {
            "alert": self.id,
            "notice": reason,
            "severity": self.severity,
            "day": self.last_day,
            "first_day": self.days[0],
            "days_seen": len(self.days),
            "model_version": self.version,
            "sentence": self.sentence,
        }
        return Event(
            EVENTS[self.kind][0],
            event_resource(self.kind, self.figures, self.version),
            make_payload(self.kind, common | self.figures),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        content: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return content

    @classmethod
    def parse(cls, content: Any) -> Alert:
        """An alert from `as_dict`.

        Raises:
            pydantic.ValidationError: It is not one.
        """
        return _adapter().validate_python(content)


@functools.cache
def _adapter() -> TypeAdapter[Alert]:
    return TypeAdapter(Alert)
