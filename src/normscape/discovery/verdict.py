"""What is said of an image and of its regions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RegionVerdict:
    """What is said of one region of an image.

    Attributes:
        x: Of its highest pixel, share of the image's width.
        y: The same of the height.
        area: Share of the image.
        type: Id of the kind of defect; None: none that is known.
        confidence: Belief in the type, averaged over the views; 0 without a type.
    """

    x: float
    y: float
    area: float
    type: str | None
    confidence: float


@dataclass(frozen=True)
class Verdict:
    """What is said of an image.

    Attributes:
        type: Id of the kind of defect that it shows most of; None: it shows none that is known.
        confidence: Belief in the type, averaged over the views of the regions; 0 without a type.
        p_value: Of fitting a known kind as badly as that, or worse, if it were one.
        nearest: Id of the type that it resembles most; None where the map shows nothing.
        regions: The largest first; they may be of several types.
    """

    type: str | None
    confidence: float
    p_value: float
    nearest: str | None
    regions: tuple[RegionVerdict, ...] = ()


NOTHING = Verdict(None, 0.0, 1.0, None)
"""Of an image whose map shows nothing, and of all images while nothing is known."""
