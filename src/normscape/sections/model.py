"""What shapes a model."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from normscape.sections.base import Count, Positive, Probability, Section, Share

Maps = Literal["overlay", "array", "both", "none"]
DetectorName = Literal["dpdiff", "proad"]


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
