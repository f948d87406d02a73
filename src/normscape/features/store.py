"""Feature maps on disk: content-addressed shards that survive kill -9 and two writers at once."""

from __future__ import annotations

import math
import os
import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from normscape.backbones import BackboneIdentity, LevelShape
from normscape.errors import DataError, UsageError
from normscape.files import read_json, unwritable, write_json

_FLOAT16_MAX = 65504.0
_ABANDONED_SECONDS = 3600.0
_BYTES = 2


@dataclass(frozen=True)
class _Row:
    shard: Path
    number: int


class FeatureStore:
    """The maps of one backbone, by the SHA-256 of the image file.

    A shard is `<uuid>.f16`, the maps of its images as flat float16, and `<uuid>.json`, their
    hashes. The data come first and the JSON last: a shard without its JSON does not exist. The
    same image in two shards is harmless.

    Args:
        root: The folder of all backbones' features.
        identity: The backbone; its key names the subfolder.
        shapes: `(C, H, W)` of each level.
    """

    def __init__(
        self, root: Path, identity: BackboneIdentity, shapes: Sequence[LevelShape]
    ) -> None:
        self.identity = identity
        self.shapes = tuple(shapes)
        self.folder = root / identity.key
        self._sizes = [math.prod(shape) for shape in self.shapes]
        self._values = sum(self._sizes)
        self._rows: dict[str, _Row] = {}
        self._known: set[Path] = set()
        self.refresh()

    def __len__(self) -> int:
        return len(self._rows)

    def refresh(self) -> None:
        """Take in the shards that were committed since; a damaged shard is left out and removed."""
        for record in sorted(self.folder.glob("[!.]*.json")):  # hidden ones are being written
            if record in self._known:
                continue
            hashes = self._hashes(record)
            if hashes is None:
                warnings.warn(
                    f"{record.with_suffix('.f16')} is damaged; its images are extracted again",
                    stacklevel=2,
                )
                with suppress(OSError):
                    record.unlink()
                    record.with_suffix(".f16").unlink(missing_ok=True)
                continue
            self._known.add(record)
            for number, sha256 in enumerate(hashes):
                self._rows.setdefault(sha256, _Row(record.with_suffix(".f16"), number))

    def missing(self, hashes: Sequence[str]) -> list[str]:
        """The images of `hashes` that have no features yet: each once, in the given order."""
        self.refresh()
        return [sha256 for sha256 in dict.fromkeys(hashes) if sha256 not in self._rows]

    def append(self, hashes: Sequence[str], maps: Sequence[Tensor]) -> None:
        """Commit the maps of some images as one shard.

        Args:
            hashes: B hashes.
            maps: One tensor `(B, C_l, H_l, W_l)` per level.
        """
        with self.writer(len(hashes)) as writer:
            writer.add(hashes, maps)

    @contextmanager
    def writer(self, shard_images: int) -> Iterator[ShardWriter]:
        """Write many batches, committing a shard whenever it holds `shard_images` images.

        The rest is committed at the end, and also when the block fails: what was extracted before
        an undecodable image need not be extracted again.

        Raises:
            NormscapeError: The folder cannot be written.
        """
        self._remove_abandoned()
        writer = ShardWriter(self.folder, self.shapes, shard_images)
        try:
            yield writer
        finally:
            writer.commit()
            self.refresh()

    def read(self, hashes: Sequence[str]) -> list[Tensor]:
        """Read the maps of some images.

        Shards are mapped only while they are read, so memory does not grow with what was read.

        Args:
            hashes: B hashes, in any order, repeated or not.

        Returns:
            One float32 tensor `(B, C_l, H_l, W_l)` per level, in the order of `hashes`.

        Raises:
            UsageError: An image has no features.
            DataError: A shard was removed or cut short while the store was in use.
        """
        flat = np.empty((len(hashes), self._values), dtype=np.float16)
        wanted: dict[Path, list[tuple[int, int]]] = {}
        for position, sha256 in enumerate(hashes):
            row = self._rows.get(sha256)
            if row is None:
                raise UsageError(
                    f"no features of image {sha256[:16]} in {self.folder}; run `normscape features`"
                )
            wanted.setdefault(row.shard, []).append((position, row.number))
        for shard, places in wanted.items():
            try:
                data = np.memmap(shard, dtype=np.float16, mode="r").reshape(-1, self._values)
                for position, number in places:
                    flat[position] = data[number]
            except (OSError, ValueError, IndexError) as error:
                raise DataError(
                    f"feature shard {shard} cannot be read ({error}); "
                    "run `normscape features` to extract its images again"
                ) from None
        levels = torch.split(torch.from_numpy(flat), self._sizes, dim=1)
        return [
            level.float().reshape(len(hashes), *shape)
            for level, shape in zip(levels, self.shapes, strict=True)
        ]

    def _hashes(self, record: Path) -> list[str] | None:
        try:
            hashes: list[str] = read_json(record)["sha256"]
            size = record.with_suffix(".f16").stat().st_size
        except (UsageError, OSError, KeyError, TypeError):
            return None
        return hashes if size == len(hashes) * self._values * _BYTES else None

    def _remove_abandoned(self) -> None:
        # A writer that was killed leaves a temporary file, or data without their record. Young
        # ones may belong to a writer at work.
        limit = time.time() - _ABANDONED_SECONDS
        for path in (*self.folder.glob("*.f16"), *self.folder.glob(".*.tmp*")):
            with suppress(OSError):
                orphan = path.name.startswith(".") or not path.with_suffix(".json").exists()
                if orphan and path.stat().st_mtime < limit:
                    path.unlink()


class ShardWriter:
    """Writes shards; made by `FeatureStore.writer`. Maps go to disk at once, not into memory.

    Args:
        folder: The folder of the shards.
        shapes: `(C, H, W)` of each level.
        shard_images: Images after which a shard is committed.
    """

    def __init__(self, folder: Path, shapes: Sequence[LevelShape], shard_images: int) -> None:
        self._folder = folder
        self._shapes = tuple(shapes)
        self._limit = shard_images
        self._image_bytes = _BYTES * sum(math.prod(shape) for shape in self._shapes)
        self._hashes: list[str] = []
        self._path = folder
        self._stream: IO[bytes] | None = None

    def add(self, hashes: Sequence[str], maps: Sequence[Tensor]) -> None:
        """Add the maps `(B, C_l, H_l, W_l)` of B images.

        float16 ends at 65,504: larger values are cut there, and NaN is refused.

        Raises:
            DataError: The backbone returned NaN.
            NormscapeError: The folder cannot be written.
        """
        for level, shape in zip(maps, self._shapes, strict=True):
            if level.shape != (len(hashes), *shape):
                raise ValueError(f"map {tuple(level.shape)}, expected {(len(hashes), *shape)}")
        flat = torch.cat([level.detach().cpu().flatten(1) for level in maps], dim=1)
        if bool(flat.isnan().any()):
            broken = [h for h, bad in zip(hashes, flat.isnan().any(dim=1), strict=True) if bad]
            raise DataError(
                f"the backbone returned NaN for image {broken[0][:16]}; set backbone.precision to "
                "'fp32' or check the weights"
            )
        rows = flat.clamp(-_FLOAT16_MAX, _FLOAT16_MAX).half().numpy()
        for sha256, row in zip(hashes, rows, strict=True):
            try:
                self._open().write(row.data)
            except OSError as error:
                raise unwritable(self._folder, error) from error
            self._hashes.append(sha256)
            if len(self._hashes) >= self._limit:
                self.commit()

    def commit(self) -> None:
        """Make what was added visible to readers."""
        if self._stream is None:
            return
        stream, hashes = self._stream, self._hashes
        self._stream, self._hashes = None, []
        shard = self._folder / f"{uuid.uuid4().hex}.f16"
        try:
            with stream:
                # An interruption may have left a part of an image behind the last whole one.
                stream.flush()
                stream.truncate(len(hashes) * self._image_bytes)
                os.fsync(stream.fileno())
            self._path.replace(shard)
        except OSError as error:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            raise unwritable(shard, error) from error
        write_json(shard.with_suffix(".json"), {"sha256": hashes})

    def _open(self) -> IO[bytes]:
        if self._stream is None:
            self._path = self._folder / f".{uuid.uuid4().hex}.tmp.f16"
            self._folder.mkdir(parents=True, exist_ok=True)
            self._stream = self._path.open("wb")
        return self._stream
