"""How folders of images are read: four layouts, found by what lies in the data folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from normscape.data.layouts import folder, mvtec, realiad, visa
from normscape.data.layouts.base import GOOD, Entry, direct_images, subfolders
from normscape.data.layouts.folder import NORMAL_NAMES, SIDE_NAMES
from normscape.errors import DataError, UsageError

__all__ = ["GOOD", "LAYOUTS", "Entry", "detect", "read_layout"]

LAYOUTS: dict[str, ModuleType] = {
    "visa": visa,
    "realiad": realiad,
    "mvtec": mvtec,
    "folder": folder,
}
"""The layouts in the order in which they are looked for."""


def read_layout(root: Path, layout: str = "auto") -> Iterator[Entry]:
    """Yield the images of the data folder as its layout describes them.

    Args:
        root: The data folder, resolved.
        layout: A name of `LAYOUTS`, or auto.

    Raises:
        UsageError: There is no such folder.
        DataError: The layout is unknown, or the folder does not follow it.
    """
    if not root.is_dir():
        raise UsageError(
            f"the data folder {root} is missing; run `make data` or `dvc pull`, or put your "
            "images there (docs/data.md)"
        )
    _refuse_single_category(root)
    name = detect(root) if layout == "auto" else layout
    entries: Iterator[Entry] = LAYOUTS[name].read(root)
    return entries


def detect(root: Path) -> str:
    """Return the name of the layout of `root`.

    Raises:
        DataError: None fits.
    """
    names = [child.name for child in subfolders(root)]
    for name, layout in LAYOUTS.items():
        if layout.matches(root):
            return name
    found = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    raise DataError(
        f"unknown layout of {root}; found {f'the folders {found}' if names else 'no folders'}, "
        f"looked for {'; '.join(layout.DESCRIPTION for layout in LAYOUTS.values())}. "
        "See docs/data.md"
    )


def _refuse_single_category(root: Path) -> None:
    if loose := direct_images(root):
        raise DataError(
            f"{loose[0]} ({len(loose)} images in all) lies directly in the data folder; "
            f"put every image into the folder of its category, such as {root.name}/bottle/good"
        )
    names = [child.name for child in subfolders(root)]
    single = [name for name in names if name in SIDE_NAMES or name.lower() in NORMAL_NAMES]
    if single:
        raise DataError(
            f"{root} holds '{single[0]}' and so looks like one category; expected a folder per "
            f"category, move everything to {root.name}/<category>/"
        )
