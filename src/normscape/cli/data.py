"""The verbs of the command line for the data folder: the demo, and the comparison with its pin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normscape.cli.options import DEFAULT_PARAMS, ParamsFile

if TYPE_CHECKING:
    from normscape.params import Params

FEED = "feed"

data_app = typer.Typer(
    no_args_is_help=True, help="Fill the data folder with the demo; compare it with its pin."
)


@data_app.command("demo")
def demo(
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what the folders hold.")
    ] = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Fill data/ and feed/ with the demo that data.dvc pins; exit 1 if it comes out different."""
    from normscape.data.demo import fill_demo
    from normscape.data.pin import read_pin

    loaded = _params(params)
    dvc_file = _dvc_file(loaded.data)
    written = fill_demo(loaded.data, loaded.root / FEED, dvc_file, force=force)
    state = "made" if written else "already there"
    typer.echo(f"{loaded.data.name}/ {state}, equal to {dvc_file.name}: {read_pin(dvc_file)}")
    typer.echo(
        f"{loaded.data.name}/solar_* and {FEED}/*/solar_* are CC BY-NC-SA 4.0 (not for commercial "
        "use), see docs/demo-data.md"
    )


@data_app.command("check")
def check(
    *,
    rev: Annotated[
        str | None, typer.Option(help="The Git revision whose data.dvc counts; else the file.")
    ] = None,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Compare the data folder with data.dvc; exit 1 and say what differs."""
    from normscape.data.pin import check_pin

    loaded = _params(params)
    dvc_file = _dvc_file(loaded.data)
    found = check_pin(loaded.data, dvc_file, rev)
    at = f" at {rev}" if rev else ""
    typer.echo(f"{loaded.data.name}/ equals {dvc_file.name}{at}: {found}")


def _dvc_file(data: Path) -> Path:
    return data.with_name(f"{data.name}.dvc")


def _params(path: Path) -> Params:
    from normscape.params import load_params

    return load_params(path)
