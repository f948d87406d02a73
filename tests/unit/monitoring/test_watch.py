"""Monitor runs over a real registry, score log and inbox."""

import json
import re

import pytest

from monitoring.watch import watch
from normscape.alerts import AlertStore, Kind
from normscape.errors import UsageError
from normscape.scoring.inbox import Inbox

QUIET, DRIFT, NEW = "2026-03-10", "2026-03-11", "2026-03-12"


def quiet(line, day, *, without=()):
    for name in ("bolt", "cap", "nut"):
        if name not in without:
            line.day(day, name, 12)


def kinds(run):
    return [alert.kind for alert in run.alerts]


def stored(line):
    return AlertStore.of(line.params).sound()


def events(line):
    return [notice.event for alert in stored(line) for notice in alert.notices]


def test_a_quiet_day_raises_nothing(line):
    quiet(line, QUIET)
    run = watch(line.params, QUIET)
    assert {each.category: str(each.verdict) for each in run.drift.categories} == {
        "bolt": "quiet", "cap": "quiet", "nut": "quiet", "pin": "silent",
    }  # fmt: skip
    assert run.alerts == ()
    assert {path.name for path in run.folder.iterdir()} == {
        "verdicts.json", "report.html", "evidently.html",
    }  # fmt: skip
    assert not stored(line)


def test_a_drift_is_named_explained_kept_and_requested_once(line):
    quiet(line, DRIFT, without=["nut"])
    line.day(DRIFT, "nut", 15, shift=4, darker=8, p_value=0.001)
    run = watch(line.params)
    assert run.day == DRIFT
    assert kinds(run) == [Kind.DRIFT, Kind.RETRAIN]
    drift, request = events(line)
    assert drift.resource["prefect.resource.id"] == "normscape.category.nut"
    assert drift.payload["explanation"] == ["darker"]
    assert drift.payload["severity"] == "critical"
    assert request.name == "normscape.retrain.requested"
    assert request.payload["drifted"] == ["nut"]
    assert not run.unknown.unknown
    kept = [each for each in Inbox.of(line.params).records() if "drifted" in each.reasons]
    assert len(kept) == 15
    html = (run.folder / "report.html").read_text()
    assert "Scores of nut" in html or "scores of nut" in html
    assert html.count("data:image/jpeg;base64") >= 12
    assert not re.search(r"(?:src|href)=.https?:", html)


def test_unknown_names_and_strange_undeclared_images(line):
    quiet(line, NEW)
    line.day(NEW, "grass", 10, p_value=0.001)
    line.day(NEW, "gravel", 12, declared=False, p_value=1 / 161)
    run = watch(line.params, NEW)
    found = {(group.name, str(group.source)) for group in run.unknown.unknown}
    assert found == {("grass", "name"), ("cap", "undeclared")}
    assert not run.drift.drifted
    assert kinds(run) == [Kind.UNKNOWN, Kind.UNKNOWN, Kind.RETRAIN]
    verdicts = json.loads((run.folder / "verdicts.json").read_text())
    assert len(verdicts["products"][0]["hashes"]) in (10, 12)


def test_alerts_are_stored_unsent_and_a_second_run_changes_nothing(line):
    line.day(NEW, "grass", 10)
    run = watch(line.params, NEW)
    assert stored(line) == run.alerts
    assert [len(alert.waiting(["event"])) for alert in run.alerts] == [1, 1]
    again = watch(line.params, NEW)
    assert again.alerts == run.alerts == stored(line)
    assert not any("cooldown_hours" in note for note in again.notes)
    listed = json.loads((run.folder / "verdicts.json").read_text())["alerts"]
    assert [each["id"] for each in listed] == [alert.id for alert in run.alerts]


def test_the_cooldown_holds_back_a_second_request_for_the_same_finding(line):
    line.day(DRIFT, "grass", 10)
    line.day(NEW, "grass", 12)
    first = watch(line.params, DRIFT)
    second = watch(line.params, NEW)
    assert kinds(first) == [Kind.UNKNOWN, Kind.RETRAIN]
    assert kinds(second) == [Kind.UNKNOWN]
    assert any("monitor.cooldown_hours" in note for note in second.notes)
    assert second.alerts[0].id == first.alerts[0].id
    assert second.alerts[0].days == (DRIFT, NEW)
    assert len(events(line)) == 2


def test_the_cooldown_does_not_hold_back_another_finding(line):
    line.day(DRIFT, "grass", 10)
    line.day(NEW, "moss", 12)
    assert Kind.RETRAIN in kinds(watch(line.params, DRIFT))
    assert Kind.RETRAIN in kinds(watch(line.params, NEW))


def test_a_damaged_alert_is_named_and_costs_no_other(line):
    line.day(DRIFT, "grass", 10)
    line.day(DRIFT, "moss", 12)
    first = watch(line.params, DRIFT)
    path = AlertStore.of(line.params).folder / f"{first.alerts[0].id}.json"
    path.write_text(path.read_text()[:200])
    again = watch(line.params, DRIFT)
    assert any(f"{path} does not hold an alert" in note for note in again.notes)
    assert again.alerts[1].notices == first.alerts[1].notices
    assert again.alerts[0].id == first.alerts[0].id
    assert path.with_suffix(".json.damaged").exists()


@pytest.mark.slow
def test_too_few_images_and_an_empty_window_do_not_end_a_drift(line):
    quiet(line, DRIFT, without=["nut"])
    line.day(DRIFT, "nut", 15, shift=4)
    watch(line.params, DRIFT)
    days = [f"2026-03-{day}" for day in range(12, 23)]
    for day in days[:4]:
        line.day(day, "nut", 1)
        watch(line.params, day)
    watch(line.params, days[4])
    assert (stored(line)[0].state, stored(line)[0].quiet) == ("open", ())
    for day in days[5:]:
        quiet(line, day)
        watch(line.params, day)
    assert stored(line)[0].state == "resolved"


def test_other_runtimes_versions_and_errors_are_left_out_and_said(line):
    quiet(line, QUIET)
    line.day(QUIET, "pin", 20, shift=6, runtime="openvino")
    line.day(QUIET, "rod", 3, error="truncated")
    line.day(QUIET, "pin", 21, shift=6, model_version="v0009")
    run = watch(line.params, QUIET)
    assert not run.alerts
    assert any("20 images were scored on another runtime" in note for note in run.notes)
    assert any("3 images could not be read" in note for note in run.notes)


def test_a_day_without_images(line):
    quiet(line, QUIET)
    run = watch(line.params, NEW)
    assert {str(each.verdict) for each in run.drift.categories} == {"silent"}
    assert any("scored no images" in note for note in run.notes)
    assert not (run.folder / "evidently.html").exists()


def test_nothing_scored_and_no_day(line):
    with pytest.raises(UsageError, match="has scored nothing yet"):
        watch(line.params)
    with pytest.raises(UsageError, match="expected a date"):
        watch(line.params, "yesterday")
