"""A registered bundle with the same weights and new thresholds."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from normscape.backbones import BackboneIdentity
from normscape.calibration.calibrator import Calibration
from normscape.files import atomic_folder, read_json, write_json
from normscape.params import Params
from normscape.registry.bundle import INDEX, Bundle, seal
from normscape.registry.card import model_card
from normscape.registry.code import read_code_state
from normscape.registry.decision import GateDecision
from normscape.registry.writer import data_version

KIND = "recalibrated"


@dataclass(frozen=True)
class Rebundled:
    """What differs from the parent.

    Attributes:
        parent: The version of the weights.
        calibration: The new thresholds.
        reference: The images they were fitted on, with their scores.
        metrics: The model with the new thresholds, on the test images.
        decision: The gate's.
        identity: The backbone on its new runtime.
        reason: What was done, in one phrase.
    """

    parent: str
    calibration: Calibration
    reference: pd.DataFrame
    metrics: dict[str, Any]
    decision: GateDecision
    identity: BackboneIdentity
    reason: str


def write_rebundled(
    target: Path, project: Params, bundle: Bundle, new: Rebundled, manifest: pd.DataFrame
) -> None:
    """Write the new bundle to the folder `target`, atomically.

    `provenance.json` names the parent, its content and its code; the checkout counts as changed
    when it is now or was when the weights were made.

    Args:
        target: The folder.
        project: Today's parameters, with the backbone as it runs now.
        bundle: The parent.
        new: What differs.
        manifest: Today's manifest, for the model card.

    Raises:
        NormscapeError: `target` cannot be written.
    """
    with atomic_folder(target) as folder:
        for name in set(bundle.files) - {INDEX}:
            shutil.copyfile(bundle.folder / name, folder / name)
        new.calibration.save(folder / "calibration.json")
        new.reference.to_parquet(folder / "reference.parquet", index=False)
        write_json(folder / "metrics.json", new.metrics)
        write_json(folder / "gate.json", new.decision.as_dict())
        # Where the parent says its weights come from, not where they lay when it was opened.
        source = read_json(folder / "backbone.json")["weights"]
        write_json(folder / "backbone.json", new.identity.as_dict() | {"weights": source})
        images = read_json(folder / "images.json")
        images["calibration"] = sorted(new.reference["sha256"])
        write_json(folder / "images.json", images)
        provenance = _provenance(project, bundle, new)
        write_json(folder / "provenance.json", provenance)
        _write_params(folder / "params.yaml", project, new.identity)
        rows = _card_rows(manifest, set(images["train"]), new.reference)
        card = model_card(
            metrics=new.metrics,
            calibration=new.calibration,
            manifest=rows,
            decision=new.decision,
            provenance=provenance,
            params=project,
        )
        text = f"{card.rstrip()}\n- weights: those of {new.parent}; this version was {new.reason}\n"
        (folder / "model_card.md").write_text(text, encoding="utf-8")
        seal(folder)


def _provenance(project: Params, bundle: Bundle, new: Rebundled) -> dict[str, Any]:
    content: dict[str, Any] = read_json(bundle.folder / "provenance.json")
    code = read_code_state(project.root)
    made = content["code"]
    return content | {
        "kind": KIND,
        "parent": {"version": new.parent, "content_id": bundle.content_id, "code": made},
        "data_version": data_version(project),
        "code": {
            "commit": code.commit,
            "dirty": code.dirty or made["dirty"],
            "changed": sorted({*code.changed, *made["changed"]}),
        },
    }


def _write_params(path: Path, project: Params, identity: BackboneIdentity) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    today = project.model_dump(mode="json", by_alias=True)
    content |= {name: today[name] for name in ("calibrate", "evaluate", "gate")}
    run = {"runtime": identity.runtime, "precision": identity.precision}
    content["backbone"] = content.get("backbone", {}) | run
    path.write_text(yaml.safe_dump(content, sort_keys=True), encoding="utf-8")


def _card_rows(manifest: pd.DataFrame, trained: set[str], reference: pd.DataFrame) -> pd.DataFrame:
    """Rows as `model_card` counts them: what trained, calibrated and tested *this* version."""
    columns = ["category", "split", "label"]
    train = manifest[(manifest["split"] == "train") & manifest["sha256"].isin(trained)]
    test = manifest[
        (manifest["split"] == "test") & manifest["category"].isin(reference["category"])
    ]
    calibration = reference[["category"]].assign(split="calibration", label=0)
    return pd.concat([train[columns], calibration[columns], test[columns]], ignore_index=True)
