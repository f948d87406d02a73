"""The page of one monitor run: lights, findings, courses, and the images to look at; offline."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined

from monitoring.findings import findings, precision_rows
from monitoring.galleries import (
    FindImage,
    category_gallery,
    flagged_gallery,
    title,
    unknown_gallery,
)
from monitoring.histogram import overlay
from monitoring.lights import LIGHTS, REMARKABLE, WORDS, Light, by_light
from monitoring.rules import describe_drift, describe_rise, describe_silence, describe_unknown
from monitoring.sparkline import sparkline
from normscape.drift import CategoryDrift, Verdict

if TYPE_CHECKING:
    from monitoring.monitor_run import MonitorRun

_TEMPLATES = Path(__file__).parent / "templates"
_FEW = 12
"""So many categories are shown in full; of more, the rest waits behind a click."""

_USUAL_DAYS = 28
_LINKS = 14
_NOTHING = pd.DataFrame({"score": [], "flagged": []})
_NONE = "–"  # noqa: RUF001


def render(run: MonitorRun, find_image: FindImage, *, evidently: bool) -> str:
    """The HTML of one monitor run; everything it shows is inside it.

    Args:
        run: The verdicts and the rows behind them.
        find_image: Where the images are.
        evidently: Whether Evidently's report lies beside the page.
    """
    # The evaluation report's stylesheet gives every page of the project the same look.
    loader = ChoiceLoader([FileSystemLoader(_TEMPLATES), PackageLoader("normscape.evaluation")])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(shift=_shift, probability=_probability, share=_share)
    rows = _rows(run)
    remarkable = [row for row in rows if row["light"] in REMARKABLE]
    for row in remarkable[:_FEW]:
        row["gallery"] = category_gallery(row["verdict"], row["rows"], find_image)
    unknown = [
        {
            "title": title(group),
            "text": describe_unknown(group),
            "gallery": unknown_gallery(group, run.day, run.window, find_image),
        }
        for group in run.unknown.unknown
    ]
    flagged = _flagged(run, remarkable[:_FEW], find_image)
    shown = bool(unknown or remarkable or flagged)
    return environment.get_template("page.html.j2").render(
        run=run,
        cards=_cards(run),
        findings=findings(
            run.standing, run.day, run.judged_alerts, run.params.alerts.quiet_windows,
            datetime.datetime.now(datetime.UTC),
        ),
        precision=precision_rows(run.judged_alerts),
        rows=rows,
        remarkable=remarkable[:_FEW],
        others=remarkable[_FEW:],
        few=len(rows) <= _FEW,
        unknown=unknown,
        flagged=flagged,
        mix=_mix(run),
        earlier=run.earlier[:_LINKS],
        credits=_credits(run) if shown else [],
        params=run.params.monitor,
        evidently=evidently,
    )  # fmt: skip


def _cards(run: MonitorRun) -> list[tuple[str, int, str]]:
    """Light, number and words."""
    counts = Counter(each.verdict for each in run.drift.categories)
    cards = [(str(LIGHTS[verdict]), counts[verdict], words) for verdict, words in WORDS.items()]
    place = 1 + list(WORDS).index(Verdict.MISSING)
    cards.insert(place, (str(Light.ORANGE), len(run.unknown.unknown), "unknown products"))
    return cards


def _rows(run: MonitorRun) -> list[dict[str, Any]]:
    """Everything that is shown of each category, in the order of the page."""
    seen = dict(iter(run.judged.groupby("category")))
    known = dict(iter(run.reference.groupby("category")))
    trend = dict(iter(run.drift.trend.groupby("category"))) if len(run.drift.trend) else {}
    effect = run.params.monitor.min_effect
    sentences = {each.category: describe_rise(each) for each in run.drift.rising}
    sentences |= {each.category: describe_silence(each) for each in run.drift.silent_alerts}
    found = []
    for each in by_light(run.drift):
        own = seen.get(each.category, _NOTHING)
        found.append(
            {
                **each.as_dict(),
                "verdict": each.verdict,
                "light": LIGHTS[each.verdict],
                "words": WORDS[each.verdict],
                "sentence": _sentence(each, sentences),
                "flagged": int(own["flagged"].astype(bool).sum()),
                "rows": own,
                "gallery": None,
                "histogram": overlay(
                    known[each.category]["score"], own["score"], run.thresholds.get(each.category)
                ),
                "trend": sparkline(trend[each.category], run.day, min_effect=effect)
                if each.category in trend
                else "",
            }
        )
    return found


def _sentence(found: CategoryDrift, others: dict[str, str]) -> str:
    if found.verdict in (Verdict.DRIFT, Verdict.STALE):
        return describe_drift(found)
    return others.get(found.category, "")


def _flagged(run: MonitorRun, shown: list[dict[str, Any]], find_image: FindImage) -> Any:
    """A gallery of the flagged images that stand behind none of the categories above; or None."""
    above = {row["category"] for row in shown if row["gallery"] is not None}
    rows = run.judged[run.judged["flagged"].astype(bool) & ~run.judged["category"].isin(above)]
    return flagged_gallery(rows, find_image) if len(rows) else None


def _mix(run: MonitorRun) -> list[tuple[str, float, float]]:
    """Category, its share of the day's images and its usual share; the largest changes first."""
    trend = run.drift.trend
    if not len(trend):
        return []
    last = datetime.date.fromisoformat(run.day)
    first = (last - datetime.timedelta(days=_USUAL_DAYS)).isoformat()
    before = trend[(trend["day"] < run.day) & (trend["day"] >= first)]
    sides = (trend[trend["day"] == run.day], before)
    counts = [rows.groupby("category")["images"].sum() for rows in sides]
    if not all(each.sum() for each in counts):
        return []
    today, usual = (each / each.sum() for each in counts)
    names = sorted(set(today.index) | set(usual.index))
    table = [(str(name), float(today.get(name, 0)), float(usual.get(name, 0))) for name in names]
    return sorted(table, key=lambda row: -abs(row[1] - row[2]))


def _credits(run: MonitorRun) -> list[str]:
    shown = set(run.window["declared_category"].dropna()) | set(run.judged["category"].dropna())
    return [
        f"{name}: {text}" for name, text in run.params.evaluate.credits.items() if name in shown
    ]


def _shift(value: float | None) -> str:
    if value is None or math.isnan(value):
        return _NONE
    return f"{math.copysign(min(abs(value), 99.9), value):+.1f}"


def _probability(value: float | None) -> str:
    if value is None or math.isnan(value):
        return _NONE
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _share(value: float | None) -> str:
    if value is None or math.isnan(value):
        return _NONE
    return f"{value:.1%}"
