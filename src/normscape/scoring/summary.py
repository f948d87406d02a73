"""What scoring a day did, and what a person should be told of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from normscape.scoring.inbox import Pruned


@dataclass
class ScoreSummary:
    """What scoring one day did.

    Attributes:
        day: The day, YYYY-MM-DD.
        model_version: The version that scored.
        found: Images that were there.
        logged: New rows in the score log, unreadable images included.
        skipped: Images whose bytes were in the log already (or twice among those found).
        flagged: New images above their threshold.
        unknown: New images that may be of a product the model does not know.
        errors: New images that could not be read, and why, by their logged path.
        postponed: Why single images could not be had now; they are not logged, and the next run
            tries again.
        kept: Images that are new in the inbox.
        pruned: What left the inbox because it was full.
        lost: Why single images could not be put into the inbox.
    """

    day: str
    model_version: str
    found: int = 0
    logged: int = 0
    skipped: int = 0
    flagged: int = 0
    unknown: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    postponed: list[str] = field(default_factory=list)
    kept: int = 0
    pruned: Pruned = field(default_factory=Pruned)
    lost: list[str] = field(default_factory=list)

    def explain(self) -> str:
        """The figures in a line."""
        later = f", {len(self.postponed)} postponed" if self.postponed else ""
        return (
            f"{self.day}, {self.model_version}: {self.found} images, {self.logged} newly logged, "
            f"{self.skipped} logged before{later}; {self.flagged} flagged, {self.unknown} of "
            f"unknown category, {len(self.errors)} unreadable; {self.kept} new in the inbox"
        )

    def warnings(self, limit: int) -> list[str]:
        """What a person should be told; `limit` is `review.max_images`."""
        lines = [f"{path}: {error}" for path, error in self.errors.items()]
        lines += [f"left for the next run: {reason}" for reason in self.postponed]
        lines += [f"not kept for review: {reason}" for reason in self.lost]
        full = self.pruned.warning(limit)
        return [*lines, full] if full else lines
