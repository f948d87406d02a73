"""From held-out normal scores to p-values and thresholds whose false-positive rate is honest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normscape.calibration.scales import Floats, Sample, leave_one_out, pool_scales, standardise
from normscape.calibration.tail import Residuals, Tail, build_tail
from normscape.errors import DataError, NormscapeError, UsageError
from normscape.files import read_json, write_json
from normscape.sections.model import CalibrateParams, TilingParams


class Runs(Protocol):
    """What of a backbone's identity decides whether scores may be compared."""

    @property
    def runtime(self) -> str:
        """The runtime that computed the features."""

    @property
    def precision(self) -> str:
        """Its arithmetic."""


@dataclass(frozen=True)
class CategoryCalibration:
    """What is known of one category's normal scores.

    Attributes:
        images: Number of held-out normal images, n.
        groups: Number of their groups, G; G = n where every image stands alone.
        location: Their mean score, every group counted once.
        scale: Their standard deviation, shrunk towards the other categories'.
        threshold: A score above it is flagged.
        target: The false-positive rate the threshold stands for: the one asked for, or the
            smallest attainable one where that is larger.
        attainable_alone: The smallest rate the category's own groups could support, 1/(G+1).
        attainable_pooled: The smallest rate with the other categories' tails.
    """

    images: int
    groups: int
    location: float
    scale: float
    threshold: float
    target: float
    attainable_alone: float
    attainable_pooled: float


@dataclass(frozen=True)
class Calibration:
    """Turns raw scores into p-values and decisions, per category.

    A score `s` of category `c` has the weighted conformal p-value (Barber, Candès, Ramdas and
    Tibshirani, "Conformal prediction beyond exchangeability", 2023)

        p = (1 + Σ w_i 1[z_i >= z]) / (1 + Σ w_i),   z = (s - location) / (scale sqrt(1 + 1/G))

    over the leave-one-group-out residuals z_i of all categories. The category's own weigh 1 a
    group, shared by its images; those of another category with G_k groups weigh
    `a min(1, pool_strength / G_k)` with `a = pool_strength / (pool_strength + G)`: many own groups
    need no help, and no other category counts for more than `pool_strength` groups.
    Flagged ⇔ score > threshold ⇔ p <= target, exactly.

    Attributes:
        target_fpr: The false-positive rate that was asked for.
        pool_strength: See above.
        runtime: Runtime of the features behind the scores.
        precision: Arithmetic of the features behind the scores.
        categories: Per category, sorted by name.
        residuals: Per category, what it contributes to the tails.
        distances: Category distances of the same images, in ascending order.
        warnings: Where the rate asked for cannot be attained.
        tiling: How the images behind the scores were cut; other scores may not be compared.
        strangeness: That of the same images, in ascending order; None where the model has no
            novelty part and their distances take its place.
    """

    target_fpr: float
    pool_strength: float
    runtime: str
    precision: str
    categories: dict[str, CategoryCalibration]
    residuals: dict[str, Residuals] = field(repr=False, compare=False)
    distances: Floats = field(repr=False, compare=False)
    warnings: tuple[str, ...] = ()
    tiling: TilingParams = field(default_factory=TilingParams)
    strangeness: Floats | None = field(default=None, repr=False, compare=False)
    _tails: dict[str, Tail] = field(default_factory=dict, init=False, repr=False, compare=False)

    def p_value(self, scores: ArrayLike, categories: Sequence[str]) -> Floats:
        """Conformal p-values: how extreme is a score among normal images of its category.

        Args:
            scores: `(B,)` raw image scores.
            categories: `(B,)` the category of each, declared or predicted.

        Returns:
            `(B,)` values in (0, 1]; small means anomalous.

        Raises:
            UsageError: A category was not calibrated.
            NormscapeError: A score is not finite.
        """
        values = _finite(scores, "score")
        names = np.asarray(categories, dtype=object)
        result = np.empty(len(values))
        for name in sorted(set(categories)):
            chosen = names == name
            result[chosen] = self._tail(name).p_value(values[chosen])
        return result

    def threshold(self, category: str) -> float:
        """The score above which an image of `category` is flagged.

        Raises:
            UsageError: The category was not calibrated.
        """
        return self._known(category).threshold

    def flagged(self, scores: ArrayLike, categories: Sequence[str]) -> NDArray[np.bool_]:
        """`(B,)` whether each score lies above its category's threshold.

        Raises:
            UsageError: A category was not calibrated.
            NormscapeError: A score is not finite.
        """
        limits = np.asarray([self.threshold(name) for name in categories], dtype=np.float64)
        return np.asarray(_finite(scores, "score") > limits)

    @property
    def familiar(self) -> Floats:
        """What `category_p_value` compares with, in ascending order."""
        return self.distances if self.strangeness is None else self.strangeness

    def category_p_value(self, strangeness: ArrayLike) -> Floats:
        """Conformal p-values of strangeness against held-out normals of all categories.

        Args:
            strangeness: `(B,)` how strange the model finds each image.

        Returns:
            `(B,)` values in (0, 1]; small means that the image belongs to no known category.

        Raises:
            NormscapeError: A value is not finite.
        """
        values, count = _finite(strangeness, "strangeness value"), len(self.familiar)
        below = np.searchsorted(self.familiar, values, side="left")
        return np.asarray((1 + count - below) / (1 + count))

    def save(self, path: Path) -> None:
        """Write the calibration as JSON; `load` gives the same p-values to the last bit."""
        categories = {
            name: {
                **asdict(item),
                "residuals": self.residuals[name].values.tolist(),
                "weights": self.residuals[name].weights.tolist(),
            }
            for name, item in self.categories.items()
        }
        content: dict[str, Any] = {
            "target_fpr": self.target_fpr,
            "pool_strength": self.pool_strength,
            "runtime": self.runtime,
            "precision": self.precision,
            "categories": categories,
            "distances": self.distances.tolist(),
            "warnings": list(self.warnings),
            "tiling": self.tiling.model_dump(mode="json"),
        }
        if self.strangeness is not None:
            content["strangeness"] = self.strangeness.tolist()
        write_json(path, content)

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            UsageError: The file is missing or is not JSON.
            NormscapeError: It is not a calibration.
        """
        content: Any = read_json(path)
        try:
            residuals = {
                name: Residuals(
                    np.asarray(item.pop("residuals"), dtype=np.float64),
                    np.asarray(item.pop("weights"), dtype=np.float64),
                    item["groups"],
                )
                for name, item in content["categories"].items()
            }
            categories = {
                name: CategoryCalibration(**item) for name, item in content["categories"].items()
            }
            strangeness = content.get("strangeness")
            return cls(
                target_fpr=content["target_fpr"],
                pool_strength=content["pool_strength"],
                runtime=content["runtime"],
                precision=content["precision"],
                categories=categories,
                residuals=residuals,
                distances=np.asarray(content["distances"], dtype=np.float64),
                warnings=tuple(content["warnings"]),
                tiling=TilingParams(**content.get("tiling", {})),  # older ones know of none
                strangeness=None if strangeness is None else np.asarray(strangeness, np.float64),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise NormscapeError(
                f"{path} is not a calibration ({error!r}); recreate it with 'normscape calibrate'"
            ) from None

    def _known(self, category: str) -> CategoryCalibration:
        if category not in self.categories:
            raise UsageError(
                f"category '{category}' was not calibrated; expected one of "
                f"{', '.join(self.categories)}; use the predicted category for new products"
            )
        return self.categories[category]

    def _tail(self, category: str) -> Tail:
        if category not in self._tails:
            known = self._known(category)
            self._tails[category] = build_tail(
                category,
                location=known.location,
                scale=known.scale,
                residuals=self.residuals,
                pool_strength=self.pool_strength,
            )
        return self._tails[category]


def fit_calibration(
    scores: ArrayLike,
    categories: Sequence[str],
    distances: ArrayLike,
    params: CalibrateParams,
    identity: Runs,
    *,
    groups: Sequence[str] | None = None,
    tiling: TilingParams | None = None,
    strangeness: ArrayLike | None = None,
) -> Calibration:
    """Fit thresholds and p-values on held-out normal images.

    Args:
        scores: `(n,)` raw image scores of normal images that trained nothing.
        categories: `(n,)` their declared categories.
        distances: `(n,)` their category distances.
        params: Target rate and strengths of the pooling.
        identity: Runtime and precision of the features behind the scores.
        groups: `(n,)` what each image must stay together with; None if all stand alone.
        tiling: How the images were cut before they were scored; None: not at all.
        strangeness: `(n,)` that of the images; None where the model has no novelty part.

    Returns:
        The calibration; its `warnings` name each category whose images, even pooled, cannot
        support the target rate. Its threshold then stands for the smallest attainable rate.

    Raises:
        DataError: There are no images, or a category's images alone must do and are too few.
        NormscapeError: A score or distance is not finite, or all scores are equal.
    """
    values, names = _finite(scores, "score"), np.asarray(categories, dtype=object)
    if not len(values):
        raise DataError("calibration: no held-out normal images; add normal images and retrain")
    by_category = {
        name: Sample.of(
            values[names == name],
            None if groups is None else np.asarray(groups, dtype=str)[names == name].tolist(),
        )
        for name in sorted(set(categories))
    }
    pool = pool_scales(by_category, params.scale_strength)
    residuals = {
        name: Residuals.ordered(leave_one_out(own, pool), own.weights, own.groups)
        for name, own in by_category.items()
    }
    fitted: dict[str, CategoryCalibration] = {}
    warnings = []
    for name, own in by_category.items():
        location, scale = standardise(own, pool)
        tail = build_tail(
            name,
            location=location,
            scale=scale,
            residuals=residuals,
            pool_strength=params.pool_strength,
        )
        attainable = float(tail.p[-1])
        target = max(params.target_fpr, attainable)
        fitted[name] = CategoryCalibration(
            images=len(own.values),
            groups=own.groups,
            location=location,
            scale=scale,
            threshold=tail.threshold(target),
            target=target,
            attainable_alone=1 / (own.groups + 1),
            attainable_pooled=attainable,
        )
        if target > params.target_fpr:
            warnings.append(
                f"category '{name}': calibrate.target_fpr {params.target_fpr:g} is below the "
                f"smallest attainable false-positive rate {attainable:.4f} of its {own.groups} "
                "groups of held-out normal images (pooled); the threshold stands for "
                f"{attainable:.4f}; add normal images or raise the target"
            )
    return Calibration(
        target_fpr=params.target_fpr,
        pool_strength=params.pool_strength,
        runtime=identity.runtime,
        precision=identity.precision,
        categories=fitted,
        residuals=residuals,
        distances=np.sort(_finite(distances, "category distance")),
        warnings=tuple(warnings),
        tiling=tiling or TilingParams(),
        strangeness=(
            None if strangeness is None else np.sort(_finite(strangeness, "strangeness value"))
        ),
    )


def _finite(values: ArrayLike, what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    if not np.isfinite(array).all():
        raise NormscapeError(
            f"calibration: {int((~np.isfinite(array)).sum())} of {len(array)} {what}s are not "
            "finite; expected numbers; check the detector and its input"
        )
    return array
