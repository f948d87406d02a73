"""`params.yaml` as frozen, validated models: read once, passed down."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from normscape.errors import UsageError
from normscape.sections.base import Section
from normscape.sections.data import ManifestParams, PathParams, ValidateParams
from normscape.sections.delivery import (
    EvaluateParams,
    ExportParams,
    GateParams,
    RegistryParams,
    TrainParams,
)
from normscape.sections.model import (
    BackboneParams,
    CalibrateParams,
    DetectorParams,
    FeatureParams,
    MapParams,
    NoveltyParams,
    ProADParams,
    PrototypeParams,
    RefineParams,
    TilingParams,
)
from normscape.sections.production import (
    AlertParams,
    DiscoveryParams,
    MonitorParams,
    RetentionParams,
    ReviewParams,
    ScoreParams,
)


class Params(Section):
    """All of `params.yaml`.

    Attributes:
        root: The folder that holds `params.yaml`; relative paths are resolved against it.
    """

    root: Path = Field(default=Path(), exclude=True)
    paths: PathParams = PathParams()
    manifest: ManifestParams = ManifestParams()
    validation: ValidateParams = Field(default=ValidateParams(), alias="validate")
    backbone: BackboneParams = BackboneParams()
    tiling: TilingParams = TilingParams()
    features: FeatureParams = FeatureParams()
    prototypes: PrototypeParams = PrototypeParams()
    novelty: NoveltyParams = NoveltyParams()
    detector: DetectorParams = DetectorParams()
    proad: ProADParams = ProADParams()
    maps: MapParams = MapParams()
    refine: RefineParams = RefineParams()
    calibrate: CalibrateParams = CalibrateParams()
    evaluate: EvaluateParams = EvaluateParams()
    gate: GateParams = GateParams()
    registry: RegistryParams = RegistryParams()
    score: ScoreParams = ScoreParams()
    export: ExportParams = ExportParams()
    monitor: MonitorParams = MonitorParams()
    alerts: AlertParams = AlertParams()
    train: TrainParams = TrainParams()
    review: ReviewParams = ReviewParams()
    discovery: DiscoveryParams = DiscoveryParams()
    retention: RetentionParams = RetentionParams()

    @property
    def data(self) -> Path:
        """The folder of the versioned images."""
        return self.root / self.paths.data

    @property
    def artifacts(self) -> Path:
        """The folder of what the DVC stages write."""
        return self.root / self.paths.artifacts

    @property
    def state(self) -> Path:
        """The folder of what is kept outside DVC."""
        return self.root / self.paths.state

    def fingerprint(self, *sections: str) -> str:
        """SHA-256 over the named sections (all that shape a model when none is named)."""
        names = sections or MODEL_SECTIONS
        content = self.model_dump(mode="json", by_alias=True)
        text = json.dumps({name: content[name] for name in sorted(names)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


MODEL_SECTIONS = (
    "manifest", "backbone", "tiling", "features", "prototypes", "novelty", "detector", "proad",
    "maps", "refine", "calibrate",
)  # fmt: skip


def load_params(path: Path = Path("params.yaml"), *, recorded: bool = False) -> Params:
    """Read and validate `params.yaml`.

    Args:
        path: The file.
        recorded: It was recorded with a model, maybe by another release: what is no parameter of
            this one is left out.

    Raises:
        UsageError: The file is missing, is not YAML, or holds an unknown or wrong parameter.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{path} is missing; run the command in the checkout's root or name it with --params"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected sections such as 'manifest:', found {content!r}")
    if "root" in content:
        raise UsageError(f"{path}: unknown parameter 'root'; remove it")
    content["root"] = path.resolve().parent
    try:
        if recorded:
            content = _without_unknown(content)
        return Params.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path}: {_explain(error)}") from None


def _without_unknown(content: dict[str, Any]) -> dict[str, Any]:
    rest = copy.deepcopy(content)
    try:
        Params.model_validate(content)
    except ValidationError as error:
        for problem in error.errors():
            if problem["type"] != "extra_forbidden":
                continue
            section: Any = rest
            for name in problem["loc"][:-1]:
                section = section[name]
            del section[problem["loc"][-1]]
    return rest


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown parameter '{name}'; remove it or correct its spelling")
        else:
            lines.append(f"'{name}' is {problem['input']!r}: {problem['msg']}")
    return "; ".join(lines)
