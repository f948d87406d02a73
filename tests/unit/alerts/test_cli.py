"""`normscape alerts …` as people and scripts use it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from normscape.alerts.people import parse_moment, parse_span
from normscape.errors import UsageError
from tests.unit.alerts.support import Plant, drift, unknown


@pytest.fixture
def alerts(plant: Plant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    from normscape.cli.main import main

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["normscape", "alerts", *arguments])
        monkeypatch.chdir(plant.params.root)
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def test_list_show_and_what_people_do(plant, alerts):
    assert alerts("list")[1] == "no open alert\n"
    plant.judge(0, drift())
    [found, request] = plant.alerts
    code, out, _ = alerts("list")
    assert code == 0
    assert found.id[:8] in out
    assert request.id[:8] in out
    listed = json.loads(alerts("list", "--kind", "drift", "--json")[1])
    assert [(each["id"], each["status"]) for each in listed] == [(found.id, "open")]

    prefix = found.id[:6]
    assert "acknowledged: nut moved" in alerts("ack", prefix, "--why", "lamp", "--by", "Ann")[1]
    said = json.loads(alerts("snooze", prefix, "--why", "known", "--for", "3d", "--json")[1])
    assert said["status"] == "snoozed"
    code, out, _ = alerts("show", prefix)
    assert "acknowledged  by Ann, why lamp" in out
    assert "opened to custom-webhook/hook: waits, 0 tries" in out
    assert "resolved: nut moved" in alerts("resolve", prefix, "--why", "done")[1]
    assert prefix not in alerts("list")[1]
    assert prefix in alerts("list", "--all")[1]
    history = [line["event"] for line in json.loads(alerts("show", prefix, "--json")[1])["history"]]
    assert history == ["opened", "notice", "acknowledged", "snoozed", "resolved", "notice"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "zzz"), "no alert's id begins with 'zzz'"),
        (("show", ""), "2 alerts' ids begin with ''; give more digits"),
        (("list", "--kind", "noise"), "expected one of drift, defects_rising"),
        (("snooze", "", "--why", "x"), "give either --for"),
        (("snooze", "", "--why", "x", "--for", "soon"), "'soon' is not a span"),
        (("snooze", "", "--why", "x", "--until", "soon"), "'soon' is not a moment"),
    ],
)
def test_mistakes_end_in_one_line(plant, alerts, arguments, message):
    plant.judge(0, drift())
    code, _, err = alerts(*arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_damaged_file_is_named_and_the_others_are_listed(plant, alerts):
    plant.judge(0, drift(), unknown())
    path = plant.store.folder / f"{plant.alerts[0].id}.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"severity": "dreadful"}))
    code, out, err = alerts("list")
    assert code == 1
    assert f"{path} does not hold an alert (severity: " in err
    assert "grass is unknown" in out
    other = next(each for each in plant.store.read().alerts)
    code, _, err = alerts("show", other.id)
    assert code == 0
    assert err.startswith("warning: ")
    assert alerts("ack", other.id, "--why", "x")[0] == 0


def test_spans_and_moments():
    assert parse_span("90m").total_seconds() == 5400
    assert parse_span("3d").days == 3
    assert parse_moment("2026-03-14T08:00+02:00").utcoffset().total_seconds() == 7200
    assert parse_moment("2026-03-14").utcoffset().total_seconds() == 0
    for text in ("", "3", "-3d", "3 d", "99999d"):
        with pytest.raises(UsageError):
            parse_span(text)


@pytest.mark.slow
def test_two_processes_lose_nothing(plant, tmp_path):
    """Monitors and people at once, in processes of their own."""
    code = """
import sys
from pathlib import Path
from tests.unit.alerts.support import Plant, drift, unknown, moment
from normscape.alerts.people import acknowledge
plant = Plant(Path(sys.argv[1]))
for number in range(15):
    plant.judge(number, drift(), unknown(sys.argv[2]))
    acknowledge(plant.params, plant.alerts[0].id, sys.argv[2], str(number), moment(number))
"""
    root = Path(__file__).parents[3]
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(plant.params.root), name], cwd=root)
        for name in ("grass", "moss")
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    [nut] = [alert for alert in plant.alerts if alert.subject == "nut"]
    assert len(nut.days) == 15
    said = [(line["by"], line["why"]) for line in nut.history if line["event"] == "acknowledged"]
    assert len(said) == len(set(said)) == 30
    assert [notice.reason for notice in nut.notices].count("opened") == 1


def test_people_say_whether_it_was_real(plant, alerts):
    plant.judge(0, drift(), unknown())
    first, second = [each for each in plant.alerts if each.kind != "retrain"]
    code, _, _ = alerts("resolve", first.id[:8], "--why", "dirty lens", "--as", "false-alarm")
    assert code == 0
    shown = json.loads(alerts("show", first.id[:8], "--json")[1])
    assert (shown["truth"], shown["state"]) == ("false_alarm", "resolved")
    assert shown["images_reviewed"] == {"judged": 0, "real": 0}
    assert "false alarm" in alerts("show", first.id[:8])[1]
    # an alert that is over can be judged, again too, and nothing else can be done with it
    assert alerts("resolve", first.id[:8], "--why", "it was the lamp", "--as", "real")[0] == 0
    assert json.loads(alerts("show", first.id[:8], "--json")[1])["truth"] == "real"
    assert "--as" in alerts("resolve", first.id[:8], "--why", "again")[2]
    assert alerts("resolve", second.id[:8], "--why", "?", "--as", "maybe")[0] == 2
    assert alerts("resolve", second.id[:8], "--why", "moved on")[0] == 0
    assert json.loads(alerts("show", second.id[:8], "--json")[1])["truth"] is None
