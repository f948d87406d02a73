"""A backtest over a real score log finds what the monitor found, and changes nothing."""

import datetime
import json
import sys

import pytest

from monitoring.watch import watch
from normscape.alerts import AlertStore, Kind
from normscape.alerts.people import resolve
from normscape.backtest import backtest, grid
from normscape.errors import UsageError
from tests.unit.monitoring.support import CATEGORIES, Line

DAYS = [f"2026-03-{day:02d}" for day in range(2, 16)]
DRIFTING, AWAY = DAYS[8:10], DAYS[12:]


@pytest.fixture
def lived(line: Line) -> Line:
    """Two weeks: a drift of nut for two days, pin away at the end."""
    for day in DAYS:
        for name in CATEGORIES:
            if name == "pin" and day in AWAY:
                continue
            line.day(day, name, 12, shift=4 if name == "nut" and day in DRIFTING else 0)
    return line


def files(line):
    return {
        path: path.read_bytes()
        for name in ("alerts", "monitor", "scores")
        for path in sorted((line.params.state / name).rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_the_current_setting_raises_what_the_monitor_raised(lived: Line):
    for day in DAYS:
        watch(lived.params, day)
    stored = [each for each in AlertStore.of(lived.params).sound() if each.kind is not Kind.RETRAIN]
    before = files(lived)
    found = backtest(lived.params, grid(lived.params.monitor, ["min_effect=9"]))
    assert files(lived) == before
    assert (found.first_day, found.last_day, found.days) == (DAYS[0], DAYS[-1], len(DAYS))
    current, blunt = found.outcomes
    replayed = {(each.kind, each.category, each.days) for each in current.alerts}
    assert replayed == {(each.kind, each.subject, each.days) for each in stored}
    [drift] = [each for each in current.alerts if each.kind is Kind.DRIFT]
    assert (drift.category, drift.days[:2]) == ("nut", tuple(DRIFTING))
    assert {each.kind for each in current.alerts} == {Kind.DRIFT, Kind.TRAFFIC}
    assert not blunt.count(Kind.DRIFT)
    assert current.per_year["drift"] == pytest.approx(365 / len(DAYS))
    assert current.alarm_days["drift"] == len(drift.days)


@pytest.mark.slow
def test_judged_alerts_say_what_a_setting_would_have_kept_and_lost(lived: Line):
    watch(lived.params, DRIFTING[0])
    [drift] = [e for e in AlertStore.of(lived.params).sound() if e.kind is Kind.DRIFT]
    settings = grid(lived.params.monitor, ["min_effect=9"])
    for truth in ("real", "false_alarm"):
        now = datetime.datetime.now(datetime.UTC)
        resolve(lived.params, drift.id, "anna", "seen", now, truth=truth)
        current, blunt = backtest(lived.params, settings).outcomes
        kept, lost = current.real["drift"], blunt.lost["drift"]
        assert (kept, lost) == ((1, 1) if truth == "real" else (0, 0))
        assert current.false_alarms["drift"] == (truth == "false_alarm")
        assert blunt.false_alarms["drift"] == 0


def test_days_and_versions_can_be_chosen(line: Line):
    for day in DAYS[:2]:
        line.day(day, "nut", 12)
    old = line.version
    new = line.promote(higher=2.0)
    line.day(DAYS[2], "nut", 12)
    settings = grid(line.params.monitor, [])
    every = backtest(line.params, settings)
    assert (every.versions, every.days) == ((old, new), 3)
    assert not every.outcomes[0].count(Kind.DRIFT)  # each against its own reference
    one = backtest(line.params, settings, versions=["production"])
    assert (one.versions, one.days) == ((new,), 1)
    early = backtest(line.params, settings, last=DAYS[0])
    assert (early.versions, early.last_day) == ((old,), DAYS[0])
    with pytest.raises(UsageError, match="has scored nothing in these days"):
        backtest(line.params, settings, first="2027-01-01")


def test_the_command_line(line: Line, monkeypatch, capsys):
    from normscape.cli.main import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["normscape", "backtest", *arguments])
        monkeypatch.chdir(line.params.root)
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    assert run()[0] == 2
    for name in ("nut", "cap"):
        line.day(DAYS[0], name, 12, shift=5 if name == "nut" else 0)
    code, out, _ = run("--set", "min_effect=0.5,9")
    assert code == 0
    assert "min_effect=9: no alert" in out
    assert f"{DAYS[0]}  drift            nut, 1 day" in out
    found = json.loads(run("--set", "min_effect=9", "--json")[1])
    assert [len(each["alerts"]) for each in found["outcomes"]] == [1, 0]
    assert run("--set", "min_effects=9")[0] == 2
    assert run("--from", "March")[0] == 2
