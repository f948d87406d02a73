"""A kind of defect that nobody has seen before becomes an alert, which ends when it has a name."""

from __future__ import annotations

import datetime

from normscape.alerts import Alert, AlertStore, Finding, Kind, Severity, receivers
from normscape.alerts.lifecycle import end
from normscape.discovery.catalogue import Catalogue, DefectType
from normscape.params import Params

_EXAMPLES = 20


def describe_new(catalogue: Catalogue, name: str) -> str:
    """One sentence about a new type."""
    images = catalogue.counts[name]
    nearest = catalogue.nearest_named(name)
    like = f", of the named kinds most like {nearest[0].title}" if nearest else ""
    return (
        f"{catalogue.category} shows a kind of defect that was not known: {name}, "
        f"{images} {'image' if images == 1 else 'images'}{like}"
    )


def raise_new(params: Params, catalogue: Catalogue, version: str) -> list[Alert]:
    """Store an alert of each type that has none yet and that nobody has dealt with.

    What was found is told once, even where an earlier run has stored the catalogue and was stopped
    before it could tell. A category's first types raise *info*: all are new, and nobody needs to
    hurry. Nothing is sent here.

    Args:
        params: The project.
        catalogue: As it is stored.
        version: Of the model that flagged the images.

    Returns:
        The alerts that were opened.

    Raises:
        NormscapeError: The alerts cannot be written.
    """
    now = datetime.datetime.now(datetime.UTC)
    store = AlertStore.of(params)
    with store.changing() as contents:
        told = {alert.subject for alert in contents.alerts if alert.kind is Kind.DEFECT_TYPE}
        first = not any(_subject(catalogue, each) in told or each.name for each in catalogue.types)
        severity = Severity.INFO if first else Severity.WARNING
        opened = [
            Alert.opened(_finding(catalogue, each, severity), each.since, version, now).noticed(
                "opened", receivers(severity, params.alerts), now
            )
            for each in catalogue.living
            if not (each.name or each.part_of or _subject(catalogue, each) in told)
        ]
        store.save(opened)
    return opened


def settle(params: Params, catalogue: Catalogue) -> None:
    """End the alerts of types that somebody has dealt with: that have a name or were merged.

    Raises:
        NormscapeError: The alerts cannot be written.
    """
    now = datetime.datetime.now(datetime.UTC)
    reasons = {
        _subject(catalogue, each): f"merged into {each.merged_into}"
        if each.merged_into
        else f"named {each.name}"
        for each in catalogue.types
        if each.merged_into or each.name
    }
    store = AlertStore.of(params)
    with store.changing() as contents:
        store.save(
            end(alert.noted(now, "resolved", why=reasons[alert.subject]), params.alerts, now)
            for alert in contents.alerts
            if alert.open and alert.kind is Kind.DEFECT_TYPE and alert.subject in reasons
        )


def _finding(catalogue: Catalogue, each: DefectType, severity: Severity) -> Finding:
    nearest = catalogue.nearest_named(each.id)
    figures = {
        "category": catalogue.category,
        "type": each.id,
        "catalogue": catalogue.version,
        "images": catalogue.counts[each.id],
        "examples": [member.sha256 for member in catalogue.of_type(each.id)[:_EXAMPLES]],
        "nearest": None
        if nearest is None
        else {
            "type": nearest[0].id,
            "name": nearest[0].name,
            "cosine": round(nearest[1], 4),
        },
        "command": f"normscape defects name {catalogue.category} {each.id} NAME --why WHY",
    }
    sentence = describe_new(catalogue, each.id)
    return Finding(Kind.DEFECT_TYPE, _subject(catalogue, each), severity, sentence, figures)


def _subject(catalogue: Catalogue, each: DefectType) -> str:
    return f"{catalogue.category} {each.id}"
