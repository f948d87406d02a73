"""Versions of catalogues in a folder and in object stores: whole, in order, none lost."""

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from normscape.discovery.catalogue import Catalogue
from normscape.discovery.edit import merge_types, name_type
from normscape.discovery.learn import discover
from normscape.discovery.places import LocalPlace, ObjectPlace
from normscape.discovery.store import CatalogueStore, StaleCatalogueError
from normscape.errors import NormscapeError, UsageError
from normscape.sections.production import DiscoveryParams
from normscape.storage.location import S3Location
from scripts.services import BUCKET
from tests.faults import flipped

from .support import EYES, KINDS, many

PARAMS = DiscoveryParams(views=3, dimensions=8)
CATEGORY = "plate/ü 1"


@pytest.fixture(scope="module")
def found() -> Catalogue:
    flagged = many(KINDS, 6, category=CATEGORY)
    return discover(EYES, flagged, Catalogue(CATEGORY, {}), PARAMS).catalogue


@pytest.fixture(
    params=["local", *(pytest.param(n, marks=pytest.mark.slow) for n in ("moto", "seaweedfs"))]
)
def place(request: pytest.FixtureRequest, tmp_path: Path, use_s3):
    if request.param == "local":
        return lambda: LocalPlace(tmp_path / "defects")
    use_s3(request.getfixturevalue(f"{request.param}_environment"))
    prefix = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:16]
    return lambda: ObjectPlace(S3Location(BUCKET, f"tests/{prefix}/defects"))


@pytest.fixture
def store(place):
    return CatalogueStore(place())


def test_a_catalogue_comes_back_as_it_was(store, found):
    saved = store.save(found, action="learn", reason="first")

    back = store.load(CATEGORY)

    assert back.version == saved.version == 1
    assert replace(back, version=0, knowledge=None, points=found.points) == replace(
        found, knowledge=None
    )
    assert back.points == pytest.approx(found.points)
    assert all(member.regions for member in back.members.values())
    assert back.knowledge.owners == found.knowledge.owners
    assert back.knowledge.mixture.means == pytest.approx(found.knowledge.mixture.means)
    assert back.knowledge.fits == pytest.approx(found.knowledge.fits)
    assert back.knowledge.level == found.knowledge.level
    assert store.categories() == [CATEGORY]


def test_of_two_who_read_the_same_version_one_is_told(place, found):
    first, second = CatalogueStore(place()), CatalogueStore(place())
    first.save(found, action="learn", reason="first")
    mine, theirs = first.load(CATEGORY), second.load(CATEGORY)
    first.save(name_type(mine, "T1", "pit"), action="name T1", reason="looks so")

    with pytest.raises(StaleCatalogueError, match="changed by somebody else: read v0001"):
        second.save(name_type(theirs, "T2", "pit"), action="name T2", reason="no, this")

    assert second.load(CATEGORY).find("pit").id == "T1"
    assert [entry.action for entry in second.history(CATEGORY)] == ["learn", "name T1"]
    assert [entry.reason for entry in second.history(CATEGORY)] == ["first", "looks so"]


def test_of_many_writers_at_once_each_version_has_one(place, found):
    CatalogueStore(place()).save(found, action="learn", reason="first")
    lost, done = [], []

    def write(number: int) -> None:
        own = CatalogueStore(place())
        while True:
            changed = name_type(own.load(CATEGORY), "T1", f"name {number}")
            try:
                done.append(own.save(changed, action=f"name {number}", reason="race").version)
                return
            except StaleCatalogueError:
                lost.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    store = CatalogueStore(place())
    assert sorted(done) == [2, 3, 4, 5, 6]
    assert store.versions(CATEGORY) == [1, 2, 3, 4, 5, 6]
    assert len({entry.action for entry in store.history(CATEGORY)}) == 6


def test_the_arrays_of_old_versions_go_and_the_audit_stays(tmp_path, found):
    store = CatalogueStore(LocalPlace(tmp_path))
    current = store.save(found, action="learn", reason="first")
    for number in range(12):
        points = current.points.copy()
        points[0, 0] = number
        current = store.save(replace(current, points=points), action="add", reason=str(number))

    assert len(list(tmp_path.rglob("*.safetensors"))) == 10
    assert len(store.history(CATEGORY)) == 13
    assert store.load(CATEGORY, 13).version == 13
    with pytest.raises(UsageError, match="its arrays are gone"):
        store.load(CATEGORY, 1)


def test_arrays_that_a_kept_version_shares_stay(tmp_path, found):
    store = CatalogueStore(LocalPlace(tmp_path))
    current = store.save(found, action="learn", reason="first")
    for number in range(12):
        named = name_type(current, "T1", f"n{number}")
        current = store.save(named, action="name", reason="again")

    assert store.load(CATEGORY, 5).find("T1").name == "n3"


def test_arrays_without_a_version_are_no_catalogue(tmp_path, found):
    store = CatalogueStore(LocalPlace(tmp_path))
    store.save(found, action="learn", reason="first")
    next(tmp_path.rglob("*.json")).unlink()

    assert store.categories() == []
    assert store.load(CATEGORY).version == 0
    assert store.save(found, action="learn", reason="again").version == 1


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_changed_byte_is_noticed(tmp_path, found, suffix):
    store = CatalogueStore(LocalPlace(tmp_path))
    store.save(found, action="learn", reason="first")
    path = next(tmp_path.rglob(f"*.{suffix}"))
    path.write_bytes(flipped(path.read_bytes()))

    with pytest.raises(NormscapeError, match=r"damaged|no readable defect catalogue"):
        store.load(CATEGORY)


def test_what_is_not_there_is_said(tmp_path, found):
    store = CatalogueStore(LocalPlace(tmp_path))

    assert store.load("plate").version == 0
    assert store.categories() == []
    with pytest.raises(
        UsageError, match="plate has no catalogue of defects; expected one of: none"
    ):
        store.require("plate")
    with pytest.raises(UsageError, match="reason is empty"):
        store.save(found, action="learn", reason=" ")
    for name in ("", "..", "."):
        with pytest.raises(UsageError, match="not the name of a category"):
            store.load(name)
    store.save(found, action="learn", reason="first")
    with pytest.raises(UsageError, match="has no catalogue v0007; it has v0001 to v0001"):
        store.load(CATEGORY, 7)


def test_merged_types_and_few_images_are_stored_too(tmp_path, found):
    store = CatalogueStore(LocalPlace(tmp_path))
    merged = merge_types(found, "T1", "T2")
    store.save(merged, action="merge T1 into T2", reason="same")
    few = discover(EYES, many(["spot"], 2), Catalogue("few", {}), PARAMS).catalogue
    store.save(few, action="add", reason="first")

    assert store.load(CATEGORY).types == merged.types
    assert store.load("few").knowledge is None
    assert len(store.load("few").members) == 2
