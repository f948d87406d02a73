"""`bundle.json` and the names of a bundle's files: what is read before anything else.

The format has two numbers. `format`, the major one, changes when an older release could not score
with the bundle as it was meant; a release refuses a larger one than its own. `minor` counts
additions that an older release may leave alone: it reads such bundles and ignores what it does not
know. See docs/bundle.md.
"""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

from normscape.errors import NormscapeError
from normscape.files import unwritable

FORMAT = 1
MINOR = 3
INDEX = "bundle.json"
WEIGHTS = "backbone.safetensors"
"""The backbone's weights, in bundles whose backbone does not come with the program."""

REQUIRED = (
    "model.safetensors", "model.json", "backbone.json", "calibration.json", "reference.parquet",
    "metrics.json", "gate.json", "images.json", "provenance.json", "params.yaml", "dvc.lock",
    "model_card.md",
)  # fmt: skip

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SUFFIXES = frozenset({".safetensors", ".json", ".parquet", ".yaml", ".lock", ".md"})
_INDEX_LIMIT = 1 << 20


class BundleError(NormscapeError):
    """A bundle that is damaged, incomplete, hostile, or of a newer format."""


def plain_files(folder: Path) -> set[str]:
    """The names of all files in the folder of a bundle.

    Raises:
        BundleError: It is no folder, or holds a link, a folder or a device.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise BundleError(f"{folder} is not a bundle: expected a folder with {INDEX}")
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise BundleError(f"cannot read {folder}: {error.strerror}") from None
    for path in entries:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise BundleError(
                f"{path} is a link, a folder or a device; expected plain files only, do not use "
                "this bundle"
            )
    return {path.name for path in entries}


def read_index(folder: Path) -> Any:
    """The content of `bundle.json`, whatever it is.

    Raises:
        BundleError: It is missing, too large or no JSON.
    """
    path = folder / INDEX
    try:
        if path.stat().st_size > _INDEX_LIMIT:
            raise BundleError(f"{path} is larger than {_INDEX_LIMIT} bytes; do not use this bundle")
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{folder} is not a bundle: {INDEX} is missing") from None
    except OSError as error:
        raise unwritable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not valid JSON ({error}); restore the bundle") from None


def check_index(folder: Path, index: Any) -> tuple[str, dict[str, str]]:
    """Check what `bundle.json` holds.

    Returns:
        The time of creation, and the names and SHA-256 of the files.

    Raises:
        BundleError: A newer format, a missing or unknown file, or a malformed entry.
    """
    path = folder / INDEX
    version = _count(index.get("format")) if isinstance(index, dict) else 0
    if not version:
        raise BundleError(f"{path} states no format version; expected 'format': {FORMAT}")
    if version > FORMAT:
        raise BundleError(
            f"{path} has format {version}, made by a newer release; this one reads formats up to "
            f"{FORMAT}, update normscape"
        )
    if _count(index.get("minor", 0)) is None:
        raise BundleError(f"{path} states no minor format version; expected 'minor': {MINOR}")
    files, created = index.get("files"), index.get("created")
    if not isinstance(files, dict) or not isinstance(created, str):
        raise BundleError(f"{path} lists no files or no time of creation; restore the bundle")
    for name, digest in files.items():
        _check_entry(path, name, digest)
    for name in REQUIRED:
        if name not in files:
            raise BundleError(f"{path} does not list {name}, which every bundle holds")
    return created, files


def check_name(name: str, path: Path = Path(INDEX)) -> None:
    """Refuse the name of a file that does not belong into a bundle.

    Names come from a file that anybody may have written: one flat folder, known formats only.

    Raises:
        BundleError: It leads elsewhere, or its format could run code; the message names `path`.
    """
    if _NAME.fullmatch(name) is None or name == INDEX:
        raise BundleError(f"{path} lists the name {name!r}; expected plain file names only")
    if Path(name).suffix not in _SUFFIXES:
        raise BundleError(
            f"{path} lists {name!r}; expected only {', '.join(sorted(_SUFFIXES))}: other formats, "
            "pickles among them, could run code"
        )


def _count(value: Any) -> int | None:
    counts = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if counts else None


def _check_entry(path: Path, name: str, digest: Any) -> None:
    check_name(name, path)
    if not isinstance(digest, str) or re.fullmatch(r"[0-9a-f]{64}", digest) is None:
        raise BundleError(f"{path} has no SHA-256 of {name}; restore the bundle")
