"""Where the benchmarks' images come from, as tables that every method is given alike.

The splits are the project's own (`normscape.data.manifest`): nothing of a test split is trained on.
Peers have no calibration; `train_rows` gives them the calibration images too, more than the
project's detector is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.record import ROOT
from normscape.data.manifest import build_manifest
from normscape.data.synth import VERSION, ScaleSet, build_scale_set
from normscape.errors import UsageError
from normscape.files import exclusive_lock
from normscape.params import load_params

REALBENCH = ROOT.parent / "shared" / "realbench"
"""Real categories that are no part of the repository (non-commercial terms)."""

SOLAR = ("solar_mono", "solar_poly")
"""The demo's photographed categories."""

TEXTURES = ("brick", "gravel")
"""The demo's categories with drawn defects and masks."""

SCALE = ROOT / ".normscape" / "bench" / "scale"
"""Where scale sets are kept once they are drawn."""

SCALE_CATEGORIES, SCALE_TESTED = 160, 40
"""Of a scale set, and how many of them, the first, have test images."""

COLUMNS = ("category", "group", "split", "label", "defect_type", "sha256", "path", "mask")


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


def demo(categories: Sequence[str]) -> pd.DataFrame:
    """Categories of the demo; the table is that of `table`.

    Raises:
        UsageError: The demo is not there.
    """
    rows = choose(table(ROOT / "data"), categories)
    if found := set(categories) - set(rows["category"]):
        raise UsageError(f"data/ has no {' or '.join(sorted(found))}; run `make data` first")
    return rows


def solar() -> pd.DataFrame:
    """The solar cells of the demo; the table is that of `table`.

    Raises:
        UsageError: The demo is not there.
    """
    return demo(SOLAR)


def choose(rows: pd.DataFrame, categories: Sequence[str]) -> pd.DataFrame:
    """The rows of some categories."""
    return rows[rows["category"].isin(categories)].reset_index(drop=True)


def real() -> pd.DataFrame:
    """All real categories: `realbench` and `solar`, five in one table."""
    return pd.concat([realbench(), solar()], ignore_index=True)


def scale_set(categories: int | Sequence[str], seed: int) -> pd.DataFrame:
    """The scale set of a seed (docs/scale-set.md), drawn at the first call; minutes.

    Args:
        categories: The first so many, or the names of those wanted.
        seed: From which everything is drawn.

    Returns:
        The table of `table`, only of these categories; 20 normal training images each, and 80 test
        images in the first 40.

    Raises:
        UsageError: There are no such categories.
    """
    plan = ScaleSet(
        categories=SCALE_CATEGORIES, seed=seed, train=20, test_normal=40, test_anomalous=40,
        test_categories=SCALE_TESTED,
    )  # fmt: skip
    folder = SCALE / f"seed{seed}-v{VERSION}"
    with exclusive_lock(SCALE / f"{folder.name}.lock", "drawing the scale set", wait_seconds=3600):
        if not folder.exists():  # it is put into place as a whole
            build_scale_set(folder, plan)
    rows = table(folder)
    names = sorted(set(rows["category"]))
    wanted = names[:categories] if isinstance(categories, int) else list(categories)
    if unknown := set(wanted) - set(names):
        raise UsageError(f"the scale set has no {', '.join(sorted(unknown))}")
    return choose(rows, wanted)


def table(root: Path) -> pd.DataFrame:
    """Scan a data folder with the project's parameters.

    Args:
        root: A folder of any layout that the project reads.

    Returns:
        One row an image, sorted by path: category, group, split (train, calibration, test), label
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
