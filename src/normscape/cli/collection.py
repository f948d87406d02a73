"""`normscape models gc`: removing the bytes of versions that nothing needs any more."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from normscape.cli.options import DEFAULT_PARAMS, AsJson, ParamsFile, print_json


def gc(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, remove nothing.")
    ] = False,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, help="Spare this many of the newest versions.")
    ] = None,
    older_than: Annotated[
        float | None, typer.Option("--older-than", min=0, help="Spare versions younger (days).")
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", help="Why, for the audit log.")
    ] = "garbage collection",
    params: ParamsFile = DEFAULT_PARAMS,
    as_json: AsJson = False,
) -> None:
    """Remove the bytes of versions that no alias, no rollback and no rule needs.

    Their numbers, figures and history stay. The rule is registry.keep_versions and
    registry.keep_days of params.yaml where it is not given here.
    """
    from normscape.params import load_params
    from normscape.registry.contract import KeepRule
    from normscape.registry.store import open_registry

    loaded = load_params(params)
    rule = KeepRule(
        newest=loaded.registry.keep_versions if keep is None else keep,
        days=loaded.registry.keep_days if older_than is None else older_than,
    )
    result = open_registry(loaded).collect(rule, reason=reason, dry_run=dry_run)
    if as_json:
        print_json({**asdict(result), "dry_run": dry_run})
        return
    verb = "would remove" if dry_run else "removed"
    versions = ", ".join(result.versions) or "no version"
    typer.echo(f"{verb} {versions}, {result.bytes / 2**20:.1f} MiB")
    for leftover in result.leftovers:
        typer.echo(f"{verb} what a crash has left: {leftover}")
