"""From a bundle to an artefact that passed the comparison with it, or to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from normscape.backbones import RESIZE_RULE, BackboneIdentity
from normscape.backbones.load import convert_network, load_network
from normscape.calibration.calibrator import Calibration
from normscape.errors import NormscapeError, UsageError
from normscape.export.exported import Exported
from normscape.export.formats.base import Parts, format_of
from normscape.export.graph import DetectorGraph
from normscape.export.parity import Parity, measure
from normscape.export.record import Category, FormatName, Record, hashes, versions
from normscape.files import atomic_folder
from normscape.novelty.inspector import Inspector
from normscape.params import Params
from normscape.refine.model import open_refiner
from normscape.registry.bundle import Bundle
from normscape.scoring.scorer import Scorer


def export_bundle(
    bundle: Bundle,
    version: str,
    kind: FormatName,
    out: Path,
    *,
    images: Sequence[Path],
    params: Params,
) -> Record:
    """Write an artefact and compare it with the bundle's own scorer.

    Args:
        bundle: A verified bundle.
        version: Its name in the registry, for the record.
        kind: The format.
        out: The folder to make; it appears whole, and only when the comparison is passed.
        images: To compare on (`parity_images`).
        params: Tolerances, batch size, and where weights and conversions are kept.

    Returns:
        What `export.json` holds.

    Raises:
        UsageError: `out` exists, or the model cuts images into tiles.
        NormscapeError: The artefact differs from the bundle, this machine cannot run one of them,
            or a package is missing.
    """
    if out.exists():
        raise UsageError(f"{out} exists; name a folder that does not, or remove it")
    if bundle.calibration.tiling.tile is not None:
        raise UsageError(
            f"{version} cuts large images into tiles, which no artefact does yet: its thresholds "
            "would not hold; score with `normscape score`, or train without `tiling`"
        )
    cache = params.state / "cache"
    scorer = Scorer.open(bundle, root=params.root, cache=cache)
    identity, form = bundle.identity, format_of(kind)
    parts = Parts(
        identity,
        partial(load_network, identity, root=params.root, cache=cache),
        partial(convert_network, identity, root=params.root, cache=cache),
        # Not the scorer's own: it is on the scorer's device.
        DetectorGraph(Inspector.open(bundle.folder, bundle.folder), bundle.calibration).eval(),
        open_refiner(bundle.folder, bundle.categories),
    )
    with atomic_folder(out) as folder:
        form.write(folder, parts)
        record = Record(
            kind=kind,
            source={
                "content_id": bundle.content_id, "created": bundle.created, "version": version,
            },
            input=_input(identity),
            categories=_categories(bundle.calibration, bundle.model.categories),
            precision={"backbone": form.precision(identity), "detector": "fp32"},
            calibrated={
                "runtime": identity.runtime,
                "precision": identity.precision,
                "target_fpr": bundle.calibration.target_fpr,
            },
            map_size=bundle.model.maps.size,
            files=hashes(folder),
            packages=versions(*form.PACKAGES),
            refine=None if parts.refiner is None else {"max_p": parts.refiner.config.max_p},
        )  # fmt: skip
        record.save(folder)
        parity = measure(scorer, Exported.load(folder), images, params.score.batch_size)
        if failures := parity.failures(params.export):
            raise NormscapeError(_refusal(record, parity, failures))
        record = Record(**{**vars(record), "parity": parity.as_dict(params.export)})
        record.save(folder)
    return record


def _input(identity: BackboneIdentity) -> dict[str, object]:
    return {
        "size": identity.input_size,
        "range": [0.0, 1.0],
        "resize": RESIZE_RULE,
        "mean": list(identity.mean),
        "std": list(identity.std),
        "normalised_inside": True,
        "backbone": identity.name,
        "backbone_sha256": identity.weights_sha256,
    }


def _categories(calibration: Calibration, names: Sequence[str]) -> tuple[Category, ...]:
    known = [(name, calibration.categories[name]) for name in names]
    return tuple(
        Category(name, item.threshold, item.target, item.location, item.scale)
        for name, item in known
    )


def _refusal(record: Record, parity: Parity, failures: Sequence[str]) -> str:
    what = f"the export was not written: on {parity.images} images {'; '.join(failures)}"
    own = (record.calibrated["runtime"], record.calibrated["precision"])
    if record.precision["backbone"] == own[1]:
        return (
            f"{what}; both compute in {own[1]}, so this is a fault of the conversion: try another "
            "format or other versions of the packages"
        )
    return (
        f"{what}; the thresholds hold for {own[0]} in {own[1]} and do not carry over to "
        f"{record.kind} in {record.precision['backbone']}; run `normscape recalibrate --runtime "
        "torch --precision fp32` and export the version it makes"
    )
