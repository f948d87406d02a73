"""The model bundle: one folder with everything needed to score, verified before it is used.

bundle.json            format version, creation time, SHA-256 of every other file
model.safetensors      transform, prototype banks, denoiser, category head
model.json             the model's configuration and its categories
backbone.json          the identity of the frozen backbone, with the hash of its weights
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
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from normscape.errors import NormscapeError
from normscape.files import sha256_file, unwritable
from normscape.registry import durable
from normscape.registry.code import CodeState

if TYPE_CHECKING:
    import pandas as pd

    from normscape.backbones import BackboneIdentity
    from normscape.calibration.calibrator import Calibration
    from normscape.detectors.model import InspectionModel
    from normscape.params import Params
    from normscape.registry.gate import GateDecision

T = TypeVar("T")

FORMAT = 1
INDEX = "bundle.json"
REQUIRED = (
    "model.safetensors", "model.json", "backbone.json", "calibration.json", "reference.parquet",
    "metrics.json", "gate.json", "images.json", "provenance.json", "params.yaml", "dvc.lock",
    "model_card.md",
)  # fmt: skip

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SUFFIXES = frozenset({".safetensors", ".json", ".parquet", ".yaml", ".lock", ".md"})
_INDEX_LIMIT = 1 << 20


class BundleError(NormscapeError):
    """A bundle that is damaged, incomplete, hostile, or of a newer format."""


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
        """Verify the format, the list of files and every checksum.

        Raises:
            BundleError: Something is missing, changed, not listed, not a plain file, or newer than
                this release; the message names it.
        """
        bundle = cls.glance(folder)
        for name, expected in bundle.files.items():
            actual = sha256_file(folder / name)
            if actual != expected:
                raise BundleError(
                    f"{folder / name} is damaged: its SHA-256 is {actual[:12]}…, expected "
                    f"{expected[:12]}…; restore it or use another version"
                )
        return bundle

    @classmethod
    def glance(cls, folder: Path) -> Bundle:
        """Verify the format and the list of files but no checksum: for tables, never for scoring.

        Raises:
            BundleError: As `load`, but for changed bytes.
        """
        found = _plain_files(folder)
        created, files = _check_index(folder, _read_index(folder))
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
    def model(self) -> InspectionModel:
        """The model, on the CPU, ready to score."""
        from normscape.detectors.model import InspectionModel

        return InspectionModel.load(self.folder)

    @cached_property
    def calibration(self) -> Calibration:
        """Thresholds and p-values per category."""
        from normscape.calibration.calibrator import Calibration

        return Calibration.load(self.folder / "calibration.json")

    @cached_property
    def reference(self) -> pd.DataFrame:
        """Raw scores and image statistics of the calibration images, a row an image."""
        import pandas as pd

        return pd.read_parquet(self.folder / "reference.parquet")

    @cached_property
    def identity(self) -> BackboneIdentity:
        """The backbone the model's features come from."""
        from normscape.backbones import BackboneIdentity

        return self._parse("backbone.json", BackboneIdentity.from_dict)

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
        from normscape.registry.gate import GateDecision

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

        return load_params(self.folder / "params.yaml")

    def _parse(self, name: str, parse: Callable[[Any], T]) -> T:
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
    names = _plain_files(folder) - {INDEX}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    files = {name: sha256_file(folder / name) for name in sorted(names)}
    index = {"format": FORMAT, "created": created, "files": files}
    _check_index(folder, index)
    durable.write_json(folder / INDEX, index)
    return Bundle.load(folder)


def check_name(name: str, path: Path = Path(INDEX)) -> None:
    """Refuse the name of a file that does not belong into a bundle.

    Names come from a file that anybody may have written: one flat folder, known formats only.

    Raises:
        BundleError: It leads elsewhere, or its format could run code; the message names `path`.
    """
    if _NAME.fullmatch(name) is None or name == INDEX:
        raise BundleError(f"{path} lists the name {name!r}; expected plain file names only")
    if Path(name).suffix not in _SUFFIXES:
        raise BundleError(
            f"{path} lists {name!r}; expected only {', '.join(sorted(_SUFFIXES))}: other formats, "
            "pickles among them, could run code"
        )


def _plain_files(folder: Path) -> set[str]:
    if folder.is_symlink() or not folder.is_dir():
        raise BundleError(f"{folder} is not a bundle: expected a folder with {INDEX}")
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise BundleError(f"cannot read {folder}: {error.strerror}") from None
    for path in entries:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise BundleError(
                f"{path} is a link, a folder or a device; expected plain files only, do not use "
                "this bundle"
            )
    return {path.name for path in entries}


def _read_index(folder: Path) -> Any:
    path = folder / INDEX
    try:
        if path.stat().st_size > _INDEX_LIMIT:
            raise BundleError(f"{path} is larger than {_INDEX_LIMIT} bytes; do not use this bundle")
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{folder} is not a bundle: {INDEX} is missing") from None
    except OSError as error:
        raise unwritable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not valid JSON ({error}); restore the bundle") from None


def _check_index(folder: Path, index: Any) -> tuple[str, dict[str, str]]:
    path = folder / INDEX
    version = index.get("format") if isinstance(index, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BundleError(f"{path} states no format version; expected 'format': {FORMAT}")
    if version > FORMAT:
        raise BundleError(
            f"{path} has format {version}, made by a newer release; this one reads formats up to "
            f"{FORMAT}, update normscape"
        )
    files, created = index.get("files"), index.get("created")
    if not isinstance(files, dict) or not isinstance(created, str):
        raise BundleError(f"{path} lists no files or no time of creation; restore the bundle")
    for name, digest in files.items():
        _check_entry(path, name, digest)
    for name in REQUIRED:
        if name not in files:
            raise BundleError(f"{path} does not list {name}, which every bundle holds")
    return created, files


def _check_entry(path: Path, name: str, digest: Any) -> None:
    check_name(name, path)
    if not isinstance(digest, str) or re.fullmatch(r"[0-9a-f]{64}", digest) is None:
        raise BundleError(f"{path} has no SHA-256 of {name}; restore the bundle")
