"""The whole loop on the demo data, in a scratch clone: what `make run` does.

Train, score the feed day by day, watch, review what is new, train again, sort the defects into
kinds. At the end the tour compares what was found with what the feed is known to hold and exits
with 1 if they differ.
"""

if __name__ == "__main__":
    import os

    from flows.environment import own_prefect

    # the tour prints what matters; the flows' own log is for a server
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    own_prefect()

import csv
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.environment import command
from flows.scratch import make_scratch, run
from normscape.errors import NormscapeError
from normscape.params import Params, load_params

if TYPE_CHECKING:
    from monitoring.monitor_run import MonitorRun
    from normscape.discovery.run import DiscoveryRun
    from normscape.registry.publish import PublishResult

NEW_PRODUCT = "grass"
DRIFTING = "solar_poly"
_SCRATCH = "tour"


@dataclass
class Story:
    """What happened, for the summary.

    Attributes:
        days: The monitor's run of each day.
        versions: What was published, in order.
        metrics: `metrics.json` of each version.
        refusal: What the training said when it was asked to learn from unreviewed images.
        approved: Normal images of the new product that a person approved.
        rejected: Defective ones that a person labelled.
        named: The kinds of defects that the person named.
        kinds: What the flagged images of all days were sorted into.
    """

    days: "dict[str, MonitorRun]" = field(default_factory=dict)
    versions: "list[PublishResult]" = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""
    approved: int = 0
    rejected: int = 0
    named: set[str] = field(default_factory=set)
    kinds: "DiscoveryRun | None" = None


def main(
    inside: Annotated[bool, typer.Option("--inside", hidden=True)] = False,
) -> None:
    """Take the whole loop through the demo data, in a scratch clone below .normscape/."""
    if inside:
        _take()
        return
    checkout = Path.cwd()
    scratch = load_params().state / _SCRATCH
    say("Demo data: real solar cells and textures (docs/demo-data.md)")
    for line in run(checkout, "normscape", "data", "demo").splitlines():
        say(f"  {line}")
    run(checkout, "dvc", "commit", "--quiet", "--force", "data.dvc")
    changed = make_scratch(checkout, scratch)
    say(f"Scratch clone: {scratch.relative_to(checkout)}, the checkout stays as it is")
    if changed:
        say("  with the checkout's uncommitted changes")
    environment = {**os.environ, "PYTHONPATH": str(scratch / "src")}
    for name in ("PREFECT_HOME", "NORMSCAPE_PREFECT_API_URL"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "flows.tour", "--inside"], cwd=scratch, env=environment, check=False
    )
    sys.exit(done.returncode)


def _take() -> None:
    from flows.tour_summary import expectations, print_summary
    from normscape.data.demo import ARRIVAL_DAY, FEED_DAYS

    started = time.monotonic()
    params, story = load_params(), Story()
    _train(params, story, "first model")
    for day in FEED_DAYS[: FEED_DAYS.index(ARRIVAL_DAY) + 1]:
        _one_day(params, story, day)
    _ask_too_early(story)
    _review(params, story, ARRIVAL_DAY)
    _train(params, story, f"{NEW_PRODUCT} approved")
    for day in FEED_DAYS[FEED_DAYS.index(ARRIVAL_DAY) + 1 :]:
        _one_day(params, story, day)
    _sort_defects(story)
    checks = expectations(story, params)
    print_summary(story, params, checks, time.monotonic() - started)
    failed = [check.text for check in checks if not check.met]
    if failed:
        raise NormscapeError("the tour did not show: " + "; ".join(failed))


def _train(params: Params, story: Story, reason: str) -> None:
    from flows.train import train
    from normscape.files import read_json

    say(f"Training: {reason} (guard, stages, gate, register, promote)")
    result: Any = train(reason=reason, allow_dirty=True)
    story.versions.append(result)
    story.metrics.append(read_json(params.artifacts / "evaluation" / "metrics.json"))
    mean = story.metrics[-1]["mean"]
    say(
        f"  {result.version} is in production: mean image AUROC {mean['image_auroc']:.3f}, "
        f"pixel AUROC {mean['pixel_auroc']:.3f}; promoted with --allow-dirty, because this clone "
        "is never committed"
    )


def _one_day(params: Params, story: Story, day: str) -> None:
    from flows.monitor import monitor
    from flows.score import score

    [summary] = score(str(params.root / "feed" / day))
    found: Any = monitor(day)
    story.days[day] = found
    scored = f"{summary.logged} images scored by {summary.model_version}"
    say(f"{day}: {scored}, {summary.flagged} flagged")
    for alert in found.alerts:
        say(f"  {alert.sentence}")
    if not found.alerts:
        say("  quiet")


def _ask_too_early(story: Story) -> None:
    """The monitor's event starts a training; without reviewed images there is nothing to learn."""
    from flows.train import train

    say("The request for retraining starts a training")
    state: Any = train(
        reason="normscape.retrain.requested", requested_by_event=True, return_state=True
    )
    story.refusal = state.message
    say(f"  {state.message}")


def _review(params: Params, story: Story, day: str) -> None:
    """Play the operator, who knows a good part from a bad one; `truth.csv` is his knowledge."""
    from normscape.review.inbox import Selection, select
    from normscape.review.verdicts import Verdict, judge

    with (params.root / "feed" / "truth.csv").open(encoding="utf-8", newline="") as stream:
        truth = {f"feed/{row['path']}": row for row in csv.DictReader(stream)}
    waiting = [
        (record, truth[record.source]["defect_type"])
        for record in select(params, Selection(day=day))
        if truth[record.source]["category"] == NEW_PRODUCT
    ]
    for kind in sorted({kind for _, kind in waiting}):
        records = [record for record, found in waiting if found == kind]
        if kind == "good":
            judge(params, records, Verdict("approved", NEW_PRODUCT))
            story.approved = len(records)
        else:
            judge(params, records, Verdict("rejected", NEW_PRODUCT, kind))
            story.rejected += len(records)
            story.named.add(kind)
    run(params.root, "dvc", "add", "--quiet", str(params.paths.data))
    say(
        f"Review: {story.approved} images of {NEW_PRODUCT} approved, {story.rejected} labelled as "
        "defects; dvc add data"
    )


def _sort_defects(story: Story) -> None:
    from flows.discover import discover

    found: Any = discover("the tour")
    story.kinds = found
    say("Kinds of defects among what was flagged and nobody called good")
    for each in found.categories:
        catalogue = each.discovery.catalogue
        kinds = [
            f"{catalogue.counts[kind.id]} {kind.name or kind.id}"
            for kind in catalogue.living
            if catalogue.counts[kind.id]
        ]
        if catalogue.counts[None]:
            kinds.append(f"{catalogue.counts[None]} of no kind")
        say(f"  {catalogue.category}: {', '.join(kinds)}")


def say(text: str) -> None:
    """Print a line of the tour."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    command(main)
