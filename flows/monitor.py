"""Compare production scores with the model's reference; alert; ask for retraining."""

if __name__ == "__main__":
    from flows.environment import own_prefect

    own_prefect()

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from flows.environment import command
from flows.outcome import clear_errors
from normscape.alerts import EVENT
from normscape.errors import NormscapeError
from normscape.params import Params, load_params

if TYPE_CHECKING:
    from monitoring.monitor_run import MonitorRun


@task(cache_policy=NO_CACHE)
def judge(params: Params, day: str | None) -> "MonitorRun":
    """Verdicts, pages and stored alerts of one window."""
    from monitoring.watch import watch

    return watch(params, day)


@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=5)
def send_events(params: Params) -> int:
    """Send every stored event that was not sent yet; an event keeps its id when sent again."""
    return _deliver(params, (EVENT,))


@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=5)
def send_notifications(params: Params) -> int:
    """Send every stored notice through the notification blocks that have not had it."""
    return _deliver(params, params.alerts.blocks)


@task(cache_policy=NO_CACHE)
def write_metrics(params: Params) -> None:
    """The figures of the newest run for Prometheus."""
    from monitoring.metrics import write

    write(params)


@flow(name="monitor")
@clear_errors
def monitor(day: str | None = None, params_file: Path = Path("params.yaml")) -> "MonitorRun":
    """Judge a day's scores of the model in production and send what must be known.

    Args:
        day: YYYY-MM-DD, the last day of the window; the newest scored one when None.
        params_file: The parameter file, in the checkout's root.

    Returns:
        Verdicts and alerts.

    Raises:
        UsageError: There is no model in production, or nothing was scored.
        NormscapeError: A damaged bundle or score log, or an unwritable folder.
    """
    logger, params = get_run_logger(), load_params(params_file)
    run = judge(params, day)
    for line in _sentences(run):
        logger.info(line)
    create_markdown_artifact(_markdown(run), key="monitor", description=f"Monitor of {run.day}")
    send_events(params)
    _notify(params)
    write_metrics(params)
    return run


def _deliver(params: Params, receivers: Collection[str]) -> int:
    """Try again at once within a run; between runs the noted waits count."""
    from monitoring.deliver import deliver

    done = deliver(params, receivers, at_once=(task_run.run_count or 0) > 1)
    if done.failures:
        raise NormscapeError(
            f"{'; '.join(done.failures)}; {done.unsent} wait for the next monitor run"
        )
    return done.sent


def _notify(params: Params) -> None:
    """A receiver that is down does not make the verdicts wrong: it is said, and tried again."""
    if not params.alerts.blocks:
        return
    state: State[int] = send_notifications(params, return_state=True)
    if not state.is_failed():
        return
    error = state.result(raise_on_failure=False)
    if not isinstance(error, NormscapeError):
        raise cast(BaseException, error)
    get_run_logger().warning("notifications: %s", error)


def _sentences(run: "MonitorRun") -> list[str]:
    found = [alert.sentence for alert in run.alerts]
    if not found:
        found = [f"{run.day}: nothing has drifted and nothing unknown has arrived"]
    return [*found, *run.notes, f"report: {run.folder / 'report.html'}"]


def _markdown(run: "MonitorRun") -> str:
    rows = [
        f"| {each.category} | {each.verdict} | {each.images} | "
        + ("" if each.effect is None else f"{each.effect:+.2f}")
        + f" | {', '.join(each.explanation)} |"
        for each in run.drift.categories
    ]
    table = ["| category | verdict | images | shift | looks |", "|---|---|---:|---:|---|", *rows]
    sentences = "\n".join(f"- {line}" for line in _sentences(run))
    return f"# Monitor of {run.day}, model {run.version}\n\n{sentences}\n\n" + "\n".join(table)


def main(
    day: Annotated[
        str | None, typer.Option(help="The day, YYYY-MM-DD; the newest scored one by default.")
    ] = None,
    params: Annotated[Path, typer.Option(help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Compare production scores with the model's reference, as a Prefect flow run."""
    monitor(day, params)


if __name__ == "__main__":
    command(main)
