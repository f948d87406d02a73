"""Which days of a feed hold images that no model has scored yet."""

from __future__ import annotations

from pathlib import Path

from normscape.errors import UsageError
from normscape.files import sha256_file
from normscape.params import Params
from normscape.scoring import log
from normscape.scoring.feed import is_day
from normscape.scoring.paths import score_log
from normscape.scoring.retire import pruned_days
from normscape.scoring.source import FileSource, list_day


def unscored_days(feed: Path, params: Params) -> list[Path]:
    """The day folders of a feed with images that are not in the score log under any model.

    Days are not scored again because a new model has come into production, nor because
    `normscape prune` has removed their rows.

    Args:
        feed: The folder that holds folders named YYYY-MM-DD; others are left alone.
        params: The project.

    Raises:
        UsageError: There is no such folder, or a day holds folders within categories.
    """
    if not feed.is_dir():
        raise UsageError(f"{feed} is not a folder; expected a feed of day/[category/]image")
    days = sorted(entry for entry in feed.iterdir() if entry.is_dir() and is_day(entry.name))
    pruned = pruned_days(score_log(params))
    return [each for each in days if each.name not in pruned and _has_new(each, params)]


def _has_new(folder: Path, params: Params) -> bool:
    rows = log.read(score_log(params), days=folder.name, columns=["path", "sha256"])
    paths, hashes = set(rows["path"]), set(rows["sha256"].dropna())

    def new(source: FileSource) -> bool:
        # The log holds each image once: a copy under another name is known by its bytes.
        return source.name not in paths and sha256_file(source.path) not in hashes

    return any(map(new, list_day(folder, params.root)))
