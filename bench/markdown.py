"""What the tables of measurements share: Markdown, spreads and intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table whose first column is text and whose others are figures."""
    rule = "|---|" + "---:|" * (len(head) - 1)
    return [f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)]


def with_spread(values: Sequence[float]) -> str:
    """Mean and, of more than one, standard deviation."""
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


def interval(found: Mapping[str, float]) -> str:
    """A difference in points with its interval."""
    low, high = 100 * found["low"], 100 * found["high"]
    return f"{100 * found['difference']:.1f} [{low:.1f}, {high:.1f}]"
