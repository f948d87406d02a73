"""The audit log: its entries, their order, and the local file that holds one JSON line a change."""

from __future__ import annotations

import getpass
import json
import os
import socket
import uuid
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from normscape.registry import durable
from normscape.registry.contract import (
    AuditEntry,
    History,
)
from normscape.registry.names import is_version, number


class AuditLog:
    """A log file whose writers take turns under a lock of their own.

    Args:
        path: The file; made by the first entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entry: AuditEntry) -> None:
        """Append an entry; the caller holds the lock.

        Raises:
            OSError: The disk refused it; the log is as it was.
        """
        durable.append_line(self.path, json.dumps(asdict(entry), sort_keys=True))

    def read(self) -> History:
        """All entries; a line that is not one, torn by a crash, is reported by its number."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return History(())
        entries, torn = [], []
        for position, line in enumerate(lines, start=1):
            if not line:
                continue
            entry = _parse_line(line)
            if entry is None:
                torn.append(position)
            else:
                entries.append(entry)
        return History(tuple(entries), tuple(torn))


def new_entry(
    action: str,
    after: str,
    reason: str,
    *,
    alias: str | None = None,
    before: str | None = None,
    generation: int = 0,
) -> AuditEntry:
    """An entry by whoever runs this process, now."""
    when = datetime.now(UTC).isoformat(timespec="microseconds")
    unique = uuid.uuid4().hex[:12]
    return AuditEntry(
        when, _who(), action, alias, before, after, generation, reason.strip(), unique
    )


def parse_entry(content: Any) -> AuditEntry:
    """Read an entry from its JSON object.

    Raises:
        ValueError: It is none.
    """
    try:
        entry = AuditEntry(**content)
        if is_version(entry.after):
            return entry
    except TypeError:
        pass
    raise ValueError("no audit entry")


def label(entry: AuditEntry) -> str:
    """What the entry tells of; every change of a registry has its own."""
    if entry.alias is None:
        return f"{entry.action}-{entry.after}"
    return f"{entry.alias}-{entry.generation:08d}"


def in_order(entries: Iterable[AuditEntry]) -> list[AuditEntry]:
    """Entries by their time, each after those it rests on, even where clocks disagree.

    A version is registered before an alias names it and before it is collected, versions are
    registered in the order of their numbers, and the moves of an alias in that of its generations.
    """
    latest: dict[str, str] = {}
    registered: dict[str, str] = {}
    timed: list[tuple[str, int, AuditEntry]] = []
    chains = sorted(entries, key=lambda e: (e.alias or "", e.action == "collect", _step(e)))
    for entry in chains:
        chain = entry.alias or entry.action
        effective = max(entry.when, latest.get(chain, ""), registered.get(entry.after, ""))
        if entry.action == "register":
            registered[entry.after] = effective
        if entry.action != "collect":
            latest[chain] = effective
        timed.append((effective, len(timed), entry))
    return [entry for _, _, entry in sorted(timed, key=lambda item: item[:2])]


def _step(entry: AuditEntry) -> int:
    return entry.generation if entry.alias else number(entry.after)


def _parse_line(line: bytes) -> AuditEntry | None:
    try:
        return parse_entry(json.loads(line))
    except ValueError:
        return None


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
