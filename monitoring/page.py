"""The page of one monitor run: lights, shifts, histograms and the images to look at; offline."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined

from monitoring.histogram import overlay
from monitoring.rules import describe_drift, describe_unknown
from normscape.data.images import read_image
from normscape.drift import DriftVerdicts, Verdict
from normscape.errors import DataError
from normscape.novelty import Source, UnknownGroup

if TYPE_CHECKING:
    from monitoring.watch import MonitorRun

_TEMPLATES = Path(__file__).parent / "templates"
_WORDS = {
    Verdict.DRIFT: "drift",
    Verdict.RISING: "more defects",
    Verdict.MISSING: "stays away",
    Verdict.STALE: "stale reference",
    Verdict.QUIET: "quiet",
    Verdict.TOO_FEW: "too few images",
    Verdict.SILENT: "no images",
}
_ORDER = tuple(_WORDS)
_PICTURES = 12
_THUMBNAIL = 200

FindImage = Callable[[str, str], Path | None]
"""From the sha256 and the logged path of an image to a file that shows it, or None."""


@dataclass(frozen=True)
class Picture:
    """A thumbnail."""

    source: str
    name: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Thumbnails of one finding; `hidden` counts those that are not shown."""

    title: str
    text: str
    pictures: tuple[Picture, ...]
    hidden: int


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
    environment.filters.update(shift=_shift, probability=_probability)
    counts = Counter(each.verdict for each in run.drift.categories)
    findings = [describe_drift(each) for each in run.drift.drifted]
    findings += [describe_unknown(group) for group in run.unknown.unknown]
    galleries = list(_galleries(run, find_image))
    return environment.get_template("page.html.j2").render(
        run=run,
        lights=[(verdict, _WORDS[verdict], counts[verdict]) for verdict in _ORDER],
        words=_WORDS,
        unknown=run.unknown.unknown,
        findings=findings,
        notes=run.notes,
        categories=_categories(run),
        galleries=galleries,
        credits=_credits(run) if galleries else [],
        params=run.params.monitor,
        evidently=evidently,
    )


def by_light(drift: DriftVerdicts) -> list[str]:
    """The categories, the most remarkable verdict first, then the largest shift."""
    ordered = sorted(
        drift.categories, key=lambda each: (_ORDER.index(each.verdict), -abs(each.effect or 0.0))
    )
    return [each.category for each in ordered]


def _categories(run: MonitorRun) -> list[dict[str, Any]]:
    rows = []
    for verdict in run.drift.categories:
        seen = run.judged[run.judged["category"] == verdict.category]
        known = run.reference[run.reference["category"] == verdict.category]
        rows.append(
            {
                **verdict.as_dict(),
                "flagged": int(seen["flagged"].sum()),
                "histogram": overlay(
                    known["score"], seen["score"], run.thresholds.get(verdict.category)
                ),
            }
        )
    return sorted(rows, key=lambda row: (_ORDER.index(row["verdict"]), row["category"]))


def _galleries(run: MonitorRun, find_image: FindImage) -> Iterable[Gallery]:
    for group in run.unknown.unknown:
        rows = run.window[run.window["sha256"].isin(group.hashes)].sort_values("category_p_value")
        yield _gallery(_title(group), describe_unknown(group) + ".", rows, find_image)
    for verdict in run.drift.drifted:
        rows = run.judged[run.judged["category"] == verdict.category]
        middle = rows.assign(away=(rows["score"] - rows["score"].median()).abs())
        yield _gallery(
            f"Drifted: {verdict.category}",
            "Images from the middle of the window's scores: the drift concerns them all.",
            middle.sort_values("away"),
            find_image,
        )
    quiet = {each.category for each in run.drift.categories} - {
        each.category for each in run.drift.drifted
    }
    flagged = run.judged[run.judged["flagged"].astype(bool) & run.judged["category"].isin(quiet)]
    if len(flagged):
        yield _gallery(
            "Flagged in the other categories",
            "Images above the threshold of their category, the clearest first.",
            flagged.assign(over=flagged["score"] / flagged["threshold"]).sort_values(
                "over", ascending=False
            ),
            find_image,
        )


def _title(group: UnknownGroup) -> str:
    if group.source is Source.NAME:
        return f"Unknown product: {group.name}"
    return "Suspected new product"


def _gallery(title: str, text: str, rows: pd.DataFrame, find_image: FindImage) -> Gallery:
    pictures: list[Picture] = []
    for row in rows.itertuples():
        if len(pictures) == _PICTURES:
            break
        path = find_image(str(row.sha256), str(row.path))
        source = None if path is None else _thumbnail(path)
        if source is not None:
            declared = row.declared_category if isinstance(row.declared_category, str) else None
            caption = f"{declared or 'like ' + str(row.predicted_category)}, {row.score:.3g}"
            pictures.append(Picture(source, str(row.path), caption))
    return Gallery(title, text, tuple(pictures), len(rows) - len(pictures))


def _thumbnail(path: Path) -> str | None:
    try:
        image = read_image(path)
    except DataError:
        return None  # moved or replaced since it was scored: the page does without
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def _credits(run: MonitorRun) -> list[str]:
    shown = set(run.window["declared_category"].dropna()) | set(run.judged["category"].dropna())
    return [
        f"{name}: {text}" for name, text in run.params.evaluate.credits.items() if name in shown
    ]


def _shift(value: float | None) -> str:
    if value is None:
        return "–"  # noqa: RUF001
    return f"{math.copysign(min(abs(value), 99.9), value):+.1f}"


def _probability(value: float | None) -> str:
    if value is None:
        return "–"  # noqa: RUF001
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"
