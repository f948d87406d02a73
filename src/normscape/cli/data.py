"""The verbs of the command line for data: the demo, its pin, and the synthetic scale set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normscape.cli.options import DEFAULT_PARAMS, ParamsFile, read_params

if TYPE_CHECKING:
    pass

FEED = "feed"

data_app = typer.Typer(
    no_args_is_help=True,
    help="Fill the data folder with the demo; compare it with its pin; make a scale set.",
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

    loaded = read_params(params)
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

    loaded = read_params(params)
    dvc_file = _dvc_file(loaded.data)
    found = check_pin(loaded.data, dvc_file, rev)
    at = f" at {rev}" if rev else ""
    typer.echo(f"{loaded.data.name}/ equals {dvc_file.name}{at}: {found}")


@data_app.command("synth")
def synth(
    *,
    out: Annotated[Path, typer.Option(help="The folder to fill; missing or empty.")],
    categories: Annotated[int, typer.Option(help="Product categories, 1 to 200.")],
    seed: Annotated[int, typer.Option(help="From which everything is drawn.")] = 0,
    train: Annotated[int, typer.Option(help="Training images of each category.")] = 20,
    test_normal: Annotated[int, typer.Option(help="Normal test images of each category.")] = 40,
    test_anomalous: Annotated[
        int, typer.Option(help="Anomalous test images of each category, six kinds in turn.")
    ] = 40,
    test_categories: Annotated[
        int | None,
        typer.Option(help="Only so many categories get test images.", show_default="all"),
    ] = None,
    size: Annotated[int, typer.Option(help="Pixels per side.")] = 256,
    workers: Annotated[
        int | None, typer.Option(help="Processes.", show_default="available cores")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what the folder holds.")] = False,
) -> None:
    """Make a scale set: synthetic product categories with defects, in the MVTec layout."""
    from normscape.data.synth import VERSION, ScaleSet, build_scale_set

    plan = ScaleSet(
        categories=categories,
        seed=seed,
        train=train,
        test_normal=test_normal,
        test_anomalous=test_anomalous,
        test_categories=test_categories,
        size=size,
    )
    build_scale_set(out, plan, workers=workers, force=force)
    typer.echo(
        f"{out}: {plan.pictures} images of {categories} categories, {plan.tested} of them with "
        f"test images (scale set version {VERSION}, seed {seed})"
    )


def _dvc_file(data: Path) -> Path:
    return data.with_name(f"{data.name}.dvc")
