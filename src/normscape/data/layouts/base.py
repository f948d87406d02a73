"""What every layout shares: the entry it yields, and walking folders without surprises."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from normscape.data.images import is_image_name
from normscape.errors import DataError

GOOD = "good"
"""The defect type of normal images, whatever their folder is called."""

_MASK_SUFFIX = "_mask"


@dataclass(frozen=True)
class Entry:
    """One image as a layout describes it, before it is read.

    Attributes:
        path: POSIX path relative to the data folder.
        category: The product category.
        side: The side the data set declares; None lets the split rule decide.
        defect_type: `good` for normal images, else the kind of defect.
        mask: POSIX path of the mask relative to the data folder, where there is one.
        group: What the layout itself knows must stay together, such as the views of one part.
    """

    path: str
    category: str
    side: Literal["train", "test"] | None
    defect_type: str
    mask: str | None = None
    group: str | None = None

    @property
    def label(self) -> int:
        """0 normal, 1 anomalous."""
        return int(self.defect_type != GOOD)


def subfolders(folder: Path) -> list[Path]:
    """The visible folders directly in `folder`, sorted by name; none if it does not exist.

    Raises:
        DataError: One is a symbolic link.
    """
    if not folder.is_dir():
        return []
    found = []
    for entry in _visible(folder):
        if entry.is_dir():
            if entry.is_symlink():
                raise DataError(
                    f"{entry.path} is a link to a folder; links inside the data folder are not "
                    "followed, copy or mount the images there (the data folder itself may be one)"
                )
            found.append(folder / entry.name)
    return found


def direct_images(folder: Path) -> list[Path]:
    """The image files directly in `folder`, sorted by name; none if it does not exist."""
    if not folder.is_dir():
        return []
    return [
        folder / entry.name
        for entry in _visible(folder)
        if is_image_name(entry.name) and not entry.is_dir()
    ]


def walk_images(folder: Path) -> Iterator[Path]:
    """All image files in `folder` and its sub-folders, in a fixed order."""
    yield from direct_images(folder)
    for child in subfolders(folder):
        yield from walk_images(child)


def relative(path: Path, root: Path) -> str:
    """The POSIX path of `path` below `root`.

    Raises:
        DataError: The name is not valid UTF-8, so that no table could hold it.
    """
    text = path.relative_to(root).as_posix()
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{os.fsencode(path)!r}: the name is not UTF-8; rename it") from None
    return text


class MaskIndex:
    """The masks of one category, found by defect type and image.

    A mask lies at `<folder>/<defect type>/<image stem>_mask.<suffix>`, or without `_mask`;
    sub-folders repeat those of the images.
    """

    def __init__(self, root: Path, folders: list[Path]) -> None:
        self._folders = folders
        self._masks: dict[str, str] = {}
        self._matched = False
        for folder in folders:
            for path in walk_images(folder):
                key = path.relative_to(folder).with_suffix("").as_posix()
                if key.endswith(_MASK_SUFFIX):
                    self._masks[key.removesuffix(_MASK_SUFFIX)] = relative(path, root)
                else:
                    self._masks.setdefault(key, relative(path, root))

    def find(self, image: Path, parent: Path) -> str | None:
        """The mask of an image that lies in `parent/<defect type>/`."""
        key = image.relative_to(parent).with_suffix("").as_posix()
        mask = self._masks.get(key)
        self._matched = self._matched or mask is not None
        return mask

    def check(self) -> None:
        """Refuse masks of which not one belongs to an image.

        Raises:
            DataError: There are masks and `find` never met one: they are named otherwise, and
                the category would silently count as one without masks.
        """
        if self._masks and not self._matched:
            example = PurePosixPath(next(iter(self._masks.values())))
            raise DataError(
                f"{self._folders[0]} holds {len(self._masks)} masks (such as {example.name}) "
                f"but none fits an image; expected <defect type>/<image stem>{_MASK_SUFFIX}.png"
            )


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(found, key=lambda entry: entry.name)
