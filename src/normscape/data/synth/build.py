"""The folder of a scale set: every category in the MVTec layout, made by several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from PIL import Image

from normscape.data.synth.render import Category, Picture, Pixels, Split, category, render
from normscape.errors import UsageError
from normscape.files import atomic_folder
from normscape.progress import progress_bar

MAX_CATEGORIES = 200
MIN_SIZE = 64
MAX_SIZE = 2048

_CHUNK = 20  # pictures a worker makes before it reports


@dataclass(frozen=True)
class ScaleSet:
    """What a scale set holds.

    Attributes:
        categories: How many product categories, 1 to 200.
        seed: From which everything is drawn; not negative.
        train: Normal training pictures of each category.
        test_normal: Normal test pictures of each category that is tested.
        test_anomalous: Defective test pictures of each category that is tested.
        test_categories: How many categories, the first ones, have test pictures; None for all.
        size: Pixels per side, 64 to 2048.

    Raises:
        UsageError: A number is out of its range.
    """

    categories: int
    seed: int = 0
    train: int = 20
    test_normal: int = 40
    test_anomalous: int = 40
    test_categories: int | None = None
    size: int = 256

    def __post_init__(self) -> None:
        _expect("categories", self.categories, 1, MAX_CATEGORIES)
        _expect("seed", self.seed, 0, None)
        _expect("train", self.train, 1, None)
        _expect("test-normal", self.test_normal, 1, None)
        _expect("test-anomalous", self.test_anomalous, 1, None)
        _expect("test-categories", self.tested, 0, self.categories)
        _expect("size", self.size, MIN_SIZE, MAX_SIZE)

    @property
    def tested(self) -> int:
        """How many categories have test pictures."""
        return self.categories if self.test_categories is None else self.test_categories

    @property
    def pictures(self) -> int:
        """How many pictures there are, masks not counted."""
        tests = self.test_normal + self.test_anomalous
        return self.categories * self.train + self.tested * tests


@dataclass(frozen=True)
class _Chunk:
    """Some pictures of one split of one category."""

    seed: int
    category: int
    split: Split
    start: int
    stop: int
    size: int


def build_scale_set(
    folder: Path,
    plan: ScaleSet,
    *,
    workers: int | None = None,
    force: bool = False,
    progress: bool = True,
) -> None:
    """Fill `folder` with a scale set, as a whole or not at all.

    A category's pictures depend on the seed, the category's index and the picture's index alone:
    a larger set contains the smaller ones, and the number of workers changes nothing.

    Args:
        folder: Is replaced with `force`; else it must be missing or empty.
        plan: What the set holds.
        workers: Processes; None for one per available core.
        force: Replace what the folder holds.
        progress: Whether to show a bar with the remaining time on stderr.

    Raises:
        UsageError: The folder is not empty and `force` is not set, or it is no folder, or
            `workers` is less than 1.
        NormscapeError: The folder cannot be written.
    """
    count = len(os.sched_getaffinity(0)) if workers is None else workers
    _expect("workers", count, 1, None)
    _refuse_filled(folder, force)
    chunks = list(_chunks(plan))
    with (
        atomic_folder(folder) as new,
        progress_bar("scale set", plan.pictures, progress) as report,
    ):
        done = 0
        for chunk, written in zip(chunks, _results(new, chunks, count), strict=True):
            done += written
            report(done, f"category {chunk.category + 1} of {plan.categories}")


def _results(folder: Path, chunks: list[_Chunk], workers: int) -> Iterator[int]:
    if workers == 1:
        yield from map(_write_chunk, repeat(folder), chunks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context) as pool:
        try:
            yield from pool.map(_write_chunk, repeat(folder), chunks)
        finally:
            pool.shutdown(cancel_futures=True)


def _chunks(plan: ScaleSet) -> Iterator[_Chunk]:
    for index in range(plan.categories):
        counts: dict[Split, int] = {"train": plan.train}
        if index < plan.tested:
            counts["test_normal"] = plan.test_normal
            counts["test_anomalous"] = plan.test_anomalous
        for split, count in counts.items():
            for start in range(0, count, _CHUNK):
                stop = min(start + _CHUNK, count)
                yield _Chunk(plan.seed, index, split, start, stop, plan.size)


def _write_chunk(folder: Path, chunk: _Chunk) -> int:
    drawn = category(chunk.seed, chunk.category)
    for index in range(chunk.start, chunk.stop):
        picture = render(drawn, chunk.split, index, chunk.size)
        _write(folder / drawn.name, drawn, chunk.split, index, picture)
    return chunk.stop - chunk.start


def _write(folder: Path, drawn: Category, split: Split, index: int, picture: Picture) -> None:
    if picture.mask is None or picture.kind is None:
        part = "train" if split == "train" else "test"
        _save(folder / part / "good" / f"{index:03d}.png", picture.pixels)
        return
    number = index // len(drawn.kinds)
    _save(folder / "test" / picture.kind / f"{number:03d}.png", picture.pixels)
    _save(folder / "ground_truth" / picture.kind / f"{number:03d}_mask.png", picture.mask)


def _save(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def _refuse_filled(folder: Path, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder that is missing or empty")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise UsageError(
            f"{folder} is not empty; name another folder, or replace what it holds with --force"
        )


def _expect(name: str, value: int, low: int, high: int | None) -> None:
    if value < low or (high is not None and value > high):
        bound = f"from {low} to {high}" if high is not None else f"of {low} or more"
        raise UsageError(f"--{name} is {value}; expected a number {bound}")
