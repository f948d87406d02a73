"""The audit log: one JSON line a change, appended and flushed, never rewritten."""

from __future__ import annotations

import getpass
import json
import os
import socket
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from normscape.registry import durable
from normscape.registry.contract import AuditEntry, History, is_version


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
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            entry = _parse(line)
            if entry is None:
                torn.append(number)
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
    return AuditEntry(when, _who(), action, alias, before, after, generation, reason.strip())


def _parse(line: bytes) -> AuditEntry | None:
    try:
        entry = AuditEntry(**json.loads(line))
        return entry if is_version(entry.after) else None
    except (ValueError, TypeError):
        return None


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
