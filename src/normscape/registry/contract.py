"""What every registry promises, whatever it is stored in.

Versions are immutable and numbered `v0001`, `v0002`, …; an alias names one version and moves by
compare-and-swap only; every change is written to an append-only audit log. Garbage collection takes
the bytes of versions that nothing needs; their numbers and what they measured stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from normscape.errors import NormscapeError, UsageError

PRODUCTION = "production"
"""The alias of the version that scores production images."""

PREVIOUS = "previous"
"""Where a rollback of `production` leads: derived from it, so the two can never disagree."""


class StaleAliasError(NormscapeError):
    """The alias has been moved by somebody else since it was read."""


@dataclass(frozen=True)
class AliasState:
    """Where an alias points, and the way it came.

    Attributes:
        version: The version it names.
        generation: Counts the moves of this alias from 1; never repeats.
        trail: The versions it named before, oldest first, without those that were rolled back.
            A rollback follows it, so a second rollback never reinstates a rejected version.
    """

    version: str
    generation: int
    trail: tuple[str, ...] = ()

    @property
    def previous(self) -> str | None:
        """The version that a rollback leads to, or None."""
        return self.trail[-1] if self.trail else None

    def forward(self, version: str) -> AliasState:
        """The state after the alias has moved on to `version`."""
        return AliasState(version, self.generation + 1, (*self.trail, self.version))

    def back(self) -> AliasState:
        """The state after a rollback.

        Raises:
            UsageError: The alias has named no other version before.
        """
        if not self.trail:
            raise UsageError(
                f"{self.version} has no predecessor to go back to; promote another version instead"
            )
        return AliasState(self.trail[-1], self.generation + 1, self.trail[:-1])


@dataclass(frozen=True)
class AuditEntry:
    """One change of the registry.

    Attributes:
        when: UTC time, ISO 8601.
        who: user@host.
        action: `register`, `set`, `rollback` or `collect`.
        alias: The alias that moved, or None.
        before: The version the alias named before, or None.
        after: The version that was registered or collected, or that the alias names now.
        generation: Of the alias after the move; 0 where none moved.
        reason: Why, in the words of whoever did it.
        id: Unlike that of any other change; empty in logs of the first release.
    """

    when: str
    who: str
    action: str
    alias: str | None
    before: str | None
    after: str
    generation: int
    reason: str
    id: str = ""


@dataclass(frozen=True)
class VersionSummary:
    """What a table says about a version; made without verifying its checksums.

    Attributes:
        version: Its name.
        figures: Time of making, gate, mean metrics, categories, data and code version; None: they
            cannot be read.
        problem: Why not, or None.
        collected: When and why its bytes were collected; None: they are there.
    """

    version: str
    figures: dict[str, Any] | None
    problem: str | None = None
    collected: AuditEntry | None = None


@dataclass(frozen=True)
class KeepRule:
    """What garbage collection spares besides the versions that an alias or its trail names.

    Attributes:
        newest: This many of the newest versions, at least 1.
        days: Versions that were registered less than this many days ago.
    """

    newest: int
    days: float


@dataclass(frozen=True)
class Collection:
    """What garbage collection has removed, or would remove.

    Attributes:
        versions: Those whose bytes go, oldest first.
        leftovers: Names of what crashes have left: temporary folders, unfinished uploads, objects
            and marks that nothing needs.
        bytes: The room all this took.
    """

    versions: tuple[str, ...]
    leftovers: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class History:
    """The audit log, oldest entry first, and the numbers of the lines a crash has torn."""

    entries: tuple[AuditEntry, ...]
    torn_lines: tuple[int, ...] = ()


class Registry(Protocol):
    """A store of model bundles; `tests/unit/registry/test_contract.py` is its specification."""

    def register(self, folder: Path, *, reason: str) -> str:
        """Take a copy of the bundle in `folder` as a new immutable version and return its name.

        Racing writers each get a version of their own. A version is visible whole or not at all.

        Raises:
            BundleError: The bundle is damaged.
            NormscapeError: The registry cannot be written.
        """

    def versions(self) -> list[str]:
        """The names of all versions, oldest first, without those that were collected."""

    def resolve(self, name: str) -> str:
        """The version that `name`, a version or an alias, stands for.

        Raises:
            UsageError: There is no such version or alias.
        """

    def get(self, name: str) -> Path:
        """A local folder with the bundle of a version or alias; `Bundle.load` verifies it.

        Raises:
            UsageError: There is no such version or alias, or it was collected.
        """

    def verify(self, name: str) -> None:
        """Verify every byte of a version or alias as the registry keeps it, not a copy of it.

        Raises:
            BundleError: The version's bundle is damaged.
            UsageError: There is no such version or alias, or it was collected.
        """

    def collected_names(self) -> list[str]:
        """The names of the versions whose bytes were collected, oldest first."""

    def summaries(self, names: Sequence[str] | None = None) -> list[VersionSummary]:
        """What tables say about these versions, or about all, the collected ones included."""

    def alias(self, name: str) -> str | None:
        """The version an alias names, or None."""

    def alias_state(self, name: str) -> AliasState | None:
        """The state of an alias, to be given to `set_alias` as what is expected, or None."""

    def aliases(self) -> dict[str, str]:
        """All aliases and the versions they name, `previous` included where there is one."""

    def set_alias(
        self, name: str, version: str, *, expected: AliasState | None, reason: str
    ) -> AliasState:
        """Move an alias to a version whose checksums have been verified.

        Args:
            name: The alias; `previous` follows `production` and cannot be set.
            version: Where it should point.
            expected: The state as it was when the decision was made; None: no such alias yet.
            reason: For the audit log.

        Raises:
            StaleAliasError: The alias is no longer in the expected state; nothing has changed.
            BundleError: The version's bundle is damaged; nothing has changed.
            UsageError: A malformed name or an unknown version.
        """

    def step_back(self, name: str, *, expected: AliasState, reason: str) -> AliasState:
        """Move an alias back to the version it named before; raises as `set_alias` does."""

    def history(self) -> History:
        """The audit log; no change is missing from it, even when a crash kept it from the log.

        A change comes after those it rests on, even where the clocks of its writers disagree.
        """

    def collect(self, rule: KeepRule, *, reason: str, dry_run: bool = False) -> Collection:
        """Remove the bytes of versions that no alias, no alias's trail and no rule needs.

        A collected version's number is never given again, and its figures are kept. What crashes
        have left is removed once it is a day old. Safe while others register and move aliases.

        Raises:
            BusyError: Another collection is under way.
        """


def check_reason(reason: str) -> None:
    """Refuse a change without a reason: the audit log would not answer *why*.

    Raises:
        UsageError: The reason is blank.
    """
    if not reason.strip():
        raise UsageError("the reason is empty; say in a few words why the registry should change")


def require_unchanged(name: str, found: AliasState | None, expected: AliasState | None) -> None:
    """Compare, for the compare-and-swap.

    Raises:
        StaleAliasError: The alias is not in the expected state.
    """
    if found != expected:
        raise StaleAliasError(
            f"alias '{name}' was moved by somebody else: expected {_describe(expected)}, found "
            f"{_describe(found)}; nothing was changed, look at the new state and decide again"
        )


def _describe(state: AliasState | None) -> str:
    return "no such alias" if state is None else f"{state.version} (move {state.generation})"
