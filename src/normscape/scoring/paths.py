"""Where scoring keeps things below the state folder."""

from __future__ import annotations

from pathlib import Path

from normscape.params import Params
from normscape.scoring.local_parts import LocalParts
from normscape.scoring.parts import PartStore


def score_log(params: Params) -> PartStore:
    """The project's score log (`score.log`)."""
    if params.score.log is None:
        return LocalParts(params.state / "scores")
    return LocalParts(params.root / params.score.log)


def overlay_path(params: Params, version: str, day: str, sha256: str) -> Path:
    """The overlay of a flagged image."""
    return params.state / "maps" / version / day / f"{sha256}.png"
