"""A category's course as a small inline SVG: where the body of its scores lay, day by day."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

WIDTH, HEIGHT = 220, 64
DAYS = 60
"""Days that are shown, at most."""

_SHARES = 14  # height of the bars of the flagged share
_AXIS = 13
_MARGIN = 3


def sparkline(rows: pd.DataFrame, last: str, *, min_effect: float) -> str:
    """An SVG element: a line of the daily shift in front of the band of shifts that do not matter.

    The band of `min_effect` lies around the usual level, the median of the days without an alarm.
    Days with an alarm are marked; bars below are the share of flagged images, the full height is
    five times the usual share, or more where a day asks for it.

    Args:
        rows: Of `DriftVerdicts.trend`: one category, in any order.
        last: The day on the right, YYYY-MM-DD.
        min_effect: Half the height of the band, in the unit of `shift`.

    Returns:
        Nothing where no day has a shift.
    """
    final = datetime.date.fromisoformat(last).toordinal()
    place = np.array([datetime.date.fromisoformat(day).toordinal() for day in rows["day"]], int)
    kept = (place > final - DAYS) & (place <= final)
    shown, place = rows[kept], place[kept]
    order = np.argsort(place, kind="stable")
    shown, place = shown.iloc[order], place[order]
    shift = shown["shift"].to_numpy(dtype=np.float64)
    drawn = np.isfinite(shift)
    if not drawn.any():
        return ""
    first = min(int(place[0]), final - 1)
    x = _MARGIN + (place - first) / (final - first) * (WIDTH - 2 * _MARGIN)
    alarm = shown["alarm"].to_numpy(dtype=bool)
    usual = float(np.median(shift[drawn & ~alarm])) if (drawn & ~alarm).any() else 0.0
    low = min(float(np.min(shift[drawn])), usual - 1.5 * min_effect)
    high = max(float(np.max(shift[drawn])), usual + 1.5 * min_effect)
    room = HEIGHT - _AXIS - _SHARES

    def y(value: float) -> float:
        return _MARGIN + (high - value) / (high - low) * (room - 2 * _MARGIN)

    top, height = y(usual + min_effect), y(usual - min_effect) - y(usual + min_effect)
    band = (
        f'<rect class="band" x="0" y="{top:.1f}" width="{WIDTH}" height="{height:.1f}"/>'
        f'<line class="usual" x1="0" x2="{WIDTH}" y1="{y(usual):.1f}" y2="{y(usual):.1f}"/>'
    )
    points = " ".join(f"{a:.1f},{y(b):.1f}" for a, b in zip(x[drawn], shift[drawn], strict=True))
    line = f'<polyline class="course" points="{points}"/>'
    marked = drawn & (alarm | (place == final))
    dots = "".join(
        f'<circle class="{"alarm" if found else "today"}" cx="{a:.1f}" cy="{y(b):.1f}" r="2.4"/>'
        for a, b, found in zip(x[marked], shift[marked], alarm[marked], strict=True)
    )
    label = f"shift of the last {final - first + 1} days and share of flagged images"
    return (
        f'<svg class="trend" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{label}">{band}{_bars(shown, x)}{line}{dots}'
        f'<line class="axis" x1="0" x2="{WIDTH}" y1="{HEIGHT - _AXIS}" y2="{HEIGHT - _AXIS}"/>'
        f'<text x="0" y="{HEIGHT - 2}">{_short(first)}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 2}" text-anchor="end">{_short(final)}</text></svg>'
    )


def _bars(shown: pd.DataFrame, x: np.ndarray) -> str:
    share = shown["flagged"].to_numpy(float) / np.maximum(shown["images"].to_numpy(float), 1.0)
    full = min(1.0, max(5.0 * float(np.median(share)), float(np.max(share)), 0.05))
    rising = shown["rising"].to_numpy(dtype=bool)
    base, width = HEIGHT - _AXIS, max(0.8 * (WIDTH - 2 * _MARGIN) / DAYS, 1.0)
    return "".join(
        f'<rect class="{"rising" if found else "share"}" x="{a - width / 2:.1f}" '
        f'y="{base - _SHARES * part / full:.1f}" width="{width:.1f}" '
        f'height="{_SHARES * part / full:.1f}"/>'
        for a, part, found in zip(x, share, rising, strict=True)
        if part
    )


def _short(ordinal: int) -> str:
    day = datetime.date.fromordinal(ordinal)
    return f"{day.day} {day:%b}"
