"""The registry in a local (or mounted) folder.

versions/v0001/          an immutable bundle, read-only
versions/.incoming-*/    a registration under way, or what a killed one has left
aliases/production.json  where an alias points; replaced as a whole, under the lock
audit.jsonl              who changed what, when and why
.lock                    held for alias moves and log entries, never while files are copied

It needs a POSIX file system whose `rename` and `flock` hold between the machines that write.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from normscape.errors import NormscapeError, UsageError
from normscape.files import exclusive_lock, unwritable
from normscape.params import Params
from normscape.registry import durable
from normscape.registry.audit import AuditLog, new_entry
from normscape.registry.bundle import INDEX, Bundle
from normscape.registry.contract import (
    PREVIOUS,
    PRODUCTION,
    AliasState,
    AuditEntry,
    History,
    Registry,
    check_alias,
    check_movable,
    check_reason,
    check_version,
    is_version,
    require_unchanged,
)

_LOCK_SECONDS = 60.0
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_INCOMING = ".incoming-"

logger = logging.getLogger(__name__)


class LocalRegistry:
    """A registry in a folder of a POSIX file system; see `Registry` for what it promises.

    Args:
        root: The folder; made when something is first registered.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._log = AuditLog(root / "audit.jsonl")

    def register(self, folder: Path, *, reason: str) -> str:
        """Copy, verify, make read-only, and claim the next number with one rename."""
        check_reason(reason)
        names = [*Bundle.load(folder).files, INDEX]
        with self._incoming() as temporary:
            for name in names:
                durable.copy_file(folder / name, temporary / name)
            # The copy is what will be served, so the copy is what is verified.
            Bundle.load(temporary)
            for name in names:
                (temporary / name).chmod(0o444)
            durable.flush(temporary)
            temporary.chmod(0o555)
            version = self._claim(temporary)
        with self._lock():
            self._append(new_entry("register", version, reason))
        return version

    def versions(self) -> list[str]:
        """The names of all versions, oldest first."""
        try:
            names = [path.name for path in self._versions.iterdir() if is_version(path.name)]
        except FileNotFoundError:
            return []
        return sorted(names, key=_number)

    def resolve(self, name: str) -> str:
        """The version that `name`, a version or an alias, stands for."""
        version = name if is_version(name) else self.alias(name)
        if version is not None and (self._versions / version).is_dir():
            return version
        if version is not None and version != name:
            raise NormscapeError(
                f"'{name}' is {version}, but {self._versions / version} is gone; restore it, or "
                "roll back or promote another version"
            )
        known = ", ".join([*self.aliases(), *self.versions()]) or "nothing yet"
        raise UsageError(f"the registry {self.root} has no '{name}'; it has {known}")

    def get(self, name: str) -> Path:
        """The folder of a version or alias."""
        return self._versions / self.resolve(name)

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
        document = self._document(name)
        return None if document is None else document[0]

    def aliases(self) -> dict[str, str]:
        """All aliases and the versions they name."""
        found = {name: self.alias(name) for name in self._alias_names()}
        if PRODUCTION in found:
            found[PREVIOUS] = self.alias(PREVIOUS)
        return {name: version for name, version in sorted(found.items()) if version is not None}

    def set_alias(
        self, name: str, version: str, *, expected: AliasState | None, reason: str
    ) -> AliasState:
        """Verify the version, then compare and swap under the registry's lock."""
        check_version(version)
        new = AliasState(version, 1) if expected is None else expected.forward(version)
        return self._move(name, "set", expected, new, reason)

    def step_back(self, name: str, *, expected: AliasState, reason: str) -> AliasState:
        """Verify the version before, then compare and swap under the registry's lock."""
        return self._move(name, "rollback", expected, expected.back(), reason)

    def history(self) -> History:
        """The audit log, completed by the moves that a crash kept from it."""
        history = self._log.read()
        return History((*history.entries, *self._unlogged(history)), history.torn_lines)

    @property
    def _versions(self) -> Path:
        return self.root / "versions"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        what = "another change of the registry"
        try:
            with exclusive_lock(self.root / ".lock", what, wait_seconds=_LOCK_SECONDS):
                yield
        except OSError as error:
            raise unwritable(self.root, error) from error

    @contextmanager
    def _incoming(self) -> Iterator[Path]:
        """A new folder beside the versions, marked as alive by a lock that dies with us."""
        temporary = self._versions / f"{_INCOMING}{uuid.uuid4().hex}"
        mark = temporary.with_suffix(".lock")
        with self._lock():
            self._versions.mkdir(parents=True, exist_ok=True)
            self._remove_abandoned()
            alive = mark.open("w")
            fcntl.flock(alive, fcntl.LOCK_EX)
            temporary.mkdir()
        with alive:
            try:
                yield temporary
            except OSError as error:
                raise unwritable(temporary, error) from error
            finally:
                durable.remove_quietly(temporary)
                durable.remove_quietly(mark)

    def _remove_abandoned(self) -> None:
        """Remove what killed registrations have left; the caller holds the lock."""
        for mark in self._versions.glob(f"{_INCOMING}*.lock"):
            with mark.open("w") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                durable.remove_quietly(mark.with_suffix(""))
                durable.remove_quietly(mark)

    def _claim(self, temporary: Path) -> str:
        # The log too, so that a number is not given again after its folder was deleted by hand:
        # score logs name it.
        used = [*self.versions(), *(entry.after for entry in self._log.read().entries)]
        number = max(map(_number, used), default=0) + 1
        while True:
            version = f"v{number:04d}"
            try:
                temporary.rename(self._versions / version)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
                number += 1
                continue
            durable.flush(self._versions)
            return version

    def _move(
        self, name: str, action: str, expected: AliasState | None, new: AliasState, reason: str
    ) -> AliasState:
        check_movable(name)
        check_reason(reason)
        Bundle.load(self.get(new.version))
        before = expected.version if expected else None
        entry = new_entry(
            action,
            new.version,
            reason,
            alias=name,
            before=before,
            generation=new.generation,
        )
        with self._lock():
            require_unchanged(name, self.alias_state(name), expected)
            # An earlier move that is not in the log yet exists nowhere but in the alias file.
            self._complete_log()
            target = self._alias_path(name)
            durable.write_json(target, {"format": 1, "trail": list(new.trail), **asdict(entry)})
            self._append(entry)
        return new

    def _append(self, entry: AuditEntry) -> None:
        try:
            self._log.append(entry)
        except OSError as error:
            # What the entry tells of has happened; an alias file keeps its own entry until then.
            logger.warning("cannot append to %s: %s", self._log.path, error.strerror)

    def _complete_log(self) -> None:
        for entry in self._unlogged(self._log.read()):
            self._log.append(entry)

    def _unlogged(self, history: History) -> Iterator[AuditEntry]:
        logged = {(entry.alias, entry.generation) for entry in history.entries}
        for name in self._alias_names():
            document = self._document(name)
            if document is not None and (name, document[0].generation) not in logged:
                yield document[1]

    def _alias_path(self, name: str) -> Path:
        return self.root / "aliases" / f"{name}.json"

    def _alias_names(self) -> list[str]:
        paths = sorted(self._alias_path("*").parent.glob("[a-z]*.json"))
        return [path.stem for path in paths]

    def _document(self, name: str) -> tuple[AliasState, AuditEntry] | None:
        path = self._alias_path(name)
        try:
            content = json.loads(path.read_bytes())
            if content.pop("format") != 1:
                raise ValueError("unknown format")
            trail = tuple(content.pop("trail"))
            entry = AuditEntry(**content)
            for version in (entry.after, *trail):
                check_version(version)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError, UsageError) as error:
            raise NormscapeError(
                f"{path} is damaged ({error}); restore it, or remove it and promote a version anew"
            ) from None
        return AliasState(entry.after, entry.generation, trail), entry


def open_registry(params: Params) -> Registry:
    """The registry that `params.yaml` names."""
    root = params.registry.root
    return LocalRegistry(params.state / "registry" if root is None else params.root / root)


def _number(version: str) -> int:
    return int(version[1:])
