"""Images to score below s3://bucket/prefix."""

from __future__ import annotations

from dataclasses import dataclass, field

from normscape.data.images import check_size, is_image_name
from normscape.errors import DataError, UsageError
from normscape.scoring.source import ObjectSource, RefusedSource, Source, shown
from normscape.storage.location import check_key
from normscape.storage.store import ObjectStore, StoredObject


def list_prefix(store: ObjectStore) -> list[Source]:
    """List the images of a day below a prefix, laid out as `[category/]image`, sorted by key.

    Hidden and other objects and the markers of folders are left out, as in a folder. Keys that
    could be taken for another one are refused, each by itself, and so is the second of two that
    differ only in case: on another file system they would be one.

    Raises:
        UsageError: There is no such bucket, or images lie deeper than one level.
        StoreError: The store cannot be used.
    """
    listing = _Listing(store)
    for item in store.list():
        listing.add(item)
    return listing.sources


@dataclass
class _Listing:
    store: ObjectStore
    sources: list[Source] = field(default_factory=list)
    _folded: set[str] = field(default_factory=set)

    def add(self, item: StoredObject) -> None:
        *folders, name = item.name.split("/")
        if not is_image_name(name) or any(f.startswith(".") and f.strip(".") for f in folders):
            return
        reason = self._refusal(item)
        if reason is not None:
            name = self.store.location.url(shown(item.name))
            self.sources.append(RefusedSource(name, None, reason))
            return
        if len(folders) > 1:
            raise UsageError(
                f"{self.store.location.url(item.name)} lies deeper than one level; expected "
                "[category/]image below one day's prefix (to score several days, score each)"
            )
        declared = folders[0] if folders else None
        name = self.store.location.url(item.name)
        self.sources.append(ObjectSource(name, declared, self.store, item.name))

    def _refusal(self, item: StoredObject) -> str | None:
        try:
            check_key(item.name)
            check_size(item.size)
        except (UsageError, DataError) as error:
            return f"refused: {ascii(str(error))[1:-1]}"
        folded = item.name.casefold()
        if folded in self._folded:
            return "refused: another key differs from this one only in case"
        self._folded.add(folded)
        return None
