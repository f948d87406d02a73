"""Garbage collection in an object store, while others register and move aliases.

1. Read what is there, and choose: the *condemned* versions and objects.
2. Announce them (`pins.marked`). From now on nobody begins to use one of them.
3. Read the pins, then the aliases, then the versions again; spare what they need. Whoever was about
   to use something condemned is seen here: as a pin, or, if the work is done, by its result.
4. Write `collected/v0001.json` for every version that goes, and its entry in the log.
5. Remove objects. One that is killed here leaves objects that no version needs, for the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from normscape.registry.audit import new_entry
from normscape.registry.base import LEFTOVER_AGE
from normscape.registry.cache import BundleCache
from normscape.registry.contract import (
    Collection,
    KeepRule,
)
from normscape.registry.documents import VersionDocument, encode_entry
from normscape.registry.names import is_version, number
from normscape.registry.pins import Mark, Names, all_pinned, marked
from normscape.registry.s3 import object_name
from normscape.registry.s3_log import in_parallel
from normscape.storage.conditions import PROBES
from normscape.storage.store import StoredObject
from normscape.storage.upload import abandoned_uploads, abort_upload

if TYPE_CHECKING:
    from normscape.registry.s3 import S3Registry

_BATCH = 500


@dataclass(frozen=True)
class _Plan:
    """What is to go.

    Attributes:
        versions: Oldest first.
        objects: By their SHA-256.
        orphans: Those of the objects that never belonged to a version.
        uploads: Unfinished ones of objects.
        others: Names of pins and probes that their owners have left.
    """

    versions: tuple[str, ...]
    objects: dict[str, StoredObject]
    orphans: tuple[str, ...]
    uploads: list[dict[str, Any]]
    others: tuple[str, ...]

    def report(self) -> Collection:
        uploads = (f"upload of {upload['name']}" for upload in self.uploads)
        leftovers = (*(self.objects[sha].name for sha in self.orphans), *uploads, *self.others)
        size = sum(item.size for item in self.objects.values())
        return Collection(self.versions, leftovers, size)


class S3Collector:
    """One garbage collection.

    Args:
        registry: What is collected.
        cache: The copies on this machine.
    """

    def __init__(self, registry: S3Registry, cache: BundleCache) -> None:
        self._registry, self._store, self._cache = registry, registry.store, cache
        self._documents: dict[str, VersionDocument] = {}

    def run(self, rule: KeepRule, *, reason: str, dry_run: bool) -> Collection:
        """Collect, or say what would be collected; see `Registry.collect`."""
        now = self._store.now()
        plan = self._plan(rule, now)
        if dry_run:
            return plan.report()
        names = Names(frozenset(plan.versions), frozenset(plan.objects))
        with marked(self._store, names) as mark:
            plan = self._spare(plan)
            self._remove(plan, mark, reason)
        kept = self._living(gone=plan.versions)
        age = max(timedelta(days=rule.days), LEFTOVER_AGE)
        contents = [self._documents[version].content_id for version in kept]
        self._cache.remove_unused(contents, datetime.now(UTC) - age)
        return plan.report()

    def _plan(self, rule: KeepRule, now: datetime) -> _Plan:
        registered = self._read_documents()
        versions = self._registry.candidates(registered, rule, now)
        living = self._objects_of(self._living(gone=versions))
        theirs = self._objects_of(self._documents) - living
        oldest = now - LEFTOVER_AGE
        every = ((PurePosixPath(o.name).name, o) for o in self._store.list("objects/sha256/"))
        found = {sha: o for sha, o in every if o.name == object_name(sha)}
        objects = {
            sha: item
            for sha, item in found.items()
            if sha in theirs or (sha not in living and item.modified < oldest)
        }
        uploads = [u for u in abandoned_uploads(self._store, "objects/") if u["started"] < oldest]
        probes = [item.name for item in self._store.list(PROBES) if item.modified < oldest]
        _, pins = all_pinned(self._store)
        orphans = tuple(sha for sha in objects if sha not in theirs)
        return _Plan(tuple(versions), objects, orphans, uploads, (*pins, *probes))

    def _spare(self, plan: _Plan) -> _Plan:
        """What is still to go, now that everybody can see the mark; the order of reading counts."""
        pins, _ = all_pinned(self._store)
        needed = self._registry.needed() | pins.versions
        versions = tuple(version for version in plan.versions if version not in needed)
        self._read_documents()
        living = self._objects_of(self._living(gone=versions)) | pins.objects
        objects = {sha: item for sha, item in plan.objects.items() if sha not in living}
        orphans = tuple(sha for sha in plan.orphans if sha in objects)
        uploads = [u for u in plan.uploads if PurePosixPath(u["name"]).name not in pins.objects]
        return _Plan(versions, objects, orphans, uploads, plan.others)

    def _remove(self, plan: _Plan, mark: Mark, reason: str) -> None:
        for version in plan.versions:
            mark.renew()
            entry = new_entry("collect", version, reason)
            self._store.put(f"collected/{version}.json", encode_entry(entry), only_new=True)
            self._registry.append(entry)
        names = [*(item.name for item in plan.objects.values()), *plan.others]
        for start in range(0, len(names), _BATCH):
            mark.renew()
            self._store.remove(names[start : start + _BATCH])
        for upload in plan.uploads:
            mark.renew()
            abort_upload(self._store, upload["name"], upload["id"])

    def _read_documents(self) -> Mapping[str, datetime]:
        """Read documents that are new; returns when each version that is not collected was made."""
        every = ((PurePosixPath(o.name).stem, o) for o in self._store.list("versions/"))
        listed = {
            version: o.modified
            for version, o in every
            if is_version(version) and o.name == f"versions/{version}.json"
        }
        new = [version for version in listed if version not in self._documents]
        self._documents.update(zip(new, in_parallel(self._registry.document, new), strict=True))
        self._collected = set(self._registry.collected_names())
        return {v: modified for v, modified in listed.items() if v not in self._collected}

    def _living(self, *, gone: Iterable[str]) -> list[str]:
        return sorted(set(self._documents) - self._collected - set(gone), key=number)

    def _objects_of(self, versions: Iterable[str]) -> set[str]:
        return {sha for version in versions for sha in self._documents[version].objects}
