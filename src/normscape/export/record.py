"""`export.json`: what an artefact is, what it was made from, and how well it agrees with it.

Whoever runs the artefact without this package reads it too, so its keys are part of the format.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

from normscape.errors import NormscapeError, UsageError
from normscape.files import read_json, sha256_file, write_json

FORMAT = 1
RECORD = "export.json"

FormatName = Literal["openvino", "onnx", "torch"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Category:
    """A product category of the artefact; its place in the list is its index.

    Attributes:
        name: As declared.
        threshold: A raw score above it is flagged.
        target: The false-positive rate that the threshold stands for.
        location: Mean score of its normal images.
        scale: Standard deviation of their scores.
    """

    name: str
    threshold: float
    target: float
    location: float
    scale: float


@dataclass(frozen=True)
class Record:
    """The content of `export.json`.

    Attributes:
        kind: The runtime that the artefact is for.
        source: The bundle: `content_id`, `created`, `version`.
        input: Size, range, mean, std and resize rule; the graph normalises by itself.
        categories: In the order of their indices.
        precision: `backbone` and `detector`, the arithmetic of each part.
        calibrated: `runtime`, `precision` and `target_fpr` of the thresholds.
        map_size: Pixels per side of an anomaly map.
        files: SHA-256 of every other file.
        packages: Versions it was made with.
        refine: `max_p`: maps of images whose `p_value_predicted` is at most this go through the
            refiner; None where there is none.
        parity: `Parity.as_dict` of the check it passed; None only before the check.
    """

    kind: FormatName
    source: dict[str, Any]
    input: dict[str, Any]
    categories: tuple[Category, ...]
    precision: dict[str, str]
    calibrated: dict[str, Any]
    map_size: int
    files: dict[str, str]
    packages: dict[str, str]
    refine: dict[str, float] | None = None
    parity: dict[str, Any] | None = None

    def save(self, folder: Path) -> None:
        """Write `export.json`."""
        content = {"format": FORMAT, **asdict(self)}
        if self.refine is None:  # releases that know no refiner refuse records that speak of one
            del content["refine"]
        write_json(folder / RECORD, content)

    @classmethod
    def load(cls, folder: Path) -> Record:
        """Read `export.json` and verify every file.

        Raises:
            UsageError: There is no artefact in the folder.
            NormscapeError: It is damaged, or of a newer format.
        """
        content: Any = read_json(folder / RECORD)
        try:
            if (found := content.pop("format")) != FORMAT:
                raise NormscapeError(
                    f"{folder / RECORD} has format {found}, this release reads {FORMAT}; use the "
                    "release that wrote it or export again"
                )
            categories = tuple(Category(**item) for item in content.pop("categories"))
            record = cls(categories=categories, **content)
            if record.kind not in FORMATS:
                raise ValueError(f"kind '{record.kind}'")
            if record.refine is not None:
                float(record.refine["max_p"])
            listed = dict(record.files)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise NormscapeError(
                f"{folder / RECORD} does not describe an export ({error!r}); export again"
            ) from None
        for name, expected in listed.items():
            _verify(folder, name, expected)
        found = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        if unlisted := found - {RECORD, *listed}:
            raise NormscapeError(
                f"{folder / min(unlisted)} does not belong to the export; remove it or export again"
            )
        return record


def versions(*packages: str) -> dict[str, str]:
    """Versions of installed packages, the project's own included."""
    return {name: version(name) for name in ("normscape", *packages)}


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of an artefact but `export.json`."""
    paths = sorted(path for path in folder.iterdir() if path.name != RECORD)
    return {path.name: sha256_file(path) for path in paths}


def check_format(name: str) -> FormatName:
    """The format of that name.

    Raises:
        UsageError: There is no such format.
    """
    if name not in FORMATS:
        raise UsageError(f"unknown format '{name}'; expected one of {', '.join(FORMATS)}")
    return name


def _verify(folder: Path, name: str, expected: str) -> None:
    path = folder / name
    if _NAME.fullmatch(name) is None or not path.is_file():
        raise NormscapeError(f"{path} is missing or no plain file; export again")
    if (actual := sha256_file(path)) != expected:
        raise NormscapeError(
            f"{path} is damaged: its SHA-256 is {actual[:12]}…, expected {expected[:12]}…; "
            "export again"
        )
