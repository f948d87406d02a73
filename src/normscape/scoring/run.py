"""Scoring with a registered model, from the place that a person names to the summaries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from normscape.params import Params
from normscape.progress import progress_bar
from normscape.registry.bundle import Bundle
from normscape.registry.store import open_registry
from normscape.scoring.day import DayRun
from normscape.scoring.listing import DayImages, list_images
from normscape.scoring.scorer import Scorer
from normscape.scoring.summary import ScoreSummary
from normscape.sections.production import Maps


def score_place(
    place: str | Path,
    params: Params,
    *,
    day: str | None = None,
    alias: str = "production",
    runtime: str | None = None,
    precision: str | None = None,
    maps: Maps | None = None,
    progress: bool = True,
) -> list[ScoreSummary]:
    """Score the images of a day's folder, of a manifest, or below an object store's prefix.

    What is already in the log for a day and model version is not scored again, so an interrupted
    run is finished by running it again, and two runs at once log nothing twice. An image reaches
    the log only after its maps and its place in the inbox are written.

    Args:
        place: A day's folder `[category/]image`, a manifest, or `s3://bucket/prefix` laid out like
            a day's folder; the last part of its name is the day unless `day` or the manifest gives
            it.
        params: The project.
        day: YYYY-MM-DD.
        alias: An alias or a version of the registry.
        runtime: Insist on this runtime; the bundle's when None.
        precision: Insist on this precision; the bundle's when None.
        maps: Which maps to write; `score.maps` when None.
        progress: Whether to show a bar on standard error.

    Returns:
        What was done, a day each.

    Raises:
        UsageError: The place, the day, the alias, the runtime or the precision is wrong.
        NormscapeError: The bundle is damaged or cannot run here, or nothing can be written.
    """
    days = list_images(place, params.root, day)
    version, bundle = open_version(params, alias)
    scorer = Scorer.open(
        bundle,
        runtime=runtime,
        precision=precision,
        root=params.root,
        cache=params.state / "cache",
    )
    return score_days(days, scorer, version, params, maps=maps, progress=progress)


def score_days(
    days: Sequence[DayImages],
    scorer: Scorer,
    version: str,
    params: Params,
    *,
    maps: Maps | None = None,
    progress: bool = True,
) -> list[ScoreSummary]:
    """`score_place` with what it has found and opened.

    Args:
        days: The images, a day each.
        scorer: The bundle, ready to score.
        version: The name of the bundle's version.
        params: The project.
        maps: Which maps to write; `score.maps` when None.
        progress: Whether to show a bar on standard error.

    Raises:
        NormscapeError: Nothing can be written, or the model scores nothing at all.
    """
    summaries = []
    for each in days:
        run = DayRun(params, scorer, each.day, version, maps or params.score.maps)
        run.summary.found = len(each.sources)
        title = f"scoring {each.day} with {version}"
        with progress_bar(title, len(each.sources), progress) as report:
            for done in run.score(each.sources):
                report(done, "")
        summaries.append(run.summary)
    return summaries


def open_version(params: Params, alias: str) -> tuple[str, Bundle]:
    """The name and the verified bundle of an alias or version of the project's registry.

    Raises:
        UsageError: There is none.
        NormscapeError: It is damaged.
    """
    registry = open_registry(params)
    version = registry.resolve(alias)
    return version, Bundle.load(registry.get(version))
