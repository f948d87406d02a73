"""The end of the tour: what was found beside what the feed is known to hold, and where to look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from normscape.data.demo import ARRIVAL_DAY, DRIFT_DAY, FEED_DAYS
from normscape.novelty import Source
from normscape.params import Params

if TYPE_CHECKING:
    from flows.tour import Story

_METRICS = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "aupro": "AUPRO"}


@dataclass(frozen=True)
class Expectation:
    """Something the tour must have shown.

    Attributes:
        text: What.
        met: Whether it did.
    """

    text: str
    met: bool


def expectations(story: Story, params: Params) -> list[Expectation]:
    """Compare what the monitor found with what the demo's feed holds."""
    from flows.tour import DRIFTING, NEW_PRODUCT

    quiet = FEED_DAYS[: FEED_DAYS.index(DRIFT_DAY)]
    drifted = {day: {f.category for f in run.drift.drifted} for day, run in story.days.items()}
    unknown = {day: run.unknown.unknown for day, run in story.days.items()}
    last = story.days[FEED_DAYS[-1]]
    catalogues = (
        [each.discovery.catalogue for each in story.kinds.categories] if story.kinds else []
    )
    kinds = {
        kind.name for each in catalogues if each.category == NEW_PRODUCT for kind in each.living
    }
    return [
        Expectation(
            "nothing raised on the quiet days", not any(story.days[day].alerts for day in quiet)
        ),
        Expectation(
            f"drift of {DRIFTING}, and of nothing else, on {DRIFT_DAY}",
            drifted[DRIFT_DAY] == {DRIFTING} and not unknown[DRIFT_DAY],
        ),
        Expectation(
            f"an unknown product among the undeclared images of {ARRIVAL_DAY}",
            not drifted[ARRIVAL_DAY]
            and {group.source for group in unknown[ARRIVAL_DAY]} == {Source.UNDECLARED},
        ),
        Expectation(
            "no training on unreviewed images", story.refusal.startswith("nothing new to learn")
        ),
        Expectation(
            f"{NEW_PRODUCT} known to {story.versions[-1].version}, and a quiet day after",
            NEW_PRODUCT in story.metrics[-1]["categories"] and not last.alerts,
        ),
        Expectation(
            f"the kinds of defects that were named in {NEW_PRODUCT}'s review are in its catalogue",
            bool(story.named) and story.named <= kinds,
        ),
    ]


def print_summary(story: Story, params: Params, checks: list[Expectation], seconds: float) -> None:
    """Print metrics before and after, what was found on which day, and where the pages are."""
    console = Console(highlight=False)
    console.print()
    console.print(_metrics_table(story))
    console.print(_days_table(story))
    for check in checks:
        console.print(f"  {'[green]yes[/]' if check.met else '[red]NO [/]'}  {check.text}")
    console.print(f"\nReports, all offline pages ({seconds / 60:.1f} minutes in all):")
    pages = [params.artifacts / "evaluation" / "report.html"]
    pages += [story.days[day].folder / "report.html" for day in (DRIFT_DAY, ARRIVAL_DAY)]
    pages.append(params.state / "monitor" / "defects.html")
    pages.append(params.artifacts / "validation" / "data_docs" / "index.html")
    for page in pages:
        console.print(f"  {_near(page)}", soft_wrap=True)


def _near(page: Path) -> Path:
    """The path as seen from the checkout, two folders above the scratch clone's parent."""
    checkout = Path.cwd().parents[1]
    page = page.resolve()
    return page.relative_to(checkout) if page.is_relative_to(checkout) else page


def _metrics_table(story: Story) -> Table:
    before, after = story.metrics
    names = [result.version for result in story.versions]
    table = Table(title="Metrics per category, before and after the retraining")
    table.add_column("category")
    for title in _METRICS.values():
        table.add_column(f"{title}\n{names[0]} → {names[1]}", justify="right")
    table.add_column(f"false positives\n{names[0]} → {names[1]}", justify="right")
    for category in sorted({*before["categories"], *after["categories"]}):
        rows = [metrics["categories"].get(category, {}) for metrics in (before, after)]
        cells = [" → ".join(_figure(row.get(key)) for row in rows) for key in _METRICS]
        table.add_row(category, *cells, " → ".join(_false_positives(row) for row in rows))
    cells = [
        " → ".join(_figure(metrics["mean"].get(key)) for metrics in story.metrics)
        for key in _METRICS
    ]
    table.add_section()
    table.add_row("mean", *cells, "")
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _false_positives(row: dict[str, Any]) -> str:
    rate = row.get("false_positive_rate", {}).get("declared")
    return "-" if rate is None else f"{rate['flagged']}/{rate['images']}"


def _days_table(story: Story) -> Table:
    table = Table(title="What the monitor found")
    for title in ("day", "model", "images", "found"):
        table.add_column(title)
    for day, run in story.days.items():
        found = [alert.sentence for alert in run.alerts if "retraining" not in alert.sentence]
        table.add_row(day, run.version, str(run.images), "\n".join(found) or "quiet")
    return table
