"""The layout of MVTec AD (Bergmann et al., CVPR 2019).

<category>/train/good/image
<category>/test/good/image, <category>/test/<defect type>/image
<category>/ground_truth/<defect type>/<stem>_mask.png
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from normscape.data.layouts.base import Entry, direct_images, subfolders, walk_images
from normscape.data.layouts.folder import no_normals, split_category
from normscape.errors import DataError

_FOLDERS = frozenset({"train", "test", "ground_truth"})

DESCRIPTION = "mvtec (<category>/train/good, <category>/test/<good or defect>)"


def matches(root: Path) -> bool:
    """Whether every folder that is not empty looks like a category of MVTec AD."""
    categories = subfolders(root)
    return any((category / "train" / "good").is_dir() for category in categories) and all(
        not _foreign(category) for category in categories
    )


def read(root: Path) -> Iterator[Entry]:
    """Yield the images of all categories.

    Raises:
        DataError: A category is empty or holds images outside the layout.
    """
    for category in subfolders(root):
        if foreign := _foreign(category):
            raise DataError(
                f"{category / foreign} does not belong to the MVTec layout; expected only "
                f"{', '.join(sorted(_FOLDERS))} in {category.name}"
            )
        sides = (category / "train", category / "test")
        if not any(True for side in sides for _ in walk_images(side)):
            raise no_normals(category)
        yield from split_category(root, category)


def _foreign(category: Path) -> str | None:
    names = [folder.name for folder in subfolders(category) if folder.name not in _FOLDERS]
    names += [path.name for path in direct_images(category)]
    return names[0] if names else None
