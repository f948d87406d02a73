"""Notification blocks: make one, try it, and send what waits.

python -m flows.notify add slack line-3       asks for the address; or reads it from standard input
python -m flows.notify test                   a test message through every block of alerts.blocks
python -m flows.notify send                   what waits, at once
"""

if __name__ == "__main__":
    from flows.environment import own_prefect

    own_prefect()

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.environment import run_app
from normscape.alerts import EVENT
from normscape.errors import NormscapeError, UsageError
from normscape.params import load_params

ParamsFile = Annotated[Path, typer.Option("--params", help="The parameter file.")]

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Notification blocks: make one, try it, and send what waits.",
)  # fmt: skip


class Service(StrEnum):
    """What a block sends to."""

    webhook = "webhook"
    slack = "slack"
    teams = "teams"
    apprise = "apprise"


@app.command()
def add(
    service: Annotated[
        Service, typer.Argument(help="webhook: JSON; apprise: e-mail (mailtos://…) and others.")
    ],
    name: Annotated[str, typer.Argument(help="Lowercase letters, digits and dashes.")],
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Save an address in a block on Prefect's server; it is asked for, or read from a pipe."""
    from monitoring.blocks import BlockType, make_block

    loaded = load_params(params)
    if sys.stdin.isatty():
        address = typer.prompt("Address", hide_input=True)
    else:
        address = sys.stdin.readline()
    block = make_block(
        BlockType[service.name.upper()], name, address.strip(), loaded.alerts.timeout_seconds
    )
    typer.echo(f"{block}; add it to alerts.blocks in {params}, then python -m flows.notify test")


@app.command()
def test(
    blocks: Annotated[
        list[str] | None, typer.Argument(help="type/name; all of alerts.blocks if left out.")
    ] = None,
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Send a test message through blocks; exit 1 if one was not taken."""
    from monitoring.blocks import SendError, load_block, notify

    loaded = load_params(params)
    names = blocks or list(loaded.alerts.blocks)
    if not names:
        raise UsageError(f"{params} names no block in alerts.blocks; name one, or add it there")
    failed = []
    for name in names:
        try:
            notify(
                load_block(name), "[test] Normscape", "A test of this notification block.",
                loaded.alerts.timeout_seconds,
            )  # fmt: skip
        except SendError as error:
            failed.append(f"{name}: {error}")
        else:
            typer.echo(f"{name}: sent")
    if failed:
        raise NormscapeError("; ".join(failed))


@app.command()
def send(params: ParamsFile = Path("params.yaml")) -> None:
    """Send all events and notifications that wait, at once; exit 1 if one was not taken."""
    from monitoring.deliver import deliver

    loaded = load_params(params)
    done = deliver(loaded, (EVENT, *loaded.alerts.blocks), at_once=True)
    typer.echo(f"{done.sent} sent, {done.unsent} wait")
    if done.failures:
        raise NormscapeError("; ".join(done.failures))


if __name__ == "__main__":
    run_app(app)
