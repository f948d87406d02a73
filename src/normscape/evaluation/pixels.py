"""Pixel metrics of many anomaly maps without keeping them in memory."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from normscape.errors import NormscapeError
from normscape.evaluation.metrics import region_weights
from normscape.evaluation.ranking import Floats, Ranking, RankingBuilder, check_finite
from normscape.files import unwritable

Map = NDArray[np.float32]


class PixelRankings:
    """Takes maps and masks one by one and ranks the pixels of each category and of all.

    Memory: 12 bytes for each *defect* pixel, and while ranking about 40 more for each distinct
    one. The normal pixels, sorted per image, wait in a temporary file (4 bytes each, at most
    256 kB an image of 256 by 256) until all defect pixels are known.

    Args:
        folder: Where the temporary file is made; it has no name and vanishes by itself.

    Raises:
        NormscapeError: The folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._normals = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise unwritable(folder, error) from error
        self._parts: list[tuple[str, int]] = []
        self._values: dict[str, list[Map]] = defaultdict(list)
        self._weights: dict[str, list[Floats]] = defaultdict(list)
        self._regions: dict[str, int] = defaultdict(int)

    def __enter__(self) -> PixelRankings:
        """Use as a context manager, which removes the temporary file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the temporary file."""
        self._normals.close()

    def add(self, category: str, values: Map, mask: NDArray[np.bool_] | None) -> None:
        """Take one image.

        Args:
            category: Its declared category.
            values: `(S, S)` raw anomaly map.
            mask: `(S, S)`; True = defect. None: every pixel is normal.

        Raises:
            NormscapeError: Shapes differ, a value is not finite, or the disk is full.
        """
        if mask is not None and mask.shape != values.shape:
            raise NormscapeError(
                f"pixel metrics: map {values.shape} and mask {mask.shape} differ in size"
            )
        check_finite(values)
        if mask is None:
            normals = values.ravel()
        else:
            normals = values[~mask]
            weights, regions = region_weights(mask)
            self._values[category].append(values[mask].astype(np.float32))
            self._weights[category].append(weights)
            self._regions[category] += regions
        try:
            self._normals.write(np.sort(normals.astype(np.float32)).data)
        except OSError as error:
            raise NormscapeError(
                f"pixel metrics: cannot keep {values.size * 4} bytes of an anomaly map on disk "
                f"({error.strerror}); expected 4 bytes a map pixel and test image; free some space"
            ) from error
        self._parts.append((category, len(normals)))

    def rank(self) -> tuple[dict[str, Ranking], Ranking | None]:
        """Rank what was taken.

        Returns:
            The ranking of each category that has defect and normal pixels, and of all these
            categories together (None where there are none). Region weights sum to 1 in each.
        """
        seen = {category for category, count in self._parts if count}
        names = sorted(name for name in seen if self._regions[name])
        if not names:
            return {}, None
        builders = {name: self._builder([name]) for name in names}
        pooled = self._builder(names)
        for category, normals in self._read():
            if category in builders:
                builders[category].add(normals)
                pooled.add(normals)
        return {name: builder.result() for name, builder in builders.items()}, pooled.result()

    def _builder(self, names: list[str]) -> RankingBuilder:
        values = np.concatenate([part for name in names for part in self._values[name]])
        weights = np.concatenate([part for name in names for part in self._weights[name]])
        return RankingBuilder(values, weights / sum(self._regions[name] for name in names))

    def _read(self) -> Iterable[tuple[str, Map]]:
        self._normals.seek(0)
        for category, count in self._parts:
            yield category, np.frombuffer(self._normals.read(4 * count), dtype=np.float32)
