"""The frozen champion, scored again on today's test images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from normscape.files import read_json
from normscape.params import Params
from normscape.registry.bundle import Bundle
from normscape.registry.contract import Registry
from normscape.registry.gate import Comparison, Metrics

if TYPE_CHECKING:
    from normscape.backbones import BackboneIdentity
    from normscape.calibration.calibrator import Calibration
    from normscape.detectors.model import InspectionModel


def compare_with_champion(registry: Registry, version: str, params: Params) -> Comparison:
    """Measure champion and challenger on the same of today's test images.

    These are the test images of the categories both know, without those that the champion was
    trained or calibrated on. The champion runs as it was frozen: its own backbone, transform and
    calibration. Metrics are per category, so the challenger's own evaluation serves again unless
    images had to be left out.

    Args:
        registry: Where the champion is.
        version: The champion.
        params: Those of the challenger, whose model is in `params.artifacts`.

    Raises:
        BundleError: The champion is damaged.
        NormscapeError: Its backbone's weights are not here or not the ones it was made with.
    """
    from normscape.data.manifest import read_manifest

    champion = Bundle.load(registry.get(version))
    challenger: Metrics = read_json(params.artifacts / "evaluation" / "metrics.json")
    manifest = read_manifest(params.artifacts / "manifest.parquet")
    known = set(challenger["categories"])
    common = manifest[
        (manifest["split"] == "test")
        & manifest["category"].isin(known.intersection(champion.categories))
    ]
    rows = common[~common["sha256"].isin(champion.images)]
    removed = tuple(name for name in champion.categories if name not in known)
    left_out = len(common) - len(rows)
    if rows.empty:
        nothing: Metrics = {"categories": {}}
        return Comparison(version, nothing, nothing, 0, left_out, removed)
    return Comparison(
        version,
        challenger if left_out == 0 else _measure_challenger(rows, params),
        rescore_champion(champion, rows, params),
        len(rows),
        left_out,
        removed,
    )


def rescore_champion(champion: Bundle, rows: pd.DataFrame, params: Params) -> Metrics:
    """The champion's metrics on `rows` of the manifest, images of categories it knows.

    Raises:
        NormscapeError: Its backbone's weights are not here or not the ones it was made with.
    """
    model, calibration = champion.model, champion.calibration
    return _measure(model, calibration, champion.identity, rows, params)


def _measure_challenger(rows: pd.DataFrame, params: Params) -> Metrics:
    from normscape.backbones import BackboneIdentity
    from normscape.calibration.calibrator import Calibration
    from normscape.detectors.model import InspectionModel

    model = InspectionModel.load(params.artifacts / "detector")
    calibration = Calibration.load(params.artifacts / "calibration" / "calibration.json")
    content = read_json(params.artifacts / "features" / "backbone.json")
    return _measure(model, calibration, BackboneIdentity.from_dict(content), rows, params)


def _measure(
    model: InspectionModel,
    calibration: Calibration,
    identity: BackboneIdentity,
    rows: pd.DataFrame,
    params: Params,
) -> Metrics:
    """Evaluate a model on features of exactly the backbone it was made with."""
    from normscape.backbones import load_identity
    from normscape.evaluation.evaluate import evaluate
    from normscape.features.extract import ensure_features

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
    return evaluate(model, calibration, store, rows, params.data, params).metrics
