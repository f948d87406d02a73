"""Stage evaluate: metrics, pictures and the report of the model on the test images."""

from __future__ import annotations

from normscape.params import Params


def run(params: Params) -> None:
    """Evaluate on the test split; write metrics.json, scores.parquet, pictures and report.html.

    Raises:
        DataError: There are no test images, or masks are missing.
        NormscapeError: The detector's scores are unusable.
    """
    from normscape.calibration.calibrator import Calibration
    from normscape.data.manifest import read_manifest
    from normscape.evaluation.curves import draw_curves
    from normscape.evaluation.evaluate import evaluate
    from normscape.evaluation.gallery import draw_galleries
    from normscape.evaluation.report import render_report
    from normscape.features.extract import ensure_features
    from normscape.files import atomic_folder, write_json
    from normscape.novelty.inspector import Inspector
    from normscape.refine.model import trained_refiner
    from normscape.tiling.images import whole

    manifest = read_manifest(params.artifacts / "manifest.parquet")
    rows = manifest[manifest["split"] == "test"]
    model = Inspector.open(params.artifacts / "detector", params.artifacts / "novelty")
    refiner = trained_refiner(params, model.categories)
    calibration = Calibration.load(params.artifacts / "calibration" / "calibration.json")
    images = [
        (sha, params.data / path) for sha, path in zip(rows["sha256"], rows["path"], strict=True)
    ]
    store = ensure_features(params, whole(images, calibration.tiling))
    evaluation = evaluate(model, calibration, store, rows, params.data, params, refiner)
    with atomic_folder(params.artifacts / "evaluation") as folder:
        write_json(folder / "metrics.json", evaluation.metrics)
        evaluation.scores.to_parquet(folder / "scores.parquet", index=False)
        curves = draw_curves(evaluation, folder / "curves")
        galleries = draw_galleries(
            evaluation, model, calibration, store, rows, params, folder / "gallery", refiner
        )
        page = render_report(
            evaluation, calibration, params.evaluate, curves=curves, galleries=galleries
        )
        (folder / "report.html").write_text(page, encoding="utf-8")
