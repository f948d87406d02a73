"""What the JSON files of a bundle must hold: their schema, strict in types and bounded in size.

Fields that a release does not know are left alone where they only describe the model. They are
refused where scores depend on them (`backbone.json`, the categories of `calibration.json`, and by
the model itself those of the detector): scoring without them would give other figures than the
model was measured with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from normscape.detectors.config import whole
from normscape.detectors.kinds import NAMES, config_of

_MAX_CATEGORIES = 10_000
_MAX_SIZE = 1 << 24  # of any number that shapes the model


def _no_folder(name: str) -> str:
    if name in {".", ".."}:
        raise ValueError("expected the name of a product category, not of a folder")
    return name


# Names of categories become folders of the score log and of the inbox.
Category = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"^[^/\\\x00-\x1f\x7f]+$"),
    AfterValidator(_no_folder),
]
# Printed on terminals: no escape sequences.
Text = Annotated[
    str, StringConstraints(max_length=100_000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0, le=1 << 40)]
Size = Annotated[int, Field(ge=1, le=_MAX_SIZE)]


class Descriptive(BaseModel):
    """Describes a model: unknown fields are left alone."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class Decisive(BaseModel):
    """Shapes scores: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ModelFile(Descriptive):
    """`model.json`: what bounds its size; the rest is checked by the model, by its own `format`."""

    format: Size
    categories: Annotated[list[Category], Field(min_length=1, max_length=_MAX_CATEGORIES)]
    detector: dict[str, JsonValue] = {}
    transform: dict[str, JsonValue] = {}
    maps: dict[str, JsonValue] = {}
    routed_categories: Size = 1

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("a category is listed twice")
        for number in _numbers([self.detector, self.transform, self.maps]):
            if abs(number) > _MAX_SIZE:
                raise ValueError(f"a size of {number:.3g}, above {_MAX_SIZE}")
        return self

    def least_bytes(self) -> int:
        """Bytes of `model.safetensors` that the largest tensors named here need at least."""
        name = self.detector.get("name")
        needs = [whole(self.detector.get("dimensions")) * len(self.categories)]
        if name in NAMES:  # the model itself refuses another
            needs.append(config_of(str(name)).least_elements(self.detector))
        dimensions = whole(self.transform.get("dimensions"))
        shapes = self.transform.get("shapes")
        for shape in shapes if isinstance(shapes, list) else []:
            needs += [dimensions * whole(shape[:1]) for shape in [shape] if isinstance(shape, list)]
        return 4 * max(needs)


def _numbers(value: JsonValue) -> Iterator[float]:
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)


class BackboneFile(Decisive):
    """`backbone.json`."""

    name: Text
    weights: Text
    weights_sha256: Sha256
    input_size: Annotated[int, Field(ge=1, le=8192)]
    levels: Annotated[list[Count], Field(min_length=1, max_length=64)]
    mean: Annotated[list[float], Field(min_length=3, max_length=3)]
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)]
    runtime: Text
    precision: Text
    resize: Text


class CalibratedCategory(Decisive):
    """One category of `calibration.json`."""

    images: Count
    groups: Count
    location: float
    scale: Annotated[float, Field(gt=0)]
    threshold: float
    target: Share
    attainable_alone: Share
    attainable_pooled: Share
    residuals: list[float]
    weights: list[float]

    @model_validator(mode="after")
    def _weighted(self) -> Self:
        if len(self.residuals) != len(self.weights):
            raise ValueError(f"{len(self.residuals)} residuals, but {len(self.weights)} weights")
        return self


class CalibrationFile(Descriptive):
    """`calibration.json`."""

    target_fpr: Share
    pool_strength: Annotated[float, Field(ge=0)]
    runtime: Text
    precision: Text
    categories: Annotated[dict[Category, CalibratedCategory], Field(max_length=_MAX_CATEGORIES)]
    distances: list[float]
    strangeness: list[float] | None = None
    warnings: list[Text]


class Rate(Descriptive):
    """A realised rate of flagged images."""

    flagged: Count
    images: Count
    rate: Share
    low: Share
    high: Share


class Figures(Descriptive):
    """Metrics of a category or of all."""

    image_auroc: Share | None = None
    image_ap: Share | None = None
    image_f1max: Share | None = None
    pixel_auroc: Share | None = None
    pixel_ap: Share | None = None
    pixel_f1max: Share | None = None
    aupro: Share | None = None


class Tested(Descriptive):
    """How many images a category was tested on."""

    normal: Count
    anomalous: Count


class CategoryFigures(Figures):
    """One category of `metrics.json`."""

    images: Tested
    false_positive_rate: dict[str, Rate] = {}


class MetricsFile(Descriptive):
    """`metrics.json`."""

    mean: Figures
    worst: Figures
    pooled: Figures
    category_accuracy: Share | None = None
    categories: Annotated[dict[Category, CategoryFigures], Field(max_length=_MAX_CATEGORIES)]


class CheckRecord(Descriptive):
    """One check of `gate.json`."""

    name: Text
    metric: Text
    category: Category | None
    value: float | None
    limit: float
    at_least: bool
    passed: bool


class ContrastRecord(Descriptive):
    """One figure of two models."""

    images: Count
    challenger: Share
    champion: Share
    low: float
    high: float


class ContrastsRecord(Descriptive):
    """The figures of one category, or of all."""

    image_auroc: ContrastRecord | None = None
    localisation: ContrastRecord | None = None
    escapes: ContrastRecord | None = None
    false_alarms: ContrastRecord | None = None


class PairedRecord(Descriptive):
    """The comparison with the champion."""

    confidence: Share
    overall: ContrastsRecord
    categories: Annotated[dict[Category, ContrastsRecord], Field(max_length=_MAX_CATEGORIES)]


class GateFile(Descriptive):
    """`gate.json`."""

    passed: bool
    checks: list[CheckRecord]
    notes: list[Text]
    champion: Annotated[str, StringConstraints(pattern=r"^v\d{4,9}$")] | None
    paired: PairedRecord | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.passed and not all(check.passed for check in self.checks):
            raise ValueError("it says that the model passed, and lists a check that failed")
        return self


class ImagesFile(Descriptive):
    """`images.json`."""

    train: list[Sha256]
    calibration: list[Sha256]


class Code(Descriptive):
    """The state of the checkout."""

    commit: Text | None
    dirty: bool
    changed: list[Text]


class ProvenanceFile(Descriptive):
    """`provenance.json`."""

    data_version: Text | None
    code: Code
    packages: dict[Text, Text]


SCHEMAS: dict[str, type[BaseModel]] = {
    "model.json": ModelFile,
    "backbone.json": BackboneFile,
    "calibration.json": CalibrationFile,
    "metrics.json": MetricsFile,
    "gate.json": GateFile,
    "images.json": ImagesFile,
    "provenance.json": ProvenanceFile,
}


def explain(problems: list[Any]) -> str:
    """The first three problems that pydantic found, in one line."""
    lines = []
    for problem in problems[:3]:
        where = ".".join(str(part) for part in problem["loc"]) or "the file"
        if problem["type"] == "extra_forbidden":
            lines.append(f"'{where}' is unknown to this release, and scores depend on it")
        else:
            lines.append(f"'{where}': {problem['msg']}")
    rest = len(problems) - len(lines)
    return "; ".join(lines) + (f"; and {rest} more" if rest else "")
