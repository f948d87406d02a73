"""Where scoring keeps things below the state folder."""

from __future__ import annotations

from pathlib import Path

from normscape.params import Params
from normscape.scoring.local_parts import LocalParts
from normscape.scoring.parts import PartStore
from normscape.storage.location import SCHEME, S3Location


def score_log(params: Params) -> PartStore:
    """The project's score log."""
    place = params.score.log
    if place is None:
        return LocalParts(params.state / "scores")
    if not place.startswith(SCHEME):
        return LocalParts(params.root / place)
    from normscape.scoring.s3_parts import S3Parts
    from normscape.storage.store import ObjectStore

    location = S3Location.parse(place)
    copies = params.state / "cache" / "scores" / location.bucket / location.prefix
    return S3Parts(ObjectStore(location), copies)


def overlay_path(params: Params, version: str, day: str, sha256: str) -> Path:
    """The overlay of a flagged image."""
    return params.state / "maps" / version / day / f"{sha256}.png"


def map_path(params: Params, version: str, day: str, sha256: str) -> Path:
    """The array of an image's anomaly map."""
    return params.state / "maps" / version / day / f"{sha256}.map.png"
