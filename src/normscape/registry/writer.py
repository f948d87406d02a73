"""Collect a model bundle from what the stages of `dvc.yaml` have written."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from pathlib import Path
from typing import Any

import yaml

from normscape.backbones import BackboneIdentity
from normscape.calibration.calibrator import Calibration
from normscape.data.manifest import read_manifest
from normscape.errors import UsageError
from normscape.files import atomic_folder, read_json, unwritable, write_json
from normscape.params import Params
from normscape.registry.bundle import seal
from normscape.registry.card import model_card
from normscape.registry.code import CodeState
from normscape.registry.decision import GateDecision
from normscape.registry.index import WEIGHTS

_FROM_ARTIFACTS = {
    "model.safetensors": "detector",
    "model.json": "detector",
    "novelty.safetensors": "novelty",
    "novelty.json": "novelty",
    "backbone.json": "features",
    "calibration.json": "calibration",
    "reference.parquet": "calibration",
    "metrics.json": "evaluation",
}
_PACKAGES = (
    "normscape", "torch", "timm", "openvino", "numpy", "scipy", "scikit-learn", "pandas", "pot",
    "pillow", "safetensors",
)  # fmt: skip
_MACHINE_SECTIONS = frozenset({"paths", "registry", "train"})


def write_bundle(target: Path, params: Params, code: CodeState, decision: GateDecision) -> None:
    """Write the bundle of the model in `params.artifacts` to the folder `target`, atomically.

    It holds no absolute path of this machine (parameters of paths are left out) and, apart from
    `created` in `bundle.json`, no time: the same model gives the same files.

    Raises:
        UsageError: A stage has not run, or ran with other parameters than `params.yaml` has now.
        NormscapeError: `target` cannot be written.
    """
    lock = _current_lock(params)
    rows = read_manifest(params.artifacts / "manifest.parquet")
    images = {
        split: sorted(rows.loc[rows["split"] == split, "sha256"])
        for split in ("train", "calibration")
    }
    provenance = {
        "data_version": data_version(params),
        "code": {"commit": code.commit, "dirty": code.dirty, "changed": list(code.changed)},
        "packages": _package_versions(),
    }
    with atomic_folder(target) as folder:
        for name, stage in _FROM_ARTIFACTS.items():
            _copy(params.artifacts / stage / name, folder / name)
        _copy_refiner(folder, params)
        _copy_weights(folder, params)
        _copy(lock, folder / "dvc.lock")
        _write_params(folder / "params.yaml", params)
        write_json(folder / "images.json", images)
        write_json(folder / "provenance.json", provenance)
        write_json(folder / "gate.json", decision.as_dict())
        metrics = read_json(folder / "metrics.json")
        calibration = Calibration.load(folder / "calibration.json")
        _check_same_run(read_json(folder / "model.json")["categories"], calibration, params)
        card = model_card(
            metrics=metrics,
            calibration=calibration,
            manifest=rows,
            decision=decision,
            provenance=provenance,
            params=params,
        )
        (folder / "model_card.md").write_text(card, encoding="utf-8")
        seal(folder)


def data_version(params: Params) -> str | None:
    """The MD5 of the data folder as its `.dvc` file pins it; None where nothing pins it.

    Raises:
        UsageError: The `.dvc` file cannot be read.
    """
    path = params.data.with_name(f"{params.data.name}.dvc")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return str(content["outs"][0]["md5"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, yaml.YAMLError, TypeError, KeyError, IndexError):
        raise UsageError(f"{path} pins no folder; expected 'outs: - md5: …', run dvc add") from None


def _current_lock(params: Params) -> Path:
    """The path of `dvc.lock`, once it is sure that it was written with today's parameters."""
    path, source = params.root / "dvc.lock", params.root / "params.yaml"
    try:
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        recorded = [
            (stage, name, value)
            for stage, entry in stages.items()
            for name, value in (entry.get("params", {}).get("params.yaml") or {}).items()
        ]
        current: dict[str, Any] = yaml.safe_load(source.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename} is missing; run dvc repro first") from None
    except (ValueError, yaml.YAMLError, TypeError, KeyError, AttributeError):
        raise UsageError(f"{path} is not a DVC lock file; run dvc repro to write it anew") from None
    for stage, name, value in recorded:
        if _lookup(current, name) != value:
            raise UsageError(
                f"stage '{stage}' ran with other values of '{name}' than {source} has now; run "
                "dvc repro, so that the bundle states the parameters the model was made with"
            )
    return path


def _lookup(content: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _check_same_run(known: list[str], calibration: Calibration, params: Params) -> None:
    if sorted(known) != sorted(calibration.categories):
        raise UsageError(
            f"the model in {params.artifacts} knows {', '.join(sorted(known))}, but its "
            f"calibration {', '.join(sorted(calibration.categories))}; run dvc repro"
        )


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        raise UsageError(f"{source} is missing; run dvc repro first") from None
    except OSError as error:
        raise unwritable(target, error) from error


def _copy_refiner(folder: Path, params: Params) -> None:
    from normscape.refine.model import CONFIG, TENSORS

    if params.refine.name != "none":
        for name in (TENSORS, CONFIG):
            _copy(params.artifacts / "refine" / name, folder / name)


def _copy_weights(folder: Path, params: Params) -> None:
    """The backbone's weights, where another machine could not have them from a package.

    Raises:
        UsageError: They are not where `backbone.json` says.
        NormscapeError: They cannot be fetched or read, or are not those of the features.
    """
    identity = BackboneIdentity.from_dict(read_json(folder / "backbone.json"))
    if identity.weights == "package":
        return
    from safetensors.torch import save_file

    from normscape.backbones.sources import locate
    from normscape.backbones.weights import load_weights

    cache = params.state / "cache"
    path = locate(identity.weights, identity.name, root=params.root, cache=cache)
    found = load_weights(identity.name, identity.weights, path)
    if found.sha256 != identity.weights_sha256:
        raise UsageError(
            f"the weights in {path} are not those that the features were made with; restore them "
            "or run dvc repro"
        )
    save_file(found.tensors, folder / WEIGHTS)


def _write_params(target: Path, params: Params) -> None:
    content = params.model_dump(mode="json", by_alias=True)
    kept = {name: value for name, value in content.items() if name not in _MACHINE_SECTIONS}
    target.write_text(yaml.safe_dump(kept, sort_keys=True), encoding="utf-8")


def _package_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
