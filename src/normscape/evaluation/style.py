"""Colours that everybody can tell apart, and figures whose bytes depend on their content alone."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from normscape.files import atomic_path

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F6BB3", "#8C6D31")
"""Okabe and Ito's colour-blind-safe colours, their yellow replaced by two that show on white."""

INK = "#1d2433"
MUTED = "#6b7486"
ALARM = "#B3261E"
GRID = "#e3e7ee"
FONT = "DejaVu Sans"
"""Comes with matplotlib, so that pictures are the same on every machine."""


def save(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Write a figure as PNG without a date or version in it, atomically."""
    FigureCanvasAgg(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None})
