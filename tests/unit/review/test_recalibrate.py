"""New thresholds for a real, small model."""

import hashlib
from dataclasses import replace

import pandas as pd
import pytest
import torch
from PIL import Image

from normscape.data.manifest import read_manifest, write_manifest
from normscape.detectors.model import InspectionModel, Prediction
from normscape.errors import DataError, GateError, NormscapeError, UsageError
from normscape.files import read_json
from normscape.params import Params
from normscape.registry.bundle import Bundle
from normscape.registry.store import open_registry
from normscape.review.recalibrate import recalibrate
from normscape.review.verdicts import Verdict, judge
from normscape.scoring.inbox import Inbox
from normscape.scoring.record import Record
from normscape.scoring.run import open_version, score_place
from normscape.scoring.scorer import Scorer
from normscape.sections.delivery import GateParams
from normscape.sections.model import CalibrateParams

from ..scoring.project import fill_day, picture

pytestmark = pytest.mark.slow


def kept(params: Params, seed: int, category: str, *, reason: str = "flagged") -> Record:
    path = picture(params.root / "feed" / f"{seed}.png", seed, category)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    record = Record(
        sha256=sha256, source=f"feed/{seed}.png", day="2026-03-14", reasons=(reason,),
        declared=category, predicted=category, score=1.0, p_value=0.01, threshold=0.5,
        model_version="v0001",
    )  # fmt: skip
    Inbox.of(params).keep(record, path)
    return record


def versions(params: Params) -> list[str]:
    return open_registry(params).versions()


def test_with_nothing_new_nothing_happens(project: Params) -> None:
    result = recalibrate(project)
    assert result.version is None
    assert (result.lost, result.verified) == (0, 0)
    assert "nothing new to calibrate on" in result.explain()
    assert versions(project) == ["v0001"]


def test_another_runtime_gets_thresholds_of_its_own(project: Params) -> None:
    result = recalibrate(project, runtime="openvino", precision="fp32", promote=True,
                         allow_dirty=True)  # fmt: skip
    assert (result.parent, result.version, result.promoted) == ("v0001", "v0002", True)
    assert "for openvino in fp32" in result.explain()
    old, new = (open_version(project, name)[1] for name in ("v0001", "production"))
    assert new.files["model.safetensors"] == old.files["model.safetensors"]
    assert (new.calibration.runtime, new.identity.runtime) == ("openvino", "openvino")
    assert new.identity.weights_sha256 == old.identity.weights_sha256
    assert set(new.reference["sha256"]) == set(old.reference["sha256"])
    assert set(new.reference.columns) == set(old.reference.columns)
    assert new.images == old.images
    assert new.params.backbone.runtime == "openvino"
    provenance = read_json(new.folder / "provenance.json")
    assert provenance["kind"] == "recalibrated"
    assert provenance["parent"]["version"] == "v0001"
    assert provenance["parent"]["content_id"] == old.content_id
    assert "weights: those of v0001" in (new.folder / "model_card.md").read_text()
    summary = score_place(fill_day(project.root), project, progress=False)[0]
    assert summary.model_version == "v0002"
    with pytest.raises(UsageError, match="do not carry over"):
        Scorer.open(new, runtime="torch")


def test_verified_images_join_and_stay(project: Params) -> None:
    alarm, approved = kept(project, 7001, "bolt"), kept(project, 7002, "nut", reason="random")
    waiting, stranger = kept(project, 7003, "bolt"), kept(project, 7004, "washer")
    judge(project, [alarm], Verdict("false_alarm"))
    judge(project, [approved, stranger], Verdict("approved"))
    expected = {alarm.sha256}
    if "/train/" in str(Inbox.of(project).find(approved.sha256).file):
        expected.add(approved.sha256)
    result = recalibrate(project, promote=True, allow_dirty=True)
    assert result.version == "v0002"
    assert result.verified == len(expected)
    bundle = open_version(project, "production")[1]
    old = open_version(project, "v0001")[1]
    assert set(bundle.reference["sha256"]) - set(old.reference["sha256"]) == expected
    assert bundle.reference.notna().all(axis=None)
    assert not bundle.reference["path"].str.startswith("/").any()
    assert waiting.sha256 not in bundle.images
    again = recalibrate(project)
    assert again.version is None
    assert versions(project) == ["v0001", "v0002"]


def test_todays_target_rate_is_used(project: Params) -> None:
    stricter = project.model_copy(update={"calibrate": CalibrateParams(target_fpr=0.3)})
    result = recalibrate(stricter)
    assert result.version == "v0002"
    assert not result.promoted
    assert all(new <= old for old, new in result.thresholds.values())
    registry = open_registry(project)
    assert registry.resolve("production") == "v0001"
    assert Bundle.load(registry.get("v0002")).params.calibrate.target_fpr == 0.3


def drop(params: Params, category: str, keep: int) -> None:
    """Take calibration images of a category out of the data, all but `keep`."""
    path = params.artifacts / "manifest.parquet"
    manifest: pd.DataFrame = read_manifest(path)
    mine = manifest[(manifest["category"] == category) & (manifest["split"] == "calibration")]
    write_manifest(path, manifest.drop(index=mine.index[keep:]))


def test_images_that_left_the_data_leave_the_calibration(project: Params) -> None:
    drop(project, "bolt", keep=4)
    result = recalibrate(project)
    assert result.version == "v0002"
    assert result.lost >= 1
    assert "no longer in the data" in result.explain()


def test_a_category_without_images_is_named(project: Params) -> None:
    drop(project, "nut", keep=0)
    with pytest.raises(DataError, match="category 'nut' has no calibration images left"):
        recalibrate(project)
    assert versions(project) == ["v0001"]


def test_what_fails_the_gate_is_not_registered(project: Params) -> None:
    strict = project.model_copy(
        update={
            "gate": GateParams(max_false_positive_rate=0.0, min_mean_image_auroc=1.0),
            "calibrate": CalibrateParams(target_fpr=0.9),
        }
    )
    with pytest.raises(GateError, match="the new thresholds for v0001 were not registered"):
        recalibrate(strict, promote=True)
    assert versions(project) == ["v0001"]
    assert not (project.state / "recalibrate").exists()


def test_code_that_scores_otherwise_is_refused(
    project: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = InspectionModel._one

    def changed(self: InspectionModel, maps: list[torch.Tensor]) -> Prediction:
        prediction = original(self, maps)
        return replace(prediction, score=3 * prediction.score + 100)

    monkeypatch.setattr(InspectionModel, "_one", changed)
    with pytest.raises(NormscapeError, match="the code that scores has changed since"):
        recalibrate(project, runtime="openvino", precision="fp32")
    assert versions(project) == ["v0001"]


def test_a_verified_image_that_is_damaged_is_named(project: Params) -> None:
    record = kept(project, 7001, "bolt")
    judge(project, [record], Verdict("false_alarm"))
    image = Inbox.of(project).image(record)
    assert image is not None
    Image.new("RGB", (64, 64)).save(image)
    with pytest.raises(DataError, match=r"image\.png"):
        recalibrate(project)
