"""The gate: what a model must reach, and not lose against the champion, to serve production.

A comparison that cannot be made because a figure is NaN counts as failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from normscape.params import GateParams

Metrics = dict[str, Any]
"""The content of `metrics.json`."""


@dataclass(frozen=True)
class Comparison:
    """Challenger and champion on the same images of today's test set.

    Attributes:
        version: The champion.
        challenger: The challenger's metrics on these images.
        champion: The champion's metrics on these images.
        images: How many images both were measured on.
        left_out: How many test images of common categories were left out, because the champion was
            trained or calibrated on them.
        removed: Categories the champion knows and the challenger does not.
    """

    version: str
    challenger: Metrics
    champion: Metrics
    images: int
    left_out: int
    removed: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """One threshold.

    Attributes:
        name: The parameter of the `gate` section that sets it.
        metric: What was measured, for people.
        category: The category it concerns, or None.
        value: What was found; None: it could not be measured.
        limit: What was allowed.
        at_least: Whether the limit is a lower one.
        passed: Whether the value keeps the limit.
    """

    name: str
    metric: str
    category: str | None
    value: float | None
    limit: float
    at_least: bool
    passed: bool

    def explain(self) -> str:
        """One sentence: which threshold, the value, the limit, and by how much."""
        where = f" of {self.category}" if self.category else ""
        word = "at least" if self.at_least else "at most"
        wanted = f"gate.{self.name} asks for {word} {self.limit:.4f}"
        if self.value is None:
            return f"{self.metric}{where} could not be measured; {wanted}"
        margin = abs(self.value - self.limit)
        verdict = f"kept with {margin:.4f} to spare" if self.passed else f"missed by {margin:.4f}"
        return f"{self.metric}{where} is {self.value:.4f}; {wanted}: {verdict}"


@dataclass(frozen=True)
class GateDecision:
    """What the gate decided, and why.

    Attributes:
        passed: Whether every check passed.
        checks: All checks, in the order in which they were made.
        notes: What a person should know and no threshold covers: new, removed and unmeasured
            categories, images left out.
        champion: The version it was compared with, or None.
    """

    passed: bool
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    champion: str | None = None

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.passed)

    def explain(self) -> list[str]:
        """One sentence a check, the failed ones first, then the notes."""
        kept = [check for check in self.checks if check.passed]
        return [check.explain() for check in (*self.failures, *kept)] + list(self.notes)

    def as_dict(self) -> dict[str, Any]:
        """Its content for `gate.json`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> GateDecision:
        """Read what `as_dict` wrote."""
        checks = tuple(Check(**check) for check in content["checks"])
        notes = tuple(content["notes"])
        return cls(content["passed"], checks, notes, content["champion"])


def decide(challenger: Metrics, comparison: Comparison | None, params: GateParams) -> GateDecision:
    """Hold a challenger against the absolute thresholds and against the champion.

    New categories face the absolute thresholds only. A category without anomalous test images has
    no AUROC and is noted; where *no* category has one, the thresholds on AUROC fail unless they
    are 0. Pixel metrics count where there are masks.

    Args:
        challenger: Its metrics on the whole test set.
        comparison: With the champion, on the same images; None where there is no champion.
        params: The thresholds.
    """
    checks = [*_absolute(challenger, params), *_false_positives(challenger, params)]
    notes = list(_unmeasured(challenger))
    if comparison is not None:
        checks += _against_champion(comparison, params)
        notes += _comparison_notes(challenger, comparison)
    passed = all(check.passed for check in checks)
    version = comparison.version if comparison else None
    return GateDecision(passed, tuple(checks), tuple(notes), version)


def _absolute(metrics: Metrics, params: GateParams) -> Iterable[Check]:
    mean, worst = metrics["mean"], metrics["worst"]
    yield _at_least(
        "min_mean_image_auroc", "mean image AUROC", None,
        mean.get("image_auroc"), params.min_mean_image_auroc,
    )  # fmt: skip
    yield _at_least(
        "min_worst_image_auroc", "worst image AUROC", _worst_category(metrics),
        worst.get("image_auroc"), params.min_worst_image_auroc,
    )  # fmt: skip
    if "pixel_auroc" in mean:
        yield _at_least(
            "min_mean_pixel_auroc", "mean pixel AUROC", None,
            mean["pixel_auroc"], params.min_mean_pixel_auroc,
        )  # fmt: skip


def _false_positives(metrics: Metrics, params: GateParams) -> Iterable[Check]:
    limit = params.max_false_positive_rate
    for category, figures in metrics["categories"].items():
        rate = figures.get("false_positive_rate", {}).get("declared")
        if rate is None:
            continue
        # The lower confidence limit: a handful of test normals must not fail a good model.
        low = rate["low"]
        text = (
            f"lower confidence limit of the false-positive rate "
            f"({rate['flagged']} of {rate['images']} normals flagged)"
        )
        name = "max_false_positive_rate"
        yield Check(name, text, category, low, limit, at_least=False, passed=low <= limit)


def _against_champion(comparison: Comparison, params: GateParams) -> Iterable[Check]:
    champion = comparison.champion["categories"]
    challenger = comparison.challenger["categories"]
    for key, name in (("image_auroc", "image AUROC"), ("pixel_auroc", "pixel AUROC")):
        common = [c for c in champion if key in champion[c] and key in challenger.get(c, {})]
        if not common:
            continue
        theirs = sum(champion[category][key] for category in common) / len(common)
        ours = sum(challenger[category][key] for category in common) / len(common)
        text = (
            f"mean {name} over {len(common)} categories shared with {comparison.version} "
            f"({theirs:.4f})"
        )
        limit = theirs - params.champion_tolerance
        yield _at_least("champion_tolerance", text, None, ours, limit)
        for category in common:
            yield _at_least(
                "champion_category_tolerance",
                f"{name} against {comparison.version} ({champion[category][key]:.4f})",
                category,
                challenger[category][key],
                champion[category][key] - params.champion_category_tolerance,
            )


def _at_least(
    name: str, metric: str, category: str | None, value: float | None, limit: float
) -> Check:
    passed = limit <= 0.0 if value is None else value >= limit
    return Check(name, metric, category, value, limit, at_least=True, passed=passed)


def _worst_category(metrics: Metrics) -> str | None:
    measured = {
        category: figures["image_auroc"]
        for category, figures in metrics["categories"].items()
        if "image_auroc" in figures
    }
    return min(measured, key=lambda category: measured[category], default=None)


def _unmeasured(metrics: Metrics) -> Iterable[str]:
    for category, figures in metrics["categories"].items():
        if "image_auroc" not in figures:
            yield (
                f"image AUROC of {category} could not be measured: its test images are not of both "
                "kinds, normal and anomalous"
            )
        if "declared" not in figures.get("false_positive_rate", {}):
            yield f"the false-positive rate of {category} could not be measured"


def _comparison_notes(challenger: Metrics, comparison: Comparison) -> Iterable[str]:
    version, compared = comparison.version, comparison.champion["categories"]
    new = [category for category in challenger["categories"] if category not in compared]
    if compared:
        yield f"compared with {version} on {comparison.images} test images"
    else:
        yield f"{version} shares no category with this model: absolute thresholds only"
    if new:
        yield f"new or not comparable, absolute thresholds only: {', '.join(new)}"
    if comparison.removed:
        yield f"known to {version} and no longer to this model: {', '.join(comparison.removed)}"
    if comparison.left_out:
        yield (
            f"{comparison.left_out} test images were left out of the comparison: {version} was "
            "trained or calibrated on them"
        )
