"""From images to report: the stages calibrate and evaluate on a real, tiny model."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFilter
from sklearn.metrics import roc_auc_score

from normscape.calibration import Calibration
from normscape.data.images import read_mask
from normscape.data.manifest import read_manifest
from normscape.detectors.predict import predict
from normscape.errors import DataError
from normscape.evaluation.evaluate import Evaluation, evaluate
from normscape.evaluation.metrics import METRICS, pixel_metrics
from normscape.features.extract import ensure_features
from normscape.features.store import FeatureStore
from normscape.novelty.inspector import Inspector
from normscape.params import Params
from normscape.stages import calibrate, detector, features, manifest, prototypes
from normscape.stages import evaluate as stage

pytestmark = pytest.mark.slow
SIDE = 96


def picture(
    generator: np.random.Generator, category: str, defect: bool
) -> tuple[Image.Image, Image.Image]:
    base = {"plate": (120, 120, 130), "felt": (60, 110, 70)}[category]
    noise = generator.normal(0, 14 if category == "felt" else 5, (SIDE, SIDE, 1))
    image = Image.fromarray((np.asarray(base) + noise).clip(0, 255).astype(np.uint8))
    mask = Image.new("L", image.size)
    if defect:
        x, y = generator.integers(12, SIDE - 36, 2).tolist()
        ImageDraw.Draw(mask).ellipse((x, y, x + 22, y + 18), fill=255)
        image.paste((235, 215, 40), mask=mask)
    return image.filter(ImageFilter.GaussianBlur(0.6)), mask


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Params:
    """A trained model on two categories, of which felt has no masks."""
    root = tmp_path_factory.mktemp("line")
    generator = np.random.default_rng(0)
    for category in ("plate", "felt"):
        for split, kind, count in (("train", "good", 30), ("test", "good", 6), ("test", "spot", 6)):
            for index in range(count):
                image, mask = picture(generator, category, kind == "spot")
                path = root / "data" / category / split / kind / f"{index:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image.save(path)
                if kind == "spot" and category == "plate":
                    truth = root / "data" / category / "ground_truth" / kind
                    truth.mkdir(parents=True, exist_ok=True)
                    mask.save(truth / f"{index:03d}_mask.png")
    made = Params.model_validate(
        {
            "root": root,
            "backbone": {
                "input_size": 96,
                "levels": [2, 3],
                "runtime": "torch",
                "precision": "fp32",
            },
            "features": {"grid": 12, "dimensions": 16, "fit_tokens": 4000},
            "prototypes": {"local_per_category": 16, "local_steps": 5, "global_steps": 5},
            "detector": {"steps": 10, "batch_tokens": 256, "width": 32, "blocks": 1},
            "maps": {"size": 64, "smoothing": 1.0},
            "calibrate": {"target_fpr": 0.1},
            "evaluate": {"gallery_images": 5, "credits": {"felt": "Felt, CC BY 4.0"}},
        }
    )
    for step in (manifest, features, prototypes, detector, calibrate, stage):
        step.run(made)
    return made


def parts(params: Params) -> tuple[Inspector, Calibration, FeatureStore, pd.DataFrame]:
    rows = read_manifest(params.artifacts / "manifest.parquet")
    rows = rows[rows["split"] == "test"]
    items = [(row.sha256, params.data / row.path) for row in rows.itertuples()]
    return (
        Inspector.open(params.artifacts / "detector", params.artifacts / "novelty"),
        Calibration.load(params.artifacts / "calibration" / "calibration.json"),
        ensure_features(params, items, progress=False),
        rows,
    )


def again(params: Params, rows: pd.DataFrame) -> Evaluation:
    model, calibration, store, _ = parts(params)
    return evaluate(model, calibration, store, rows, params.data, params)


def test_calibrate_writes_the_calibration_and_the_reference(params: Params) -> None:
    calibration = Calibration.load(params.artifacts / "calibration" / "calibration.json")
    reference = pd.read_parquet(params.artifacts / "calibration" / "reference.parquet")
    assert list(reference.columns) == [
        "path", "sha256", "category", "group", "score", "predicted_category", "category_distance",
        "strangeness", "category_p_value", "mean_intensity", "std_intensity", "sharpness",
    ]  # fmt: skip
    assert set(calibration.categories) == {"felt", "plate"}
    assert (calibration.runtime, calibration.precision) == ("torch", "fp32")
    counts = reference["category"].value_counts()
    for name, known in calibration.categories.items():
        assert known.images == counts[name]
        own = reference.loc[reference["category"] == name, "score"].to_numpy(np.float64)
        assert known.location == pytest.approx(own.mean())


def test_evaluate_finds_obvious_defects_and_leaves_out_pixel_metrics_without_masks(
    params: Params,
) -> None:
    metrics = json.loads((params.artifacts / "evaluation" / "metrics.json").read_text())
    assert metrics["worst"]["image_auroc"] > 0.9
    assert metrics["category_accuracy"] == 1.0
    assert set(METRICS) <= set(metrics["categories"]["plate"])
    assert "aupro" not in metrics["categories"]["felt"]
    assert metrics["mean"]["aupro"] == metrics["categories"]["plate"]["aupro"] > 0.5


def test_metrics_equal_those_of_all_maps_at_once(params: Params) -> None:
    model, _, store, rows = parts(params)
    metrics = json.loads((params.artifacts / "evaluation" / "metrics.json").read_text())
    plates = rows[rows["category"] == "plate"]
    maps, scores = [], []
    for _, batch in predict(model, store, plates["sha256"].tolist(), 4, progress=False):
        maps += list(batch.map.numpy())
        scores += batch.score.tolist()
    blank = np.zeros((64, 64), dtype=bool)
    masks = [
        read_mask(params.data / row.mask, 64) if row.label else blank for row in plates.itertuples()
    ]
    expected = pixel_metrics(np.stack(maps), np.stack(masks), params.evaluate.aupro_limit)
    found = metrics["categories"]["plate"]
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["image_auroc"] == pytest.approx(roc_auc_score(plates["label"], scores))


def test_scores_agree_with_the_calibration(params: Params) -> None:
    scores = pd.read_parquet(params.artifacts / "evaluation" / "scores.parquet")
    calibration = Calibration.load(params.artifacts / "calibration" / "calibration.json")
    assert scores["path"].is_monotonic_increasing
    for judged, names in (("declared", "category"), ("predicted", "predicted_category")):
        p_value = calibration.p_value(scores["score"], scores[names].tolist())
        np.testing.assert_array_equal(p_value, scores[f"p_value_{judged}"])
        targets = [calibration.categories[name].target for name in scores[names]]
        np.testing.assert_array_equal(p_value <= targets, scores[f"flagged_{judged}"])


def test_pictures_and_report_are_there(params: Params) -> None:
    folder = params.artifacts / "evaluation"
    assert sorted(path.name for path in (folder / "gallery").iterdir()) == ["felt.png", "plate.png"]
    plate, felt = (Image.open(folder / "gallery" / f"{name}.png") for name in ("plate", "felt"))
    assert plate.height > felt.height  # a row of masks
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 6
    assert "Felt, CC BY 4.0" in page


def test_running_again_gives_the_same_bytes(params: Params) -> None:
    files = [path for path in (params.artifacts / "evaluation").rglob("*") if path.is_file()]
    files += list((params.artifacts / "calibration").iterdir())
    before = {path: path.read_bytes() for path in files}
    calibrate.run(params)
    stage.run(params)
    assert len(before) == 11
    for path, content in before.items():
        assert path.read_bytes() == content, path.name


def test_a_category_that_was_not_calibrated_is_judged_by_the_predicted_one(params: Params) -> None:
    rows = parts(params)[3]
    renamed = rows.assign(category=rows["category"].replace("felt", "carpet"))
    evaluation = again(params, renamed)
    found = evaluation.metrics["categories"]["carpet"]
    assert set(found["false_positive_rate"]) == {"predicted"}
    assert evaluation.scores.query("category == 'carpet'")["p_value_declared"].isna().all()
    assert evaluation.metrics["category_accuracy"] == 1.0


def test_without_normals_or_defects_metrics_are_absent(params: Params) -> None:
    rows = parts(params)[3]
    only_normal = again(params, rows[rows["label"] == 0]).metrics
    assert only_normal["mean"] == only_normal["pooled"] == only_normal["worst"] == {}
    only_defects = again(params, rows[rows["label"] == 1]).metrics
    assert only_defects["categories"]["plate"]["false_positive_rate"] == {}
    assert "image_auroc" not in only_defects["categories"]["plate"]
    assert "aupro" in only_defects["categories"]["plate"]


def test_mistakes_are_explained(params: Params) -> None:
    rows = parts(params)[3]
    with pytest.raises(DataError, match="no test images"):
        again(params, rows.head(0))
    partial = rows.copy()
    first = partial.index[(partial["category"] == "plate") & (partial["label"] == 1)][0]
    partial.loc[first, "mask"] = None
    with pytest.raises(DataError, match="1 anomalous images have no mask"):
        again(params, partial)
