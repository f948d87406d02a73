"""The model bundle: one folder with everything needed to score, verified before it is used.

bundle.json            format version, creation time, SHA-256 of every other file
model.safetensors      transform, prototype banks, denoiser, category head
model.json             the model's configuration and its categories
backbone.json          the identity of the frozen backbone, with the hash of its weights
backbone.safetensors   its weights, unless they come with the program
novelty.safetensors    how strange an image is to all known products; none before minor 2
novelty.json           its configuration
refiner.safetensors    sharpens the maps of images that stand out; none unless refine.name is set
refiner.json           its configuration; since minor 3
calibration.json       per-category thresholds and p-values
reference.parquet      raw scores and statistics of the calibration images
metrics.json           the evaluation
gate.json              the gate's decision on this model
images.json            SHA-256 of the train and calibration images
provenance.json        data version, code version, package versions
params.yaml  dvc.lock  model_card.md
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from normscape.files import sha256_file
from normscape.registry import durable
from normscape.registry.code import CodeState
from normscape.registry.contents import check_contents, check_json
from normscape.registry.index import (
    FORMAT,
    INDEX,
    MINOR,
    REQUIRED,
    WEIGHTS,
    BundleError,
    check_index,
    plain_files,
    read_index,
)

if TYPE_CHECKING:
    import pandas as pd

    from normscape.backbones import BackboneIdentity
    from normscape.calibration.calibrator import Calibration
    from normscape.novelty.inspector import Inspector
    from normscape.params import Params
    from normscape.refine.model import Refiner
    from normscape.registry.decision import GateDecision

T = TypeVar("T")

__all__ = ["FORMAT", "INDEX", "REQUIRED", "Bundle", "BundleError", "Provenance", "seal"]


@dataclass(frozen=True)
class Provenance:
    """What a model was made from.

    Attributes:
        data_version: MD5 of the data folder as `data.dvc` pins it; None where nothing pins it.
        code: The state of the checkout.
        packages: Versions of the packages that shape the result, Python's included.
    """

    data_version: str | None
    code: CodeState
    packages: dict[str, str]

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Provenance:
        """Read the content of `provenance.json`."""
        code = content["code"]
        state = CodeState(code["commit"], code["dirty"], tuple(code["changed"]))
        return cls(content["data_version"], state, content["packages"])


@dataclass(frozen=True)
class Bundle:
    """A verified bundle; its parts are read when they are first used.

    Attributes:
        folder: Where it lies.
        created: UTC time of its making, ISO 8601.
        files: The names of its files and their SHA-256, without `bundle.json`.
    """

    folder: Path
    created: str
    files: dict[str, str]

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Verify the format, the list of files, every checksum, and what the files hold.

        Raises:
            BundleError: Something is missing, changed, not listed, not a plain file, not what its
                name says, or newer than this release; the message names it.
        """
        bundle = cls.glance(folder)
        for name, expected in bundle.files.items():
            actual = sha256_file(folder / name)
            if actual != expected:
                raise BundleError(
                    f"{folder / name} is damaged: its SHA-256 is {actual[:12]}…, expected "
                    f"{expected[:12]}…; restore it or use another version"
                )
        check_contents(folder, bundle.files)
        return bundle

    @classmethod
    def glance(cls, folder: Path) -> Bundle:
        """Verify the format and the list of files but no checksum: for tables, never for scoring.

        Raises:
            BundleError: As `load`, but for changed bytes and what the files hold.
        """
        found = plain_files(folder)
        created, files = check_index(folder, read_index(folder))
        for name in sorted(found - set(files) - {INDEX}):
            raise BundleError(f"{folder / name} does not belong to the bundle; remove it")
        for name in sorted(set(files) - found):
            raise BundleError(f"{folder / name} is missing; restore the bundle")
        return cls(folder, created, files)

    @property
    def content_id(self) -> str:
        """SHA-256 over the names and hashes of all files: the same content, the same id."""
        text = json.dumps(self.files, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def model(self) -> Inspector:
        """The model, on the CPU, ready to score."""
        from normscape.novelty.inspector import Inspector

        return Inspector.open(self.folder, self.folder)

    @cached_property
    def refiner(self) -> Refiner | None:
        """What makes the maps of images that stand out sharper, on the CPU; None without one."""
        from normscape.refine.model import open_refiner

        return open_refiner(self.folder, self.categories)

    @cached_property
    def calibration(self) -> Calibration:
        """Thresholds and p-values per category."""
        from normscape.calibration.calibrator import Calibration

        return Calibration.load(self.folder / "calibration.json")

    @cached_property
    def reference(self) -> pd.DataFrame:
        """Raw scores and image statistics of the calibration images, a row an image."""
        from normscape.registry.contents import read_reference

        return read_reference(self.folder / "reference.parquet")

    @cached_property
    def identity(self) -> BackboneIdentity:
        """The backbone of the model's features, with its weights in the bundle where it has any."""
        from normscape.backbones import BackboneIdentity

        recorded = self._parse("backbone.json", BackboneIdentity.from_dict)
        if WEIGHTS not in self.files:
            return recorded
        return replace(recorded, weights=str((self.folder / WEIGHTS).resolve()))

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The product categories the model knows, in the model's order."""
        return self._parse("model.json", lambda content: tuple(content["categories"]))

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The evaluation, as in `metrics.json`."""
        return self._parse("metrics.json", dict)

    @cached_property
    def gate(self) -> GateDecision:
        """The gate's decision on this model, made before it was registered."""
        from normscape.registry.decision import GateDecision

        return self._parse("gate.json", GateDecision.from_dict)

    @cached_property
    def images(self) -> frozenset[str]:
        """SHA-256 of every image the model was fitted or calibrated on."""
        return self._parse(
            "images.json",
            lambda content: frozenset(content["train"]) | frozenset(content["calibration"]),
        )

    @cached_property
    def provenance(self) -> Provenance:
        """Data, code and package versions."""
        return self._parse("provenance.json", Provenance.from_dict)

    @property
    def data_version(self) -> str | None:
        """MD5 of the data folder as `data.dvc` pinned it, or None."""
        return self.provenance.data_version

    @cached_property
    def params(self) -> Params:
        """The parameters the model was made with; paths and other machine matters are defaults."""
        from normscape.params import load_params

        return load_params(self.folder / "params.yaml", recorded=True)

    def _parse(self, name: str, parse: Callable[[Any], T]) -> T:
        check_json(self.folder / name)
        try:
            return parse(json.loads((self.folder / name).read_bytes()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(
                f"{self.folder / name} does not hold what its name says ({error!r}); use another "
                "version"
            ) from None


def seal(folder: Path) -> Bundle:
    """Write `bundle.json` for a folder that holds every other file, and verify the result.

    Raises:
        BundleError: A required file is missing, or one does not belong into a bundle.
    """
    names = plain_files(folder) - {INDEX}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    files = {name: sha256_file(folder / name) for name in sorted(names)}
    index = {"format": FORMAT, "minor": MINOR, "created": created, "files": files}
    check_index(folder, index)
    durable.write_json(folder / INDEX, index)
    return Bundle.load(folder)
