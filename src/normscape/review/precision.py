"""How often alerts are right, as far as people have said so, of the alerts and of their images."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from scipy import stats

from normscape.alerts import Alert, Kind
from normscape.scoring.record import Record

DAYS = 90
"""Alerts that were last seen longer ago say little of today's."""

_LEVEL = 0.95
_REASONS = {Kind.DRIFT: "drifted", Kind.DEFECTS: "flagged", Kind.UNKNOWN: "unknown"}


@dataclass(frozen=True)
class Share:
    """How many of those that people judged were real.

    Attributes:
        real: Of them.
        judged: All that were judged.
    """

    real: int
    judged: int

    @property
    def estimate(self) -> float | None:
        """The share; None where nothing was judged."""
        return self.real / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float]:
        """The Jeffreys interval of 95 %; it reaches 0 and 1 where none or all were real.

        Source:
            Brown, Cai and DasGupta, Interval estimation for a binomial proportion, Statistical
            Science 16 (2001), 101-133.
        """
        a, b = self.real + 0.5, self.judged - self.real + 0.5
        low, high = stats.beta.ppf([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], a, b)
        return (
            0.0 if self.real == 0 else float(low),
            1.0 if self.real == self.judged else float(high),
        )

    def __add__(self, other: Share) -> Share:
        """Both together."""
        return Share(self.real + other.real, self.judged + other.judged)


@dataclass(frozen=True)
class Precision:
    """What people have said of the alerts of one kind, or of one kind and subject.

    Attributes:
        alerts: Those that a person called real, of those that a person judged.
        images: Of the images behind them that a person judged, those that show what the alert says:
            defects behind more defects, another product behind an unknown one. Behind a drift those
            that show a good part: the look has changed, not the product.
    """

    alerts: Share
    images: Share


_SHOWN = {
    Kind.DRIFT: "a good part: the look has changed, not the product",
    Kind.DEFECTS: "a defect",
    Kind.UNKNOWN: "another product",
}

NOTHING = Precision(Share(0, 0), Share(0, 0))


def precision(
    alerts: Iterable[Alert], records: Iterable[Record], last_day: str
) -> dict[tuple[Kind, str | None], Precision]:
    """What people have said of the alerts of the last `DAYS` days.

    Args:
        alerts: All that are stored.
        records: Of the inbox.
        last_day: YYYY-MM-DD, the newest day that counts.

    Returns:
        By kind and subject, and by kind alone (subject None); only those that had an alert.
    """
    last = datetime.date.fromisoformat(last_day)
    first = (last - datetime.timedelta(days=DAYS)).isoformat()
    judged = [record for record in records if record.status != "waiting"]
    found: dict[tuple[Kind, str | None], Precision] = {}
    counted: dict[tuple[Kind, str | None], set[str]] = {}
    for alert in alerts:
        if not first < alert.last_day <= last_day:
            continue
        truth = Share(int(alert.truth == "real"), int(alert.truth is not None))
        for key in ((alert.kind, alert.subject), (alert.kind, None)):
            # an image that two alerts of a category share is one image
            fresh = [r for r in behind(alert, judged) if r.sha256 not in counted.get(key, ())]
            counted.setdefault(key, set()).update(record.sha256 for record in fresh)
            before = found.get(key, NOTHING)
            found[key] = Precision(before.alerts + truth, before.images + _images(alert, fresh))
    return found


def images_of(alert: Alert, records: Iterable[Record]) -> Share:
    """What people have said of the images behind one alert, see `Precision.images`."""
    judged = [record for record in records if record.status != "waiting"]
    return _images(alert, behind(alert, judged))


def say_images(kind: Kind, images: Share) -> str:
    """What people have said of images behind alerts of a kind, in words."""
    if not images.judged:
        return "none reviewed yet" if kind in _SHOWN else "none"
    low, high = images.interval
    return (
        f"{images.real} of {images.judged} reviewed show {_SHOWN[kind]} "
        f"({low:.0%} to {high:.0%} of all such images)"
    )


def behind(alert: Alert, records: Iterable[Record]) -> list[Record]:
    """The images of the inbox that an alert is about.

    Those of its category or name that came on one of its days and were kept for the reason that
    belongs to its kind; nothing stands behind missing traffic.
    """
    reason = _REASONS.get(alert.kind)
    examples = set(_texts(alert.figures, "examples"))
    return [
        record
        for record in records
        if record.sha256 in examples
        or (
            reason in record.reasons
            and record.day in alert.days
            and _is_about(alert.figures, alert.kind, record)
        )
    ]


def _is_about(figures: Mapping[str, object], kind: Kind, record: Record) -> bool:
    if kind is not Kind.UNKNOWN:
        return figures["category"] == (record.declared or record.predicted)
    if figures["source"] == "undeclared":
        return record.declared is None and record.predicted == figures["name"]
    return record.declared == figures["name"]


def _images(alert: Alert, judged: Collection[Record]) -> Share:
    return Share(sum(_shows(alert, record) for record in judged), len(judged))


def _shows(alert: Alert, record: Record) -> bool:
    normal = record.status in ("approved", "false_alarm")
    if alert.kind is Kind.DRIFT:
        return normal
    if alert.kind is Kind.DEFECTS:
        return not normal
    named: bool = alert.figures["source"] == "name"
    same: bool = record.category == alert.figures["name"]
    return named == same


def _texts(figures: Mapping[str, object], name: str) -> list[str]:
    value = figures.get(name)
    return [str(each) for each in value] if isinstance(value, list) else []
