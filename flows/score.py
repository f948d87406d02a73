"""Score new images, wherever they lie, with the model in production."""

if __name__ == "__main__":
    from flows.environment import own_prefect

    own_prefect()

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from flows.environment import command
from flows.outcome import clear_errors
from normscape.errors import NormscapeError, UsageError
from normscape.params import Params, load_params
from normscape.storage.client import StoreError
from normscape.storage.location import SCHEME

if TYPE_CHECKING:
    from normscape.scoring.summary import ScoreSummary


def _is_worth_another_try(task: object, run: object, state: State) -> bool:
    """What a user must correct stays wrong; a lost mount or a silent object store may not."""
    found = state.result(raise_on_failure=False)
    return isinstance(found, StoreError) or not isinstance(found, NormscapeError)


@task(
    cache_policy=NO_CACHE, retries=1, retry_delay_seconds=10,
    retry_condition_fn=_is_worth_another_try, task_run_name="score {place}",
)  # fmt: skip
def score_images(place: str, day: str | None, params: Params) -> "list[ScoreSummary]":
    """Score a place; run again it scores only what is not in the log, so it may be retried."""
    from normscape.scoring.run import score_place

    return score_place(place, params, day=day)


@flow(name="score")
@clear_errors
def score(
    place: str,
    day: str | None = None,
    feed: bool = False,
    params_file: Path = Path("params.yaml"),
) -> "list[ScoreSummary]":
    """Score what `normscape score` scores, or all of a feed `day/[category/]image`.

    Args:
        place: A day's folder `[category/]image`, a manifest, or `s3://bucket/prefix`; with `feed`,
            the folder that holds the days.
        day: The day the images belong to; the manifest's, else the place's name when None.
        feed: Score each day of the feed that holds images which no model has scored yet.
        params_file: The parameter file, in the checkout's root.

    Returns:
        What was done, a day each; empty when a feed holds nothing new.

    Raises:
        UsageError: The place or the day is wrong, or there is no model in production.
        NormscapeError: The bundle is damaged or cannot run here, or nothing can be written.
    """
    from flows.feed import unscored_days

    if feed and day is not None:
        raise UsageError("with --feed the folders' names give the days; leave --day out")
    if feed and place.startswith(SCHEME):
        raise UsageError(f"{place} is no folder; expected one with --feed, or a day's prefix alone")
    logger, params = get_run_logger(), load_params(params_file)
    places = [str(each) for each in unscored_days(Path(place), params)] if feed else [place]
    summaries = [each for found in places for each in score_images(found, day, params)]
    for summary in summaries:
        for warning in summary.warnings(params.review.max_images):
            logger.warning("%s: %s", summary.day, warning)
    if not summaries:
        logger.info("%s holds no image that is not scored yet", place)
    else:
        create_table_artifact(_table(summaries), key="scored", description="Scored images by day")
    return summaries


def _table(summaries: "list[ScoreSummary]") -> list[dict[str, object]]:
    return [
        {
            "day": each.day,
            "model": each.model_version,
            "scored": each.logged,
            "flagged": each.flagged,
            "unknown": each.unknown,
            "unreadable": len(each.errors),
            "in the log already": each.skipped,
        }
        for each in summaries
    ]


def main(
    place: Annotated[
        str,
        typer.Argument(
            help="A day's folder, [category/]image; a manifest (.csv, .parquet); or "
            "s3://bucket/prefix. With --feed, the folder of the days."
        ),
    ],
    day: Annotated[
        str | None,
        typer.Option(help="The day, YYYY-MM-DD; else the manifest's, else the place's name."),
    ] = None,
    feed: Annotated[
        bool, typer.Option("--feed", help="The folder holds days: score those with new images.")
    ] = False,
    params: Annotated[Path, typer.Option(help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Score new images with the model in production, as a Prefect flow run."""
    score(place, day, feed, params)


if __name__ == "__main__":
    command(main)
