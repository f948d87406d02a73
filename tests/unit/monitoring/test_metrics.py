"""Metrics of a real run, in the file and over HTTP; the dashboard asks for nothing else."""

import datetime
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from monitoring.last_run import monitor_folder, read_last_run
from monitoring.metrics import write
from monitoring.watch import watch
from normscape.alerts import AlertStore, Kind
from normscape.alerts.people import resolve
from tests.unit.monitoring.receiver import free_port
from tests.unit.monitoring.support import Line

CHECKOUT = Path(__file__).parents[3]
DASHBOARD = CHECKOUT / "monitoring/grafana/normscape.json"
RULES = CHECKOUT / "monitoring/prometheus/normscape.rules.yml"
DAY, LATER = "2026-03-11", "2026-03-14"


@pytest.fixture
def watched(line: Line) -> Line:
    line.day(DAY, "bolt", 12)
    line.day(DAY, "pin", 12)
    line.day(DAY, "nut", 15, shift=4)
    watch(line.params, DAY)
    line.day(LATER, "bolt", 12)
    line.day(LATER, "nut", 15, shift=4)
    watch(line.params, LATER)
    return line


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Values by name and labels, as Prometheus reads them."""
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    labels = [[f"{name}={value}" for name, value in sorted(each.labels.items())] for each in found]
    return {(each.name, *names): each.value for each, names in zip(found, labels, strict=True)}


def test_the_file_holds_what_the_run_found(watched):
    path = write(watched.params)
    found = samples(path.read_text())
    assert found["normscape_monitor_images",] == 27
    assert found["normscape_category_images", "category=nut"] == 15
    assert found["normscape_category_verdict", "category=nut", "verdict=drift"] == 1
    assert found["normscape_category_verdict", "category=nut", "verdict=quiet"] == 0
    assert found["normscape_category_shift", "category=nut"] > 2
    assert ("normscape_category_shift", "category=pin") not in found
    assert found["normscape_category_flagged_share", "category=nut"] > 0.5
    assert found["normscape_category_days_since_last_image", "category=pin"] == 3
    assert found["normscape_category_days_since_last_image", "category=nut"] == 0
    assert ("normscape_category_days_since_last_image", "category=cap") not in found
    key = ("kind=drift", "severity=critical", "status=open")
    assert found["normscape_alerts_open", *key] == 1
    assert found["normscape_notices_unsent", "receiver=event"] == 2
    model = next(each for each in found if each[0] == "normscape_model_info")
    assert f"version={watched.version}" in model
    assert found["normscape_monitor_readable",] == 1
    # the textfile collector reads every *.prom of its folder
    assert [each.name for each in path.parent.glob("*.prom")] == ["metrics.prom"]


def test_an_old_day_judged_again_does_not_make_the_last_image_older(watched):
    watch(watched.params, DAY)
    run = read_last_run(watched.params)
    assert (run.day, run.last_images["nut"], run.last_images["pin"]) == (DAY, LATER, DAY)


def test_before_the_first_run_and_with_damaged_files(line):
    found = samples(write(line.params).read_text())
    assert found["normscape_monitor_readable",] == 1
    assert ("normscape_monitor_images",) not in found
    line.day(DAY, "bolt", 12)
    run = watch(line.params, DAY)
    for path in (run.folder / "verdicts.json", monitor_folder(line.params) / "last_run.json"):
        path.write_text('{"categories": [{}]')
        found = samples(write(line.params).read_text())
        assert found["normscape_monitor_readable",] == 0
        assert found["normscape_notices_unsent", "receiver=event"] == 0
    watch(line.params, DAY)
    assert samples(write(line.params).read_text())["normscape_monitor_readable",] == 1


@pytest.fixture
def exporter(watched: Line) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "monitoring.metrics", "--port", str(port),
         "--params", str(watched.params.root / "params.yaml")],
        cwd=CHECKOUT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


@pytest.mark.slow
def test_the_exporter_serves_the_same_and_follows_the_files(watched, exporter):
    def scrape() -> dict[tuple[str, ...], float]:
        with urllib.request.urlopen(exporter, timeout=10) as answer:  # noqa: S310
            return samples(answer.read().decode())

    assert scrape() == samples(write(watched.params).read_text())
    watched.day(LATER, "moss", 12)
    watch(watched.params, LATER)
    assert scrape()["normscape_alerts_open", "kind=unknown", "severity=warning", "status=open"] == 1
    port = exporter.split(":")[2].split("/")[0]
    second = subprocess.run(
        [sys.executable, "-m", "monitoring.metrics", "--port", port], cwd=CHECKOUT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert "choose another --port" in second.stderr


def judge(params, truth):
    [drift] = [each for each in AlertStore.of(params).sound() if each.kind is Kind.DRIFT]
    resolve(params, drift.id, "anna", "seen", datetime.datetime.now(datetime.UTC), truth=truth)


def test_precision_is_there_once_people_have_judged_an_alert(watched):
    before = samples(write(watched.params).read_text())
    assert ("normscape_alert_precision", "kind=drift") not in before
    assert before["normscape_alerts_judged", "kind=drift", "truth=real"] == 0
    judge(watched.params, "false_alarm")
    found = samples(write(watched.params).read_text())
    assert found["normscape_alert_precision", "kind=drift"] == 0
    assert found["normscape_alerts_judged", "kind=drift", "truth=false_alarm"] == 1
    judge(watched.params, "real")  # it is over, and a person has changed their mind
    found = samples(write(watched.params).read_text())
    assert found["normscape_alert_precision", "kind=drift"] == 1


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"normscape_\w+", expression))


def test_the_dashboard_and_the_rules_ask_only_for_what_there_is(watched):
    judge(watched.params, "real")
    there = {name for name, *_ in samples(write(watched.params).read_text())}
    board = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    asked += [rule["expr"] for rule in rules]
    asked += [each["definition"] for each in board["templating"]["list"] if "definition" in each]
    assert all(names_in(expression) for expression in asked)
    assert set().union(*map(names_in, asked)) == there


def test_the_dashboard_can_be_imported():
    board = json.loads(DASHBOARD.read_text())
    assert board["schemaVersion"] >= 36
    assert board["uid"]
    assert [each["name"] for each in board["templating"]["list"]] == ["datasource", "category"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        sources = [panel["datasource"], *(each["datasource"] for each in panel["targets"])]
        assert all(each["uid"] == "${datasource}" for each in sources)
