"""Small inline SVG histograms: the window's scores in front of the reference's."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT = 220, 64
_BINS = 28
_AXIS = 13


def overlay(reference: ArrayLike, window: ArrayLike, threshold: float | None) -> str:
    """An SVG element: reference as an outline, window as bars, the threshold as a dashed line.

    Both are densities, so their heights compare whatever the numbers of images. The axis spans
    the values between the 0.5 % and the 99.5 % quantile of both; what lies beyond is counted into
    the outermost bars.
    """
    base, seen = (_finite(values) for values in (reference, window))
    both = np.concatenate([base, seen])
    if not both.size:
        return ""
    low, high = np.quantile(both, [0.005, 0.995])
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    span = float(high - low) or max(abs(float(low)), 1.0) * 0.1
    low, high = float(low) - 0.04 * span, float(high) + 0.04 * span
    edges = np.linspace(low, high, _BINS + 1)
    heights = [_density(values, edges) for values in (base, seen)]
    top = max(float(each.max()) for each in heights) or 1.0
    room, step = HEIGHT - _AXIS, WIDTH / _BINS
    bars = "".join(
        f'<rect class="window" x="{number * step:.1f}" y="{room * (1 - value / top):.1f}" '
        f'width="{step - 1:.1f}" height="{room * value / top:.1f}"/>'
        for number, value in enumerate(heights[1])
        if value
    )
    points = " ".join(
        f"{x * step:.1f},{room * (1 - value / top):.1f}"
        for number, value in enumerate(heights[0])
        for x in (number, number + 1)
    )
    outline = f'<polyline class="reference" points="0,{room} {points} {WIDTH},{room}"/>'
    mark = ""
    if threshold is not None:
        at = (threshold - low) / (high - low) * WIDTH
        mark = f'<line class="threshold" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{room}"/>'
    return (
        f'<svg class="histogram" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="scores of the window and of the reference">{bars}{outline}{mark}'
        f'<line class="axis" x1="0" x2="{WIDTH}" y1="{room}" y2="{room}"/>'
        f'<text x="0" y="{HEIGHT - 2}">{low:.3g}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 2}" text-anchor="end">{high:.3g}</text></svg>'
    )


def _density(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return counts / max(values.size, 1)


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    finite: NDArray[np.float64] = numbers[np.isfinite(numbers)]
    return finite
