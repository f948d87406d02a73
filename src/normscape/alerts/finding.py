"""What one monitor run has found, before anything is known of earlier runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What has happened."""

    DRIFT = "drift"
    """A category's scores have moved: process, camera or light."""
    DEFECTS = "defects_rising"
    """A category's defect rate rose."""
    UNKNOWN = "unknown"
    """A product that the model does not know."""
    TRAFFIC = "traffic_missing"
    """A category's images are missed."""
    DEFECT_TYPE = "defect_new"
    """A kind of defect that was never seen before."""
    RETRAIN = "retrain"
    """Drift or an unknown product: the model should learn anew."""


class Severity(StrEnum):
    """How urgent it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for the least urgent."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Finding:
    """One fact that a person should know.

    Attributes:
        kind: What has happened.
        subject: To which category or group.
        severity: How urgent it is.
        sentence: What a person reads.
        figures: The kind's own part of the event's payload, see `payloads`.
        magnitude: How bad it is, comparable between runs of the same subject; 0 where it has no
            degree.
    """

    kind: Kind
    subject: str
    severity: Severity
    sentence: str
    figures: dict[str, Any] = field(default_factory=dict)
    magnitude: float = 0.0


@dataclass(frozen=True)
class Observation:
    """One judged window.

    Attributes:
        day: Its last day, YYYY-MM-DD.
        version: The model version.
        findings: What was found.
        unjudged: Kinds and subjects of which the window says nothing: too few images. All others
            that were not found count as quiet.
        empty: The window holds no image; it says nothing of anything that was not found.
    """

    day: str
    version: str
    findings: tuple[Finding, ...]
    unjudged: frozenset[tuple[Kind, str]] = frozenset()
    empty: bool = False
