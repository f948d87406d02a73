"""From day to day: one alert a finding, few notices, none lost, whatever the clock does."""

import datetime
import itertools
import random

import pytest

from normscape.alerts import EVENT, Kind, Severity
from normscape.alerts.people import acknowledge, resolve, snooze
from normscape.errors import UsageError
from tests.unit.alerts.support import Plant, day, drift, moment, silence, unknown

HOOK = "custom-webhook/hook"


def test_the_same_drift_for_30_days_is_one_alert_with_few_notices_and_requests(plant):
    for number in range(30):
        for hour in range(6, 23):  # as prefect.yaml schedules it
            plant.judge(number, drift(), at=moment(number + (hour - 6) / 24))
    [found, request] = plant.alerts
    assert found.days == tuple(day(number) for number in range(30))
    assert plant.reasons() == ["opened"] + ["reminder"] * 9  # every 72 hours
    # 12 hours, 24, 48, ... after the first: logarithmic, not one a day
    assert plant.reasons(Kind.RETRAIN) == ["requested"] * 6
    assert found.requests == 6
    assert request.figures["drifted"] == ["nut"]
    ids = [notice.id for alert in plant.alerts for notice in alert.notices]
    assert len(set(ids)) == len(ids) == 16


def test_a_rerun_of_a_day_changes_nothing(plant):
    first = plant.judge(0, drift(), silence())
    again = plant.judge(0, drift(), silence())
    assert again.changed == ()
    assert again.current == first.current
    assert not again.held_back


def test_it_ends_after_quiet_windows_and_returns_as_another_alert(plant):
    plant.judge(0, drift())
    plant.judge(1)
    plant.judge(1)  # judged again: still one quiet window
    plant.judge(2)
    assert plant.alerts[0].open
    plant.judge(3)
    [ended, request] = plant.alerts
    assert not ended.open
    assert not request.open
    assert plant.reasons() == ["opened", "resolved"]
    assert set(ended.notices[-1].deliveries) == {HOOK}
    assert ended.notices[-1].event is None
    plant.judge(4, drift())
    assert plant.reasons() == ["opened", "resolved", "opened"]
    assert len({alert.id for alert in plant.alerts}) == 4


def test_an_interrupted_drift_goes_on(plant):
    for number in (0, 3, 6, 9):
        plant.judge(number, drift())
        plant.judge(number + 1)
        plant.judge(number + 2)
    assert len(plant.alerts) == 2
    assert plant.alerts[0].days == tuple(day(number) for number in (0, 3, 6, 9))


@pytest.mark.parametrize("how", ["unjudged", "empty"])
def test_a_window_that_says_nothing_ends_nothing(plant, how):
    plant.judge(0, drift())
    for number in range(1, 9):
        key = frozenset({(Kind.DRIFT, "nut")})
        plant.judge(number, **({"unjudged": key} if how == "unjudged" else {"empty": True}))
    assert plant.alerts[0].open
    assert plant.alerts[0].quiet == ()


def test_worse_and_more_severe_are_said_at_once_but_each_degree_once(plant):
    sizes = (1.2, 1.5, 1.8, 1.2, 1.8, 1.9)
    for number, effect in enumerate(sizes):
        plant.judge(0, drift(effect=effect), at=moment(number / 24))
    assert plant.reasons() == ["opened", "worse"]
    critical = drift(effect=2.0, severity=Severity.CRITICAL)
    for finding in (critical, drift(), critical):
        plant.judge(0, finding, at=moment(0.5))
    assert plant.reasons() == ["opened", "worse", "severity"]


def test_a_promotion_does_not_make_another_alert(plant):
    plant.judge(0, drift())
    plant.judge(1, drift(), version="v0002")
    assert plant.alerts[0].days == (day(0), day(1))
    assert plant.alerts[0].version == "v0002"


def test_only_drift_and_unknown_products_ask_for_a_training(plant):
    plant.judge(0, silence())
    assert [alert.kind for alert in plant.alerts] == [Kind.TRAFFIC]
    plant.judge(1, silence(), unknown())
    request = plant.alerts[-1]
    assert request.kind is Kind.RETRAIN
    assert (request.figures["drifted"], request.figures["unknown"]) == ([], ["grass"])
    plant.judge(1, silence(), unknown(), drift(), at=moment(1.1))
    assert plant.reasons(Kind.RETRAIN) == ["requested", "requested"]
    assert plant.alerts[-2].figures["drifted"] == ["nut"]


def test_blocks_hear_from_the_least_severity_on_and_events_are_always_sent(tmp_path):
    plant = Plant(tmp_path / "plant", min_severity="critical")
    plant.judge(0, drift())
    assert [set(n.deliveries) for n in plant.alerts[0].notices] == [{EVENT}]
    plant.judge(0, drift(severity=Severity.CRITICAL), at=moment(0.1))
    assert set(plant.alerts[0].notices[-1].deliveries) == {EVENT, HOOK}


def test_acknowledged_means_no_reminder_but_worse_is_said(plant):
    plant.judge(0, drift())
    acknowledge(plant.params, plant.alerts[0].id[:8], "Ann", "lamp ordered", moment(0))
    for number in range(1, 10):
        plant.judge(number, drift())
    assert plant.reasons() == ["opened"]
    plant.judge(10, drift(effect=1.9))
    assert plant.reasons() == ["opened", "worse"]


def test_snoozed_means_silence_until_then_unless_it_becomes_more_severe(plant):
    plant.judge(0, drift())
    prefix = plant.alerts[0].id[:8]
    snooze(plant.params, prefix, "Ann", "known", until=moment(10), now=moment(0))
    for number in range(1, 10):
        plant.judge(number, drift(effect=1.9))
    assert plant.reasons() == ["opened"]
    assert plant.reasons(Kind.RETRAIN) == ["requested"]
    plant.judge(9, drift(effect=2.5, severity=Severity.CRITICAL))
    assert plant.reasons() == ["opened", "severity"]
    plant.judge(13, drift())
    assert plant.reasons() == ["opened", "severity", "reminder"]
    assert plant.reasons(Kind.RETRAIN) == ["requested"] * 2
    line = next(each for each in plant.alerts[0].history if each["event"] == "snoozed")
    assert (line["by"], line["why"]) == ("Ann", "known")
    with pytest.raises(UsageError, match="has passed"):
        snooze(plant.params, prefix, "Ann", "late", until=moment(1), now=moment(2))


def test_resolved_by_a_person_it_stays_so_for_that_day_and_no_longer(plant):
    plant.judge(0, drift())
    prefix = plant.alerts[0].id[:8]
    resolve(plant.params, prefix, "Bob", "lens cleaned", moment(0.1))
    plant.judge(0, drift(), at=moment(0.2))
    assert plant.reasons() == ["opened", "resolved"]
    with pytest.raises(UsageError, match="is over"):
        resolve(plant.params, prefix, "Bob", "again", moment(0.3))
    plant.judge(1, drift())
    assert plant.reasons() == ["opened", "resolved", "opened"]


def test_a_request_resolved_today_is_made_again_for_another_finding(plant):
    plant.judge(0, drift())
    resolve(plant.params, plant.alerts[-1].id, "Bob", "no", moment(0.1))
    plant.judge(0, drift(), at=moment(0.2))
    assert plant.reasons(Kind.RETRAIN) == ["requested"]
    plant.judge(0, drift(), unknown(), at=moment(0.3))
    assert plant.reasons(Kind.RETRAIN) == ["requested", "requested"]


def test_a_clock_that_was_ahead_neither_repeats_nor_silences_for_ever(plant):
    ahead = moment(365 * 70)
    plant.judge(0, drift(), at=ahead)
    for number in range(1, 8):
        plant.judge(number, drift())
    # the cool-down starts when the clock is right again: a reminder after 72 hours
    assert plant.reasons() == ["opened", "reminder", "reminder"]
    assert len(plant.reasons(Kind.RETRAIN)) > 1


def test_a_clock_that_falls_back_neither_repeats_nor_silences_for_ever(plant):
    past = moment(-365 * 10)
    plant.judge(0, drift())
    snooze(plant.params, plant.alerts[0].id, "Ann", "x", until=moment(1), now=moment(0))
    reasons = []
    for number in range(1, 8):
        plant.judge(number, drift(), at=past + datetime.timedelta(days=number))
        reasons.append(len(plant.reasons()))
    assert reasons[0] == 1
    assert plant.alerts[0].snoozed.until == past + datetime.timedelta(days=2)
    assert plant.reasons() == ["opened", "reminder", "reminder"][: len(plant.reasons())]
    assert "reminder" in plant.reasons()


def test_a_clock_that_jumps_to_and_fro_repeats_no_more_than_its_cooldowns(plant):
    random.seed(3)
    for number in range(60):
        jump = random.choice((-400, -1, 0, 0, 0, 1, 400))
        plant.judge(number, drift(), at=moment(number + jump))
    assert len(plant.alerts) == 2
    notices = [notice.id for notice in plant.alerts[0].notices]
    assert len(set(notices)) == len(notices) <= 60
    for number in range(60, 64):
        plant.judge(number)
    assert not plant.alerts[0].open


def test_a_day_in_the_future_does_not_keep_an_alert_open(plant):
    plant.judge(20000, drift(), at=moment(0))
    plant.judge(1, drift(), at=moment(1))
    assert plant.alerts[0].days == (day(1), day(20000))
    for number in range(2, 5):
        plant.judge(number)
    assert not plant.alerts[0].open
    plant.judge(5, drift())
    assert len(plant.alerts) == 4


def test_an_old_day_judged_again_does_not_undo_what_is_known(plant):
    for number in range(5, 8):
        plant.judge(number, drift(effect=1.2))
    newest = plant.alerts[0]
    plant.judge(3, drift(effect=9.0, severity=Severity.CRITICAL), at=moment(7.1))
    plant.judge(2, at=moment(7.1))
    found = plant.alerts[0]
    assert found.days == (day(3), *newest.days)
    assert (found.figures, found.quiet, len(found.notices)) == (newest.figures, (), 1)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_every_finding_is_in_exactly_one_alert(tmp_path, seed):
    """Random days, reruns, clocks and people: invariants of the store."""
    plant, dice = Plant(tmp_path / "plant"), random.Random(seed)
    seen = set()
    for step in range(60):
        number = dice.choice([step, step, step, max(0, step - dice.randrange(9))])
        names = [name for name in ("nut", "cap") if dice.random() < 0.5]
        at = moment(step + dice.choice([0, 0, 0, -300, 300]))
        plant.judge(number, *(drift(name, effect=dice.uniform(1, 4)) for name in names), at=at)
        seen |= {(name, day(number)) for name in names}
        if dice.random() < 0.1 and any(alert.open for alert in plant.alerts):
            target = dice.choice([alert for alert in plant.alerts if alert.open])
            dice.choice([acknowledge, resolve])(plant.params, target.id, "x", "y", at)
    alerts = [alert for alert in plant.alerts if alert.kind is Kind.DRIFT]
    held = [(alert.subject, each) for alert in alerts for each in alert.days]
    assert set(held) == seen
    assert len(held) == len(set(held))
    for name, mine in itertools.groupby(
        sorted(alerts, key=lambda each: each.subject), key=lambda each: each.subject
    ):
        assert sum(alert.open for alert in mine) <= 1, name
    assert all(alert.notices[0].reason == "opened" for alert in alerts)
    ids = [notice.id for alert in plant.alerts for notice in alert.notices]
    assert len(ids) == len(set(ids))
