"""Monitor runs over a real registry, score log and inbox."""

import datetime
import json
import re

import pytest

from monitoring import rules
from monitoring.watch import monitor_folder, watch
from normscape.errors import UsageError
from normscape.scoring.inbox import Inbox

QUIET, DRIFT, NEW = "2026-03-10", "2026-03-11", "2026-03-12"


def quiet(line, day, *, without=()):
    for name in ("bolt", "cap", "nut"):
        if name not in without:
            line.day(day, name, 12)


def names(run):
    return [alert.name for alert in run.alerts]


def test_a_quiet_day_raises_nothing(line):
    quiet(line, QUIET)
    run = watch(line.params, QUIET)
    assert {each.category: str(each.verdict) for each in run.drift.categories} == {
        "bolt": "quiet", "cap": "quiet", "nut": "quiet", "pin": "silent",
    }  # fmt: skip
    assert run.alerts == ()
    assert {path.name for path in run.folder.iterdir()} == {
        "verdicts.json", "alerts.json", "report.html", "evidently.html",
    }  # fmt: skip
    assert not rules.unsent(monitor_folder(line.params))


def test_a_drift_is_named_explained_kept_and_requested_once(line):
    quiet(line, DRIFT, without=["nut"])
    line.day(DRIFT, "nut", 15, shift=4, darker=8, p_value=0.001)
    run = watch(line.params)
    assert run.day == DRIFT
    assert names(run) == [rules.DRIFT_DETECTED, rules.RETRAIN_REQUESTED]
    alert, request = run.alerts
    assert alert.resource["prefect.resource.id"] == "normscape.category.nut"
    assert alert.payload["explanation"] == ["darker"]
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
    assert names(run)[-1] == rules.RETRAIN_REQUESTED
    verdicts = json.loads((run.folder / "verdicts.json").read_text())
    assert len(verdicts["products"][0]["hashes"]) in (10, 12)


def test_alerts_wait_until_they_are_sent_and_are_sent_once(line):
    line.day(NEW, "grass", 10)
    run = watch(line.params, NEW)
    folder = monitor_folder(line.params)
    waiting = rules.unsent(folder)
    assert [alert for _, alert in waiting] == list(run.alerts)
    assert watch(line.params, NEW).alerts == run.alerts
    for path, alert in waiting:
        rules.mark_sent(path, alert, datetime.datetime.now(datetime.UTC))
    assert not rules.unsent(folder)
    watch(line.params, NEW)
    assert not rules.unsent(folder)


def test_the_cooldown_holds_back_a_second_request_for_the_same_finding(line):
    line.day(DRIFT, "grass", 10)
    line.day(NEW, "grass", 12)
    assert rules.RETRAIN_REQUESTED in names(watch(line.params, DRIFT))
    second = watch(line.params, NEW)
    assert names(second) == [rules.CATEGORY_UNKNOWN]
    assert any("monitor.cooldown_hours" in note for note in second.notes)
    state = monitor_folder(line.params) / rules.LAST_REQUEST_FILE
    assert list(json.loads(state.read_text())) == ["unknown grass"]
    state.write_text(json.dumps({"unknown grass": "2020-01-01T00:00:00+00:00"}))
    assert rules.RETRAIN_REQUESTED in names(watch(line.params, NEW))


def test_the_cooldown_does_not_hold_back_another_finding(line):
    line.day(DRIFT, "grass", 10)
    line.day(NEW, "moss", 12)
    assert rules.RETRAIN_REQUESTED in names(watch(line.params, DRIFT))
    assert rules.RETRAIN_REQUESTED in names(watch(line.params, NEW))


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
