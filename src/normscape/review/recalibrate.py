"""New thresholds for a registered model without training it again.

Wanted when a machine runs another runtime, when people have verified more normal images, or when
`calibrate` in `params.yaml` has changed. The weights stay; calibration, reference and metrics are
made anew and registered as a version of their own.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from normscape.backbones import load_identity
from normscape.calibration.calibrator import Calibration, fit_calibration
from normscape.data.images import image_statistics, read_image
from normscape.data.manifest import read_manifest
from normscape.data.split import group_of
from normscape.errors import DataError, GateError, NormscapeError
from normscape.evaluation.evaluate import evaluate
from normscape.features.extract import ensure_features
from normscape.features.store import FeatureStore
from normscape.params import Params
from normscape.registry.bundle import Bundle
from normscape.registry.contract import PRODUCTION
from normscape.registry.gate import decide
from normscape.registry.promotion import promote as promote_version
from normscape.registry.store import open_registry
from normscape.review.rebundle import Rebundled, write_rebundled
from normscape.scoring.inbox import Inbox
from normscape.scoring.record import Record
from normscape.tiling.images import score_images, whole

_STATISTICS = ["mean_intensity", "std_intensity", "sharpness"]
_MAX_SHIFT = 1.0  # standard deviations; from bf16 to fp32 a median of up to 0.33 was measured
_COLUMNS = ["path", "sha256", "category", "group", *_STATISTICS]


@dataclass(frozen=True)
class Recalibration:
    """What a recalibration did.

    Attributes:
        parent: The version whose weights it keeps.
        version: The new version; None when there was nothing new to calibrate on.
        runtime: Of the new thresholds.
        precision: Of the new thresholds.
        kept: Calibration images of the parent that are still in the data.
        lost: Calibration images of the parent that are not.
        verified: Images that people have verified as normal and that were added.
        thresholds: Per category: the parent's threshold and the new one.
        promoted: Whether the new version is in production.
        warnings: What the calibration warns of.
    """

    parent: str
    version: str | None
    runtime: str
    precision: str
    kept: int
    lost: int
    verified: int
    thresholds: dict[str, tuple[float, float]]
    promoted: bool = False
    warnings: tuple[str, ...] = ()

    def explain(self) -> str:
        """A few lines for people."""
        images = f"{self.kept} calibration images of {self.parent}, {self.verified} verified since"
        if self.version is None:
            return f"nothing new to calibrate on: {images}; {self.parent} stays as it is"
        lines = [
            f"{self.version} has the weights of {self.parent} and thresholds for {self.runtime} in "
            f"{self.precision}, from {images}"
            + (f" ({self.lost} are no longer in the data)" if self.lost else ""),
            *(
                f"  {category}: threshold {old:.4g} → {new:.4g}"
                for category, (old, new) in self.thresholds.items()
            ),
            "it is in production now" if self.promoted else "it is registered, not in production",
        ]
        return "\n".join(lines)


def recalibrate(
    params: Params,
    *,
    alias: str = PRODUCTION,
    runtime: str | None = None,
    precision: str | None = None,
    promote: bool = False,
    allow_dirty: bool = False,
) -> Recalibration:
    """Fit new thresholds for a registered model and register the result as a new version.

    It is calibrated on the parent's calibration images that are still in the data, and on images
    that people have verified as normal (approved into training data, or false alarms) and that
    the parent has not seen. Measured on the test images of today's manifest, on the new runtime.

    Args:
        params: The project; `calibrate` and `gate` are today's.
        alias: An alias or version of the registry.
        runtime: torch, openvino or auto; the parent's when None.
        precision: fp32, bf16, fp16 or auto; the parent's when None, or auto with a new runtime.
        promote: Move `production` to the new version.
        allow_dirty: Promote in spite of uncommitted changes of the checkout.

    Raises:
        UsageError: There is no such version, no manifest, or no such runtime here.
        DataError: A category has no calibration images left.
        GateError: The new thresholds do not pass the gate; nothing is registered.
        NormscapeError: The bundle is damaged, the backbone's weights or the code that scores
            differ from those it was made with, or nothing can be written.
    """
    registry = open_registry(params)
    state = registry.alias_state(PRODUCTION)
    parent = registry.resolve(alias)
    bundle = Bundle.load(registry.get(parent))
    project = _on_runtime(params, bundle, runtime, precision)
    manifest = read_manifest(params.artifacts / "manifest.parquet")
    normals, tests = _normals(params, bundle, manifest), _tests(bundle, manifest)
    store = _features(project, bundle, normals, tests)
    result = Recalibration(
        parent=parent,
        version=None,
        runtime=store.identity.runtime,
        precision=store.identity.precision,
        kept=len(normals.rows) - normals.verified,
        lost=len(bundle.reference) - len(normals.rows) + normals.verified,
        verified=normals.verified,
        thresholds={},
    )
    same = store.identity == bundle.identity and params.calibrate == bundle.params.calibrate
    if same and result.lost == 0 and result.verified == 0:
        return result
    calibration, reference = _calibrate(bundle, store, normals, project)
    _require_same_scores(parent, bundle, reference)
    metrics = evaluate(
        bundle.model, calibration, store, tests, params.data, project, bundle.refiner
    ).metrics
    decision = decide(metrics, None, params.gate)
    if not decision.passed:
        raise GateError(
            f"the new thresholds for {parent} were not registered: "
            + "; ".join(check.explain() for check in decision.failures)
        )
    reason = f"recalibrated from {parent} for {result.runtime} in {result.precision}"
    staging = params.state / "recalibrate"
    shutil.rmtree(staging, ignore_errors=True)  # what a killed run has left
    try:
        new = Rebundled(parent, calibration, reference, metrics, decision, store.identity, reason)
        write_rebundled(staging / "bundle", project, bundle, new, manifest)
        version = registry.register(staging / "bundle", reason=reason)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    if promote:
        promote_version(registry, version, expected=state, reason=reason, allow_dirty=allow_dirty)
    thresholds = {
        name: (bundle.calibration.threshold(name), calibration.threshold(name))
        for name in bundle.categories
    }
    return dataclasses.replace(
        result,
        version=version,
        thresholds=thresholds,
        promoted=promote,
        warnings=calibration.warnings,
    )


def _features(
    project: Params, bundle: Bundle, normals: _Normals, tests: pd.DataFrame
) -> FeatureStore:
    """Features of all the images, of the bundle's weights on the project's runtime."""
    # Refuses other weights under the same name before anything is extracted with them.
    load_identity(
        bundle.identity,
        runtime=project.backbone.runtime,
        precision=project.backbone.precision,
        root=project.root,
        cache=project.state / "cache",
    )
    items = list(normals.files.items())
    items += [
        (str(sha256), project.data / str(path))
        for sha256, path in zip(tests["sha256"], tests["path"], strict=True)
    ]
    return ensure_features(project, whole(items, bundle.calibration.tiling))


def _on_runtime(
    params: Params, bundle: Bundle, runtime: str | None, precision: str | None
) -> Params:
    """Today's project with the bundle's backbone on the wanted runtime."""
    identity = bundle.identity
    changed = runtime not in (None, identity.runtime)
    backbone = bundle.params.backbone.model_copy(
        update={
            "weights": identity.weights,
            "runtime": runtime or identity.runtime,
            "precision": precision or ("auto" if changed else identity.precision),
        }
    )
    return params.model_copy(update={"backbone": backbone})


@dataclass(frozen=True)
class _Normals:
    """Normal images to calibrate on.

    Attributes:
        rows: path (relative to the data folder, or where the image came from), sha256, category,
            group and image statistics.
        files: Where each image lies, by SHA-256.
        verified: How many of them people have verified since the parent was made.
    """

    rows: pd.DataFrame
    files: dict[str, Path]
    verified: int


def _normals(params: Params, bundle: Bundle, manifest: pd.DataFrame) -> _Normals:
    calibrated = set(bundle.reference["sha256"])
    trained = bundle.images - calibrated
    usable = manifest[manifest["error"].isna() & (manifest["label"] == 0)]
    kept = usable[
        usable["sha256"].isin(calibrated) & usable["category"].isin(bundle.categories)
    ].drop_duplicates("sha256")
    files = {
        str(sha256): params.data / str(path)
        for sha256, path in zip(kept["sha256"], kept["path"], strict=True)
    }
    rows: list[dict[Any, Any]] = kept[_COLUMNS].to_dict("records")
    inbox = Inbox.of(params)
    for record in inbox.records():
        path = _verified_file(params, inbox, record)
        unseen = record.sha256 not in trained and record.sha256 not in files
        if path is None or not unseen or record.category not in bundle.categories:
            continue
        files[record.sha256] = path
        name = record.file or record.source
        rows.append(
            {
                "path": name,
                "sha256": record.sha256,
                "category": record.category,
                "group": group_of(name, record.sha256, params.manifest.group_pattern, None),
                **dataclasses.asdict(image_statistics(read_image(path))),
            }
        )
    frame = pd.DataFrame(rows, columns=_COLUMNS).astype(dict.fromkeys(_STATISTICS, np.float32))
    for category in bundle.categories:
        if not (frame["category"] == category).any():
            raise DataError(
                f"category '{category}' has no calibration images left in {params.data}; expected "
                "some of those the model was calibrated on: restore the data (`dvc checkout`) and "
                "run `normscape manifest`, or train again"
            )
    return _Normals(frame, files, verified=len(files.keys() - calibrated))


def _verified_file(params: Params, inbox: Inbox, record: Record) -> Path | None:
    """Where a verified normal image lies; None for others and for those that are test images."""
    if record.status == "false_alarm":
        return inbox.image(record)
    if record.status == "approved" and record.file is not None:
        placed = params.data / record.file
        if Path(record.file).parts[1] != "test" and placed.is_file():
            return placed
    return None


def _tests(bundle: Bundle, manifest: pd.DataFrame) -> pd.DataFrame:
    """The manifest's test images of the categories that the bundle knows."""
    return manifest[
        (manifest["split"] == "test")
        & manifest["error"].isna()
        & manifest["category"].isin(bundle.categories)
        & ~manifest["sha256"].isin(bundle.images)
    ]


def _calibrate(
    bundle: Bundle, store: FeatureStore, normals: _Normals, params: Params
) -> tuple[Calibration, pd.DataFrame]:
    """The calibration, and the reference table of the images it was fitted on."""
    rows, tiling = normals.rows, bundle.calibration.tiling
    items = list(normals.files.items())
    scored = {
        sha256: (one.score, one.category, one.distance, one.strangeness)
        for sha256, one in score_images(bundle.model, store, items, tiling, params)
    }
    found = [scored[sha256] for sha256 in rows["sha256"]]
    score = np.asarray([one[0] for one in found], dtype=np.float32)
    distance = np.asarray([one[2] for one in found], dtype=np.float32)
    strangeness = np.asarray([one[3] for one in found], dtype=np.float32)
    calibration = fit_calibration(
        score, rows["category"].tolist(), distance, params.calibrate, store.identity,
        groups=rows["group"].tolist(), tiling=tiling,
        strangeness=strangeness if bundle.model.novelty is not None else None,
    )  # fmt: skip
    reference = rows[["path", "sha256", "category", "group"]].assign(
        score=score,
        predicted_category=[one[1] for one in found],
        category_distance=distance,
        strangeness=strangeness,
        category_p_value=calibration.category_p_value(strangeness),
    )
    reference[_STATISTICS] = rows[_STATISTICS]
    return calibration, reference.sort_values("path", ignore_index=True)


def _require_same_scores(parent: str, bundle: Bundle, reference: pd.DataFrame) -> None:
    """Refuse what a change of runtime cannot explain, such as code that scores in another way."""
    both = bundle.reference.merge(reference, on="sha256", suffixes=("_old", ""))
    for category, rows in both.groupby("category"):
        scale = bundle.calibration.categories[str(category)].scale
        shift = float((rows["score"] - rows["score_old"]).abs().median()) / scale
        if shift > _MAX_SHIFT:
            raise NormscapeError(
                f"the scores of the calibration images of {category} are not those that {parent} "
                f"was registered with: they moved by {shift:.1f} standard deviations, more than "
                f"another runtime explains (at most {_MAX_SHIFT:g}); the code that scores has "
                f"changed since: use the release that made {parent}, or train again"
            )
