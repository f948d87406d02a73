"""What a person asks to be scored: a folder, a manifest or a prefix, as the images of days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from normscape.errors import UsageError
from normscape.scoring.manifest import SUFFIXES, read_manifest
from normscape.scoring.schema import check_day
from normscape.scoring.source import Source, list_day
from normscape.storage.location import SCHEME, S3Location


@dataclass(frozen=True)
class DayImages:
    """The images of one day.

    Attributes:
        day: YYYY-MM-DD.
        sources: The images.
    """

    day: str
    sources: Sequence[Source]


def list_images(place: str | Path, root: Path, day: str | None = None) -> list[DayImages]:
    """List what is to be scored, a day each.

    Args:
        place: A day's folder, a manifest (CSV or Parquet), or `s3://bucket/prefix`.
        root: The folder of `params.yaml`.
        day: The day, where neither the name of the place nor the manifest says it.

    Raises:
        UsageError: There is no such place, it has another layout, or its day is not known.
        StoreError: The object store cannot be used.
    """
    text = str(place)
    if text.startswith(SCHEME):
        return [DayImages(day_of(text, day), _listed(S3Location.parse(text)))]
    path = Path(place)
    if path.is_dir():
        return [DayImages(day_of(path.resolve().name, day, str(path)), list_day(path, root))]
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{path} is neither a folder nor a manifest; expected a day's folder "
            f"[category/]image, a {' or '.join(SUFFIXES)} file, or s3://bucket/prefix"
        )
    found = read_manifest(path, root)
    if day is not None and set(found) - {None}:
        raise UsageError(f"{path} gives the days of its images; leave --day out")
    return [
        DayImages(each or day_of(path.stem, day, str(path)), sources)
        for each, sources in found.items()
    ]


def day_of(name: str, day: str | None, place: str | None = None) -> str:
    """The day that images belong to: `day`, else the last part of the name of their place.

    Raises:
        UsageError: Neither is a date.
    """
    if day is not None:
        return check_day(day)
    try:
        return check_day(PurePosixPath(name).name)
    except UsageError:
        raise UsageError(
            f"the name of {place or name} is not a day; name it like 2026-03-14 or give --day"
        ) from None


def _listed(location: S3Location) -> list[Source]:
    from normscape.scoring.bucket import list_prefix
    from normscape.storage.store import ObjectStore

    return list_prefix(ObjectStore(location))
