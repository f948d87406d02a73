"""What the gate decided: its checks, each with value, limit and a sentence, and the comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from normscape.evaluation.paired import PairedScores

Metrics = dict[str, Any]
"""The content of `metrics.json`."""


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

    @property
    def margin(self) -> float:
        """How far the value lies from the limit; 0 where it could not be measured."""
        return 0.0 if self.value is None else abs(self.value - self.limit)

    def explain(self) -> str:
        """One sentence: which threshold, the value, the limit, and by how much."""
        where = f" of {self.category}" if self.category else ""
        word = "at least" if self.at_least else "at most"
        wanted = f"gate.{self.name} asks for {word} {self.limit:.4f}"
        if self.value is None:
            return f"{self.metric}{where} could not be measured; {wanted}"
        verdict = "kept with {:.4f} to spare" if self.passed else "missed by {:.4f}"
        return f"{self.metric}{where} is {self.value:.4f}; {wanted}: {verdict.format(self.margin)}"


@dataclass(frozen=True)
class GateDecision:
    """What the gate decided, and why.

    Attributes:
        passed: Whether every check passed.
        checks: All checks, in the order in which they were made.
        notes: What a person should know and no threshold covers: new, removed and unmeasured
            categories, images left out, losses that too few images prove.
        champion: The version it was compared with, or None.
        paired: The figures of that comparison; None without one, and in decisions of the first
            release.
    """

    passed: bool
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    champion: str | None = None
    paired: PairedScores | None = None

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.passed)

    def explain(self) -> list[str]:
        """A sentence for each failed check, those for the kept ones, then the notes.

        Of a threshold that many categories have kept, only the closest is told.
        """
        failed = [check.explain() for check in self.failures]
        return failed + list(_kept(self.checks)) + list(self.notes)

    def as_dict(self) -> dict[str, Any]:
        """Its content for `gate.json`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> GateDecision:
        """Read what `as_dict` wrote, in this or another release of the same format."""
        names = [field.name for field in fields(Check)]
        checks = tuple(Check(**{name: one[name] for name in names}) for one in content["checks"])
        found = content.get("paired")
        paired = None if found is None else PairedScores.from_dict(found)
        notes = tuple(content["notes"])
        return cls(content["passed"], checks, notes, content["champion"], paired)


def _kept(checks: Iterable[Check]) -> Iterable[str]:
    kept = [check for check in checks if check.passed]
    for name in dict.fromkeys(check.name for check in kept):
        own = [check for check in kept if check.name == name]
        single = [check for check in own if check.category is not None]
        for check in own:
            if check.category is None or len(single) == 1:
                yield check.explain()
        if len(single) > 1:
            closest = min(single, key=lambda check: check.margin)
            yield f"gate.{name} is kept by {len(single)} categories; closest: {closest.explain()}"
