"""The layout of Real-IAD (Wang et al., CVPR 2024).

    realiad_jsons/<category>.json         (also nested once more, or directly in the data folder)
    realiad_<side>/<category>/OK|NG/.../S0001/image      (or <category>/ directly)

A file holds `meta` (`normal_class`, `prefix`) and the lists `train` and `test` of records with
`category`, `anomaly_class`, `image_path` and `mask_path`; paths are relative to the prefix. The
five views of one part share a folder S0001: they form a group.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from normscape.data.layouts.base import GOOD, Entry, subfolders
from normscape.errors import DataError

_JSON_FOLDERS = ("realiad_jsons/realiad_jsons", "realiad_jsons", ".")
_IMAGE_FOLDER = re.compile(r"realiad_(\d+|raw)")
_PART = re.compile(r"S\d+")
_SIDES: tuple[Literal["train", "test"], ...] = ("train", "test")

DESCRIPTION = "realiad (realiad_jsons/<category>.json or <category>.json)"


def matches(root: Path) -> bool:
    """Whether there are files that describe categories of Real-IAD."""
    return bool(_files(root))


def read(root: Path) -> Iterator[Entry]:
    """Yield the images that the files list.

    Raises:
        DataError: No file is found, one is damaged, or it is unclear which images are meant.
    """
    files = _files(root)
    if not files:
        raise DataError(f"{root} holds no realiad_jsons/<category>.json with 'meta' and 'train'")
    folder = _image_folder(root)
    for path in files:
        content = _load(path)
        meta = content["meta"]
        prefix = PurePosixPath(folder) / str(meta.get("prefix", path.stem))
        normal = meta["normal_class"]
        for side in _SIDES:
            for record in content[side]:
                yield _entry(path, record, side, prefix, normal)


def _entry(
    path: Path, record: Any, side: Literal["train", "test"], prefix: PurePosixPath, normal: str
) -> Entry:
    try:
        image, kind = str(record["image_path"]), str(record["anomaly_class"])
        category = str(record.get("category", path.stem))
        mask = record.get("mask_path")
    except (KeyError, TypeError, AttributeError):
        raise DataError(
            f"{path}: a record of '{side}' is {record!r}; expected category, anomaly_class, "
            "image_path and mask_path"
        ) from None
    parent = PurePosixPath(image).parent
    return Entry(
        (prefix / image).as_posix(),
        category,
        side,
        GOOD if kind == normal else kind,
        (prefix / mask).as_posix() if mask else None,
        parent.as_posix() if _PART.fullmatch(parent.name) else None,
    )


def _files(root: Path) -> list[Path]:
    for folder in _JSON_FOLDERS:
        files = sorted((root / folder).glob("[!.]*.json"))
        if files and _describes(files[0]):
            return files
    return []


def _describes(path: Path) -> bool:
    try:
        _load(path)
    except DataError:
        # In a folder of its own a damaged file is still one of Real-IAD; elsewhere it is not.
        return path.parent.name == "realiad_jsons"
    return True


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from None
    if (
        not isinstance(content, dict)
        or not isinstance(content.get("meta"), dict)
        or "normal_class" not in content["meta"]
        or not all(isinstance(content.get(side), list) for side in _SIDES)
    ):
        raise DataError(f"{path}: expected meta.normal_class and the lists 'train' and 'test'")
    return content


def _image_folder(root: Path) -> str:
    folders = [f.name for f in subfolders(root) if _IMAGE_FOLDER.fullmatch(f.name)]
    if len(folders) > 1:
        raise DataError(
            f"{root} holds {' and '.join(folders)}, the same images in several sizes; keep one"
        )
    return folders[0] if folders else "."
