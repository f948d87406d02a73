"""The command line: one verb per DVC stage and per user's job; imports wait for their verb."""

from __future__ import annotations

import sys

import typer

from normscape.cli.alerts import alerts_app
from normscape.cli.backtest import backtest
from normscape.cli.data import data_app
from normscape.cli.defects import defects_app
from normscape.cli.diff import diff
from normscape.cli.models import models_app
from normscape.cli.options import DEFAULT_PARAMS, ParamsFile
from normscape.cli.review import review_app
from normscape.cli.scoring import log_app, prune, recalibrate, score
from normscape.errors import NormscapeError
from normscape.stages.runner import STAGES, run_stage

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One unsupervised inspection model for many product categories.",
)

_STAGE_HELP = {
    "manifest": "List the images of the data folder with their split, masks and statistics.",
    "validate": "Check the manifest against the expectations; name the files that fail, exit 1.",
    "features": "Extract the backbone's feature maps of images that have none yet.",
    "prototypes": "Fit the token transform and the local and global prototype banks.",
    "detector": "Train the detector; resumes after an interruption.",
    "novelty": "Learn to tell unknown products from known ones.",
    "refine": "Learn to make the maps of flagged images sharper; nothing with refine.name none.",
    "calibrate": "Fit per-category thresholds on the held-out normal images.",
    "evaluate": "Measure the model on the test images; write metrics, pictures and a report.",
}


def _add_stage(name: str) -> None:
    def command(params: ParamsFile = DEFAULT_PARAMS) -> None:
        from normscape.params import load_params

        run_stage(name, load_params(params))

    app.command(name, help=_STAGE_HELP[name], rich_help_panel="Stages of dvc.yaml")(command)


for _stage in STAGES:
    _add_stage(_stage)

app.add_typer(data_app, name="data", rich_help_panel="Jobs")
models_app.command()(diff)
app.add_typer(models_app, name="models", rich_help_panel="Jobs")
app.command(rich_help_panel="Jobs")(score)
app.add_typer(log_app, name="log", rich_help_panel="Jobs")
app.add_typer(review_app, name="review", rich_help_panel="Jobs")
app.add_typer(alerts_app, name="alerts", rich_help_panel="Jobs")
app.add_typer(defects_app, name="defects", rich_help_panel="Jobs")
app.command(rich_help_panel="Jobs")(backtest)
app.command(rich_help_panel="Jobs")(recalibrate)
app.command(rich_help_panel="Jobs")(prune)


def main() -> None:
    """Run the command line; a `NormscapeError` becomes one line and its exit code."""
    try:
        app()
    except NormscapeError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
