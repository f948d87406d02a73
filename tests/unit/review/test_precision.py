"""What people said of alerts and of the images behind them, and how surely it is known."""

import dataclasses
import datetime
from typing import Any

import pytest
from scipy import stats

from normscape.alerts import Alert, Finding, Kind, Severity
from normscape.review.precision import Share, behind, images_of, precision, say_images
from normscape.scoring.record import Record

DAY = "2026-03-14"
NOW = datetime.datetime(2026, 3, 14, 12, tzinfo=datetime.UTC)


def alert(
    kind: Kind = Kind.DRIFT, name: str = "nut", day: str = DAY, truth: Any = None, **figures: Any
) -> Alert:
    key = "name" if kind is Kind.UNKNOWN else "category"
    found = Finding(kind, name, Severity.WARNING, "moved", {key: name, **figures})
    return dataclasses.replace(Alert.opened(found, day, "v0001", NOW), truth=truth)


def record(number: int, status: str, reason: str = "drifted", **changes: Any) -> Record:
    values: dict[str, Any] = {
        "sha256": f"{number:064x}", "source": "x.png", "day": DAY, "reasons": (reason,),
        "declared": "nut", "predicted": "nut", "score": 1.0, "p_value": 0.1, "threshold": 2.0,
        "model_version": "v0001", "status": status, "category": "nut",
    }  # fmt: skip
    return Record(**(values | changes))


@pytest.mark.parametrize(("real", "judged"), [(0, 1), (0, 8), (5, 6), (12, 14), (30, 30)])
def test_the_interval_is_jeffreys_and_holds_the_estimate(real: int, judged: int) -> None:
    share = Share(real, judged)
    low, high = share.interval
    assert share.estimate is not None
    assert 0 <= low <= share.estimate <= high <= 1
    mass = stats.beta.cdf([low, high], real + 0.5, judged - real + 0.5)
    assert mass[1] - mass[0] >= 0.95 - 1e-9
    assert Share(0, 0).estimate is None


def test_alerts_are_counted_by_kind_and_subject_over_ninety_days() -> None:
    alerts = [
        alert(truth="real"), alert(name="cap", truth="false_alarm"), alert(name="pin"),
        alert(day="2025-12-14", truth="false_alarm"), alert(day="2026-03-15", truth="false_alarm"),
        alert(Kind.TRAFFIC, truth="real"),
    ]  # fmt: skip
    found = precision(alerts, [], DAY)
    assert found[Kind.DRIFT, None].alerts == Share(1, 2)
    assert found[Kind.DRIFT, "nut"].alerts == Share(1, 1)
    assert found[Kind.DRIFT, "pin"].alerts == Share(0, 0)
    assert found[Kind.TRAFFIC, None].alerts == Share(1, 1)
    assert (Kind.DEFECTS, None) not in found


def test_what_an_image_must_show() -> None:
    drifted = [record(n, "approved") for n in range(12)]
    drifted += [record(12, "rejected"), record(13, "missed_defect"), record(14, "waiting")]
    assert images_of(alert(), drifted) == Share(12, 14)
    flagged = [record(n, status, "flagged") for n, status in enumerate(("rejected", "false_alarm"))]
    flagged += [record(2, "approved", "flagged")]
    # a flagged image that is approved as normal was a false alarm, too
    assert images_of(alert(Kind.DEFECTS), flagged) == Share(1, 3)
    assert images_of(alert(Kind.TRAFFIC), [*drifted, *flagged]) == Share(0, 0)


def test_an_unknown_product_is_real_where_people_name_another_one() -> None:
    group = {"declared": None, "predicted": "nut"}
    images = [
        record(0, "approved", "unknown", category="grass", **group),
        record(1, "approved", "unknown", category="nut", **group),
        record(2, "approved", "unknown", category="grass", declared="cap"),
    ]
    undeclared = alert(Kind.UNKNOWN, source="undeclared", examples=[])
    assert images_of(undeclared, images) == Share(1, 2)
    named = alert(Kind.UNKNOWN, "grass", source="name", examples=[images[0].sha256])
    assert images_of(named, images) == Share(1, 1)
    assert images_of(named, [dataclasses.replace(images[0], category="nut")]) == Share(0, 1)


def test_only_images_of_the_alerts_days_category_and_reason_stand_behind_it() -> None:
    others = [
        record(0, "approved", day="2026-03-13"), record(1, "approved", declared="cap"),
        record(2, "approved", "random"), record(3, "approved", declared=None),
    ]  # fmt: skip
    assert [each.sha256 for each in behind(alert(), others)] == [f"{3:064x}"]


def test_an_image_behind_two_alerts_counts_once() -> None:
    found = precision([alert(), alert(day="2026-03-13")], [record(0, "approved")], DAY)
    assert found[Kind.DRIFT, "nut"].images == Share(1, 1)
    both = dataclasses.replace(alert(day="2026-03-13"), days=("2026-03-13", DAY))
    found = precision([alert(), both], [record(0, "approved")], DAY)
    assert found[Kind.DRIFT, "nut"].images == found[Kind.DRIFT, None].images == Share(1, 1)


def test_words() -> None:
    assert say_images(Kind.DEFECTS, Share(3, 4)).startswith("3 of 4 reviewed show a defect (")
    assert say_images(Kind.DRIFT, Share(0, 0)) == "none reviewed yet"
    assert say_images(Kind.TRAFFIC, Share(0, 0)) == "none"
