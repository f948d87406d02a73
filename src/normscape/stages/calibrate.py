"""Stage calibrate: thresholds and p-values from the held-out normal images."""

from __future__ import annotations

import sys

from normscape.params import Params

_SHOWN = 5  # warnings on stderr; calibration.json has all
_STATISTICS = ["mean_intensity", "std_intensity", "sharpness"]


def run(params: Params) -> None:
    """Score the calibration split; write calibration.json and reference.parquet.

    Raises:
        DataError: There are no, or too few, held-out normal images.
        NormscapeError: The detector's scores are unusable.
    """
    import numpy as np
    import pandas as pd

    from normscape.calibration.calibrator import fit_calibration
    from normscape.data.manifest import read_manifest
    from normscape.features.extract import ensure_features
    from normscape.files import atomic_folder
    from normscape.novelty.inspector import Inspector
    from normscape.tiling.images import score_images, whole

    manifest = read_manifest(params.artifacts / "manifest.parquet")
    rows = manifest[manifest["split"] == "calibration"].sort_values("path").reset_index(drop=True)
    model = Inspector.open(params.artifacts / "detector", params.artifacts / "novelty")
    images = [
        (sha, params.data / path) for sha, path in zip(rows["sha256"], rows["path"], strict=True)
    ]
    store = ensure_features(params, whole(images, params.tiling))
    found = {
        sha: (one.score, one.category, one.distance, one.strangeness)
        for sha, one in score_images(model, store, images, params.tiling, params)
    }
    table = pd.DataFrame(
        [found[sha] for sha in rows["sha256"]],
        columns=["score", "predicted_category", "category_distance", "strangeness"],
    ).astype(dict.fromkeys(["score", "category_distance", "strangeness"], np.float32))
    calibration = fit_calibration(
        table["score"],
        rows["category"].tolist(),
        table["category_distance"],
        params.calibrate,
        store.identity,
        groups=rows["group"].tolist(),
        tiling=params.tiling,
        strangeness=None if model.novelty is None else table["strangeness"],
    )
    for warning in calibration.warnings[:_SHOWN]:
        sys.stderr.write(f"warning: {warning}\n")
    if len(calibration.warnings) > _SHOWN:
        more = len(calibration.warnings) - _SHOWN
        sys.stderr.write(f"warning: and {more} more categories, see calibration.json\n")
    reference = pd.concat([rows[["path", "sha256", "category", "group"]], table], axis=1)
    reference["category_p_value"] = calibration.category_p_value(table["strangeness"])
    reference[_STATISTICS] = rows[_STATISTICS]
    with atomic_folder(params.artifacts / "calibration") as folder:
        calibration.save(folder / "calibration.json")
        reference.to_parquet(folder / "reference.parquet", index=False)
