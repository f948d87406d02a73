import hashlib
import os
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image

from normscape.errors import UsageError
from normscape.scoring.load import PICTURE_SIDE, load
from normscape.scoring.source import FileSource, list_day, logged_name


def never(_: str) -> bool:
    return False


def picture(path: Path, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 100, 50)).save(path)
    return path


def test_a_day_is_listed_with_its_categories(tmp_path: Path) -> None:
    day = tmp_path / "feed" / "2026-03-14"
    picture(day / "brick" / "b.png")
    picture(day / "brick" / "a.JPG")
    picture(day / "loose.png")
    picture(day / ".hidden" / "x.png")
    (day / "brick" / "notes.txt").write_text("not an image")
    (day / ".DS_Store").write_text("")
    assert [(s.name, s.declared) for s in list_day(day, tmp_path)] == [
        ("feed/2026-03-14/brick/a.JPG", "brick"),
        ("feed/2026-03-14/brick/b.png", "brick"),
        ("feed/2026-03-14/loose.png", None),
    ]


def test_several_days_at_once_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "2026-03-14" / "brick" / "a.png")
    with pytest.raises(UsageError, match="score each of them"):
        list_day(tmp_path, tmp_path)
    with pytest.raises(UsageError, match="not a folder"):
        list_day(tmp_path / "nothing", tmp_path)


def test_paths_outside_the_project_are_absolute(tmp_path: Path) -> None:
    assert logged_name(tmp_path / "a" / "b.png", tmp_path) == "a/b.png"
    assert logged_name(tmp_path / "b.png", tmp_path / "a") == (tmp_path / "b.png").as_posix()


def test_names_that_are_not_text_are_escaped(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    picture(folder / "a.png")
    source = list_day(tmp_path, tmp_path)[0]
    assert source.declared == "caf\\xe9"
    assert source.name == "caf\\xe9/a.png"
    assert next(load([source], 32, never, 4)).error is None


def test_images_come_in_order_resized(tmp_path: Path) -> None:
    for number in range(20):
        picture(tmp_path / f"{number:02d}.png", size=(10 + 50 * number, 700))
    sources = list_day(tmp_path, tmp_path)
    loaded = list(load(sources, 64, never, ahead=3))
    assert [image.source for image in loaded] == sources
    for image in loaded:
        assert isinstance(image.source, FileSource)
        assert image.pixels is not None
        assert image.pixels.shape == (1, 3, 64, 64)
        assert image.picture is not None
        assert max(image.picture.size) == PICTURE_SIDE
        assert image.sha256 == hashlib.sha256(image.source.path.read_bytes()).hexdigest()
    assert torch.allclose(loaded[0].pixels[0, :, 0, 0], torch.tensor([200, 100, 50]) / 255)


def test_what_is_known_is_not_decoded(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    known = hashlib.sha256(path.read_bytes()).hexdigest()
    image = next(load(list_day(tmp_path, tmp_path), 32, known.__eq__, 4))
    assert image.pixels is None
    assert image.error is None


def test_bad_files_say_why_and_stop_nothing(tmp_path: Path) -> None:
    good = picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(good.read_bytes()[:60])
    (tmp_path / "c.png").write_bytes(b"")
    (tmp_path / "d.png").write_text("text")
    sources = list_day(tmp_path, tmp_path)
    picture(tmp_path / "e.png")
    gone = list_day(tmp_path, tmp_path)[-1]
    gone.path.unlink()
    loaded = list(load([*sources, gone], 32, never, 2))
    assert [image.error is None for image in loaded] == [True, False, False, False, False]
    assert "cannot be read" in str(loaded[4].error)
    assert loaded[4].sha256 is None
    assert all(image.sha256 for image in loaded[:4])


def test_stopping_early_stops_the_readers(tmp_path: Path) -> None:
    for number in range(50):
        picture(tmp_path / f"{number:02d}.png")
    decoded: list[str] = []

    def skip(sha256: str) -> bool:
        decoded.append(sha256)
        return False

    images = load(list_day(tmp_path, tmp_path), 32, skip, ahead=4)
    next(images)
    images.close()
    assert len(decoded) <= 10


def test_large_images_are_not_decoded_ahead(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (300, 20))
    picture(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"no image")
    images = load(list_day(tmp_path, tmp_path), 32, never, 4, lambda width, _: width > 100)
    large, small, broken = images
    assert large.large
    assert large.sha256 is not None
    assert (large.pixels, large.picture, large.error) == (None, None, None)
    assert small.pixels is not None
    assert not small.large
    assert "not an image" in str(broken.error)


def test_reading_goes_on_while_the_scorer_is_busy(tmp_path: Path) -> None:
    for number in range(8):
        picture(tmp_path / f"{number}.png")
    decoded = threading.Semaphore(0)

    def skip(_: str) -> bool:
        decoded.release()
        return False

    images = load(list_day(tmp_path, tmp_path), 32, skip, ahead=4)
    next(images)
    assert all(decoded.acquire(timeout=10) for _ in range(5)), "five are ready, one is asked for"
    assert not decoded.acquire(timeout=0.1), "and no more: they are memory"
    images.close()
