"""Verdicts of every kind become findings with a valid event, and how urgent each is."""

import dataclasses
import datetime
import re
from pathlib import Path

import pytest

from monitoring import rules
from normscape.alerts import EVENT, Alert, Kind
from normscape.alerts.payloads import EVENTS, PAYLOAD_SCHEMA
from normscape.drift import CategoryDrift, DriftVerdicts, Verdict
from normscape.drift.decide import DefectRise, Silence
from normscape.novelty import Source, UnknownGroup, UnknownVerdict
from normscape.sections.production import AlertParams

DAY = "2026-03-14"
DOCS = Path(__file__).parents[3] / "docs"


def moved(name, effect, verdict=Verdict.DRIFT):
    return CategoryDrift(
        name, verdict, 30, 40, effect=effect, p_value=0.001, adjusted=0.002, level=effect,
        explanation=("darker",),
    )  # fmt: skip


def group(source, *, unknown=True):
    images = tuple(f"{number:064x}" for number in range(30))
    nearest = (("nut", 0.8), ("pin", 0.2))
    return UnknownGroup("cap", source, 30, 28, 0.001, 0.002, unknown, images, images, nearest)


def derive(categories=(), groups=(), rising=(), silent=()):
    drift = DriftVerdicts(tuple(categories), tuple(rising), tuple(silent))
    return rules.derive(DAY, "v0001", drift, UnknownVerdict(tuple(groups)), AlertParams())


def severities(seen):
    return [str(finding.severity) for finding in seen.findings]


EVERYTHING = {
    "categories": [moved("nut", -1.5)],
    "groups": [group(source) for source in Source],
    "rising": [DefectRise("bolt", 200, 18, 0.09, 0.05, 0.001, 0.002)],
    "silent": [Silence("pin", 4, 81.5, "2026-03-10")],
}


def test_each_finding_becomes_a_valid_event():
    seen = derive(**EVERYTHING)
    now = datetime.datetime(2026, 3, 14, tzinfo=datetime.UTC)
    found = {}
    for finding in seen.findings:
        alert = Alert.opened(finding, seen.day, seen.version, now).noticed("opened", [EVENT], now)
        event = alert.notices[0].event
        assert event.payload["schema"] == PAYLOAD_SCHEMA
        assert event.payload["alert"] == alert.id
        found.setdefault(event.name, event)
        assert Alert.parse(alert.as_dict()) == alert
    raised_elsewhere = {"normscape.retrain.requested", "normscape.defect.new"}
    assert set(found) == {name for name, _ in EVENTS.values()} - raised_elsewhere
    silent = found["normscape.traffic.missing"]
    assert silent.resource["prefect.resource.id"] == "normscape.category.pin"
    assert silent.payload["last_image_day"] == "2026-03-10"
    assert found["normscape.defects.rising"].payload["flagged"] == 18
    assert len(found["normscape.category.unknown"].payload["examples"]) == 20
    sentences = [finding.sentence for finding in seen.findings]
    assert (
        "9.0% of the images of bolt lie far above the others, usual are 5.0%; 18 of 200 were "
        "flagged today"
    ) in sentences
    assert "no image of pin for 4 days, since 2026-03-10; usual are 82 a day" in sentences
    assert len({(finding.kind, finding.subject) for finding in seen.findings}) == 7


@pytest.mark.parametrize("effect", [float("inf"), float("-inf")])
def test_an_infinite_shift_fits_into_json_and_has_a_bounded_magnitude(effect):
    [finding] = derive([moved("nut", effect)]).findings
    assert abs(finding.figures["effect"]) == 1e9
    assert finding.magnitude == 99


def test_severity():
    assert severities(derive([moved("nut", 1.9)])) == ["warning"]
    assert severities(derive([moved("nut", -2.0)])) == ["critical"]
    assert severities(derive([moved("nut", 1.2), moved("cap", 1.1)])) == ["warning"] * 2
    three = [moved(name, 1.2) for name in ("nut", "cap", "pin")]
    assert severities(derive(three)) == ["critical"] * 3
    assert severities(derive(groups=[group(source) for source in Source])) == ["warning"] * 4
    rises = [
        DefectRise("nut", 100, flagged, flagged / 100, expected, 0.001, 0.001)
        for flagged, expected in ((14, 0.05), (16, 0.05))
    ]
    assert severities(derive(rising=rises)) == ["warning", "critical"]
    assert severities(derive(rising=[dataclasses.replace(rises[0], expected=0.0)])) == ["critical"]
    gone = [Silence(name, 2, 50.0, DAY) for name in ("nut", "cap", "pin")]
    assert severities(derive(silent=gone[:2])) == ["warning"] * 2
    assert severities(derive(silent=gone)) == ["critical"] * 3


def test_what_a_window_says_nothing_of():
    few = CategoryDrift("cap", Verdict.TOO_FEW, 3, 40)
    gone = CategoryDrift("pin", Verdict.SILENT, 0, 40)
    seen = derive([few, gone, moved("nut", 0.1, Verdict.QUIET)])
    assert seen.unjudged == {
        (Kind.DRIFT, "cap"), (Kind.DEFECTS, "cap"), (Kind.DRIFT, "pin"), (Kind.DEFECTS, "pin"),
        (Kind.TRAFFIC, "pin"),
    }  # fmt: skip
    assert not seen.empty
    assert derive([gone]).empty


def test_the_documentation_names_every_event_field_and_parameter():
    text = (DOCS / "alerts.md").read_text()
    words = set(re.findall(r"`([\w.]+)`", text))
    fields = {field.name for _, kind in EVENTS.values() for field in dataclasses.fields(kind)}
    assert fields | {name for name, _ in EVENTS.values()} <= words
    assert set(AlertParams.model_fields) <= words
