"""The frozen champion, scored again on today's test images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from normscape.errors import UsageError
from normscape.params import Params
from normscape.registry.bundle import Bundle
from normscape.registry.challenge import Comparison
from normscape.registry.contract import Registry

if TYPE_CHECKING:
    from normscape.evaluation.results import Evaluation


def compare_with_champion(registry: Registry, version: str, params: Params) -> Comparison:
    """Measure champion and challenger on the same of today's test images.

    These are the test images of the categories both know, without those that the champion was
    trained or calibrated on. The champion runs as it was frozen: its own backbone, transform and
    calibration. The challenger's scores are those of the stage evaluate.

    Args:
        registry: Where the champion is.
        version: The champion.
        params: Those of the challenger, whose model is in `params.artifacts`.

    Raises:
        BundleError: The champion is damaged.
        UsageError: The challenger was not evaluated on the test images of today's manifest.
        NormscapeError: Its backbone's weights are not here or not the ones it was made with.
    """
    from normscape.data.manifest import read_manifest
    from normscape.evaluation.paired import compare_scores

    champion = Bundle.load(registry.get(version))
    challenger = _read_scores(params.artifacts / "evaluation" / "scores.parquet")
    manifest = read_manifest(params.artifacts / "manifest.parquet")
    known = set(challenger["category"])
    common = manifest[
        (manifest["split"] == "test")
        & manifest["category"].isin(known.intersection(champion.categories))
    ]
    rows = common[~common["sha256"].isin(champion.images)]
    removed = tuple(name for name in champion.categories if name not in known)
    left_out = len(common) - len(rows)
    paired = None
    if not rows.empty:
        ours = challenger[challenger["path"].isin(rows["path"])]
        theirs = rescore_champion(champion, rows, params).scores
        paired = compare_scores(ours, theirs, params.gate.confidence)
    return Comparison(version, paired, len(rows), left_out, removed)


def rescore_champion(champion: Bundle, rows: pd.DataFrame, params: Params) -> Evaluation:
    """Evaluate the champion on `rows` of the manifest, images of categories it knows.

    Raises:
        NormscapeError: Its backbone's weights are not here or not the ones it was made with.
    """
    from normscape.backbones import load_identity
    from normscape.evaluation.evaluate import evaluate
    from normscape.features.extract import ensure_features

    identity = champion.identity
    run = {"runtime": identity.runtime, "precision": identity.precision}
    # Refuses other weights under the same name before anything is extracted with them.
    load_identity(identity, **run, root=params.root, cache=params.state / "cache")
    backbone = params.backbone.model_copy(
        update={
            "name": identity.name,
            "weights": identity.weights,
            "input_size": identity.input_size,
            "levels": identity.levels,
            **run,
        }
    )
    recorded = params.model_copy(update={"backbone": backbone})
    items = [(str(row.sha256), params.data / str(row.path)) for row in rows.itertuples(index=False)]
    store = ensure_features(recorded, items)
    return evaluate(
        champion.model, champion.calibration, store, rows, params.data, params, champion.refiner
    )


def _read_scores(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UsageError(f"{path} is missing; run dvc repro first") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}); restore it with dvc repro") from None
