"""Where scoring keeps things below the state folder."""

from __future__ import annotations

from pathlib import Path

from normscape.params import Params


def score_log(params: Params) -> Path:
    """The root of the score log."""
    return params.state / "scores"


def score_lock(params: Params, day: str, version: str) -> Path:
    """The lock that writers of one day and model version hold while they add a part."""
    return params.state / "locks" / f"scores-{day}-{version}.lock"


def overlay_path(params: Params, version: str, day: str, sha256: str) -> Path:
    """The overlay of a flagged image."""
    return params.state / "maps" / version / day / f"{sha256}.png"
