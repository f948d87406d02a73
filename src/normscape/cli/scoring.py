"""The verbs of the command line for production images: score, prune, compact, recalibrate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normscape.cli.options import DEFAULT_PARAMS, AsJson, ParamsFile, print_json, read_params, warn
from normscape.errors import UsageError
from normscape.sections.production import Maps

if TYPE_CHECKING:
    from normscape.params import Params

Runtime = Annotated[str | None, typer.Option(help="torch or openvino; the bundle's if left out.")]
Precision = Annotated[str | None, typer.Option(help="fp32 or bf16; the bundle's if left out.")]
Model = Annotated[str, typer.Option(help="An alias or a version of the registry.")]

log_app = typer.Typer(no_args_is_help=True, help="The score log.")


def score(
    place: Annotated[
        str,
        typer.Argument(
            help="A day's folder (category/image, or image), a manifest (.csv, .parquet with "
            "'path'; 'category', 'day', 'sha256' if known), or s3://bucket/prefix; with --follow "
            "a folder of days."
        ),
    ],
    *,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Go on: score what comes into the folder of days, with the version that the "
            "alias names at the time, until SIGTERM or Ctrl-C.",
        ),
    ] = False,
    day: Annotated[
        str | None, typer.Option(help="The day; else the manifest's, else the place's name.")
    ] = None,
    model: Model = "production",
    runtime: Runtime = None,
    precision: Precision = None,
    maps: Annotated[
        Maps | None,
        typer.Option(
            help="overlay: pictures of flagged images; array: 16-bit maps of all; score.maps if "
            "left out."
        ),
    ] = None,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Score a day's images: score log, maps, inbox. Run again, it goes on where it stopped.

    Large images are cut into tiles if the model was trained so (tiling in params.yaml).
    """
    from normscape.scoring.run import score_place

    loaded = read_params(params)
    if follow:
        if day is not None:
            raise UsageError("with --follow the folders' names give the days; leave --day out")
        asked = {"alias": model, "runtime": runtime, "precision": precision, "maps": maps}
        _follow(Path(place), loaded, asked)
        return
    summaries = score_place(
        place, loaded, day=day, alias=model, runtime=runtime, precision=precision, maps=maps
    )
    for summary in summaries:
        typer.echo(summary.explain())
        for warning in summary.warnings(loaded.review.max_images):
            warn(warning)


def _follow(folder: Path, params: Params, asked: dict[str, Any]) -> None:
    from normscape.scoring.follow import follow, until_asked_to_stop

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()  # a service's log is read while it runs

    with until_asked_to_stop() as stop:
        follow(folder, params, say=say, warn=warn, stop=stop, **asked)


def prune(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")
    ] = False,
    json: AsJson = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Apply the limits of the section retention: score log, maps, monitor pages.

    What waits for review, a drift window or an unsent alert needs is kept. Scoring, reading and
    compaction may go on.
    """
    from normscape.retention.prune import prune as run

    done = run(read_params(params), dry_run=dry_run)
    if json:
        print_json(done.as_dict())
        return
    for each in done.removed:
        typer.echo(f"{each.kind:<8} {each.name:<28} {each.bytes / 2**20:10.2f} MiB")
    for line in done.kept:
        typer.echo(f"kept: {line}")
    would = "would be " if dry_run else ""
    typer.echo(f"{len(done.removed)} {would}removed, {done.bytes / 2**20:.2f} MiB {would}freed")


@log_app.command()
def compact(
    *,
    day: Annotated[str | None, typer.Option(help="Only this day, YYYY-MM-DD.")] = None,
    min_parts: Annotated[
        int, typer.Option(min=2, help="Leave days with fewer parts as they are.")
    ] = 4,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Join the many small parts of each day and version; scoring and reading may go on."""
    from normscape.scoring.compact import compact as compact_log
    from normscape.scoring.paths import score_log

    done = compact_log(score_log(read_params(params)), day=day, min_parts=min_parts)
    typer.echo(
        f"{done.partitions} days and versions compacted: {done.rows} rows of {done.before} parts; "
        f"{done.removed} files removed"
    )


def recalibrate(
    *,
    model: Model = "production",
    runtime: Runtime = None,
    precision: Precision = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Put the new version into production.")
    ] = False,
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Promote in spite of uncommitted changes.")
    ] = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Fit new thresholds for a registered model, on another runtime or with reviewed images."""
    from normscape.review.recalibrate import recalibrate as run

    result = run(
        read_params(params),
        alias=model,
        runtime=runtime,
        precision=precision,
        promote=promote,
        allow_dirty=allow_dirty,
    )
    typer.echo(result.explain())
    for warning in result.warnings:
        warn(warning)
