"""Catalogues beside the registry: every version is kept apart, and no change is lost to another.

<registry>/defects/<category>/v0001.json        a version: types, images, who made it, when and why
<registry>/defects/<category>/<sha256>.safetensors    the arrays that versions name

A version is created where there is none of its number, or not at all: of two writers that saw the
same version one is told that the other was first. Documents stay, they are the audit log; the
arrays of old versions go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote

from normscape.discovery.artefact import Stored, arrays_of, decode, encode, entry_of
from normscape.discovery.catalogue import Catalogue
from normscape.discovery.places import LocalPlace, ObjectPlace
from normscape.errors import NormscapeError, UsageError
from normscape.params import Params
from normscape.registry.audit import new_entry
from normscape.registry.contract import AuditEntry, check_reason
from normscape.storage.location import SCHEME, S3Location

FOLDER = "defects"

_KEPT = 10  # versions with their arrays
_VERSION = re.compile(r"v(\d{4,9})\.json")


class StaleCatalogueError(NormscapeError):
    """Somebody else has stored a version since the catalogue was read."""


class Place(Protocol):
    """Named bytes that are created once; `places` has a folder and an object store."""

    def names(self) -> Iterable[str]:
        """All names."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a name, or None where there are none."""

    def create(self, name: str, content: bytes) -> bool:
        """Write the bytes unless the name is taken; whether they were written."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove names; those that are not there do not matter."""

    def describe(self, name: str) -> str:
        """The address of a name, for messages."""


class CatalogueStore:
    """The catalogues of all categories.

    Args:
        place: Where they are.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    @classmethod
    def of(cls, params: Params) -> CatalogueStore:
        """The project's catalogues, in its registry.

        Raises:
            UsageError: `registry.root` is a malformed s3:// address.
        """
        root = params.registry.root
        if root is None:
            return cls(LocalPlace(params.state / "registry" / FOLDER))
        if not str(root).startswith(SCHEME):
            return cls(LocalPlace(params.root / root / FOLDER))
        return cls(ObjectPlace(S3Location.parse(f"{str(root).rstrip('/')}/{FOLDER}")))

    def categories(self) -> list[str]:
        """The categories that have a catalogue, sorted."""
        found = (name.partition("/") for name in self._place.names())
        return sorted({unquote(folder) for folder, _, name in found if _VERSION.fullmatch(name)})

    def versions(self, category: str) -> list[int]:
        """The versions of a category's catalogue, oldest first."""
        prefix = f"{_folder(category)}/"
        found = (
            _VERSION.fullmatch(name.removeprefix(prefix))
            for name in self._place.names()
            if name.startswith(prefix)
        )
        return sorted(int(match[1]) for match in found if match)

    def load(self, category: str, version: int | None = None) -> Catalogue:
        """A version of a category's catalogue, by default the newest, or an empty one if none is.

        Raises:
            UsageError: There is no such version, or its arrays were removed.
            NormscapeError: It is damaged.
        """
        known = self.versions(category)
        if version is None and not known:
            return Catalogue(category, {})
        number = known[-1] if version is None else version
        name = _document(category, number)
        document = self._place.read(name)
        if document is None:
            raise UsageError(f"{category} has no catalogue v{number:04d}; it has {_range(known)}")
        where = self._place.describe(name)
        arrays = self._place.read(_arrays(category, arrays_of(document, where)))
        if arrays is None:
            raise UsageError(
                f"{where}: its arrays are gone; those of the newest {_KEPT} versions are kept, "
                f"expected one of them ({_range(known[-_KEPT:])})"
            )
        return decode(document, arrays, number, where).catalogue

    def require(self, category: str) -> Catalogue:
        """The newest catalogue of a category.

        Raises:
            UsageError: There is none.
        """
        found = self.load(category)
        if not found.version:
            known = ", ".join(self.categories()) or "none yet"
            raise UsageError(
                f"{category} has no catalogue of defects; expected one of: {known}. "
                "`normscape defects discover` makes it"
            )
        return found

    def save(self, catalogue: Catalogue, *, action: str, reason: str) -> Catalogue:
        """Store the version after the one that the catalogue was read as.

        Args:
            catalogue: Changed; its `version` is that of what was read.
            action: What was done, for the audit log.
            reason: Why.

        Raises:
            StaleCatalogueError: Somebody else has stored a version since; nothing was changed.
            UsageError: The reason is blank.
            NormscapeError: The place cannot be written.
        """
        check_reason(reason)
        category, number = catalogue.category, catalogue.version + 1
        versions = self.versions(category)
        if (versions[-1] if versions else 0) != catalogue.version:
            raise _stale(catalogue)
        entry = new_entry(action, f"v{number:04d}", reason)
        document, arrays = encode(Stored(catalogue, entry))
        self._place.create(_arrays(category, arrays_of(document, category)), arrays)
        if not self._place.create(_document(category, number), document):
            raise _stale(catalogue)
        self._tidy(category, [*versions, number])
        return decode(document, arrays, number, category).catalogue

    def history(self, category: str) -> list[AuditEntry]:
        """Who made which version, when and why, oldest first.

        Raises:
            NormscapeError: A document is damaged.
        """
        names = [_document(category, number) for number in self.versions(category)]
        found = [(name, self._place.read(name)) for name in names]
        return [
            entry_of(document, self._place.describe(name))
            for name, document in found
            if document is not None
        ]

    def _tidy(self, category: str, versions: list[int]) -> None:
        """Remove the arrays of the version that is one too many, unless a newer one needs them."""
        if len(versions) <= _KEPT:
            return
        named = {}
        for number in versions[-_KEPT - 1 :]:
            name = _document(category, number)
            document = self._place.read(name)
            if document is not None:
                named[number] = arrays_of(document, self._place.describe(name))
        oldest = named.pop(versions[-_KEPT - 1], None)
        if oldest is not None and oldest not in named.values():
            self._place.remove([_arrays(category, oldest)])


def _stale(catalogue: Catalogue) -> StaleCatalogueError:
    return StaleCatalogueError(
        f"the catalogue of {catalogue.category} was changed by somebody else: read "
        f"v{catalogue.version:04d}, found a newer one; nothing was stored, look at "
        f"`normscape defects list {catalogue.category}` and do it again"
    )


def _folder(category: str) -> str:
    if not category or category in (".", ".."):
        raise UsageError(f"'{category}' is not the name of a category; expected a folder's name")
    return quote(category, safe="")


def _document(category: str, number: int) -> str:
    return f"{_folder(category)}/v{number:04d}.json"


def _arrays(category: str, sha256: str) -> str:
    return f"{_folder(category)}/{Path(sha256).name}.safetensors"


def _range(versions: list[int]) -> str:
    if not versions:
        return "none"
    return f"v{versions[0]:04d} to v{versions[-1]:04d}"
