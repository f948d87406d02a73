"""Sort what was flagged into kinds of defects; tell of new ones; write the page."""

if __name__ == "__main__":
    from flows.environment import own_prefect

    own_prefect()

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from flows.environment import command
from flows.outcome import clear_errors
from normscape.alerts import EVENT
from normscape.errors import NormscapeError
from normscape.params import Params, load_params

if TYPE_CHECKING:
    from normscape.discovery.run import DiscoveryRun


@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=5)
def sort(params: Params, reason: str, *, afresh: bool) -> "DiscoveryRun":
    """Catalogues and alerts, stored; what a person has changed meanwhile is read anew."""
    from normscape.discovery.run import Origin, discover_all

    return discover_all(params, Origin(), reason=reason, afresh=afresh)


@task(cache_policy=NO_CACHE)
def write_page(params: Params, run: "DiscoveryRun") -> Path:
    """The page of all kinds of defects."""
    from monitoring.defects import write_page as write

    return write(params, run)


@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=5)
def send(params: Params) -> int:
    """Send every stored event and notice that was not taken yet."""
    from monitoring.deliver import deliver

    receivers = (EVENT, *params.alerts.blocks)
    done = deliver(params, receivers, at_once=(task_run.run_count or 0) > 1)
    if done.failures:
        raise NormscapeError(
            f"{'; '.join(done.failures)}; {done.unsent} wait for the next run of a flow"
        )
    return done.sent


@flow(name="discover")
@clear_errors
def discover(
    reason: str = "scheduled", afresh: bool = False, params_file: Path = Path("params.yaml")
) -> "DiscoveryRun":
    """Sort the flagged images of the inbox into kinds of defects.

    Args:
        reason: For the audit log of the catalogues.
        afresh: Learn every category anew; ids stay.
        params_file: The parameter file, in the checkout's root.

    Returns:
        What was found.

    Raises:
        UsageError: There is no model in production.
        NormscapeError: A damaged catalogue, bundle or inbox, or an unwritable folder.
    """
    logger, params = get_run_logger(), load_params(params_file)
    run = sort(params, reason, afresh=afresh)
    page = write_page(params, run)
    for line in (*_sentences(run), f"page: {page}"):
        logger.info(line)
    create_markdown_artifact(_markdown(run), key="defects", description="Kinds of defects")
    send(params)
    return run


def _sentences(run: "DiscoveryRun") -> list[str]:
    found = [alert.sentence for each in run.categories for alert in each.alerts]
    return [*(found or ["no new kind of defect"]), *run.notes]


def _markdown(run: "DiscoveryRun") -> str:
    rows = [
        f"| {found.catalogue.category} | {len(found.catalogue.living)} | {len(found.new_types)} | "
        f"{len(found.new_images)} | {found.catalogue.counts[None]} |"
        for found in (each.discovery for each in run.categories)
    ]
    table = [
        "| category | kinds | new | new images | of no kind |",
        "|---|---:|---:|---:|---:|",
        *rows,
    ]
    lines = "\n".join(f"- {line}" for line in _sentences(run))
    return f"# Kinds of defects\n\n{lines}\n\n" + "\n".join(table)


def main(
    reason: Annotated[str, typer.Option(help="For the audit log.")] = "by hand",
    afresh: Annotated[bool, typer.Option(help="Learn every category anew; ids stay.")] = False,
    params: Annotated[Path, typer.Option(help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Sort the flagged images of the inbox into kinds of defects, as a Prefect flow run."""
    discover(reason, afresh, params)


if __name__ == "__main__":
    command(main)
