"""Stage `manifest`: list the images of the data folder."""

from __future__ import annotations

from rich.console import Console

from normscape.data.manifest import build_manifest, category_counts, write_manifest
from normscape.params import Params


def run(params: Params) -> None:
    """Scan the data folder and write `manifest.parquet`.

    Raises:
        UsageError: The data folder is missing.
        DataError: Its layout is unknown or broken.
    """
    frame = build_manifest(params.data, params.manifest)
    write_manifest(params.artifacts / "manifest.parquet", frame)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for row in category_counts(frame).itertuples():
        console.print(
            f"{row.category}: {row.train} train, {row.calibration} calibration, "
            f"{row.test_normal} normal and {row.test_anomalous} anomalous test images",
            markup=False,
        )
