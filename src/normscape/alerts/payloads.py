"""The events that leave the project: their names and payloads, documented in `docs/alerts.md`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter

from normscape.alerts.finding import Kind, Severity

PAYLOAD_SCHEMA = 1
"""Raised when a field changes its meaning or goes; new fields may come without."""

Reason = Literal["opened", "severity", "worse", "reminder", "requested", "resolved"]
"""Why a notice is sent: a new alert, a more urgent one, a worse one, it goes on, a request for
retraining, it is over."""


@dataclass(frozen=True)
class Common:
    """What every payload holds.

    Attributes:
        schema: `PAYLOAD_SCHEMA`.
        alert: Id of the alert; the same in all its events.
        notice: Why the event was sent.
        severity: How urgent it is.
        day: The last day of the window that was judged.
        first_day: The first such day with this finding.
        days_seen: Number of such days.
        model_version: The version that scored the window.
        sentence: What a person reads.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    schema: Literal[1]
    alert: str
    notice: Reason
    severity: Severity
    day: str
    first_day: str
    days_seen: int
    model_version: str
    sentence: str


@dataclass(frozen=True)
class DriftDetected(Common):
    """`normscape.drift.detected`.

    Attributes:
        category: Its name.
        verdict: `drift`: the scores left their usual level; `stale`: that level has left the
            reference.
        images: In the window.
        effect: Shift of the scores, signed, in standard deviations of the reference.
        adjusted: p-value after the correction for many categories; None where there is none.
        explanation: How the images have changed, in words.
    """

    category: str
    verdict: Literal["drift", "stale"]
    images: int
    effect: float
    adjusted: float | None
    explanation: tuple[str, ...]


@dataclass(frozen=True)
class Nearest:
    """A known category, and the share of a group's images that resemble it most."""

    category: str
    share: float


@dataclass(frozen=True)
class CategoryUnknown(Common):
    """`normscape.category.unknown`.

    Attributes:
        name: The unknown name, or the known category that the images resemble or declare.
        source: `name`, `undeclared`, `misdeclared` or `swapped`.
        images: In the group.
        strange: Of them, those that look like no known category, or (`swapped`) like another one.
        adjusted: p-value after the correction for many groups; None for an unknown name.
        examples: SHA-256 of at most 20 images.
        nearest: Known categories that they resemble, and the share that does, the most first.
        command: What adds the images to the data once a person has looked at them; None where
            there is nothing to add.
    """

    name: str
    source: Literal["name", "undeclared", "misdeclared", "swapped"]
    images: int
    strange: int
    adjusted: float | None
    examples: tuple[str, ...]
    nearest: tuple[Nearest, ...]
    command: str | None


@dataclass(frozen=True)
class DefectsRising(Common):
    """`normscape.defects.rising`.

    Attributes:
        category: Its name.
        images: In the window.
        flagged: Of them.
        rate: Share of the window that was flagged.
        expected: Share that is usual.
        adjusted: p-value after the correction for many categories; None where there is none.
    """

    category: str
    images: int
    flagged: int
    rate: float
    expected: float
    adjusted: float | None


@dataclass(frozen=True)
class TrafficMissing(Common):
    """`normscape.traffic.missing`.

    Attributes:
        category: Its name.
        days_silent: Days without an image.
        usual_per_day: Images a day before that.
        last_image_day: The last day with an image.
    """

    category: str
    days_silent: int
    usual_per_day: float
    last_image_day: str


@dataclass(frozen=True)
class NearestType:
    """A named kind of defect, and the cosine of its prototype to that of another kind."""

    type: str
    name: str
    cosine: float


@dataclass(frozen=True)
class DefectNew(Common):
    """`normscape.defect.new`.

    Attributes:
        category: The product.
        type: Id of the new kind of defect in the category's catalogue.
        catalogue: The catalogue's version that has it first.
        images: That show it.
        examples: SHA-256 of at most 20 of them.
        nearest: The named kind that it resembles most; None without one.
        command: What gives it a name once a person has looked at it.
    """

    category: str
    type: str
    catalogue: int
    images: int
    examples: tuple[str, ...]
    nearest: NearestType | None
    command: str


@dataclass(frozen=True)
class RetrainRequested(Common):
    """`normscape.retrain.requested`.

    Attributes:
        reason: A sentence; the registry's audit log gets it.
        drifted: Categories.
        unknown: Names of unknown groups.
    """

    reason: str
    drifted: tuple[str, ...]
    unknown: tuple[str, ...]


EVENTS: dict[Kind, tuple[str, type[Common]]] = {
    Kind.DRIFT: ("normscape.drift.detected", DriftDetected),
    Kind.UNKNOWN: ("normscape.category.unknown", CategoryUnknown),
    Kind.DEFECTS: ("normscape.defects.rising", DefectsRising),
    Kind.TRAFFIC: ("normscape.traffic.missing", TrafficMissing),
    Kind.DEFECT_TYPE: ("normscape.defect.new", DefectNew),
    Kind.RETRAIN: ("normscape.retrain.requested", RetrainRequested),
}
"""Name and payload of the event of each kind."""


def make_payload(kind: Kind, content: dict[str, Any]) -> dict[str, Any]:
    """Plain values of a payload, validated.

    Args:
        kind: Of the alert.
        content: All fields but `schema`.

    Raises:
        pydantic.ValidationError: A field is missing, unknown or of another type.
    """
    adapter = TypeAdapter(EVENTS[kind][1])
    payload = adapter.validate_python({"schema": PAYLOAD_SCHEMA, **content})
    plain: dict[str, Any] = adapter.dump_python(payload, mode="json")
    return plain


def event_resource(kind: Kind, figures: dict[str, Any], version: str) -> dict[str, str]:
    """Prefect's description of what an event is about."""
    if kind is Kind.RETRAIN:
        return {"prefect.resource.id": "normscape.model.production", "normscape.version": version}
    name = str(figures["name" if kind is Kind.UNKNOWN else "category"])
    return {"prefect.resource.id": f"normscape.category.{name}", "prefect.resource.name": name}
