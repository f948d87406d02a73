"""Putting the demo into a checkout without ever overwriting somebody's own images."""

from __future__ import annotations

from pathlib import Path

from normscape.data.demo.build import TRUTH_FILE, build_demo
from normscape.data.pin import directory_hash, read_pin
from normscape.errors import DataError


def fill_demo(data: Path, feed: Path, dvc_file: Path, *, force: bool = False) -> bool:
    """Fill `data` and `feed` with the demo that `dvc_file` pins.

    Args:
        data: The folder of the versioned images.
        feed: The folder of the production feed.
        dvc_file: The file that pins `data`.
        force: Make both folders anew, whatever they hold.

    Returns:
        Whether the folders were written; False where both were there already.

    Raises:
        DataError: A folder holds something else and `force` is not set, or the demo is not what
            `dvc_file` pins. Nothing is replaced then.
        NormscapeError: A package of the photographs is missing, or a folder cannot be written.
    """
    pin = read_pin(dvc_file)
    if not force:
        has_data, has_feed = _filled(data), _filled(feed)
        if has_data and (found := directory_hash(data)).md5 != pin.md5:
            raise DataError(
                f"{data} holds {found}, which is not what {dvc_file.name} pins, {pin}; "
                "pin it with 'dvc add', move it away, or overwrite it with --force"
            )
        if has_feed and not (feed / TRUTH_FILE).is_file():
            raise DataError(
                f"{feed} holds something else than the demo's feed (no {TRUTH_FILE}); "
                "move it away, or overwrite it with --force"
            )
        if has_data and has_feed:
            return False
    build_demo(data, feed, pin)
    return True


def _filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
