"""The plain folder layout: whatever a line already has, a folder per category.

Three forms, one per category:

    <category>/train/[good/]image, <category>/test/good/image, <category>/test/<defect>/image
    <category>/good/image, <category>/<defect>/image     normals are split by the fixed rule
    <category>/image                                     all normal, split by the fixed rule

The folder of normals may be called good, normal or ok in any case. Masks lie in
`<category>/ground_truth` (or `masks`) `/<defect>/<stem>_mask.png`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from normscape.data.layouts.base import (
    GOOD,
    Entry,
    MaskIndex,
    direct_images,
    relative,
    subfolders,
    walk_images,
)
from normscape.errors import DataError

NORMAL_NAMES = frozenset({"good", "normal", "ok"})
SIDE_NAMES = frozenset({"train", "test"})
MASK_NAMES = frozenset({"ground_truth", "masks", "mask"})

DESCRIPTION = "folder (<category>/good and <category>/<defect>, or <category>/train and /test)"


def matches(root: Path) -> bool:
    """Whether some folder holds images in one of the forms."""
    return any(_form(category) is not None for category in subfolders(root))


def read(root: Path) -> Iterator[Entry]:
    """Yield the images of all categories.

    Raises:
        DataError: A category is empty, mixes two forms, or holds images of unknown label.
    """
    for category in subfolders(root):
        form = _form(category)
        if form is None:
            raise no_normals(category)
        _refuse_mixture(category)
        yield from form(root, category)


def no_normals(category: Path) -> DataError:
    """The error for a category folder in which no layout finds its images."""
    found = any(True for _ in walk_images(category))
    return DataError(
        f"category '{category.name}' holds no {'normal images' if found else 'images'} "
        f"({category}); expected {category.name}/train/{GOOD}/ or {category.name}/{GOOD}/ with "
        "images, add them or remove the folder"
    )


def split_category(root: Path, category: Path) -> Iterator[Entry]:
    """Yield the images of a category that has train and test folders.

    Raises:
        DataError: `train` holds another folder than that of the normals, or `test` holds images
            of which it is not known whether they are normal.
    """
    train, test = category / "train", category / "test"
    for folder in subfolders(train):
        if not _is_normal(folder):
            raise DataError(
                f"{folder}: only normal images may be in train (in '{GOOD}'); "
                f"move these to {category.name}/test/{folder.name}"
            )
    if loose := direct_images(test):
        raise DataError(
            f"{loose[0]} ({len(loose)} images in all) lies directly in test; move each to "
            f"test/{GOOD} or test/<defect>"
        )
    for path in walk_images(train):
        yield Entry(relative(path, root), category.name, "train", GOOD)
    yield from _labelled(root, category, test, "test")


def _unsplit_category(root: Path, category: Path) -> Iterator[Entry]:
    return _labelled(root, category, category, None)


def _flat_category(root: Path, category: Path) -> Iterator[Entry]:
    for path in direct_images(category):
        yield Entry(relative(path, root), category.name, None, GOOD)


def _labelled(
    root: Path, category: Path, parent: Path, normal_side: Literal["test"] | None
) -> Iterator[Entry]:
    """The images of `parent/<good or defect>/`, with the masks of the category."""
    folders = subfolders(category)
    masks = MaskIndex(root, [folder for folder in folders if _holds_masks(folder)])
    for folder in subfolders(parent):
        if _holds_masks(folder):
            continue
        for path in walk_images(folder):
            name = relative(path, root)
            if _is_normal(folder):
                yield Entry(name, category.name, normal_side, GOOD)
            else:
                mask = masks.find(path, parent)
                yield Entry(name, category.name, "test", folder.name, mask)
    masks.check()


def _form(category: Path) -> Callable[[Path, Path], Iterator[Entry]] | None:
    folders = [folder for folder in subfolders(category) if not _holds_masks(folder)]
    if any(folder.name in SIDE_NAMES for folder in folders):
        return split_category if _any_image(folders) else None
    if any(_is_normal(folder) for folder in folders):
        return _unsplit_category if _any_image(folders) else None
    return _flat_category if direct_images(category) else None


def _refuse_mixture(category: Path) -> None:
    folders = [folder for folder in subfolders(category) if not _holds_masks(folder)]
    if folders and (loose := direct_images(category)):
        raise DataError(
            f"{loose[0]} ({len(loose)} images in all) lies beside folders; "
            f"move it to {category.name}/{GOOD} or to the folder of its defect"
        )
    sides = [folder.name for folder in folders if folder.name in SIDE_NAMES]
    others = [folder.name for folder in folders if folder.name not in SIDE_NAMES]
    if sides and others:
        raise DataError(
            f"{category} holds '{sides[0]}' and beside it '{others[0]}'; with train and test "
            f"folders everything belongs into them, such as {category.name}/test/{others[0]}"
        )


def _any_image(folders: list[Path]) -> bool:
    return any(True for folder in folders for _ in walk_images(folder))


def _is_normal(folder: Path) -> bool:
    return folder.name.lower() in NORMAL_NAMES


def _holds_masks(folder: Path) -> bool:
    return folder.name.lower() in MASK_NAMES
