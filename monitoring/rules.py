"""From verdicts to alerts: which events a monitor run sends, and what they carry."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from normscape.drift import CategoryDrift, DriftVerdicts
from normscape.errors import NormscapeError, UsageError
from normscape.files import read_json, write_json
from normscape.novelty import Source, UnknownGroup, UnknownVerdict

DRIFT_DETECTED = "normscape.drift.detected"
CATEGORY_UNKNOWN = "normscape.category.unknown"
RETRAIN_REQUESTED = "normscape.retrain.requested"

ALERTS_FILE = "alerts.json"
LAST_REQUEST_FILE = "last_request.json"

_NAMESPACE = uuid.UUID("4bd16a0e-6f3c-5c0e-9a59-3c1f5b8e7a10")
_EXAMPLES = 20


@dataclass(frozen=True)
class Alert:
    """An event, stored before it is sent.

    Attributes:
        id: The same for the same finding, so that a repeated monitor run sends nothing twice.
        name: One of the three names above.
        resource: Prefect's description of what it is about.
        payload: See `docs/monitoring.md`.
        sentence: What a person reads.
        sent_at: UTC time, ISO 8601; None until it has been sent.
    """

    id: str
    name: str
    resource: dict[str, str]
    payload: dict[str, Any]
    sentence: str
    sent_at: str | None = None


def derive(day: str, version: str, drift: DriftVerdicts, unknown: UnknownVerdict) -> list[Alert]:
    """The alerts of one monitor run: one a drifted category, one an unknown group, one request.

    Args:
        day: The last day of the window.
        version: The model version.
        drift: The drift verdicts.
        unknown: The verdicts on unknown products.

    Returns:
        The alerts, the request for retraining last; none on a quiet day.
    """
    alerts = [_drift_alert(day, version, found) for found in drift.drifted]
    alerts += [_unknown_alert(day, version, group) for group in unknown.unknown]
    learnable = [group for group in unknown.unknown if group.source is not Source.SWAPPED]
    if not drift.drifted and not learnable:
        return alerts
    reason = "; ".join(alert.sentence for alert in alerts)
    payload = {
        "day": day,
        "model_version": version,
        "reason": reason,
        "drifted": [found.category for found in drift.drifted],
        "unknown": [group.name for group in learnable],
    }
    resource = {"prefect.resource.id": "normscape.model.production", "normscape.version": version}
    request = Alert(
        _identify(RETRAIN_REQUESTED, day, version), RETRAIN_REQUESTED, resource, payload,
        f"retraining requested: {reason}",
    )  # fmt: skip
    return [*alerts, request]


def describe_drift(found: CategoryDrift) -> str:
    """One sentence about a drifted category."""
    direction = "up" if (found.effect or 0) > 0 else "down"
    size = f"{min(abs(found.effect or 0), 99):.1f}"
    looks = f", images {' and '.join(found.explanation)}" if found.explanation else ""
    return f"scores of {found.category} moved {direction} by {size} standard deviations{looks}"


def describe_unknown(group: UnknownGroup) -> str:
    """One sentence about an unknown group."""
    if group.source is Source.NAME:
        return f"{group.images} images declare the unknown category {group.name}"
    if group.source is Source.UNDECLARED:
        return (
            f"{group.strange} of {group.images} undeclared images nearest to {group.name} look "
            "like no known category"
        )
    if group.source is Source.SWAPPED:
        other = group.nearest[0][0]
        return f"{group.strange} of {group.images} images declared {group.name} look like {other}"
    return f"{group.strange} of {group.images} images declared {group.name} do not look like it"


def may_request(
    folder: Path, request: Alert, cooldown_hours: float, now: datetime.datetime
) -> bool:
    """Whether a request names a finding that no request of the last hours has named.

    Args:
        folder: The state of the monitor.
        request: The request for retraining.
        cooldown_hours: Section `monitor`.
        now: UTC.

    Raises:
        NormscapeError: The state is damaged.
    """
    last, cooldown = _requested(folder), datetime.timedelta(hours=cooldown_hours)
    return any(
        finding not in last or now - last[finding] >= cooldown for finding in _findings(request)
    )


def note_request(folder: Path, request: Alert, now: datetime.datetime) -> None:
    """Start the cool-down of the findings that a request names."""
    last = _requested(folder) | dict.fromkeys(_findings(request), now)
    write_json(
        folder / LAST_REQUEST_FILE,
        {finding: moment.isoformat(timespec="seconds") for finding, moment in last.items()},
    )


def _findings(request: Alert) -> list[str]:
    kinds = ("drifted", "unknown")
    return [f"{kind} {name}" for kind in kinds for name in request.payload[kind]]


def _requested(folder: Path) -> dict[str, datetime.datetime]:
    path = folder / LAST_REQUEST_FILE
    if not path.exists():
        return {}
    try:
        return {
            finding: datetime.datetime.fromisoformat(moment)
            for finding, moment in read_json(path).items()
        }
    except (UsageError, AttributeError, TypeError, ValueError) as error:
        raise NormscapeError(
            f"{path} does not say when retraining was last requested ({error}); remove it to allow "
            "a request at once"
        ) from None


def save_alerts(path: Path, alerts: Sequence[Alert]) -> None:
    """Write the alerts of a monitor run."""
    write_json(path, [asdict(alert) for alert in alerts])


def load_alerts(path: Path) -> list[Alert]:
    """The alerts of a monitor run; none where there was no run.

    Raises:
        NormscapeError: The file is damaged.
    """
    if not path.exists():
        return []
    try:
        return [Alert(**content) for content in read_json(path)]
    except (UsageError, TypeError) as error:
        raise NormscapeError(
            f"{path} does not hold alerts ({error}); remove it, then monitor that day again"
        ) from None


def unsent(folder: Path) -> list[tuple[Path, Alert]]:
    """All stored alerts that have not been sent, oldest day first, with the file of each."""
    found = []
    for path in sorted(folder.glob(f"*/{ALERTS_FILE}")):
        found += [(path, alert) for alert in load_alerts(path) if alert.sent_at is None]
    return found


def mark_sent(path: Path, alert: Alert, now: datetime.datetime) -> None:
    """Note in the file that an alert has been sent."""
    sent = replace(alert, sent_at=now.isoformat(timespec="seconds"))
    save_alerts(path, [sent if each.id == alert.id else each for each in load_alerts(path)])


def _drift_alert(day: str, version: str, found: CategoryDrift) -> Alert:
    verdict = found.as_dict()
    keys = ("category", "images", "effect", "adjusted", "explanation")
    payload = {"day": day, "model_version": version, **{key: verdict[key] for key in keys}}
    return Alert(
        _identify(DRIFT_DETECTED, day, version, found.category), DRIFT_DETECTED,
        _category(found.category), payload, describe_drift(found),
    )  # fmt: skip


def _unknown_alert(day: str, version: str, group: UnknownGroup) -> Alert:
    payload = {
        "day": day,
        "model_version": version,
        "name": group.name,
        "source": str(group.source),
        "images": group.images,
        "strange": group.strange,
        "adjusted": group.adjusted,
        "examples": list(group.hashes[:_EXAMPLES]),
        "nearest": [{"category": name, "share": share} for name, share in group.nearest],
        "command": group.command(day),
    }
    return Alert(
        _identify(CATEGORY_UNKNOWN, day, version, group.source, group.name), CATEGORY_UNKNOWN,
        _category(group.name), payload, describe_unknown(group),
    )  # fmt: skip


def _category(name: str) -> dict[str, str]:
    return {"prefect.resource.id": f"normscape.category.{name}", "prefect.resource.name": name}


def _identify(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\x00".join(parts)))
