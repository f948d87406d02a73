"""What the verbs share: the parameter file, and printing JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

ParamsFile = Annotated[Path, typer.Option("--params", help="The parameter file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_PARAMS = Path("params.yaml")


def print_json(value: Any) -> None:
    """Print `value` as indented, sorted JSON."""
    typer.echo(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))
