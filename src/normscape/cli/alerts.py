"""`normscape alerts …`: what was found, and what people do about it."""

from __future__ import annotations

import datetime
import getpass
import sys
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from normscape.cli.options import DEFAULT_PARAMS, AsJson, ParamsFile, print_json, print_table
from normscape.errors import NormscapeError, UsageError

if TYPE_CHECKING:
    from normscape.alerts import Alert, Truth
    from normscape.params import Params
    from normscape.review.precision import Share

alerts_app = typer.Typer(
    no_args_is_help=True, help="Alerts of the monitor: list, show, take care of, silence, end."
)

Id = Annotated[str, typer.Argument(help="First digits of the alert's id.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for those who read it later.")]
By = Annotated[str | None, typer.Option("--by", help="Who; the user's name if left out.")]


@alerts_app.command("list")
def list_alerts(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    kind: Annotated[
        str | None,
        typer.Option(help="drift, defects_rising, unknown, traffic_missing or retrain."),
    ] = None,
    as_json: AsJson = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """List the open alerts, the most urgent first; exit 1 if a file is damaged."""
    from normscape.alerts import AlertStore, Kind
    from normscape.params import load_params

    if kind is not None and kind not in list(Kind):
        raise UsageError(f"--kind is '{kind}'; expected one of {', '.join(Kind)}")
    loaded, now = load_params(params), _now()
    contents = AlertStore.of(loaded).read()
    shown = [
        alert
        for alert in contents.alerts
        if (everything or alert.open) and kind in (None, alert.kind)
    ]
    shown.sort(key=lambda each: (not each.open, -each.severity.rank, each.days[0]))
    if as_json:
        print_json([_with_status(alert, now) for alert in shown])
    else:
        header = ("id", "severity", "kind", "since", "last", "days", "status", "unsent", "what")
        rows = [_cells(alert, loaded.alerts.blocks, now) for alert in shown]
        print_table(header, rows, empty="no alert" if everything else "no open alert")
    if contents.damaged:
        raise NormscapeError("; ".join(contents.damaged))


@alerts_app.command()
def show(
    alert: Id,
    as_json: AsJson = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Show one alert: its figures, what was sent to whom, and what happened to it."""
    from normscape.alerts import AlertStore
    from normscape.alerts.store import find
    from normscape.params import load_params

    loaded = load_params(params)
    contents = AlertStore.of(loaded).read()
    _warn(contents.damaged)
    found = find(contents, alert)
    images = _judged_images(loaded, found)
    if as_json:
        judged = {"judged": images.judged, "real": images.real}
        print_json(_with_status(found, _now()) | {"images_reviewed": judged})
        return
    typer.echo(f"{found.sentence}\n")
    facts = {
        "id": found.id,
        "kind": found.kind,
        "subject": found.subject,
        "severity": found.severity,
        "status": found.status(_now()),
        "days": f"{found.days[0]} to {found.days[-1]}, seen in {len(found.days)} windows",
        "model": found.version,
        "judged": (found.truth or "not yet").replace("_", " "),
        "images": _say_images(found, images),
    } | found.figures
    print_table(("", ""), [(name, _text(value)) for name, value in facts.items()])
    for line in found.history:
        extra = (f"{k} {v}" for k, v in line.items() if k not in ("at", "event"))
        typer.echo(f"{line['at']}  {line['event']}  {', '.join(extra)}".rstrip())
    for notice in found.notices:
        for receiver, delivery in notice.deliveries.items():
            state = f"taken {delivery.done_at:%Y-%m-%dT%H:%M:%SZ}" if delivery.done_at else (
                f"waits, {delivery.attempts} tries" + (f": {delivery.error}" * bool(delivery.error))
            )  # fmt: skip
            typer.echo(f"notice {notice.id[:8]} {notice.reason} to {receiver}: {state}")


@alerts_app.command()
def ack(
    alert: Id, why: Why, by: By = None, as_json: AsJson = False, params: ParamsFile = DEFAULT_PARAMS
) -> None:
    """You take care of it: no reminders, but still a notice when it gets worse."""
    from normscape.alerts.people import acknowledge
    from normscape.params import load_params

    _say(acknowledge(load_params(params), alert, by or getpass.getuser(), why, _now()), as_json)


@alerts_app.command()
def snooze(
    alert: Id,
    why: Why,
    *,
    span: Annotated[str | None, typer.Option("--for", help="For so long: 30m, 8h or 3d.")] = None,
    until: Annotated[
        str | None, typer.Option(help="Until then, such as 2026-03-14T08:00+01:00; UTC by default.")
    ] = None,
    by: By = None,
    as_json: AsJson = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Silence until then, unless it becomes more severe; no request for retraining either."""
    from normscape.alerts.people import parse_moment, parse_span
    from normscape.alerts.people import snooze as run
    from normscape.params import load_params

    now = _now()
    if (span is None) == (until is None):
        raise UsageError("give either --for, such as 8h, or --until, such as 2026-03-14T08:00")
    end = now + parse_span(span) if span is not None else parse_moment(until or "")
    _say(run(load_params(params), alert, by or getpass.getuser(), why, until=end, now=now), as_json)


@alerts_app.command()
def resolve(
    alert: Id,
    why: Why,
    *,
    truth: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="real or false-alarm: how precise the alerts are is estimated from it. Alerts "
            "that are over already can be judged, too.",
        ),
    ] = None,
    by: By = None,
    as_json: AsJson = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """It is over; found again on a later day, it is a new alert."""
    from normscape.alerts.people import resolve as run
    from normscape.params import load_params

    if truth not in (None, "real", "false-alarm"):
        raise UsageError(f"--as is '{truth}'; expected real or false-alarm")
    said = cast("Truth | None", truth and truth.replace("-", "_"))
    _say(run(load_params(params), alert, by or getpass.getuser(), why, _now(), truth=said), as_json)


def _judged_images(params: Params, alert: Alert) -> Share:
    from normscape.review.precision import images_of
    from normscape.scoring.inbox import Inbox

    return images_of(alert, Inbox.of(params).records())


def _say_images(alert: Alert, images: Share) -> str:
    from normscape.review.precision import say_images

    return say_images(alert.kind, images)


def _say(alert: Alert, as_json: bool) -> None:
    if as_json:
        print_json(_with_status(alert, _now()))
        return
    until = alert.snoozed.until if alert.snoozed else None
    when = f" until {until:%Y-%m-%dT%H:%MZ}" if until and alert.is_snoozed(_now()) else ""
    typer.echo(f"{alert.id[:8]} {alert.status(_now())}{when}: {alert.sentence}")


def _cells(alert: Alert, blocks: tuple[str, ...], now: datetime.datetime) -> tuple[str, ...]:
    from normscape.alerts import EVENT

    unsent = len(alert.waiting((EVENT, *blocks)))
    return (
        alert.id[:8], alert.severity, alert.kind, alert.days[0], alert.days[-1],
        str(len(alert.days)), alert.status(now), str(unsent or ""), alert.sentence,
    )  # fmt: skip


def _with_status(alert: Alert, now: datetime.datetime) -> dict[str, Any]:
    return {**alert.as_dict(), "status": alert.status(now)}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _warn(lines: tuple[str, ...]) -> None:
    for line in lines:
        sys.stderr.write(f"warning: {line}\n")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
