"""One stage of `dvc.yaml` as a flow of its own: a deployment, unlike a task, has a work pool."""

if __name__ == "__main__":
    from flows.environment import own_prefect

    own_prefect()

from pathlib import Path
from typing import Annotated

import typer
from prefect import flow, get_run_logger

from flows.environment import command
from flows.outcome import clear_errors
from flows.repro import check_revision, reproduce
from normscape.params import load_params


@flow(name="stage", flow_run_name="stage {name}")
@clear_errors
def stage(
    name: str,
    revision: str | None = None,
    force: bool = False,
    params_file: Path = Path("params.yaml"),
) -> None:
    """Run `dvc repro --single-item NAME` in the checkout and log its output.

    Args:
        name: A stage of `dvc.yaml`.
        revision: The Git revision the checkout must be at; not checked when None.
        force: Run the stage even if nothing has changed.
        params_file: The parameter file, in the checkout's root.

    Raises:
        UsageError: No such stage, or the checkout is at another revision.
        NormscapeError: The stage failed or took too long.
    """
    params = load_params(params_file)
    if revision is not None:
        check_revision(params.root, revision)
    reproduce(name, params, say=get_run_logger().info, force=force)


def main(
    name: Annotated[str, typer.Argument(help="A stage of dvc.yaml.")],
    revision: Annotated[
        str | None, typer.Option(help="The Git revision the checkout must be at.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Run even if nothing has changed.")] = False,
    params: Annotated[Path, typer.Option(help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Run one stage of dvc.yaml as a Prefect flow run."""
    stage(name, revision, force, params)


if __name__ == "__main__":
    command(main)
