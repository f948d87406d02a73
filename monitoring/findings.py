"""The alerts that go on, and how often alerts have been right, in plain sentences."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from monitoring.lights import Light
from normscape.alerts import Alert, Kind
from normscape.review.precision import DAYS, Precision, say_images

KINDS = {
    Kind.DRIFT: "drift",
    Kind.DEFECTS: "more defects",
    Kind.UNKNOWN: "unknown product",
    Kind.TRAFFIC: "stays away",
}

_LIGHTS = {
    Kind.DRIFT: Light.RED,
    Kind.DEFECTS: Light.ORANGE,
    Kind.UNKNOWN: Light.ORANGE,
    Kind.TRAFFIC: Light.ORANGE,
    Kind.RETRAIN: Light.GREY,
}

Judged = Mapping[tuple[Kind, str | None], Precision]


@dataclass(frozen=True)
class Finding:
    """An alert as a person reads it.

    Attributes:
        light: Its colour.
        severity: How urgent it is.
        sentence: What has happened.
        course: Since when.
        care: Who takes care of it, or who has silenced or settled it.
        evidence: What people have said of the images behind it; empty where there are none.
        id: First digits, for the command line.
    """

    light: Light
    severity: str
    sentence: str
    course: str
    care: str
    evidence: str
    id: str


def findings(
    alerts: tuple[Alert, ...], day: str, judged: Judged, quiet_windows: int, now: datetime.datetime
) -> list[Finding]:
    """Alerts as sentences, those seen on the day first, then by light and severity.

    Args:
        alerts: The open ones and those of the day.
        day: The last day of the window.
        judged: From `precision`.
        quiet_windows: After which an alert ends.
        now: UTC.
    """
    lights = list(Light)
    ordered = sorted(
        alerts,
        key=lambda each: (
            day not in each.days, lights.index(_light(each)), -each.severity.rank, each.subject
        ),
    )  # fmt: skip
    return [
        Finding(
            _light(alert),
            str(alert.severity),
            _sentence(alert),
            _course(alert, day, quiet_windows),
            _care(alert, now),
            _evidence(alert, judged),
            alert.id[:8],
        )
        for alert in ordered
    ]


def precision_rows(judged: Judged) -> list[dict[str, str]]:
    """One row for each kind with an alert in the last `DAYS` days."""
    rows = []
    for kind, words in KINDS.items():
        found = judged.get((kind, None))
        if found is None:
            continue
        alerts = f"none judged in the last {DAYS} days"
        if found.alerts.judged:
            low, high = found.alerts.interval
            alerts = (
                f"{found.alerts.real} of {found.alerts.judged} judged were real "
                f"({low:.0%} to {high:.0%} of all)"
            )
        rows.append({"kind": words, "alerts": alerts, "images": say_images(kind, found.images)})
    return rows


def _sentence(alert: Alert) -> str:
    if alert.kind is Kind.RETRAIN:
        names = [*alert.figures["drifted"], *alert.figures["unknown"]]
        return f"Retraining was requested because of {', '.join(names)}"
    return alert.sentence[:1].upper() + alert.sentence[1:]


def _light(alert: Alert) -> Light:
    if alert.figures.get("verdict") == "stale":
        return Light.YELLOW
    return _LIGHTS[alert.kind]


def _course(alert: Alert, day: str, quiet_windows: int) -> str:
    windows = f"{len(alert.days)} windows" if len(alert.days) > 1 else "one window"
    if alert.days == (day,):
        return "new in this window"
    if day in alert.days:
        return f"since {alert.days[0]}, seen in {windows}"
    if not alert.open:
        return f"{alert.days[0]} to {alert.last_day}, seen in {windows}"
    left = quiet_windows - len(alert.quiet)
    return (
        f"not in this window, last on {alert.last_day}, first on {alert.days[0]}; over after "
        f"{left} more without it"
    )


def _care(alert: Alert, now: datetime.datetime) -> str:
    if not alert.open:
        ends = [line for line in alert.history if line["event"] == "resolved"]
        last = ends[-1] if ends else {}
        by = f" by {last['by']}" if "by" in last else ""
        return f"settled{by}: {last.get('why', '')}"
    mark = alert.snoozed
    if mark is not None and mark.until is not None and alert.is_snoozed(now):
        return f"silenced by {mark.by} until {mark.until:%Y-%m-%d %H:%M} UTC: {mark.why}"
    mark = alert.acknowledged
    if mark is not None:
        return f"{mark.by} takes care of it since {mark.at:%Y-%m-%d}: {mark.why}"
    return "" if alert.kind is Kind.RETRAIN else "nobody has taken it on yet"


def _evidence(alert: Alert, judged: Judged) -> str:
    found = judged.get((alert.kind, alert.subject))
    if found is None or not found.images.judged:
        return ""
    return f"images behind such alerts of {alert.subject}: {say_images(alert.kind, found.images)}"
