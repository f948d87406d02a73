"""What a quality engineer reads: lights, sentences, courses; nothing that needs a network."""

import datetime
import re

import numpy as np
import pandas as pd
import pytest

from monitoring import page
from monitoring.findings import findings, precision_rows
from monitoring.galleries import Gallery, Picture, category_gallery
from monitoring.lights import LIGHTS, Light, by_light
from monitoring.monitor_run import MonitorRun
from monitoring.sparkline import DAYS, sparkline
from normscape.alerts import Alert, Finding, Kind, Severity
from normscape.alerts.alert import Mark
from normscape.drift import CategoryDrift, DriftVerdicts, Verdict
from normscape.novelty import Source, UnknownGroup, UnknownVerdict
from normscape.params import load_params
from normscape.review.precision import Precision, Share

DAY = "2026-03-14"
NOW = datetime.datetime(2026, 3, 14, 12, tzinfo=datetime.UTC)


def trend(name="nut", days=40, *, alarm=(), flagged=0.02):
    last = datetime.date.fromisoformat(DAY)
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "day": [(last - datetime.timedelta(days=back)).isoformat() for back in range(days)],
            "category": name,
            "images": 100,
            "flagged": int(100 * flagged),
            "shift": rng.normal(0, 0.1, days),
            "alarm": [back in alarm for back in range(days)],
            "rising": False,
        }
    )


def make_run(tmp_path, categories, *, groups=(), standing=(), judged=None, **more):
    (tmp_path / "params.yaml").write_text("{}\n")
    names = [each.category for each in categories]
    rng = np.random.default_rng(0)
    reference = pd.DataFrame({"category": np.repeat(names, 30)})
    reference["score"] = rng.normal(size=len(reference))
    rows = pd.DataFrame({"category": np.repeat(names, 10)})
    rows["score"] = rng.normal(size=len(rows))
    rows = rows.assign(
        declared_category=rows["category"], predicted_category=rows["category"], flagged=False,
        threshold=2.0, category_p_value=0.5, path="gone.png",
        sha256=[f"{number:064x}" for number in range(len(rows))],
    )  # fmt: skip
    return MonitorRun(
        DAY, (DAY,), "v0001", "torch", "fp32", load_params(tmp_path / "params.yaml"), rows, rows,
        reference, dict.fromkeys(names, 2.0),
        DriftVerdicts(tuple(categories), trend=pd.concat([trend(name) for name in names])),
        UnknownVerdict(tuple(groups)), (), (), tuple(standing), judged or {}, **more,
    )  # fmt: skip


def category(name, verdict=Verdict.QUIET, effect=0.1):
    return CategoryDrift(name, verdict, 10, 30, effect=effect, days=1, adjusted=0.5)


def alert(kind=Kind.DRIFT, subject="nut", day=DAY, **figures):
    finding = Finding(
        kind, subject, Severity.CRITICAL, f"scores of {subject} moved",
        {"category": subject, **figures},
    )  # fmt: skip
    return Alert.opened(finding, day, "v0001", NOW)


def render(run):
    return page.render(run, lambda *_: None, evidently=False)


def test_every_verdict_has_a_light_and_the_urgent_come_first():
    assert set(LIGHTS) == set(Verdict)
    shuffled = [category(str(verdict), verdict) for verdict in reversed(Verdict)]
    order = [LIGHTS[each.verdict] for each in by_light(DriftVerdicts(tuple(shuffled)))]
    assert order == sorted(order, key=list(Light).index)
    two = [category("a", effect=0.2), category("b", effect=-0.9)]
    assert [each.category for each in by_light(DriftVerdicts(tuple(two)))] == ["b", "a"]


def test_names_are_escaped_and_nothing_is_fetched(tmp_path):
    name = "<script>alert(1)</script>"
    found = render(
        make_run(tmp_path, [category(name, Verdict.DRIFT)], standing=[alert(subject=name)])
    )
    assert "<script" not in found
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|@import|url\(""", found)


def test_many_categories_stay_readable(tmp_path):
    verdicts = [Verdict.DRIFT] * 20 + [Verdict.QUIET] * 140
    found = render(
        make_run(tmp_path, [category(f"p{n:03d}", each) for n, each in enumerate(verdicts)])
    )
    assert found.count('class="chip ') == 160
    assert "8 more categories to look at" in found
    assert "<details open>" not in found
    assert len(found) < 1_500_000
    few = render(make_run(tmp_path, [category("nut"), category("cap")]))
    assert "<details open>" in few
    assert "Nothing has drifted" in few


def test_an_unknown_product_shows_what_it_resembles_and_the_command(tmp_path, monkeypatch):
    group = UnknownGroup("cap", Source.UNDECLARED, 30, 28, 0.001, 0.002, True, ("a",), ("b",), ())
    shown = Gallery(
        "The strangest first.", (Picture("data:image/png;base64,", "x.png", "like cap"),), 0,
        (("cap", 0.75), ("nut", 0.25)), "normscape review approve --all --category NEW_NAME",
    )  # fmt: skip
    monkeypatch.setattr(page, "unknown_gallery", lambda *_: shown)
    found = render(make_run(tmp_path, [category("nut")], groups=[group]))
    assert "Most like cap (75 %), nut (25 %)." in found
    assert "<code>normscape review approve --all --category NEW_NAME</code>" in found
    assert '<div class="card orange"><b>1</b><span>unknown products' in found


def test_the_highest_scores_stand_behind_more_defects():
    rows = pd.DataFrame(
        {"score": [1.0, 9.0, 4.0], "sha256": list("abc"), "path": list("abc"),
         "declared_category": "nut", "predicted_category": "nut"}
    )  # fmt: skip
    asked = []
    category_gallery(Verdict.RISING, rows, lambda sha256, _: asked.append(sha256))
    assert asked == ["b", "c", "a"]
    assert category_gallery(Verdict.QUIET, rows, lambda *_: None) is None


def sentences(*alerts, judged=None):
    return findings(alerts, DAY, judged or {}, 3, NOW)


def test_who_takes_care_of_an_alert_is_said():
    new, old = alert(), alert(Kind.TRAFFIC, "pin", "2026-03-01")
    [first, second] = sentences(old, new)
    assert (first.id, first.light) == (new.id[:8], Light.RED)
    assert first.course == "new in this window"
    assert first.care == "nobody has taken it on yet"
    assert "over after 3 more" in second.course
    mark = Mark("anna", "lamp ordered", NOW, NOW + datetime.timedelta(days=1))
    import dataclasses

    [acknowledged] = sentences(dataclasses.replace(new, acknowledged=mark))
    assert acknowledged.care == "anna takes care of it since 2026-03-14: lamp ordered"
    [snoozed] = sentences(dataclasses.replace(new, snoozed=mark))
    assert snoozed.care.startswith("silenced by anna until 2026-03-15 12:00 UTC")
    ended = dataclasses.replace(new, state="resolved").noted(NOW, "resolved", by="ben", why="done")
    assert sentences(ended)[0].care == "settled by ben: done"
    assert sentences(alert(verdict="stale"))[0].light is Light.YELLOW


def test_what_people_said_is_shown_with_its_interval():
    judged = {
        (Kind.DRIFT, None): Precision(Share(5, 6), Share(12, 14)),
        (Kind.DRIFT, "nut"): Precision(Share(0, 0), Share(12, 14)),
    }
    [row] = precision_rows(judged)
    assert row["alerts"].startswith("5 of 6 judged were real (44% to 98%")
    assert row["images"].startswith("12 of 14 reviewed show a good part")
    [finding] = sentences(alert(), judged=judged)
    assert finding.evidence.startswith("images behind such alerts of nut: 12 of 14")


def test_the_shares_of_the_day_are_compared_with_those_before(tmp_path):
    run = make_run(tmp_path, [category("nut"), category("cap")])
    frame = run.drift.trend.copy()
    frame.loc[(frame["day"] == DAY) & (frame["category"] == "nut"), "images"] = 300
    object.__setattr__(run.drift, "trend", frame)
    found = render(run)
    assert "<td>nut</td><td>75.0%</td><td>50.0%</td>" in found


def circles(svg, kind):
    return len(re.findall(f'class="{kind}"', svg))


def test_a_course_marks_its_alarms_and_shows_sixty_days():
    svg = sparkline(trend(days=90, alarm=(0, 1, 80)), DAY, min_effect=0.3)
    assert circles(svg, "alarm") == 2
    assert svg.count(",") >= DAYS
    assert ">14 Jan<" in svg
    assert ">14 Mar<" in svg
    inside = [float(y) for y in re.findall(r'cy="([\d.]+)"', svg)]
    assert all(0 <= y <= 64 for y in inside)


@pytest.mark.parametrize("rows", [trend(days=1), trend(days=3, flagged=0).iloc[::-1]])
def test_a_short_course_is_drawn(rows):
    svg = sparkline(rows, DAY, min_effect=0.3)
    assert svg.startswith("<svg")
    assert "nan" not in svg


def test_a_course_without_figures_is_empty():
    assert not sparkline(trend().assign(shift=np.nan), DAY, min_effect=0.3)
    assert not sparkline(trend().iloc[:0], DAY, min_effect=0.3)
