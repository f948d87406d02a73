"""`normscape review …`: a person's verdicts on the images that were kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normscape.cli.options import (
    DEFAULT_PARAMS,
    AsJson,
    ParamsFile,
    print_json,
    printable,
    read_params,
    warn,
)
from normscape.errors import UsageError

if TYPE_CHECKING:
    from normscape.params import Params
    from normscape.review.verdicts import Verdict
    from normscape.scoring.record import Record

Ids = Annotated[list[str] | None, typer.Argument(help="First digits of the images' SHA-256.")]
Everything = Annotated[bool, typer.Option("--all", help="All waiting images that fit the rest.")]
ByDay = Annotated[str | None, typer.Option("--day", help="Of this day, YYYY-MM-DD.")]
ByReason = Annotated[
    str | None,
    typer.Option("--reason", help="Kept as flagged, unknown, drifted, reported, random."),
]
Category = Annotated[
    str | None, typer.Option("--category", help="The product; the declared one if left out.")
]
DefectType = Annotated[str, typer.Option("--defect-type", help="The kind of defect.")]
Change = Annotated[bool, typer.Option("--change", help="Replace an earlier verdict.")]

review_app = typer.Typer(
    no_args_is_help=True,
    help="Judge the images that were kept: what is approved becomes data, nothing else does.",
)


@review_app.command("list")
def list_images(
    *,
    reason: ByReason = None,
    category: Annotated[str | None, typer.Option(help="Of this product.")] = None,
    day: ByDay = None,
    status: Annotated[
        str, typer.Option(help="waiting, approved, rejected, false_alarm, missed_defect or all.")
    ] = "waiting",
    json: AsJson = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """List the images of the inbox."""
    from normscape.review.inbox import Selection, select

    records = select(read_params(params), Selection(reason, category, day, status))
    if json:
        print_json([record.as_dict() for record in records])
        return
    for record in records:
        typer.echo(_line(record))
    typer.echo(f"{len(records)} images")


@review_app.command()
def show(
    image: Annotated[str, typer.Argument(help="First digits of the image's SHA-256.")],
    json: AsJson = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Show what is known of one image, and where its files are."""
    from normscape.scoring.inbox import Inbox
    from normscape.scoring.paths import overlay_path

    loaded = read_params(params)
    inbox = Inbox.of(loaded)
    record = inbox.find(image)
    overlay = overlay_path(loaded, record.model_version, record.day, record.sha256)
    picture = inbox.image(record)
    details = record.as_dict() | {
        "image": str(picture) if picture else None,
        "overlay": str(overlay) if overlay.exists() else None,
    }
    if json:
        print_json(details)
        return
    history = details.pop("history")
    for name, value in details.items():
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
        typer.echo(f"{name + ':':<15} {'-' if shown is None else printable(str(shown))}")
    for event in history:
        extra = {k: v for k, v in event.items() if k not in ("at", "event") and v is not None}
        notes = ", ".join(f"{name} {value}" for name, value in extra.items())
        typer.echo(f"  {event['at']}  {event['event']}  {notes}".rstrip())


@review_app.command()
def approve(
    *,
    ids: Ids = None,
    category: Category = None,
    day: ByDay = None,
    reason: ByReason = None,
    everything: Everything = False,
    change: Change = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """The images show good parts: copy them into the data folder."""
    from normscape.review.verdicts import Verdict

    _judge(params, Verdict("approved", category), ids, (day, reason, everything), change)


@review_app.command()
def reject(
    *,
    defect_type: DefectType,
    ids: Ids = None,
    category: Category = None,
    day: ByDay = None,
    reason: ByReason = None,
    everything: Everything = False,
    change: Change = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """The images show defects: copy them into the data folder as labelled test images."""
    from normscape.review.verdicts import Verdict

    verdict = Verdict("rejected", category, defect_type)
    _judge(params, verdict, ids, (day, reason, everything), change)


@review_app.command("false-alarm")
def false_alarm(
    *,
    ids: Ids = None,
    category: Category = None,
    day: ByDay = None,
    everything: Everything = False,
    change: Change = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Flagged images that show good parts: a recalibration uses them, training does not."""
    from normscape.review.verdicts import Verdict

    _judge(params, Verdict("false_alarm", category), ids, (day, "flagged", everything), change)


@review_app.command("missed-defect")
def missed_defect(
    *,
    defect_type: DefectType,
    ids: Ids = None,
    category: Category = None,
    day: Annotated[
        str | None,
        typer.Option(help="The day they were scored for: takes those that were not kept, too."),
    ] = None,
    change: Change = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Images that were not flagged and show defects: labelled test images, too."""
    from normscape.review.inbox import keep_reported
    from normscape.review.verdicts import Verdict

    if day is not None:
        ids = [keep_reported(read_params(params), day, each).sha256 for each in ids or []]
    verdict = Verdict("missed_defect", category, defect_type)
    _judge(params, verdict, ids, (None, None, False), change)


def _judge(
    path: Path,
    verdict: Verdict,
    ids: list[str] | None,
    bulk: tuple[str | None, str | None, bool],
    change: bool,
) -> None:
    from normscape.review.verdicts import judge

    params = read_params(path)
    outcomes = judge(params, _chosen(params, ids or [], bulk), verdict, change=change)
    placed = 0
    for outcome in outcomes:
        record = outcome.record
        placed += outcome.changed and record.file is not None
        place = f" → {params.paths.data / record.file}" if record.file else ""
        again = "" if outcome.changed else ", as before"
        typer.echo(f"{record.sha256[:12]} {record.status}{again}{place}")
        if outcome.note:
            warn(f"{record.sha256[:12]}: {outcome.note}")
    changed = sum(outcome.changed for outcome in outcomes)
    typer.echo(f"{changed} of {len(outcomes)} images changed")
    if placed:
        typer.echo(f"the data have changed: look at them, then run `dvc add {params.paths.data}`")


def _chosen(
    params: Params, ids: list[str], bulk: tuple[str | None, str | None, bool]
) -> list[Record]:
    from normscape.review.inbox import Selection, select
    from normscape.scoring.inbox import Inbox

    day, reason, everything = bulk
    if everything == bool(ids):
        raise UsageError(
            "name the images by their ids, or all waiting ones that fit --day and --reason by "
            f"--all; found {'both' if ids else 'neither'}"
        )
    if ids:
        inbox = Inbox.of(params)
        return list({record.sha256: record for record in map(inbox.find, ids)}.values())
    records = select(params, Selection(reason=reason, day=day))
    if not records:
        raise UsageError("no waiting image fits; `normscape review list` shows what waits")
    return records


def _line(record: Record) -> str:
    product = record.declared or f"({record.predicted})"
    return printable(
        f"{record.sha256[:12]}  {record.day}  {record.status:<13}  {product:<16}  "
        f"p {record.p_value:<8.3g} {'+'.join(record.reasons):<17}  {record.source}"
    )
