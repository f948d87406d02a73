"""Running a stage on another work pool: its deployment is started and waited for."""

from __future__ import annotations

import time
from uuid import UUID

from prefect import State
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from normscape.errors import NormscapeError, UsageError
from normscape.params import Params

_POLL_SECONDS = 2.0
_EXTRA_SECONDS = 600.0  # for the worker to take the run up, beyond the stage's own limit


def run_on_pool(pool: str, stage: str, commit: str | None, force: bool, params: Params) -> None:
    """Run the deployment `stage/POOL` and wait for its end; cancel it when this run ends early.

    The pool's worker runs in the same checkout, or in one on a shared file system: it must see
    the same artifacts, and is refused when it is at another commit.

    Args:
        pool: Name of the work pool and of the deployment.
        stage: A stage of `dvc.yaml`.
        commit: The commit that this checkout is at.
        force: Run the stage even if nothing has changed.
        params: The project.

    Raises:
        UsageError: There is no such deployment.
        NormscapeError: The run failed, or no worker of the pool took it up.
    """
    parameters = {"name": stage, "revision": commit, "force": force}
    try:
        created = run_deployment(f"stage/{pool}", parameters=parameters, timeout=0)
    except ObjectNotFound:
        raise UsageError(
            f"Prefect has no deployment stage/{pool}, which params.yaml names as train.gpu_pool; "
            "start the server, run 'make deploy' and a worker for the pool, or set it to null"
        ) from None
    if not isinstance(created, FlowRun):
        raise TypeError("run_deployment was awaited")
    with get_client(sync_client=True) as client:
        state = _wait(client, created.id, 60.0 * params.train.stage_timeout_minutes)
    if not state.is_completed():
        reason = state.message or "no reason given"
        raise NormscapeError(f"stage '{stage}' on pool '{pool}' ended as {state.name}: {reason}")


def _wait(client: SyncPrefectClient, run: UUID, limit: float) -> State:
    deadline = time.monotonic() + limit + _EXTRA_SECONDS
    state = None
    try:
        while time.monotonic() < deadline:
            state = client.read_flow_run(run).state
            if state is not None and state.is_final():
                return state
            time.sleep(_POLL_SECONDS)
        raise NormscapeError(
            f"the run of the stage is still {state.name if state else 'unknown'} after "
            f"{(limit + _EXTRA_SECONDS) / 60:.0f} minutes; is a worker of the pool running?"
        )
    finally:
        if state is None or not state.is_final():
            client.set_flow_run_state(run, Cancelling(message="the training has ended"))
