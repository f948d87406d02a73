"""What the registries share: resolving names, moving aliases, completing the log, what may go.

A store adds where documents and bytes are, and what makes a swap of an alias atomic.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path

from normscape.errors import NormscapeError, UsageError
from normscape.registry.audit import new_entry
from normscape.registry.contract import (
    PREVIOUS,
    PRODUCTION,
    AliasState,
    AuditEntry,
    Collection,
    History,
    KeepRule,
    VersionSummary,
    check_reason,
    require_unchanged,
)
from normscape.registry.documents import AliasDocument
from normscape.registry.names import check_alias, check_movable, check_version, is_version, number

LEFTOVER_AGE = timedelta(days=1)
"""How old what a crash has left must be before it is removed."""

_KNOWN = 10

logger = logging.getLogger(__name__)


class StoredRegistry(ABC):
    """The common part of the registries; see `Registry` for what they promise."""

    place: str
    """The folder or the address, for messages."""

    @abstractmethod
    def versions(self) -> list[str]:
        """The names of all versions, oldest first, without those that were collected."""

    @abstractmethod
    def get(self, name: str) -> Path:
        """A local folder with the bundle of a version or alias."""

    @abstractmethod
    def verify(self, name: str) -> None:
        """Verify every byte of a version or alias as the registry keeps it."""

    @abstractmethod
    def register(self, folder: Path, *, reason: str) -> str:
        """Take a copy of the bundle in `folder` as a new immutable version."""

    @abstractmethod
    def history(self) -> History:
        """The audit log, complete and in order."""

    @abstractmethod
    def collect(self, rule: KeepRule, *, reason: str, dry_run: bool = False) -> Collection:
        """Remove the bytes of versions that nothing needs."""

    @abstractmethod
    def _summary(self, version: str, gone: AuditEntry | None) -> VersionSummary: ...

    @abstractmethod
    def collected_names(self) -> list[str]:
        """The names of the versions that were collected."""

    @abstractmethod
    def _collected(self, version: str) -> AuditEntry | None: ...

    @abstractmethod
    def _exists(self, version: str) -> bool: ...

    @abstractmethod
    def _alias_names(self) -> list[str]: ...

    @abstractmethod
    def _read_alias(self, name: str) -> tuple[AliasDocument, str] | None:
        """The document of an alias, and the store's mark of its content."""

    @abstractmethod
    def _swap(
        self, name: str, document: AliasDocument, found: tuple[AliasDocument, str] | None
    ) -> None:
        """Write the document while that of the alias is the one that was found."""

    @abstractmethod
    def _log(self, entry: AuditEntry) -> None:
        """Make sure that the log holds an entry."""

    @abstractmethod
    def _changing(self) -> AbstractContextManager[None]:
        """Held between reading an alias and writing it, where the store has locks."""

    @abstractmethod
    def _holding(self, version: str) -> AbstractContextManager[None]:
        """Keep garbage collection from a version while an alias is moved to it."""

    def resolve(self, name: str) -> str:
        """The version that `name`, a version or an alias, stands for."""
        version = name if is_version(name) else self.alias(name)
        if version is not None and self._exists(version):
            return version
        if version is not None and (gone := self._collected(version)) is not None:
            raise UsageError(
                f"{version} was collected on {gone.when[:10]} by {gone.who} ({gone.reason}); its "
                "figures are in 'models list', its bytes are gone"
            )
        if version is not None and version != name:
            raise NormscapeError(
                f"'{name}' is {version}, but {self.place} does not have it: it is gone; restore "
                "it, or roll back or promote another version"
            )
        versions = self.versions()
        shown = (["…"] if len(versions) > _KNOWN else []) + versions[-_KNOWN:]
        known = ", ".join([*self.aliases(), *shown]) or "nothing yet"
        raise UsageError(f"the registry {self.place} has no '{name}'; it has {known}")

    def summaries(self, names: Sequence[str] | None = None) -> list[VersionSummary]:
        """What tables say about versions."""
        gone = set(self.collected_names())
        if names is None:
            names = sorted({*self.versions(), *gone}, key=number)

        def summarise(version: str) -> VersionSummary:
            try:
                when = self._collected(version) if version in gone else None
            except NormscapeError as error:  # one damaged document is no reason to hide the others
                return VersionSummary(version, None, str(error))
            return self._summary(version, when)

        return self._map(summarise, names)

    def alias(self, name: str) -> str | None:
        """The version an alias names, or None."""
        if name == PREVIOUS:
            production = self.alias_state(PRODUCTION)
            return production.previous if production else None
        state = self.alias_state(name)
        return state.version if state else None

    def alias_state(self, name: str) -> AliasState | None:
        """The state of an alias, or None."""
        check_alias(name)
        found = self._read_alias(name)
        return found[0].state if found else None

    def aliases(self) -> dict[str, str]:
        """All aliases and the versions they name."""
        found = {name: self.alias(name) for name in self._alias_names()}
        if PRODUCTION in found:
            found[PREVIOUS] = self.alias(PREVIOUS)
        return {name: version for name, version in sorted(found.items()) if version is not None}

    def set_alias(
        self, name: str, version: str, *, expected: AliasState | None, reason: str
    ) -> AliasState:
        """Verify the version, then compare and swap."""
        check_version(version)
        new = AliasState(version, 1) if expected is None else expected.forward(version)
        return self._move(name, "set", expected, new, reason)

    def step_back(self, name: str, *, expected: AliasState, reason: str) -> AliasState:
        """Verify the version before, then compare and swap."""
        return self._move(name, "rollback", expected, expected.back(), reason)

    def _move(
        self, name: str, action: str, expected: AliasState | None, new: AliasState, reason: str
    ) -> AliasState:
        check_movable(name)
        check_reason(reason)
        before = expected.version if expected else None
        with self._holding(new.version):
            self.verify(new.version)
            entry = new_entry(
                action, new.version, reason, alias=name, before=before, generation=new.generation
            )
            with self._changing():
                found = self._read_alias(name)
                require_unchanged(name, found[0].state if found else None, expected)
                self.resolve(new.version)  # it may have been collected since it was verified
                if found:
                    # A move that is not in the log yet exists nowhere but in the alias document.
                    self._log(found[0].entry)
                self._swap(name, AliasDocument(new, entry), found)
                self.append(entry)
        return new

    def append(self, entry: AuditEntry) -> None:
        """Write an entry into the log, if that can be done now."""
        try:
            self._log(entry)
        except NormscapeError as error:
            # What the entry tells of has happened; its document keeps the entry until then.
            logger.warning("the audit log is not complete yet: %s", error)

    def _map(
        self, work: Callable[[str], VersionSummary], names: Sequence[str]
    ) -> list[VersionSummary]:
        return list(map(work, names))

    def _alias_documents(self) -> Iterator[AliasDocument]:
        for name in self._alias_names():
            if (found := self._read_alias(name)) is not None:
                yield found[0]

    def needed(self) -> set[str]:
        """The versions that an alias names, or that a rollback of it can lead to."""
        documents = list(self._alias_documents())
        return {v for d in documents for v in (d.state.version, *d.state.trail)}

    def candidates(
        self, registered: Mapping[str, datetime], rule: KeepRule, now: datetime
    ) -> list[str]:
        """The versions that may be collected, oldest first."""
        if rule.newest < 1 or rule.days < 0:
            raise UsageError("expected to keep at least the newest version, and no negative age")
        ordered = sorted(registered, key=number)
        spared = {*ordered[-rule.newest :], *self.needed()}
        limit = now - timedelta(days=rule.days)
        return [v for v in ordered if v not in spared and registered[v] <= limit]
