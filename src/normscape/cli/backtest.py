"""`normscape backtest`: other monitor settings on one's own history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from normscape.cli.options import DEFAULT_PARAMS, AsJson, ParamsFile, print_json, print_table

if TYPE_CHECKING:
    from normscape.backtest import Backtest

_LISTED = 20


def backtest(
    *,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A parameter of the section monitor, such as min_effect=0.5; several values make "
            "a grid: --set min_effect=0.3,0.5 --set false_alarms_per_year=4,12.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="An alias or version, several times if wanted; all if left out."),
    ] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD.")] = None,
    as_json: AsJson = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Replay the score log under other monitor settings and count the alerts; none is stored."""
    from normscape.backtest import backtest as run
    from normscape.backtest import grid
    from normscape.params import load_params
    from normscape.scoring.schema import check_day

    loaded = load_params(params)
    settings = grid(loaded.monitor, changes or [])
    days = [None if day is None else check_day(day) for day in (first, last)]
    found = run(loaded, settings, versions=model, first=days[0], last=days[1])
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found)


def _print(found: Backtest) -> None:
    from normscape.backtest.raised import KINDS

    typer.echo(
        f"{found.first_day} to {found.last_day}, {found.days} days with images, scored by "
        f"{', '.join(found.versions)}; {found.judged} alerts of these days were judged by people\n"
    )
    rows = [
        (
            outcome.setting if kind is KINDS[0] else "",
            str(kind),
            str(outcome.count(kind)),
            f"{outcome.per_year[kind]:.1f}",
            str(outcome.alarm_days[kind]),
            str(outcome.real[kind]),
            str(outcome.false_alarms[kind]),
            str(outcome.lost[kind]),
        )
        for outcome in found.outcomes
        for kind in KINDS
    ]
    header = (
        "setting", "kind", "alerts", "a year", "alarm days", "real", "false alarms", "real, lost",
    )  # fmt: skip
    print_table(header, rows)
    for outcome in found.outcomes:
        typer.echo(f"\n{outcome.setting}:" + ("" if outcome.alerts else " no alert"))
        for alert in outcome.alerts[:_LISTED]:
            days = f"{len(alert.days)} days" if len(alert.days) > 1 else "1 day"
            typer.echo(f"  {alert.days[0]}  {alert.kind:<15}  {alert.category}, {days}")
        if len(outcome.alerts) > _LISTED:
            typer.echo(f"  and {len(outcome.alerts) - _LISTED} more; --json lists all")
