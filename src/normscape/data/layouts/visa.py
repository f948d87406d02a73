"""The layout of VisA (Zou et al., ECCV 2022), as downloaded.

split_csv/1cls.csv                    object,split,label,image,mask; the official split
<category>/Data/Images/Normal|Anomaly/image
<category>/Data/Masks/Anomaly/<stem>.png
<category>/image_anno.csv             image,label,mask; names the defect, where it exists
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from normscape.data.layouts.base import GOOD, Entry
from normscape.errors import DataError

_COLUMNS = ("object", "split", "label", "image", "mask")
_SPLIT_FILE = Path("split_csv") / "1cls.csv"
_UNNAMED_DEFECT = "anomaly"

DESCRIPTION = "visa (split_csv/1cls.csv)"


def matches(root: Path) -> bool:
    """Whether the official split file is there."""
    return (root / _SPLIT_FILE).is_file()


def read(root: Path) -> Iterator[Entry]:
    """Yield the images that the split file lists.

    Raises:
        DataError: The split file is missing, lacks columns, or holds a row that makes no sense.
    """
    path = root / _SPLIT_FILE
    names: dict[str, dict[str, str]] = {}
    for number, row in _rows(path, _COLUMNS):
        category, side, label = row["object"], row["split"], row["label"]
        if side not in ("train", "test") or label not in ("normal", "anomaly") or not row["image"]:
            raise DataError(
                f"{path}, line {number}: found split '{side}', label '{label}', image "
                f"'{row['image']}'; expected train or test, normal or anomaly, and a path"
            )
        if category not in names:
            names[category] = _defect_names(root / category / "image_anno.csv")
        defect = names[category].get(row["image"], _UNNAMED_DEFECT)
        declared: Literal["train", "test"] = "train" if side == "train" else "test"
        yield Entry(
            row["image"],
            category,
            declared,
            GOOD if label == "normal" else defect,
            row["mask"] or None,
        )


def _defect_names(path: Path) -> dict[str, str]:
    """Image path to defect; an image with several defects is of the kind 'combined'."""
    if not path.is_file():
        return {}
    found = {}
    for _, row in _rows(path, ("image", "label")):
        kinds = [kind.strip() for kind in row["label"].split(",")]
        if kinds != ["normal"]:
            found[row["image"]] = kinds[0] if len(kinds) == 1 else "combined"
    return found


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: column '{missing[0]}' is missing; expected {columns}")
            for row in reader:
                yield reader.line_num, {name: (row[name] or "").strip() for name in columns}
    except FileNotFoundError:
        raise DataError(f"{path} is missing; it holds VisA's official split") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
