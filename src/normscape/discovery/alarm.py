"""A kind of defect that nobody has seen before becomes an alert, which ends when it has a name."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from normscape.alerts import Alert, AlertStore, Finding, Kind, Severity, receivers
from normscape.alerts.lifecycle import end
from normscape.discovery.catalogue import Catalogue
from normscape.params import Params

_EXAMPLES = 20


def describe_new(catalogue: Catalogue, name: str) -> str:
    """One sentence about a new type."""
    images = catalogue.counts[name]
    nearest = catalogue.nearest_named(name)
    like = f", nearest is {nearest[0].title}" if nearest else ""
    return (
        f"{catalogue.category} shows a kind of defect that was not known: {name}, "
        f"{images} images{like}"
    )


def raise_new(
    params: Params, catalogue: Catalogue, types: Sequence[str], version: str, *, first: bool
) -> list[Alert]:
    """Store an alert of each new type; nothing is sent here.

    Args:
        params: The project.
        catalogue: As it is stored.
        types: Ids of the new types.
        version: Of the model that flagged the images.
        first: Whether this is the category's first discovery: then all types are new, and nobody
            needs to hurry.

    Raises:
        NormscapeError: The alerts cannot be written.
    """
    now = datetime.datetime.now(datetime.UTC)
    severity = Severity.INFO if first else Severity.WARNING
    made = []
    for name in types:
        finding = _finding(catalogue, name, severity)
        day = max(member.day for member in catalogue.of_type(name))
        alert = Alert.opened(finding, day, version, now)
        made.append(alert.noticed("opened", receivers(severity, params.alerts), now))
    store = AlertStore.of(params)
    with store.changing() as contents:
        known = {alert.id for alert in contents.alerts}
        store.save(alert for alert in made if alert.id not in known)
    return made


def settle(params: Params, category: str, name: str, why: str) -> None:
    """End the alert of a type, because somebody has dealt with it.

    Raises:
        NormscapeError: The alerts cannot be written.
    """
    now = datetime.datetime.now(datetime.UTC)
    store = AlertStore.of(params)
    with store.changing() as contents:
        store.save(
            end(alert.noted(now, "resolved", why=why), params.alerts, now)
            for alert in contents.alerts
            if alert.open and alert.key == (Kind.DEFECT_TYPE, _subject(category, name))
        )


def _finding(catalogue: Catalogue, name: str, severity: Severity) -> Finding:
    nearest = catalogue.nearest_named(name)
    figures = {
        "category": catalogue.category,
        "type": name,
        "catalogue": catalogue.version,
        "images": catalogue.counts[name],
        "examples": [member.sha256 for member in catalogue.of_type(name)[:_EXAMPLES]],
        "nearest": None
        if nearest is None
        else {
            "type": nearest[0].id,
            "name": nearest[0].name,
            "cosine": round(nearest[1], 4),
        },
        "command": f"normscape defects name {catalogue.category} {name} NAME --why WHY",
    }
    subject = _subject(catalogue.category, name)
    return Finding(Kind.DEFECT_TYPE, subject, severity, describe_new(catalogue, name), figures)


def _subject(category: str, name: str) -> str:
    return f"{category} {name}"
