import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from normscape.data import images as images_module
from normscape.errors import DataError, UsageError
from normscape.scoring.bucket import list_prefix
from normscape.scoring.listing import list_images
from normscape.scoring.load import load
from normscape.scoring.source import FileSource, ObjectSource, RefusedSource, Source, located
from normscape.storage.client import connect
from normscape.storage.location import S3Location
from normscape.storage.store import ObjectStore, StoredObject

DAY = "2026-03-14"


def picture(path: Path, colour: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (colour, 100, 50)).save(path)
    return path


def manifest(folder: Path, rows: list[dict[str, str]], name: str = f"{DAY}.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rows)
    path = folder / name
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


def only(place: str | Path, root: Path, day: str | None = None) -> list[Source]:
    (found,) = list_images(place, root, day)
    return list(found.sources)


def reason(source: Source) -> str:
    assert isinstance(source, RefusedSource), source
    with pytest.raises(DataError):
        source.content()
    return source.reason


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_manifest_names_images_and_what_is_known_of_them(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "line"
    for name in ("a.png", "deep/er/b.png", "c.png"):
        picture(folder / name)
    good = hashlib.sha256((folder / "a.png").read_bytes()).hexdigest()
    path = manifest(
        folder,
        [
            {"path": "a.png", "category": "NA", "sha256": good.upper(), "lot": "7"},
            {"path": "deep/er/b.png", "category": "", "sha256": "", "lot": "7"},
            {"path": "c.png", "category": "nut", "sha256": "0" * 64, "lot": "7"},
        ],
        f"{DAY}{suffix}",
    )
    (found,) = list_images(path, tmp_path)
    assert found.day == DAY
    assert [(s.name, s.declared) for s in found.sources] == [
        ("line/a.png", "NA"), ("line/deep/er/b.png", None), ("line/c.png", "nut"),
    ]  # fmt: skip
    assert found.sources[0].content() == (folder / "a.png").read_bytes()
    with pytest.raises(DataError, match=f"SHA-256 is {good}.*manifest says '0000"):
        found.sources[2].content()


def test_a_manifest_may_give_several_days(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        [{"path": f"{n}.png", "day": f"2026-03-1{n % 3}"} for n in range(6)],
        "week.csv",
    )
    found = list_images(path, tmp_path)
    assert [(each.day, len(each.sources)) for each in found] == [
        ("2026-03-10", 2), ("2026-03-11", 2), ("2026-03-12", 2),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="leave --day out"):
        list_images(path, tmp_path, DAY)
    some = manifest(tmp_path, [{"path": "a.png"}], "shots.csv")
    assert list_images(some, tmp_path, DAY)[0].day == DAY
    with pytest.raises(UsageError, match=r"shots\.csv is not a day"):
        list_images(some, tmp_path)


def test_paths_that_leave_the_manifests_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "line"
    outside = picture(tmp_path / "secret.png")
    picture(folder / "a.png")
    (folder / "link.png").symlink_to(outside)
    (folder / "away").symlink_to(tmp_path)
    tricks = {
        "../secret.png": "leads out", "a/../../secret.png": "leads out", str(outside): "leads out",
        "..\\secret.png": "leads out", "C:\\secret.png": "leads out", "link.png": "leads out",
        "away/secret.png": "leads out", "bad\x1b[2J.png": "control", "a\nb.png": "control",
        "x" * 5000 + ".png": "characters", "": "characters", "notes.txt": "not the name",
        ".hidden.png": "not the name",
    }  # fmt: skip
    path = manifest(folder, [{"path": text} for text in ["a.png", *tricks]], f"{DAY}.parquet")
    good, *bad = only(path, tmp_path)
    assert isinstance(good, FileSource)
    for source, expected in zip(bad, tricks.values(), strict=True):
        assert expected in reason(source)
        assert source.name.isprintable()
        assert len(source.name) < 300
    assert len({source.name for source in bad}) == len(tricks)


def test_categories_that_are_no_names_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    names = ["../../etc", "a/b", ".hidden", "x" * 300, "bell\x07", "a\\b"]
    path = manifest(tmp_path, [{"path": "a.png", "category": n} for n in names], f"{DAY}.parquet")
    for source in only(path, tmp_path):
        assert "category" in reason(source)
        assert source.declared is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,category\na.png,brick\n", "expected at least 'path'"),
        (b"", "not a readable manifest"),
        (b"path\n\xff\xfe.png\n", "not a readable manifest"),
        (b"path,day\na.png,tomorrow\n", "not a day"),
    ],
)
def test_a_wrong_manifest_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / f"{DAY}.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        list_images(path, tmp_path)
    path.rename(broken := tmp_path / f"{DAY}.parquet")
    with pytest.raises(UsageError, match="not a readable manifest"):
        list_images(broken, tmp_path)


def test_other_places_are_refused(tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", picture(tmp_path / "a.png")):
        with pytest.raises(UsageError, match=r"expected a day's folder .* or s3://"):
            list_images(place, tmp_path)
    for address in ("s3://", "s3://UPPER/x", f"s3://bucket/../{DAY}", f"s3://bucket//{DAY}"):
        with pytest.raises(UsageError):
            list_images(address, tmp_path, DAY)


def test_what_is_no_file_and_what_is_too_large_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    picture(tmp_path / "large.png")
    monkeypatch.setattr(images_module, "MAX_BYTES", 50)
    images = list(load(only(tmp_path, tmp_path, DAY), 32, lambda _: False, 4))
    errors = [str(image.error) for image in images]
    assert errors[0].endswith("bytes; expected at most 50")
    assert "not a plain file" in errors[1]


def put(bucket: ObjectStore, key: str, content: bytes) -> None:
    location = bucket.location
    bucket.client.put_object(Bucket=location.bucket, Key=f"{location.prefix}/{key}", Body=content)


def test_a_prefix_is_listed_like_a_folder(tmp_path: Path, bucket: ObjectStore) -> None:
    content = picture(tmp_path / "a.png").read_bytes()
    for key in ("brick/b.png", "brick/a.JPG", "loose.png", "brick/notes.txt", ".hidden/x.png",
                "brick/.x.png", "brick/", "empty/"):  # fmt: skip
        put(bucket, f"{DAY}/{key}", content)
    put(bucket, f"{DAY}0/other.png", content)
    place = f"{bucket.location}/{DAY}"
    (found,) = list_images(place, tmp_path)
    assert found.day == DAY
    assert [(s.name, s.declared) for s in found.sources] == [
        (f"{place}/brick/a.JPG", "brick"), (f"{place}/brick/b.png", "brick"),
        (f"{place}/loose.png", None),
    ]  # fmt: skip
    assert found.sources[0].content() == content
    again = located(found.sources[0].name, tmp_path)
    with again.file() as path:
        assert path.read_bytes() == content
        assert path.suffix == ".JPG"
    assert not path.exists()
    assert [image.error for image in load(found.sources, 32, lambda _: False, 4)] == [None] * 3


def test_tricks_with_keys_are_refused_one_by_one() -> None:
    """Servers refuse some of them when they are written, others list them."""
    tricks = {
        "brick/../../x.png": "'..'", "../x.png": "'..'", "brick/./x.png": "'.'",
        "brick//x.png": "empty part", "line\nbreak.png": "control", "esc\x1b[2J.png": "control",
        "back\\slash.png": "backslash", "x" * 2000 + ".png": "longer than", "SAME.png": None,
        "same.png": "only in case", "large.png": "bytes; expected at most", "\ud800.png": "control",
    }  # fmt: skip

    class Hostile(ObjectStore):
        def list(self, below: str = "") -> Iterator[StoredObject]:
            for key in tricks:
                size = 1 << 40 if key == "large.png" else 10
                yield StoredObject(key, size, '"etag"', datetime.now(UTC))

    sources = list_prefix(Hostile(S3Location("bucket", DAY), client=object()))
    assert len(sources) == len({source.name for source in sources}) == len(tricks)
    for source, expected in zip(sources, tricks.values(), strict=True):
        if expected is None:
            assert isinstance(source, ObjectSource)
            continue
        assert reason(source).startswith("refused: ")
        assert expected in reason(source)
        assert reason(source).isprintable()
        assert source.name.isprintable()
        assert len(source.name) < 300


def test_a_prefix_of_several_days_is_refused(tmp_path: Path, bucket: ObjectStore) -> None:
    put(bucket, f"{DAY}/brick/a.png", b"x")
    with pytest.raises(UsageError, match="score each"):
        only(str(bucket.location), tmp_path, DAY)


def test_objects_that_are_gone_or_too_large_are_bad(
    tmp_path: Path, bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a.png", "b.png", "c.png"):
        put(bucket, f"{DAY}/{key}", b"x" * (100 if key == "c.png" else 10))
    monkeypatch.setattr(images_module, "MAX_BYTES", 50)
    sources = only(f"{bucket.location}/{DAY}", tmp_path)
    bucket.remove([f"{DAY}/a.png"])
    put(bucket, f"{DAY}/b.png", b"x" * 100)
    images = list(load(sources, 32, lambda _: False, 4))
    assert "no such object" in str(images[0].error)
    assert "100 bytes; expected at most 50" in str(images[1].error)
    assert "100 bytes; expected at most 50" in str(images[2].error)


def test_a_store_that_fails_blames_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    dead = ObjectStore(S3Location("bucket"), connect(read_seconds=1, attempts=1))
    (image,) = load([ObjectSource("a.png", None, dead, "a.png")], 32, lambda _: False, 4)
    assert image.error is None
    assert "127.0.0.1:9" in str(image.postponed)


def test_typed_columns_of_a_manifest_are_read_as_they_look(tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "path": ["a.png", "b.png", "c.png"],
        "category": pd.Categorical(["bolt", None, "nut"]),
        "day": pd.to_datetime(["2026-03-14", "2026-03-15", None]),
    })  # fmt: skip
    frame.to_parquet(path := tmp_path / "2026-03-16.parquet")
    found = {each.day: [(s.name, s.declared) for s in each.sources]
             for each in list_images(path, tmp_path)}  # fmt: skip
    assert found == {
        "2026-03-14": [("a.png", "bolt")], "2026-03-15": [("b.png", None)],
        "2026-03-16": [("c.png", "nut")],
    }  # fmt: skip
    frame = frame.assign(category=pd.array([7, None, 8], dtype="Int64"), day=None)
    frame.to_parquet(path)
    assert [each.declared for each in only(path, tmp_path)] == ["7", None, "8"]
    frame.assign(category=[["a"], ["b"], ["c"]]).to_parquet(path)
    with pytest.raises(UsageError, match="not a readable manifest"):
        list_images(path, tmp_path)


def test_long_paths_that_are_refused_are_told_apart(tmp_path: Path) -> None:
    rows = [{"path": f"../{'a' * 300}{number}.png"} for number in range(2)]
    names = {each.name for each in only(manifest(tmp_path, rows), tmp_path)}
    assert len(names) == 2
