"""The manifest: one table row per image; its format is decided here alone."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from normscape.data.layouts import read_layout
from normscape.data.scan import scan
from normscape.data.split import Candidate, assign_splits, group_of
from normscape.errors import DataError, UsageError
from normscape.files import atomic_path

if TYPE_CHECKING:
    from normscape.sections.data import ManifestParams

SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # POSIX, relative to the data folder
        ("category", pa.string()),
        ("group", pa.string()),
        ("split", pa.string()),  # train, calibration, test
        ("label", pa.int8()),  # 0 normal, 1 anomalous
        ("defect_type", pa.string()),  # good for normals
        ("mask", pa.string()),
        ("sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("channels", pa.int32()),
        ("file_size", pa.int64()),
        ("error", pa.string()),
        ("mean_intensity", pa.float32()),
        ("std_intensity", pa.float32()),
        ("sharpness", pa.float32()),
        ("mask_width", pa.int64()),
        ("mask_height", pa.int64()),
        ("mask_pixels", pa.int64()),
        ("mask_error", pa.string()),
    ]
)
"""Columns and types of `manifest.parquet`, sorted by path."""

_NULLABLE = ("mask_width", "mask_height", "mask_pixels")


def build_manifest(root: Path, params: ManifestParams, *, progress: bool = True) -> pd.DataFrame:
    """Read the data folder and return its manifest.

    Args:
        root: The data folder.
        params: Layout, groups and split.
        progress: Whether to show a progress bar on stderr.

    Raises:
        UsageError: There is no such folder.
        DataError: The layout is unknown or broken, or a path leads out of the folder.
    """
    root = root.resolve()
    entries = sorted(read_layout(root, params.layout), key=lambda entry: entry.path)
    for first, second in pairwise(entries):
        if first.path == second.path:
            raise DataError(f"{first.path} is listed twice in {root}; list every image once")
    rows, candidates = [], []
    for entry, facts, mask in scan(root, entries, progress=progress):
        group = group_of(entry.path, facts.sha256, params.group_pattern, entry.group)
        candidates.append(Candidate(entry.category, group, entry.side, entry.label))
        rows.append(
            {
                "path": entry.path,
                "category": entry.category,
                "group": group,
                "label": entry.label,
                "defect_type": entry.defect_type,
                "mask": entry.mask,
                **asdict(facts),
                **asdict(mask),
            }
        )
    splits = assign_splits(candidates, params.calibration_percent, params.calibration_min_images)
    for row, split in zip(rows, splits, strict=True):
        row["split"] = split
    return _to_frame(pa.Table.from_pylist(rows, schema=SCHEMA))


def write_manifest(path: Path, frame: pd.DataFrame) -> None:
    """Write a manifest as Parquet, atomically; the same rows give the same bytes."""
    table = pa.Table.from_pandas(frame, schema=SCHEMA, preserve_index=False)
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(None), temporary, compression="zstd")


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest; the columns are those of `SCHEMA`, text and mask columns may be null.

    Raises:
        UsageError: The file is missing, damaged, or of another format.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise UsageError(f"{path} is missing; run `normscape manifest` first") from None
    except (OSError, pa.ArrowInvalid) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{path} cannot be read ({reason}); run `normscape manifest` again"
        ) from None
    if not table.schema.equals(SCHEMA):
        raise UsageError(
            f"{path} has other columns than this version writes; run `normscape manifest` again"
        )
    return _to_frame(table)


def category_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return per category the images: train, calibration, test_normal, test_anomalous.

    Only normal images count as train and calibration. Sorted by category, which is a column.
    """
    normal, split = frame["label"] == 0, frame["split"]
    flags = pd.DataFrame(
        {
            "category": frame["category"],
            "train": normal & (split == "train"),
            "calibration": normal & (split == "calibration"),
            "test_normal": normal & (split == "test"),
            "test_anomalous": ~normal & (split == "test"),
        }
    )
    return flags.groupby("category", sort=True).sum().astype("int64").reset_index()


def _to_frame(table: pa.Table) -> pd.DataFrame:
    frame = cast("pd.DataFrame", table.to_pandas())
    return frame.astype(dict.fromkeys(_NULLABLE, "Int64"))
