"""Score new images with the model in production."""

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
from normscape.errors import NormscapeError
from normscape.params import Params, load_params

if TYPE_CHECKING:
    from normscape.scoring.summary import ScoreSummary


def _is_worth_another_try(task: object, run: object, state: State) -> bool:
    """A sentence for the user stays as true as it was; a full disk or a lost mount may not."""
    return not isinstance(state.result(raise_on_failure=False), NormscapeError)


@task(
    cache_policy=NO_CACHE, retries=1, retry_delay_seconds=10,
    retry_condition_fn=_is_worth_another_try, task_run_name="score {folder.name}",
)  # fmt: skip
def score_day(folder: Path, day: str | None, params: Params) -> "ScoreSummary":
    """Score one day; run again it scores only what is not in the log, so it may be retried."""
    from normscape.scoring.run import score_place

    return score_place(folder, params, day=day)[0]


@flow(name="score")
@clear_errors
def score(
    folder: Path,
    day: str | None = None,
    feed: bool = False,
    params_file: Path = Path("params.yaml"),
) -> "list[ScoreSummary]":
    """Score a day's folder `[category/]image`, or all of a feed `day/[category/]image`.

    Args:
        folder: A day's folder; with `feed`, the folder that holds the days.
        day: The day the images belong to; the folder's name when None.
        feed: Score each day of the feed that holds images which no model has scored yet.
        params_file: The parameter file, in the checkout's root.

    Returns:
        What was done, a day each; empty when a feed holds nothing new.

    Raises:
        UsageError: The folder or the day is wrong, or there is no model in production.
        NormscapeError: The bundle is damaged or cannot run here, or nothing can be written.
    """
    from flows.feed import unscored_days

    logger, params = get_run_logger(), load_params(params_file)
    folders = unscored_days(folder, params) if feed else [folder]
    summaries = [score_day(each, day, params) for each in folders]
    for summary in summaries:
        for warning in summary.warnings(params.review.max_images):
            logger.warning("%s: %s", summary.day, warning)
    if not summaries:
        logger.info("%s holds no image that is not scored yet", folder)
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
    folder: Annotated[Path, typer.Argument(help="A day's folder, [category/]image.")],
    day: Annotated[
        str | None, typer.Option(help="The day, YYYY-MM-DD; the folder's name by default.")
    ] = None,
    feed: Annotated[
        bool, typer.Option(help="The folder holds days: score those with new images.")
    ] = False,
    params: Annotated[Path, typer.Option(help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Score new images with the model in production, as a Prefect flow run."""
    score(folder, day, feed, params)


if __name__ == "__main__":
    command(main)
