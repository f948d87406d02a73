"""The small JSON documents of a registry: where aliases point, what versions hold, what is gone.

Each carries the audit entry of the change that made it, so no crash can part the two, and a SHA-256
of itself, so a changed byte never passes for another version.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from normscape.errors import NormscapeError, UsageError
from normscape.registry.audit import parse_entry
from normscape.registry.contract import (
    AliasState,
    AuditEntry,
)
from normscape.registry.index import INDEX, BundleError, check_name
from normscape.registry.names import check_version

LIMIT = 1 << 20
"""No document is larger, in bytes."""

_FORMAT = 2
_UNSEALED = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class AliasDocument:
    """Where an alias points, and the entry of the move that brought it there."""

    state: AliasState
    entry: AuditEntry

    def encode(self) -> bytes:
        """As bytes."""
        return seal({"trail": list(self.state.trail), **asdict(self.entry)})

    @classmethod
    def decode(cls, data: bytes, where: str) -> AliasDocument:
        """Read it; documents of the first release, which have no checksum, included.

        Raises:
            NormscapeError: It is damaged.
        """
        remedy = "restore it, or remove it and promote a version anew"
        try:
            content = _open(data)
            trail = tuple(content.pop("trail"))
            entry = parse_entry(content)
            for version in trail:
                check_version(version)
        except (ValueError, TypeError, KeyError, UsageError) as error:
            raise _damaged(where, error, remedy) from None
        return cls(AliasState(entry.after, entry.generation, trail), entry)


@dataclass(frozen=True)
class StoredFile:
    """One file of a version: where its content is found, and how much it is."""

    sha256: str
    size: int


@dataclass(frozen=True)
class VersionDocument:
    """What makes a version: its files, what tables say about it, the entry of its registration.

    Attributes:
        files: By name, `bundle.json` included.
        figures: As in `VersionSummary`.
        entry: Of the registration; names the version.
    """

    files: dict[str, StoredFile]
    figures: dict[str, Any]
    entry: AuditEntry

    @property
    def objects(self) -> frozenset[str]:
        """SHA-256 of everything it needs."""
        return frozenset(file.sha256 for file in self.files.values())

    @property
    def content_id(self) -> str:
        """SHA-256 over the names and hashes of all files."""
        text = json.dumps({name: file.sha256 for name, file in self.files.items()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def encode(self) -> bytes:
        """As bytes."""
        files = {name: asdict(file) for name, file in self.files.items()}
        return seal({"files": files, "figures": self.figures, "entry": asdict(self.entry)})

    @classmethod
    def decode(cls, data: bytes, where: str) -> VersionDocument:
        """Read it; the names and hashes in it are safe to make paths and keys of.

        Raises:
            NormscapeError: It is damaged.
        """
        try:
            content = _open(data)
            files = {
                name: _stored_file(name, **file) for name, file in content.pop("files").items()
            }
            return cls(files, dict(content.pop("figures")), parse_entry(content.pop("entry")))
        except (ValueError, TypeError, KeyError, AttributeError, BundleError) as error:
            raise _damaged(where, error, "restore it, or use another version") from None


def encode_entry(entry: AuditEntry) -> bytes:
    """A document that holds nothing but an audit entry."""
    return seal({"entry": asdict(entry)})


def decode_entry(data: bytes, where: str) -> AuditEntry:
    """Read the document of an audit entry.

    Raises:
        NormscapeError: It is damaged.
    """
    try:
        return parse_entry(_open(data)["entry"])
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(where, error, "restore it") from None


def unseal(data: bytes, where: str) -> dict[str, Any]:
    """Read a document of another kind.

    Raises:
        NormscapeError: It is damaged.
    """
    try:
        return _open(data)
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(where, error, "remove it") from None


def seal(content: dict[str, Any]) -> bytes:
    """The bytes of a document, checksum included."""
    sealed = {"format": _FORMAT, **content}
    sealed["sha256"] = _digest(sealed)
    return (json.dumps(sealed, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _open(data: bytes) -> dict[str, Any]:
    content = json.loads(data)
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    found = content.get("format")
    if found == _FORMAT:
        expected = content.pop("sha256")
        if _digest(content) != expected:
            raise ValueError("its SHA-256 is another one")
    elif found != _UNSEALED:
        raise ValueError(f"its format is {found!r}, expected at most {_FORMAT}")
    content.pop("format")
    return content


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _stored_file(name: str, sha256: str, size: int) -> StoredFile:
    if name != INDEX:
        check_name(name)
    if _SHA256.fullmatch(sha256) is None or type(size) is not int or size < 0:
        raise ValueError(f"no hash and size of {name}")
    return StoredFile(sha256, size)


def _damaged(where: str, error: Exception, remedy: str) -> NormscapeError:
    return NormscapeError(f"{where} is damaged ({error}); {remedy}")
