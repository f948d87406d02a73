"""Windows that a plant has on its worst days: empty, scarce, constant, damaged, promoted."""

import json
import math

import pytest

from monitoring.watch import watch
from normscape.alerts import AlertStore, Kind
from normscape.drift import Verdict
from tests.unit.monitoring.support import CATEGORIES, Line

DAYS = [f"2026-03-{day:02d}" for day in range(2, 16)]


def stored(line):
    return AlertStore.of(line.params).sound()


def verdicts(run):
    return {each.category: each.verdict for each in run.drift.categories}


@pytest.mark.slow
def test_an_empty_window_says_nothing_ends_nothing_and_has_a_page(line: Line):
    line.day(DAYS[0], "nut", 15, shift=4)
    watch(line.params, DAYS[0])
    before = stored(line)
    for day in DAYS[1:5]:
        run = watch(line.params, day)
        assert set(verdicts(run).values()) <= {Verdict.SILENT, Verdict.MISSING}
    assert [each.state for each in stored(line)] == ["open"] * len(before)
    html = (run.folder / "report.html").read_text()
    assert "scored no images in this window" in html
    assert before[0].id[:8] in html
    assert f'href="../{DAYS[0]}/report.html"' in html


@pytest.mark.slow
def test_one_image_a_day_of_each_category_waits_until_there_are_enough(line: Line):
    for day in DAYS[:7]:
        for name in CATEGORIES:
            line.day(day, name, 1)
        run = watch(line.params, day) if day == DAYS[6] else None
    assert set(verdicts(run).values()) == {Verdict.TOO_FEW}
    assert not run.alerts
    for day in DAYS[7:10]:
        for name in CATEGORIES:
            line.day(day, name, 1, shift=6 if name == "nut" else 0)
    run = watch(line.params, DAYS[9])
    assert verdicts(run)["nut"] in {Verdict.TOO_FEW, Verdict.DRIFT, Verdict.QUIET}
    assert Verdict.DRIFT not in {verdicts(run)[name] for name in ("bolt", "cap", "pin")}


@pytest.mark.parametrize("own", [True, False])
def test_a_day_of_equal_scores_has_a_verdict_and_finite_figures(line: Line, own: bool):
    """As a stuck camera makes them: at the usual level they are quiet, elsewhere they drift."""
    middle = float(line.reference[line.reference["category"] == "nut"]["score"].median())
    for name in ("bolt", "cap", "pin"):
        line.day(DAYS[0], name, 20)
    line.day(DAYS[0], "nut", 20, score=middle if own else middle + 2.0)
    run = watch(line.params, DAYS[0])
    assert verdicts(run)["nut"] is (Verdict.QUIET if own else Verdict.DRIFT)
    assert verdicts(run)["cap"] is Verdict.QUIET
    content = json.loads((run.folder / "verdicts.json").read_text())
    nut = next(each for each in content["categories"] if each["category"] == "nut")
    assert math.isfinite(nut["effect"])
    assert "NaN" not in json.dumps(content)


def test_all_categories_with_equal_scores(line: Line):
    for name in CATEGORIES:
        line.day(DAYS[0], name, 20, score=1.0)
    run = watch(line.params, DAYS[0])
    assert {Verdict.DRIFT} <= set(verdicts(run).values())
    assert (run.folder / "report.html").stat().st_size > 0


def test_what_is_no_number_is_left_out(line: Line):
    for name in ("bolt", "cap", "nut"):
        line.day(DAYS[0], name, 20)
    for value in (math.nan, math.inf, -math.inf):
        line.day(DAYS[0], "nut", 3, score=value)
    line.day(DAYS[0], "cap", 3, category_p_value=math.nan, mean_intensity=math.nan)
    line.day(DAYS[0], "pin", 12, score=math.nan)
    run = watch(line.params, DAYS[0])
    assert verdicts(run)["bolt"] is Verdict.QUIET
    assert verdicts(run)["cap"] is Verdict.QUIET
    assert verdicts(run)["nut"] is Verdict.QUIET
    assert verdicts(run)["pin"] is Verdict.SILENT
    assert run.drift.of("nut").images == 20
    assert not run.alerts
    assert "NaN" not in (run.folder / "verdicts.json").read_text()


@pytest.mark.slow
def test_a_promotion_in_the_middle_of_a_window_mixes_nothing(line: Line):
    """The new version's scores lie elsewhere: each is compared with its own reference only."""
    old = line.version
    for day in DAYS[:3]:
        for name in CATEGORIES:
            line.day(day, name, 15, shift=4 if name == "nut" else 0)
    watch(line.params, DAYS[1])
    [drift] = [each for each in stored(line) if each.kind is Kind.DRIFT]
    new = line.promote(higher=3.0)
    for name in CATEGORIES:
        line.day(DAYS[2], name, 12)
    run = watch(line.params, DAYS[2])
    assert (run.version, run.images) == (new, 12 * len(CATEGORIES))
    assert set(run.window["model_version"]) == {new}
    assert set(verdicts(run).values()) == {Verdict.QUIET}
    assert any(note.startswith(f"{old} scored in this window, too") for note in run.notes)
    # the drift was the old version's: quiet windows of the new one end it
    [still] = [each for each in stored(line) if each.id == drift.id]
    assert (still.state, still.quiet, still.version) == ("open", (DAYS[2],), old)
    for day in DAYS[3:5]:
        for name in CATEGORIES:
            line.day(day, name, 12)
        watch(line.params, day)
    [ended] = [each for each in stored(line) if each.id == drift.id]
    assert ended.state == "resolved"
    assert not [each for each in stored(line) if each.version == new and each.kind is Kind.DRIFT]
