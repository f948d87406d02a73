"""Which Prefect a flow talks to when a person starts it, and how its errors reach that person.

`python -m flows.train` and its siblings call `own_prefect` before Prefect is imported: the run is
recorded in a server that lives as long as the command, with its database below the state folder.
Neither the user's profile nor an exported PREFECT_API_URL is used, which may name a company's
server; NORMSCAPE_PREFECT_API_URL does name the server to use. A worker imports the flows instead
of running them, so nothing here touches the address that a worker was given.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from normscape.errors import NormscapeError
from normscape.files import unwritable
from normscape.params import load_params
from normscape.sections.data import PathParams

SERVER_VARIABLE = "NORMSCAPE_PREFECT_API_URL"

_FOREIGN = (
    "PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH", "PREFECT_API_KEY",
    "PREFECT_API_AUTH_STRING", "PREFECT_CLIENT_CUSTOM_HEADERS",
)  # fmt: skip
_QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_PROMPT": "false",
}


def own_prefect(root: Path = Path()) -> None:
    """Point this process, and what it starts, at the project's own Prefect.

    Args:
        root: The folder of `params.yaml`.

    Exits with 1 where the state folder cannot be written.
    """
    os.environ.update(_QUIET)
    server = os.environ.get(SERVER_VARIABLE, "")
    if server:
        os.environ["PREFECT_API_URL"] = server
        return
    for name in _FOREIGN:  # removed: with an empty PREFECT_API_URL events are sent nowhere
        os.environ.pop(name, None)
    home = _state(root).resolve() / "prefect"
    try:
        home.mkdir(parents=True, exist_ok=True)  # Prefect makes the last folder only
    except OSError as error:
        sys.stderr.write(f"error: {unwritable(home, error)}\n")
        sys.exit(1)
    os.environ.update(
        PREFECT_HOME=str(home),
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE="true",
        # 13 s were measured on a fresh home; Prefect's default of 20 s is too close to it
        PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="180",
    )


def command(main: Callable[..., object]) -> None:
    """Run a flow's command line; what a user can act on becomes one line and an exit code."""
    import typer

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)


def run_app(app: Callable[[], object]) -> None:
    """Run a command line; what a user can act on becomes one line and an exit code."""
    from prefect.exceptions import PrefectException

    try:
        app()
    except NormscapeError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except PrefectException as error:
        sys.stderr.write(f"error: Prefect: {' '.join(str(error).split())}\n")
        sys.exit(1)


def _state(root: Path) -> Path:
    try:
        return load_params(root / "params.yaml").state
    except NormscapeError:  # the command itself reads the file again and says what is wrong
        return root / PathParams().state
