"""`params.yaml` as frozen, validated models: read once, passed down."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from normscape.errors import UsageError
from normscape.storage.location import SCHEME, S3Location

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Probability = Annotated[float, Field(gt=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0.0)]
Maps = Literal["overlay", "array", "both", "none"]
SeverityName = Literal["info", "warning", "critical"]
DetectorName = Literal["dpdiff", "proad"]


class Section(BaseModel):
    """A section of `params.yaml`: immutable, and no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PathParams(Section):
    """Where things are, relative to the folder of `params.yaml`."""

    data: Path = Path("data")
    artifacts: Path = Path("artifacts")
    state: Path = Path(".normscape")


class ManifestParams(Section):
    """How folders become rows, and train normals become train and calibration."""

    layout: Literal["auto", "mvtec", "visa", "realiad", "folder"] = "auto"
    group_pattern: str | None = None
    calibration_percent: Annotated[int, Field(ge=1, le=50)] = 20
    calibration_min_images: Count = 12

    @field_validator("group_pattern")
    @classmethod
    def _names_a_group(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            pattern = re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if "group" not in pattern.groupindex:
            raise ValueError("expected a named group (?P<group>...)")
        return value


class ValidateParams(Section):
    """What a data set must satisfy before anything is trained on it."""

    min_side: Count = 32
    min_train: Count = 8
    min_calibration: Count = 4
    min_test_normal: Annotated[int, Field(ge=0)] = 1
    max_empty_mask_share: Share = 0.02


class BackboneParams(Section):
    """The frozen feature extractor and how it runs."""

    name: str = "tf_efficientnet_lite2"
    weights: str = "package"
    input_size: Annotated[int, Field(ge=64, le=1024, multiple_of=32)] = 256
    levels: Annotated[tuple[int, ...], Field(min_length=1)] = (2, 3, 4)
    runtime: Literal["auto", "torch", "openvino"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @field_validator("levels")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if value[0] < 0 or list(value) != sorted(set(value)):
            raise ValueError("expected ascending level numbers from 0, each once")
        return value


class TilingParams(Section):
    """Large images are cut into overlapping tiles of one size, in training and ever after.

    Attributes:
        tile: Pixels per side of a tile; None: no image is cut.
        overlap: Share of a tile's side that lies over its neighbour, at least.
        above: Images whose longer side has at most so many pixels are not cut.
        train_tiles: Tiles of each training image that are learned from, at most.
    """

    tile: Annotated[int, Field(ge=64, le=4096, multiple_of=32)] | None = None
    overlap: Annotated[float, Field(ge=0.0, le=0.75)] = 0.25
    above: Annotated[int, Field(ge=0)] = 0
    train_tiles: Count = 64

    def cuts(self, width: int, height: int) -> bool:
        """Whether an image of so many pixels is cut."""
        return self.tile is not None and max(width, height) > self.above


class FeatureParams(Section):
    """Feature shards and the transform from feature maps to tokens."""

    batch_size: Count = 16
    shard_images: Count = 256
    grid: Annotated[int, Field(ge=4, le=128)] = 16
    neighbourhood: Annotated[int, Field(ge=1, le=9)] = 1
    level_weights: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    dimensions: Annotated[int, Field(ge=8, le=2048)] = 256
    whitening: Share = 0.0
    fit_tokens: Count = 60000

    @field_validator("neighbourhood")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("expected an odd number, so that the window has a centre")
        return value


class PrototypeParams(Section):
    """The local and the global prototype bank."""

    seed: int = 0
    sample_tokens: Annotated[int, Field(ge=1000)] = 1000000
    norm_power: Share = 0.5
    hold_out_percent: Annotated[int, Field(ge=1, le=50)] = 10
    local_per_category: Count = 4096
    local_steps: Annotated[int, Field(ge=0)] = 4
    local_neighbours: Count = 4
    routed_categories: Count = 2
    route_margin: Annotated[float, Field(ge=1)] = 1.5
    temperature: Positive = 0.1
    global_per_category: Count = 4
    global_neighbours: Count = 4
    global_steps: Annotated[int, Field(ge=0)] = 60
    ot_regularisation: Annotated[float, Field(ge=0.01, le=1)] = 0.05
    ot_marginal: Positive = 1.0


class NoveltyParams(Section):
    """Telling unknown products from known ones by their pooled features (DLSR).

    Attributes:
        hold_out_percent: Of the hash buckets of train groups, for early stopping and scales.
        ema: Decay of the average of the weights.
        patience: Evaluations without improvement.
        noise_step: t up to which features are noised before they are rebuilt.
    """

    seed: int = 0
    hold_out_percent: Annotated[int, Field(ge=1, le=50)] = 10
    steps: Count = 800
    batch_size: Count = 128
    learning_rate: Positive = 1e-3
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    patience: Count = 5
    width: Count = 192
    blocks: Count = 3
    timesteps: Count = 100
    noise_step: Count = 5
    sampler_steps: Count = 2

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        if not self.sampler_steps <= self.noise_step <= self.timesteps:
            raise ValueError(
                "expected sampler_steps at most noise_step, and noise_step at most timesteps"
            )
        return self


class DetectorParams(Section):
    """Which detector, and its network and training.

    Name, seed, steps, batch, learning rate, patience, checkpoints, width, blocks and heads are of
    any detector; the others are of `dpdiff`.
    """

    name: DetectorName = "dpdiff"
    seed: int = 0
    steps: Count = 300
    batch_tokens: Count = 2048
    learning_rate: Positive = 1e-3
    width: Count = 160
    blocks: Count = 2
    heads: Count = 4
    timesteps: Count = 1000
    local_weight: Annotated[float, Field(ge=0)] = 0.1
    global_weight: Annotated[float, Field(ge=0)] = 0.1
    noise_step: Count = 300
    sampler_steps: Count = 1
    noise_draws: Count = 1
    prototype_share: Share = 1.0
    patience: Count = 5
    checkpoint_seconds: Positive = 20.0

    @property
    def diffuses(self) -> bool:
        """Whether the reconstruction has a part in the map, and so has to be trained."""
        return self.prototype_share < 1.0


class ProADParams(Section):
    """What only the detector `proad` has; see `DetectorParams` for its network and training.

    Attributes:
        prototypes: Of each category, at most.
        neighbours: That a token is rebuilt from; None: from all of its category's.
        noise: Standard deviation of what is added to tokens while it trains.
        hardness: Exponent of a token's relative error in its weight; negative: easy tokens count.
        coherence: Weight of the distance to the nearest prototype.
    """

    prototypes: Count = 2048
    neighbours: Count | None = 4
    noise: Annotated[float, Field(ge=0)] = 0.0
    hardness: Annotated[float, Field(ge=-2, le=4)] = 0.0
    coherence: Annotated[float, Field(ge=0)] = 0.2


class MapParams(Section):
    """From token scores to anomaly maps and one image score; one rule for every detector."""

    size: Annotated[int, Field(ge=32, le=1024)] = 256
    smoothing: Annotated[float, Field(ge=0)] = 4.0
    top_fraction: Annotated[float, Field(gt=0, le=1)] = 0.01


class RefineParams(Section):
    """Making the maps of flagged images sharper, see docs/refine.md.

    Attributes:
        hold_out_percent: Of the hash buckets of train groups, for early stopping.
        size: Pixels per side of the picture that is inpainted.
        cells: Pixels per side of the cells that are hidden of it.
        times: How much noise the hidden pixels get; at 1 nothing of them is left.
        strength: Of what the errors change; at 0 a map is only smoothed a little.
        max_p: Maps of images with a higher p-value stay as they are.
        patience: Evaluations without improvement.
    """

    name: Literal["none", "drdc"] = "none"
    seed: int = 0
    hold_out_percent: Annotated[int, Field(ge=1, le=50)] = 10
    size: Annotated[int, Field(ge=32, le=512, multiple_of=16)] = 128
    width: Annotated[int, Field(ge=8, le=256, multiple_of=2)] = 32
    cells: Annotated[tuple[Annotated[int, Field(ge=2, le=256)], ...], Field(min_length=1)] = (
        8, 16, 32,
    )  # fmt: skip
    times: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = (
        1.0,
    )  # fmt: skip
    steps: Count = 1200
    batch_size: Count = 8
    learning_rate: Positive = 2e-3
    strength: Annotated[float, Field(ge=0)] = 1.0
    max_p: Share = 0.1
    patience: Count = 5
    checkpoint_seconds: Positive = 20.0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if 2 * max(self.cells) > self.size:
            raise ValueError("expected cells of at most half the size, so that some stay visible")
        return self


class CalibrateParams(Section):
    """Per-category thresholds from held-out normal images."""

    target_fpr: Probability = 0.05
    scale_strength: Annotated[float, Field(ge=0)] = 10.0
    pool_strength: Annotated[float, Field(ge=0)] = 10.0


class EvaluateParams(Section):
    """What is measured and shown."""

    aupro_limit: Annotated[float, Field(gt=0, le=1)] = 0.3
    gallery_images: Annotated[int, Field(ge=0)] = 8
    confidence: Probability = 0.95
    credits: dict[str, str] = Field(default_factory=dict)


class GateParams(Section):
    """What a model must reach, and not lose against the champion, before it may serve."""

    min_mean_image_auroc: Share = 0.70
    min_worst_image_auroc: Share = 0.55
    min_mean_pixel_auroc: Share = 0.80
    max_false_positive_rate: Share = 0.20
    confidence: Probability = 0.95
    champion_tolerance: Share = 0.02
    champion_category_tolerance: Share = 0.05
    escape_tolerance: Share = 0.05
    false_alarm_tolerance: Share = 0.05


def _checked(place: str | Path | None) -> str | Path | None:
    """A folder as it is, or a good address of an object store."""
    try:
        if str(place).startswith(SCHEME):
            S3Location.parse(str(place))
    except UsageError as error:
        raise ValueError(str(error)) from None
    return place


class RegistryParams(Section):
    """Where model bundles are kept, and which of them garbage collection spares.

    Attributes:
        root: A folder, relative to `params.yaml`, or `s3://bucket/prefix`; None: `registry` in the
            state folder.
        keep_versions: This many of the newest versions.
        keep_days: Versions that are younger, in days.
    """

    root: str | Path | None = Field(default=None, union_mode="left_to_right")
    keep_versions: Count = 10
    keep_days: Annotated[float, Field(ge=0)] = 30.0

    @field_validator("root")
    @classmethod
    def _is_an_address(cls, value: str | Path | None) -> str | Path | None:
        return _checked(value)


class ScoreParams(Section):
    """Scoring production images.

    Attributes:
        log: The score log's folder, relative to `params.yaml`, or `s3://bucket/prefix`; None:
            `scores` in the state folder.
        maps: What is drawn or written: overlays of flagged images, arrays of all, both, none.
        poll_seconds: How often a scorer that follows looks for images and at the alias.
        window_images: Of the feed, that a version which comes into production scores once more.
    """

    log: str | None = None
    maps: Maps = "overlay"
    batch_size: Count = 16
    random_sample: Share = 0.02
    category_alpha: Probability = 0.01
    poll_seconds: Positive = 2.0
    window_images: Annotated[int, Field(ge=0)] = 500

    @field_validator("log")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        return None if value is None else str(_checked(value))


class ExportParams(Section):
    """How far an exported model may be from the bundle; units are in docs/export.md."""

    images: Annotated[int, Field(ge=8)] = 64
    score_tolerance: Positive = 0.01
    map_tolerance: Positive = 0.05


class MonitorParams(Section):
    """Drift decisions per category, see docs/monitoring.md.

    Attributes:
        window_days: Days whose images are shown and tested for unknown products.
        history_days: Days that the usual level of a category is learned from, at most.
        min_images: Fewer of a category on a day wait for the next days'.
        false_alarms_per_year: Of drift and more defects, all categories together.
        min_effect: Least shift, in robust standard deviations of the reference.
        min_spread: Least factor by which the scores become wider.
        min_rise: Least rise of the share of images far above the body.
        day_to_day: Prior of the harmless daily offset, in the unit of `min_effect`.
        stale_effect: Least distance of the usual level from the reference, in the same unit.
        stale_probability: That any category is called stale although its reference holds.
    """

    window_days: Count = 1
    history_days: Annotated[int, Field(ge=1, le=1000)] = 120
    min_images: Count = 8
    false_alarms_per_year: Positive = 12.0
    min_effect: Positive = 0.3
    min_spread: Annotated[float, Field(gt=1.0)] = 1.25
    min_rise: Probability = 0.02
    day_to_day: Annotated[float, Field(ge=0)] = 0.2
    stale_effect: Positive = 0.5
    stale_probability: Probability = 0.05
    unknown_fdr: Probability = 0.01
    unknown_min_images: Count = 5
    unknown_share: Share = 0.6
    cooldown_hours: Annotated[float, Field(ge=0)] = 12.0


class AlertParams(Section):
    """What people are told of a finding, how urgent it is and when it is repeated.

    Attributes:
        blocks: Prefect notification blocks, `type/name`; the addresses are in the blocks alone.
        min_severity: Less severe alerts are events and in the store, not notified.
        notify_resolved: Whether those who were notified hear when it is over.
        cooldown_hours: Between two notices of an alert that is no worse than before.
        worse_factor: So many times as bad as at the last notice is worth another one.
        quiet_windows: Windows without the finding after which its alert is resolved.
        critical_effect: Standard deviations from which a drift is critical.
        critical_defect_factor: Times the usual defect rate from which a rise is critical.
        critical_categories: From so many categories at once a finding of each is critical.
        timeout_seconds: For one notification.
        retry_minutes: After a failed try; doubles with each.
        retry_max_hours: The longest wait between two tries.
    """

    blocks: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")], ...] = ()
    min_severity: SeverityName = "warning"
    notify_resolved: bool = True
    cooldown_hours: Annotated[float, Field(ge=0)] = 72.0
    worse_factor: Annotated[float, Field(gt=1.0)] = 1.5
    quiet_windows: Count = 3
    critical_effect: Positive = 2.0
    critical_defect_factor: Annotated[float, Field(gt=1.0)] = 3.0
    critical_categories: Annotated[int, Field(ge=2)] = 3
    timeout_seconds: Positive = 10.0
    retry_minutes: Positive = 5.0
    retry_max_hours: Positive = 6.0


class TrainParams(Section):
    """How the training flow runs its stages."""

    gpu_pool: str | None = None
    stage_timeout_minutes: Positive = 720.0


class ReviewParams(Section):
    """The inbox of images that wait for a person."""

    test_percent: Annotated[int, Field(ge=0, le=90)] = 25
    max_images: Count = 2000
    window_images: Count = 500


class DiscoveryParams(Section):
    """Which kinds of defects there are.

    Attributes:
        object_prior: How the object is told from its background.
        regions: Of an image, at most.
        views: Of a region, from which the space is learned; a new image is assigned by three.
        guidance: The region guidance factor: how much more a region's peak counts than its rim.
        surroundings: Share of a region's normal surroundings that is taken from it.
        dimensions: Of the space, at most.
        types: The number of kinds in every category; None: it is estimated.
        max_types: The largest number that is tried.
        min_images: Of a kind on average, at least; and of a new kind.
        min_stability: Agreement of two halves of the images, from 0 of one cloud to 1, below which
            there is only one kind.
        unseen_alpha: p-value below which an image belongs to no known kind.
        refit_growth: Times as many images as the space was learned from: then it is learned anew.
    """

    seed: int = 0
    object_prior: Literal["pca", "none"] = "pca"
    regions: Count = 3
    views: Annotated[int, Field(ge=3)] = 12
    guidance: Positive = 3.0
    surroundings: Share = 1.0
    dimensions: Annotated[int, Field(ge=2)] = 64
    types: Count | None = None
    max_types: Annotated[int, Field(ge=2)] = 12
    min_images: Annotated[int, Field(ge=2)] = 5
    min_stability: Share = 0.1
    unseen_alpha: Probability = 0.05
    refit_growth: Annotated[float, Field(gt=1)] = 2.0


class RetentionParams(Section):
    """What `normscape prune` removes; None: nothing because of it.

    Attributes:
        log_days: Older days leave the score log.
        log_gib: The oldest days leave the score log until its parts have at most so many GiB.
        maps_days: Maps and overlays of older days go.
        maps_gib: Those of the oldest days go until all have at most so many GiB.
        monitor_days: The monitor's pages of older days go.
    """

    log_days: Count | None = None
    log_gib: Positive | None = None
    maps_days: Count | None = None
    maps_gib: Positive | None = None
    monitor_days: Count | None = None


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
