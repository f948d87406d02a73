"""`normscape models …`: the model registry on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normscape.cli.collection import gc
from normscape.cli.export import export
from normscape.cli.options import DEFAULT_PARAMS, AsJson, ParamsFile, print_json, print_table
from normscape.errors import GateError, NormscapeError

if TYPE_CHECKING:
    from normscape.params import Params
    from normscape.registry.bundle import Bundle
    from normscape.registry.contract import Registry, VersionSummary

models_app = typer.Typer(
    no_args_is_help=True, help="Versions of the model: list, compare, promote, roll back."
)

models_app.command()(export)
models_app.command()(gc)

Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit log.")]
AllowDirty = Annotated[
    bool, typer.Option("--allow-dirty", help="Accept a checkout with uncommitted changes.")
]


@models_app.command("list")
def list_models(params: ParamsFile = DEFAULT_PARAMS, as_json: AsJson = False) -> None:
    """List all versions with their aliases, their gate's decision and their figures."""
    _, registry = _open(params)
    aliases = registry.aliases()
    rows = [_row(summary, aliases) for summary in registry.summaries()]
    if as_json:
        print_json(rows)
        return
    header = ("version", "made", "alias", "gate", "I-AUROC", "categories", "data", "code")
    print_table(header, [_cells(row) for row in rows], empty="no version yet")


@models_app.command()
def show(
    name: Annotated[str, typer.Argument(help="A version or an alias.")] = "production",
    params: ParamsFile = DEFAULT_PARAMS,
    as_json: AsJson = False,
) -> None:
    """Show one version: what it was made from, its metrics, and the gate's reasons."""
    from normscape.registry.bundle import Bundle
    from normscape.registry.challenge import figure_table

    _, registry = _open(params)
    if name in registry.collected_names():
        _show_collected(registry, name, as_json)
        return
    version = registry.resolve(name)
    bundle = Bundle.load(registry.get(version))
    paired = bundle.gate.paired
    content = {
        **_row(registry.summaries([version])[0], registry.aliases()),
        "path": str(bundle.folder),
        "content_id": bundle.content_id,
        "backbone": bundle.identity.as_dict(),
        "packages": bundle.provenance.packages,
        "champion": bundle.gate.champion,
        "explanation": bundle.gate.explain(),
        "comparison": paired.as_dict() if paired else None,
        "metrics": bundle.metrics,
    }
    if as_json:
        print_json(content)
        return
    shown = ("version", "made", "aliases", "data", "code", "path", "content_id", "champion")
    print_table(("", ""), [(key, _text(content[key])) for key in shown])
    _print_metrics(bundle)
    if paired is not None:
        header, rows = figure_table(paired)
        print_table((f"against {bundle.gate.champion}", *header[1:]), rows)
    _print_lines(bundle.gate.explain())


@models_app.command()
def publish(
    reason: Reason = "published by hand",
    allow_dirty: AllowDirty = False,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Move production to it, if it may.")
    ] = True,
    params: ParamsFile = DEFAULT_PARAMS,
    as_json: AsJson = False,
) -> None:
    """Gate, bundle and register the trained model, and promote it; exit 1 if it may not be."""
    from normscape.registry.publish import publish as publish_model

    loaded, _ = _open(params)
    result = publish_model(loaded, reason=reason, allow_dirty=allow_dirty, promote=promote)
    if as_json:
        print_json({**asdict(result), "explanation": result.decision.explain()})
    else:
        _print_lines(result.decision.explain())
        typer.echo(f"{result.version} registered" + (", in production" * result.promoted))
    if result.refusal is not None:
        raise GateError(result.refusal)
    if not result.decision.passed:
        failures = "; ".join(check.explain() for check in result.decision.failures)
        raise GateError(f"{result.version} was registered, but did not pass the gate: {failures}")


@models_app.command()
def promote(
    name: Annotated[str, typer.Argument(help="A version or an alias.")],
    reason: Reason,
    allow_dirty: AllowDirty = False,
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Move production to a version that passed its gate; exit 1 if it did not."""
    from normscape.registry.contract import PRODUCTION
    from normscape.registry.promotion import promote as promote_version

    _, registry = _open(params)
    state = registry.alias_state(PRODUCTION)
    version = registry.resolve(name)
    promote_version(registry, version, expected=state, reason=reason, allow_dirty=allow_dirty)
    before = state.version if state else "nothing"
    typer.echo(f"production: {before} -> {version}")


@models_app.command()
def rollback(reason: Reason, params: ParamsFile = DEFAULT_PARAMS) -> None:
    """Move production back to the version before."""
    from normscape.registry.promotion import rollback as roll_back

    _, registry = _open(params)
    before = registry.alias("production")
    state = roll_back(registry, reason=reason)
    typer.echo(f"production: {before} -> {state.version}")


@models_app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Versions or aliases; all versions if none.")
    ] = None,
    params: ParamsFile = DEFAULT_PARAMS,
    as_json: AsJson = False,
) -> None:
    """Verify the checksums of versions; exit 1 and name the files if any is damaged."""
    from normscape.registry.bundle import BundleError

    _, registry = _open(params)
    results: dict[str, str | None] = {}
    for version in [registry.resolve(name) for name in names or registry.versions()]:
        try:
            registry.verify(version)
            results[version] = None
        except BundleError as error:
            results[version] = str(error)
    if as_json:
        print_json(results)
    else:
        _print_lines([f"{version}: {problem or 'good'}" for version, problem in results.items()])
    damaged = [version for version, problem in results.items() if problem]
    if damaged:
        raise NormscapeError(f"{len(damaged)} of {len(results)} versions are damaged: {damaged}")


@models_app.command()
def history(params: ParamsFile = DEFAULT_PARAMS, as_json: AsJson = False) -> None:
    """Print the audit log: who changed what, when and why."""
    _, registry = _open(params)
    log = registry.history()
    if as_json:
        print_json(asdict(log))
        return
    header = ("when", "who", "action", "alias", "from", "to", "why")
    rows = [
        (e.when[:19], e.who, e.action, e.alias or "", e.before or "", e.after, e.reason)
        for e in log.entries
    ]
    print_table(header, rows, empty="nothing has happened yet")
    if log.torn_lines:
        typer.echo(f"lines of the log that a crash has torn: {list(log.torn_lines)}", err=True)


def _open(path: Path) -> tuple[Params, Registry]:
    from normscape.params import load_params
    from normscape.registry.store import open_registry

    params = load_params(path)
    return params, open_registry(params)


def _show_collected(registry: Registry, version: str, as_json: bool) -> None:
    row = _row(registry.summaries([version])[0], registry.aliases())
    if as_json:
        print_json(row)
        return
    shown = ("version", "made", "data", "code", "collected")
    print_table(("", ""), [(key, _text(row.get(key))) for key in shown])


def _row(summary: VersionSummary, aliases: dict[str, str]) -> dict[str, Any]:
    gone = summary.collected
    return {
        "version": summary.version,
        "aliases": [name for name, target in aliases.items() if target == summary.version],
        "problem": summary.problem,
        "collected": None if gone is None else f"{gone.when[:10]} by {gone.who}: {gone.reason}",
        **(summary.figures or {}),
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    alias = "(collected)" if row["collected"] else ", ".join(row["aliases"])
    if row["problem"] is not None:
        return (row["version"], "damaged", alias, "", "", "", "", "")
    if "made" not in row:  # collected, and registered by the first release
        return (row["version"], "", alias, "", "", "", "", "")
    auroc = row["mean"].get("image_auroc")
    return (
        row["version"],
        row["made"][:10],
        alias,
        row["gate"],
        "" if auroc is None else f"{auroc:.3f}",
        str(len(row["categories"])),
        (row["data"] or "unversioned")[:8],
        row["code"][:8] + ("*" if " " in row["code"] else ""),
    )


def _print_metrics(bundle: Bundle) -> None:
    from normscape.evaluation.metrics import METRICS

    metrics = bundle.metrics
    rows = [*metrics["categories"].items(), ("mean", metrics["mean"]), ("worst", metrics["worst"])]
    print_table(
        ("category", *METRICS),
        [(name, *(f"{f[key]:.3f}" if key in f else "-" for key in METRICS)) for name, f in rows],
    )


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)
