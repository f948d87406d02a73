"""Where a reviewed image goes in a data folder of the MVTec layout, and what is there already."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath

from normscape.data.images import is_image_name
from normscape.data.layouts import GOOD, detect
from normscape.data.split import bucket, group_of
from normscape.errors import UsageError
from normscape.files import sha256_file
from normscape.params import Params
from normscape.scoring.record import Record

_NAME = re.compile(r"[^\W_][\w-]*(\.[\w-]+)*")  # letters of any script, digits, - _ and inner dots
_MAX_NAME = 64
_RESERVED = frozenset({"train", "test", "ground_truth", GOOD})
_MAX_STEM_BYTES = 200
_SHA_DIGITS = 8


class DataFolder:
    """The data folder that verdicts add to.

    Raises:
        UsageError: Its layout is not that of MVTec AD.
    """

    def __init__(self, params: Params) -> None:
        self.root = params.data
        self._pattern = params.manifest.group_pattern
        self._test_percent = params.review.test_percent
        self._by_size: dict[int, list[str]] | None = None
        self._sides: dict[str, dict[str, str]] = {}
        _require_mvtec(params)

    def check_category(self, name: str) -> None:
        """Refuse a name that cannot be a category's folder.

        Raises:
            UsageError: The name would leave the data folder or break its layout.
        """
        if name not in self._folders():
            _check_name(name, "category")

    def check_defect_type(self, name: str) -> None:
        """Refuse a name that cannot be a defect type's folder.

        Raises:
            UsageError: The name would leave the data folder or break its layout.
        """
        _check_name(name, "defect type")

    def normal_path(self, record: Record, category: str) -> str:
        """Where a verified normal image goes: POSIX path relative to the data folder.

        Images of one group stay on one side: that of the group's images that are there already,
        else `review.test_percent` of the groups' hash buckets are test.
        """
        name = _file_name(record)
        group = self._group(name, record.sha256)
        side = self._side_of(category, group)
        if side is None:
            in_test = bucket(f"review\0{category}\0{group}") < self._test_percent
            side = "test" if in_test else "train"
        return f"{category}/{side}/{GOOD}/{name}"

    def defect_path(self, record: Record, category: str, defect_type: str) -> str:
        """Where a labelled defect goes: POSIX path relative to the data folder."""
        return f"{category}/test/{defect_type}/{_file_name(record)}"

    def copies(self, sha256: str, size: int) -> list[str]:
        """The images of the data folder with these bytes: POSIX paths, sorted."""
        return sorted(
            path
            for path in self._sizes().get(size, [])
            if (self.root / path).is_file() and sha256_file(self.root / path) == sha256
        )

    def has_masks(self, category: str) -> bool:
        """Whether a category has any mask: validation then asks for one per labelled defect."""
        folder = self.root / category / "ground_truth"
        return any(is_image_name(path.name) for path in folder.rglob("*"))

    def mask_path(self, path: str) -> str:
        """Where the mask of a labelled defect belongs: POSIX path relative to the data folder."""
        image = PurePosixPath(path)
        mask = f"{image.stem}_mask.png"
        return f"{image.parts[0]}/ground_truth/{image.parent.name}/{mask}"

    def mask_of(self, path: str) -> str | None:
        """The mask of a labelled defect, if somebody has drawn one: POSIX path, or None."""
        mask = self.mask_path(path)
        return mask if (self.root / mask).is_file() else None

    def _group(self, name: str, sha256: str) -> str:
        return group_of(name, sha256, self._pattern, None)

    def _side_of(self, category: str, group: str) -> str | None:
        if category not in self._sides:
            self._sides[category] = {
                self._group(path.name, path.name): side
                for side in ("test", "train")
                for path in (self.root / category / side / GOOD).glob("*")
                if is_image_name(path.name)
            }
        return self._sides[category].get(group)

    def _folders(self) -> set[str]:
        if not self.root.is_dir():
            return set()
        return {
            path.name
            for path in self.root.iterdir()
            if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
        }

    def _sizes(self) -> dict[int, list[str]]:
        if self._by_size is None:
            self._by_size = defaultdict(list)
            for folder, names, files in os.walk(self.root):
                names[:] = [name for name in names if name != "ground_truth"]
                for file in filter(is_image_name, files):
                    path = Path(folder) / file
                    size = path.stat().st_size
                    self._by_size[size].append(path.relative_to(self.root).as_posix())
        return self._by_size


def _require_mvtec(params: Params) -> None:
    layout, root = params.manifest.layout, params.data
    if layout == "auto" and root.is_dir() and any(path.is_dir() for path in root.iterdir()):
        layout = detect(root.resolve())  # type: ignore[assignment]
    if layout not in ("auto", "mvtec"):
        raise UsageError(
            f"the data folder {root} has the layout '{layout}'; verdicts can add images to the "
            "layout 'mvtec' only (<category>/train/good, <category>/test/<defect type>): export "
            "the list with `normscape review list --json` and add the images yourself"
        )


def _check_name(name: str, what: str) -> None:
    if len(name) <= _MAX_NAME and name not in _RESERVED and _NAME.fullmatch(name):
        return
    raise UsageError(
        f"'{name}' cannot be a {what}: expected at most {_MAX_NAME} letters, digits, '-', '_' and "
        f"inner dots, starting with a letter or digit, and none of {', '.join(sorted(_RESERVED))}"
    )


def _file_name(record: Record) -> str:
    # The stem stays in front, so that manifest.group_pattern finds the same group as at the source.
    source = PurePosixPath(record.source)
    stem = source.stem.encode("utf-8")[:_MAX_STEM_BYTES].decode("utf-8", "ignore")
    return f"{stem}-{record.sha256[:_SHA_DIGITS]}{source.suffix.lower()}"
