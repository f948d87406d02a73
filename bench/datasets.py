"""Where the benchmarks' images come from, as tables that every method is given alike.

The splits are the project's own (`normscape.data.manifest`): nothing of a test split is trained on.
Peers have no calibration; `train_rows` gives them the calibration images too, more than the
project's detector is trained on.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.record import ROOT
from normscape.data.manifest import build_manifest
from normscape.errors import UsageError
from normscape.params import load_params

REALBENCH = ROOT.parent / "shared" / "realbench"
"""Real categories that are no part of the repository (non-commercial terms)."""

SOLAR = ("solar_mono", "solar_poly")
"""The demo's photographed categories."""

COLUMNS = ("category", "split", "label", "defect_type", "sha256", "path", "mask")


def realbench() -> pd.DataFrame:
    """Bottle, magnetic tile and biscuit; the table is that of `table`.

    Raises:
        UsageError: The folder is absent.
    """
    if not REALBENCH.is_dir():
        raise UsageError(
            f"{REALBENCH} is missing; put the categories there in the MVTec AD layout, or use "
            "--data solar, which needs only `make data`"
        )
    return table(REALBENCH)


def solar() -> pd.DataFrame:
    """The solar cells of the demo; the table is that of `table`.

    Raises:
        UsageError: The demo is not there.
    """
    rows = table(ROOT / "data")
    rows = rows[rows["category"].isin(SOLAR)].reset_index(drop=True)
    if found := set(SOLAR) - set(rows["category"]):
        raise UsageError(f"data/ has no {' or '.join(sorted(found))}; run `make data` first")
    return rows


def real() -> pd.DataFrame:
    """All real categories: `realbench` and `solar`, five in one table."""
    return pd.concat([realbench(), solar()], ignore_index=True)


def table(root: Path) -> pd.DataFrame:
    """Scan a data folder with the project's parameters.

    Args:
        root: A folder of any layout that the project reads.

    Returns:
        One row an image, sorted by path: category, split (train, calibration, test), label
        (0 normal, 1 anomalous), defect_type, sha256, path and mask (`Path`; mask None without).

    Raises:
        UsageError: There is no such folder.
        DataError: Its layout is unknown or broken.
    """
    rows = build_manifest(root, load_params(ROOT / "params.yaml").manifest, progress=False)
    paths = [root / path for path in rows["path"]]
    masks = [root / mask if isinstance(mask, str) else None for mask in rows["mask"]]
    return rows.assign(path=paths, mask=pd.Series(masks, dtype=object))[list(COLUMNS)]


def train_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The normal images that a peer may use: those of `train` and of `calibration`."""
    chosen = (rows["split"] != "test") & (rows["label"] == 0)
    return rows[chosen].reset_index(drop=True)


def test_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The images to measure on."""
    return rows[rows["split"] == "test"].reset_index(drop=True)
