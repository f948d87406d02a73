"""Extracting what the store does not hold: decode, batch, run, append; memory stays bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from normscape.backbones import Backbone, load_backbone
from normscape.backbones.runtime import available_cores
from normscape.data.images import read_image
from normscape.errors import DataError
from normscape.features.preprocess import to_batch
from normscape.features.store import FeatureStore
from normscape.files import sha256_file
from normscape.params import Params
from normscape.progress import progress_bar

Item = tuple[str, Path]
"""SHA-256 of an image file, and where the file is."""

_PREFETCHED_BATCHES = 2


def open_store(params: Params) -> tuple[FeatureStore, Backbone]:
    """Open the store of the parameters' backbone, without loading the network.

    Raises:
        UsageError: The parameters describe no backbone that can run here.
        NormscapeError: Its weights cannot be fetched or read.
    """
    backbone = load_backbone(params.backbone, root=params.root, cache=params.state / "cache")
    return FeatureStore(params.state / "features", backbone.identity, backbone.shapes), backbone


def ensure_features(
    params: Params, items: Sequence[Item], *, progress: bool = True
) -> FeatureStore:
    """Extract the features of those images that have none, and return the store.

    Args:
        params: Sections `backbone`, `features` and `paths` are used.
        items: The images, by content hash; the same hash twice is one image.
        progress: Whether to show a bar with the remaining time on stderr.

    Raises:
        DataError: An image cannot be decoded, or its file is not the one that was hashed. What was
            extracted before it is kept.
        UsageError: The parameters describe no backbone that can run here.
        NormscapeError: The weights cannot be read, or the store cannot be written.
    """
    store, backbone = open_store(params)
    files = dict(reversed(items))
    todo = [(sha256, files[sha256]) for sha256 in store.missing([item[0] for item in items])]
    if not todo:
        return store
    with (
        progress_bar("features", len(todo), progress) as report,
        store.writer(params.features.shard_images) as writer,
    ):
        done = 0
        for hashes, batch in _batches(todo, params.backbone.input_size, params.features.batch_size):
            writer.add(hashes, backbone(batch))
            done += len(hashes)
            report(done, "")
    return store


def _batches(
    items: Sequence[Item], input_size: int, batch_size: int
) -> Iterator[tuple[list[str], Tensor]]:
    """Decode in threads, at most `_PREFETCHED_BATCHES` ahead of the consumer."""
    waiting = iter(items)
    ready: deque[tuple[str, Future[Tensor]]] = deque()
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="decode") as pool:

        def fill() -> None:
            room = (1 + _PREFETCHED_BATCHES) * batch_size - len(ready)
            for item in islice(waiting, room):
                ready.append((item[0], pool.submit(_pixels, item, input_size)))

        try:
            fill()
            while ready:
                taken = [ready.popleft() for _ in range(min(batch_size, len(ready)))]
                batch = torch.cat([future.result() for _, future in taken])
                fill()
                yield [sha256 for sha256, _ in taken], batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _pixels(item: Item, input_size: int) -> Tensor:
    sha256, path = item
    image = read_image(path)
    if sha256_file(path) != sha256:
        raise DataError(
            f"{path} has changed since its hash was taken; run `normscape manifest` again"
        )
    return to_batch([image], input_size)
