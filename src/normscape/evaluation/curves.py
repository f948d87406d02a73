"""ROC and precision-recall curves of all categories in one picture each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from normscape.evaluation.metrics import auroc, average_precision
from normscape.evaluation.ranking import Ranking, Rankings
from normscape.evaluation.results import Evaluation
from normscape.evaluation.style import FONT, GRID, INK, MUTED, PALETTE, save

_POINTS = 400  # a curve has at most this many, and as many of its ties
_LEGEND_CHARACTERS = 28

Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def draw_curves(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Draw roc.png and pr.png, and pixel_roc.png and pixel_pr.png where there are masks.

    A category has the same colour in all of them. With more categories than colours, the worst of
    each picture are coloured and named, the others grey.

    Returns:
        The pictures, in the order in which they should be shown.
    """
    wanted: list[tuple[str, str, Rankings, Callable[[Ranking], Points]]] = [
        ("roc", "Images: ROC", evaluation.images, roc_points),
        ("pr", "Images: precision and recall", evaluation.images, pr_points),
        ("pixel_roc", "Pixels: ROC", evaluation.pixels, roc_points),
        ("pixel_pr", "Pixels: precision and recall", evaluation.pixels, pr_points),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(evaluation.metrics["categories"])
    colours = dict(zip(names, PALETTE, strict=False)) if len(names) <= len(PALETTE) else {}
    paths = []
    for name, title, rankings, points in wanted:
        if rankings.pooled is not None:
            path = folder / f"{name}.png"
            save(_draw(title, rankings, points, colours), path)
            paths.append(path)
    return paths


def roc_points(ranking: Ranking) -> Points:
    """Points (false-positive rate, true-positive rate) of the ROC curve from (0, 0) to (1, 1)."""
    kept = _thin(ranking)
    before = np.insert(ranking.true, 0, 0)[kept]  # what lies above the normals that lie above
    x = np.column_stack([ranking.false_above[kept], ranking.false[kept]]).ravel()
    y = np.column_stack([before, ranking.true[kept]]).ravel()
    return (
        np.concatenate([[0.0], x / ranking.negatives, [1.0]]),
        np.concatenate([[0.0], y / ranking.positives, [1.0]]),
    )


def pr_points(ranking: Ranking) -> Points:
    """Points (recall, precision) at the distinct anomalous scores, from the highest down."""
    kept = _thin(ranking)
    true = ranking.true[kept]
    precision = true / (true + ranking.false[kept])
    return (
        np.insert(true / ranking.positives, 0, 0.0),
        np.insert(precision, 0, precision[0]),
    )


def _thin(ranking: Ranking) -> NDArray[np.int64]:
    """Indices of the thresholds to draw: all, or evenly spread over recall."""
    if len(ranking.true) <= _POINTS:
        return np.arange(len(ranking.true))
    wanted = np.linspace(0, ranking.positives, _POINTS)
    chosen = np.searchsorted(ranking.true, wanted).clip(max=len(ranking.true) - 1)
    return np.unique(chosen).astype(np.int64)


def _draw(
    title: str, rankings: Rankings, points: Callable[[Ranking], Points], colours: dict[str, str]
) -> Figure:
    roc = points is roc_points
    area: Callable[[Ranking], float] = auroc if roc else average_precision
    areas = {name: area(ranking) for name, ranking in rankings.categories.items()}
    worst_first = sorted(areas, key=lambda name: (areas[name], name))
    coloured = colours or dict(zip(worst_first, PALETTE, strict=False))
    figure = Figure(figsize=(5.4, 5.6), layout="constrained")
    axes = figure.add_subplot()
    _prepare(axes, title, roc)
    for name in reversed(worst_first):
        colour = coloured.get(name, "#c4cad4")
        label = f"{areas[name]:.3f}  {_shorten(name)}" if name in coloured else None
        width = 1.8 if name in coloured else 0.8
        axes.plot(*points(rankings.categories[name]), color=colour, lw=width, label=label)
    if rankings.pooled is not None and len(areas) > 1:
        label = f"{area(rankings.pooled):.3f}  all pooled"
        axes.plot(*points(rankings.pooled), color=INK, lw=1.6, ls=(0, (4, 2)), label=label)
    hidden = len(set(areas) - set(coloured))
    heading = "AUROC" if roc else "average precision"
    legend = axes.legend(
        title=heading if not hidden else f"{heading}, the worst {len(coloured)} of {len(areas)}",
        loc="lower right" if roc else "lower left",
        reverse=True,
        frameon=True,
        framealpha=0.7,
        edgecolor="none",
        prop={"family": FONT, "size": 8},
    )
    legend.get_title().set(fontfamily=FONT, fontsize=8, color=MUTED)
    return figure


def _prepare(axes: Axes, title: str, roc: bool) -> None:
    axes.set_title(title, fontfamily=FONT, fontsize=11, color=INK, loc="left", fontweight="bold")
    axes.set_xlabel("false-positive rate" if roc else "recall", family=FONT, size=9, color=MUTED)
    axes.set_ylabel("true-positive rate" if roc else "precision", family=FONT, size=9, color=MUTED)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=8, length=0, labelfontfamily=FONT)
    axes.spines[:].set_visible(False)
    if roc:
        axes.plot([0, 1], [0, 1], color=GRID, lw=1)


def _shorten(name: str) -> str:
    return name if len(name) <= _LEGEND_CHARACTERS else f"{name[: _LEGEND_CHARACTERS - 1]}…"
