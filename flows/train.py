"""The training flow: guard, stages, gate, register, promote."""

if __name__ == "__main__":
    from flows.environment import own_prefect

    own_prefect()

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast
from uuid import UUID

import typer
from prefect import State, flow, get_run_logger, task
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from flows.environment import command
from flows.outcome import clear_errors
from flows.repro import check_revision
from flows.stage import stage
from normscape.errors import GateError, UsageError
from normscape.files import exclusive_lock, read_json
from normscape.params import Params, load_params
from normscape.stages.runner import STAGES

if TYPE_CHECKING:
    from normscape.registry.publish import PublishResult

POOL_STAGES = ("prototypes", "detector")
"""The stages that run on `train.gpu_pool` where one is set."""


@task(cache_policy=NO_CACHE)
def guard(params: Params, revision: str | None) -> None:
    """The data must be what `data.dvc` pins: `dvc repro` would silently pin what it finds."""
    from normscape.data.pin import check_pin

    if revision is not None:
        check_revision(params.root, revision)
    check_pin(params.data, params.data.with_name(f"{params.data.name}.dvc"), revision)


@task(cache_policy=NO_CACHE)
def nothing_new(params: Params) -> str | None:
    """A sentence when the champion was made from these data and parameters already, else None."""
    from normscape.registry.bundle import Bundle
    from normscape.registry.contract import PRODUCTION
    from normscape.registry.store import open_registry
    from normscape.registry.writer import data_version

    registry = open_registry(params)
    version = registry.alias(PRODUCTION)
    if version is None:
        return None
    champion = Bundle.load(registry.get(version))
    try:
        same_params = champion.params.fingerprint() == params.fingerprint()
    except UsageError:  # made by a release with other parameters
        same_params = False
    if champion.data_version != data_version(params) or not same_params:
        return None
    return (
        f"nothing new to learn: {version} was made from the same data and parameters; "
        + _waiting(params)
    )


@task(cache_policy=NO_CACHE)
def publish_model(params: Params, reason: str, allow_dirty: bool, promote: bool) -> "PublishResult":
    """Gate, register, promote; not retried, because every try registers a version."""
    from normscape.registry.publish import publish

    return publish(params, reason=reason, allow_dirty=allow_dirty, promote=promote)


@flow(name="train")
@clear_errors
def train(
    *,
    reason: str = "started by hand",
    requested_by_event: bool = False,
    allow_dirty: bool = False,
    promote: bool = True,
    force: bool = False,
    revision: str | None = None,
    params_file: Path = Path("params.yaml"),
) -> "PublishResult | State[Any]":
    """Train a model on the pinned data and put it into production if it earns that.

    Args:
        reason: Why; goes into the registry's audit log.
        requested_by_event: End early when the champion knows these data and parameters already.
        allow_dirty: Promote in spite of uncommitted changes.
        promote: Whether to promote a model that passes the gate.
        force: Run every stage, even if nothing has changed.
        revision: The Git revision the checkout must be at, whose `data.dvc` counts; the files on
            disk when None.
        params_file: The parameter file, in the checkout's root.

    Returns:
        The published version; None when there was nothing new to learn.

    Raises:
        DataError: The data are not what `data.dvc` pins, or do not meet the expectations.
        GateError: The model failed the gate or may not be promoted; it is registered nevertheless.
        BusyError: Another training runs in this checkout.
        NormscapeError: A stage failed.
    """
    from flows.summary import training_summary

    params = load_params(params_file)
    with exclusive_lock(params.state / "locks" / "train.lock", "a training"):
        guard(params, revision)
        if requested_by_event and not force:
            sentence = nothing_new(params)
            if sentence is not None:
                get_run_logger().info(sentence)
                return Completed(message=sentence)
        _run_stages(params, force)
        result = publish_model(params, reason, allow_dirty, promote)
    metrics = read_json(params.artifacts / "evaluation" / "metrics.json")
    create_markdown_artifact(
        training_summary(result, metrics, params), key="training", description=result.version
    )
    for sentence in result.decision.explain():
        get_run_logger().info(sentence)
    if not result.decision.passed:
        reasons = "; ".join(check.explain() for check in result.decision.failures)
        raise GateError(f"{result.version} was registered and not promoted: {reasons}")
    if result.refusal is not None:
        raise GateError(result.refusal)
    return result


def _run_stages(params: Params, force: bool) -> None:
    from flows.pool import run_on_pool
    from normscape.registry.code import read_code_state

    pool = params.train.gpu_pool
    commit = read_code_state(params.root).commit
    progress = create_progress_artifact(0.0, key="stages", description="Stages of dvc.yaml")
    for number, name in enumerate(STAGES, start=1):
        if pool is not None and name in POOL_STAGES:
            run_on_pool(pool, name, commit, force, params)
        else:
            stage(name, None, force, params.root / "params.yaml")
        update_progress_artifact(cast(UUID, progress), 100.0 * number / len(STAGES))


def _waiting(params: Params) -> str:
    from normscape.review.inbox import Selection, select

    waiting = select(params, Selection(status="waiting"))
    if not waiting:
        return "no image waits for review"
    counts = Counter(reason for record in waiting for reason in record.reasons)
    kinds = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    return (
        f"{len(waiting)} images wait for review ({kinds}): 'normscape review list' shows them; "
        "approve those that are normal, then 'dvc add data' and commit data.dvc"
    )


def main(
    *,
    reason: Annotated[
        str, typer.Option(help="Why, for the registry's audit log.")
    ] = "started by hand",
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Promote in spite of uncommitted changes.")
    ] = False,
    promote: Annotated[
        bool, typer.Option(help="Put the model into production if it passes the gate.")
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Run every stage, even if nothing has changed.")
    ] = False,
    if_new: Annotated[
        bool,
        typer.Option("--if-new", help="Do nothing when the champion knows these data already."),
    ] = False,
    revision: Annotated[
        str | None, typer.Option(help="The Git revision the checkout and data.dvc must be at.")
    ] = None,
    params: Annotated[Path, typer.Option(help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Train on the pinned data, gate, register and promote, as a Prefect flow run."""
    train(
        reason=reason,
        requested_by_event=if_new,
        allow_dirty=allow_dirty,
        promote=promote,
        force=force,
        revision=revision,
        params_file=params,
    )


if __name__ == "__main__":
    command(main)
