"""What the verbs share: the parameter file, warnings, and printing JSON and tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from normscape.params import Params

ParamsFile = Annotated[Path, typer.Option("--params", help="The parameter file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_PARAMS = Path("params.yaml")
_LOG_WIDTH = 160


def read_params(path: Path) -> Params:
    """The project; imported late, because every verb imports this file."""
    from normscape.params import load_params

    return load_params(path)


def warn(text: str) -> None:
    """Write a warning to standard error."""
    sys.stderr.write(f"warning: {text}\n")


def printable(text: str) -> str:
    """The text with control characters escaped, all but line ends."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def print_json(value: Any) -> None:
    """Print `value` as indented, sorted JSON."""
    typer.echo(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], empty: str | None = None
) -> None:
    """Print a table, or the text `empty` for one without rows.

    What people and other machines have written is shown as it is: brackets are no markup, and what
    would steer the terminal is escaped.
    """
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    if not rows and empty is not None:
        typer.echo(empty)
        return
    columns = [Column(name, overflow="fold") for name in header]
    table = Table(*columns, show_header=any(header), box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    # A pipe or a log has no width of its own; rich would take 80 and break the lines.
    console = Console()
    (console if console.is_terminal else Console(width=_LOG_WIDTH)).print(table)
