"""`normscape models diff`: two versions side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from normscape.cli.options import DEFAULT_PARAMS, AsJson, ParamsFile, print_json, print_table


def diff(
    a: Annotated[str, typer.Argument(help="A version or an alias.")],
    b: Annotated[str, typer.Argument(help="The version or alias it is compared with.")],
    params: ParamsFile = DEFAULT_PARAMS,
    as_json: AsJson = False,
) -> None:
    """Show what differs from A to B: parameters, data, categories, figures, thresholds, files."""
    from normscape.params import load_params
    from normscape.registry.bundle import Bundle
    from normscape.registry.difference import compare_bundles
    from normscape.registry.store import open_registry

    registry = open_registry(load_params(params))
    names = [registry.resolve(name) for name in (a, b)]
    found = compare_bundles(*(Bundle.load(registry.get(name)) for name in names))
    if as_json:
        print_json({"a": names[0], "b": names[1], **found})
        return
    origin = {name: found[name] for name in ("data", "code")}
    _section("made from", origin, names)
    _section("parameters", found["params"], names)
    for change, categories in found["categories"].items():
        typer.echo(f"categories {change}: {', '.join(categories) or 'none'}")
    _print_metrics(found["metrics"], names)
    _section("thresholds", found["thresholds"], names)
    _section("files", found["files"], names)


def _section(title: str, pairs: Mapping[str, Any], names: list[str]) -> None:
    rows = [
        (name, _cell(pair["a"]), _cell(pair["b"]), _cell(pair.get("difference"), signed=True))
        for name, pair in pairs.items()
    ]
    if rows:
        print_table((title, *names, "difference"), rows)
    else:
        typer.echo(f"{title}: the same")


def _print_metrics(metrics: Mapping[str, Mapping[str, Any]], names: list[str]) -> None:
    keys = list(dict.fromkeys(key for pairs in metrics.values() for key in pairs))
    rows = [
        (name, *(_change(pairs[key]) if key in pairs else "-" for key in keys))
        for name, pairs in metrics.items()
    ]
    print_table((f"{names[0]} to {names[1]}", *keys), rows)


def _change(pair: Mapping[str, Any]) -> str:
    text = f"{_cell(pair['a'])} to {_cell(pair['b'])}"
    return f"{text} ({pair['difference']:+.3f})" if "difference" in pair else text


def _cell(value: Any, *, signed: bool = False) -> str:
    if value is None:
        return "" if signed else "-"
    if isinstance(value, float):
        return f"{value:+.4g}" if signed else f"{value:.4g}"
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text
