"""The scorer as one module of tensor operations that `torch.export` can follow.

`Inspector` walks through a batch image by image and through Python numbers, which no export
can. Here the same is done for a batch at once; the detector's own part is a graph of its kind.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from normscape.backbones import LevelShape
from normscape.calibration.calibrator import Calibration
from normscape.detectors.kinds import kind_of
from normscape.detectors.maps import finish_maps
from normscape.export.tables import CalibrationTables
from normscape.features.transform import TokenTransform, to_grid
from normscape.novelty.inspector import Inspector
from normscape.prototypes.sample import REGIONS, pool_regions, region_of_tokens

OUTPUTS = (
    "score", "map", "category", "category_distance", "category_p_value", "p_value",
    "p_value_predicted", "threshold", "flagged", "strangeness",
)  # fmt: skip
"""Names of what the graph returns, in this order."""

_FLOAT16_MAX = 65504.0
_SPLIT = 2.0**13 + 1.0


class TokenGraph(nn.Module):
    """`TokenTransform` after the rounding of the feature store, without antialiased resizing.

    Pooling and resizing are linear and separable: `A F Bᵀ` with two small matrices a level, which
    every runtime computes alike; their antialiased resizing differs.
    """

    bias: Tensor

    def __init__(self, transform: TokenTransform) -> None:
        super().__init__()
        self.shapes = transform.shapes
        self.register_buffer("bias", transform.bias.detach())
        self.resized: list[bool] = []
        self.shrinks: list[bool] = []
        for level, shape in enumerate(transform.shapes):
            channels, height, width = shape
            rows, columns = _operators(shape, transform.grid, transform.neighbourhood)
            self.register_buffer(f"rows_{level}", rows)
            self.register_buffer(f"columns_{level}", columns)
            kernel = transform.get_buffer(f"projection_{level}")[:, :, None, None]
            self.register_buffer(f"kernel_{level}", kernel)
            self.resized.append(not (_is_identity(rows) and _is_identity(columns)))
            # The order with fewer values to resize; the product is the same.
            fewer = height * width >= transform.tokens and channels <= transform.dimensions
            self.shrinks.append(fewer)

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Tokens `(B, N, D)` of level maps `(B, C_l, H_l, W_l)`."""
        total = self.bias.view(1, -1, 1, 1)
        for level, features in enumerate(maps):
            values = _as_float16(features)
            kernel = self.get_buffer(f"kernel_{level}")
            if self.shrinks[level]:
                total = total + functional.conv2d(self._resize(values, level), kernel)
            else:
                total = total + self._resize(functional.conv2d(values, kernel), level)
        return total.flatten(2).transpose(1, 2)

    def _resize(self, maps: Tensor, level: int) -> Tensor:
        if not self.resized[level]:
            return maps
        rows, columns = self.get_buffer(f"rows_{level}"), self.get_buffer(f"columns_{level}")
        return rows @ maps @ columns.T


class DetectorGraph(nn.Module):
    """Level maps in; scores, maps, categories, p-values and decisions out.

    Args:
        model: A trained model.
        calibration: Its thresholds and tails.

    Raises:
        NormscapeError: Its detector cannot be exported.
    """

    pooling: Tensor

    def __init__(self, model: Inspector, calibration: Calibration) -> None:
        super().__init__()
        self.tokens = TokenGraph(model.transform)
        self.head = model.head
        self.novelty = model.novelty
        self.detector = kind_of(model.detector.name).graph(model.detector)
        self.tables = CalibrationTables(calibration, model.categories)
        self.maps = model.maps
        self.routed = min(model.routed_categories, len(model.categories))
        self.margin = model.route_margin
        count = model.transform.tokens
        each = torch.eye(count).unsqueeze(0)
        self.register_buffer("pooling", pool_regions(each, region_of_tokens(count))[0])

    @property
    def shapes(self) -> tuple[LevelShape, ...]:
        """`(C, H, W)` of each level."""
        return self.tokens.shapes

    def forward(self, maps: tuple[Tensor, ...], declared: Tensor) -> tuple[Tensor, ...]:
        """Judge a batch.

        Args:
            maps: Level maps `(B, C_l, H_l, W_l)`.
            declared: `(B,)` int64, the index of the category that the line gives, or -1.

        Returns:
            What `OUTPUTS` names, each `(B,)` but the map, `(B, S, S)`. `p_value`, `threshold` and
            `flagged` are those of the declared category, or of the predicted one for -1.
        """
        tokens = self.tokens(maps)
        categories, distances = self.head.classify(self._embedding(tokens), self.routed)
        asked = distances <= self.margin * distances[:, :1]
        pixels, score = finish_maps(self.detector(tokens, categories, asked), self.maps)
        predicted, distance = categories[:, 0], distances[:, 0]
        used = torch.where(declared >= 0, declared, predicted)
        threshold = self.tables.thresholds[used]
        strangeness = distance * 1.0  # OpenVINO cannot return one tensor under two names
        if self.novelty is not None:
            pooling = self.novelty.pooling
            strangeness = self.novelty.judge(pooling([_as_float16(level) for level in maps]))
        return (
            score,
            pixels,
            predicted,
            distance,
            self.tables.category_p_value(strangeness),
            self.tables.p_value(score, used),
            self.tables.p_value(score, predicted),
            threshold,
            score > threshold,
            strangeness,
        )

    def _embedding(self, tokens: Tensor) -> Tensor:
        """`image_embedding` with a sort: few runtimes have a median."""
        regions = (self.pooling @ tokens).sort(dim=1).values
        return regions[:, (REGIONS**2 - 1) // 2]


class ScorerGraph(nn.Module):
    """Decoded pixels in, everything out.

    Args:
        network: A `FeatureNetwork`.
        detector: See the class.
    """

    def __init__(self, network: nn.Module, detector: DetectorGraph) -> None:
        super().__init__()
        self.network = network
        self.detector = detector

    def forward(self, pixels: Tensor, declared: Tensor) -> tuple[Tensor, ...]:
        """Judge `(B, 3, S, S)` float32 pixels in [0, 1]; see `DetectorGraph.forward`."""
        judged: tuple[Tensor, ...] = self.detector(self.network(pixels), declared)
        return judged


def _operators(shape: LevelShape, grid: int, neighbourhood: int) -> tuple[Tensor, Tensor]:
    """`A (grid, H)` and `B (grid, W)` with `to_grid(F) = A F Bᵀ`: its answers to single lines."""
    _, height, width = shape
    rows = torch.eye(height).view(height, 1, height, 1).expand(-1, -1, -1, width)
    columns = torch.eye(width).view(width, 1, 1, width).expand(-1, -1, height, -1)
    return (
        to_grid(rows, grid, neighbourhood)[:, 0, :, 0].T.contiguous(),
        to_grid(columns, grid, neighbourhood)[:, 0, 0].T.contiguous(),
    )


def _as_float16(values: Tensor) -> Tensor:
    """Float32 values rounded to the 11 binary digits of a float16 (Veltkamp's splitting).

    Not `half().float()`: OpenVINO removes that pair.
    """
    clamped = values.clamp(-_FLOAT16_MAX, _FLOAT16_MAX)
    spread = clamped * _SPLIT
    return spread - (spread - clamped)


def _is_identity(operator: Tensor) -> bool:
    return operator.shape[0] == operator.shape[1] and torch.equal(
        operator, torch.eye(operator.shape[0])
    )
